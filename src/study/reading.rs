//! Readings of log P(f): which method with which link, and the numbers they give.

use crate::numeric::Estimate;
use crate::prior::{self, Gram, Labels, Link, PriorError, PriorOptions};
use crate::study::StudyError;
use serde::{Deserialize, Serialize};

/// log P(f) as defined, by the cheapest method.
pub(super) const LOG_PROB: &str = "log_prob_ep_step";

/// A reading of log P(f).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantity {
    /// Name among the predictors.
    pub name: &'static str,
    /// Registry name of the method.
    pub method: &'static str,
    /// Its link.
    pub link: Link,
}

/// EP with the step link, EP with the probit link as the paper has it, and the certified one.
pub(super) const READINGS: [Quantity; 3] = [
    Quantity { name: "log_prob_ep_step", method: "ep", link: Link::Step },
    Quantity { name: "log_prob_ep_probit", method: "ep", link: Link::Probit },
    Quantity { name: "log_prob_smc", method: "smc", link: Link::Step },
];

/// The readings called so, all of them unless asked.
pub(super) fn readings(asked: Option<&[String]>) -> Result<Vec<Quantity>, StudyError> {
    let Some(asked) = asked else { return Ok(READINGS.to_vec()) };
    let all = || READINGS.map(|reading| reading.name).join(", ");
    let refuse = |found: String| {
        Err(StudyError::Request { name: "readings", found, expected: format!("names among {}", all()) })
    };
    if asked.is_empty() {
        return refuse("nothing".to_owned());
    }
    for name in asked {
        if READINGS.iter().all(|reading| reading.name != name) {
            return refuse(format!("'{name}'"));
        }
    }
    Ok(READINGS.into_iter().filter(|reading| asked.iter().any(|name| name == reading.name)).collect())
}

/// A number with its standard error, as kept on disk.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Number {
    /// The value; `None` is `-inf`, an impossible function.
    pub value: Option<f64>,
    /// Its standard error, of stochastic methods.
    pub std_error: Option<f64>,
}

impl Number {
    pub fn real(&self) -> f64 {
        self.value.unwrap_or(f64::NEG_INFINITY)
    }
}

impl From<&Estimate> for Number {
    fn from(estimate: &Estimate) -> Self {
        Self { value: estimate.value.is_finite().then_some(estimate.value), std_error: estimate.std_error }
    }
}

/// log P(f) in one reading.
pub(super) fn read(reading: &Quantity, gram: &Gram, labels: &Labels) -> Result<Estimate, PriorError> {
    let method = prior::find(reading.method).expect("a registered method");
    let options = PriorOptions { link: reading.link, ..PriorOptions::default() };
    Ok(method.log_prob(gram, labels, &options)?.estimate)
}
