//! What a check found: a comparison, or the words in place of one.

use crate::gate::cause::Cause;
use crate::gate::score::Score;
use crate::gate::tolerance::{GATE_Z, LEAST_POWER, POWER_Z, SUSPICIOUS_Z};
use serde::Serialize;

/// Pass, fail or skip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The law held.
    Pass,
    /// It did not.
    Fail,
    /// It was not tried, for the reason given.
    Skip,
}

/// What one check measured, and what the law demands.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    /// Pass, fail or skip.
    pub verdict: Verdict,
    /// The number measured.
    pub measured: Option<f64>,
    /// The number the law demands.
    pub expected: Option<f64>,
    /// The largest difference allowed.
    pub tolerance: Option<f64>,
    /// Why it failed or was skipped; empty for a pass that needs no words.
    pub reason: String,
    /// Of what kind that is; `None` of a pass.
    pub cause: Option<Cause>,
    /// How near it came to a certified value, where it was held to one.
    pub score: Option<Box<Score>>,
    /// The smallest bias of `measured` that would be caught, with probability 0.99 where errors are random.
    pub catches: Option<f64>,
    /// How many decisions rested on standard errors.
    pub decisions: u32,
    /// Differences in standard errors, of the two-sided ones among them.
    pub z_scores: Box<[f64]>,
    /// Share of what the law allows that was used: at most 1 of a pass, and the larger the worse.
    pub share: f64,
    /// The power of the factor by which layer 0 was scaled that the number is off by, where it is off by one.
    pub power_of_alpha: Option<i8>,
}

/// Why a comparison that agrees decides nothing.
const POWERLESS: &str =
    "the standard error is so large that an error of twice the value would pass, so nothing is decided";

/// `used / allowed`; of nothing used 0, whatever is allowed, and of NaN more than anything.
fn share(used: f64, allowed: f64) -> f64 {
    let share = if used == 0.0 { 0.0 } else { used / allowed };
    if share.is_nan() { f64::INFINITY } else { share }
}

impl Finding {
    /// Compares a measured number with the expected one: passes iff they differ by at most `tolerance`.
    /// Equal infinities agree; an infinite number agrees with no finite one, whatever the tolerance; NaN never does.
    pub fn compare(measured: f64, expected: f64, tolerance: f64) -> Self {
        let off = if measured == expected { 0.0 } else { (measured - expected).abs() };
        let agrees = off == 0.0 || (off.is_finite() && off <= tolerance);
        let reason =
            if agrees { String::new() } else { format!("measured {measured}, expected {expected}, off by {off:e}") };
        Self {
            verdict: if agrees { Verdict::Pass } else { Verdict::Fail },
            cause: (!agrees).then_some(if measured.is_nan() { Cause::Broken } else { Cause::Wrong }),
            measured: Some(measured),
            expected: Some(expected),
            tolerance: Some(tolerance),
            catches: Some(tolerance),
            share: if agrees { share(off, tolerance) } else { share(off, tolerance).max(1.0) },
            ..Self::fail(reason)
        }
    }

    /// Compares numbers whose difference has a standard error: passes iff they differ by at most `rounding` and
    /// `GATE_Z` standard errors; from `SUSPICIOUS_Z` of them on the runner asks again. Where that would let through an error of `LEAST_POWER` times the expected number, a
    /// number that agrees is not tried: a standard error that swallows the value is no way to pass.
    pub fn test(measured: f64, expected: f64, rounding: f64, std_error: f64) -> Self {
        Self::test_on_scale(measured, expected, rounding, std_error, expected.abs())
    }

    /// [`Finding::test`] of a number that may be 0: `scale` is the size of what it is made of.
    pub fn test_on_scale(measured: f64, expected: f64, rounding: f64, std_error: f64, scale: f64) -> Self {
        let finding = Self::compare(measured, expected, rounding + GATE_Z * std_error);
        if !(std_error > 0.0) {
            return finding;
        }
        // In units of the whole uncertainty: where rounding is the larger part, a standard error has nothing to answer for.
        let z = (measured - expected) / std_error.hypot(rounding);
        let finding = finding.resting_on(rounding + (SUSPICIOUS_Z + POWER_Z) * std_error, scale);
        let decided = finding.verdict != Verdict::Skip && z.is_finite();
        Self { z_scores: decided.then_some(z).into_iter().collect(), ..finding }
    }

    /// Passes iff `measured` is at most `bound`, but for `rounding` and `GATE_Z` standard errors; not tried where
    /// [`Finding::test`] would not be.
    pub fn test_at_most(measured: f64, bound: f64, rounding: f64, std_error: f64, what: &str) -> Self {
        let allowed = rounding + GATE_Z * std_error;
        let finding = Self::at_most(measured, bound + allowed, what);
        let over = share((measured - bound).max(0.0), allowed);
        let finding = Self { share: if finding.verdict == Verdict::Pass { over } else { over.max(1.0) }, ..finding };
        if std_error > 0.0 {
            finding.resting_on(rounding + (GATE_Z + POWER_Z) * std_error, bound.abs())
        } else {
            finding
        }
    }

    /// The same as a decision about a number of size `scale` that sees errors of `catches`.
    fn resting_on(self, catches: f64, scale: f64) -> Self {
        let finding = Self { catches: Some(catches), ..self };
        // Written so that NaN has no power.
        if finding.verdict == Verdict::Pass && !(catches <= LEAST_POWER * scale) {
            let (verdict, cause) = (Verdict::Skip, Some(Cause::Undecided));
            return Self { verdict, cause, reason: POWERLESS.to_owned(), ..finding };
        }
        Self { decisions: 1, ..finding }
    }

    /// Passes iff the two numbers differ by more than `tolerance`: the power checks.
    pub fn differ(measured: f64, other: f64, tolerance: f64, what: &str) -> Self {
        let differs = (measured - other).abs() > tolerance;
        Self {
            verdict: if differs { Verdict::Pass } else { Verdict::Fail },
            cause: (!differs).then_some(Cause::Wrong),
            measured: Some(measured),
            expected: Some(other),
            tolerance: Some(tolerance),
            share: if differs { share(tolerance, (measured - other).abs()) } else { f64::INFINITY },
            ..Self::fail(if differs { String::new() } else { format!("{what}: {measured} and {other} do not differ") })
        }
    }

    /// Passes iff `measured` is at most `bound`.
    pub fn at_most(measured: f64, bound: f64, what: &str) -> Self {
        let holds = measured <= bound;
        Self {
            verdict: if holds { Verdict::Pass } else { Verdict::Fail },
            cause: (!holds).then_some(Cause::Wrong),
            measured: Some(measured),
            expected: Some(bound),
            tolerance: Some(0.0),
            share: if holds { share(measured.max(0.0), bound) } else { share(measured, bound.max(0.0)).max(1.0) },
            ..Self::fail(if holds { String::new() } else { format!("{what}: {measured} is above {bound}") })
        }
    }

    /// A failure that is no comparison: an error, a panic, a wrong shape, something that is no number.
    pub fn fail(reason: impl Into<String>) -> Self {
        Self::without_numbers(Verdict::Fail, Cause::Broken, reason.into())
    }

    /// A law that is broken in words.
    pub fn wrong(reason: impl Into<String>) -> Self {
        Self::without_numbers(Verdict::Fail, Cause::Wrong, reason.into())
    }

    /// Not tried, since the law says nothing of the case, and why.
    pub fn skip(reason: impl Into<String>) -> Self {
        Self::without_numbers(Verdict::Skip, Cause::NotApplicable, reason.into())
    }

    /// Not tried, since the estimator does not cover the case, in its own words.
    pub fn unsupported(reason: impl Into<String>) -> Self {
        Self::without_numbers(Verdict::Skip, Cause::Unsupported, reason.into())
    }

    /// Not decided, since standard errors hide a movement of less than `least` of a number.
    pub fn hidden(number: f64, least: f64, reason: impl Into<String>) -> Self {
        let undecided = Self::without_numbers(Verdict::Skip, Cause::Undecided, reason.into());
        Self { expected: Some(number), catches: Some(least), ..undecided }
    }

    /// Whether nothing would be decided even with standard errors `shrunk` times smaller: only an error, or a movement, of
    /// more than a hundred times the number would be seen.
    pub(super) fn is_hopeless(&self, shrunk: f64) -> bool {
        match (self.catches, self.expected) {
            // Written so that NaN is hopeless.
            (Some(catches), Some(expected)) => !(catches / shrunk <= 100.0 * expected.abs()),
            _ => false,
        }
    }

    /// Not owed by this estimator on any case, and why.
    pub fn not_owed(reason: impl Into<String>) -> Self {
        Self::without_numbers(Verdict::Skip, Cause::NotOwed, reason.into())
    }

    /// A law of which no case was decided.
    pub(super) fn nothing_verified(reason: String) -> Self {
        Self::without_numbers(Verdict::Fail, Cause::NothingVerified, reason)
    }

    fn without_numbers(verdict: Verdict, cause: Cause, reason: String) -> Self {
        Self {
            verdict,
            cause: Some(cause),
            measured: None,
            expected: None,
            tolerance: None,
            reason,
            score: None,
            catches: None,
            decisions: 0,
            z_scores: Box::default(),
            // An error or a panic is as bad as can be.
            share: if verdict == Verdict::Fail { f64::INFINITY } else { 0.0 },
            power_of_alpha: None,
        }
    }

    /// The same after layer 0 was scaled by `alpha`: a number that is off by a power of it says so.
    pub(super) fn scaled_by(self, alpha: f64) -> Self {
        let (Some(measured), Some(expected)) = (self.measured, self.expected) else { return self };
        let power = (measured / expected).ln() / alpha.ln();
        // Eight layers below, and near enough that no other number is meant.
        let is_power = power.round() != 0.0 && power.abs() < 8.5 && (power - power.round()).abs() < 0.01;
        let power = (self.verdict == Verdict::Fail && is_power).then(|| power.round() as i8);
        Self { power_of_alpha: power, ..self }
    }

    /// The same for answers that vouch for an accuracy only, of a number of size `scale`: a declaration so loose that an answer
    /// of 0 would pass decides nothing.
    pub(super) fn vouched(self, error_bound: f64, scale: f64) -> Self {
        // Written so that NaN decides nothing.
        if self.verdict != Verdict::Pass || error_bound == 0.0 || error_bound < scale {
            return self;
        }
        let reason =
            format!("the declared accuracy of {error_bound:.2e} would let 0 pass for a number of size {scale:.2e}");
        Self { verdict: Verdict::Skip, cause: Some(Cause::Undecided), reason, ..self }
    }

    /// The same comparison as a law that is broken after all.
    pub(super) fn broken(self, reason: String) -> Self {
        Self { verdict: Verdict::Fail, cause: Some(Cause::Wrong), reason, ..self }
    }

    /// The same with a score.
    pub fn scored(mut self, score: Option<Score>) -> Self {
        self.score = score.map(Box::new);
        self
    }

    /// Keeps the worst of several findings: any failure is worse than all passes, and of two of a kind the one that used
    /// more of what is allowed is, or else the first. What was not tried counts only where nothing was: it is better than a
    /// pass. The score, the decisions and their z-scores are those of all.
    pub fn worst(findings: impl IntoIterator<Item = Self>) -> Self {
        let rank = |finding: &Self| match finding.verdict {
            Verdict::Fail => 2,
            Verdict::Pass => 1,
            Verdict::Skip => 0,
        };
        let worst = findings.into_iter().reduce(|before, next| {
            let score = match (&before.score, &next.score) {
                (Some(a), Some(b)) => Some(Box::new(a.and(**b))),
                (a, b) => a.clone().or_else(|| b.clone()),
            };
            let decisions = before.decisions + next.decisions;
            let z_scores = [&before.z_scores[..], &next.z_scores[..]].concat().into();
            let is_worse = (rank(&next), next.share) > (rank(&before), before.share);
            Self { score, decisions, z_scores, ..if is_worse { next } else { before } }
        });
        worst.unwrap_or_else(|| Self::fail("nothing was compared"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_comparator_rejects_planted_errors() {
        let tolerance = 1e-9 * 8.31;
        assert_eq!(Finding::compare(8.31, 8.31, tolerance).verdict, Verdict::Pass);
        for wrong in [2.0 * 8.31, -8.31, 1.01 * 8.31, 8.31 + 1.1 * tolerance, f64::NAN, f64::INFINITY] {
            assert_eq!(Finding::compare(wrong, 8.31, tolerance).verdict, Verdict::Fail, "{wrong}");
        }
        let infinity = f64::NEG_INFINITY;
        assert_eq!(Finding::compare(infinity, infinity, tolerance).verdict, Verdict::Pass);
        for allowed in [tolerance, f64::INFINITY, f64::NAN] {
            for (a, b) in [(infinity, -3.0), (-3.0, infinity), (f64::INFINITY, 8.31), (infinity, f64::INFINITY)] {
                assert_eq!(Finding::compare(a, b, allowed).verdict, Verdict::Fail, "{a} for {b}, {allowed}");
            }
        }
        assert_eq!(Finding::differ(1.0, 1.0 + 1e-12, 1e-9, "x").verdict, Verdict::Fail);
        assert_eq!(Finding::differ(f64::NAN, 1.0, 1e-9, "x").verdict, Verdict::Fail);
        assert_eq!(Finding::at_most(f64::NAN, 1.0, "x").verdict, Verdict::Fail);
    }

    #[test]
    fn a_standard_error_that_swallows_the_value_decides_nothing() {
        let (expected, rounding) = (8.31, 1e-9);
        // The largest standard error with which an error of that size is caught with probability 0.99.
        let most = (LEAST_POWER * expected - rounding) / (SUSPICIOUS_Z + POWER_Z);
        let judged = |measured, std_error| Finding::test(measured, expected, rounding, std_error);
        for std_error in [0.0, 0.01, 0.999 * most] {
            assert_eq!(judged(expected, std_error).verdict, Verdict::Pass, "{std_error}");
            let wrong = (2.0 + LEAST_POWER) * expected + 2.0 * GATE_Z * std_error;
            assert_eq!(judged(wrong, std_error).verdict, Verdict::Fail, "{std_error}");
            assert_eq!(judged(expected, std_error).decisions, u32::from(std_error > 0.0));
        }
        for std_error in [1.001 * most, 1e9, 1e300, f64::MAX, f64::INFINITY] {
            for measured in [0.0, 1.0, expected] {
                let finding = judged(measured, std_error);
                assert_eq!((finding.verdict, finding.decisions), (Verdict::Skip, 0), "{measured} +- {std_error}");
                let bound = Finding::test_at_most(measured, expected, rounding, std_error, "x");
                assert_eq!(bound.verdict, Verdict::Skip, "{measured} +- {std_error}");
            }
            assert_eq!(judged(f64::NEG_INFINITY, std_error).verdict, Verdict::Fail);
        }
        // What is off by more than the tolerance fails however large the tolerance is; NaN is no standard error.
        assert_eq!(judged(1e12, 1e9).verdict, Verdict::Fail);
        assert_eq!(judged(expected + 1.0, f64::NAN).verdict, Verdict::Fail);
        // A number that is 0 by cancellation is held to the size of what it is made of.
        assert_eq!(Finding::test(0.0, 0.0, rounding, 0.01).verdict, Verdict::Skip);
        assert_eq!(Finding::test_on_scale(0.0, 0.0, rounding, 0.01, 1.0).verdict, Verdict::Pass);
    }

    #[test]
    fn a_number_that_is_off_by_a_power_of_alpha_says_which() {
        let power = |measured: f64, alpha| Finding::compare(measured, 3.0, 1e-9).scaled_by(alpha).power_of_alpha;
        assert_eq!(power(3.0 * 5.9_f64.powi(-2), 5.9), Some(-2));
        assert_eq!(power(3.0 * 0.5, 0.5), Some(1));
        for (measured, alpha) in [(3.0, 5.9), (3.03, 5.9), (9.0, 5.9), (-17.7, 5.9), (f64::NAN, 5.9), (6.0, 1.0)] {
            assert_eq!(power(measured, alpha), None, "{measured} {alpha}");
        }
    }

    #[test]
    fn what_no_average_could_decide_is_hopeless() {
        // Standard errors sixteen times smaller decide about the second, and about no number the third.
        for (std_error, hopeless) in [(1.0, false), (200.0, false), (1e9, true), (1e300, true)] {
            let finding = Finding::test(8.0, 1.0, 0.0, std_error);
            assert_eq!(finding.is_hopeless(16.0), hopeless, "{std_error}");
            assert_eq!(Finding::hidden(1.0, 6.6 * std_error, "x").is_hopeless(16.0), hopeless, "{std_error}");
        }
        assert!(!Finding::skip("x").is_hopeless(16.0));
        assert!(Finding::hidden(0.0, 1.0, "x").is_hopeless(16.0));
        assert!(Finding::hidden(1.0, f64::NAN, "x").is_hopeless(16.0));
    }

    #[test]
    fn the_worst_finding_is_the_one_that_used_most_of_what_is_allowed() {
        let pass = |off: f64| Finding::compare(1.0 + off, 1.0, 1.0);
        let measured = |findings: Vec<Finding>| Finding::worst(findings).measured;
        assert_eq!(measured(vec![pass(0.25), pass(0.75), pass(0.5)]), Some(1.75));
        assert_eq!(measured(vec![pass(0.25), pass(2.0), pass(8.0), pass(4.0)]), Some(9.0));
        assert_eq!(measured(vec![pass(0.0), Finding::skip("x")]), Some(1.0), "a pass is worse than a skip");
        assert_eq!(Finding::worst([Finding::skip("x"), Finding::skip("y")]).reason, "x");
        let verdict = |findings: [Finding; 3]| Finding::worst(findings).verdict;
        for place in 0..3 {
            let mut three = [pass(0.0), Finding::skip("x"), pass(0.9)];
            three[place] = pass(1.1);
            assert_eq!(verdict(three.clone()), Verdict::Fail, "a failure at {place}");
            three[place] = Finding::fail("panicked");
            assert_eq!(Finding::worst([pass(1e9)].into_iter().chain(three)).reason, "panicked");
        }
        // Relative to what is allowed, not in size; and a bound and a difference use it up as well.
        assert_eq!(measured(vec![Finding::compare(1.0, 0.0, 10.0), Finding::compare(0.3, 0.0, 0.4)]), Some(0.3));
        assert_eq!(measured(vec![Finding::at_most(0.2, 1.0, ""), Finding::at_most(0.9, 1.0, "")]), Some(0.9));
        assert_eq!(measured(vec![Finding::differ(1.0, 9.0, 1.0, ""), Finding::differ(2.0, 4.0, 1.0, "")]), Some(2.0));
        assert_eq!(Finding::worst([]).verdict, Verdict::Fail);
        // Nothing is lost on the way, failures first or last.
        let all = [pass(5.0), Finding::test(1.0, 1.5, 0.0, 0.1), Finding::test(1.0, 1.0, 0.0, 0.1), pass(3.0)];
        let worst = Finding::worst(all);
        assert_eq!((worst.measured, worst.decisions, worst.z_scores.len()), (Some(6.0), 2, 2));
    }
}
