//! Expectation propagation (Minka 2001; for the probit link Kuss and Rasmussen 2005, Rasmussen and
//! Williams 2006 section 3.6; for orthant probabilities Cunningham, Hennig and Lacoste-Julien 2011).
//!
//! Every constraint `h_i > 0` is replaced by a Gaussian site `exp(-tau_i h_i^2 / 2 + nu_i h_i)`, chosen such that
//! mean and variance of `h_i` agree whether site or constraint is put to the rest (the cavity). The value
//! `log Z` at the fixed point approximates `log P(f)`; its first derivatives with respect to the sites
//! vanish there, so sites good to `1e-6` give `log Z` to about `1e-12`.
//!
//! The probit link is the step link on `K + I` (noise of unit variance on every latent value), and has the
//! same fixed point.

use crate::description::{Description, references};
use crate::numeric::Estimate;
use crate::numeric::anderson::Anderson;
use crate::numeric::linalg::{Cholesky, add_scaled, norm, par_apply};
use crate::numeric::normal::{log_ndtr, positive_part_moments};
use crate::prior::options::Deadline;
use crate::prior::problem::{Orthant, Reduced, check_link, reduce};
use crate::prior::sites::factorise;
use crate::prior::tolerance::{EP_CONVERGENCE, EP_DIAGONAL_LOSS, EP_SITE_CONVERGENCE};
use crate::prior::{Exactness, Gram, Labels, Link, LogProb, LogProbMethod, PriorError, PriorOptions};
use ndarray::{Array1, ArrayView2, ArrayViewMut1, Axis};
use std::time::Instant;

/// Order in which the sites are updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Schedule {
    /// All sites at once, one factorisation of `B = I + S R S` (`S = diag(sqrt(tau))`) an iteration.
    Parallel,
    /// One site after another with rank-one updates, and a factorisation after each sweep.
    Sequential,
}

/// Expectation propagation under one of its schedules.
#[derive(Debug, Clone, Copy)]
pub struct ExpectationPropagation(pub Schedule);

/// Sweeps after which the method gives up.
const MAX_ITERATIONS: usize = 2000;

/// Parallel iterations after which the sites are updated one after another instead: damping helps against updates that
/// overshoot, not against longer cycles, which simple functions of strongly correlated points can fall into.
const MAX_PARALLEL_ITERATIONS: usize = 400;

/// Growth of the distance from the fixed point at which an accelerated step is taken back.
const MOST_GROWTH: f64 = 2.0;

/// Precision of a site that does nothing, beside the unit variances of the prior.
const SMALL_SITE: f64 = 1e-12;

/// A fixed point of expectation propagation on an orthant problem.
#[derive(Debug, Clone)]
pub struct FixedPoint {
    /// `log Z`, the approximation of the log probability.
    pub log_z: f64,
    /// Site precisions `tau` (`n`), not negative.
    pub precision: Vec<f64>,
    /// Site precisions times means `nu` (`n`).
    pub shift: Vec<f64>,
    /// Posterior mean of `h` (`n`).
    pub mean: Vec<f64>,
    /// Posterior variance of `h` (`n`).
    pub variance: Vec<f64>,
    /// Iterations or sweeps.
    pub iterations: usize,
    /// Last change of `log Z`.
    pub change: f64,
    /// Smallest damping factor that was in force (1: none).
    pub damping: f64,
    /// Whether parallel updates found no fixed point and sequential ones, which did, took over.
    pub handed_over: bool,
}

impl LogProbMethod for ExpectationPropagation {
    fn id(&self) -> &'static str {
        match self.0 {
            Schedule::Parallel => "ep",
            Schedule::Sequential => "ep_sequential",
        }
    }

    fn summary(&self) -> &'static str {
        match self.0 {
            Schedule::Parallel => "expectation propagation, all sites at once",
            Schedule::Sequential => "expectation propagation, one site after another",
        }
    }

    fn source(&self) -> &'static str {
        "Minka 2001; Cunningham, Hennig, Lacoste-Julien 2011"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "log Z, Z = int N(h; 0, R) prod_i t_i(h_i) dh, each Gaussian site t_i such that mean and variance of h_i are those under 1(h_i > 0) in its place",
            notes: "R is the correlation matrix of y_i g_i (of K for step, of K + I for probit). Off by up to 1.3 nats (step) or 0.12 (probit) on the certified images; `golden/prior/README.md` tables it. `ep` updates all sites at once and hands over to sequential updates after 400 iterations; `ep_sequential` updates one after another. Both have the same fixed point.",
            unit: "nats",
            use_for: "what the field reports; fast",
            not_for: "the true value",
            cost: "n^3 per iteration, some ten to hundred iterations",
            options: &["link", "max_seconds"],
            refuses: "no fixed point within 2000 iterations; a cavity without variance on a nearly singular matrix; the logistic link; a budget that ends within sequential updates",
            sources: &[references::MINKA_2001, references::CUNNINGHAM_2011],
        })
    }

    fn links(&self) -> &'static [Link] {
        &[Link::Step, Link::Probit]
    }

    fn exactness(&self) -> Exactness {
        Exactness::Approximate
    }

    fn fixed_point(&self) -> &'static str {
        "ep"
    }

    fn log_prob(&self, gram: &Gram, labels: &Labels, options: &PriorOptions) -> Result<LogProb, PriorError> {
        check_link(self.id(), self.links(), options.link)?;
        let orthant = match reduce(gram, labels, options.link)? {
            Reduced::Decided(answer) => return Ok(answer),
            Reduced::Open(orthant) => orthant,
        };
        let fit = fixed_point(&orthant, self.0, options)?;
        let info = orthant
            .info()
            .with("iterations", fit.iterations)
            .with("last_change", fit.change)
            .with("damping", fit.damping)
            .with("handed_over_to_sequential", fit.handed_over)
            .with("converged", true);
        Ok(LogProb { estimate: Estimate::deterministic(fit.log_z, info), upper_bound: None })
    }
}

/// Runs expectation propagation to its fixed point.
///
/// # Errors
/// [`PriorError::NotConverged`], [`PriorError::Breakdown`] if `I + S R S` has no Cholesky factor, and
/// [`PriorError::OutOfTime`] if the budget of `options` ends within sequential sweeps.
pub fn fixed_point(orthant: &Orthant, schedule: Schedule, options: &PriorOptions) -> Result<FixedPoint, PriorError> {
    let deadline = |method| Deadline::new(method, Instant::now(), options);
    match schedule {
        Schedule::Parallel => match parallel(orthant) {
            Err(PriorError::NotConverged { .. }) => {
                Ok(FixedPoint { handed_over: true, ..sequential(orthant, deadline("ep"))? })
            }
            other => other,
        },
        Schedule::Sequential => sequential(orthant, deadline("ep_sequential")),
    }
}

/// The Gaussian approximation for given sites: marginals of the posterior and of the cavities, `log Z`.
struct Marginals {
    mean: Vec<f64>,
    variance: Vec<f64>,
    cavity_mean: Vec<f64>,
    cavity_variance: Vec<f64>,
    log_z: f64,
}

/// Site that moment-matches the constraint `h > 0` under a cavity `N(mean, variance)`.
fn matched_site(cavity_mean: f64, cavity_variance: f64) -> (f64, f64) {
    let deviation = cavity_variance.sqrt();
    let z = cavity_mean / deviation;
    let (mean, variance) = positive_part_moments(z);
    let hazard = mean - z;
    let precision = hazard * mean / (cavity_variance * variance);
    // mean/variance - z, arranged so that no two numbers of one size are subtracted.
    let shift = if z < 0.0 { mean / variance - z } else { (hazard + z * hazard * mean) / variance };
    (precision, shift / deviation)
}

/// [`PriorError::Breakdown`] for a cavity that rounding has left without variance.
fn check_cavity(point: usize, variance: f64, mean: f64) -> Result<(), PriorError> {
    if variance > 0.0 && variance.is_finite() && mean.is_finite() {
        Ok(())
    } else {
        Err(PriorError::Breakdown { method: "ep", pivot: point, value: variance })
    }
}

/// Posterior and cavity marginals and `log Z` for given sites.
///
/// With `b_i = (B^-1)_ii` (accurate in relative terms as a sum of squares): posterior variance
/// `(1 - b_i) / tau_i`, cavity variance posterior variance `/ b_i`, cavity mean `(mu_i - nu_i Sigma_ii) / b_i`.
fn marginals(correlation: ArrayView2<f64>, precision: &[f64], shift: &[f64]) -> Result<Marginals, PriorError> {
    let n = precision.len();
    let root: Vec<f64> = precision.iter().map(|tau| tau.sqrt()).collect();
    let cholesky = factorise("ep", correlation, &root)?;
    let inverse_diagonal = cholesky.inverse_diagonal();
    let mut variance: Vec<f64> = inverse_diagonal.iter().zip(precision).map(|(b, tau)| (1.0 - b) / tau).collect();
    refine_small_sites(correlation, &root, &cholesky, &inverse_diagonal, &mut variance);
    // mu = R alpha, alpha = nu - S B^-1 S R nu.
    let shift = Array1::from_vec(shift.to_vec());
    let root = Array1::from_vec(root);
    let alpha = &shift - &root * &cholesky.solve((&root * &par_apply(correlation, &shift)).view());
    let mean = par_apply(correlation, &alpha).to_vec();
    let mut log_z = -0.5 * cholesky.log_det();
    let (mut cavity_mean, mut cavity_variance) = (vec![0.0; n], vec![0.0; n]);
    for i in 0..n {
        let (mu, sigma, nu, b) = (mean[i], variance[i], shift[i], inverse_diagonal[i]);
        let cavity = sigma / b;
        let centre = (mu - nu * sigma) / b;
        check_cavity(i, cavity, centre)?;
        cavity_mean[i] = centre;
        cavity_variance[i] = cavity;
        log_z += log_ndtr(centre / cavity.sqrt()) - 0.5 * b.ln();
        log_z += 0.5 * (centre * centre / cavity - mu * mu / sigma + nu * mu);
    }
    Ok(Marginals { mean, variance, cavity_mean, cavity_variance, log_z })
}

/// `log Z` for given sites, at a fixed point or not.
pub(crate) fn log_z(correlation: ArrayView2<f64>, precision: &[f64], shift: &[f64]) -> Result<f64, PriorError> {
    Ok(marginals(correlation, precision, shift)?.log_z)
}

/// Replaces `(1 - b) / tau` where `1 - b` is nearly lost to rounding by `R_ii - norm(L^-1 S R e_i)^2`.
fn refine_small_sites(
    correlation: ArrayView2<f64>,
    root: &[f64],
    cholesky: &Cholesky,
    inverse_diagonal: &[f64],
    variance: &mut [f64],
) {
    // Written so that 0 / 0 (a site of zero precision) is refined too.
    let small: Vec<usize> = (0..root.len()).filter(|&i| !(1.0 - inverse_diagonal[i] > EP_DIAGONAL_LOSS)).collect();
    if small.is_empty() {
        return;
    }
    let mut columns = correlation.select(Axis(1), &small);
    for (mut row, &root) in columns.outer_iter_mut().zip(root) {
        row *= root;
    }
    let solved = cholesky.forward_matrix(columns);
    for (&i, column) in small.iter().zip(solved.axis_iter(Axis(1))) {
        variance[i] = correlation[[i, i]] - column.dot(&column);
    }
}

/// Whether a change of `log Z` is within tolerance; relative for large `log Z`, where rounding is.
fn converged(change: f64, log_z: f64) -> bool {
    change.abs() <= EP_CONVERGENCE * log_z.abs().max(1.0)
}

fn parallel(orthant: &Orthant) -> Result<FixedPoint, PriorError> {
    let correlation = orthant.correlation();
    let n = orthant.point_count();
    // With no sites the cavities are the prior: the first update needs no factorisation.
    let (first_precision, first_shift) = matched_site(0.0, 1.0);
    let mut sites = (vec![first_precision; n], vec![first_shift; n]);
    let (mut last, mut change) = (f64::INFINITY, f64::INFINITY);
    let mut damping: f64 = 1.0;
    let (mut acceleration, mut is_accelerated, mut last_distance) = (Anderson::default(), false, f64::INFINITY);
    for iteration in 1..=MAX_PARALLEL_ITERATIONS {
        let found = marginals(correlation, &sites.0, &sites.1);
        let now = match found {
            Err(PriorError::Breakdown { .. }) if is_accelerated => None,
            found => {
                let now = found?;
                let at = coordinates(sites.0.iter().copied().zip(sites.1.iter().copied()));
                let matched = now.cavity_mean.iter().zip(&now.cavity_variance);
                let mut residual = coordinates(matched.map(|(mean, variance)| matched_site(*mean, *variance)));
                add_scaled(&mut residual, -1.0, &at);
                let distance = norm(&residual);
                let strays = is_accelerated && !(distance <= MOST_GROWTH * last_distance);
                (!strays).then_some((now, at, residual, distance))
            }
        };
        let Some((now, at, residual, distance)) = now else {
            (sites, is_accelerated) = (of_coordinates(&acceleration.step_back(damping)), false);
            continue;
        };
        let last_change = std::mem::replace(&mut change, now.log_z - last);
        // An accelerated step may leave log Z as it was by chance, far from the fixed point.
        let farthest = residual.iter().fold(0.0, |far: f64, entry| far.max(entry.abs()));
        if converged(change, now.log_z) && farthest <= EP_SITE_CONVERGENCE {
            let (precision, shift) = sites;
            return Ok(FixedPoint {
                log_z: now.log_z,
                precision,
                shift,
                mean: now.mean,
                variance: now.variance,
                iterations: iteration,
                change,
                damping,
                handed_over: false,
            });
        }
        // Farther away, and back: the update overshoots.
        if !is_accelerated && distance > last_distance && change * last_change < 0.0 {
            damping = (0.7 * damping).max(0.05);
        }
        (last, last_distance) = (now.log_z, distance);
        let next;
        (next, is_accelerated) = acceleration.next(at, residual, damping);
        sites = of_coordinates(&next);
    }
    Err(PriorError::NotConverged { method: "ep", iterations: MAX_PARALLEL_ITERATIONS, change })
}

/// Sites in coordinates in which updates are nearly linear: `log(tau + s)`, then `nu / sqrt(tau + s)`, with `s` so small
/// that a site of that precision does nothing to a variable of unit variance.
fn coordinates(sites: impl Iterator<Item = (f64, f64)>) -> Vec<f64> {
    let (logs, mut shifts): (Vec<f64>, Vec<f64>) =
        sites.map(|(tau, nu)| ((tau + SMALL_SITE).ln(), nu / (tau + SMALL_SITE).sqrt())).unzip();
    let mut all = logs;
    all.append(&mut shifts);
    all
}

/// The sites, precisions and shifts, of [`coordinates`].
fn of_coordinates(all: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (logs, shifts) = all.split_at(all.len() / 2);
    let site = |(log, shift): (&f64, &f64)| ((log.exp() - SMALL_SITE).max(0.0), shift * (0.5 * log).exp());
    logs.iter().zip(shifts).map(site).unzip()
}

fn sequential(orthant: &Orthant, deadline: Deadline) -> Result<FixedPoint, PriorError> {
    let correlation = orthant.correlation();
    let n = orthant.point_count();
    let (mut precision, mut shift) = (vec![0.0; n], vec![0.0; n]);
    let mut sigma = correlation.to_owned();
    let mut mean = Array1::<f64>::zeros(n);
    let (mut last, mut change) = (f64::INFINITY, f64::INFINITY);
    for sweep in 1..=MAX_ITERATIONS {
        for i in 0..n {
            deadline.check(|| format!("{i} of {n} points updated in sweep {sweep}"))?;
            let remaining = 1.0 - precision[i] * sigma[[i, i]];
            let (cavity_variance, cavity_mean) =
                (sigma[[i, i]] / remaining, (mean[i] - shift[i] * sigma[[i, i]]) / remaining);
            check_cavity(i, cavity_variance, cavity_mean)?;
            let (tau, nu) = matched_site(cavity_mean, cavity_variance);
            let (more_precision, more_shift) = (tau - precision[i], nu - shift[i]);
            (precision[i], shift[i]) = (tau, nu);
            // Sigma <- Sigma - c s s^T with s = Sigma e_i, and mu = Sigma nu along with it.
            let column = sigma.column(i).to_owned();
            let factor = more_precision / (1.0 + more_precision * column[i]);
            let step = more_shift - factor * (mean[i] + more_shift * column[i]);
            mean.scaled_add(step, &column);
            for (row, &entry) in sigma.outer_iter_mut().zip(&column) {
                add_scaled_row(row, -factor * entry, &column);
            }
        }
        let now = marginals(correlation, &precision, &shift)?;
        change = now.log_z - last;
        if converged(change, now.log_z) {
            return Ok(FixedPoint {
                log_z: now.log_z,
                precision,
                shift,
                mean: now.mean,
                variance: now.variance,
                iterations: sweep,
                change,
                damping: 1.0,
                handed_over: false,
            });
        }
        last = now.log_z;
        // Afresh, so that the rounding of the rank-one updates does not pile up.
        let root: Vec<f64> = precision.iter().map(|tau: &f64| tau.sqrt()).collect();
        let cholesky = factorise("ep", correlation, &root)?;
        let mut scaled = correlation.to_owned();
        for (mut row, &root) in scaled.outer_iter_mut().zip(&root) {
            row *= root;
        }
        let half = cholesky.forward_matrix(scaled);
        sigma = &correlation - &crate::numeric::linalg::par_gram(half.t());
        mean = par_apply(sigma.view(), &Array1::from_vec(shift.clone()));
    }
    Err(PriorError::NotConverged { method: "ep_sequential", iterations: MAX_ITERATIONS, change })
}

fn add_scaled_row(mut row: ArrayViewMut1<f64>, scale: f64, column: &Array1<f64>) {
    let row = row.as_slice_mut().expect("rows are contiguous");
    add_scaled(row, scale, column.as_slice().expect("owned"));
}
