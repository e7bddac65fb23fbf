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
#[inline(always)]
pub fn mills(x: f64) -> f64 {
    debug_assert!(x >= 0.0, "the Mills ratio table covers x >= 0, not {x}");
    let shifted = SCALE + x;
    let position = SCALE / shifted * INTERVALS as f64;
    // t = 1 (x = 0) belongs to the last interval; the cast saturates.
    let index = (position as usize).min(INTERVALS - 1);
    let u = 2.0 * (position - index as f64) - 1.0;
    let c = &COEFFICIENTS[index];
    // Estrin's scheme: the chain of dependent operations is three long instead of seven. No fused multiply-add: where
    // the target lacks it, it is a function call, and the first coefficient outweighs the rest so far that its
    // rounding is all that matters.
    let u2 = u * u;
    let low = (c[1] * u + c[0]) + (c[3] * u + c[2]) * u2;
    let high = (c[5] * u + c[4]) + (c[7] * u + c[6]) * u2;
    (low + high * (u2 * u2)) / shifted
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
        let tail = density(z) * mills(z);
        // Above a tenth, 1 - tail has lost at most ten roundings, and ln is the faster function.
        if tail > 0.1 { (1.0 - tail).ln() } else { (-tail).ln_1p() }
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
/// Rational approximations of Wichura (1988), algorithm AS 241, which in the tails are functions of
/// `sqrt(-log p)`; below `p = exp(-729)` Newton's iteration on `log Phi`, which is concave there.
pub fn quantile_of_log(log_p: f64) -> f64 {
    if !(log_p <= 0.0) {
        return f64::NAN;
    }
    // Phi(z) within 0.425 of one half; the bounds are the logarithms of 0.075 and 0.925.
    if log_p > -2.590_267_165_445_490_4 && log_p < -0.077_961_541_469_711_89 {
        let q = log_p.exp() - 0.5;
        return q * ratio(0.180_625 - q * q, &CENTRE_NUMERATOR, &CENTRE_DENOMINATOR);
    }
    if log_p < -1.0 { -tail_quantile(log_p) } else { tail_quantile((-log_p.exp_m1()).ln()) }
}

/// `z > 0` with `log Phi(-z) = log_tail`, for tails below 0.075.
pub(super) fn tail_quantile(log_tail: f64) -> f64 {
    let r = (-log_tail).sqrt();
    if r <= 5.0 {
        ratio(r - 1.6, &TAIL_NUMERATOR, &TAIL_DENOMINATOR)
    } else if r <= 27.0 {
        ratio(r - 5.0, &FAR_NUMERATOR, &FAR_DENOMINATOR)
    } else if r < f64::INFINITY {
        far_quantile(log_tail)
    } else {
        f64::INFINITY
    }
}

/// `z > 0` with `log Phi(-z) = log_p` far out: from the leading term `-z^2 / 2 - log(z sqrt(2 pi))`, by Newton's steps.
fn far_quantile(log_p: f64) -> f64 {
    let w = -2.0 * (log_p + LOG_SQRT_TAU);
    let mut z = (w - w.ln()).sqrt();
    for _ in 0..3 {
        z += (log_ndtr(-z) - log_p) / hazard(-z);
    }
    z
}

/// Quotient of two polynomials of degree 7.
#[inline(always)]
pub(super) fn ratio(x: f64, numerator: &[f64; 8], denominator: &[f64; 8]) -> f64 {
    let horner = |c: &[f64; 8]| c.iter().rev().fold(0.0, |sum, c| sum * x + c);
    horner(numerator) / horner(denominator)
}

// Coefficients of AS 241, lowest power first.
pub(super) const CENTRE_NUMERATOR: [f64; 8] = [
    3.387_132_872_796_366_5,
    1.331_416_678_917_843_8e2,
    1.971_590_950_306_551_3e3,
    1.373_169_376_550_946e4,
    4.592_195_393_154_987e4,
    6.726_577_092_700_87e4,
    3.343_057_558_358_813e4,
    2.509_080_928_730_122_7e3,
];
pub(super) const CENTRE_DENOMINATOR: [f64; 8] = [
    1.0,
    4.231_333_070_160_091e1,
    6.871_870_074_920_579e2,
    5.394_196_021_424_751e3,
    2.121_379_430_158_659_7e4,
    3.930_789_580_009_271e4,
    2.872_908_573_572_194_3e4,
    5.226_495_278_852_854e3,
];
pub(super) const TAIL_NUMERATOR: [f64; 8] = [
    1.423_437_110_749_683_5,
    4.630_337_846_156_546,
    5.769_497_221_460_691,
    3.647_848_324_763_204_5,
    1.270_458_252_452_368_4,
    2.417_807_251_774_506e-1,
    2.272_384_498_926_918_4e-2,
    7.745_450_142_783_414e-4,
];
pub(super) const TAIL_DENOMINATOR: [f64; 8] = [
    1.0,
    2.053_191_626_637_759,
    1.676_384_830_183_803_8,
    6.897_673_349_851e-1,
    1.481_039_764_274_800_8e-1,
    1.519_866_656_361_645_7e-2,
    5.475_938_084_995_345e-4,
    1.050_750_071_644_416_9e-9,
];
const FAR_NUMERATOR: [f64; 8] = [
    6.657_904_643_501_103,
    5.463_784_911_164_114,
    1.784_826_539_917_291_3,
    2.965_605_718_285_048_7e-1,
    2.653_218_952_657_612_4e-2,
    1.242_660_947_388_078_4e-3,
    2.711_555_568_743_487_6e-5,
    2.010_334_399_292_288_1e-7,
];
const FAR_DENOMINATOR: [f64; 8] = [
    1.0,
    5.998_322_065_558_88e-1,
    1.369_298_809_227_358e-1,
    1.487_536_129_085_061_5e-2,
    7.868_691_311_456_133e-4,
    1.846_318_317_510_054_8e-5,
    1.421_511_758_316_446e-7,
    2.044_263_103_389_939_8e-15,
];

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
