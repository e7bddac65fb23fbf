//! Chains of dense layers and ReLUs, read from an architecture.

use crate::model::{Architecture, LayerSpec};
use std::ops::Range;

/// A dense layer within a flat parameter vector.
#[derive(Debug, Clone)]
pub(super) struct DenseLayer {
    pub inputs: usize,
    pub units: usize,
    pub weight: Range<usize>,
    pub bias: Range<usize>,
    pub relu: bool,
}

/// The layers of an architecture on inputs of some width, or `None` if it is not a chain of dense layers and ReLUs with one
/// logit.
pub(super) fn dense_layers(architecture: &Architecture, width: usize) -> Option<Vec<DenseLayer>> {
    let mut layers: Vec<DenseLayer> = Vec::new();
    let mut width = width;
    let mut first = 0;
    for spec in &architecture.layers {
        match spec {
            LayerSpec::Dense { units } => {
                let weight = first..first + units * width;
                let bias = weight.end..weight.end + units;
                first = bias.end;
                layers.push(DenseLayer { inputs: width, units: *units, weight, bias, relu: false });
                width = *units;
            }
            LayerSpec::Relu => layers.last_mut()?.relu = true,
            _ => return None,
        }
    }
    (width == 1 && !layers.is_empty()).then_some(layers)
}
