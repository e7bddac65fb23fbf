//! Losses of one sample as functions of its logits, with gradient and curvature.
//!
//! Targets are rows of a matrix: a label 0/1 (`bce`), a class index (`ce`), or real numbers (`mse`).

use serde::{Deserialize, Serialize};
use std::fmt;

/// A loss. Data set losses are means over samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loss {
    /// Binary cross-entropy on one logit `z` with label `y` in {0, 1}: `log(1 + e^z) - y z`.
    Bce,
    /// Cross-entropy of the softmax with a class index.
    Ce,
    /// Squared error summed over outputs, without a factor 1/2.
    Mse,
}

impl Loss {
    /// All losses.
    pub const ALL: [Self; 3] = [Self::Bce, Self::Ce, Self::Mse];

    /// The loss of one sample.
    pub fn value(self, logits: &[f64], target: &[f64]) -> f64 {
        match self {
            Self::Bce => {
                // log(1 + e^z) - y z; for y = 1 it is log(1 + e^-z).
                let z = if target[0] > 0.5 { -logits[0] } else { logits[0] };
                z.max(0.0) + (-z.abs()).exp().ln_1p()
            }
            Self::Ce => log_sum_exp(logits) - logits[target[0] as usize],
            Self::Mse => logits.iter().zip(target).map(|(z, t)| (z - t) * (z - t)).sum(),
        }
    }

    /// Writes the gradient with respect to the logits.
    pub fn gradient(self, logits: &[f64], target: &[f64], out: &mut [f64]) {
        match self {
            Self::Bce => {
                out[0] = if target[0] > 0.5 { -sigmoid(-logits[0]) } else { sigmoid(logits[0]) };
            }
            Self::Ce => {
                softmax(logits, out);
                out[target[0] as usize] -= 1.0;
            }
            Self::Mse => {
                for ((out, z), t) in out.iter_mut().zip(logits).zip(target) {
                    *out = 2.0 * (z - t);
                }
            }
        }
    }

    /// Writes `B v`, `B` the Hessian with respect to the logits.
    pub fn hessian_product(self, logits: &[f64], v: &[f64], out: &mut [f64]) {
        match self {
            Self::Bce => out[0] = sigmoid(logits[0]) * sigmoid(-logits[0]) * v[0],
            Self::Ce => {
                // (diag p - p p^T) v
                softmax(logits, out);
                let mean: f64 = out.iter().zip(v).map(|(p, v)| p * v).sum();
                for (out, v) in out.iter_mut().zip(v) {
                    *out *= v - mean;
                }
            }
            Self::Mse => {
                for (out, v) in out.iter_mut().zip(v) {
                    *out = 2.0 * v;
                }
            }
        }
    }

    /// Writes column `column` of a square root `S` of the logit Hessian, `S S^T = B`.
    ///
    /// For `ce`, `S = diag(sqrt p) - p sqrt(p)^T`.
    pub fn hessian_root(self, logits: &[f64], column: usize, out: &mut [f64]) {
        match self {
            Self::Bce => out[0] = (sigmoid(logits[0]) * sigmoid(-logits[0])).sqrt(),
            Self::Ce => {
                softmax(logits, out);
                let root = out[column].sqrt();
                for out in out.iter_mut() {
                    *out *= -root;
                }
                out[column] += root;
            }
            Self::Mse => {
                out.fill(0.0);
                out[column] = std::f64::consts::SQRT_2;
            }
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bce => "bce",
            Self::Ce => "ce",
            Self::Mse => "mse",
        })
    }
}

/// `1 / (1 + e^-z)` without overflow or loss in the lower tail.
pub fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 {
        1.0 / (1.0 + (-z).exp())
    } else {
        let e = z.exp();
        e / (1.0 + e)
    }
}

fn log_sum_exp(logits: &[f64]) -> f64 {
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + logits.iter().map(|z| (z - top).exp()).sum::<f64>().ln()
}

fn softmax(logits: &[f64], out: &mut [f64]) {
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for (out, z) in out.iter_mut().zip(logits) {
        *out = (z - top).exp();
        sum += *out;
    }
    for out in out.iter_mut() {
        *out /= sum;
    }
}
