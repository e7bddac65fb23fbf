//! Arrays out: a numpy array takes over what Rust made, and nothing is copied.

use ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyArray2};
use pyo3::prelude::*;

/// A vector.
pub fn vector(py: Python<'_>, values: Vec<f64>) -> Bound<'_, PyArray1<f64>> {
    values.into_pyarray(py)
}

/// A matrix.
pub fn matrix(py: Python<'_>, values: Array2<f64>) -> Bound<'_, PyArray2<f64>> {
    values.into_pyarray(py)
}
