//! The Bayesian prior probability of a function, `log P(f)` in nats: the [`LogProbMethod`] trait, the
//! registry of methods, one file per method.
//!
//! The function `f` is the vector of labels `y_i = +-1` at `n` points; `g` is the network's logit at
//! those points under the prior, Gaussian with the NNGP Gram matrix `K` in the limit of infinite width.
//! Two readings, never mixed:
//! - [`Link::Step`]: `P(f) = Pr[y_i g_i > 0 for all i]`, `g ~ N(0, K)`, an orthant probability. The definition.
//! - [`Link::Probit`]: the same with `g ~ N(0, K + I)`, what Gaussian-process classification computes.

pub mod auto;
pub mod ep;
pub mod exact;
mod feasibility;
pub mod genz;
mod gram;
pub mod laplace;
mod method_fn;
mod monte_carlo;
pub mod options;
mod order;
mod particles;
mod posterior;
pub mod problem;
mod rank;
pub mod regression;
pub mod splitting;
pub mod tilting;
pub mod twisted;

pub use gram::{Gram, Labels, PriorError};
pub use method_fn::{MethodFn, method_fn};
pub use options::{Interim, PriorOptions, ProgressSink};
pub use posterior::{pac_bayes_bound, posterior};

use crate::description::Description;
use crate::numeric::Estimate;
use serde::{Deserialize, Serialize};

/// How a latent value becomes a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// `y = +1` iff `g > 0`: the prior probability itself.
    Step,
    /// `Pr[y = +1 | g] = Phi(g)`: unit noise on every latent value.
    Probit,
    /// `Pr[y = +1 | g] = 1 / (1 + exp(-g))`, offered by `laplace` only.
    Logistic,
}

impl std::fmt::Display for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Step => "step",
            Self::Probit => "probit",
            Self::Logistic => "logistic",
        })
    }
}

/// What a method's number is, and so which laws it is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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

    /// `log P(f)` of `labels` under the Gram matrix.
    ///
    /// # Errors
    /// [`PriorError`]: a link the method does not offer, a matrix it refuses, no convergence.
    fn log_prob(&self, gram: &Gram, labels: &Labels, options: &PriorOptions) -> Result<LogProb, PriorError>;
}

/// All methods, in the order users see them. A new method is a file and a line here.
pub fn registry() -> &'static [&'static dyn LogProbMethod] {
    use ep::{ExpectationPropagation, Schedule};
    &[
        &ExpectationPropagation(Schedule::Parallel),
        &ExpectationPropagation(Schedule::Sequential),
        &exact::Exact,
        &twisted::SequentialMonteCarlo,
        &twisted::EpImportance,
        &tilting::MinimaxTilting,
        &splitting::Splitting,
        &genz::Genz,
        &laplace::Laplace,
        &regression::Regression,
        &auto::Auto,
    ]
}

/// The method called `id`.
///
/// ```
/// use flatgauge::prior::{self, Gram, Labels, Link, PriorOptions};
///
/// // Two independent logits: each label has probability 1/2, with noise too.
/// let gram = Gram::new(ndarray::Array2::eye(2))?;
/// let labels = Labels::from_values(&[1.0, -1.0])?;
/// for link in [Link::Step, Link::Probit] {
///     let options = PriorOptions { link, ..PriorOptions::default() };
///     let answer = prior::find("ep").expect("a registered method").log_prob(&gram, &labels, &options)?;
///     assert!((answer.estimate.value - 0.25_f64.ln()).abs() < 1e-9);
/// }
/// # Ok::<(), prior::PriorError>(())
/// ```
pub fn find(id: &str) -> Option<&'static dyn LogProbMethod> {
    registry().iter().copied().find(|method| crate::id::names(id, method.id()))
}
