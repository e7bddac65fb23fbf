//! What a method is asked to do, and how it reports on the way.

use crate::prior::Link;
use std::sync::Arc;

/// What a method is asked to do beyond the matrix and the labels.
#[derive(Debug, Clone, PartialEq)]
pub struct PriorOptions {
    /// The reading of `log P(f)`.
    pub link: Link,
    /// Seed of the stochastic methods; deterministic ones draw nothing.
    pub seed: u64,
    /// Standard error to reach, in nats; `None` runs the method's default effort.
    pub target_std_error: Option<f64>,
    /// Wall-clock budget in seconds for reaching `target_std_error`. It is looked at between rounds of work, so
    /// the first round is always done; how many rounds fit, and with it the last digits, depends on the machine.
    pub max_seconds: Option<f64>,
    /// Who hears of the current estimate while a stochastic method works.
    pub progress: ProgressSink,
}

impl Default for PriorOptions {
    fn default() -> Self {
        Self {
            link: Link::Step,
            seed: 0,
            target_std_error: None,
            max_seconds: None,
            progress: ProgressSink::default(),
        }
    }
}

/// Where a stochastic method stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interim {
    /// Current estimate of `log P(f)` in nats.
    pub log_prob: f64,
    /// Its standard error in nats.
    pub std_error: f64,
    /// Independent replicates so far.
    pub replicates: usize,
    /// Seconds since the method began.
    pub seconds: f64,
}

/// A listener for [`Interim`] estimates, or none.
#[derive(Clone, Default)]
pub struct ProgressSink(Option<Arc<dyn Fn(Interim) + Send + Sync>>);

impl ProgressSink {
    /// Calls `listener` after every round of work.
    pub fn new(listener: impl Fn(Interim) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    pub(crate) fn report(&self, interim: Interim) {
        if let Some(listener) = &self.0 {
            listener(interim);
        }
    }
}

impl std::fmt::Debug for ProgressSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "ProgressSink(listener)" } else { "ProgressSink(none)" })
    }
}

/// Equal if they are the same listener.
impl PartialEq for ProgressSink {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}
