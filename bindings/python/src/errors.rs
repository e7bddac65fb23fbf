//! Typed errors of the crate as exceptions of `flatgauge.errors`, with the name of the variant as `kind`.

use flatgauge::flatness::FlatnessError;
use flatgauge::flatness::lanczos::LanczosError;
use flatgauge::kernel::KernelError;
use flatgauge::model::ModelError;
use flatgauge::prior::PriorError;
use flatgauge::rescale::RescaleError;
use pyo3::prelude::*;
use std::fmt::{Debug, Display};

/// An error of a room of the crate, and the class it becomes.
pub trait Room: Debug + Display {
    /// The class in `flatgauge.errors`.
    const CLASS: &'static str;
}

impl Room for PriorError {
    const CLASS: &'static str = "PriorError";
}
impl Room for FlatnessError {
    const CLASS: &'static str = "FlatnessError";
}
impl Room for KernelError {
    const CLASS: &'static str = "KernelError";
}
impl Room for ModelError {
    const CLASS: &'static str = "ModelError";
}
impl Room for RescaleError {
    const CLASS: &'static str = "RescaleError";
}
impl Room for LanczosError {
    const CLASS: &'static str = "OperatorError";
}
impl Room for flatgauge::flatness::curvature::NotFiniteProduct {
    const CLASS: &'static str = "OperatorError";
}

/// The exception of a typed error.
pub fn raised<E: Room>(py: Python, error: &E) -> PyErr {
    let shown = format!("{error:?}");
    let kind: String = shown.chars().take_while(|c| c.is_alphanumeric()).collect();
    exception(py, E::CLASS, &kind, &error.to_string())
}

/// An exception of `flatgauge.errors` by its class and kind.
pub fn exception(py: Python, class: &str, kind: &str, message: &str) -> PyErr {
    let made = py.import("flatgauge.errors").and_then(|module| module.getattr("_make")?.call1((class, kind, message)));
    made.map_or_else(|error| error, PyErr::from_value)
}

/// What a user gave that the package itself refuses.
pub fn unusable(message: impl std::fmt::Display) -> PyErr {
    pyo3::exceptions::PyValueError::new_err(message.to_string())
}

/// Turns the errors of a room into exceptions.
pub trait OrRaise<T> {
    /// The value, or the error as an exception.
    fn or_raise(self, py: Python) -> PyResult<T>;
}

impl<T, E: Room> OrRaise<T> for Result<T, E> {
    fn or_raise(self, py: Python) -> PyResult<T> {
        self.map_err(|error| raised(py, &error))
    }
}
