//! The program, for the `flatgauge` command of the wheel.

use pyo3::prelude::*;
use std::ffi::OsString;
use std::panic::catch_unwind;

/// Exit code of a program that panicked.
const PANICKED: u8 = 101;

/// Runs the program with these words, the first of which is its name, and gives its exit code.
#[pyfunction]
pub fn main(py: Python, argv: Vec<OsString>) -> u8 {
    py.detach(|| catch_unwind(|| flatgauge::cli::run_with(argv)).unwrap_or(PANICKED))
}
