//! Every kind of rescaling on every kind of network it applies to.

use super::*;
use crate::model::{Activation, Architecture, Model, Network};
use crate::numeric::Streams;
use ndarray::Array2;
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;

fn network(widths: &[usize], activation: Activation, seed: u64) -> Network {
    let architecture = Architecture::fully_connected(widths, activation, 1.4, 0.7);
    Network::sample(Arc::new(Model::new(architecture).unwrap()), Streams::new(seed))
}

fn inputs(features: usize) -> Array2<f64> {
    let mut generator = Streams::new(2).stream("inputs", 0);
    Array2::from_shape_simple_fn((20, features), || StandardNormal.sample(&mut generator))
}

fn networks() -> Vec<Network> {
    let mut all = Vec::new();
    for activation in [Activation::Relu, Activation::Tanh, Activation::Erf] {
        for widths in [&[3, 5, 1][..], &[4, 6, 5, 2], &[2, 3, 4, 3, 1]] {
            all.push(network(widths, activation, 1));
        }
    }
    all
}

/// Logits of order one summed over tens of products: `1e-12` is a hundred times their rounding.
const ROUNDING: f64 = 1e-12;

#[test]
fn functions_are_preserved_and_inverses_undo() {
    let mut applied = std::collections::BTreeMap::new();
    for network in networks() {
        let inputs = inputs(network.model.input_count());
        let logits = network.logits(inputs.view());
        for kind in registry() {
            for seed in 0..5 {
                let Ok(map) = kind.draw(&network.model, 1e2, Streams::new(seed)) else { continue };
                *applied.entry(kind.id()).or_insert(0) += 1;
                let rescaled = map.apply(&network).unwrap();
                if kind.id() != "composition" {
                    assert_ne!(rescaled.theta, network.theta, "{} did nothing", map.describe());
                }
                let moved = (&rescaled.logits(inputs.view()) - &logits).fold(0.0_f64, |top, x| top.max(x.abs()));
                assert!(moved < ROUNDING, "{} moved logits by {moved:e}", map.describe());
                let back = map.inverse().apply(&rescaled).unwrap();
                for (back, theta) in back.theta.iter().zip(&network.theta) {
                    assert!((back - theta).abs() <= 1e-14 * theta.abs(), "{}: {back} {theta}", map.describe());
                }
                // The action's own inverse is the inverse's action.
                let action = map.action(&network.model).unwrap();
                let inverse = map.inverse().action(&network.model).unwrap();
                assert_eq!(action.inverse().source(), inverse.source());
                let identity = action.then(&inverse);
                assert_eq!(identity.source(), Action::identity(action.len()).source());
                assert!(identity.scale().iter().all(|scale| (scale - 1.0).abs() < 1e-14));
            }
        }
    }
    // Three ReLU networks of nine take scalings, six take sign flips, all take permutations.
    assert_eq!(applied["layer_alpha"], 15);
    assert_eq!(applied["neuron_scaling"], 15);
    assert_eq!(applied["sign_flip"], 30);
    assert_eq!(applied["permutation"], 45);
    assert_eq!(applied["composition"], 45);
}

#[test]
fn powers_of_two_and_sign_flips_leave_every_bit() {
    let relu = network(&[4, 6, 5, 2], Activation::Relu, 3);
    let inputs = inputs(4);
    let factors = [(0, vec![4.0, 0.5, 1.0, 2.0, 8.0, 0.25]), (1, vec![2.0; 5])];
    let map = NeuronScaling { factors: factors.into_iter().collect() };
    assert_eq!(map.apply(&relu).unwrap().logits(inputs.view()), relu.logits(inputs.view()));
    let tanh = network(&[4, 6, 5, 2], Activation::Tanh, 3);
    let map = find("sign_flip").unwrap().draw(&tanh.model, 1.0, Streams::new(0)).unwrap();
    assert_eq!(map.apply(&tanh).unwrap().logits(inputs.view()), tanh.logits(inputs.view()));
}

#[test]
fn compositions_are_products_of_their_parts() {
    let network = network(&[4, 6, 5, 2], Activation::Relu, 4);
    let parts = || -> Vec<Box<dyn Rescaling>> {
        vec![
            Box::new(Permutation::draw(&network.model, Streams::new(1)).unwrap()),
            Box::new(LayerAlpha { layer: 1, alpha: 5.9 }),
            Box::new(NeuronScaling::draw(&network.model, 0.1, 30.0, Streams::new(2)).unwrap()),
        ]
    };
    let whole = Composition { parts: parts() }.apply(&network).unwrap();
    let stepwise = parts().iter().fold(network.clone(), |network, part| part.apply(&network).unwrap());
    for (whole, stepwise) in whole.theta.iter().zip(&stepwise.theta) {
        assert!((whole - stepwise).abs() <= 1e-15 * stepwise.abs());
    }
}

#[test]
fn what_would_change_the_function_is_refused_by_name() {
    let relu = network(&[4, 6, 5, 2], Activation::Relu, 5);
    let tanh = network(&[4, 6, 5, 2], Activation::Tanh, 5);
    let refused = |map: &dyn Rescaling, network: &Network| map.action(&network.model).unwrap_err().to_string();
    assert!(refused(&LayerAlpha { layer: 0, alpha: 2.0 }, &tanh).contains("tanh"));
    assert!(refused(&LayerAlpha { layer: 2, alpha: 2.0 }, &relu).contains("are 0, 1"));
    assert!(refused(&LayerAlpha { layer: 9, alpha: 2.0 }, &relu).contains("layer 9"));
    for alpha in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-310] {
        assert!(refused(&LayerAlpha { layer: 0, alpha }, &relu).contains("alpha"));
    }
    let flips = [(0, vec![true; 6])].into_iter().collect();
    assert!(refused(&SignFlip { flips }, &relu).contains("relu"));
    let factors = [(1, vec![2.0; 3])].into_iter().collect();
    assert!(refused(&NeuronScaling { factors }, &relu).contains("5 hidden units"));
    let orders = [(1, vec![0, 1, 2, 3, 3])].into_iter().collect();
    assert!(refused(&Permutation { orders }, &relu).contains("unit 3"));
    let factors = [(0, vec![2.0; 6])].into_iter().collect();
    assert!(refused(&BatchNormScale { factors }, &relu).contains("batch norm"));
    assert!(NeuronScaling::draw(&relu.model, -1.0, 2.0, Streams::new(0)).is_err());
    for kind in registry() {
        let linear = network(&[4, 2], Activation::Relu, 0);
        assert!(matches!(
            kind.draw(&linear.model, 10.0, Streams::new(0)),
            Err(RescaleError::NotApplicable { id, .. }) if id == kind.id()
        ));
    }
}

/// In powers of two a map is one of its kind still, and where everything is homogeneous no logit moves a bit.
#[test]
fn powers_of_two_round_nothing() {
    let network = network(&[4, 6, 5, 2], Activation::Relu, 7);
    let inputs = Array2::from_shape_fn((5, 4), |(i, j)| ((3 * i + j) as f64).sin());
    let mut moved = 0;
    for kind in registry() {
        let Ok(map) = kind.draw(&network.model, 1e3, Streams::new(3)) else { continue };
        let exact = map.in_powers_of_two();
        assert_eq!(exact.id(), map.id());
        let action = exact.action(&network.model).unwrap();
        assert!(action.scale().iter().all(|factor| factor.abs().log2().fract() == 0.0), "{}", exact.describe());
        assert_eq!(action.source(), map.action(&network.model).unwrap().source());
        moved += usize::from(action.scale().iter().any(|factor| *factor != 1.0));
        // A permutation adds in another order.
        if action.source().iter().enumerate().all(|(index, source)| index == *source) {
            let twin = exact.apply(&network).unwrap();
            assert_eq!(twin.logits(inputs.view()), network.logits(inputs.view()), "{}", exact.describe());
        }
    }
    assert!(moved >= 3);
}
