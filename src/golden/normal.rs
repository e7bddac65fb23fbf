//! Normal tails.

use super::{golden, json, number};

/// log Phi and the hazard `phi / Phi` at one argument, by mpmath in 60 digits.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct NormalTail {
    /// The argument.
    pub z: f64,
    /// `log Phi(z)`.
    pub log_ndtr: f64,
    /// `phi(z) / Phi(z)`.
    pub hazard: f64,
}

/// The rows of `golden/normal`.
pub fn normal_tails() -> Vec<NormalTail> {
    let file = json(golden!("normal/log_ndtr.json"));
    let row =
        |row| NormalTail { z: number(row, "z"), log_ndtr: number(row, "log_ndtr"), hazard: number(row, "hazard") };
    file["rows"].as_array().expect("a list of rows").iter().map(row).collect()
}
