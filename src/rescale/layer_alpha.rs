//! Layer scaling by alpha (Dinh et al. 2017; the paper uses alpha = 5.9).

use crate::model::{LayerSpec, Model, Role};
use crate::numeric::Streams;
use crate::rescale::{Action, RescaleError, Rescaling, RescalingKind};
use rand::RngExt;

/// `(W_l, b_l) / alpha` and `W_{l+1} alpha`: the function is unchanged where everything between the two
/// layers is positively homogeneous (ReLU, pooling, flattening). `b_{l+1}` and all later layers stay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerAlpha {
    /// Number of the parametrised layer `l`.
    pub layer: usize,
    /// The factor, above 0.
    pub alpha: f64,
}

impl Rescaling for LayerAlpha {
    fn id(&self) -> &'static str {
        "layer_alpha"
    }

    fn action(&self, model: &Model) -> Result<Action, RescaleError> {
        if !(self.alpha > 0.0 && self.alpha.is_finite() && (1.0 / self.alpha).is_finite()) {
            return Err(RescaleError::Alpha(self.alpha));
        }
        check_homogeneous_between(model, self.layer)?;
        let mut scale = vec![1.0; model.parameters()];
        for tensor in model.tensors() {
            let factor = match (tensor.layer, tensor.role) {
                (layer, Role::Weight | Role::Bias) if layer == self.layer => 1.0 / self.alpha,
                (layer, Role::Weight) if layer == self.layer + 1 => self.alpha,
                _ => continue,
            };
            scale[tensor.range.clone()].fill(factor);
        }
        Ok(Action::diagonal(scale))
    }

    fn describe(&self) -> String {
        format!("layer {} by alpha {}", self.layer, self.alpha)
    }

    fn inverse(&self) -> Box<dyn Rescaling> {
        Box::new(Self { layer: self.layer, alpha: 1.0 / self.alpha })
    }
}

/// Whether layers `layer` and `layer + 1` are affine with only positively homogeneous layers between them.
pub(super) fn check_homogeneous_between(model: &Model, layer: usize) -> Result<(), RescaleError> {
    let fault = |reason: String| Err(RescaleError::Layer { layer, reason });
    let mut parametrised = 0;
    let mut inside = false;
    for spec in &model.architecture().layers {
        match spec {
            LayerSpec::Dense { .. } | LayerSpec::Conv { .. } => {
                if inside {
                    return Ok(());
                }
                inside = parametrised == layer;
                parametrised += 1;
            }
            LayerSpec::Relu
            | LayerSpec::AvgPool { .. }
            | LayerSpec::MaxPool { .. }
            | LayerSpec::GlobalAvgPool
            | LayerSpec::Flatten => {}
            other if inside => {
                return fault(format!("a {} layer follows, which is not positively homogeneous", other.kind()));
            }
            other => parametrised += parametrised_layers_in(other),
        }
    }
    if inside {
        return fault("no layer follows that could compensate".to_owned());
    }
    fault(format!(
        "the network has parametrised layers 0 to {}, or it lies in a residual",
        model.parametrised_layers() - 1
    ))
}

fn parametrised_layers_in(spec: &LayerSpec) -> usize {
    match spec {
        LayerSpec::Dense { .. } | LayerSpec::Conv { .. } | LayerSpec::BatchNorm => 1,
        LayerSpec::Residual { branch, shortcut } => branch.iter().chain(shortcut).map(parametrised_layers_in).sum(),
        _ => 0,
    }
}

/// Registry entry.
pub(super) struct Kind;

impl RescalingKind for Kind {
    fn id(&self) -> &'static str {
        "layer_alpha"
    }

    fn summary(&self) -> &'static str {
        "one layer divided by alpha, the next multiplied (Dinh 2017)"
    }

    fn draw(&self, model: &Model, spread: f64, streams: Streams) -> Result<Box<dyn Rescaling>, RescaleError> {
        let candidates: Vec<usize> =
            (0..model.parametrised_layers()).filter(|&layer| check_homogeneous_between(model, layer).is_ok()).collect();
        if candidates.is_empty() {
            return Err(RescaleError::NotApplicable {
                id: self.id(),
                architecture: model.architecture().to_string(),
                reason: "no two parametrised layers have only positively homogeneous layers between them".to_owned(),
            });
        }
        let mut generator = streams.stream("layer_alpha", 0);
        let layer = candidates[generator.random_range(0..candidates.len())];
        let alpha = spread.powf(generator.random_range(-1.0..=1.0));
        Ok(Box::new(LayerAlpha { layer, alpha }))
    }
}
