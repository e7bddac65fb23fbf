//! What a check found, and the report of a whole run.

use crate::numeric::serialize_optional_real;
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
}

impl Finding {
    /// Compares a measured number with the expected one: passes iff they differ by at most `tolerance`.
    /// Equal infinities agree; NaN never does.
    pub fn compare(measured: f64, expected: f64, tolerance: f64) -> Self {
        let agrees = measured == expected || (measured - expected).abs() <= tolerance;
        let reason = if agrees {
            String::new()
        } else {
            format!("measured {measured}, expected {expected}, off by {:e}", (measured - expected).abs())
        };
        Self {
            verdict: if agrees { Verdict::Pass } else { Verdict::Fail },
            measured: Some(measured),
            expected: Some(expected),
            tolerance: Some(tolerance),
            reason,
        }
    }

    /// Passes iff the two numbers differ by more than `tolerance`: the power checks.
    pub fn differ(measured: f64, other: f64, tolerance: f64, what: &str) -> Self {
        let differs = (measured - other).abs() > tolerance;
        Self {
            verdict: if differs { Verdict::Pass } else { Verdict::Fail },
            measured: Some(measured),
            expected: Some(other),
            tolerance: Some(tolerance),
            reason: if differs { String::new() } else { format!("{what}: {measured} and {other} do not differ") },
        }
    }

    /// Passes iff `measured` is at most `bound`.
    pub fn at_most(measured: f64, bound: f64, what: &str) -> Self {
        let holds = measured <= bound;
        Self {
            verdict: if holds { Verdict::Pass } else { Verdict::Fail },
            measured: Some(measured),
            expected: Some(bound),
            tolerance: Some(0.0),
            reason: if holds { String::new() } else { format!("{what}: {measured} is above {bound}") },
        }
    }

    /// A failure that is no comparison: an error, a wrong shape.
    pub fn fail(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, measured: None, expected: None, tolerance: None, reason: reason.into() }
    }

    /// Not tried, and why.
    pub fn skip(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Skip, measured: None, expected: None, tolerance: None, reason: reason.into() }
    }

    /// Keeps the worst of several findings: the first failure, else the last.
    pub fn worst(findings: impl IntoIterator<Item = Self>) -> Self {
        let mut last = Self::fail("nothing was compared");
        for finding in findings {
            last = finding;
            if last.verdict == Verdict::Fail {
                break;
            }
        }
        last
    }
}

/// One line of a report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Id of the law.
    pub law: String,
    /// What was held to it.
    pub estimator: String,
    /// On which case.
    pub case: String,
    /// Pass, fail or skip.
    pub verdict: Verdict,
    /// The number measured.
    #[serde(serialize_with = "serialize_optional_real")]
    pub measured: Option<f64>,
    /// The number the law demands.
    #[serde(serialize_with = "serialize_optional_real")]
    pub expected: Option<f64>,
    /// The largest difference allowed.
    #[serde(serialize_with = "serialize_optional_real")]
    pub tolerance: Option<f64>,
    /// Why it failed or was skipped.
    pub reason: String,
    /// One command line that runs this case alone.
    pub reproduce: String,
}

/// How many checks ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Laws that held.
    pub pass: usize,
    /// Laws that did not.
    pub fail: usize,
    /// Checks not tried.
    pub skip: usize,
}

impl Counts {
    /// Counts outcomes.
    pub fn of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Self {
        let mut counts = Self::default();
        for outcome in outcomes {
            counts.add(outcome.verdict);
        }
        counts
    }

    /// Counts one more.
    pub fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Pass => self.pass += 1,
            Verdict::Fail => self.fail += 1,
            Verdict::Skip => self.skip += 1,
        }
    }
}

/// Everything a run of the gate found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Pass iff something was verified and nothing failed.
    pub verdict: Verdict,
    /// All checks in the order of the law book.
    pub laws: Vec<Outcome>,
    /// How many ended how.
    pub counts: Counts,
    /// Seed of the run.
    pub seed: u64,
    /// Version of this crate.
    pub version: &'static str,
}

impl Report {
    /// Judges a list of outcomes. A law that no case answered is a failure of its own: an estimator that
    /// skips everything does not pass.
    pub fn new(mut laws: Vec<Outcome>, seed: u64) -> Self {
        let mut unanswered: Vec<(String, String)> = Vec::new();
        for outcome in &laws {
            let key = (outcome.law.clone(), outcome.estimator.clone());
            let answered = laws
                .iter()
                .any(|other| other.law == key.0 && other.estimator == key.1 && other.verdict != Verdict::Skip);
            if !answered && !unanswered.contains(&key) {
                unanswered.push(key);
            }
        }
        for (law, estimator) in unanswered {
            let reproduce = laws
                .iter()
                .find(|outcome| outcome.law == law && outcome.estimator == estimator)
                .map_or(String::new(), |outcome| outcome.reproduce.clone());
            laws.push(Outcome {
                law,
                estimator,
                case: "all".to_owned(),
                verdict: Verdict::Fail,
                measured: None,
                expected: None,
                tolerance: None,
                reason: "nothing verified: every case was skipped".to_owned(),
                reproduce,
            });
        }
        let counts = Counts::of(&laws);
        let verdict = if counts.fail == 0 && counts.pass > 0 { Verdict::Pass } else { Verdict::Fail };
        Self { verdict, laws, counts, seed, version: env!("CARGO_PKG_VERSION") }
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
        assert_eq!(Finding::compare(infinity, -3.0, tolerance).verdict, Verdict::Fail);
        assert_eq!(Finding::differ(1.0, 1.0 + 1e-12, 1e-9, "x").verdict, Verdict::Fail);
        assert_eq!(Finding::differ(f64::NAN, 1.0, 1e-9, "x").verdict, Verdict::Fail);
        assert_eq!(Finding::at_most(f64::NAN, 1.0, "x").verdict, Verdict::Fail);
    }

    fn outcome(law: &str, verdict: Verdict) -> Outcome {
        Outcome {
            law: law.to_owned(),
            estimator: "e".to_owned(),
            case: "c".to_owned(),
            verdict,
            measured: None,
            expected: None,
            tolerance: None,
            reason: String::new(),
            reproduce: String::new(),
        }
    }

    #[test]
    fn skipping_everything_does_not_pass() {
        assert_eq!(Report::new(vec![], 0).verdict, Verdict::Fail);
        let report = Report::new(vec![outcome("a", Verdict::Pass), outcome("b", Verdict::Skip)], 0);
        assert_eq!(report.verdict, Verdict::Fail);
        assert_eq!(report.counts, Counts { pass: 1, fail: 1, skip: 1 });
        let report = Report::new(vec![outcome("b", Verdict::Skip), outcome("b", Verdict::Pass)], 0);
        assert_eq!(report.verdict, Verdict::Pass);
    }
}
