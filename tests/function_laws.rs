//! The power of the laws of the function under layer scaling, and their inverse, on drawn networks. The laws themselves are
//! the gate's: see laws.rs.

mod common;

use common::drawn::networks;
use flatgauge::model::Network;
use flatgauge::rescale::{Action, LayerAlpha, Rescaling, logit_rounding_bound};

/// The network with one layer's weights and biases multiplied, and nothing done about it.
fn layer_times(network: &Network, layer: usize, factor: f64) -> Network {
    let mut theta = network.theta().to_vec();
    for tensor in network.model().tensors().iter().filter(|tensor| tensor.layer == layer) {
        theta[tensor.range.clone()].iter_mut().for_each(|value| *value *= factor);
    }
    network.with_theta(theta)
}

/// Factors from 1.02 to 1000 and their inverses, one per case.
fn factor(index: usize, count: usize) -> f64 {
    10_f64.powf(0.01 + 2.99 * index as f64 / count as f64)
}

/// Whatever moves a logit by a billionth of its magnitude is far outside the bound. (Units that are off may hide the layer
/// altogether.)
#[test]
fn a_scaling_that_is_not_compensated_leaves_the_bound() {
    const CASES: usize = 256;
    let mut seen = 0;
    for (index, case) in networks(20_261_129, CASES).iter().enumerate() {
        let (network, inputs) = (&case.network, &case.inputs);
        let Some(bound) = logit_rounding_bound(network, inputs.view()) else { continue };
        let before = network.logits(inputs.view());
        let layers = network.model().parametrised_layer_count();
        let after = layer_times(network, index % (layers - 1), 1.0 / factor(index, CASES)).logits(inputs.view());
        let magnitudes = network.with_theta(network.theta().iter().map(|value| value.abs()).collect());
        let magnitude = magnitudes.logits(inputs.mapv(f64::abs).view());
        for (place, before) in before.indexed_iter() {
            let moved = (after[place] - before).abs();
            if moved > 1e-9 * magnitude[place] {
                assert!(moved > 100.0 * bound[place], "{}: moved {moved:e}, bound {:e}", case.name, bound[place]);
                seen += 1;
            }
        }
    }
    assert!(seen > 500, "only {seen} logits moved");
}

#[test]
fn the_inverse_undoes_the_map() {
    const CASES: usize = 256;
    for (index, case) in networks(20_261_130, CASES).iter().enumerate() {
        let network = &case.network;
        let layers = network.model().parametrised_layer_count();
        let map = LayerAlpha { layer: index % (layers - 1), alpha: factor(index, CASES) };
        let Ok(there) = map.action(network.model()) else { continue };
        let back = map.inverse().action(network.model()).unwrap();
        let theta = back.apply(&there.apply(network.theta()));
        for (value, original) in theta.iter().zip(network.theta()) {
            assert!((value - original).abs() <= 8.0 * f64::EPSILON * original.abs());
        }
        assert_eq!(there.then(&there.inverse()).source(), Action::identity(theta.len()).source());
    }
}
