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
//! assert_ne!(twin.theta(), network.theta());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod action;
mod batch_norm_scale;
mod composition;
mod error;
mod hidden;
mod kinks;
mod layer_alpha;
mod map;
mod neuron_scaling;
mod permutation;
mod rounding;
mod sign_flip;

pub use map::{Rescaling, RescalingKind};

pub use error::RescaleError;

pub use action::Action;
pub use batch_norm_scale::BatchNormScale;
pub use composition::Composition;
pub(crate) use hidden::power_of_two;
pub use kinks::{NearKink, NearKinks};
pub use layer_alpha::LayerAlpha;
pub use neuron_scaling::NeuronScaling;
pub use permutation::Permutation;
pub use rounding::logit_rounding_bound;
pub use sign_flip::SignFlip;

/// Those that are no composition of others.
const SINGLE: [&dyn RescalingKind; 5] =
    [&layer_alpha::Kind, &neuron_scaling::Kind, &permutation::Kind, &sign_flip::Kind, &batch_norm_scale::Kind];

/// All kinds of rescaling, in the order users see them. A new one is a file and a line above.
pub fn registry() -> &'static [&'static dyn RescalingKind] {
    const ALL: [&dyn RescalingKind; SINGLE.len() + 1] = {
        let [a, b, c, d, e] = SINGLE;
        [a, b, c, d, e, &composition::Kind { of: &SINGLE }]
    };
    &ALL
}

/// The kind of rescaling called `id`.
pub fn find(id: &str) -> Option<&'static dyn RescalingKind> {
    registry().iter().copied().find(|kind| crate::id::names(id, kind.id()))
}

#[cfg(test)]
mod tests;
