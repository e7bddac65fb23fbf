//! Many standard normals at once.

use super::instructions::vectorised;
use crate::numeric::{Numbers, WideChaCha};
use std::f32::consts::{FRAC_PI_2, LN_2};

/// Radius numbers below this are refined by further bits, so that the tail has them too.
const REFINED_BELOW: u32 = 1 << 22;

/// Fills `out` with independent standard normals from 32 random bits each, on the widest vectors of the machine and
/// with the same bits on all of them; a last odd one takes a pair's bits.
///
/// A pair is `r (cos a, sin a)`, `r = sqrt(-2 ln u)` (Box and Muller 1958), `u` at the middle of one of `2^31` equal cells
/// and `a` of one of `2^32`; the lowest `2^21` cells of `u`, the tail, are divided into `2^32` more by further bits. So a draw
/// differs from an exactly normal one in its cell by at most `2^-30 r` for the angle and `2^-32 / (u r)` for the radius:
/// together less than `2^-23` where `r > 2^-9` (all but `2^-19` of the draws), and less than `2^-15` there. Single
/// precision adds a few units of its rounding, `2^-21` of the radius at most.
pub fn fill_normals(generator: &mut WideChaCha, out: &mut [f32]) {
    const PAIRS: usize = size_of::<Numbers>() / 8;
    let mut numbers = Numbers::default();
    for chunk in out.chunks_mut(2 * PAIRS) {
        let pairs = chunk.len().div_ceil(2);
        generator.fill_numbers(&mut numbers);
        let (radii, angles) = numbers.as_flattened().split_at(PAIRS);
        let (radii, angles) = (&radii[..pairs], &angles[..pairs]);
        let (first, second) = chunk.split_at_mut(pairs);
        if fill(radii, angles, first, second) < REFINED_BELOW {
            refine(generator, radii, angles, chunk);
        }
    }
}

/// Fills the first and the second halves of pairs, and returns the smallest number of a radius. Compiled for each width
/// of vectors; the operations and so the bits are the same in all of them.
fn fill(radii: &[u32], angles: &[u32], first: &mut [f32], second: &mut [f32]) -> u32 {
    vectorised(
        #[inline(always)]
        move || {
            for (((radius, angle), first), second) in
                radii.iter().zip(angles).zip(first.iter_mut()).zip(second.iter_mut())
            {
                (*first, *second) = pair_of_numbers(*radius, *angle);
            }
            if first.len() > second.len() {
                first[second.len()] = pair_of_numbers(radii[second.len()], angles[second.len()]).0;
            }
            radii.iter().fold(u32::MAX, |least, radius| least.min(*radius))
        },
    )
}

#[inline(always)]
fn pair_of_numbers(radius: u32, angle: u32) -> (f32, f32) {
    // An odd number is the middle of its cell.
    let number = radius | 1;
    let zeros = number.leading_zeros();
    pair(number << zeros, zeros, angle)
}

#[cold]
fn refine(generator: &mut WideChaCha, radii: &[u32], angles: &[u32], chunk: &mut [f32]) {
    for (index, (radius, angle)) in radii.iter().zip(angles).enumerate() {
        if *radius < REFINED_BELOW {
            let (first, second) = refined(*radius, generator.next_number(), *angle);
            chunk[index] = first;
            if let Some(place) = chunk.get_mut(radii.len() + index) {
                *place = second;
            }
        }
    }
}

/// The pair with a radius number of 64 bits.
fn refined(radius: u32, further: u32, angle: u32) -> (f32, f32) {
    let number = u64::from(radius) << 32 | u64::from(further) | 1;
    let zeros = number.leading_zeros();
    pair(((number << zeros) >> 32) as u32, zeros, angle)
}

/// The pair at `u = leading 2^-(32 + zeros)`, where the highest bit of `leading` is set.
#[inline(always)]
fn pair(leading: u32, zeros: u32, angle: u32) -> (f32, f32) {
    let radius = (-2.0 * ln(leading, zeros)).sqrt();
    // The two highest bits choose a quadrant, the others an angle within +-pi/4 of its middle.
    let steps = (angle & 0x3fff_ffff) as i32 - (1 << 29);
    let within = (steps as f32 + 0.5) * (FRAC_PI_2 / (1 << 30) as f32);
    let (sine, cosine) = (sin(within), cos(within));
    let swapped = angle & 0x4000_0000 != 0;
    let (x, y) = if swapped { (-sine, cosine) } else { (cosine, sine) };
    let signed = if angle & 0x8000_0000 != 0 { -radius } else { radius };
    (signed * x, signed * y)
}

/// `ln u = e ln 2 + 2 artanh((m - 1) / (m + 1))`, `u = m 2^e` with `m` within a factor of `sqrt 2` of 1. The difference
/// `m - 1` is that of integers, so that the logarithm has all its digits where `u` is close to 1.
#[inline(always)]
fn ln(leading: u32, zeros: u32) -> f32 {
    const SQRT_2: u32 = 3_037_000_500;
    let above = leading > SQRT_2;
    // As a signed number, `leading` is less by 2^32.
    let (difference, unit) = if above {
        (leading as i32, 1.0 / (1_u64 << 32) as f32)
    } else {
        ((leading & 0x7fff_ffff) as i32, 1.0 / (1_u64 << 31) as f32)
    };
    let difference = difference as f32 * unit;
    let exponent = i32::from(!above) + zeros as i32;
    let s = difference / (2.0 + difference);
    let z = s * s;
    let mut sum: f32 = 1.0 / 9.0;
    for coefficient in [1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0, 1.0] {
        sum = sum.mul_add(z, coefficient);
    }
    (-exponent as f32).mul_add(LN_2, 2.0 * s * sum)
}

/// The sine's Taylor sum for `|x| <= pi / 4`.
#[inline(always)]
fn sin(x: f32) -> f32 {
    let z = x * x;
    let mut sum: f32 = 1.0 / 362_880.0;
    for coefficient in [-1.0 / 5040.0, 1.0 / 120.0, -1.0 / 6.0, 1.0] {
        sum = sum.mul_add(z, coefficient);
    }
    x * sum
}

/// The cosine's.
#[inline(always)]
fn cos(x: f32) -> f32 {
    let z = x * x;
    let mut sum: f32 = -1.0 / 3_628_800.0;
    for coefficient in [1.0 / 40_320.0, -1.0 / 720.0, 1.0 / 24.0, -1.0 / 2.0, 1.0] {
        sum = sum.mul_add(z, coefficient);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::{Streams, normal};
    use std::f64::consts::{FRAC_PI_4, TAU};

    /// A few roundings of single precision.
    const ELEMENTARY: f64 = 4.0 * f32::EPSILON as f64;

    #[test]
    fn elementary_functions_are_those_of_double_precision() {
        for step in 0..4000_u32 {
            for number in [step << 20 | 1, 1 << 31 | step, u32::MAX - step, 3_037_000_500 - 2000 + step, step + 1] {
                let zeros = number.leading_zeros();
                let expected = (f64::from(number) / (1_u64 << 32) as f64).ln();
                let found = f64::from(ln(number << zeros, zeros));
                assert!((found - expected).abs() <= ELEMENTARY * expected.abs(), "ln {number}: {found} {expected}");
            }
            let angle = ((f64::from(step) + 0.5) / 2000.0 - 1.0) * FRAC_PI_4;
            let single = angle as f32;
            let angle = f64::from(single);
            assert!((f64::from(sin(single)) - angle.sin()).abs() <= ELEMENTARY * angle.abs());
            assert!((f64::from(cos(single)) - angle.cos()).abs() <= ELEMENTARY);
        }
    }

    /// Four quadrants, and an angle's pair is a point of the circle at that angle.
    #[test]
    fn angles_go_round_the_circle() {
        let radius = f64::from(pair_of_numbers(1 << 31, 1 << 29).0);
        assert!((radius - (2.0 * 2.0_f64.ln()).sqrt()).abs() < 1e-6);
        for step in 0..64_u32 {
            let number = step << 26;
            let (x, y) = pair_of_numbers(1 << 31, number);
            let (x, y) = (f64::from(x), f64::from(y));
            let expected = f64::from(number) / (1_u64 << 32) as f64 * TAU - FRAC_PI_4;
            let turn = (y.atan2(x) - expected).rem_euclid(TAU);
            assert!(turn.min(TAU - turn) < 1e-6, "{step}: {x} {y}");
            assert!((x.hypot(y) - radius).abs() < 1e-6);
        }
    }

    /// n = 2^20 and seed 5: the largest distance of the empirical distribution from Phi, where `sqrt(n) D > 2.2` has
    /// probability `2 exp(-2 * 2.2^2) = 1.3e-4` (Kolmogorov); a shift or a scale off by 0.5% is seen.
    #[test]
    fn the_distribution_is_normal() {
        let n = 1 << 20;
        let distance = |change: fn(f64) -> f64| {
            let mut draws = vec![0.0; n];
            fill_normals(&mut WideChaCha::new(&Streams::new(5).stream("normals", 0)), &mut draws);
            let mut draws: Vec<f64> = draws.into_iter().map(|draw| change(f64::from(draw))).collect();
            draws.sort_by(f64::total_cmp);
            let cell = |(index, draw): (usize, &f64)| {
                let probability = normal::ndtr(*draw);
                (probability - index as f64 / n as f64).abs().max((probability - (index + 1) as f64 / n as f64).abs())
            };
            (n as f64).sqrt() * draws.iter().enumerate().map(cell).fold(0.0, f64::max)
        };
        assert!(distance(|draw| draw) < 2.2);
        assert!(distance(|draw| draw + 0.005) > 2.2);
        assert!(distance(|draw| 1.01 * draw) > 2.2);
    }

    /// The tail beyond what 32 bits reach: refined pairs lie in their cell, on both sides of its middle, and go on far
    /// below the lowest cell's.
    #[test]
    fn refined_pairs_lie_in_their_cell() {
        for radius in [1, 1000, REFINED_BELOW - 1] {
            let length = |(x, y): (f32, f32)| f64::from(x).hypot(f64::from(y));
            let of = |number: u32| (-2.0 * (f64::from(number) / (1_u64 << 32) as f64).ln()).sqrt();
            let ends = [0, 1 << 31, u32::MAX].map(|further| length(refined(radius, further, 1 << 20)));
            assert!(
                (ends[0] - of(radius)).abs() < 1e-5 && (ends[2] - of(radius + 1)).abs() < 1e-5,
                "{radius}: {ends:?}"
            );
            assert!(ends[0] >= ends[1] && ends[1] >= ends[2]);
        }
        let (x, y) = refined(0, 0, 0);
        assert!(f64::from(x).hypot(f64::from(y)) > 9.4);
    }

    /// A shorter draw is not the beginning of a longer one, but every length is filled, and refined where it has to be:
    /// n = 2^20 numbers have some 1000 radii of the tail, and the largest is beyond what 32 bits reach with
    /// probability `2^-12`.
    #[test]
    fn every_length_is_filled() {
        let generator = WideChaCha::new(&Streams::new(5).stream("normals", 1));
        for length in [0, 1, 2, 5, 255, 256, 257, 513] {
            let mut draws = vec![f32::NAN; length];
            fill_normals(&mut generator.clone(), &mut draws);
            assert!(draws.iter().all(|draw| draw.is_finite()), "{length}");
        }
        let (mut plain, numbers) = (vec![0.0; 1 << 20], generator.clone().next_numbers());
        fill_normals(&mut generator.clone(), &mut plain);
        let first = pair_of_numbers(numbers[0][0], numbers[8][0]);
        assert!(numbers[0][0] < REFINED_BELOW || (plain[0], plain[128]) == first);
    }
}
