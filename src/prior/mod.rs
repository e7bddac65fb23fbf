//! The Bayesian prior probability of a function, `log P(f)` in nats: the [`LogProbMethod`] trait, the
//! registry of methods, one file per method.
//!
//! The function `f` is the vector of labels `y_i = +-1` at `n` points; `g` is the network's logit at
//! those points under the prior, Gaussian with the NNGP Gram matrix `K` in the limit of infinite width.
//! Two readings, never mixed:
//! - [`Link::Step`]: `P(f) = Pr[y_i g_i > 0 for all i]`, `g ~ N(0, K)`, an orthant probability. The definition.
//! - [`Link::Probit`]: the same with `g ~ N(0, K + I)`, what Gaussian-process classification computes.

mod auto;
mod entries;
mod ep;
mod exact;
mod feasibility;
mod genz;
mod gram;
mod laplace;
mod link;
mod method;
mod method_fn;
mod monte_carlo;
pub mod options;
mod order;
mod particles;
mod posterior;
#[doc(hidden)]
pub mod problem;
mod rank;
mod regression;
mod sites;
mod splitting;
mod tilting;
mod tolerance;
mod twisted;

pub use link::Link;
pub use method::{Exactness, LogProb, LogProbMethod};

pub use entries::SharedMatrix;
pub use gram::{Gram, Labels, PriorError};
pub use method_fn::{MethodFn, method_fn};
pub use options::{Interim, PriorOptions, ProgressSink};
pub use posterior::{pac_bayes_bound, posterior};

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
