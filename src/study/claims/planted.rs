//! Networks with planted numbers, for tests of the verdicts.

use crate::numeric::Streams;
use crate::study::Measured;
use crate::study::reading::Number;
use crate::study::{Findings, Verdict};
use rand_distr::{Distribution, StandardNormal};
use std::collections::BTreeMap;

/// A standard normal of its own for each name and index.
pub fn noise(name: &str, index: usize) -> f64 {
    StandardNormal.sample(&mut Streams::new(20261130).stream(name, index as u64))
}

/// Network number `index` of an optimiser, with these numbers.
pub fn planted(optimizer: &str, index: usize, accuracy: f64, numbers: &[(&str, f64)]) -> Measured {
    let number = |value: f64| Number { value: value.is_finite().then_some(value), std_error: None };
    Measured {
        network: format!("{optimizer}-{index}"),
        optimizer: optimizer.to_owned(),
        attack: 10 * index,
        seed: 0,
        alpha: 1.0,
        epochs: 10,
        accuracy,
        labels_flipped: 0,
        numbers: numbers.iter().map(|(name, value)| ((*name).to_owned(), number(*value))).collect::<BTreeMap<_, _>>(),
        skipped: BTreeMap::new(),
    }
}

/// What was found of the claim that begins so.
pub fn verdict_of(findings: &Findings, beginning: &str) -> Verdict {
    let found = findings.claims.iter().find(|claim| claim.claim.starts_with(beginning));
    found.unwrap_or_else(|| panic!("no claim begins '{beginning}'")).verdict
}
