//! Function-preserving maps of parameters: the [`Rescaling`] trait, the registry, one file a map.
//!
//! Each acts on the flat parameters as `theta'_i = scale_i theta_{source_i}`, an [`Action`]; so the
//! Hessian at `theta'` is known exactly from the one at `theta`, and with it every measure of curvature.
//!
//! ```
//! use flatgauge::model::{Activation, Architecture, Model, Network};
//! use flatgauge::numeric::Streams;
//! use flatgauge::rescale::{LayerAlpha, Rescaling};
//! use std::sync::Arc;
//!
//! let architecture = Architecture::fully_connected(&[2, 5, 1], Activation::Relu, 1.4, 0.1);
//! let network = Network::sample(Arc::new(Model::new(architecture)?), Streams::new(1));
//! let twin = LayerAlpha { layer: 0, alpha: 8.0 }.apply(&network)?;
//! let inputs = ndarray::array![[1.0, 0.5], [-0.3, 2.0]];
//! // A power of two changes no bit of the logits.
//! assert_eq!(twin.logits(inputs.view()), network.logits(inputs.view()));
//! assert_ne!(twin.theta, network.theta);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod action;
mod batch_norm_scale;
mod composition;
mod hidden;
mod kinks;
mod layer_alpha;
mod neuron_scaling;
mod permutation;
mod rounding;
mod sign_flip;

pub use action::Action;
pub use batch_norm_scale::BatchNormScale;
pub use composition::Composition;
pub use kinks::{NearKink, NearKinks};
pub use layer_alpha::LayerAlpha;
pub use neuron_scaling::NeuronScaling;
pub use permutation::Permutation;
pub use rounding::logit_rounding_bound;
pub use sign_flip::SignFlip;

use crate::model::{Model, Network};
use crate::numeric::Streams;

/// What can go wrong with a rescaling that a user asks for.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RescaleError {
    /// The factor is not usable.
    #[error("alpha is {0}, expected a finite number above 0")]
    Alpha(f64),
    /// There is no such layer, or nothing after it that could compensate.
    #[error("layer {layer} cannot be rescaled: {reason}")]
    Layer {
        /// Number of the parametrised layer.
        layer: usize,
        /// Why not.
        reason: String,
    },
    /// A range of factors is not usable.
    #[error("factors from {low} to {high}, expected 0 < low <= high")]
    Range {
        /// Smallest factor.
        low: f64,
        /// Largest factor.
        high: f64,
    },
    /// A list does not have one entry a hidden unit.
    #[error("layer {layer} has {expected} hidden units behind it, but {found} {what} were given")]
    Length {
        /// Number of the parametrised layer.
        layer: usize,
        /// What was listed.
        what: &'static str,
        /// Entries given.
        found: usize,
        /// Hidden units.
        expected: usize,
    },
    /// The map does not preserve the function of this architecture.
    #[error("rescaling '{id}' does not preserve the function of {architecture}: {reason}")]
    NotApplicable {
        /// Registry name of the rescaling.
        id: &'static str,
        /// The architecture.
        architecture: String,
        /// Which condition fails.
        reason: String,
    },
}

/// A function-preserving map with its settings chosen.
pub trait Rescaling: Send + Sync + std::fmt::Debug {
    /// Registry name.
    fn id(&self) -> &'static str;

    /// How it acts on the parameters of `model`.
    ///
    /// # Errors
    /// [`RescaleError`] if the settings do not fit or the map would change the function.
    fn action(&self, model: &Model) -> Result<Action, RescaleError>;

    /// How it acts on the stored statistics of batch norms; not at all unless said otherwise.
    ///
    /// # Errors
    /// As [`Rescaling::action`].
    fn buffer_action(&self, model: &Model) -> Result<Action, RescaleError> {
        Ok(Action::identity(model.buffer_count()))
    }

    /// The rescaled network.
    ///
    /// # Errors
    /// As [`Rescaling::action`].
    fn apply(&self, network: &Network) -> Result<Network, RescaleError> {
        let mut rescaled = network.with_theta(self.action(&network.model)?.apply(&network.theta));
        rescaled.buffers = self.buffer_action(&network.model)?.apply(&network.buffers);
        Ok(rescaled)
    }

    /// Whether the function is preserved exactly (up to rounding), as all but [`BatchNormScale`] do.
    fn is_exact(&self) -> bool {
        true
    }

    /// A line that names the map and its settings.
    fn describe(&self) -> String;

    /// The map that undoes this one.
    fn inverse(&self) -> Box<dyn Rescaling>;
}

/// A kind of rescaling: draws instances for the gate and lists itself for users.
pub trait RescalingKind: Send + Sync {
    /// Registry name.
    fn id(&self) -> &'static str;

    /// One line for lists and help.
    fn summary(&self) -> &'static str;

    /// A random instance for `model` whose factors lie within `[1 / spread, spread]`.
    ///
    /// # Errors
    /// [`RescaleError::NotApplicable`] if no instance preserves this model's function.
    fn draw(&self, model: &Model, spread: f64, streams: Streams) -> Result<Box<dyn Rescaling>, RescaleError>;
}

/// All kinds of rescaling, in the order users see them. A new one is a file and a line here.
pub fn registry() -> &'static [&'static dyn RescalingKind] {
    &[
        &layer_alpha::Kind,
        &neuron_scaling::Kind,
        &permutation::Kind,
        &sign_flip::Kind,
        &batch_norm_scale::Kind,
        &composition::Kind,
    ]
}

/// The kind of rescaling called `id`.
pub fn find(id: &str) -> Option<&'static dyn RescalingKind> {
    registry().iter().copied().find(|kind| crate::id::names(id, kind.id()))
}

#[cfg(test)]
mod tests;
