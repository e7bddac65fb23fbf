//! The [`LogProbMethod`] trait, and what its methods answer.

use crate::description::Description;
use crate::numeric::Estimate;
use crate::prior::{Gram, Labels, Link, PriorError, PriorOptions};
use serde::{Deserialize, Serialize};

/// What a method's number is, and so which laws it owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Exactness {
    /// The true value to rounding.
    Exact,
    /// The true value with an honest standard error.
    Unbiased,
    /// A definite number that is not the true value (EP, Laplace, regression).
    Approximate,
}

/// The result of a method.
#[derive(Debug, Clone, PartialEq)]
pub struct LogProb {
    /// `log P(f)` in nats with standard error and diagnostics; `-inf` for an impossible function.
    pub estimate: Estimate,
    /// A certain upper bound on `log P(f)`, where the method yields one.
    pub upper_bound: Option<f64>,
}

/// A method for `log P(f)`.
pub trait LogProbMethod: Send + Sync {
    /// Registry name.
    fn id(&self) -> &'static str;

    /// Id of the registered method whose certified values the gate holds it to; its own unless said otherwise. Two
    /// implementations of one method need ids of their own and the same claim, or a report takes them for one.
    fn claim(&self) -> &'static str {
        self.id()
    }

    /// One line for lists and help.
    fn summary(&self) -> &'static str;

    /// Where the method comes from (author, year).
    fn source(&self) -> &'static str;

    /// Formula, unit, cost, options, refusals and sources; every method of the registry has them, others may.
    fn description(&self) -> Option<&'static Description> {
        None
    }

    /// The links the method offers; the first is its default.
    fn links(&self) -> &'static [Link];

    /// What its number is.
    fn exactness(&self) -> Exactness;

    /// The method whose fixed point an approximate one goes to: another way to it has its value.
    fn fixed_point(&self) -> &'static str {
        self.id()
    }

    /// How near to the true `log P(f)` an approximate method vouches to come, in nats; `None` where it vouches for nothing.
    fn within(&self) -> Option<f64> {
        None
    }

    /// `log P(f)` of `labels` under the Gram matrix.
    ///
    /// # Errors
    /// [`PriorError`]: a link the method does not offer, a matrix it refuses, no convergence.
    fn log_prob(&self, gram: &Gram, labels: &Labels, options: &PriorOptions) -> Result<LogProb, PriorError>;
}
