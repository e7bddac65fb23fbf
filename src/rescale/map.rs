//! The traits of a map and of a kind of maps.

use crate::model::{Model, Network};
use crate::numeric::Streams;
use crate::rescale::{Action, RescaleError};

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

    /// Whether the function is preserved exactly (up to rounding), as all but `BatchNormScale` do.
    fn is_exact(&self) -> bool {
        true
    }

    /// The map of its kind whose factors are the nearest powers of two: it rounds nothing in any binary format.
    fn in_powers_of_two(&self) -> Box<dyn Rescaling>;

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

    /// Whether what is drawn preserves the function exactly (up to rounding).
    fn is_exact(&self) -> bool {
        true
    }

    /// A random instance for `model` whose factors lie within `[1 / spread, spread]`.
    ///
    /// # Errors
    /// [`RescaleError::NotApplicable`] if no instance preserves this model's function.
    fn draw(&self, model: &Model, spread: f64, streams: Streams) -> Result<Box<dyn Rescaling>, RescaleError>;
}
