//! A method for log P(f) from a closure: what an estimator needs to be held to the laws, in one call.

use crate::prior::{Exactness, Gram, Labels, Link, LogProb, LogProbMethod, PriorError, PriorOptions};

/// A closure as a method for log P(f); see [`method_fn`].
#[derive(Debug, Clone, Copy)]
pub struct MethodFn<F> {
    id: &'static str,
    exactness: Exactness,
    links: &'static [Link],
    within: Option<f64>,
    log_prob: F,
}

/// The closure `log_prob` as a method called `id` that offers `links` (the first is its default) and claims `exactness`, which
/// decides what it is held to: the true value for [`Exactness::Exact`] and [`Exactness::Unbiased`], the fixed point of the
/// registered method of that name for [`Exactness::Approximate`], or where there is none the true value as near as it vouches
/// to come ([`MethodFn::vouching`]).
///
/// ```
/// use flatgauge::gate::Gate;
/// use flatgauge::prior::{self, Exactness, Link, method_fn};
///
/// // A method that hands over to a built-in one.
/// let mine = method_fn("mine", Exactness::Unbiased, &[Link::Step], |gram, labels, options| {
///     prior::find("genz").unwrap().log_prob(gram, labels, options)
/// });
/// Gate::quick().prior(&mine).only("prior.scale").assert();
/// ```
pub fn method_fn<F>(id: &'static str, exactness: Exactness, links: &'static [Link], log_prob: F) -> MethodFn<F>
where
    F: Fn(&Gram, &Labels, &PriorOptions) -> Result<LogProb, PriorError> + Send + Sync,
{
    MethodFn { id, exactness, links, within: None, log_prob }
}

impl<F> MethodFn<F> {
    /// The same, vouching to come within so many nats of the true value: what an approximation of its own name is held to.
    pub fn vouching(self, nats: f64) -> Self {
        Self { within: Some(nats), ..self }
    }
}

impl<F> LogProbMethod for MethodFn<F>
where
    F: Fn(&Gram, &Labels, &PriorOptions) -> Result<LogProb, PriorError> + Send + Sync,
{
    fn id(&self) -> &'static str {
        self.id
    }

    fn summary(&self) -> &'static str {
        "a method given as a closure"
    }

    fn source(&self) -> &'static str {
        "the crate that calls the gate"
    }

    fn links(&self) -> &'static [Link] {
        self.links
    }

    fn exactness(&self) -> Exactness {
        self.exactness
    }

    fn within(&self) -> Option<f64> {
        self.within
    }

    fn log_prob(&self, gram: &Gram, labels: &Labels, options: &PriorOptions) -> Result<LogProb, PriorError> {
        (self.log_prob)(gram, labels, options)
    }
}
