//! How far the logits of a rescaled network may move by rounding alone.

use crate::model::{LayerSpec, Network, Role};
use crate::numeric::tolerance::UNIT_ROUNDOFF;
use ndarray::{Array2, ArrayView2};

/// Per logit (`n x outputs`), a bound on `|f(x; theta) - f(x; theta')|` as computed in f64, where
/// `theta'` is `theta` under a layer or neuron scaling or a permutation; `None` if the network holds a
/// layer for which none is known.
///
/// A chain of affine and positively homogeneous layers computed in any order of summation satisfies
/// `|fl(f) - f| <= gamma_m M`, with `M` the same network run on `|theta|` and `|x|`, `m` the number of
/// roundings on a path from input to output, and `gamma_m = m u / (1 - m u)` (Higham 2002, sections 3.1
/// and 3.5). On a path each affine layer contributes its fan-in, one for the bias, and in `theta'` three
/// more for the factor, its reciprocal and the product; a mean over a window of `w` contributes `w + 1`. `M`
/// is the same for both networks, so the two errors together stay within twice the bound.
pub fn logit_rounding_bound(network: &Network, inputs: ArrayView2<f64>) -> Option<Array2<f64>> {
    let model = &network.model;
    if model.tensors().iter().any(|tensor| matches!(tensor.role, Role::Scale | Role::Shift)) {
        return None;
    }
    let affine: usize =
        model.tensors().iter().filter(|tensor| tensor.role == Role::Weight).map(|tensor| tensor.fan_in + 4).sum();
    let roundings =
        (affine + pooling_roundings(&model.architecture().layers, model.input_count())?) as f64 * UNIT_ROUNDOFF;
    let gamma = roundings / (1.0 - roundings);
    let magnitudes: Vec<f64> = network.theta.iter().map(|value| value.abs()).collect();
    let mut bound = model.logits(&magnitudes, &network.buffers, inputs.mapv(f64::abs).view());
    bound *= 2.0 * gamma;
    Some(bound)
}

fn pooling_roundings(layers: &[LayerSpec], positions: usize) -> Option<usize> {
    let mut total = 0;
    for layer in layers {
        total += match layer {
            LayerSpec::Dense { .. }
            | LayerSpec::Conv { .. }
            | LayerSpec::Relu
            | LayerSpec::MaxPool { .. }
            | LayerSpec::Flatten => 0,
            LayerSpec::AvgPool { size, .. } => size[0] * size[1] + 1,
            // No window is larger than the input.
            LayerSpec::GlobalAvgPool => positions + 1,
            LayerSpec::Residual { branch, shortcut } => {
                1 + pooling_roundings(branch, positions)? + pooling_roundings(shortcut, positions)?
            }
            LayerSpec::Tanh | LayerSpec::Erf | LayerSpec::BatchNorm => return None,
        };
    }
    Some(total)
}
