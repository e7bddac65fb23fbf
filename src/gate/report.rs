//! The report of a whole run, and its verdict.

use crate::gate::cause::Cause;
use crate::gate::counterexample::Counterexample;
use crate::gate::estimator_score::{EstimatorScore, scores};
use crate::gate::external::Hello;
use crate::gate::failure_group::{FailureGroup, failure_groups};
use crate::gate::false_alarms::FalseAlarms;
use crate::gate::finding::{Finding, Verdict};
use crate::gate::known::Known;
use crate::gate::outcome::{Counts, Outcome};
use serde::Serialize;
use std::collections::BTreeMap;

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
    /// What a command said of itself, where one was judged that does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Hello>,
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

impl Report {
    /// Judges a list of outcomes: something must hold beyond the protocol of a command, and nothing fail. A law that is owed and
    /// that no case decided is a failure of its own: an estimator that says nothing, or nothing that could be wrong, does not
    /// pass.
    pub fn new(mut laws: Vec<Outcome>, seed: u64) -> Self {
        let mut groups: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
        for (index, outcome) in laws.iter().enumerate() {
            groups.entry((outcome.law.clone(), outcome.estimator.clone())).or_default().push(index);
        }
        let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
        groups.sort_by_key(|members| members[0]);
        for members in groups {
            let finding = match nothing_verified(members.iter().map(|index| &laws[*index])) {
                Some(reason) => Finding::nothing_verified(reason),
                None => continue,
            };
            let Outcome { law, estimator, reproduce, .. } = laws[members[0]].clone();
            laws.push(Outcome::new(&law, &estimator, "all", finding, reproduce));
        }
        let counts = Counts::of(&laws);
        let verified = laws.iter().any(|outcome| outcome.verdict == Verdict::Pass && outcome.law != PROTOCOL);
        let verdict = if counts.fail == 0 && verified { Verdict::Pass } else { Verdict::Fail };
        let scores = scores(&laws);
        let version = env!("CARGO_PKG_VERSION");
        let false_alarms = FalseAlarms::of(laws.iter().map(|outcome| outcome.decisions).sum());
        Self { verdict, laws, counts, scores, false_alarms, command: None, counterexamples: Vec::new(), seed, version }
    }

    /// The same with known failures excused: see [`Known`].
    pub fn excusing(self, known: &Known) -> Self {
        if known.is_empty() {
            return self;
        }
        // Whether a law has verified nothing is found anew.
        let own = self.laws.into_iter().filter(|outcome| outcome.cause != Some(Cause::NothingVerified)).collect();
        Self { command: self.command, counterexamples: self.counterexamples, ..Self::new(known.excuse(own), self.seed) }
    }

    /// The same with the outcomes of further cases, and what their failures were shrunk to.
    pub fn with_generated(self, outcomes: Vec<Outcome>, counterexamples: Vec<Counterexample>) -> Self {
        let mut laws = self.laws;
        laws.extend(outcomes);
        let counterexamples = [self.counterexamples, counterexamples].concat();
        Self { command: self.command, counterexamples, ..Self::new(laws, self.seed) }
    }

    /// The failures, those of one law, estimator and cause together.
    pub fn failure_groups(&self) -> Vec<FailureGroup> {
        failure_groups(&self.laws)
    }

    /// The same as the report of a command that said who it is.
    pub fn of_command(self, command: Option<Hello>) -> Self {
        Self { command, ..self }
    }
}

/// Why a law has verified nothing of an estimator; `None` if a case was decided, or the law is not owed.
fn nothing_verified<'a>(outcomes: impl Iterator<Item = &'a Outcome> + Clone) -> Option<String> {
    let causes = outcomes.clone().map(|outcome| outcome.cause);
    if outcomes.clone().any(|outcome| outcome.verdict != Verdict::Skip)
        || causes.clone().all(|cause| matches!(cause, Some(Cause::NotOwed | Cause::Known)))
    {
        return None;
    }
    let reason_of =
        |cause| outcomes.clone().find(|outcome| outcome.cause == Some(cause)).map(|outcome| &outcome.reason);
    let words = match (reason_of(Cause::Undecided), reason_of(Cause::Unsupported)) {
        (Some(reason), _) if reason.starts_with("the declared accuracy") => {
            format!("every case was skipped: {reason}; a closer declaration would decide")
        }
        (Some(reason), _) => format!("every case was skipped: {reason}; more draws per answer would decide"),
        (None, Some(reason)) => format!("every case was skipped, as the estimator covers none: {reason}"),
        (None, None) => "every case was skipped".to_owned(),
    };
    Some(format!("nothing verified: {words}"))
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
