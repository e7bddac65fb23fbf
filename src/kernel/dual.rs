//! Dual activations: `E[phi(u) phi(v)]` and `E[phi'(u) phi'(v)]` for `(u, v)` Gaussian with variances `p, q`
//! and covariance `c`.
//!
//! Two representations of `c`. The NNGP kernel needs `c` itself. The NTK needs the angle between the two
//! inputs, which `c` determines only to half the digits when they are nearly parallel; so it carries
//! `deficit = sqrt(p q) - c` and `excess = sqrt(p q) + c`, each without cancellation: the tangent of half the
//! angle is `sqrt(deficit / excess)`.

use super::erf::erf_dual;
use crate::model::Activation;
use crate::numeric::angle::angles;
use crate::numeric::instructions::vectorised;
use std::f64::consts::{FRAC_1_PI, FRAC_2_PI, PI};

const FRAC_1_2PI: f64 = 0.5 / PI;

/// Numbers are handled in groups of this many, one vector register of the widest kind.
pub(super) const GROUP: usize = 8;

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

    /// Replaces each covariance of `c` by its dual, with variances `p` and `q`; lengths are multiples of [`GROUP`].
    ///
    /// ReLU, with `D = sqrt(p q - c^2)` and the angle `psi` of `(|c|, D)`:
    /// `max(c, 0) / 2 + (D - |c| psi) / (2 pi)`, the arc-cosine formula without its cosine: at equal,
    /// parallel and antipodal inputs (`D = 0` up to rounding) nothing is singular. Erf:
    /// `2 / pi arcsin(2 c / sqrt((1 + 2 p)(1 + 2 q)))`.
    pub fn covariances(self, c: &mut [f64], p: &[f64], q: &[f64]) {
        assert!(c.len() == p.len() && c.len() == q.len(), "dual: lengths {}, {}, {}", c.len(), p.len(), q.len());
        let (c, p, q) = (groups_mut(c), groups(p), groups(q));
        match self {
            Self::Relu => relu_covariances(c, p, q),
            Self::Erf => {
                for ((c, p), q) in c.iter_mut().zip(p).zip(q) {
                    for k in 0..GROUP {
                        c[k] = erf(c[k], p[k], q[k]);
                    }
                }
            }
        }
    }
}

fn groups(values: &[f64]) -> &[[f64; GROUP]] {
    let (groups, rest) = values.as_chunks();
    assert!(rest.is_empty(), "values are padded to whole groups");
    groups
}

fn groups_mut(values: &mut [f64]) -> &mut [[f64; GROUP]] {
    let (groups, rest) = values.as_chunks_mut();
    assert!(rest.is_empty(), "values are padded to whole groups");
    groups
}

/// Compiled for each width of vector instructions, chosen when the program runs; the operations and
/// so the bits are the same in all of them.
fn relu_covariances(c: &mut [[f64; GROUP]], p: &[[f64; GROUP]], q: &[[f64; GROUP]]) {
    vectorised(
        #[inline(always)]
        move || {
            for ((c, p), q) in c.iter_mut().zip(p).zip(q) {
                // A copy, so that what is written is seen to be none of what is read.
                let mut covariances = *c;
                for k in 0..GROUP {
                    covariances[k] = relu(covariances[k], p[k], q[k]);
                }
                *c = covariances;
            }
        },
    );
}

#[inline(always)]
fn relu(c: f64, p: f64, q: f64) -> f64 {
    let d_squared = p * q - c * c;
    // Rounding can push it below 0; written so that NaN stays NaN.
    let d = if d_squared < 0.0 { 0.0 } else { d_squared }.sqrt();
    let size = c.abs();
    let positive = if c > 0.0 { c } else { 0.0 };
    0.5 * positive + FRAC_1_2PI * (d - size * angles(d, size).0)
}

fn erf(c: f64, p: f64, q: f64) -> f64 {
    // Rounding can push |c| beyond sqrt(p q), and chaotic depths would amplify that.
    // Minimum and maximum, which unlike a clamp know NaN: variances are checked after the recursion has run.
    let top = (p * q).sqrt();
    let within = |value: f64, top: f64| value.min(top).max(-top);
    FRAC_2_PI * within(2.0 * within(c, top) / ((1.0 + 2.0 * p) * (1.0 + 2.0 * q)).sqrt(), 1.0).asin()
}

/// ReLU on `deficit` and `excess`, in place, and on `tangent`, which is multiplied by `E[phi'(u) phi'(v)]`;
/// lengths are multiples of [`GROUP`].
///
/// With `r = sqrt(p q)`, the angle `theta` between the inputs and `G = r (sin theta - theta cos theta)`:
/// `deficit' = deficit / 2 - G / (2 pi)`, `excess' = excess / 2 + G / (2 pi)`, and `tangent' = tangent (pi - theta) / (2 pi)`.
pub(super) fn relu_tangents(deficit: &mut [f64], excess: &mut [f64], tangent: &mut [f64]) {
    assert!(deficit.len() == excess.len() && deficit.len() == tangent.len(), "dual: lengths differ");
    relu_tangent_groups(groups_mut(deficit), groups_mut(excess), groups_mut(tangent));
}

fn relu_tangent_groups(deficit: &mut [[f64; GROUP]], excess: &mut [[f64; GROUP]], tangent: &mut [[f64; GROUP]]) {
    vectorised(
        #[inline(always)]
        move || {
            for ((deficit, excess), tangent) in deficit.iter_mut().zip(excess).zip(tangent) {
                // Copies, so that what is written is seen to be none of what is read.
                let (mut deficits, mut excesses, mut tangents) = (*deficit, *excess, *tangent);
                for k in 0..GROUP {
                    let (d, e) = (deficits[k].sqrt(), excesses[k].sqrt());
                    let (half, half_complement) = angles(d, e);
                    let theta = half + half;
                    let (r, c) = (0.5 * (deficits[k] + excesses[k]), 0.5 * (excesses[k] - deficits[k]));
                    let direct = d * e - theta * c;
                    let g = if theta < SERIES_BELOW { r * sine_deficit(theta) } else { direct };
                    deficits[k] = 0.5 * deficits[k] - FRAC_1_2PI * g;
                    excesses[k] = 0.5 * excesses[k] + FRAC_1_2PI * g;
                    tangents[k] *= FRAC_1_PI * half_complement;
                }
                (*deficit, *excess, *tangent) = (deficits, excesses, tangents);
            }
        },
    );
}

/// Angle below which `sin theta - theta cos theta` is summed as a series: it would cancel.
const SERIES_BELOW: f64 = 0.5;

/// `sin theta - theta cos theta = sum over k >= 1 of (-1)^(k + 1) 2 k theta^(2 k + 1) / (2 k + 1)!`, for
/// `theta < 1/2`, where the first term left out is below `1e-19` of the sum.
#[inline(always)]
fn sine_deficit(theta: f64) -> f64 {
    const TERMS: [f64; 8] = [
        1.0 / 3.0,
        -1.0 / 30.0,
        1.0 / 840.0,
        -1.0 / 45_360.0,
        1.0 / 3_991_680.0,
        -1.0 / 518_918_400.0,
        1.0 / 93_405_312_000.0,
        -1.0 / 22_230_464_256_000.0,
    ];
    let z = theta * theta;
    let mut sum = TERMS[7];
    let mut k = 7;
    while k > 0 {
        k -= 1;
        sum = sum * z + TERMS[k];
    }
    theta * z * sum
}

/// Erf on `deficit` and `excess`, in place, and on `tangent`, which is multiplied by `E[phi'(u) phi'(v)]`, given
/// the standard deviations before it.
pub(super) fn erf_tangents([deficit, excess, tangent]: [&mut [f64]; 3], std_p: &[f64], std_q: &[f64]) {
    for k in 0..deficit.len() {
        let slope;
        [deficit[k], excess[k], slope] = erf_dual(std_p[k], std_q[k], deficit[k], excess[k]);
        tangent[k] *= slope;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::quadrature::gaussian_expectation;
    use crate::numeric::tolerance::NNGP_AGREEMENT;
    use approx::{assert_abs_diff_eq, assert_relative_eq};

    fn apply(dual: Dual, c: f64, p: f64, q: f64) -> f64 {
        let mut covariances = [c; GROUP];
        dual.covariances(&mut covariances, &[p; GROUP], &[q; GROUP]);
        covariances[3]
    }

    /// Deficit, excess and factor of the tangent kernel after a ReLU.
    fn relu_state(deficit: f64, excess: f64) -> [f64; 3] {
        let (mut deficit, mut excess, mut tangent) = ([deficit; GROUP], [excess; GROUP], [1.0; GROUP]);
        relu_tangents(&mut deficit, &mut excess, &mut tangent);
        [deficit[0], excess[0], tangent[0]]
    }

    #[test]
    fn duals_are_the_gaussian_expectations_they_stand_for() {
        let relu = |x: f64| x.max(0.0);
        let cases = [(Dual::Relu, relu as fn(f64) -> f64), (Dual::Erf, libm::erf as fn(f64) -> f64)];
        for (dual, phi) in cases {
            for (p, q) in [(1.0, 1.0), (0.3, 2.5), (4.0, 4.0)] {
                for step in -20..=20 {
                    let c = f64::sqrt(p * q) * f64::from(step) / 20.0;
                    let expected = gaussian_expectation(|u, v| phi(u) * phi(v), p, q, c);
                    assert_abs_diff_eq!(apply(dual, c, p, q), expected, epsilon = NNGP_AGREEMENT * f64::sqrt(p * q));
                }
            }
        }
    }

    #[test]
    fn tangent_factors_are_expectations_of_derivatives() {
        let step = |x: f64| f64::from(u8::from(x > 0.0));
        let bell = |x: f64| std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp();
        for (p, q) in [(1.0, 1.0), (0.3, 2.5), (4.0, 4.0)] {
            let r = f64::sqrt(p * q);
            for k in -20..=20 {
                let c = r * f64::from(k) / 20.0;
                let [deficit, excess, factor] = relu_state(r - c, r + c);
                let expected = gaussian_expectation(|u, v| step(u) * step(v), p, q, c);
                assert_abs_diff_eq!(factor, expected, epsilon = NNGP_AGREEMENT);
                let dual = apply(Dual::Relu, c, p, q);
                assert_abs_diff_eq!(deficit, 0.5 * r - dual, epsilon = NNGP_AGREEMENT * r);
                assert_abs_diff_eq!(excess, 0.5 * r + dual, epsilon = NNGP_AGREEMENT * r);

                let (mut deficit, mut excess, mut factor) = ([r - c], [r + c], [1.0]);
                let stds = [p.sqrt(), q.sqrt()];
                erf_tangents([&mut deficit, &mut excess, &mut factor], &stds[..1], &stds[1..]);
                let expected = gaussian_expectation(|u, v| bell(u) * bell(v), p, q, c);
                assert_abs_diff_eq!(factor[0], expected, epsilon = NNGP_AGREEMENT);
                let dual = apply(Dual::Erf, c, p, q);
                assert_abs_diff_eq!(0.5 * (excess[0] - deficit[0]), dual, epsilon = NNGP_AGREEMENT);
            }
        }
    }

    #[test]
    fn nearly_parallel_inputs_keep_all_digits_of_their_angle() {
        for exponent in 0..150 {
            // r = 1: deficit = 1 - cos theta = 2 sin^2(theta / 2).
            let theta = 10_f64.powi(-exponent);
            let (sine, cosine) = (theta / 2.0).sin_cos();
            let [deficit, excess, factor] = relu_state(2.0 * sine * sine, 2.0 * cosine * cosine);
            // After a ReLU: 1/2 - J / 2 with J = 1 - theta^2 / 2 + theta^3 / (3 pi) - theta^5 / (30 pi) + theta^4 / 24 ...
            let expected = if exponent > 3 {
                theta * theta / 4.0 - theta.powi(3) / (6.0 * PI)
            } else {
                0.5 - 0.5 * FRAC_1_PI * (theta.sin() + (PI - theta) * theta.cos())
            };
            let known = if exponent > 3 { 4e-9 * 10_f64.powi(-2 * (exponent - 4)) } else { 1e-9 };
            assert_relative_eq!(deficit, expected, max_relative = known.max(1e-14));
            assert_relative_eq!(excess, 1.0 - deficit, max_relative = 1e-15);
            assert_relative_eq!(factor, 0.5 - theta * FRAC_1_2PI, max_relative = 1e-15);
            // Antipodal inputs: the complement of the angle keeps its digits.
            let [_, _, factor] = relu_state(2.0 * cosine * cosine, 2.0 * sine * sine);
            assert_relative_eq!(factor, theta * FRAC_1_2PI, max_relative = 1e-14);
        }
        assert_eq!(relu_state(0.0, 2.0), [0.0, 1.0, 0.5]);
        assert_eq!(relu_state(2.0, 0.0)[2], 0.0);
        assert!(relu_state(0.0, 0.0).iter().all(|value| value.is_finite()));
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
            (0..64).map(|k| [f64::from(k) / 37.0 - 0.8, 0.9 + f64::from(k) / 50.0, 1.1]).collect();
        let mut together: Vec<f64> = points.iter().map(|point| point[0]).collect();
        let (p, q): (Vec<f64>, Vec<f64>) = points.iter().map(|point| (point[1], point[2])).unzip();
        Dual::Relu.covariances(&mut together, &p, &q);
        for (value, &[c, p, q]) in together.iter().zip(&points) {
            assert_eq!(*value, apply(Dual::Relu, c, p, q));
        }
    }
}
