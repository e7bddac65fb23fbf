//! One line of a report, and how many ended how.

use crate::gate::cause::Cause;
use crate::gate::features::Features;
use crate::gate::finding::{Finding, Verdict};
use crate::gate::printable::printable;
use crate::gate::score::Score;
use crate::numeric::serialize_optional_real;
use serde::Serialize;
use std::sync::Arc;

/// One line of a report.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
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
    /// Of what kind that is; `null` of a pass.
    pub cause: Option<Cause>,
    /// What runs this case alone: one command line, or the calls that narrow the [`Gate`](crate::gate::Gate) of a test.
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
    /// The power of the factor by which layer 0 was scaled that the number is off by, where it is off by one.
    #[serde(skip)]
    pub power_of_alpha: Option<i8>,
    /// What its case has, where it is one of the run's.
    #[serde(skip)]
    pub(super) features: Option<Arc<Features>>,
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
            reason: printable(&finding.reason),
            cause: finding.cause,
            reproduce,
            score: finding.score.map(|score| *score),
            catches: finding.catches,
            decisions: finding.decisions as usize,
            z_scores: finding.z_scores.into_vec(),
            power_of_alpha: finding.power_of_alpha,
            features: None,
        }
    }
}

/// How many checks ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
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
