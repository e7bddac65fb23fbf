//! What the studies of Boolean functions share: counted functions with their complexity.

use crate::function::{Counts, Function, lempel_ziv_complexity};
use serde::{Deserialize, Serialize};

/// Inputs of a Boolean function of 7 variables.
pub(super) const INPUTS: usize = 128;
/// Epochs of the SGD ascent of sharpness (recalled from the paper's body, not confirmed).
pub(super) const SGD_ASCENT_EPOCHS: usize = 10;
/// Functions of a plot by rank, evenly spaced in the logarithm of the rank.
const SHOWN: usize = 300;

/// A frequent function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Frequent {
    /// Its place among the most frequent, from 1.
    pub rank: usize,
    /// Share of the networks drawn.
    pub probability: f64,
    /// Lempel-Ziv complexity in bits.
    pub complexity: f64,
}

/// Functions at ranks that are evenly spaced in their logarithm.
pub(super) fn complexities(counts: &Counts) -> Vec<Frequent> {
    let last = counts.function_count().max(2) as f64;
    let mut wanted: Vec<usize> =
        (0..SHOWN).map(|step| last.powf(step as f64 / (SHOWN - 1) as f64).round() as usize).collect();
    wanted.dedup();
    let of = |(index, (function, found)): (usize, (Function, u64))| Frequent {
        rank: index + 1,
        probability: found as f64 / counts.network_count() as f64,
        complexity: lempel_ziv_complexity(&function),
    };
    counts.ranked().enumerate().filter(|(index, _)| wanted.binary_search(&(index + 1)).is_ok()).map(of).collect()
}
