//! Arrays in and out, and nothing is copied: a numpy array takes over what Rust made, and a large matrix of numpy is read where
//! it lies.

use flatgauge::prior::SharedMatrix;
use ndarray::{Array2, ArrayView2, Ix2, RawArrayView};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray2};
use pyo3::prelude::*;

/// A vector.
pub fn vector(py: Python<'_>, values: Vec<f64>) -> Bound<'_, PyArray1<f64>> {
    values.into_pyarray(py)
}

/// A matrix.
pub fn matrix(py: Python<'_>, values: Array2<f64>) -> Bound<'_, PyArray2<f64>> {
    values.into_pyarray(py)
}

/// A matrix of numpy, kept alive for a thread that may outlive the call that was given it (as after Ctrl-C).
pub struct Lent {
    _owner: Py<PyArray2<f64>>,
    entries: RawArrayView<f64, Ix2>,
}

impl Lent {
    pub fn new(matrix: &PyReadonlyArray2<f64>) -> Self {
        Self { _owner: (**matrix).clone().unbind(), entries: matrix.as_array().raw_view() }
    }
}

// SAFETY: the entries are only read, and the owner's count of references is changed by PyO3 with the interpreter attached.
#[expect(unsafe_code, reason = "a pointer into memory that `_owner` keeps")]
unsafe impl Send for Lent {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "a pointer into memory that `_owner` keeps")]
unsafe impl Sync for Lent {}

impl SharedMatrix for Lent {
    #[expect(unsafe_code, reason = "a pointer into memory that `_owner` keeps")]
    fn view(&self) -> ArrayView2<'_, f64> {
        // SAFETY: numpy neither moves nor frees the entries of an array that others refer to (`resize` refuses), and whoever
        // calls is told not to write to it meanwhile.
        unsafe { self.entries.clone().deref_into_view() }
    }
}
