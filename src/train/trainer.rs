//! How a network is trained, as data, and what comes of it.

use crate::model::{Loss, Network};
use crate::train::optimizer::OptimizerSettings;
use crate::train::{Schedule, TrainError};
use serde::{Deserialize, Serialize};

/// How a network is trained: everything but the network and the data.
///
/// Each epoch takes all rows once, in mini-batches of an order drawn afresh from the seed. (The program published with
/// the paper takes them in the same order in every epoch: what it shuffles is a copy that it drops. Where the batch size
/// divides the number of rows, it takes the first mini-batch of an epoch once more at its end.) Training ends
/// after the first epoch at whose end every clean row has the right label, or `extra_epochs` later, or
/// after `max_epochs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trainer {
    /// The update rule.
    pub optimizer: OptimizerSettings,
    /// Learning rate; the optimiser's own by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Factors on the learning rate; they multiply.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schedule: Vec<Schedule>,
    /// Rows of a mini-batch; the last one of an epoch may be smaller.
    pub batch_size: usize,
    /// The loss, averaged over a mini-batch.
    pub loss: Loss,
    /// Epochs after which training ends in any case.
    pub max_epochs: usize,
    /// Epochs to go on for after the first one without errors.
    pub extra_epochs: usize,
    /// Seed of the order of the rows and of the optimiser's noise.
    pub seed: u64,
}

impl Default for Trainer {
    /// The paper's setting: SGD with rate 0.01 and mini-batches of 32 under binary cross-entropy.
    fn default() -> Self {
        Self {
            optimizer: OptimizerSettings::named("sgd"),
            learning_rate: None,
            schedule: Vec::new(),
            batch_size: 32,
            loss: Loss::Bce,
            max_epochs: 10_000,
            extra_epochs: 0,
            seed: 0,
        }
    }
}

/// Where training stands at the end of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Epoch {
    /// Passes over the data so far; 0 is the network before training.
    pub epoch: usize,
    /// Optimiser steps so far.
    pub step: u64,
    /// Mean loss on the clean training set.
    pub loss: f64,
    /// Fraction of the clean training set with the right label.
    pub accuracy: f64,
}

/// A network and how it came about.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Trained {
    /// The network at the end.
    pub network: Network,
    /// The state of training before it began and after each epoch.
    pub history: Vec<Epoch>,
    /// First epoch at whose end no clean row was wrong; `None` if `max_epochs` came first.
    pub zero_error_epoch: Option<usize>,
}

impl Trained {
    /// Where training ended.
    pub fn last(&self) -> Epoch {
        *self.history.last().expect("the state before training is recorded")
    }
}

impl Trainer {
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        let fault = |name: &str, found: String, expected: &str| {
            Err(TrainError::Setting { name: name.to_owned(), found, expected: expected.to_owned() })
        };
        for schedule in &self.schedule {
            schedule.check()?;
        }
        if self.batch_size == 0 {
            return fault("batch_size", "0".to_owned(), "at least 1");
        }
        match self.learning_rate {
            Some(rate) if !(rate > 0.0 && rate.is_finite()) => {
                fault("learning_rate", rate.to_string(), "a finite number above 0")
            }
            _ => Ok(()),
        }
    }
}
