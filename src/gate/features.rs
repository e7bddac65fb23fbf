//! What a case has that another has not: words for the pattern behind failures.

use crate::gate::cases::{FlatnessCase, PriorCase};
use crate::gate::law::Context;
use crate::gate::laws::certified_networks;
use crate::model::{Activation, LayerSpec, Loss, Role};
use crate::numeric::linalg::symmetric_eigenvalues;
use crate::prior::Gram;
use std::collections::HashMap;
use std::sync::Arc;

/// Margin from which on a loss is flat: one minus a probability is below 1e-6 there.
const SATURATED: f64 = 14.0;
/// Share of the largest eigenvalue below which one is rounding.
const ROUNDING: f64 = 1e-12;

/// What a case has.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Features {
    /// Smaller cases are looked at first.
    pub size: usize,
    /// What it has or has not, in the words of "cases with".
    pub traits: Vec<&'static str>,
    /// How many it has of what.
    pub counts: Vec<(&'static str, usize)>,
}

/// Features of all cases of a run, by the name of the case.
pub(super) fn of_cases(context: &Context) -> HashMap<String, Arc<Features>> {
    let networks = context.flatness_cases.iter().map(|case| (case.name.clone(), Arc::new(of_network(case))));
    let grams = context.prior_cases.iter().map(|case| (case.name.clone(), Arc::new(of_gram(case))));
    let certified = certified_networks();
    let certified = certified.iter().map(|case| (case.name.clone(), Arc::new(of_network(case))));
    networks.chain(grams).chain(certified).collect()
}

/// All layers, those of branches and shortcuts among them.
fn flattened<'l>(layers: &'l [LayerSpec], all: &mut Vec<&'l LayerSpec>) {
    for layer in layers {
        all.push(layer);
        if let LayerSpec::Residual { branch, shortcut } = layer {
            flattened(branch, all);
            flattened(shortcut, all);
        }
    }
}

fn of_network(case: &FlatnessCase) -> Features {
    let model = &case.network.model;
    let mut layers = Vec::new();
    flattened(&model.architecture().layers, &mut layers);
    let has = |wanted: &[&str]| layers.iter().any(|layer| wanted.contains(&layer.kind()));
    let with = |activation: Activation| layers.iter().any(|layer| layer.activation() == Some(activation));
    let entries = |role: Role| {
        let tensors = model.tensors().iter().filter(move |tensor| tensor.role == role);
        tensors.flat_map(|tensor| case.network.theta[tensor.range.clone()].iter().copied())
    };
    let weighted =
        layers.iter().filter(|layer| matches!(layer, LayerSpec::Dense { .. } | LayerSpec::Conv { .. })).count();
    let (parameters, samples) = (case.network.theta.len(), case.inputs.nrows());
    let traits = [
        ("biases other than 0", entries(Role::Bias).any(|bias| bias != 0.0)),
        ("batch norm", has(&["batch_norm"])),
        ("convolutions", has(&["conv"])),
        ("pooling", has(&["avg_pool", "max_pool", "global_avg_pool"])),
        ("residual connections", has(&["residual"])),
        ("one output", model.output_count() == 1),
        ("binary cross-entropy", case.loss == Loss::Bce),
        ("cross-entropy of several classes", case.loss == Loss::Ce),
        ("squared error", case.loss == Loss::Mse),
        ("relu", with(Activation::Relu)),
        ("tanh", with(Activation::Tanh)),
        ("erf", with(Activation::Erf)),
        ("hidden layers", weighted > 1),
        ("weights that are 0", entries(Role::Weight).any(|weight| weight == 0.0)),
        ("a saturated loss", is_saturated(case)),
    ];
    Features {
        size: parameters * samples,
        traits: traits.into_iter().filter_map(|(name, has)| has.then_some(name)).collect(),
        counts: vec![("samples", samples), ("layers of weights", weighted), ("parameters", parameters)],
    }
}

/// Whether some sample's margin leaves its probability at 0 or 1.
fn is_saturated(case: &FlatnessCase) -> bool {
    let logits = case.objective().logits(&case.network.theta);
    let spread = |row: ndarray::ArrayView1<f64>| {
        let (least, most) = row.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), z| (a.min(*z), b.max(*z)));
        if row.len() == 1 { most.abs() } else { most - least }
    };
    case.loss != Loss::Mse && logits.rows().into_iter().any(|row| spread(row) > SATURATED)
}

fn of_gram(case: &PriorCase) -> Features {
    let points = case.gram.point_count();
    let matrix = case.gram.matrix();
    let signs = case.labels.signs();
    let pairs = || (0..points).flat_map(|i| (0..i).map(move |j| (i, j)));
    let alike = |i: usize, j: usize| matrix[[i, j]].abs() >= (1.0 - 1e-9) * (matrix[[i, i]] * matrix[[j, j]]).sqrt();
    let rank = rank(&case.gram);
    let traits = [
        ("a singular matrix", rank < points),
        ("points that occur twice", pairs().any(|(i, j)| alike(i, j))),
        ("labels of one sign", signs.iter().all(|sign| *sign == signs[0])),
        ("negative covariances", pairs().any(|(i, j)| matrix[[i, j]] < 0.0)),
        ("diagonals other than 1", (0..points).any(|i| matrix[[i, i]] != 1.0)),
    ];
    Features {
        size: points,
        traits: traits.into_iter().filter_map(|(name, has)| has.then_some(name)).collect(),
        counts: vec![("points", points), ("dimensions of the matrix's range", rank)],
    }
}

/// Eigenvalues that are more than rounding.
fn rank(gram: &Gram) -> usize {
    let eigenvalues = symmetric_eigenvalues(gram.matrix());
    let largest = eigenvalues[eigenvalues.len() - 1];
    eigenvalues.iter().filter(|value| **value > ROUNDING * largest).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{Corpus, Tier};
    use crate::prior::Labels;
    use ndarray::array;

    #[test]
    fn matrices_and_networks_have_what_they_are_said_to() {
        let gram = Gram::new(array![[2.0, 2.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 1.0]]).unwrap();
        let case = PriorCase { name: "copies".to_owned(), gram, labels: Labels::from_signs([true, true, true]) };
        let features = of_gram(&case);
        let traits = ["a singular matrix", "points that occur twice", "labels of one sign", "diagonals other than 1"];
        assert_eq!(features.traits, traits);
        assert_eq!(features.counts, [("points", 3), ("dimensions of the matrix's range", 2)]);

        let networks = Corpus::built_in().networks(Tier::Full, 0).unwrap();
        let with = |name: &str| networks.iter().filter(|case| of_network(case).traits.contains(&name)).count();
        for name in ["batch norm", "one output", "tanh", "squared error", "a saturated loss", "hidden layers"] {
            let count = with(name);
            assert!(count > 0 && count < networks.len(), "{name}: {count} of {}", networks.len());
        }
    }
}
