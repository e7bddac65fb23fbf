//! Failures of one cause together: what they have in common leads to the error sooner than the list of them.

use crate::gate::cause::Cause;
use crate::gate::features::Features;
use crate::gate::finding::Verdict;
use crate::gate::laws;
use crate::gate::outcome::Outcome;
use crate::gate::pattern::pattern;
use crate::numeric::serialize_optional_real;
use serde::Serialize;

/// Ratios of found to predicted that are the same number.
const SAME_RATIO: f64 = 1e-6;

/// The law of answers that move with the seed.
const SEED: &str = "estimate.seed";

/// All failures of an estimator under one law, for one cause.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FailureGroup {
    /// Id of the law.
    pub law: String,
    /// The law in one sentence.
    pub statement: &'static str,
    /// What was held to it.
    pub estimator: String,
    /// Why these checks failed.
    pub cause: Option<Cause>,
    /// Names of the cases, the smallest one first.
    pub cases: Vec<String>,
    /// Cases on which the law holds for the same estimator.
    pub held: usize,
    /// The least and the largest ratio of what was found to what was predicted, where both are numbers other than 0.
    pub ratio: Option<[f64; 2]>,
    /// The largest difference in standard errors.
    #[serde(serialize_with = "serialize_optional_real")]
    pub largest_z: Option<f64>,
    /// What all these cases have and none of those that hold, in one sentence.
    pub pattern: Option<String>,
    /// The failure on the smallest case.
    pub smallest: Outcome,
}

/// The failures of a report in groups, in the order of the law book.
pub(super) fn failure_groups(outcomes: &[Outcome]) -> Vec<FailureGroup> {
    let mut groups: Vec<Vec<&Outcome>> = Vec::new();
    let key = |outcome: &Outcome| (outcome.law.clone(), outcome.estimator.clone(), outcome.cause);
    for outcome in outcomes.iter().filter(|outcome| outcome.verdict == Verdict::Fail) {
        match groups.iter_mut().find(|members| key(members[0]) == key(outcome)) {
            Some(members) => members.push(outcome),
            None => groups.push(vec![outcome]),
        }
    }
    groups.into_iter().map(|members| group(members, outcomes)).collect()
}

fn group(mut members: Vec<&Outcome>, outcomes: &[Outcome]) -> FailureGroup {
    // What is no case of the corpus comes last; of equally large ones the first.
    members.sort_by_key(|outcome| outcome.features.as_ref().map_or(usize::MAX, |features| features.size));
    let smallest = members[0].clone();
    let passes = |law: &str| -> Vec<&Outcome> {
        let is_one = |outcome: &&Outcome| outcome.law == law && outcome.estimator == smallest.estimator;
        outcomes.iter().filter(is_one).filter(|outcome| outcome.verdict == Verdict::Pass).collect()
    };
    let (held, before) = (passes(&smallest.law), passes("curvature.definition"));
    let ratios = members.iter().filter_map(|outcome| {
        let ratio = outcome.measured? / outcome.expected?;
        (ratio.is_finite() && ratio != 0.0).then_some(ratio)
    });
    let ratio = ratios.fold(None, |range: Option<[f64; 2]>, ratio| {
        let [least, most] = range.unwrap_or([ratio, ratio]);
        Some([least.min(ratio), most.max(ratio)])
    });
    let scatters = outcomes.iter().any(|outcome| {
        let of_seed = outcome.law == SEED && outcome.estimator == smallest.estimator;
        of_seed && outcome.verdict == Verdict::Fail && outcome.reason.contains("no standard error is stated")
    });
    let z_scores = members.iter().flat_map(|outcome| outcome.z_scores.iter().copied());
    FailureGroup {
        statement: statement(&smallest.law),
        law: smallest.law.clone(),
        estimator: smallest.estimator.clone(),
        cause: smallest.cause,
        cases: members.iter().map(|outcome| outcome.case.clone()).collect(),
        held: held.len(),
        ratio,
        largest_z: z_scores.max_by(|a, b| a.abs().total_cmp(&b.abs())),
        pattern: sentence(&members, &held, &before, scatters),
        smallest,
    }
}

/// The pattern over the cases, and what is known of rescalings.
fn sentence(members: &[&Outcome], held: &[&Outcome], before: &[&Outcome], scatters: bool) -> Option<String> {
    let features = |outcomes: &[&Outcome]| -> Option<Vec<Features>> {
        outcomes.iter().map(|outcome| outcome.features.as_deref().cloned()).collect()
    };
    let mut said = Vec::new();
    if let (Some(failed), Some(held)) = (features(members), features(held)) {
        said.extend(pattern(&failed.iter().collect::<Vec<_>>(), &held.iter().collect::<Vec<_>>()));
    }
    if members[0].law == "curvature.covariance" {
        let is_right_before = |outcome: &&Outcome| before.iter().any(|other| other.case == outcome.case);
        if members.iter().all(is_right_before) {
            said.push("the same networks pass before they are rescaled (curvature.definition)".to_owned());
        }
        if let Some(power) = members[0].power_of_alpha
            && members.iter().all(|outcome| outcome.power_of_alpha == Some(power))
        {
            said.push(format!("after layer 0 is scaled by alpha, found / predicted = alpha^{power}"));
        }
    }
    if scatters && members[0].law != SEED {
        said.push(
            "its answers move with the seed and state no std_error (estimate.seed): without one they are judged as exact"
                .to_owned(),
        );
    }
    (!said.is_empty()).then(|| said.join("; "))
}

/// The law in one sentence; those of a command's lines and of declared failures are not in the law book.
fn statement(law: &str) -> &'static str {
    match law {
        "protocol.answers" => {
            "a command answers every request once, in lines that the protocol allows, and exits with 0"
        }
        "gate.known" => "what is declared as a known failure fails",
        law => laws::registry().iter().find(|known| known.id() == law).map_or("", |law| law.statement()),
    }
}

impl FailureGroup {
    /// How far off the numbers are, in one sentence; empty where there are none.
    pub fn size(&self) -> String {
        let ratio = self.ratio.map(|[least, most]| {
            if (most - least).abs() <= SAME_RATIO * least.abs() {
                format!("found / predicted = {least:.6}{}", if self.cases.len() > 1 { " on all of them" } else { "" })
            } else {
                format!("found / predicted from {least:.4} to {most:.4}")
            }
        });
        let z = self.largest_z.map(|z| format!("largest z {z:.1}"));
        let tolerance = self.smallest.tolerance.map(|tolerance| format!("tolerance {tolerance:.2e}"));
        ratio.into_iter().chain(z).chain(tolerance).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::finding::Finding;
    use std::sync::Arc;

    fn outcome(law: &str, case: &str, size: usize, finding: Finding) -> Outcome {
        let features = Features { size, counts: vec![("samples", size)], ..Features::default() };
        let outcome = Outcome::new(law, "e", case, finding, format!("alone {case}"));
        Outcome { features: Some(Arc::new(features)), ..outcome }
    }

    #[test]
    fn failures_of_one_law_and_cause_are_one_group_smallest_first() {
        let off = |factor: f64| Finding::compare(factor, 1.0, 1e-9);
        let law = "curvature.covariance";
        let outcomes = [
            outcome(law, "large", 9, off(0.25).scaled_by(2.0)),
            outcome(law, "small", 6, off(0.25).scaled_by(2.0)),
            outcome(law, "a", 2, off(1.0)),
            outcome(law, "b", 3, off(1.0)),
            outcome(law, "broken", 5, Finding::fail("out of ideas")),
            outcome("curvature.definition", "large", 9, off(1.0)),
            outcome("curvature.definition", "small", 6, off(1.0)),
        ];
        let groups = failure_groups(&outcomes);
        let [wrong, broken] = &groups[..] else { panic!("{groups:#?}") };
        assert_eq!((&wrong.cases[..], wrong.held), (&["small".to_owned(), "large".to_owned()][..], 2));
        assert_eq!((wrong.ratio, wrong.smallest.reproduce.as_str()), (Some([0.25, 0.25]), "alone small"));
        assert!(wrong.statement.starts_with("at theta'"), "{}", wrong.statement);
        assert_eq!(wrong.size(), "found / predicted = 0.250000 on all of them, tolerance 1.00e-9");
        let pattern = wrong.pattern.as_deref().unwrap();
        for said in ["6 samples or more", "pass before they are rescaled", "found / predicted = alpha^-2"] {
            assert!(pattern.contains(said), "{said}: {pattern}");
        }
        assert_eq!((broken.cause, &broken.pattern, broken.size().as_str()), (Some(Cause::Broken), &None, ""));
    }

    #[test]
    fn answers_that_scatter_without_an_error_are_said_to() {
        let scattered = Finding::wrong("another seed gives 1 in place of 2, and no standard error is stated");
        let outcomes = [
            outcome("curvature.definition", "a", 2, Finding::compare(2.0, 1.0, 1e-9)),
            outcome(SEED, "pooled", 2, scattered),
        ];
        let groups = failure_groups(&outcomes);
        assert!(groups[0].pattern.as_deref().unwrap().contains("state no std_error"), "{groups:#?}");
        assert_eq!(groups[1].pattern, None);
    }
}
