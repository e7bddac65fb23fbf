//! All scores of an estimator: how near it comes to certified values, and how fast.

use crate::gate::outcome::Outcome;
use crate::gate::score::Score;
use crate::numeric::serialize_optional_real;
use serde::Serialize;

/// All scores of one estimator.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EstimatorScore {
    /// The estimator.
    pub estimator: String,
    /// Certified values it was held to.
    pub values: usize,
    /// Fewest digits of any of them.
    pub fewest_digits: f64,
    /// Median of the digits (the lower of two).
    pub median_digits: f64,
    /// The `z` that is farthest from 0.
    #[serde(serialize_with = "serialize_optional_real")]
    pub largest_z: Option<f64>,
    /// The largest distance of an approximate method from certified truths, in nats.
    #[serde(serialize_with = "serialize_optional_real")]
    pub from_truth: Option<f64>,
    /// Time of the built-in estimator on these cases over that of this one: above 1 it is faster. Other checks run
    /// beside both, and for a command the protocol counts: a rough figure.
    pub relative_speed: Option<f64>,
}

/// The scores of every estimator that was held to certified values, in the order of the outcomes.
pub(super) fn scores(outcomes: &[Outcome]) -> Vec<EstimatorScore> {
    let mut estimators: Vec<&str> = Vec::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.score.is_some()) {
        if !estimators.contains(&outcome.estimator.as_str()) {
            estimators.push(&outcome.estimator);
        }
    }
    let score = |estimator: &str| {
        let of_it = outcomes.iter().filter(|outcome| outcome.estimator == estimator);
        let scores: Vec<Score> = of_it.filter_map(|outcome| outcome.score).collect();
        let mut digits: Vec<f64> = scores.iter().map(|score| score.digits).collect();
        digits.sort_by(f64::total_cmp);
        let worst = scores.iter().copied().reduce(Score::and).expect("it has a score");
        EstimatorScore {
            estimator: estimator.to_owned(),
            values: digits.len(),
            fewest_digits: digits[0],
            median_digits: digits[(digits.len() - 1) / 2],
            largest_z: worst.z,
            from_truth: worst.from_truth,
            relative_speed: worst.seconds.map(|[own, built_in]| built_in / own),
        }
    };
    estimators.into_iter().map(score).collect()
}
