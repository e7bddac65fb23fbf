//! Networks: architecture as data, layers and losses with their derivatives, checkpoints.

pub mod architecture;
mod batch_gradient;
mod checkpoint;
mod error;
mod layer;
mod linearisation;
mod loss;
mod network;
mod objective;
#[doc(hidden)]
pub mod oracle;
mod oracle_graph;
mod padding;
mod preset;
mod shorthand;
mod size;
mod summary;
mod toml_error;

pub use architecture::{Activation, Architecture, LayerSpec};
#[cfg(feature = "studies")]
pub(crate) use checkpoint::MOST_BYTES;
pub use checkpoint::{Checkpoint, load_network, parse_network, save_network};
#[cfg(feature = "studies")]
pub(crate) use checkpoint::{parse_vector, save_network_with};
pub use error::ModelError;
pub(crate) use layer::Mode;
pub use layer::Role;
pub(crate) use layer::{Weights, Window, chain};
pub use linearisation::Linearisation;
pub use loss::{Loss, sigmoid};
pub use network::{Model, Network, Tensor};
pub use objective::Objective;
pub use padding::Padding;
pub use preset::{Preset, presets};
pub(crate) use size::MOST_NUMBERS;
pub use toml_error::TomlError;

/// Added to variances by batch norms, PyTorch's default.
pub(crate) const BATCH_NORM_EPSILON: f64 = 1e-5;
