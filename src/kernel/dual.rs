//! Dual activations: `c -> E[phi(u) phi(v)]` for `(u, v)` Gaussian with variances `p, q` and covariance `c`.

use super::angle::angle;
use crate::model::Activation;
use multiversion::multiversion;
use std::f64::consts::{FRAC_2_PI, PI};

const FRAC_1_2PI: f64 = 0.5 / PI;

/// An activation with a closed-form dual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dual {
    /// The arc-cosine kernel of degree 1 (Cho and Saul 2009).
    Relu,
    /// The arc-sine kernel (Williams 1997).
    Erf,
}

impl Dual {
    /// The dual of an activation, if it has a closed form.
    pub fn of(activation: Activation) -> Option<Self> {
        match activation {
            Activation::Relu => Some(Self::Relu),
            Activation::Erf => Some(Self::Erf),
            Activation::Tanh => None,
        }
    }

    /// `E[phi(u)^2]` for `u ~ N(0, p)`.
    pub fn variance(self, p: f64) -> f64 {
        match self {
            Self::Relu => 0.5 * p,
            Self::Erf => FRAC_2_PI * (2.0 * p / (1.0 + 2.0 * p)).asin(),
        }
    }

    /// Replaces each covariance of `c` by its dual, with variances `p` and `q`.
    ///
    /// ReLU, with `D = sqrt(p q - c^2)` and the angle `psi` of `(|c|, D)`:
    /// `max(c, 0) / 2 + (D - |c| psi) / (2 pi)`, the arc-cosine formula without its cosine: at equal,
    /// parallel and antipodal inputs (`D = 0` up to rounding) nothing is singular. Erf:
    /// `2 / pi arcsin(2 c / sqrt((1 + 2 p)(1 + 2 q)))`.
    pub fn covariances(self, c: &mut [f64], p: &[f64], q: &[f64]) {
        assert!(c.len() == p.len() && c.len() == q.len(), "dual: lengths {}, {}, {}", c.len(), p.len(), q.len());
        match self {
            Self::Relu => relu_covariances(c, p, q),
            Self::Erf => {
                for ((c, &p), &q) in c.iter_mut().zip(p).zip(q) {
                    *c = erf(*c, p, q);
                }
            }
        }
    }
}

/// Compiled for each width of vector instructions, chosen when the program runs; the operations and
/// so the bits are the same in all of them.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl", "x86_64+avx+avx2"))]
fn relu_covariances(c: &mut [f64], p: &[f64], q: &[f64]) {
    for ((c, &p), &q) in c.iter_mut().zip(p).zip(q) {
        *c = relu(*c, p, q);
    }
}

#[inline(always)]
fn relu(c: f64, p: f64, q: f64) -> f64 {
    let d_squared = p * q - c * c;
    // Rounding can push it below 0; written so that NaN stays NaN.
    let d = if d_squared < 0.0 { 0.0 } else { d_squared }.sqrt();
    let size = c.abs();
    let positive = if c > 0.0 { c } else { 0.0 };
    0.5 * positive + FRAC_1_2PI * (d - size * angle(d, size))
}

fn erf(c: f64, p: f64, q: f64) -> f64 {
    // Rounding can push |c| beyond sqrt(p q), and chaotic depths would amplify that.
    let top = (p * q).sqrt();
    FRAC_2_PI * (2.0 * c.clamp(-top, top) / ((1.0 + 2.0 * p) * (1.0 + 2.0 * q)).sqrt()).clamp(-1.0, 1.0).asin()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::quadrature::gaussian_expectation;
    use crate::numeric::tolerance::NNGP_AGREEMENT;
    use approx::assert_abs_diff_eq;

    fn apply(dual: Dual, c: f64, p: f64, q: f64) -> f64 {
        let mut covariances = [c];
        dual.covariances(&mut covariances, &[p], &[q]);
        covariances[0]
    }

    #[test]
    fn duals_are_the_gaussian_expectations_they_stand_for() {
        for (dual, phi) in [(Dual::Relu, (|x| x.max(0.0)) as fn(f64) -> f64), (Dual::Erf, libm::erf as fn(f64) -> f64)]
        {
            for (p, q) in [(1.0, 1.0), (0.3, 2.5), (4.0, 4.0)] {
                for step in -20..=20 {
                    let c = f64::sqrt(p * q) * f64::from(step) / 20.0;
                    let expected = gaussian_expectation(|u, v| phi(u) * phi(v), p, q, c);
                    assert_abs_diff_eq!(apply(dual, c, p, q), expected, epsilon = NNGP_AGREEMENT * (p * q).sqrt());
                }
                assert_abs_diff_eq!(dual.variance(p), apply(dual, p, p, p), epsilon = 4.0 * f64::EPSILON * p);
            }
        }
    }

    #[test]
    fn equal_and_antipodal_inputs_are_exact_and_nothing_is_nan() {
        for p in [1e-140, 0.1, 0.7, 3.0, 1e140] {
            assert_eq!(apply(Dual::Relu, p, p, p), 0.5 * p);
            assert_eq!(apply(Dual::Relu, -p, p, p), 0.0);
            // A covariance a few roundings beyond the variances.
            let beyond = p * (1.0 + 8.0 * f64::EPSILON);
            assert_abs_diff_eq!(apply(Dual::Relu, beyond, p, p), 0.5 * p, epsilon = 1e-14 * p);
            assert_abs_diff_eq!(apply(Dual::Relu, -beyond, p, p), 0.0, epsilon = 1e-14 * p);
            assert!(apply(Dual::Erf, beyond, p, p).is_finite());
        }
        for dual in [Dual::Relu, Dual::Erf] {
            assert_eq!(apply(dual, 0.0, 0.0, 0.0), 0.0);
            assert_eq!(apply(dual, 0.0, 1.0, 0.0), apply(dual, 0.0, 0.0, 1.0));
        }
    }

    #[test]
    fn bits_do_not_depend_on_the_place_in_a_vector() {
        let points: Vec<[f64; 3]> =
            (0..61).map(|k| [f64::from(k) / 37.0 - 0.8, 0.9 + f64::from(k) / 50.0, 1.1]).collect();
        let mut together: Vec<f64> = points.iter().map(|point| point[0]).collect();
        let (p, q): (Vec<f64>, Vec<f64>) = points.iter().map(|point| (point[1], point[2])).unzip();
        Dual::Relu.covariances(&mut together, &p, &q);
        for (value, &[c, p, q]) in together.iter().zip(&points) {
            assert_eq!(*value, apply(Dual::Relu, c, p, q));
        }
    }
}
