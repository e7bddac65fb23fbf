//! Made by `golden/generate/arctangent_table.py` (mpmath, 40 digits); do not edit.
//!
//! Largest relative error of the polynomial with these coefficients: 3.76e-18.

/// `P`, lowest power first: `arctan(x) = x + x z P(z)`, `z = x^2`, `|x| <= tan(pi / 8)`.
#[rustfmt::skip]
pub(super) const COEFFICIENTS: [f64; 13] = [
    -0.3333333333333333,
    0.19999999999999993,
    -0.14285714285711518,
    0.11111111110754729,
    -0.0909090906700999,
    0.07692306736000173,
    -0.06666642020055166,
    0.058819252531928636,
    -0.05258041554297779,
    0.04719395030027433,
    -0.04104436265755082,
    0.030635704112969498,
    -0.01391822929102443,
];
