//! What a method is asked to do, and how it reports on the way.

use crate::description::OptionEntry;
use crate::prior::{Link, PriorError};
use std::sync::Arc;
use std::time::Instant;

/// What a method is asked to do beyond the matrix and the labels.
#[derive(Debug, Clone, PartialEq)]
pub struct PriorOptions {
    /// The reading of `log P(f)`.
    pub link: Link,
    /// Seed of the stochastic methods; deterministic ones draw nothing.
    pub seed: u64,
    /// Standard error to reach, in nats; `None` runs the method's default effort.
    pub target_std_error: Option<f64>,
    /// Wall-clock budget in seconds. Stochastic methods look at it once they have the replicates that a standard error needs;
    /// how many more fit, and with it the last digits, depends on the machine. Methods whose first replicates may take
    /// minutes (`splitting`, `ep_sequential`) look at it all the time and refuse where it ends too early.
    pub max_seconds: Option<f64>,
    /// Called with the current estimate while a stochastic method works.
    pub progress: ProgressSink,
}

/// The option called `name` as a description shows it, with `links` those that the method offers; `None` if there is no such
/// option.
pub fn describe(name: &str, links: &'static [Link]) -> Option<OptionEntry> {
    let (name, default, accepts) = match name {
        "link" => {
            let accepts = match links {
                [Link::Step, Link::Probit] => "step or probit",
                [Link::Probit, Link::Logistic] => "probit or logistic",
                _ => "one of the links that the method offers",
            };
            ("link", links.first().map_or(serde_json::Value::Null, |link| link.to_string().into()), accepts)
        }
        "seed" => ("seed", 0.into(), "a whole number below 2^64"),
        "target_std_error" => (
            "target_std_error",
            serde_json::Value::Null,
            "a finite number above 0, in nats; none for the default effort",
        ),
        "max_seconds" => ("max_seconds", serde_json::Value::Null, "a finite number above 0; none for no budget"),
        _ => return None,
    };
    Some(OptionEntry { name, default, accepts })
}

impl Default for PriorOptions {
    fn default() -> Self {
        Self { link: Link::Step, seed: 0, target_std_error: None, max_seconds: None, progress: ProgressSink::default() }
    }
}

/// The end of a budget.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    method: &'static str,
    started: Instant,
    seconds: Option<f64>,
}

impl Deadline {
    /// That of `options` for a method that began at `started`.
    pub fn new(method: &'static str, started: Instant, options: &PriorOptions) -> Self {
        Self { method, started, seconds: options.max_seconds }
    }

    /// [`PriorError::OutOfTime`] once the budget is used up; `done` says what has been reached.
    pub fn check(&self, done: impl FnOnce() -> String) -> Result<(), PriorError> {
        match self.seconds {
            Some(seconds) if self.started.elapsed().as_secs_f64() >= seconds => {
                Err(PriorError::OutOfTime { method: self.method, seconds, done: done() })
            }
            _ => Ok(()),
        }
    }
}

/// Where a stochastic method stands.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
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
