//! Layers: each with its output, gradient and tangent passes, on batches.
//!
//! A batch is a matrix with one row a sample, its features flattened (channels, height, width). Tangent
//! passes carry `k` directions at once: their arrays stack `k` blocks of `n` rows, block `j` belonging
//! to direction `j`, and parameter directions are the rows of a `k x parameters` matrix.

mod activation;
mod batch_norm;
mod build;
mod conv;
mod dense;
mod fixed_linear;
mod flatten;
mod pass;
mod pool;
mod residual;
mod sequence;
#[cfg(test)]
mod tests;
mod window;

pub(crate) use pass::{AdjointPass, Layer, Moments, Pass, Saved, SavedAdjoint, TensorSpec, Weights};
pub use pass::{Mode, Role};

pub(crate) use activation::ActivationLayer;
pub(crate) use batch_norm::BatchNorm;
pub(crate) use build::chain;
pub(crate) use conv::Conv;
pub(crate) use dense::Dense;
pub(crate) use fixed_linear::LinearLayer;
pub(crate) use flatten::Flatten;
pub(crate) use pass::{Adjoints, Tape};
pub(crate) use pool::{AveragePool, GlobalAveragePool, MaxPool};
pub(crate) use residual::Residual;
pub(crate) use sequence::Sequence;
pub(crate) use window::Window;
