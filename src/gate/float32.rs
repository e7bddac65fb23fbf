//! The law book for estimators that compute in single precision.
//!
//! They are asked on networks, data and rescalings that float32 holds without rounding, so that whatever they answer wrongly
//! is their own; the truth is computed in float64 on the very same numbers.

use crate::gate::cases::FlatnessCase;
use crate::model::Loss;
use crate::numeric::Dtype;
use crate::rescale::{Rescaling, power_of_two};
use ndarray::Array2;

/// Sizes that entries of the dense derivatives may have, apart from 0: products of two of them are normal numbers of float32.
const SIZES: std::ops::RangeInclusive<f64> = 1e-18..=1e18;

/// Margin up to which float32 keeps digits of `p (1 - p)`, of which the loss functions of libraries compute `1 - p` by a
/// difference: `2^-24 / exp(-8) = 1.8e-4`.
const LARGEST_MARGIN: f64 = 8.0;

fn vector<'v>(dtype: Dtype, values: impl IntoIterator<Item = &'v f64>) -> Option<Vec<f64>> {
    values.into_iter().map(|value| dtype.round(*value)).collect()
}

/// A matrix rounded to a format, if that holds it.
pub(super) fn matrix(dtype: Dtype, matrix: &Array2<f64>) -> Option<Array2<f64>> {
    Some(Array2::from_shape_vec(matrix.dim(), vector(dtype, matrix)?).expect("its own shape"))
}

/// A case in float32; `None` where its numbers, or the derivatives that they have, leave the range of float32.
pub(super) fn case(case: &FlatnessCase) -> Option<FlatnessCase> {
    let mut network = case.network.with_theta(vector(Dtype::Float32, &case.network.theta)?);
    network.buffers = vector(Dtype::Float32, &case.network.buffers)?;
    let [inputs, targets] = [matrix(Dtype::Float32, &case.inputs)?, matrix(Dtype::Float32, &case.targets)?];
    let mut rounded = FlatnessCase::new(case.name.clone(), network, case.loss, inputs, targets);
    rounded.alphas = case.alphas.iter().map(|&alpha| factor(Dtype::Float32, alpha)).collect();
    rounded.alphas.retain(|alpha| SIZES.contains(alpha));
    rounded.alphas.dedup();
    rounded.rescalings = case.rescalings;
    let dense = rounded.dense();
    let entries = dense.hessian.iter().chain(&dense.gauss_newton).chain(&dense.gradient).chain([&dense.value]);
    // What cancels may be as small as it likes; what it is the sum of may not.
    let holds = entries.clone().all(|entry| entry.is_finite() && entry.abs() <= *SIZES.end())
        && dense.magnitude.iter().all(|size| *size == 0.0 || SIZES.contains(size));
    let logits = rounded.network.logits(rounded.inputs.view());
    let saturates = match rounded.loss {
        Loss::Mse => false,
        Loss::Bce => logits.iter().any(|logit| logit.abs() > LARGEST_MARGIN),
        Loss::Ce => logits.rows().into_iter().any(|row| {
            let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            row.iter().all(|logit| *logit == top || top - logit > LARGEST_MARGIN)
        }),
    };
    (holds && !saturates).then_some(rounded)
}

/// A factor of a rescaling in a format: as it is, or the nearest power of two, which rounds nothing.
pub(super) fn factor(dtype: Dtype, factor: f64) -> f64 {
    match dtype {
        Dtype::Float64 => factor,
        Dtype::Float32 => power_of_two(factor),
    }
}

/// A rescaling in a format, likewise.
pub(super) fn map(dtype: Dtype, map: Box<dyn Rescaling>) -> Box<dyn Rescaling> {
    match dtype {
        Dtype::Float64 => map,
        Dtype::Float32 => map.in_powers_of_two(),
    }
}
