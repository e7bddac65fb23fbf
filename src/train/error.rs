//! What can go wrong with training.

use crate::data::DataError;
use crate::model::ModelError;

/// Errors of the training room.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A setting is out of its range.
    #[error("training setting {name} is {found}, expected {expected}")]
    Setting {
        /// The setting.
        name: String,
        /// Its value.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// Labels and loss do not fit together.
    #[error("labels of '{source_name}': {reason}")]
    Labels {
        /// The data source.
        source_name: String,
        /// What is wrong.
        reason: String,
    },
    /// Network and data do not fit together.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The data could not be had.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file of a training run cannot be used.
    #[error("checkpoint '{path}': {reason}")]
    Checkpoint {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The loss became NaN or infinite, or exploded.
    #[error(
        "training diverged in epoch {epoch}, step {step}: the loss is {loss:e}, expected at most {limit:e} \
         (lower the learning rate)"
    )]
    Diverged {
        /// Epoch, counted from 1.
        epoch: usize,
        /// Step since the start, counted from 1.
        step: u64,
        /// Loss of the mini-batch, or of the training set at the end of the epoch.
        loss: f64,
        /// Largest loss that is not called divergence.
        limit: f64,
    },
}
