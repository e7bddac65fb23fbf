//! Learning-rate schedules as data.

use crate::train::TrainError;
use serde::{Deserialize, Serialize};

/// A factor on the learning rate that depends on the epoch, counted from 0. Schedules in a list multiply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Schedule {
    /// `factor^(number of whole spans of `every` epochs passed)`.
    Step {
        /// Epochs between changes.
        every: usize,
        /// What the rate is multiplied by.
        factor: f64,
    },
    /// `factor^(number of `epochs` reached)`.
    Milestones {
        /// Epochs at which the rate changes.
        epochs: Vec<usize>,
        /// What the rate is multiplied by.
        factor: f64,
    },
    /// `factor^epoch`.
    Exponential {
        /// What the rate is multiplied by after each epoch.
        factor: f64,
    },
    /// Half a cosine from 1 down to `floor` at `epochs`, and `floor` from there on (Loshchilov and Hutter 2017,
    /// without restarts).
    Cosine {
        /// Epochs until the floor.
        epochs: usize,
        /// Factor at the end.
        floor: f64,
    },
    /// A line from `start` up to 1 at `epochs`, and 1 from there on.
    Warmup {
        /// Epochs until the full rate.
        epochs: usize,
        /// Factor in the first epoch.
        start: f64,
    },
}

impl Schedule {
    /// The factor in an epoch, counted from 0.
    pub fn factor(&self, epoch: usize) -> f64 {
        match self {
            Self::Step { every, factor } => factor.powf((epoch / every) as f64),
            Self::Milestones { epochs, factor } => {
                factor.powf(epochs.iter().filter(|milestone| **milestone <= epoch).count() as f64)
            }
            Self::Exponential { factor } => factor.powf(epoch as f64),
            Self::Cosine { epochs, floor } => {
                let turn = std::f64::consts::PI * epoch.min(*epochs) as f64 / *epochs as f64;
                floor + (1.0 - floor) * (1.0 + turn.cos()) / 2.0
            }
            Self::Warmup { epochs, start } => start + (1.0 - start) * (epoch.min(*epochs) as f64 / *epochs as f64),
        }
    }

    /// Checks that every factor is a positive number, or 0 at the end of a cosine.
    ///
    /// # Errors
    /// [`TrainError::Setting`].
    pub fn check(&self) -> Result<(), TrainError> {
        let fault = |name: &str, found: String, expected: &str| TrainError::Setting {
            name: format!("schedule {name}"),
            found,
            expected: expected.to_owned(),
        };
        let (every, factor) = match self {
            Self::Step { every, factor } => (*every, *factor),
            Self::Milestones { factor, .. } | Self::Exponential { factor } => (1, *factor),
            Self::Cosine { epochs, floor } => (*epochs, if *floor == 0.0 { 1.0 } else { *floor }),
            Self::Warmup { epochs, start } => (*epochs, *start),
        };
        if every == 0 {
            return Err(fault("length", "0".to_owned(), "at least 1 epoch"));
        }
        if factor > 0.0 && factor.is_finite() {
            Ok(())
        } else {
            Err(fault("factor", factor.to_string(), "a finite number above 0"))
        }
    }
}
