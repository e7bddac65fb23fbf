//! How near one answer comes to a certified value, and how fast.

use crate::numeric::{Estimate, serialize_optional_real};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Digits beyond which f64 has none.
const MOST_DIGITS: f64 = 15.0;

/// How near one answer came to a certified value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Score {
    /// Log relative error `-log10 |value - certified| / |certified|`, between 0 and 15 (NIST, Statistical Reference
    /// Datasets).
    pub digits: f64,
    /// The digits that the answer itself vouches for, where it declares an accuracy.
    pub declared_digits: Option<f64>,
    /// `(value - certified) / standard error`, of both together; `None` if neither has one.
    #[serde(serialize_with = "serialize_optional_real")]
    pub z: Option<f64>,
    /// Of an approximate method, where the true value is certified too: its answer minus the truth, in nats. It is
    /// shown and never judged.
    #[serde(serialize_with = "serialize_optional_real")]
    pub from_truth: Option<f64>,
    /// Seconds of the answer beside those of the built-in estimator, where it is not the built-in one itself.
    pub seconds: Option<[f64; 2]>,
}

impl Score {
    /// The score of a value without standard error; `None` for NaN.
    pub fn of(value: f64, certified: f64) -> Option<Self> {
        let none = Self { digits: 0.0, declared_digits: None, z: None, from_truth: None, seconds: None };
        digits(value, certified).map(|digits| Self { digits, ..none })
    }

    /// The score of an estimate of a value that is certified up to a standard error of its own.
    pub fn of_estimate(estimate: &Estimate, certified: f64, certified_error: f64) -> Option<Self> {
        let error = estimate.std_error.unwrap_or(0.0).hypot(certified_error);
        let z = (error > 0.0).then(|| (estimate.value - certified) / error);
        // A relative accuracy is that of the answer itself.
        let size = if estimate.value == 0.0 { certified.abs() } else { estimate.value.abs() };
        let share = estimate.error_bound / size;
        let declared_digits = (share > 0.0).then(|| (-share.log10()).clamp(0.0, MOST_DIGITS) + 0.0);
        Self::of(estimate.value, certified).map(|score| Self { z, declared_digits, ..score })
    }

    /// Of two scores on one case the fewer digits, found and declared, the larger `z` and the time of both.
    pub(super) fn and(self, other: Self) -> Self {
        let larger = |a: Option<f64>, b: Option<f64>| [a, b].into_iter().flatten().max_by(magnitude);
        let seconds = match (self.seconds, other.seconds) {
            (Some([a, b]), Some([c, d])) => Some([a + c, b + d]),
            (seconds, other) => seconds.or(other),
        };
        Self {
            digits: self.digits.min(other.digits),
            declared_digits: [self.declared_digits, other.declared_digits].into_iter().flatten().reduce(f64::min),
            z: larger(self.z, other.z),
            from_truth: larger(self.from_truth, other.from_truth),
            seconds,
        }
    }
}

fn magnitude(a: &f64, b: &f64) -> std::cmp::Ordering {
    a.abs().total_cmp(&b.abs())
}

/// Decimal digits in which two numbers agree, between 0 and 15; of an expected 0 those of the absolute error.
fn digits(measured: f64, expected: f64) -> Option<f64> {
    if measured == expected {
        return Some(MOST_DIGITS);
    }
    let error = if expected == 0.0 { measured.abs() } else { ((measured - expected) / expected).abs() };
    // A finite number off an infinite one has no digit right; and -0 digits are 0.
    let error = if expected.is_infinite() && !measured.is_nan() { f64::INFINITY } else { error };
    (!error.is_nan()).then(|| (-error.log10()).clamp(0.0, MOST_DIGITS) + 0.0)
}

/// Runs `work` and says how long it took.
pub(super) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::Info;

    #[test]
    fn digits_are_those_that_agree() {
        assert_eq!(digits(8.31, 8.31), Some(15.0));
        assert!((digits(1.01, 1.0).unwrap() - 2.0).abs() < 0.01);
        assert_eq!(digits(-1.0, 1.0), Some(0.0));
        assert_eq!(digits(f64::NEG_INFINITY, f64::NEG_INFINITY), Some(15.0));
        assert_eq!(digits(-3.0, f64::NEG_INFINITY), Some(0.0));
        assert_eq!(digits(1e-9, 0.0), Some(9.0));
        assert_eq!(digits(f64::NAN, 1.0), None);
    }

    #[test]
    fn z_counts_both_standard_errors_and_is_absent_without_any() {
        let estimate = Estimate::stochastic(2.0, 0.3, Info::new());
        assert!((Score::of_estimate(&estimate, 1.0, 0.4).unwrap().z.unwrap() - 2.0).abs() < 4.0 * f64::EPSILON);
        assert_eq!(Score::of_estimate(&Estimate::deterministic(2.0, Info::new()), 1.0, 0.0).unwrap().z, None);
    }

    #[test]
    fn a_declared_accuracy_is_so_many_digits() {
        let declared = |estimate: Estimate| Score::of_estimate(&estimate, -2.0, 0.0).unwrap().declared_digits;
        let estimate = Estimate::deterministic(-2.0, Info::new());
        assert_eq!(declared(estimate.clone()), None);
        assert!((declared(estimate.clone().within(0.002)).unwrap() - 3.0).abs() < 1e-9);
        assert_eq!(declared(estimate.within(20.0)), Some(0.0));
    }

    #[test]
    fn scores_add_up_to_the_worst_and_the_time_of_all() {
        let score = |digits, z, seconds| Score {
            declared_digits: Some(digits - 1.0),
            z: Some(z),
            seconds: Some(seconds),
            ..Score { digits, ..Score::of(1.0, 1.0).unwrap() }
        };
        let both = score(3.0, -2.0, [1.0, 2.0]).and(score(5.0, 1.5, [1.0, 4.0]));
        assert_eq!(both, score(3.0, -2.0, [2.0, 6.0]));
    }
}
