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
    /// Certified values it was held to; of one that declares an accuracy values of the definition too.
    pub values: usize,
    /// Fewest digits of any of them.
    pub fewest_digits: f64,
    /// Median of the digits (the lower of two).
    pub median_digits: f64,
    /// Fewest digits that its answers vouch for, where they declare an accuracy.
    pub declared_digits: Option<f64>,
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

impl EstimatorScore {
    /// The grade of an estimator that declares an accuracy, in one sentence; `None` of one that claims full precision.
    pub fn grade(&self) -> Option<String> {
        // Rounded downwards, but for rounding: what holds to 2.96 digits does not hold to 3.
        let shown = |digits: f64| ((digits * 10.0 + 0.01).floor() / 10.0).to_string();
        let declared = self.declared_digits?;
        let only = if self.fewest_digits < declared { " only" } else { "" };
        let (name, digits) = (&self.estimator, shown(self.fewest_digits));
        Some(format!("{name} holds to {digits} digits{only} (declared {})", shown(declared)))
    }
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
            declared_digits: worst.declared_digits,
            largest_z: worst.z,
            from_truth: worst.from_truth,
            relative_speed: worst.seconds.map(|[own, built_in]| built_in / own),
        }
    };
    estimators.into_iter().map(score).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grades_are_digits_that_hold_beside_those_declared() {
        let score = |fewest_digits, declared_digits| EstimatorScore {
            estimator: "e".to_owned(),
            values: 1,
            fewest_digits,
            median_digits: fewest_digits,
            declared_digits,
            largest_z: None,
            from_truth: None,
            relative_speed: None,
        };
        assert_eq!(score(3.12, None).grade(), None);
        assert_eq!(score(3.12, Some(3.0)).grade().unwrap(), "e holds to 3.1 digits (declared 3)");
        assert_eq!(score(2.96, Some(3.0)).grade().unwrap(), "e holds to 2.9 digits only (declared 3)");
    }
}
