//! What follows from `log P(f)` for a training set `S`: the posterior of a function and the PAC-Bayes bound on its error.

use crate::numeric::{Estimate, Info, Streams};
use crate::prior::{Gram, Labels, LogProbMethod, PriorError, PriorOptions};
use ndarray::s;

/// `log P(S)`, the prior probability of the training labels alone, and `log P(f|S) = log P(f) - log P(S)`, the posterior
/// of a function that fits them without error; the first `training_points` points are the training set `S`.
///
/// `function` is `log P(f)` by the same method and options. Standard errors add in quadrature, the two runs having
/// seeds of their own. The true posterior is at most zero; an estimate may exceed it by noise, and is not clipped.
///
/// # Errors
/// As [`LogProbMethod::log_prob`]; [`PriorError::TrainingPoints`] unless `1 <= training_points <= n`;
/// [`PriorError::NotApplicable`] if the training labels are impossible themselves, so that nothing can be conditioned
/// on them.
pub fn posterior(
    method: &dyn LogProbMethod,
    gram: &Gram,
    labels: &Labels,
    function: &Estimate,
    training_points: usize,
    options: &PriorOptions,
) -> Result<(Estimate, Estimate), PriorError> {
    let n = gram.point_count();
    if !(1..=n).contains(&training_points) {
        return Err(PriorError::TrainingPoints { training_points, points: n });
    }
    let subset = Gram::new(gram.matrix().slice(s![..training_points, ..training_points]).to_owned())?;
    let subset_labels = Labels::from_signs(labels.signs()[..training_points].iter().map(|&sign| sign > 0));
    // Another seed: with the same one the two estimates would share a part of their noise, of which no sum of variances
    // knows.
    let seed = Streams::new(options.seed).child("training labels", 0).seed();
    let training = method.log_prob(&subset, &subset_labels, &PriorOptions { seed, ..options.clone() })?.estimate;
    if training.value == f64::NEG_INFINITY {
        return Err(PriorError::NotApplicable {
            method: method.id(),
            reason: "the training labels have probability zero, so there is no posterior".to_owned(),
        });
    }
    let value = function.value - training.value;
    let posterior = match (function.std_error, training.std_error) {
        (None, None) => Estimate::deterministic(value, Info::new()),
        (a, b) => Estimate::stochastic(value, a.unwrap_or(0.0).hypot(b.unwrap_or(0.0)), Info::new()),
    };
    Ok((training, posterior))
}

/// The PAC-Bayes bound (Valle-Perez, Camargo, Louis 2019): with probability `1 - delta` over training sets of `m`
/// points, the error of a function drawn from the posterior is at most `1 - exp(-(-log P(S) + log(2 m / delta)) / (m - 1))`.
///
/// `log_prob_training` is `log P(S)` in nats, at most zero; `-inf` gives the empty bound 1. `None` for one point or
/// none, of which the bound says nothing.
///
/// # Panics
/// Unless `0 < delta < 1`, or if `log_prob_training` is NaN.
pub fn pac_bayes_bound(log_prob_training: f64, training_points: usize, delta: f64) -> Option<f64> {
    assert!(delta > 0.0 && delta < 1.0, "delta is {delta}, expected a number between 0 and 1");
    assert!(!log_prob_training.is_nan(), "log P(S) is NaN");
    if training_points < 2 {
        return None;
    }
    let m = training_points as f64;
    let exponent = (-log_prob_training + (2.0 * m / delta).ln()) / (m - 1.0);
    Some(-(-exponent).exp_m1())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prior::exact::Exact;
    use ndarray::Array2;

    #[test]
    fn the_posterior_is_a_ratio_of_closed_forms() {
        // Correlation 1/2: n equal labels have probability 1 / (n + 1).
        let gram = Gram::new(Array2::from_shape_fn((9, 9), |(i, j)| if i == j { 2.0 } else { 1.0 })).unwrap();
        let labels = Labels::from_signs([false; 9]);
        let options = PriorOptions::default();
        let function = Exact.log_prob(&gram, &labels, &options).unwrap().estimate;
        let of = |train| posterior(&Exact, &gram, &labels, &function, train, &options);
        let (training, value) = of(4).unwrap();
        assert!((training.value + 5.0_f64.ln()).abs() < 1e-12 && (value.value - 0.5_f64.ln()).abs() < 1e-12);
        assert_eq!(of(9).unwrap().1.value, 0.0);
        for wrong in [0, 10] {
            assert_eq!(of(wrong).unwrap_err(), PriorError::TrainingPoints { training_points: wrong, points: 9 });
        }
    }

    #[test]
    fn the_bound_by_its_formula() {
        // m = 101, delta = 202 e^-10 and log P(S) = -40: exponent (40 + 10) / 100.
        let bound = pac_bayes_bound(-40.0, 101, 202.0 * (-10.0_f64).exp()).unwrap();
        assert!((bound - (1.0 - (-0.5_f64).exp())).abs() < 1e-14);
        assert_eq!(pac_bayes_bound(f64::NEG_INFINITY, 5, 0.1), Some(1.0));
        assert_eq!(pac_bayes_bound(-1.0, 1, 0.1), None);
    }
}
