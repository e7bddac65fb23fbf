//! The rescaling by one factor that leaves a network's function as it is.

use crate::model::Model;
use crate::rescale::{BatchNormScale, LayerAlpha, RescaleError, Rescaling};

/// The layer that is divided by the factor, where no batch norm stands behind it.
const LAYER: usize = 0;

/// The first layer divided by `alpha` and the second multiplied (Dinh et al. 2017); where batch norms stand in between,
/// all layers before a batch norm multiplied by `alpha`, which preserves the function up to the batch norms' epsilon.
///
/// # Errors
/// [`RescaleError`]: of the first map, where the network has no batch norm behind an affine layer either.
pub(super) fn rescaling(model: &Model, alpha: f64) -> Result<Box<dyn Rescaling>, RescaleError> {
    let layer = LayerAlpha { layer: LAYER, alpha };
    let fault = match layer.action(model) {
        Ok(_) => return Ok(Box::new(layer)),
        Err(error) => error,
    };
    let normalised = BatchNormScale::uniform(model, alpha);
    if normalised.factors.is_empty() {
        return Err(fault);
    }
    normalised.action(model)?;
    Ok(Box::new(normalised))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Architecture, Network};
    use crate::numeric::Streams;
    use ndarray::Array2;
    use std::sync::Arc;

    fn network(text: &str) -> Network {
        let architecture = Architecture::read(text, None, None, None).unwrap();
        Network::sample(Arc::new(Model::new(architecture).unwrap()), Streams::new(3))
    }

    #[test]
    fn every_kind_of_network_gets_a_map_that_keeps_its_function() {
        for (text, id) in [("fcn:64-10-10-1", "layer_alpha"), ("resnet8:1x8x8-1", "batch_norm_scale")] {
            let before = network(text);
            let map = rescaling(&before.model, 5.9).unwrap();
            assert_eq!(map.id(), id);
            let after = map.apply(&before).unwrap();
            assert_ne!(before.theta, after.theta);
            let inputs = Array2::from_shape_fn((7, 64), |(i, j)| ((i * 64 + j) as f64 * 0.7).sin());
            let (x, y) = (before.logits(inputs.view()), after.logits(inputs.view()));
            let worst = x.iter().zip(&y).map(|(x, y)| (x - y).abs() / x.abs().max(1.0)).fold(0.0, f64::max);
            // Twenty batch norms of variance of order 1, each off by half an epsilon of 1e-5.
            assert!(worst < 1e-3, "{text}: {worst}");
        }
    }
}
