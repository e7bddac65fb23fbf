//! What holds of the inputs of every method, and of its result.

use crate::kernel::KernelError;
use crate::model::Model;
use ndarray::parallel::prelude::*;
use ndarray::{ArrayView2, Axis};

/// Every entry of a result is a number.
pub(super) fn check_entries(matrix: ArrayView2<f64>) -> Result<(), KernelError> {
    let rows = matrix.axis_iter(Axis(0)).into_par_iter().enumerate();
    let bad = rows
        .find_map_first(|(row, values)| values.iter().position(|value| !value.is_finite()).map(|column| (row, column)));
    match bad {
        Some((row, column)) => Err(KernelError::Entry { row, column, value: matrix[[row, column]] }),
        None => Ok(()),
    }
}

pub(super) fn check_inputs(model: &Model, inputs: ArrayView2<f64>) -> Result<(), KernelError> {
    if inputs.nrows() == 0 {
        return Err(KernelError::NoInputs);
    }
    if inputs.ncols() != model.input_count() {
        return Err(KernelError::Inputs { found: inputs.ncols(), expected: model.input_count() });
    }
    let rows = inputs.axis_iter(Axis(0)).into_par_iter().enumerate();
    let bad = rows
        .find_map_first(|(row, values)| values.iter().position(|value| !value.is_finite()).map(|column| (row, column)));
    match bad {
        Some((row, column)) => Err(KernelError::NotFinite { row, column, value: inputs[[row, column]] }),
        None => Ok(()),
    }
}
