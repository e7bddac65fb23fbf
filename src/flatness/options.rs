//! Settings of the measures.

use crate::flatness::FlatnessError;
use serde::{Deserialize, Serialize};

/// Settings of the measures; each reads its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Radius of sharpness boxes, relative to `|theta_i| + 1` (Keskar 2017).
    pub eps: f64,
    /// Shift `c` of `log det(H + c I)`.
    pub c: f64,
    /// Layer of layer-wise measures; the last dense layer unless given.
    pub layer: Option<usize>,
    /// Seed of stochastic measures and starting vectors.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { eps: 1e-4, c: 1e-3, layer: None, seed: 0 }
    }
}

/// `value` if it is finite and at least 0, else an error that names measure and option.
pub(super) fn non_negative(measure: &'static str, option: &'static str, value: f64) -> Result<f64, FlatnessError> {
    if value >= 0.0 && value.is_finite() {
        Ok(value)
    } else {
        Err(FlatnessError::Option { measure, option, value: value.to_string(), expected: "a finite number above 0" })
    }
}
