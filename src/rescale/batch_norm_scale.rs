//! Scaling what goes into a batch norm.

use crate::model::{LayerSpec, Model, Network, Role};
use crate::numeric::Streams;
use crate::rescale::hidden::{power_of_two, units};
use crate::rescale::neuron_scaling::check_length;
use crate::rescale::{Action, RescaleError, Rescaling, RescalingKind};
use rand::RngExt;
use std::collections::BTreeMap;

/// Added to the variance by batch norms, as in PyTorch.
const EPS: f64 = 1e-5;

/// Affine layers that a batch norm follows at once, wherever they stand, with the batch norm's number.
fn normalised_layers(model: &Model) -> BTreeMap<usize, usize> {
    let mut found = BTreeMap::new();
    walk(&model.architecture().layers, 0, &mut found);
    found
}

/// Takes the number of the first parametrised layer, gives that of the first behind.
fn walk(layers: &[LayerSpec], mut number: usize, found: &mut BTreeMap<usize, usize>) -> usize {
    let mut incoming = None;
    for spec in layers {
        match spec {
            LayerSpec::Dense { .. } | LayerSpec::Conv { .. } => {
                incoming = Some(number);
                number += 1;
                continue;
            }
            LayerSpec::BatchNorm => {
                if let Some(incoming) = incoming {
                    found.insert(incoming, number);
                }
                number += 1;
            }
            LayerSpec::Residual { branch, shortcut } => {
                number = walk(branch, number, found);
                number = walk(shortcut, number, found);
            }
            _ => {}
        }
        incoming = None;
    }
    number
}

/// Row `s` of an affine layer's weight and bias times `c_s > 0`, where a batch norm follows at once, with its stored mean
/// times `c_s` and stored variance times `c_s^2`, which is what they become on the scaled values.
///
/// A batch norm divides by `sqrt(variance + 1e-5)`, so the function is preserved up to that constant only: each
/// normalised value is multiplied by `sqrt((v + 1e-5) / (v + 1e-5 / c^2))`; see [`BatchNormScale::relative_change`].
#[derive(Debug, Clone, PartialEq)]
pub struct BatchNormScale {
    /// Factors above 0, one a channel, by the number of the affine layer before the batch norm.
    pub factors: BTreeMap<usize, Vec<f64>>,
}

impl BatchNormScale {
    /// Every affine layer that a batch norm follows at once, by one factor; none where there is no such layer.
    pub fn uniform(model: &Model, factor: f64) -> Self {
        let layers = normalised_layers(model).into_keys();
        Self { factors: layers.map(|layer| (layer, vec![factor; units(model, layer)])).collect() }
    }

    /// The number of the batch norm behind `layer`.
    fn of(model: &Model, layer: usize, factors: &[f64]) -> Result<usize, RescaleError> {
        let all = normalised_layers(model);
        let Some(norm) = all.get(&layer).copied() else {
            let layers: Vec<String> = all.keys().map(usize::to_string).collect();
            let reason = if layers.is_empty() {
                "no batch norm follows an affine layer at once".to_owned()
            } else {
                format!("the layers that a batch norm follows at once are {}", layers.join(", "))
            };
            return Err(RescaleError::Layer { layer, reason });
        };
        check_length(layer, "factors", factors.len(), units(model, layer))?;
        match factors.iter().find(|c| !(**c > 0.0 && c.is_finite() && (1.0 / **c).is_finite())) {
            Some(&factor) => Err(RescaleError::Alpha(factor)),
            None => Ok(norm),
        }
    }

    /// The largest factor by which a normalised value changes, less 1: `max_s |sqrt((v_s + 1e-5) / (v_s + 1e-5 / c_s^2)) - 1|`.
    /// Every output of the batch norm moves by at most this share of `|scale| |normalised value|`.
    ///
    /// # Errors
    /// As [`Rescaling::action`].
    pub fn relative_change(&self, network: &Network) -> Result<f64, RescaleError> {
        let mut worst = 0.0_f64;
        for (&layer, factors) in &self.factors {
            let norm = Self::of(&network.model, layer, factors)?;
            let variances = network.model.buffers().iter().find(|t| t.layer == norm && t.role == Role::Scale);
            let variances = &network.buffers[variances.expect("batch norms store a variance").range.clone()];
            for (v, c) in variances.iter().zip(factors) {
                worst = worst.max((((v + EPS) / (v + EPS / (c * c))).sqrt() - 1.0).abs());
            }
        }
        Ok(worst)
    }
}

impl Rescaling for BatchNormScale {
    fn id(&self) -> &'static str {
        "batch_norm_scale"
    }

    fn action(&self, model: &Model) -> Result<Action, RescaleError> {
        let mut scale = vec![1.0; model.parameter_count()];
        for (&layer, factors) in &self.factors {
            Self::of(model, layer, factors)?;
            for tensor in model.tensors().iter().filter(|tensor| tensor.layer == layer) {
                let row = tensor.range.len() / factors.len();
                for index in tensor.range.clone() {
                    scale[index] = factors[(index - tensor.range.start) / row];
                }
            }
        }
        Ok(Action::diagonal(scale))
    }

    fn buffer_action(&self, model: &Model) -> Result<Action, RescaleError> {
        let mut scale = vec![1.0; model.buffer_count()];
        for (&layer, factors) in &self.factors {
            let norm = Self::of(model, layer, factors)?;
            for tensor in model.buffers().iter().filter(|tensor| tensor.layer == norm) {
                for (index, c) in tensor.range.clone().zip(factors) {
                    scale[index] = if tensor.role == Role::Scale { c * c } else { *c };
                }
            }
        }
        Ok(Action::diagonal(scale))
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
            format!("{} inputs of the batch norm behind layer {layer} by factors from {low} to {high}", factors.len())
        });
        layers.collect::<Vec<_>>().join(", ")
    }

    fn inverse(&self) -> Box<dyn Rescaling> {
        let invert = |(&layer, factors): (&usize, &Vec<f64>)| (layer, factors.iter().map(|c| 1.0 / c).collect());
        Box::new(Self { factors: self.factors.iter().map(invert).collect() })
    }

    fn is_exact(&self) -> bool {
        false
    }
}

/// Registry entry.
pub(super) struct Kind;

impl RescalingKind for Kind {
    fn id(&self) -> &'static str {
        "batch_norm_scale"
    }

    fn summary(&self) -> &'static str {
        "weights before a batch norm times positive factors (invariance up to its epsilon)"
    }

    fn is_exact(&self) -> bool {
        false
    }

    fn draw(&self, model: &Model, spread: f64, streams: Streams) -> Result<Box<dyn Rescaling>, RescaleError> {
        let factors: BTreeMap<usize, Vec<f64>> = normalised_layers(model)
            .into_keys()
            .map(|layer| {
                let mut generator = streams.stream("batch_norm_scale", layer as u64);
                let mut factor = || spread.powf(generator.random_range(-1.0..=1.0));
                (layer, (0..units(model, layer)).map(|_| factor()).collect())
            })
            .collect();
        if factors.is_empty() {
            return Err(RescaleError::NotApplicable {
                id: self.id(),
                architecture: model.architecture().to_string(),
                reason: "no batch norm follows an affine layer at once".to_owned(),
            });
        }
        Ok(Box::new(BatchNormScale { factors }))
    }
}
