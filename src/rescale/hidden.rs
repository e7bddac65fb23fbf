//! Hidden units: what one affine layer writes and the next reads.

use crate::model::{LayerSpec, Model, Role, Tensor};
use crate::rescale::{Action, RescaleError};

/// The power of two nearest to a factor, by the ratio between them.
pub(crate) fn power_of_two(factor: f64) -> f64 {
    factor.log2().round().exp2()
}

/// The units between two affine layers of one chain, and what lies between the layers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hidden {
    /// Number of the parametrised layer that writes them.
    pub incoming: usize,
    /// Number of the one that reads them.
    pub outgoing: usize,
    /// First layer between that is not positively homogeneous (`f(c x) = c f(x)`, `c > 0`).
    pub inhomogeneous: Option<&'static str>,
    /// Whether a batch norm lies between, whose statistics belong to the units.
    pub crosses_batch_norm: bool,
    /// First layer between that is not odd (`f(-x) = -f(x)`).
    pub not_odd: Option<&'static str>,
}

impl Hidden {
    fn new(incoming: usize) -> Self {
        Self { incoming, outgoing: incoming, inhomogeneous: None, crosses_batch_norm: false, not_odd: None }
    }

    fn pass(&mut self, spec: &LayerSpec) {
        self.crosses_batch_norm |= matches!(spec, LayerSpec::BatchNorm);
        let homogeneous = spec.activation().is_none_or(|activation| activation.is_positively_homogeneous());
        let odd = spec.activation().is_none_or(|activation| activation.is_odd());
        if !homogeneous || matches!(spec, LayerSpec::BatchNorm) {
            self.inhomogeneous.get_or_insert(spec.kind());
        }
        if !odd || matches!(spec, LayerSpec::BatchNorm | LayerSpec::MaxPool { .. }) {
            self.not_odd.get_or_insert(spec.kind());
        }
    }
}

/// All hidden units of a model, by incoming: those of the main chain and those within branches of residuals. Units
/// that a residual adds up are not hidden: what writes and reads them is more than two layers.
pub(super) fn hidden_layers(model: &Model) -> Vec<Hidden> {
    let mut found = Vec::new();
    walk(&model.architecture().layers, 0, &mut found);
    found.sort_by_key(|hidden| hidden.incoming);
    found
}

fn walk(layers: &[LayerSpec], mut number: usize, found: &mut Vec<Hidden>) -> usize {
    let mut open: Option<Hidden> = None;
    for spec in layers {
        match spec {
            LayerSpec::Dense { .. } | LayerSpec::Conv { .. } => {
                if let Some(mut hidden) = open.take() {
                    hidden.outgoing = number;
                    found.push(hidden);
                }
                open = Some(Hidden::new(number));
                number += 1;
            }
            LayerSpec::BatchNorm => {
                if let Some(hidden) = &mut open {
                    hidden.pass(spec);
                }
                number += 1;
            }
            LayerSpec::Residual { branch, shortcut } => {
                open = None;
                number = walk(branch, number, found);
                number = walk(shortcut, number, found);
            }
            other => {
                if let Some(hidden) = &mut open {
                    hidden.pass(other);
                }
            }
        }
    }
    number
}

/// The hidden units that layer `incoming` writes.
///
/// # Errors
/// [`RescaleError::Layer`] if it writes none: it is the last of its chain, a batch norm, or does not exist.
pub(super) fn hidden_of(model: &Model, incoming: usize) -> Result<Hidden, RescaleError> {
    let all = hidden_layers(model);
    let known: Vec<String> = all.iter().map(|hidden| hidden.incoming.to_string()).collect();
    all.into_iter().find(|hidden| hidden.incoming == incoming).ok_or_else(|| RescaleError::Layer {
        layer: incoming,
        reason: if known.is_empty() {
            "the network has no layer with hidden units behind it".to_owned()
        } else {
            format!("the layers with hidden units behind them are {}", known.join(", "))
        },
    })
}

fn weight(model: &Model, layer: usize) -> &Tensor {
    let found = model.tensors().iter().find(|tensor| tensor.layer == layer && tensor.role == Role::Weight);
    found.expect("affine layers have a weight")
}

/// Number of units (channels) an affine layer writes.
pub(super) fn units(model: &Model, incoming: usize) -> usize {
    weight(model, incoming).shape[0]
}

/// What happens to hidden units.
pub(super) struct Change {
    /// Factor on what is written to each place.
    pub written: Vec<f64>,
    /// Factor on what is read from it, the inverse up to rounding.
    pub read: Vec<f64>,
    /// The unit that goes to each place.
    pub order: Vec<usize>,
}

impl Change {
    /// Units multiplied where they stand.
    pub fn scale(factors: &[f64]) -> Self {
        let read = factors.iter().map(|factor| 1.0 / factor).collect();
        Self { written: factors.to_vec(), read, order: (0..factors.len()).collect() }
    }

    /// Units that only move.
    pub fn permute(order: &[usize]) -> Self {
        Self { order: order.to_vec(), ..Self::scale(&vec![1.0; order.len()]) }
    }

    /// What is written divided by `alpha`, what is read multiplied.
    pub fn divide(units: usize, alpha: f64) -> Self {
        Self { written: vec![1.0 / alpha; units], read: vec![alpha; units], order: (0..units).collect() }
    }
}

/// The action of a change of hidden units on all parameters.
pub(super) fn act_on_units(model: &Model, hidden: &Hidden, change: &Change) -> Action {
    let Change { written: write_factors, read: read_factors, order } = change;
    let units = units(model, hidden.incoming);
    assert!(write_factors.len() == units && order.len() == units, "one factor and one place a unit");
    let mut scale = vec![1.0; model.parameter_count()];
    let mut source: Vec<usize> = (0..model.parameter_count()).collect();
    for written in model.tensors().iter().filter(|tensor| tensor.layer == hidden.incoming) {
        let row = written.range.len() / units;
        for unit in 0..units {
            for entry in 0..row {
                let index = written.range.start + unit * row + entry;
                scale[index] = write_factors[unit];
                source[index] = written.range.start + order[unit] * row + entry;
            }
        }
    }
    let read = weight(model, hidden.outgoing);
    // A outgoing sees a unit at one place (dense), at every tap of its kernel, or at every flattened position.
    let block = read.fan_in / units;
    for index in read.range.clone() {
        let column = (index - read.range.start) % read.fan_in;
        let unit = column / block;
        scale[index] = read_factors[unit];
        source[index] = index - unit * block + order[unit] * block;
    }
    Action::new(scale, source)
}
