//! The JSON documents of the command line.

use crate::numeric::{Estimate, Info, serialize_optional_real, serialize_real};
use crate::prior::{Link, LogProb};
use serde::Serialize;
use std::collections::BTreeMap;

/// `flatgauge prior --format json`.
#[derive(Debug, Serialize)]
pub struct LogProbDocument<'a> {
    method: &'a str,
    link: Link,
    n: usize,
    #[serde(serialize_with = "serialize_real")]
    log_prob: f64,
    #[serde(serialize_with = "serialize_optional_real")]
    std_error: Option<f64>,
    #[serde(serialize_with = "serialize_optional_real")]
    upper_bound: Option<f64>,
    info: &'a Info,
}

/// The document of one log P(f).
pub fn log_prob<'a>(method: &'a str, link: Link, n: usize, answer: &'a LogProb) -> LogProbDocument<'a> {
    LogProbDocument {
        method,
        link,
        n,
        log_prob: answer.estimate.value,
        std_error: answer.estimate.std_error,
        upper_bound: answer.upper_bound,
        info: &answer.estimate.info,
    }
}

/// `flatgauge flatness --format json`.
#[derive(Debug, Serialize)]
pub struct FlatnessDocument<'a> {
    parameters: usize,
    loss: f64,
    measures: BTreeMap<&'a str, EstimateDocument<'a>>,
}

/// One estimate.
#[derive(Debug, Serialize)]
pub struct EstimateDocument<'a> {
    #[serde(serialize_with = "serialize_real")]
    value: f64,
    #[serde(serialize_with = "serialize_optional_real")]
    std_error: Option<f64>,
    info: &'a Info,
}

/// The document of several measures.
pub fn flatness<'a>(parameters: usize, loss: f64, results: &'a [(&'a str, Estimate)]) -> FlatnessDocument<'a> {
    let measures = results.iter().map(|(id, estimate)| {
        let document = EstimateDocument { value: estimate.value, std_error: estimate.std_error, info: &estimate.info };
        (*id, document)
    });
    FlatnessDocument { parameters, loss, measures: measures.collect() }
}
