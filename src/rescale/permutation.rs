//! Permutation of hidden units or channels (Hecht-Nielsen 1990).

use crate::model::Model;
use crate::numeric::Streams;
use crate::rescale::hidden::{Change, act_on_units, hidden_layers, hidden_of, units};
use crate::rescale::neuron_scaling::check_length;
use crate::rescale::{Action, RescaleError, Rescaling, RescalingKind};
use rand::seq::SliceRandom;
use std::collections::BTreeMap;

/// Hidden units of any layers exchanged, with all that is written to and read from them. It is bit-exact up to the
/// order of sums.
#[derive(Debug, Clone, PartialEq)]
pub struct Permutation {
    /// For each writing layer, `order[s]`: the unit that goes to place `s`.
    pub orders: BTreeMap<usize, Vec<usize>>,
}

impl Permutation {
    /// A random order other than their own of the units of every hidden layer (except those behind which a batch norm stands).
    ///
    /// # Errors
    /// [`RescaleError::NotApplicable`] if there are none.
    pub fn draw(model: &Model, streams: Streams) -> Result<Self, RescaleError> {
        let layers = hidden_layers(model).into_iter().filter(|hidden| !hidden.crosses_batch_norm);
        let orders: BTreeMap<usize, Vec<usize>> = layers
            .map(|hidden| {
                let mut order: Vec<usize> = (0..units(model, hidden.incoming)).collect();
                order.shuffle(&mut streams.stream("permutation", hidden.incoming as u64));
                if order.is_sorted() {
                    order.rotate_left(1);
                }
                (hidden.incoming, order)
            })
            .collect();
        if orders.is_empty() {
            return Err(RescaleError::NotApplicable {
                id: "permutation",
                architecture: model.architecture().to_string(),
                reason: "there are no hidden units between two affine layers".to_owned(),
            });
        }
        Ok(Self { orders })
    }
}

impl Rescaling for Permutation {
    fn id(&self) -> &'static str {
        "permutation"
    }

    fn action(&self, model: &Model) -> Result<Action, RescaleError> {
        let mut action = Action::identity(model.parameter_count());
        for (&layer, order) in &self.orders {
            let hidden = hidden_of(model, layer)?;
            let units = units(model, hidden.incoming);
            check_length(layer, "places", order.len(), units)?;
            let mut seen = vec![false; units];
            for &unit in order {
                if unit >= units || std::mem::replace(&mut seen[unit], true) {
                    let reason = format!("unit {unit} is named twice or does not exist among its {units} units");
                    return Err(RescaleError::Layer { layer, reason });
                }
            }
            if hidden.crosses_batch_norm {
                let reason = "a batch norm follows, whose own parameters would have to move along".to_owned();
                return Err(RescaleError::Layer { layer, reason });
            }
            action = action.then(&act_on_units(model, &hidden, &Change::permute(order)));
        }
        Ok(action)
    }

    fn in_powers_of_two(&self) -> Box<dyn Rescaling> {
        Box::new(self.clone())
    }

    fn describe(&self) -> String {
        let layers =
            self.orders.iter().map(|(layer, order)| format!("{} units of layer {layer} permuted", order.len()));
        layers.collect::<Vec<_>>().join(", ")
    }

    fn inverse(&self) -> Box<dyn Rescaling> {
        let orders = self.orders.iter().map(|(&layer, order)| {
            let mut inverse = vec![0; order.len()];
            for (place, &unit) in order.iter().enumerate() {
                inverse[unit] = place;
            }
            (layer, inverse)
        });
        Box::new(Self { orders: orders.collect() })
    }
}

/// Registry entry.
pub(super) struct Kind;

impl RescalingKind for Kind {
    fn id(&self) -> &'static str {
        "permutation"
    }

    fn summary(&self) -> &'static str {
        "hidden units or channels exchanged"
    }

    fn draw(&self, model: &Model, _spread: f64, streams: Streams) -> Result<Box<dyn Rescaling>, RescaleError> {
        Ok(Box::new(Permutation::draw(model, streams)?))
    }
}
