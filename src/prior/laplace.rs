//! Laplace's approximation of the evidence (Williams and Barber 1998; Rasmussen and Williams 2006, section 3.4).
//!
//! With `z_i = y_i g_i` the posterior's logarithm `psi = sum_i log p(z_i) - g^T K^-1 g / 2` is concave; its mode is
//! found by Newton's method on `g = K a`, which needs no inverse of `K`, so singular matrices are no matter. Then
//! `log P = psi(mode) - log det(I + W^(1/2) K W^(1/2)) / 2` with `W = -d^2 log p / dz^2`. A step has no curvature to
//! expand in, so the method offers the smooth links alone: probit, `p(z) = Phi(z)`, and logistic,
//! `p(z) = 1 / (1 + exp(-z))`.

use crate::description::{Description, references};
use crate::numeric::linalg::par_apply;
use crate::numeric::normal::{log_ndtr, positive_part_moments};
use crate::numeric::{Estimate, Info};
use crate::prior::problem::{check_label_count, check_link};
use crate::prior::sites::factorise;
use crate::prior::tolerance::LAPLACE_MODE;
use crate::prior::{Exactness, Gram, Labels, Link, LogProb, LogProbMethod, PriorError, PriorOptions};
use ndarray::{Array1, Array2};

/// Laplace's approximation.
#[derive(Debug, Clone, Copy)]
pub struct Laplace;

/// Newton steps after which the method gives up.
const MAX_ITERATIONS: usize = 200;

impl LogProbMethod for Laplace {
    fn id(&self) -> &'static str {
        "laplace"
    }

    fn summary(&self) -> &'static str {
        "Laplace's approximation around the posterior's mode (probit and logistic links)"
    }

    fn source(&self) -> &'static str {
        "Williams, Barber 1998; Rasmussen, Williams 2006"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "log P = psi(g*) - (1/2) log det(I + W^(1/2) K W^(1/2)), psi(g) = sum_i log p(y_i | g_i) - g^T K^-1 g / 2, g* its maximum, W = -d^2 log p / dg^2",
            notes: "A step has no curvature to expand in, so there is no step link. p(y | g) is Phi(y g) (probit) or 1 / (1 + exp(-y g)) (logistic).",
            unit: "nats",
            use_for: "comparison with logistic GP classifiers",
            not_for: "the true value",
            cost: "n^3 per Newton step",
            options: &["link"],
            refuses: "the step link; no maximum within 200 steps",
            sources: &[references::WILLIAMS_1998, references::RASMUSSEN_2006],
        })
    }

    fn links(&self) -> &'static [Link] {
        &[Link::Probit, Link::Logistic]
    }

    fn exactness(&self) -> Exactness {
        Exactness::Approximate
    }

    fn log_prob(&self, gram: &Gram, labels: &Labels, options: &PriorOptions) -> Result<LogProb, PriorError> {
        check_link(self.id(), self.links(), options.link)?;
        check_label_count(gram, labels)?;
        let signs = labels.signs();
        // Labels folded in: z ~ N(0, Y K Y), every label +1.
        let matrix = Array2::from_shape_fn(gram.matrix().dim(), |(i, j)| {
            gram.matrix()[[i, j]] * f64::from(signs[i]) * f64::from(signs[j])
        });
        let likelihood = if options.link == Link::Logistic { logistic } else { probit };
        let mode = find_mode(&matrix, likelihood)?;
        let info = Info::new()
            .with("points", signs.len())
            .with("iterations", mode.iterations)
            .with("last_step", mode.last_step)
            .with("converged", true);
        Ok(LogProb { estimate: Estimate::deterministic(mode.log_evidence, info), upper_bound: None })
    }
}

/// `log p(z)`, its first derivative and minus its second.
type Likelihood = fn(f64) -> (f64, f64, f64);

fn probit(z: f64) -> (f64, f64, f64) {
    let (mean, _) = positive_part_moments(z);
    let hazard = crate::numeric::normal::hazard(z);
    (log_ndtr(z), hazard, hazard * mean)
}

fn logistic(z: f64) -> (f64, f64, f64) {
    let tail = (-z.abs()).exp();
    let (certain, doubtful) = (1.0 / (1.0 + tail), tail / (1.0 + tail));
    let log = z.min(0.0) - tail.ln_1p();
    (log, if z > 0.0 { doubtful } else { certain }, certain * doubtful)
}

struct Mode {
    log_evidence: f64,
    iterations: usize,
    last_step: f64,
}

fn find_mode(matrix: &Array2<f64>, likelihood: Likelihood) -> Result<Mode, PriorError> {
    let n = matrix.nrows();
    let objective = |a: &Array1<f64>, z: &Array1<f64>| z.iter().map(|&z| likelihood(z).0).sum::<f64>() - 0.5 * a.dot(z);
    let (mut a, mut z) = (Array1::<f64>::zeros(n), Array1::<f64>::zeros(n));
    let mut value = objective(&a, &z);
    let mut last_step = f64::INFINITY;
    for iteration in 1..=MAX_ITERATIONS {
        let root = z.mapv(|z| likelihood(z).2.sqrt());
        let cholesky = factorise("laplace", matrix.view(), root.as_slice().expect("owned"))?;
        // Newton's next a = b - W^(1/2) B^-1 W^(1/2) K b, b = W z + gradient.
        let b = Array1::from_shape_fn(n, |i| root[i] * root[i] * z[i] + likelihood(z[i]).1);
        let target = &b - &root * &cholesky.solve((&root * &par_apply(matrix.view(), &b)).view());
        let (step_a, step_z) = (&target - &a, par_apply(matrix.view(), &target) - &z);
        last_step = step_z.iter().fold(0.0, |largest: f64, step| largest.max(step.abs()));
        let scale = z.iter().fold(1.0, |largest: f64, z| largest.max(z.abs()));
        if last_step <= LAPLACE_MODE * scale {
            let log_evidence = value - 0.5 * cholesky.log_det();
            return Ok(Mode { log_evidence, iterations: iteration, last_step });
        }
        let mut length = 1.0;
        loop {
            let (next_a, next_z) = (&a + &(&step_a * length), &z + &(&step_z * length));
            let next = objective(&next_a, &next_z);
            // Near the mode psi moves by less than its rounding: there Newton's full step is right.
            if next >= value || last_step <= 1e-4 * scale {
                (a, z, value) = (next_a, next_z, next);
                break;
            }
            length *= 0.5;
            if length < 1e-12 {
                return Err(PriorError::NotConverged { method: "laplace", iterations: iteration, change: last_step });
            }
        }
    }
    Err(PriorError::NotConverged { method: "laplace", iterations: MAX_ITERATIONS, change: last_step })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn log_prob(matrix: Array2<f64>, signs: &[bool], link: Link) -> f64 {
        let options = PriorOptions { link, ..PriorOptions::default() };
        let labels = Labels::from_signs(signs.iter().copied());
        Laplace.log_prob(&Gram::new(matrix).unwrap(), &labels, &options).unwrap().estimate.value
    }

    /// The definition by other means for one point: the mode by bisection of `psi'`, derivatives by differences.
    fn one_point(variance: f64, log_p: impl Fn(f64) -> f64) -> f64 {
        let step = 1e-4;
        let slope = |z: f64| (log_p(z + step) - log_p(z - step)) / (2.0 * step) - z / variance;
        let (mut low, mut high) = (0.0, 50.0);
        for _ in 0..200 {
            let middle = 0.5 * (low + high);
            if slope(middle) > 0.0 { low = middle } else { high = middle }
        }
        let z = 0.5 * (low + high);
        let curvature = -(log_p(z + step) - 2.0 * log_p(z) + log_p(z - step)) / (step * step);
        log_p(z) - 0.5 * z * z / variance - 0.5 * (1.0 + variance * curvature).ln()
    }

    #[test]
    fn one_point_by_bisection_and_differences() {
        // Second differences with step 1e-4 are good to about 1e-7.
        for variance in [0.1, 1.0, 30.0] {
            let logistic = one_point(variance, |z| -(-z).exp().ln_1p());
            let probit = one_point(variance, log_ndtr);
            for sign in [true, false] {
                assert!((log_prob(array![[variance]], &[sign], Link::Logistic) - logistic).abs() < 1e-6);
                assert!((log_prob(array![[variance]], &[sign], Link::Probit) - probit).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn singular_and_large_matrices_are_no_matter() {
        // A point written twice: the same as one point whose likelihood is squared.
        let twice = log_prob(array![[2.0, 2.0], [2.0, 2.0]], &[true, true], Link::Logistic);
        let squared = one_point(2.0, |z| -2.0 * (-z).exp().ln_1p());
        assert!((twice - squared).abs() < 1e-6, "{twice} {squared}");
        assert!(log_prob(array![[1e8, -3e7], [-3e7, 1e8]], &[true, false], Link::Probit).is_finite());
        // No variance: every label is a fair coin.
        assert!((log_prob(array![[0.0]], &[true], Link::Logistic) + 2.0_f64.ln()).abs() < 1e-15);
    }
}
