//! Normal variables above a bound, many at once: `log Phi` and draws by inversion, in code that compiles to vector
//! instructions.
//!
//! One variable at a time these are [`log_ndtr`](super::normal::log_ndtr) and
//! [`quantile_of_log`](super::normal::quantile_of_log), which call the library for every logarithm and exponential. Here all
//! lanes take all branches and select, logarithms and exponentials are sums of a few terms, and the few lanes far in a
//! tail are done again one by one. No fused operations: the bits do not depend on the width of the machine's vectors.

use super::angle::WHOLE;
use super::instructions::vectorised;
use super::mills_table::{HALF_LINE, HALF_LINE_SCALE};
use super::normal::{
    CENTRE_DENOMINATOR, CENTRE_NUMERATOR, FRAC_1_SQRT_TAU, LOG_SQRT_TAU, TAIL_DENOMINATOR, TAIL_NUMERATOR, ratio,
    tail_quantile,
};
use std::f64::consts::LOG2_E;

/// Lanes handled together: their intermediate results stay in the first-level cache.
const LANES: usize = 64;

/// `log Phi(z)` of every `z` that is not NaN, with a relative error below `1e-13`; 0 where `1 - Phi(z)` is below `1e-307`.
///
/// # Panics
/// If the slices differ in length.
pub(crate) fn fill_log_ndtr(z: &[f64], log_mass: &mut [f64]) {
    assert_eq!(z.len(), log_mass.len());
    let mut scratch = Scratch::default();
    for (z, log_mass) in z.chunks(LANES).zip(log_mass.chunks_mut(LANES)) {
        scratch.z[..z.len()].copy_from_slice(z);
        masses(&mut scratch);
        log_mass.copy_from_slice(&scratch.log_mass[..z.len()]);
    }
}

/// For every mean `m` and uniform `u` in `(0, 1]` the logarithm of `Phi(m)` and the draw `x = -Phi^-1(u Phi(m))`: a standard
/// normal, given that `x + m > 0`.
///
/// # Panics
/// If the slices differ in length.
pub(crate) fn fill_draws(means: &[f64], uniforms: &[f64], log_mass: &mut [f64], draws: &mut [f64]) {
    assert!(means.len() == uniforms.len() && means.len() == log_mass.len() && means.len() == draws.len());
    let mut scratch = Scratch::default();
    let inputs = means.chunks(LANES).zip(uniforms.chunks(LANES));
    for ((means, uniforms), (log_mass, draws)) in inputs.zip(log_mass.chunks_mut(LANES).zip(draws.chunks_mut(LANES))) {
        let count = means.len();
        scratch.z[..count].copy_from_slice(means);
        scratch.uniforms[..count].copy_from_slice(uniforms);
        masses(&mut scratch);
        let far = invert(&mut scratch);
        log_mass.copy_from_slice(&scratch.log_mass[..count]);
        draws.copy_from_slice(&scratch.draws[..count]);
        if far {
            for (lane, draw) in draws.iter_mut().enumerate() {
                if scratch.far[lane] != 0.0 {
                    *draw = scratch.far[lane] * tail_quantile(scratch.log_tail[lane]);
                }
            }
        }
    }
}

/// What the passes over a chunk hand to each other; lanes beyond a short last chunk hold what was there before.
struct Scratch {
    z: [f64; LANES],
    uniforms: [f64; LANES],
    /// `1 - Phi(|z|)`.
    tail: [f64; LANES],
    log_mass: [f64; LANES],
    draws: [f64; LANES],
    /// Logarithm of the smaller of `u Phi(m)` and `1 - u Phi(m)`.
    log_tail: [f64; LANES],
    /// The draw's sign where it is too far out for the approximations used here, else 0.
    far: [f64; LANES],
}

impl Default for Scratch {
    fn default() -> Self {
        let zeros = [0.0; LANES];
        Self {
            z: zeros,
            uniforms: [0.5; LANES],
            tail: zeros,
            log_mass: zeros,
            draws: zeros,
            log_tail: zeros,
            far: zeros,
        }
    }
}

/// Tails and log masses of a chunk. Compiled for each width of vectors; the operations and so the bits are the same in all of
/// them.
fn masses(scratch: &mut Scratch) {
    vectorised(
        #[inline(always)]
        move || {
            let Scratch { z, tail, log_mass, .. } = scratch;
            let mut ratios = [0.0; LANES];
            for (ratio, z) in ratios.iter_mut().zip(z.iter()) {
                *ratio = mills_ratio(z.abs());
            }
            for (((z, ratio), tail), log_mass) in z.iter().zip(&ratios).zip(tail).zip(log_mass) {
                let half_square = 0.5 * z * z;
                *tail = FRAC_1_SQRT_TAU * exp_of_negative(half_square) * ratio;
                let negative = *z < 0.0;
                let complement = 1.0 - *tail;
                let logarithm = ln(if negative { *ratio } else { complement });
                // What the subtraction from 1 rounded away.
                let lost = (1.0 - complement) - *tail;
                *log_mass =
                    if negative { logarithm - half_square - LOG_SQRT_TAU } else { logarithm + lost / complement };
            }
        },
    );
}

/// Draws of a chunk, and whether one is too far out; compiled as [`masses`]. Algorithm AS 241 (Wichura 1988), as in
/// [`quantile_of_log`](super::normal::quantile_of_log).
fn invert(scratch: &mut Scratch) -> bool {
    vectorised(
        #[inline(always)]
        move || {
            let Scratch { z, uniforms, tail, log_mass, draws, log_tail, far } = scratch;
            let known = z.iter().zip(uniforms.iter()).zip(tail.iter().zip(log_mass.iter()));
            for (((z, u), (tail, log_mass)), (draw, (log_tail, far))) in
                known.zip(draws.iter_mut().zip(log_tail.iter_mut().zip(far.iter_mut())))
            {
                let q = u * if *z < 0.0 { *tail } else { 1.0 - tail } - 0.5;
                let upper = q > 0.425;
                // 1 - u (1 - tail) without cancellation.
                let logarithm = ln(if upper { (1.0 - u) + u * tail } else { *u });
                *log_tail = if upper { logarithm } else { logarithm + log_mass };
                let r = (-*log_tail).sqrt();
                let centre = q * ratio(0.180_625 - q * q, &CENTRE_NUMERATOR, &CENTRE_DENOMINATOR);
                let outside = ratio(r - 1.6, &TAIL_NUMERATOR, &TAIL_DENOMINATOR);
                let sign = if upper { -1.0 } else { 1.0 };
                let is_central = q.abs() <= 0.425;
                *draw = if is_central { -centre } else { sign * outside };
                *far = if is_central || r <= 5.0 { 0.0 } else { sign };
            }
            far.iter().any(|sign| *sign != 0.0)
        },
    )
}

/// [`mills`](super::normal::mills) to a few units in the last place, by one polynomial for all `x >= 0`: no table is looked up, so
/// loops over it vectorise.
#[inline(always)]
fn mills_ratio(x: f64) -> f64 {
    let reciprocal = 1.0 / (HALF_LINE_SCALE + x);
    let u = 2.0 * HALF_LINE_SCALE * reciprocal - 1.0;
    let square = u * u;
    let fourth = square * square;
    // Four sums of every fourth term: the chain of dependent operations is a quarter as long.
    let c = &HALF_LINE;
    let mut sums = [c[24] * fourth + c[20], c[21], c[22], c[23]];
    for first in [16, 12, 8, 4, 0] {
        for (power, sum) in sums.iter_mut().enumerate() {
            *sum = *sum * fourth + c[first + power];
        }
    }
    ((sums[0] + sums[1] * u) + (sums[2] + sums[3] * u) * square) * reciprocal
}

/// `ln 2` in two parts: multiples of the first below 2048 are exact.
const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// `ln x` for positive normal `x`, to a few units in the last place; something finite for others.
///
/// `ln x = k ln 2 + 2 artanh((m - 1) / (m + 1))`, `x = m 2^k` with `m` within a factor of `sqrt 2` of 1.
#[inline(always)]
fn ln(x: f64) -> f64 {
    const SQRT_HALF: u64 = std::f64::consts::FRAC_1_SQRT_2.to_bits();
    const ONE: u64 = 1.0_f64.to_bits();
    /// `2^52`: its lowest bits count units.
    const UNITS: f64 = 4_503_599_627_370_496.0;
    let bits = x.to_bits();
    let exponent = bits.wrapping_sub(SQRT_HALF).wrapping_add(ONE) >> 52;
    let m = f64::from_bits(bits.wrapping_sub(exponent << 52).wrapping_add(ONE));
    let k = f64::from_bits(UNITS.to_bits() | exponent) - (UNITS + 1023.0);
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let mut sum = 1.0 / 21.0;
    for coefficient in
        [1.0 / 19.0, 1.0 / 17.0, 1.0 / 15.0, 1.0 / 13.0, 1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 0.2, 1.0 / 3.0]
    {
        sum = sum * z + coefficient;
    }
    k * LN_2_HIGH + (2.0 * s + (2.0 * s * z * sum + k * LN_2_LOW))
}

/// `exp(-x)` for `x >= 0`, to a few units in the last place; 0 from 708 on.
#[inline(always)]
fn exp_of_negative(x: f64) -> f64 {
    let beyond = x > 708.0;
    let x = if beyond { 0.0 } else { x };
    let whole = WHOLE - x * LOG2_E;
    let k = whole - WHOLE;
    let r = (-x - k * LN_2_HIGH) - k * LN_2_LOW;
    // Taylor's sum: on |r| <= ln(2) / 2 the first term left out is 4e-18.
    let mut sum = 1.0 / 6_227_020_800.0;
    for coefficient in [
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        sum = sum * r + coefficient;
    }
    let scale = f64::from_bits(whole.to_bits().wrapping_add(1023) << 52);
    if beyond { 0.0 } else { sum * scale }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::normal::{log_ndtr, mills, ndtr};
    use approx::assert_relative_eq;

    #[test]
    fn the_mills_ratio_agrees_with_its_table() {
        let sizes = (0..200_000).map(|step| f64::from(step) * 1e-4);
        let far = (0..2000).map(|step| 10.0_f64.powf(f64::from(step) * 0.15));
        for x in sizes.chain(far).filter(|x| x.is_finite()) {
            assert_relative_eq!(mills_ratio(x), mills(x), max_relative = 8.0 * f64::EPSILON);
        }
        assert_eq!(mills_ratio(f64::INFINITY), 0.0);
    }

    #[test]
    fn logarithm_and_exponential_agree_with_the_library() {
        for step in 0..200_000 {
            let x = (f64::from(step) * 7e-3 - 708.0).exp();
            assert_relative_eq!(ln(x), x.ln(), max_relative = 4.0 * f64::EPSILON);
            let near_one = 1.0 + (f64::from(step) - 1e5) * 1e-7;
            assert_relative_eq!(ln(near_one), near_one.ln(), max_relative = 4.0 * f64::EPSILON);
            let x = f64::from(step) * 3.5e-3;
            assert_relative_eq!(exp_of_negative(x), (-x).exp(), max_relative = 4.0 * f64::EPSILON);
        }
        assert_eq!((exp_of_negative(f64::INFINITY), exp_of_negative(0.0)), (0.0, 1.0));
        assert!(!ln(0.0).is_nan() && !ln(1e-310).is_nan());
    }

    #[test]
    fn masses_are_those_of_one_variable_at_a_time() {
        let z: Vec<f64> = (-4000..3700)
            .map(|k| 0.01 * f64::from(k))
            .chain([-1e3, -1e10, -1e154, -1e200, f64::NEG_INFINITY, 0.0, -0.0, 1e-300, 40.0, 1e10, f64::INFINITY])
            .collect();
        let mut log_mass = vec![0.0; z.len()];
        fill_log_ndtr(&z, &mut log_mass);
        for (z, found) in z.iter().zip(log_mass) {
            let expected = log_ndtr(*z);
            let allowed = 1e-13 * expected.abs() + 1e-307;
            assert!(found == expected || (found - expected).abs() <= allowed, "{z}: {found} for {expected}");
        }
    }

    #[test]
    fn draws_invert_the_distribution_function() {
        let means =
            [-1e8, -300.0, -40.0, -37.5, -8.0, -5.0, -1.7, -0.4, 0.0, 0.3, 2.0, 5.0, 8.0, 12.0, 37.0, 39.0, 1e3];
        let uniforms = [1e-300, 1e-20, 1e-9, 1e-3, 0.07, 0.3, 0.5, 0.9, 0.926, 0.999, 1.0 - 1e-9, 1.0 - 2e-16, 1.0];
        let (mut all_means, mut all_uniforms) = (Vec::new(), Vec::new());
        for mean in means {
            for u in uniforms {
                all_means.push(mean);
                all_uniforms.push(u);
            }
        }
        let (mut log_mass, mut draws) = (vec![0.0; all_means.len()], vec![0.0; all_means.len()]);
        fill_draws(&all_means, &all_uniforms, &mut log_mass, &mut draws);
        for (((mean, u), log_mass), draw) in all_means.iter().zip(&all_uniforms).zip(log_mass).zip(draws) {
            let expected = log_ndtr(*mean);
            assert!((log_mass - expected).abs() <= 1e-13 * expected.abs() + 1e-307, "{mean}: {log_mass}");
            // Phi(-x) = u Phi(m), and 1 - Phi(-x) = (1 - u) + u Phi(-m): whichever is the smaller keeps its digits.
            let (found, wanted) = if draw > 0.0 {
                (log_ndtr(-draw), u.ln() + expected)
            } else {
                (log_ndtr(draw), ((1.0 - u) + u * ndtr(-mean)).ln())
            };
            // An error of 1e-14 of 1 + |x| in the draw, times the hazard of at most 1 + |x|; beyond 37.5 the tail is 0.
            let allowed = 1e-14 * (1.0 + draw.abs()).powi(2);
            let beyond = *u == 1.0 && *mean > 37.5;
            assert!((found - wanted).abs() <= allowed || beyond && draw + mean > 0.0, "{mean} {u}: {draw}");
        }
    }

    #[test]
    fn chunks_do_not_matter() {
        let means: Vec<f64> = (0..200).map(|k| 0.1 * f64::from(k) - 12.0).collect();
        let uniforms: Vec<f64> = (0..200).map(|k| (f64::from(k) + 0.5) / 200.0).collect();
        let (mut log_mass, mut draws) = (vec![0.0; 200], vec![0.0; 200]);
        fill_draws(&means, &uniforms, &mut log_mass, &mut draws);
        for k in 0..200 {
            let (mut one_mass, mut one_draw) = ([0.0], [0.0]);
            fill_draws(&means[k..=k], &uniforms[k..=k], &mut one_mass, &mut one_draw);
            assert_eq!((one_mass[0], one_draw[0]), (log_mass[k], draws[k]));
        }
    }
}
