//! Losses of one sample as functions of its logits, with gradient and curvature.
//!
//! Targets are rows of a matrix: a label 0/1 (`bce`), a class index (`ce`), or real numbers (`mse`).

use serde::{Deserialize, Serialize};
use std::fmt;

/// A loss. Data set losses are means over samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Loss {
    /// Binary cross-entropy on one logit `z` with label `y` in {0, 1}: `log(1 + e^z) - y z`.
    Bce,
    /// Cross-entropy of the softmax with a class index.
    Ce,
    /// Squared error summed over outputs, without a factor 1/2.
    Mse,
}

impl Loss {
    /// Columns of its targets for a network of this many outputs.
    pub(crate) fn columns(self, outputs: usize) -> usize {
        if self == Self::Mse { outputs } else { 1 }
    }

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
            Self::Ce => {
                // log sum_j exp(z_j) - z_y, from terms that are all at least 0: nothing cancels at any margin.
                let top = index_of_top(logits);
                logits[top] - logits[target[0] as usize] + others_over_top(logits, top).ln_1p()
            }
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
                // p_j for the other classes, and minus their sum for the label's: as p_y - 1 it would cancel.
                softmax(logits, out);
                let label = target[0] as usize;
                out[label] = -sum_without(out, label);
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
                // (diag p - p p^T) v: entry i is p_i sum_j p_j (v_i - v_j), which a constant added to v leaves as it
                // is. Taken from the top class' v, the mean is a sum of small terms where one class has all but a
                // little of the probability, and nothing cancels.
                let origin = v[softmax(logits, out)];
                let mean: f64 = out.iter().zip(v).map(|(p, v)| p * (v - origin)).sum();
                for (out, v) in out.iter_mut().zip(v) {
                    *out *= (v - origin) - mean;
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
                // 1 - p_c as the sum of the others' p.
                let rest = sum_without(out, column);
                for out in out.iter_mut() {
                    *out *= -root;
                }
                out[column] = rest * root;
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

/// Position of the largest logit, the first of several.
fn index_of_top(logits: &[f64]) -> usize {
    let mut top = 0;
    for (index, z) in logits.iter().enumerate() {
        if *z > logits[top] {
            top = index;
        }
    }
    top
}

/// `sum_{j != top} exp(z_j - z_top)`.
fn others_over_top(logits: &[f64], top: usize) -> f64 {
    let others = logits.iter().enumerate().filter(|(index, _)| *index != top);
    others.map(|(_, z)| (z - logits[top]).exp()).sum()
}

fn sum_without(values: &[f64], left_out: usize) -> f64 {
    values[..left_out].iter().sum::<f64>() + values[left_out + 1..].iter().sum::<f64>()
}

/// Writes the probabilities, and gives the position of the largest.
fn softmax(logits: &[f64], out: &mut [f64]) -> usize {
    let position = index_of_top(logits);
    let top = logits[position];
    let mut sum = 0.0;
    for (out, z) in out.iter_mut().zip(logits) {
        *out = (z - top).exp();
        sum += *out;
    }
    for out in out.iter_mut() {
        *out /= sum;
    }
    position
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::tolerance::SUMMATION_AGREEMENT;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() <= SUMMATION_AGREEMENT * expected.abs(), "{found:e} for {expected:e}");
    }

    /// Two classes with margin `z`: loss `log(1 + e^-z)`, slope `-s(-z)`, curvature `s(z) s(-z)` along `(1, -1)/2`, which
    /// the functions of one variable give without cancellation.
    #[test]
    fn cross_entropy_does_not_cancel_at_any_margin() {
        for step in 0..=700 {
            let z = f64::from(step);
            for (logits, label) in [([z, 0.0], 0), ([0.0, z], 1), ([3.0 + z, 3.0], 0)] {
                for label in [label, 1 - label] {
                    let margin = logits[label] - logits[1 - label];
                    let (mut out, target) = ([0.0; 2], [label as f64]);
                    close(Loss::Ce.value(&logits, &target), Loss::Bce.value(&[margin], &[1.0]));
                    Loss::Ce.gradient(&logits, &target, &mut out);
                    let mut slope = [0.0];
                    Loss::Bce.gradient(&[margin], &[1.0], &mut slope);
                    close(out[label], slope[0]);
                    close(out[1 - label], -slope[0]);
                    let curvature = sigmoid(margin) * sigmoid(-margin);
                    Loss::Ce.hessian_product(&logits, &[1.0, -0.5], &mut out);
                    close(out[0], 1.5 * curvature);
                    close(out[1], -1.5 * curvature);
                    let mut matrix = [0.0; 2];
                    for column in 0..2 {
                        Loss::Ce.hessian_root(&logits, column, &mut out);
                        matrix[0] += out[0] * out[0];
                        matrix[1] += out[0] * out[1];
                    }
                    close(matrix[0], curvature);
                    close(matrix[1], -curvature);
                }
            }
        }
    }

    /// Five classes: probabilities `e^-20, e^-40, ...` of all but one, whose sums and products are known to all digits.
    #[test]
    fn cross_entropy_of_several_classes_keeps_the_digits_of_each() {
        for scale in [1.0, 5.0, 20.0, 60.0, 150.0] {
            let logits: Vec<f64> = (0..5).map(|k| -scale * f64::from(k)).collect();
            let weight: Vec<f64> = logits.iter().map(|z| z.exp()).collect();
            let total: f64 = weight.iter().sum();
            let p: Vec<f64> = weight.iter().map(|w| w / total).collect();
            close(Loss::Ce.value(&logits, &[0.0]), weight[1..].iter().sum::<f64>().ln_1p());
            close(Loss::Ce.value(&logits, &[3.0]), 3.0 * scale + weight[1..].iter().sum::<f64>().ln_1p());
            let mut out = vec![0.0; 5];
            Loss::Ce.gradient(&logits, &[0.0], &mut out);
            close(out[0], -p[1..].iter().sum::<f64>());
            let v = [0.7, -1.1, 2.3, 0.4, -0.9];
            Loss::Ce.hessian_product(&logits, &v, &mut out);
            for i in 0..5 {
                close(out[i], p[i] * (0..5).map(|j| p[j] * (v[i] - v[j])).sum::<f64>());
            }
        }
    }

    #[test]
    fn undefined_logits_give_undefined_losses() {
        for logits in [[f64::NAN, 0.0], [0.0, f64::NAN]] {
            for label in [0.0, 1.0] {
                assert!(Loss::Ce.value(&logits, &[label]).is_nan());
                let mut out = [0.0; 2];
                Loss::Ce.gradient(&logits, &[label], &mut out);
                assert!(out.iter().all(|g| g.is_nan()));
            }
        }
    }
}
