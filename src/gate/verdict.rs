//! What a check found, and the report of a whole run.

use crate::gate::calibration::FalseAlarms;
use crate::gate::generated::Counterexample;
use crate::gate::score::{EstimatorScore, Score, scores};
use crate::numeric::serialize_optional_real;
use crate::numeric::tolerance::{GATE_Z, POWER_Z};
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
    /// How near it came to a certified value, where it was held to one.
    pub score: Option<Box<Score>>,
    /// The smallest bias of `measured` that would be caught, with probability 0.99 where errors are random.
    pub catches: Option<f64>,
    /// How many decisions rested on standard errors.
    pub decisions: u32,
    /// Differences in standard errors, of the two-sided ones among them.
    pub z_scores: Box<[f64]>,
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
            catches: Some(tolerance),
            ..Self::fail(reason)
        }
    }

    /// Compares numbers whose difference has a standard error: passes iff they differ by at most `rounding` and
    /// [`GATE_Z`] standard errors.
    pub fn test(measured: f64, expected: f64, rounding: f64, std_error: f64) -> Self {
        let finding = Self::compare(measured, expected, rounding + GATE_Z * std_error);
        if !(std_error > 0.0) {
            return finding;
        }
        let z = (measured - expected) / std_error;
        Self {
            catches: Some(rounding + (GATE_Z + POWER_Z) * std_error),
            decisions: 1,
            z_scores: Some(z).into_iter().filter(|z| z.is_finite()).collect(),
            ..finding
        }
    }

    /// The same, as a decision that rests on a standard error.
    pub fn decided_by_error(mut self, std_error: f64) -> Self {
        self.decisions += u32::from(std_error > 0.0);
        self
    }

    /// Passes iff the two numbers differ by more than `tolerance`: the power checks.
    pub fn differ(measured: f64, other: f64, tolerance: f64, what: &str) -> Self {
        let differs = (measured - other).abs() > tolerance;
        Self {
            verdict: if differs { Verdict::Pass } else { Verdict::Fail },
            measured: Some(measured),
            expected: Some(other),
            tolerance: Some(tolerance),
            ..Self::fail(if differs { String::new() } else { format!("{what}: {measured} and {other} do not differ") })
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
            ..Self::fail(if holds { String::new() } else { format!("{what}: {measured} is above {bound}") })
        }
    }

    /// A failure that is no comparison: an error, a wrong shape.
    pub fn fail(reason: impl Into<String>) -> Self {
        Self::without_numbers(Verdict::Fail, reason.into())
    }

    /// Not tried, and why.
    pub fn skip(reason: impl Into<String>) -> Self {
        Self::without_numbers(Verdict::Skip, reason.into())
    }

    fn without_numbers(verdict: Verdict, reason: String) -> Self {
        Self {
            verdict,
            measured: None,
            expected: None,
            tolerance: None,
            reason,
            score: None,
            catches: None,
            decisions: 0,
            z_scores: Box::default(),
        }
    }

    /// The same with a score.
    pub fn scored(mut self, score: Option<Score>) -> Self {
        self.score = score.map(Box::new);
        self
    }

    /// Keeps the worst of several findings: the first failure, else the last; of their scores the worst, and all
    /// decisions.
    pub fn worst(findings: impl IntoIterator<Item = Self>) -> Self {
        let mut last = Self::fail("nothing was compared");
        for mut finding in findings {
            finding.score = match (last.score, finding.score) {
                (Some(before), Some(score)) => Some(Box::new(before.and(*score))),
                (before, score) => score.or(before),
            };
            finding.decisions += last.decisions;
            finding.z_scores = [last.z_scores, finding.z_scores].concat().into();
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
    /// How near it came to a certified value, where it was held to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<Score>,
    /// The smallest bias of `measured` that would be caught, with probability 0.99 where errors are random; `None`
    /// where nothing was compared.
    #[serde(serialize_with = "serialize_optional_real")]
    pub catches: Option<f64>,
    /// How many decisions rested on standard errors.
    pub decisions: usize,
    /// Differences in standard errors, of the two-sided ones among them.
    #[serde(skip)]
    pub z_scores: Vec<f64>,
}

impl Outcome {
    /// What a check of a law found of an estimator on a case.
    pub fn new(law: &str, estimator: &str, case: &str, finding: Finding, reproduce: String) -> Self {
        Self {
            law: law.to_owned(),
            estimator: estimator.to_owned(),
            case: case.to_owned(),
            verdict: finding.verdict,
            measured: finding.measured,
            expected: finding.expected,
            tolerance: finding.tolerance,
            reason: finding.reason,
            reproduce,
            score: finding.score.map(|score| *score),
            catches: finding.catches,
            decisions: finding.decisions as usize,
            z_scores: finding.z_scores.into_vec(),
        }
    }
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
    /// How near each estimator came to certified values.
    pub scores: Vec<EstimatorScore>,
    /// How often a correct estimator would fail by chance.
    pub false_alarms: FalseAlarms,
    /// Failures on generated cases, shrunk.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub counterexamples: Vec<Counterexample>,
    /// Seed of the run.
    pub seed: u64,
    /// Version of this crate.
    pub version: &'static str,
}

/// Laws that an estimator may decline as a whole if it answers one of the others: they hold the same number to values, and
/// the cases of the first (20 points and more) are beyond methods that enumerate or have closed forms.
const DECLINED_FOR: [(&str, &[&str]); 1] = [("certified.prior", &["certified.closed_form", "prior.normalisation"])];

impl Report {
    /// Judges a list of outcomes. A law that no case answered is a failure of its own (but for those that may be declined):
    /// an estimator that skips everything does not pass.
    pub fn new(mut laws: Vec<Outcome>, seed: u64) -> Self {
        let mut unanswered: Vec<(String, String)> = Vec::new();
        for outcome in &laws {
            let key = (outcome.law.clone(), outcome.estimator.clone());
            let answers = |law: &str| {
                laws.iter().any(|other| other.law == law && other.estimator == key.1 && other.verdict != Verdict::Skip)
            };
            let declined =
                DECLINED_FOR.iter().any(|(law, others)| *law == key.0 && others.iter().any(|other| answers(other)));
            if !answers(&key.0) && !declined && !unanswered.contains(&key) {
                unanswered.push(key);
            }
        }
        for (law, estimator) in unanswered {
            let reproduce = laws
                .iter()
                .find(|outcome| outcome.law == law && outcome.estimator == estimator)
                .map_or(String::new(), |outcome| outcome.reproduce.clone());
            let finding = Finding::fail("nothing verified: every case was skipped");
            laws.push(Outcome::new(&law, &estimator, "all", finding, reproduce));
        }
        let counts = Counts::of(&laws);
        let verdict = if counts.fail == 0 && counts.pass > 0 { Verdict::Pass } else { Verdict::Fail };
        let scores = scores(&laws);
        let version = env!("CARGO_PKG_VERSION");
        let false_alarms = FalseAlarms::of(laws.iter().map(|outcome| outcome.decisions).sum());
        Self { verdict, laws, counts, scores, false_alarms, counterexamples: Vec::new(), seed, version }
    }

    /// The same with the outcomes of further cases, and what their failures were shrunk to.
    pub fn with_generated(self, outcomes: Vec<Outcome>, counterexamples: Vec<Counterexample>) -> Self {
        let mut laws = self.laws;
        laws.extend(outcomes);
        let counterexamples = [self.counterexamples, counterexamples].concat();
        Self { counterexamples, ..Self::new(laws, self.seed) }
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
        let finding = Finding { verdict, ..Finding::fail("") };
        Outcome::new(law, "e", "c", finding, String::new())
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
