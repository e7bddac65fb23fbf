//! Layer scaling by alpha (Dinh et al. 2017; the paper uses alpha = 5.9).

use crate::model::Model;
use crate::numeric::Streams;
use crate::rescale::hidden::{Change, Hidden, act_on_units, hidden_layers, hidden_of, power_of_two, units};
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
        let hidden = hidden_of(model, self.layer)?;
        check_homogeneous(&hidden)?;
        Ok(act_on_units(model, &hidden, &Change::divide(units(model, hidden.incoming), self.alpha)))
    }

    fn in_powers_of_two(&self) -> Box<dyn Rescaling> {
        Box::new(Self { alpha: power_of_two(self.alpha), ..*self })
    }

    fn describe(&self) -> String {
        format!("layer {} by alpha {}", self.layer, self.alpha)
    }

    fn inverse(&self) -> Box<dyn Rescaling> {
        Box::new(Self { layer: self.layer, alpha: 1.0 / self.alpha })
    }
}

/// Refuses units behind which a layer is not positively homogeneous.
pub(super) fn check_homogeneous(hidden: &Hidden) -> Result<(), RescaleError> {
    match hidden.inhomogeneous {
        None => Ok(()),
        Some(kind) => Err(RescaleError::Layer {
            layer: hidden.incoming,
            reason: format!("the next layer is {kind}, which is not positively homogeneous"),
        }),
    }
}

/// The hidden units of a model behind which everything is positively homogeneous.
///
/// # Errors
/// [`RescaleError::NotApplicable`] in the name of `id` if there are none.
pub(super) fn homogeneous_layers(model: &Model, id: &'static str) -> Result<Vec<Hidden>, RescaleError> {
    let layers: Vec<Hidden> =
        hidden_layers(model).into_iter().filter(|hidden| hidden.inhomogeneous.is_none()).collect();
    if layers.is_empty() {
        return Err(RescaleError::NotApplicable {
            id,
            architecture: model.architecture().to_string(),
            reason: "no two affine layers have only positively homogeneous layers between them".to_owned(),
        });
    }
    Ok(layers)
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
        let candidates = homogeneous_layers(model, self.id())?;
        let mut generator = streams.stream("layer_alpha", 0);
        let layer = candidates[generator.random_range(0..candidates.len())].incoming;
        let alpha = spread.powf(generator.random_range(-1.0..=1.0));
        Ok(Box::new(LayerAlpha { layer, alpha }))
    }
}
