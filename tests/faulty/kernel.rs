//! Methods for Gram matrices, each with one bug.

use super::FaultyKernel;
use flatgauge::kernel::KernelError;
use flatgauge::model::Architecture;
use half::f16;
use ndarray::{Array2, ArrayView2};
use std::f64::consts::PI;

/// What a method answers.
pub type Run = Result<Array2<f64>, KernelError>;

/// All of them.
pub const ANIMALS: &[FaultyKernel] = &[
    kernel("arc_cosine_of_an_unclipped_ratio", "kernel.degenerate", unclipped),
    kernel("bias_variance_times_weight_variance", "certified.kernel", bias_inside),
    kernel("products_accumulated_in_half_precision", "certified.kernel", half_products),
    kernel("hidden_layers_counted_without_the_first", "kernel.homogeneity", one_layer_short),
];

const fn kernel(
    name: &'static str,
    law: &'static str,
    run: fn(&Architecture, ArrayView2<f64>, bool) -> Run,
) -> FaultyKernel {
    FaultyKernel { name, law, run }
}

/// Number of hidden layers of a dense network of ReLU, all this zoo can do.
fn hidden_layers(architecture: &Architecture) -> Result<usize, KernelError> {
    for (index, spec) in architecture.layers.iter().enumerate() {
        let expected = if index % 2 == 0 { "dense" } else { "relu" };
        if spec.kind() != expected {
            let reason = "the zoo knows dense layers of ReLU only";
            return Err(KernelError::NoClosedForm { index: index.to_string(), kind: spec.kind(), reason });
        }
    }
    Ok(architecture.layers.len() / 2)
}

/// `x y^T / d` with sums kept by `keep`.
fn products(inputs: ArrayView2<f64>, keep: fn(f64) -> f64) -> Array2<f64> {
    let (n, d) = inputs.dim();
    let product = |i, j| (0..d).fold(0.0, |sum, k| keep(sum + inputs[[i, k]] * inputs[[j, k]])) / d as f64;
    Array2::from_shape_fn((n, n), |(i, j)| product(i, j))
}

/// `E[relu(u) relu(v)]` (Cho and Saul 2009), the angle by the arc cosine of a ratio of norms.
fn relu_moments(k: &Array2<f64>, clip: bool) -> Array2<f64> {
    let norms = k.diag().mapv(f64::sqrt);
    Array2::from_shape_fn(k.dim(), |(i, j)| {
        let size = norms[i] * norms[j];
        if size == 0.0 {
            return 0.0;
        }
        let cosine = k[[i, j]] / size;
        let angle = (if clip { cosine.clamp(-1.0, 1.0) } else { cosine }).acos();
        size * (angle.sin() + (PI - angle) * angle.cos()) / (2.0 * PI)
    })
}

/// The recursion over `layers` hidden layers from the moments of the inputs; `affine` is what a layer of weights does.
fn recursion(
    inputs: Array2<f64>,
    layers: usize,
    affine: impl Fn(Array2<f64>) -> Array2<f64>,
    clip: bool,
) -> Array2<f64> {
    (0..layers).fold(affine(inputs), |k, _| affine(relu_moments(&k, clip)))
}

fn exact(value: f64) -> f64 {
    value
}

/// `weight_std^2 E + bias_std^2`.
fn affine(architecture: &Architecture) -> impl Fn(Array2<f64>) -> Array2<f64> {
    let (weight, bias) = (architecture.weight_std.powi(2), architecture.bias_std.powi(2));
    move |moments| weight * moments + bias
}

/// The ratio of a product to norms exceeds 1 by rounding where inputs coincide.
fn unclipped(architecture: &Architecture, inputs: ArrayView2<f64>, bug: bool) -> Run {
    let layers = hidden_layers(architecture)?;
    Ok(recursion(products(inputs, exact), layers, affine(architecture), !bug))
}

/// The bias is added before the layer's variance is multiplied on: once a layer, its own is multiplied too.
fn bias_inside(architecture: &Architecture, inputs: ArrayView2<f64>, bug: bool) -> Run {
    let layers = hidden_layers(architecture)?;
    let (weight, bias) = (architecture.weight_std.powi(2), architecture.bias_std.powi(2));
    let affine = |moments: Array2<f64>| if bug { weight * (moments + bias) } else { weight * moments + bias };
    Ok(recursion(products(inputs, exact), layers, affine, true))
}

/// Products of inputs added up in sixteen bits.
fn half_products(architecture: &Architecture, inputs: ArrayView2<f64>, bug: bool) -> Run {
    let layers = hidden_layers(architecture)?;
    let keep = if bug { |sum: f64| f16::from_f64(sum).to_f64() } else { exact };
    Ok(recursion(products(inputs, keep), layers, affine(architecture), true))
}

/// A depth that counts hidden layers where layers of weights were meant.
fn one_layer_short(architecture: &Architecture, inputs: ArrayView2<f64>, bug: bool) -> Run {
    let layers = hidden_layers(architecture)?;
    let layers = if bug { layers.saturating_sub(1) } else { layers };
    Ok(recursion(products(inputs, exact), layers, affine(architecture), true))
}
