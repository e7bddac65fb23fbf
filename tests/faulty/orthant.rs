//! Small honest estimators of orthant probabilities, into which the zoo plants its bugs.

use flatgauge::numeric::Streams;
use flatgauge::numeric::linalg::Cholesky;
use flatgauge::numeric::normal::{hazard, log_ndtr, quantile_of_log};
use flatgauge::prior::PriorError;
use ndarray::{Array2, ArrayView2};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

/// Most points the samplers take: above it their weights are too uneven for an honest standard error.
pub const MOST_POINTS: usize = 6;

/// The refusal of a problem that is too large.
pub fn too_large(points: usize) -> PriorError {
    PriorError::NotApplicable {
        method: "zoo",
        reason: format!("{points} points are too many for a sampler this plain"),
    }
}

/// The refusal of a singular problem.
pub fn too_singular() -> PriorError {
    PriorError::NotApplicable { method: "zoo", reason: "a matrix of lower rank has no factor for this".to_owned() }
}

/// What a sequential sampler does at one point: the log probability of the constraint and the standardised bound,
/// from the conditional mean and the conditional standard deviation.
pub type Conditional = fn(mean: f64, deviation: f64) -> (f64, f64);

/// The right [`Conditional`].
pub fn honest(mean: f64, deviation: f64) -> (f64, f64) {
    let z = mean / deviation;
    (log_ndtr(z), z)
}

/// Log weights of the sequential sampler (Genz 1992): one point after another is drawn under its constraint.
pub fn sequential(correlation: ArrayView2<f64>, seed: u64, draws: usize, at_point: Conditional) -> Vec<f64> {
    let factor = Cholesky::new(correlation.to_owned()).expect("reduced problems are definite");
    sequential_with(factor.lower(), seed, draws, at_point)
}

/// The same from a lower triangular factor; rows of zeros are left out.
pub fn sequential_with(l: ArrayView2<f64>, seed: u64, draws: usize, at_point: Conditional) -> Vec<f64> {
    let n = l.nrows();
    let mut generator = Streams::new(seed).stream("sequential", 0);
    let draw = |_| {
        let (mut normal, mut log_weight) = (vec![0.0; n], 0.0);
        for i in (0..n).filter(|&i| l[[i, i]] != 0.0) {
            let mean: f64 = (0..i).map(|j| l[[i, j]] * normal[j]).sum();
            let (log_probability, z) = at_point(mean, l[[i, i]]);
            log_weight += log_probability;
            let uniform = 1.0 - generator.random::<f64>();
            normal[i] = -quantile_of_log(uniform.ln() + log_ndtr(z));
        }
        log_weight
    };
    (0..draws).map(draw).collect()
}

/// The Cholesky factor, with a row of zeros for each point whose pivot is nothing but rounding.
pub fn skipping_factor(correlation: ArrayView2<f64>) -> Array2<f64> {
    let n = correlation.nrows();
    let mut l = Array2::<f64>::zeros((n, n));
    for i in 0..n {
        for j in 0..i {
            let known: f64 = (0..j).map(|k| l[[i, k]] * l[[j, k]]).sum();
            l[[i, j]] = if l[[j, j]] > 0.0 { (correlation[[i, j]] - known) / l[[j, j]] } else { 0.0 };
        }
        let left = correlation[[i, i]] - (0..i).map(|j| l[[i, j]].powi(2)).sum::<f64>();
        if left > 1e-12 {
            l[[i, i]] = left.sqrt();
        } else {
            l.row_mut(i).fill(0.0);
        }
    }
    l
}

/// Solid angle of three points' cone with the determinant as a difference of two nearly equal numbers.
pub fn difference_solid_angle(r12: f64, r13: f64, r23: f64) -> f64 {
    let [e1, e2, e3] = [r23, r13, r12].map(|r: f64| ((1.0 - r) * (1.0 + r)).sqrt());
    let (e12, e13, e23) = (r13 * r23 - r12, r12 * r23 - r13, r12 * r13 - r23);
    let determinant = ((e2 * e3 - e23) * (e2 * e3 + e23)).max(0.0);
    2.0 * determinant.atan2(e1 * e2 * e3 + e12 * e3 + e13 * e2 + e23 * e1)
}

/// Log of the mean of weights given by their logs, and its standard error.
pub fn log_mean(log_weights: &[f64]) -> (f64, Option<f64>) {
    let largest = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let n = log_weights.len() as f64;
    let weights: Vec<f64> = log_weights.iter().map(|log| (log - largest).exp()).collect();
    let mean = weights.iter().sum::<f64>() / n;
    let squares: f64 = weights.iter().map(|weight| (weight - mean).powi(2)).sum();
    (largest + mean.ln(), Some((squares / (n * (n - 1.0))).sqrt() / mean))
}

/// Shares of draws in the orthant, a chain each: chain `c` draws with `seed_of(c)` and keeps `memory` of its last
/// state in the next.
pub fn chains(
    correlation: ArrayView2<f64>,
    seed: u64,
    (count, length): (usize, usize),
    memory: f64,
    seed_of: fn(usize) -> u64,
) -> Vec<Vec<f64>> {
    let factor = Cholesky::new(correlation.to_owned()).expect("reduced problems are definite");
    let (l, n) = (factor.lower(), correlation.nrows());
    let fresh = (1.0 - memory * memory).sqrt();
    let chain = |chain: usize| {
        let mut generator = Streams::new(seed).stream("chain", seed_of(chain));
        let mut normal: Vec<f64> = (0..n).map(|_| StandardNormal.sample(&mut generator)).collect();
        let state = |_| {
            for value in &mut normal {
                let step: f64 = StandardNormal.sample(&mut generator);
                *value = memory * *value + fresh * step;
            }
            let inside = (0..n).all(|i| (0..=i).map(|j| l[[i, j]] * normal[j]).sum::<f64>() > 0.0);
            f64::from(u8::from(inside))
        };
        (0..length).map(state).collect()
    };
    (0..count).map(chain).collect()
}

/// Log Z of expectation propagation (Rasmussen and Williams 2006, section 3.6, with the step for likelihood) after
/// at most `sweeps` over all points.
pub fn expectation_propagation(correlation: ArrayView2<f64>, sweeps: usize, normalisers: bool) -> f64 {
    let n = correlation.nrows();
    let (mut tau, mut nu) = (vec![0.0; n], vec![0.0; n]);
    let (mut sigma, mut mu) = (correlation.to_owned(), vec![0.0; n]);
    let mut log_z = 0.0;
    for _ in 0..sweeps {
        for i in 0..n {
            let (cavity_tau, cavity_nu) = (1.0 / sigma[[i, i]] - tau[i], mu[i] / sigma[[i, i]] - nu[i]);
            let (mean, variance) = (cavity_nu / cavity_tau, 1.0 / cavity_tau);
            let z = mean / variance.sqrt();
            let slope = hazard(z);
            let matched_variance = variance * (1.0 - slope * (z + slope));
            let matched_mean = mean + variance.sqrt() * slope;
            let change = 1.0 / matched_variance - cavity_tau - tau[i];
            tau[i] += change;
            nu[i] = matched_mean / matched_variance - cavity_nu;
            let column = sigma.column(i).to_owned();
            let gain = change / (1.0 + change * column[i]);
            for (mut row, &left) in sigma.outer_iter_mut().zip(&column) {
                row.scaled_add(-gain * left, &column);
            }
            mu = sigma.outer_iter().map(|row| row.iter().zip(&nu).map(|(s, nu)| s * nu).sum()).collect();
        }
        let before = log_z;
        let root: Vec<f64> = tau.iter().map(|tau| tau.sqrt()).collect();
        let b = Array2::from_shape_fn((n, n), |(i, j)| {
            root[i] * correlation[[i, j]] * root[j] + if i == j { 1.0 } else { 0.0 }
        });
        let factor = Cholesky::new(b).expect("I plus a semi-definite matrix");
        // Fresh from the sites, so that rounding of the updates does not add up.
        let half = factor.forward_matrix(Array2::from_shape_fn((n, n), |(i, j)| root[i] * correlation[[i, j]]));
        sigma = &correlation - &half.t().dot(&half);
        mu = sigma.outer_iter().map(|row| row.iter().zip(&nu).map(|(s, nu)| s * nu).sum()).collect();
        log_z = -0.5 * factor.log_det();
        for i in 0..n {
            let (cavity_tau, cavity_nu) = (1.0 / sigma[[i, i]] - tau[i], mu[i] / sigma[[i, i]] - nu[i]);
            let mean = cavity_nu / cavity_tau;
            if normalisers {
                log_z += log_ndtr(mean * cavity_tau.sqrt()) + 0.5 * (tau[i] / cavity_tau).ln_1p();
            }
            log_z += 0.5 * (nu[i] * mu[i] - nu[i] * nu[i] / (cavity_tau + tau[i]));
            log_z += 0.5 * mean * cavity_tau / (tau[i] + cavity_tau) * (tau[i] * mean - 2.0 * nu[i]);
        }
        if (log_z - before).abs() < 1e-11 {
            break;
        }
    }
    log_z
}
