//! Gaussian-process regression on the labels, then the step probability of each label under its posterior.
//!
//! The labels are regressed on as if they were values: squared error with target `t` and noise variance `s^2`, one
//! solve, no iteration. The evidence of the regression is then corrected, point by point, for having asked for a value
//! where only a sign was given:
//!
//! `log P = log N(t 1; 0, R + s^2 I) + sum_i [log Phi(m_i / v_i^(1/2)) - log N(t; m_i, v_i + s^2)]`,
//!
//! with `m_i`, `v_i` the posterior's mean and variance of `h_i` from all labels but its own (leave-one-out, Rasmussen
//! and Williams 2006 section 5.4.2). `t = (pi/2)^(1/2)` and `s^2 = pi/2 - 1` are the values for which the posterior of a
//! point by itself has the mean and variance of a standard normal known to be positive; so the number is exact for
//! independent points, and it is expectation propagation stopped before its first update from the data of others. On
//! correlated points it is far from the truth (tens of nats at a few hundred points): what regression says of
//! classification, not a way to compute it.

use crate::description::{Description, references};
use crate::numeric::Estimate;
use crate::prior::problem::{Reduced, check_link, reduce};
use crate::prior::{Exactness, Gram, Labels, Link, LogProb, LogProbMethod, PriorError, PriorOptions, ep};
use std::f64::consts::FRAC_PI_2;

/// Squared-error regression.
#[derive(Debug, Clone, Copy)]
pub struct Regression;

impl LogProbMethod for Regression {
    fn id(&self) -> &'static str {
        "regression"
    }

    fn summary(&self) -> &'static str {
        "squared-error regression on the labels, then their step probability under its leave-one-out posterior"
    }

    fn source(&self) -> &'static str {
        "Rasmussen, Williams 2006 (section 5.4.2)"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "log P = log N(t 1; 0, R + s^2 I) + sum_i [log Phi(m_i / v_i^(1/2)) - log N(t; m_i, v_i + s^2)], t^2 = pi / 2, s^2 = pi / 2 - 1",
            notes: "m_i and v_i are mean and variance of h_i given all labels but its own, regressed on as values t with noise s^2. Exact for independent points; tens of nats off at a few hundred correlated ones.",
            unit: "nats",
            use_for: "comparison with the regression literature",
            not_for: "the true value",
            cost: "n^3 once",
            options: &["link"],
            refuses: "I + R / s^2 without a Cholesky factor; the logistic link",
            sources: &[references::RASMUSSEN_2006],
        })
    }

    fn links(&self) -> &'static [Link] {
        &[Link::Step, Link::Probit]
    }

    fn exactness(&self) -> Exactness {
        Exactness::Approximate
    }

    fn log_prob(&self, gram: &Gram, labels: &Labels, options: &PriorOptions) -> Result<LogProb, PriorError> {
        check_link(self.id(), self.links(), options.link)?;
        let orthant = match reduce(gram, labels, options.link)? {
            Reduced::Decided(answer) => return Ok(answer),
            Reduced::Open(orthant) => orthant,
        };
        let (noise_variance, target) = (FRAC_PI_2 - 1.0, FRAC_PI_2.sqrt());
        let n = orthant.point_count();
        let value =
            ep::log_z(orthant.correlation(), &vec![1.0 / noise_variance; n], &vec![target / noise_variance; n])?;
        let info = orthant.info().with("noise_variance", noise_variance).with("target", target);
        Ok(LogProb { estimate: Estimate::deterministic(value, info), upper_bound: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::normal::log_ndtr;
    use crate::prior::tolerance::EP_CONVERGENCE;
    use faer::prelude::Solve;
    use ndarray::Array2;

    fn log_normal(x: f64, mean: f64, variance: f64) -> f64 {
        -0.5 * ((x - mean).powi(2) / variance + (std::f64::consts::TAU * variance).ln())
    }

    /// Mean and variance of `h_point` given noisy values `target` at `others`, by a dense solve.
    fn posterior(r: &Array2<f64>, point: usize, others: &[usize], noise: f64, target: f64) -> (f64, f64) {
        let n = others.len();
        let system = faer::Mat::from_fn(n, n, |i, j| r[[others[i], others[j]]] + if i == j { noise } else { 0.0 });
        let cross = faer::Mat::from_fn(n, 1, |i, _| r[[point, others[i]]]);
        let weights = system.partial_piv_lu().solve(&cross);
        let mean = (0..n).map(|i| weights[(i, 0)] * target).sum();
        (mean, r[[point, point]] - (0..n).map(|i| weights[(i, 0)] * cross[(i, 0)]).sum::<f64>())
    }

    /// The formula at the head of this file, every posterior from a system of its own, the evidence by the chain rule.
    fn definition(r: &Array2<f64>) -> f64 {
        let (noise, target) = (FRAC_PI_2 - 1.0, FRAC_PI_2.sqrt());
        let mut total = 0.0;
        for i in 0..r.nrows() {
            let (mean, variance) = posterior(r, i, &(0..i).collect::<Vec<_>>(), noise, target);
            total += log_normal(target, mean, variance + noise);
            let others: Vec<usize> = (0..r.nrows()).filter(|&j| j != i).collect();
            let (mean, variance) = posterior(r, i, &others, noise, target);
            total += log_ndtr(mean / variance.sqrt()) - log_normal(target, mean, variance + noise);
        }
        total
    }

    fn ask(matrix: Array2<f64>, signs: &[bool]) -> f64 {
        let labels = Labels::from_signs(signs.iter().copied());
        let answer = Regression.log_prob(&Gram::new(matrix).unwrap(), &labels, &PriorOptions::default()).unwrap();
        answer.estimate.value
    }

    #[test]
    fn it_is_its_definition() {
        for n in [2, 5, 40] {
            let matrix = Array2::from_shape_fn((n, n), |(i, j)| (-0.2 * (i as f64 - j as f64).abs()).exp());
            let signs: Vec<bool> = (0..n).map(|i| i % 3 != 1).collect();
            let sign = |i: usize| if signs[i] { 1.0 } else { -1.0 };
            let folded = Array2::from_shape_fn((n, n), |(i, j)| matrix[[i, j]] * sign(i) * sign(j));
            let expected = definition(&folded);
            let value = ask(matrix, &signs);
            assert!((value - expected).abs() <= EP_CONVERGENCE * expected.abs(), "n = {n}: {value} and {expected}");
        }
    }

    #[test]
    fn it_is_exact_for_independent_points() {
        let value = ask(Array2::eye(7) * 3.0, &[true, false, true, true, false, false, true]);
        assert!((value + 7.0 * std::f64::consts::LN_2).abs() <= EP_CONVERGENCE, "{value}");
    }
}
