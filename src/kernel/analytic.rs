//! The covariance recursion of fully connected networks.

use super::KernelError;
use super::dual::Dual;
use crate::model::{Architecture, LayerSpec, Model};
use crate::numeric::linalg::{mirror_lower, par_gram_lower};
use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2, Axis};

/// Rows a thread takes at a time.
const ROWS: usize = 8;

/// Variances a product of two of which neither overflows nor underflows.
const VARIANCES: std::ops::RangeInclusive<f64> = 1e-150..=1e150;

/// One step of the recursion.
#[derive(Debug, Clone, PartialEq)]
enum Stage {
    /// `c -> weight c + bias`.
    Dense { weight: f64, bias: f64 },
    /// `c -> E[phi phi']`, at layer `index`.
    Activation { dual: Dual, index: usize },
}

/// The NNGP Gram matrix `K` (`n x n`) of the logits of an infinitely wide network at `inputs` (`n x d`,
/// one row an input, channels then height then width): exactly symmetric, no jitter.
///
/// `O(n^2 d)` for the inputs' products and `O(n^2)` a layer; memory is the result itself.
///
/// # Errors
/// [`KernelError`]: an architecture that does not compile or has no closed form, inputs of another
/// size or not finite.
pub fn nngp(architecture: &Architecture, inputs: ArrayView2<f64>) -> Result<Array2<f64>, KernelError> {
    let model = Model::new(architecture.clone())?;
    if inputs.ncols() != model.inputs() {
        return Err(KernelError::Inputs { found: inputs.ncols(), expected: model.inputs() });
    }
    let rows = inputs.axis_iter(Axis(0)).into_par_iter().enumerate();
    let bad = rows
        .find_map_first(|(row, values)| values.iter().position(|value| !value.is_finite()).map(|column| (row, column)));
    if let Some((row, column)) = bad {
        return Err(KernelError::NotFinite { row, column, value: inputs[[row, column]] });
    }
    let stages = stages(architecture)?;

    let mut gram = par_gram_lower(inputs);
    gram.par_mapv_inplace(|product| product / inputs.ncols() as f64);
    let variances = variances(&stages, gram.diag().to_vec())?;
    gram.axis_chunks_iter_mut(Axis(0), ROWS).into_par_iter().enumerate().rev().for_each(|(chunk, mut rows)| {
        let mut own = Vec::new();
        for (row, mut covariances) in rows.outer_iter_mut().enumerate() {
            let i = chunk * ROWS + row;
            let covariances = &mut covariances.as_slice_mut().expect("the matrix is row-major")[..=i];
            let mut variances = variances.iter();
            for stage in &stages {
                match *stage {
                    Stage::Dense { weight, bias } => covariances.iter_mut().for_each(|c| *c = weight * *c + bias),
                    Stage::Activation { dual, .. } => {
                        let variances = variances.next().expect("one vector an activation");
                        own.clear();
                        own.resize(i + 1, variances[i]);
                        dual.covariances(covariances, &own, &variances[..=i]);
                    }
                }
            }
        }
    });
    mirror_lower(&mut gram);
    Ok(gram)
}

fn stages(architecture: &Architecture) -> Result<Vec<Stage>, KernelError> {
    let weight = architecture.weight_std * architecture.weight_std;
    let bias = architecture.bias_std * architecture.bias_std;
    let mut stages = Vec::new();
    for (index, layer) in architecture.layers.iter().enumerate() {
        let none = |reason| KernelError::NoClosedForm { index: index.to_string(), kind: layer.kind(), reason };
        match layer {
            LayerSpec::Dense { .. } => stages.push(Stage::Dense { weight, bias }),
            LayerSpec::Flatten => {}
            LayerSpec::Relu | LayerSpec::Tanh | LayerSpec::Erf => {
                if !matches!(stages.last(), Some(Stage::Dense { .. })) {
                    return Err(none("its input is not Gaussian, as no affine layer precedes it"));
                }
                let dual =
                    layer.activation().and_then(Dual::of).ok_or_else(|| none("its dual is no elementary function"))?;
                stages.push(Stage::Activation { dual, index });
            }
            _ => return Err(none("it has spatial dimensions")),
        }
    }
    Ok(stages)
}

/// Variances of every input before each activation.
fn variances(stages: &[Stage], mut current: Vec<f64>) -> Result<Vec<Vec<f64>>, KernelError> {
    let mut all = Vec::new();
    for stage in stages {
        match *stage {
            Stage::Dense { weight, bias } => current.iter_mut().for_each(|p| *p = weight * *p + bias),
            Stage::Activation { dual, index } => {
                if let Some(sample) = current.iter().position(|p| *p != 0.0 && !VARIANCES.contains(p)) {
                    return Err(KernelError::Variance { index: index.to_string(), sample, value: current[sample] });
                }
                all.push(current.clone());
                current.iter_mut().for_each(|p| *p = dual.variance(*p));
            }
        }
    }
    Ok(all)
}
