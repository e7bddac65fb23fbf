//! Maps of parameters that claim to leave functions as they are.

use crate::gate::no_parameters::NoParameters;
use crate::model::Network;
use crate::numeric::Streams;
use crate::rescale::{Action, RescaleError, RescalingKind};
use std::sync::LazyLock;

/// What a map makes of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Rescaled {
    /// The parameters after it.
    pub theta: Vec<f64>,
    /// The statistics of batch norms after it.
    pub buffers: Vec<f64>,
    /// How it says that it acts on the parameters, and with them on gradient and Hessian.
    pub action: Action,
}

/// A map under test.
pub trait FunctionMap: Send + Sync {
    /// Its name in reports.
    fn id(&self) -> &str;

    /// Whether it says that it leaves the function as it is up to rounding, and not just nearly.
    fn is_exact(&self) -> bool {
        true
    }

    /// Whether it is to be asked about a network at all.
    fn covers(&self, _network: &Network) -> bool {
        true
    }

    /// What it makes of a network; all that is random comes from the seed.
    ///
    /// # Errors
    /// [`NoParameters`].
    fn rescale(&self, network: &Network, seed: u64) -> Result<Rescaled, NoParameters>;
}

/// A kind of rescaling as a map under test: one is drawn for every network.
pub(super) struct OfKind<'a>(pub &'a dyn RescalingKind);

/// Factors are drawn up to this, and down to one over it.
const SPREAD: f64 = 1e3;

impl FunctionMap for OfKind<'_> {
    fn id(&self) -> &str {
        self.0.id()
    }

    fn is_exact(&self) -> bool {
        self.0.is_exact()
    }

    fn covers(&self, network: &Network) -> bool {
        self.0.draw(&network.model, SPREAD, Streams::new(0)).is_ok()
    }

    fn rescale(&self, network: &Network, seed: u64) -> Result<Rescaled, NoParameters> {
        let fault = |error: RescaleError| match error {
            RescaleError::NotApplicable { .. } => NoParameters::NotApplicable(error.to_string()),
            other => NoParameters::Fault(other.to_string()),
        };
        let map = self.0.draw(&network.model, SPREAD, Streams::new(seed)).map_err(fault)?;
        let twin = map.apply(network).map_err(fault)?;
        let action = map.action(&network.model).map_err(fault)?;
        Ok(Rescaled { theta: twin.theta, buffers: twin.buffers, action })
    }
}

/// The registered kinds.
pub(super) fn built_in() -> Vec<&'static dyn FunctionMap> {
    static ALL: LazyLock<Vec<OfKind<'static>>> =
        LazyLock::new(|| crate::rescale::registry().iter().map(|kind| OfKind(*kind)).collect());
    ALL.iter().map(|kind| kind as &dyn FunctionMap).collect()
}
