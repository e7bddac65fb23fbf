//! The report of a whole run, and its verdict.

use crate::gate::counterexample::Counterexample;
use crate::gate::estimator_score::{EstimatorScore, scores};
use crate::gate::false_alarms::FalseAlarms;
use crate::gate::finding::{Finding, Verdict};
use crate::gate::outcome::{Counts, Outcome};
use serde::Serialize;

/// Everything a run of the gate found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
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

/// Law under which faults of a command's stream of answers are reported. It says nothing of any number, so that it alone
/// verifies nothing.
pub(super) const PROTOCOL: &str = "protocol.answers";

/// Laws that an estimator may decline as a whole if it answers one of the others: they hold the same number to values, and
/// the cases of the first (20 points and more) are beyond methods that enumerate or have closed forms.
const DECLINED_FOR: [(&str, &[&str]); 1] = [("certified.prior", &["certified.closed_form", "prior.normalisation"])];

impl Report {
    /// Judges a list of outcomes: something must hold beyond the protocol of a command, and nothing fail. A law that no case answered is a failure of its own (but for those that may be declined):
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
        let verified = laws.iter().any(|outcome| outcome.verdict == Verdict::Pass && outcome.law != PROTOCOL);
        let verdict = if counts.fail == 0 && verified { Verdict::Pass } else { Verdict::Fail };
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
        assert_eq!(Report::new(vec![outcome(PROTOCOL, Verdict::Pass)], 0).verdict, Verdict::Fail, "nothing was asked");
    }
}
