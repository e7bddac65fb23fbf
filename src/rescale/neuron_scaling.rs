//! Positive scaling of single hidden units (Neyshabur et al. 2015).

use crate::model::Model;
use crate::numeric::Streams;
use crate::rescale::hidden::{Change, act_on_units, hidden_of, power_of_two, units};
use crate::rescale::layer_alpha::{check_homogeneous, homogeneous_layers};
use crate::rescale::{Action, RescaleError, Rescaling, RescalingKind};
use rand::RngExt;
use std::collections::BTreeMap;

/// Row `s` of `(W_l, b_l)` times `c_s`, what the next layer reads from unit (or channel) `s` divided by `c_s`, for any
/// layers `l` behind which everything is positively homogeneous.
#[derive(Debug, Clone, PartialEq)]
pub struct NeuronScaling {
    /// Factors above 0, one a unit, by the number of the parametrised layer that writes the units.
    pub factors: BTreeMap<usize, Vec<f64>>,
}

impl NeuronScaling {
    /// Factors for all hidden units where that preserves the function, uniform in their logarithm on `[low, high]`.
    ///
    /// # Errors
    /// [`RescaleError::Range`] unless `0 < low <= high`; [`RescaleError::NotApplicable`] if there are no such units.
    pub fn draw(model: &Model, low: f64, high: f64, streams: Streams) -> Result<Self, RescaleError> {
        if !(low > 0.0 && low <= high && high.is_finite()) {
            return Err(RescaleError::Range { low, high });
        }
        let factors = homogeneous_layers(model, "neuron_scaling")?.into_iter().map(|hidden| {
            let mut generator = streams.stream("neuron_scaling", hidden.incoming as u64);
            let mut factor = || (low.ln() + (high / low).ln() * generator.random::<f64>()).exp();
            (hidden.incoming, (0..units(model, hidden.incoming)).map(|_| factor()).collect())
        });
        Ok(Self { factors: factors.collect() })
    }
}

impl Rescaling for NeuronScaling {
    fn id(&self) -> &'static str {
        "neuron_scaling"
    }

    fn action(&self, model: &Model) -> Result<Action, RescaleError> {
        let mut action = Action::identity(model.parameter_count());
        for (&layer, factors) in &self.factors {
            let hidden = hidden_of(model, layer)?;
            check_homogeneous(&hidden)?;
            check_length(layer, "factors", factors.len(), units(model, hidden.incoming))?;
            if let Some(&factor) = factors.iter().find(|c| !(**c > 0.0 && c.is_finite() && (1.0 / **c).is_finite())) {
                return Err(RescaleError::Alpha(factor));
            }
            action = action.then(&act_on_units(model, &hidden, &Change::scale(factors)));
        }
        Ok(action)
    }

    fn in_powers_of_two(&self) -> Box<dyn Rescaling> {
        let round =
            |(&layer, factors): (&usize, &Vec<f64>)| (layer, factors.iter().copied().map(power_of_two).collect());
        Box::new(Self { factors: self.factors.iter().map(round).collect() })
    }

    fn describe(&self) -> String {
        let layers = self.factors.iter().map(|(layer, factors)| {
            let low = factors.iter().copied().fold(f64::INFINITY, f64::min);
            let high = factors.iter().copied().fold(0.0, f64::max);
            format!("{} units of layer {layer} by factors from {low} to {high}", factors.len())
        });
        layers.collect::<Vec<_>>().join(", ")
    }

    fn inverse(&self) -> Box<dyn Rescaling> {
        let invert = |(&layer, factors): (&usize, &Vec<f64>)| (layer, factors.iter().map(|c| 1.0 / c).collect());
        Box::new(Self { factors: self.factors.iter().map(invert).collect() })
    }
}

/// Refuses a list that does not have one entry a unit.
pub(super) fn check_length(
    layer: usize,
    what: &'static str,
    found: usize,
    expected: usize,
) -> Result<(), RescaleError> {
    if found == expected { Ok(()) } else { Err(RescaleError::Length { layer, what, found, expected }) }
}

/// Registry entry.
pub(super) struct Kind;

impl RescalingKind for Kind {
    fn id(&self) -> &'static str {
        "neuron_scaling"
    }

    fn summary(&self) -> &'static str {
        "each hidden unit's inputs multiplied by a positive factor, its outputs divided"
    }

    fn draw(&self, model: &Model, spread: f64, streams: Streams) -> Result<Box<dyn Rescaling>, RescaleError> {
        Ok(Box::new(NeuronScaling::draw(model, 1.0 / spread, spread, streams)?))
    }
}
