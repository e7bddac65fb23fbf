//! Many standard normals at once.

use multiversion::multiversion;
use rand::Rng;
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, LN_2, SQRT_2};

/// Radius numbers below this are refined by further bits, so that the tail has them too.
const REFINED_BELOW: u32 = 1 << 22;

/// Fills `out` with independent standard normals from 32 random bits each, on the widest vectors of the machine and
/// with the same bits on all of them; a last odd one takes a pair's bits.
///
/// A pair is `r (cos a, sin a)`, `r = sqrt(-2 ln u)` (Box and Muller 1958), `u` and `a` at the middle of one of `2^32`
/// equal cells; the lowest `2^22` cells of `u`, the tail, are divided into `2^53` more by further bits. So a draw differs
/// from an exactly normal one in its cell by at most `2^-30 r` for the angle and `2^-33 / (u r)` for the radius: together
/// less than `2^-24`, the rounding of 1 to f32, where `r > 2^-9` (all but `2^-19` of the draws), and less than
/// `2^-15` there. Logarithm, sine and cosine are good to `2e-10`.
pub fn fill_normals(generator: &mut impl Rng, out: &mut [f64]) {
    const PAIRS: usize = 256;
    let mut bytes = [0; 8 * PAIRS];
    for chunk in out.chunks_mut(2 * PAIRS) {
        let pairs = chunk.len().div_ceil(2);
        let bytes = &mut bytes[..8 * pairs];
        generator.fill_bytes(bytes);
        let words = bytes.as_chunks::<8>().0;
        let (first, second) = chunk.split_at_mut(pairs);
        if fill(words, first, second) < REFINED_BELOW {
            refine(generator, words, chunk);
        }
    }
}

fn radius_number(word: &[u8; 8]) -> u32 {
    u64::from_le_bytes(*word) as u32
}

fn angle_number(word: &[u8; 8]) -> u32 {
    (u64::from_le_bytes(*word) >> 32) as u32
}

/// Fills the first and the second halves of pairs, and returns the smallest number of a radius. Compiled for each width of
/// vectors; the operations and so the bits are the same in all of them.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx+avx2+fma"))]
fn fill(words: &[[u8; 8]], first: &mut [f64], second: &mut [f64]) -> u32 {
    for ((word, first), second) in words.iter().zip(first.iter_mut()).zip(second.iter_mut()) {
        let u = (f64::from(radius_number(word)) + 0.5) * CELL;
        (*first, *second) = pair(u, angle_number(word));
    }
    if first.len() > second.len() {
        let last = &words[first.len() - 1];
        first[second.len()] = pair((f64::from(radius_number(last)) + 0.5) * CELL, angle_number(last)).0;
    }
    words.iter().fold(u32::MAX, |least, word| least.min(radius_number(word)))
}

#[cold]
fn refine(generator: &mut impl Rng, words: &[[u8; 8]], chunk: &mut [f64]) {
    for (index, word) in words.iter().enumerate() {
        let number = radius_number(word);
        if number < REFINED_BELOW {
            let within = ((generator.next_u64() >> 11) as f64 + 0.5) * (1.0 / (1_u64 << 53) as f64);
            let values = pair((f64::from(number) + within) * CELL, angle_number(word));
            chunk[index] = values.0;
            if let Some(second) = chunk.get_mut(words.len() + index) {
                *second = values.1;
            }
        }
    }
}

/// Width of a cell of `[0, 1)`.
const CELL: f64 = 1.0 / (1_u64 << 32) as f64;

#[inline(always)]
fn pair(u: f64, angle: u32) -> (f64, f64) {
    let radius = (-2.0 * ln(u)).sqrt();
    // The two highest bits choose a quadrant, the others an angle within +-pi/4 of its middle.
    let within = (f64::from(angle & 0x3fff_ffff) + 0.5) * (FRAC_PI_2 / (1 << 30) as f64) - FRAC_PI_4;
    let (sine, cosine) = (sin(within), cos(within));
    let swapped = angle & 0x4000_0000 != 0;
    let (x, y) = if swapped { (-sine, cosine) } else { (cosine, sine) };
    let signed = if angle & 0x8000_0000 != 0 { -radius } else { radius };
    (signed * x, signed * y)
}

/// `ln x = e ln 2 + 2 artanh((m - 1) / (m + 1))`, `x = m 2^e` with `m` within a factor of `sqrt 2` of 1; `x` normal.
#[inline(always)]
fn ln(x: f64) -> f64 {
    const MANTISSA: u64 = (1 << 52) - 1;
    const ONE: u64 = 1.0_f64.to_bits();
    let bits = x.to_bits();
    let mantissa = f64::from_bits(bits & MANTISSA | ONE);
    let exponent = ((bits >> 52) as i32 - 1023) as f64;
    let (mantissa, exponent) = if mantissa > SQRT_2 { (0.5 * mantissa, exponent + 1.0) } else { (mantissa, exponent) };
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let z = s * s;
    let mut sum: f64 = 1.0 / 11.0;
    for coefficient in [1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0, 1.0] {
        sum = sum.mul_add(z, coefficient);
    }
    exponent.mul_add(LN_2, 2.0 * s * sum)
}

/// The sine's Taylor sum for `|x| <= pi / 4`.
#[inline(always)]
fn sin(x: f64) -> f64 {
    let z = x * x;
    let mut sum: f64 = -1.0 / 39_916_800.0;
    for coefficient in [1.0 / 362_880.0, -1.0 / 5040.0, 1.0 / 120.0, -1.0 / 6.0, 1.0] {
        sum = sum.mul_add(z, coefficient);
    }
    x * sum
}

/// The cosine's.
#[inline(always)]
fn cos(x: f64) -> f64 {
    let z = x * x;
    let mut sum: f64 = -1.0 / 3_628_800.0;
    for coefficient in [1.0 / 40_320.0, -1.0 / 720.0, 1.0 / 24.0, -1.0 / 2.0, 1.0] {
        sum = sum.mul_add(z, coefficient);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::{Streams, normal};

    /// What the first terms left out come to: `0.0295^6 / 13` of the logarithm, `(pi / 4)^12 / 12!` of the cosine.
    const ELEMENTARY: f64 = 2e-10;

    #[test]
    fn elementary_functions_are_those_of_the_library() {
        for step in 0..4000 {
            let u = (f64::from(step) + 0.5) / 4000.0;
            for x in [u, u * 1e-9, 1.0 - u * 1e-9] {
                assert!((ln(x) - x.ln()).abs() <= ELEMENTARY * x.ln().abs() + 4.0 * f64::EPSILON, "ln {x}");
            }
            let angle = (2.0 * u - 1.0) * FRAC_PI_4;
            assert!((sin(angle) - angle.sin()).abs() <= ELEMENTARY);
            assert!((cos(angle) - angle.cos()).abs() <= ELEMENTARY);
        }
    }

    /// Four quadrants, and an angle's pair is a point of the circle at that angle.
    #[test]
    fn angles_go_round_the_circle() {
        for step in 0..64_u32 {
            let number = step << 26;
            let (x, y) = pair((-0.5_f64).exp(), number);
            let expected = f64::from(number) * CELL * std::f64::consts::TAU - FRAC_PI_4;
            let turn = (y.atan2(x) - expected).rem_euclid(std::f64::consts::TAU);
            assert!(turn.min(std::f64::consts::TAU - turn) < 1e-8, "{step}: {x} {y}");
            assert!((x.hypot(y) - 1.0).abs() < 1e-9);
        }
    }

    /// n = 2^20 and seed 5: the largest distance of the empirical distribution from Phi, where `sqrt(n) D > 2.2` has
    /// probability `2 exp(-2 * 2.2^2) = 1.3e-4` (Kolmogorov); a shift or a scale off by 0.5% is seen.
    #[test]
    fn the_distribution_is_normal() {
        let n = 1 << 20;
        let distance = |change: fn(f64) -> f64| {
            let mut draws = vec![0.0; n];
            fill_normals(&mut Streams::new(5).stream("normals", 0), &mut draws);
            draws.iter_mut().for_each(|draw| *draw = change(*draw));
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

    /// The tail beyond what 32 bits reach: cells of the radius that are refined, whatever the length.
    #[test]
    fn refined_pairs_lie_in_their_cell_and_lengths_do_not_matter() {
        struct Low(u64);
        impl rand::TryRng for Low {
            type Error = std::convert::Infallible;
            fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
                Ok(self.try_next_u64()? as u32)
            }
            fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
                self.0 += 1;
                Ok(self.0 << 40)
            }
            fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
                bytes.fill(0);
                Ok(())
            }
        }
        for length in [1, 2, 5, 512, 513] {
            let mut draws = vec![0.0; length];
            fill_normals(&mut Low(0), &mut draws);
            // u lies in the lowest cell, well below its middle.
            assert!(draws.iter().all(|draw| draw.abs() > 6.6 / SQRT_2), "{draws:?}");
            let mut whole = vec![0.0; 512];
            fill_normals(&mut Low(0), &mut whole);
            assert_eq!(draws[0], whole[0]);
        }
    }
}
