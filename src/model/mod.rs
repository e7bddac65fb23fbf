//! Networks: architecture as data, layers and losses with their derivatives, checkpoints.

pub mod architecture;
mod checkpoint;
mod error;
mod layer;
mod loss;
mod network;
mod objective;
pub mod oracle;
mod oracle_graph;

pub use architecture::{Activation, Architecture, LayerSpec, Padding};
pub use checkpoint::{Checkpoint, load_network, parse_network, parse_vector, save_network, save_network_with};
pub use error::ModelError;
pub use layer::{Mode, Role};
pub use loss::{Loss, sigmoid};
pub use network::{Model, Network, Tensor};
pub use objective::{Linearisation, Objective};
