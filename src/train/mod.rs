//! Training: optimisers, one file each, and the trainer that takes networks to zero training error.
//!
//! ```
//! use flatgauge::model::{Activation, Architecture, Model, Network};
//! use flatgauge::numeric::Streams;
//! use flatgauge::train::Trainer;
//! use std::sync::Arc;
//!
//! let data = flatgauge::data::load("digits")?.split(100, 0, Streams::new(1))?.train;
//! let architecture = Architecture::fully_connected(&[64, 20, 1], Activation::Relu, 1.0, 0.1);
//! let network = Network::sample(Arc::new(Model::new(architecture)?), Streams::new(2));
//! let trainer = Trainer { learning_rate: Some(0.1), ..Trainer::default() };
//! let trained = trainer.run(network, &data, &mut |_| {})?;
//! assert_eq!(trained.last().accuracy, 1.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod labels;
mod optimizer;
mod run;
mod sampler;
mod schedule;
mod settings;
mod sweep;
mod trainer;

pub use error::TrainError;
pub use labels::targets;
#[cfg(test)]
pub(crate) use optimizer::EntropySgd;
#[doc(hidden)]
pub use optimizer::{Batches, State, Step};
pub use optimizer::{HyperparameterError, Optimizer, OptimizerSettings, Preset, registry};
pub use run::Run;
pub use schedule::Schedule;
pub use settings::{Settings, Summary};
pub use sweep::{Event, Job, grid, sweep};
pub use trainer::{Epoch, Trained, Trainer};
