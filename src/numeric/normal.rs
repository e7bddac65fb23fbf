//! The standard normal distribution, accurate in relative terms over the whole line.
//!
//! Everything rests on one table, the Mills ratio `M(x) = (1 - Phi(x)) / phi(x)` for `x >= 0`, kept
//! as piecewise polynomials of `(SCALE + x) M(x)` in `t = SCALE / (SCALE + x)`. It decays like `1/x`
//! instead of `exp(-x^2/2)`, so tails cost no accuracy.

use super::mills_table::{COEFFICIENTS, INTERVALS, SCALE};

/// `log(sqrt(2 pi))`.
pub const LOG_SQRT_TAU: f64 = 0.918_938_533_204_672_8;
/// `1 / sqrt(2 pi)`.
pub const FRAC_1_SQRT_TAU: f64 = 0.398_942_280_401_432_7;

/// Mills ratio `M(x) = (1 - Phi(x)) / phi(x)` for `x >= 0`, to a few units in the last place.
///
/// # Panics
/// In debug builds if `x` is negative or NaN; use [`hazard`] or [`log_ndtr`] for other arguments.
#[inline]
pub fn mills(x: f64) -> f64 {
    debug_assert!(x >= 0.0, "the Mills ratio table covers x >= 0, not {x}");
    let shifted = SCALE + x;
    let position = SCALE / shifted * INTERVALS as f64;
    // t = 1 (x = 0) belongs to the last interval; the cast saturates.
    let index = (position as usize).min(INTERVALS - 1);
    let u = 2.0 * (position - index as f64) - 1.0;
    let c = &COEFFICIENTS[index];
    // Estrin's scheme: the chain of dependent operations is three long instead of seven.
    let u2 = u * u;
    let low = c[1].mul_add(u, c[0]) + c[3].mul_add(u, c[2]) * u2;
    let high = c[5].mul_add(u, c[4]) + c[7].mul_add(u, c[6]) * u2;
    (high * u2).mul_add(u2, low) / shifted
}

/// Density `phi(x) = exp(-x^2/2) / sqrt(2 pi)`, with the rounding of `x^2` compensated.
#[inline]
pub fn density(x: f64) -> f64 {
    let square = x * x;
    if square.is_infinite() {
        return 0.0;
    }
    let lost = x.mul_add(x, -square);
    FRAC_1_SQRT_TAU * (-0.5 * square).exp() * (1.0 - 0.5 * lost)
}

/// `Phi(z)`, the distribution function.
#[inline]
pub fn ndtr(z: f64) -> f64 {
    if z < 0.0 { density(z) * mills(-z) } else { 1.0 - density(z) * mills(z) }
}

/// `log Phi(z)`; relative error below `1e-13` for every finite `z`.
///
/// Returns `-inf` at `z = -inf`, and where `-z^2/2` itself overflows.
#[inline]
pub fn log_ndtr(z: f64) -> f64 {
    if z < 0.0 {
        if z == f64::NEG_INFINITY {
            return f64::NEG_INFINITY;
        }
        -0.5 * z * z - LOG_SQRT_TAU + mills(-z).ln()
    } else {
        (-density(z) * mills(z)).ln_1p()
    }
}

/// Hazard `phi(z) / Phi(z)`, the derivative of [`log_ndtr`]; about `-z` far below zero.
#[inline]
pub fn hazard(z: f64) -> f64 {
    if z < 0.0 {
        1.0 / mills(-z)
    } else {
        let tail = density(z);
        tail / (1.0 - tail * mills(z))
    }
}

/// Mean and variance of `X ~ N(z, 1)` given `X > 0`: `a = z + h(z)` and `1 - h(z) a`, `h` the [`hazard`].
///
/// Far below zero both are small differences of large numbers; there they come from Laplace's continued
/// fraction `a = 1 / (x + 2 / (x + 3 / (x + ...)))`, `x = -z`, whose tail `b = 2 / (x + 3 / ...)` also gives the
/// variance as `a (b - a)`.
pub fn positive_part_moments(z: f64) -> (f64, f64) {
    // From 8 on, 24 terms reach rounding, and the differences would have lost a thousand units in the last place.
    const FAR: f64 = -8.0;
    if z < FAR {
        let x = -z;
        let mut tail = 0.0;
        for k in (2..26).rev() {
            tail = f64::from(k) / (x + tail);
        }
        let mean = 1.0 / (x + tail);
        (mean, mean * (tail - mean))
    } else {
        let hazard = hazard(z);
        let mean = z + hazard;
        (mean, 1.0 - hazard * mean)
    }
}

/// Quantile `z` with `Phi(z) = p`, for `p` in (0, 1); `-inf` and `inf` at 0 and 1.
///
/// In terms of `log p` where `p` underflows: see [`quantile_of_log`].
pub fn quantile(p: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    // The upper half through the lower: 1 - p is exact for p in [1/2, 1].
    if p <= 0.5 { quantile_of_log(p.ln()) } else { -quantile_of_log((1.0 - p).ln()) }
}

/// Quantile `z` with `log Phi(z) = log_p`, for `log_p <= 0`; works where `exp(log_p)` underflows.
///
/// Newton's iteration on `log Phi`, which is concave: from a start to the left of the root it would
/// overshoot to the left only, so it converges from any start; the starting value is the tail
/// expansion (below -4) or the logistic approximation, and four steps reach rounding.
pub fn quantile_of_log(log_p: f64) -> f64 {
    if log_p.is_nan() || log_p > 0.0 {
        return f64::NAN;
    }
    if log_p == 0.0 {
        return f64::INFINITY;
    }
    if log_p == f64::NEG_INFINITY {
        return f64::NEG_INFINITY;
    }
    if log_p > -std::f64::consts::LN_2 {
        // Mirror into the lower half, where the relative accuracy of log p is that of p.
        return -quantile_of_log((-log_p.exp_m1()).ln());
    }
    let mut z = if log_p < -4.0 {
        let w = -2.0 * (log_p + LOG_SQRT_TAU);
        -(w - w.max(1.5).ln()).max(0.0).sqrt()
    } else {
        (log_p - (-log_p.exp()).ln_1p()) / 1.702
    };
    for _ in 0..8 {
        let step = (log_ndtr(z) - log_p) / hazard(z);
        z -= step;
        if step.abs() <= 4.0 * f64::EPSILON * z.abs() {
            break;
        }
    }
    z
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    /// A slow definition that shares nothing with the table: the continued fraction of the tail
    /// (Laplace 1805) far out, and the alternating series of `Phi(x) - 1/2` near zero.
    fn slow_mills(x: f64) -> f64 {
        if x > 1.0 {
            let mut tail = 0.0;
            for k in (1..400).rev() {
                tail = k as f64 / (x + tail);
            }
            1.0 / (x + tail)
        } else {
            // Phi(x) - 1/2 = phi(x) sum x^(2k+1) / (1 3 5 ... (2k+1)), all terms positive.
            let (mut term, mut sum) = (x, x);
            for k in 1..200 {
                term *= x * x / (2 * k + 1) as f64;
                sum += term;
            }
            0.5 / density(x) - sum
        }
    }

    #[test]
    fn mills_ratio_agrees_with_series_and_continued_fraction() {
        for k in 0..4000 {
            let x = 0.01 * k as f64;
            // The series subtracts numbers of size 2 to leave M >= 0.65: a dozen roundings.
            assert_relative_eq!(mills(x), slow_mills(x), max_relative = 2e-15);
        }
    }

    #[test]
    fn moments_of_the_positive_part_agree_with_quadrature() {
        for z in [-300.0, -40.0, -8.1, -8.0, -7.9, -3.0, -0.5, 0.0, 0.7, 4.0, 9.0] {
            // Simpson's rule over [0, end] on the density relative to its largest value.
            let end = f64::max(z, 0.0) + f64::min(40.0 / f64::max(-z, 1.0), 12.0);
            let steps = 20_000;
            let (mut mass, mut first, mut second) = (0.0, 0.0, 0.0);
            for k in 0..=steps {
                let x = end * k as f64 / steps as f64;
                let weight = if k == 0 || k == steps { 1.0 } else { 2.0 + 2.0 * (k % 2) as f64 };
                let value = weight * (-0.5 * x * x + x * z - 0.5 * z.max(0.0) * z).exp();
                mass += value;
                first += value * x;
                second += value * x * x;
            }
            let (mean, variance) = positive_part_moments(z);
            assert_relative_eq!(mean, first / mass, max_relative = 1e-11);
            assert_relative_eq!(variance, second / mass - (first / mass).powi(2), max_relative = 1e-10);
        }
    }

    #[test]
    fn quantile_inverts_the_distribution_function() {
        for k in -370..=370 {
            let z = 0.1 * k as f64;
            if z <= 5.0 {
                let back = quantile_of_log(log_ndtr(z));
                // Above zero the upper tail is all that log Phi knows of z.
                let tolerance = if z < 0.0 { 1e-13 } else { 1e-15 / density(z) };
                assert!((back - z).abs() <= tolerance * (1.0 + z.abs()), "{z} came back as {back}");
            }
        }
        assert!(quantile(0.5).abs() <= f64::EPSILON);
        assert_eq!(quantile(0.0), f64::NEG_INFINITY);
        assert_eq!(quantile(1.0), f64::INFINITY);
        assert!(quantile(f64::NAN).is_nan());
        assert_relative_eq!(quantile_of_log(-1e8), -14142.134882976301, max_relative = 1e-15);
    }

    #[test]
    fn extreme_arguments_give_no_nan() {
        for z in [1e-300, 1e10, 1e154, 1e200, f64::MAX] {
            for z in [z, -z] {
                assert!(!log_ndtr(z).is_nan() && !hazard(z).is_nan() && !ndtr(z).is_nan());
            }
        }
        assert_eq!(log_ndtr(f64::NEG_INFINITY), f64::NEG_INFINITY);
        assert_eq!(log_ndtr(f64::INFINITY), 0.0);
    }
}
