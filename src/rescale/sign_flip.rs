//! Sign flips of hidden units with odd activations (Chen, Lu and Hecht-Nielsen 1993).

use crate::model::Model;
use crate::numeric::Streams;
use crate::rescale::hidden::{Change, act_on_units, hidden_layers, hidden_of, units};
use crate::rescale::neuron_scaling::check_length;
use crate::rescale::{Action, RescaleError, Rescaling, RescalingKind};
use rand::RngExt;
use std::collections::BTreeMap;

/// What is written to and what is read from a hidden unit times -1, where everything behind it is odd (tanh, erf, mean
/// pooling, flattening). No rounding at all.
#[derive(Debug, Clone, PartialEq)]
pub struct SignFlip {
    /// For each writing layer, which of its units flip.
    pub flips: BTreeMap<usize, Vec<bool>>,
}

impl Rescaling for SignFlip {
    fn id(&self) -> &'static str {
        "sign_flip"
    }

    fn action(&self, model: &Model) -> Result<Action, RescaleError> {
        let mut action = Action::identity(model.parameter_count());
        for (&layer, flips) in &self.flips {
            let hidden = hidden_of(model, layer)?;
            if let Some(kind) = hidden.not_odd {
                let reason = format!("the next layer is {kind}, which is not odd");
                return Err(RescaleError::Layer { layer, reason });
            }
            check_length(layer, "signs", flips.len(), units(model, hidden.incoming))?;
            let factors: Vec<f64> = flips.iter().map(|flip| if *flip { -1.0 } else { 1.0 }).collect();
            action = action.then(&act_on_units(model, &hidden, &Change::scale(&factors)));
        }
        Ok(action)
    }

    fn in_powers_of_two(&self) -> Box<dyn Rescaling> {
        Box::new(self.clone())
    }

    fn describe(&self) -> String {
        let layers = self.flips.iter().map(|(layer, flips)| {
            let count = flips.iter().filter(|flip| **flip).count();
            format!("{count} of {} units of layer {layer} flipped", flips.len())
        });
        layers.collect::<Vec<_>>().join(", ")
    }

    fn inverse(&self) -> Box<dyn Rescaling> {
        Box::new(self.clone())
    }
}

/// Registry entry.
pub(super) struct Kind;

impl RescalingKind for Kind {
    fn id(&self) -> &'static str {
        "sign_flip"
    }

    fn summary(&self) -> &'static str {
        "hidden units of odd activations times -1"
    }

    fn draw(&self, model: &Model, _spread: f64, streams: Streams) -> Result<Box<dyn Rescaling>, RescaleError> {
        let layers = hidden_layers(model).into_iter().filter(|hidden| hidden.not_odd.is_none());
        let flips: BTreeMap<usize, Vec<bool>> = layers
            .map(|hidden| {
                let mut generator = streams.stream("sign_flip", hidden.incoming as u64);
                let mut flips: Vec<bool> = (0..units(model, hidden.incoming)).map(|_| generator.random()).collect();
                if !flips.contains(&true) {
                    flips[0] = true;
                }
                (hidden.incoming, flips)
            })
            .collect();
        if flips.is_empty() {
            return Err(RescaleError::NotApplicable {
                id: self.id(),
                architecture: model.architecture().to_string(),
                reason: "no two affine layers have only odd layers between them".to_owned(),
            });
        }
        Ok(Box::new(SignFlip { flips }))
    }
}
