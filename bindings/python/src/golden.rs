//! The certified records of the repository's `golden/`.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

include!(concat!(env!("OUT_DIR"), "/golden.rs"));

/// Names of all records' files, as `prior/prior.json`.
#[pyfunction]
pub fn golden_files() -> Vec<&'static str> {
    FILES.iter().map(|(name, _)| *name).collect()
}

/// The bytes of a file; `None` where there is none of that name.
#[pyfunction]
pub fn golden_file<'py>(py: Python<'py>, name: &str) -> Option<Bound<'py, PyBytes>> {
    FILES.iter().find(|(known, _)| *known == name).map(|(_, bytes)| PyBytes::new(py, bytes))
}
