//! What the study counts and measures, as kept on disk.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Both sharpnesses.
pub(super) const SHARPNESSES: [&str; 2] = ["keskar_sharpness", "keskar_sharpness_sgd"];

/// Fewest networks by which P(f) is known well enough to be compared: its relative standard error is then a third.
pub(super) const FEWEST: u64 = 9;

/// A function that fits S: how often the prior and an optimiser find it, given S.
#[derive(Serialize, Deserialize)]
pub(super) struct Fitting {
    pub(super) optimizer: String,
    pub(super) function: String,
    pub(super) prior_count: u64,
    pub(super) given_prior: f64,
    pub(super) given_optimizer: f64,
}

/// A trained network.
#[derive(Serialize, Deserialize)]
pub(super) struct Network {
    pub(super) optimizer: String,
    pub(super) seed: u64,
    /// `None` if no network of the sample has its function.
    pub(super) log_prob: Option<f64>,
    pub(super) error: f64,
    /// Measures by name.
    pub(super) flatness: BTreeMap<String, f64>,
    pub(super) complexity: f64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Counted {
    pub(super) frequent: Vec<crate::study::counted::Frequent>,
    pub(super) distinct: usize,
    pub(super) target: String,
    pub(super) training: Vec<usize>,
    pub(super) fit_the_training_set: u64,
    pub(super) fitting: Vec<Fitting>,
    pub(super) networks: Vec<Network>,
    pub(super) unfinished: Vec<(String, usize)>,
}
