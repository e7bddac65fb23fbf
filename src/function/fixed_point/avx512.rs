//! Fixed point on vectors of 512 bits with integer dot products (AVX-512 VNNI).

use super::{LastLayers, SMALLEST, largest_number};
use crate::numeric::instructions::Instructions;
use std::arch::x86_64::*;

/// Columns of a vector.
const LANES: usize = 16;
/// Adding it to a smaller number leaves the nearest integer in the low bits.
const NO_FRACTIONS: f32 = 12_582_912.0;

/// Weights and activations as integers.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// Two of a unit side by side, `units x pairs`.
    weights: Vec<[i16; 2]>,
    /// Two of a column side by side in each lane, `pairs x` the vectors of a block.
    activations: Vec<__m512i>,
}

pub(super) fn detected() -> bool {
    Instructions::get().name == "avx512"
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni")
}

/// [`super::FixedPoint::logits`] without what rounding in single precision adds to the bounds, one of either per column.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn logits(
    layers: LastLayers,
    hidden: &[f32],
    numbers: &mut Numbers,
    logits: &mut [f32],
    bounds: &mut [f32],
) {
    let columns = logits.len();
    let Numbers { weights, activations } = numbers;
    let [maximum, row, from_columns] = sizes(layers.weights, layers.fan_in, layers.readout);
    let maximum = maximum.max(SMALLEST);
    let largest = largest_number(layers.fan_in, row / maximum);
    let scale = largest / maximum;
    quantise_weights(layers.weights, layers.fan_in, scale, weights);
    let work = Work {
        hidden: hidden.as_chunks::<LANES>().0,
        vectors: columns / LANES,
        pairs: layers.fan_in.div_ceil(2),
        weights,
        largest,
        scale,
        from_columns,
        from_weights: layers.readout.iter().map(|readout| readout.abs()).sum::<f32>() / scale,
        layers,
    };
    let logits = logits.as_chunks_mut::<LANES>().0;
    let bounds = bounds.as_chunks_mut::<LANES>().0;
    let mut vector = 0;
    while vector < work.vectors {
        let (logits, bounds) = (&mut logits[vector..], &mut bounds[vector..]);
        vector += match work.vectors - vector {
            8.. => work.block::<8>(vector, activations, logits, bounds),
            4.. => work.block::<4>(vector, activations, logits, bounds),
            2.. => work.block::<2>(vector, activations, logits, bounds),
            _ => work.block::<1>(vector, activations, logits, bounds),
        };
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(values: &[f32; LANES]) -> __m512 {
    // SAFETY: sixteen numbers are read, from an array of as many, at any alignment.
    unsafe { _mm512_loadu_ps(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(vector: __m512, values: &mut [f32; LANES]) {
    // SAFETY: sixteen numbers are written, to an array of as many, at any alignment.
    unsafe { _mm512_storeu_ps(values.as_mut_ptr(), vector) }
}

/// `max |W_vu|`, a bound on `max ||W_v||_1`, and `sum_v |r_v| ||W_v||_1`.
#[inline]
#[target_feature(enable = "avx512f")]
fn sizes(weights: &[f32], fan_in: usize, readout: &[f32]) -> [f32; 3] {
    let (mut maximum, mut largest_row, mut sum) = (_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps());
    for (row, readout) in weights.chunks_exact(fan_in).zip(readout) {
        let (vectors, rest) = row.as_chunks::<LANES>();
        // SAFETY: only the numbers of `rest` are read.
        let rest = unsafe { _mm512_maskz_loadu_ps((1 << rest.len()) - 1, rest.as_ptr()) };
        let (mut row_maximum, mut row_sum) = (_mm512_abs_ps(rest), _mm512_abs_ps(rest));
        for vector in vectors {
            let sizes = _mm512_abs_ps(load(vector));
            row_maximum = _mm512_max_ps(sizes, row_maximum);
            row_sum = _mm512_add_ps(sizes, row_sum);
        }
        maximum = _mm512_max_ps(row_maximum, maximum);
        largest_row = _mm512_max_ps(row_sum, largest_row);
        sum = _mm512_fmadd_ps(row_sum, _mm512_set1_ps(readout.abs()), sum);
    }
    [_mm512_reduce_max_ps(maximum), _mm512_reduce_add_ps(largest_row), _mm512_reduce_add_ps(sum)]
}

/// The nearest integers to products, in the lower halves of the lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn quantise(values: &[f32; LANES], scale: __m512) -> __m512i {
    _mm512_castps_si512(_mm512_fmadd_ps(load(values), scale, _mm512_set1_ps(NO_FRACTIONS)))
}

/// Where the fan-in is odd, the last weight of a unit stands beside a zero.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn quantise_weights(weights: &[f32], fan_in: usize, scale: f32, out: &mut Vec<[i16; 2]>) {
    out.resize(weights.len() / fan_in * fan_in.div_ceil(2), [0; 2]);
    // Where the fan-in is even, rows follow each other without gaps.
    let length = if fan_in.is_multiple_of(2) { weights.len() } else { fan_in };
    for (row, out) in weights.chunks_exact(length).zip(out.chunks_exact_mut(length.div_ceil(2))) {
        let out = out.as_flattened_mut();
        out[length..].fill(0);
        let (vectors, rest) = row.as_chunks::<LANES>();
        let (out_vectors, out_rest) = out.as_chunks_mut::<LANES>();
        for (out, vector) in out_vectors.iter_mut().zip(vectors) {
            let numbers = _mm512_cvtepi32_epi16(quantise(vector, _mm512_set1_ps(scale)));
            // SAFETY: sixteen numbers are written, to an array of as many, at any alignment.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), numbers) };
        }
        for (out, weight) in out_rest.iter_mut().zip(rest) {
            *out = weight.mul_add(scale, NO_FRACTIONS).to_bits() as i16;
        }
    }
}

/// Two numbers in one, the second in its higher half.
#[inline(always)]
fn beside([low, high]: [i16; 2]) -> i32 {
    i32::from(low) & 0xffff | i32::from(high) << 16
}

struct Work<'a> {
    layers: LastLayers<'a>,
    /// `fan_in x vectors`.
    hidden: &'a [[f32; LANES]],
    vectors: usize,
    pairs: usize,
    weights: &'a [[i16; 2]],
    /// `Q` and `t`.
    largest: f32,
    scale: f32,
    /// The bound is `(from_columns + from_weights sum(q)) / (2 s)`.
    from_columns: f32,
    from_weights: f32,
}

impl Work<'_> {
    /// Logits and bounds of some vectors; answers how many.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn block<const COUNT: usize>(
        &self,
        vector: usize,
        activations: &mut Vec<__m512i>,
        logits: &mut [[f32; LANES]],
        bounds: &mut [[f32; LANES]],
    ) -> usize {
        let (scales, sums) = self.quantise::<COUNT>(vector, activations);
        let activations = activations.as_chunks::<COUNT>().0;
        let mut steps = scales;
        for step in &mut steps {
            *step = _mm512_div_ps(_mm512_set1_ps(1.0 / self.scale), *step);
        }
        let mut totals = [_mm512_set1_ps(self.layers.shift); COUNT];
        let units = self.layers.bias.len();
        let mut unit = 0;
        while unit + 4 < units {
            self.units::<3, COUNT>(unit, activations, &steps, &mut totals);
            unit += 3;
        }
        while unit + 2 <= units {
            self.units::<2, COUNT>(unit, activations, &steps, &mut totals);
            unit += 2;
        }
        if unit < units {
            self.units::<1, COUNT>(unit, activations, &steps, &mut totals);
        }
        for index in 0..COUNT {
            store(totals[index], &mut logits[index]);
            let sum = _mm512_cvtepi32_ps(sums[index]);
            let doubled = _mm512_fmadd_ps(sum, _mm512_set1_ps(self.from_weights), _mm512_set1_ps(self.from_columns));
            let distance = _mm512_div_ps(_mm512_mul_ps(doubled, _mm512_set1_ps(0.5)), scales[index]);
            store(distance, &mut bounds[index]);
        }
        COUNT
    }

    /// The activations of some vectors as integers, each column's scale `s`, and its `sum(q)`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn quantise<const COUNT: usize>(
        &self,
        vector: usize,
        activations: &mut Vec<__m512i>,
    ) -> ([__m512; COUNT], [__m512i; COUNT]) {
        activations.resize(self.pairs * COUNT, _mm512_setzero_si512());
        let mut scales = [_mm512_set1_ps(SMALLEST); COUNT];
        for row in self.hidden.chunks_exact(self.vectors) {
            let row = &row[vector..][..COUNT];
            for j in 0..COUNT {
                scales[j] = _mm512_max_ps(load(&row[j]), scales[j]);
            }
        }
        for scale in &mut scales {
            *scale = _mm512_div_ps(_mm512_set1_ps(self.largest), *scale);
        }
        let mut sums = [_mm512_setzero_si512(); COUNT];
        let zeros = [[0.0; LANES]; COUNT];
        let mut rows = self.hidden.chunks_exact(self.vectors);
        for out in activations.as_chunks_mut::<COUNT>().0 {
            let (first, second) = (rows.next(), rows.next());
            let first = first.map_or(&zeros[..], |row| &row[vector..][..COUNT]);
            let second = second.map_or(&zeros[..], |row| &row[vector..][..COUNT]);
            for j in 0..COUNT {
                let high = _mm512_slli_epi32::<16>(quantise(&second[j], scales[j]));
                out[j] = _mm512_mask_mov_epi16(high, 0x5555_5555, quantise(&first[j], scales[j]));
                sums[j] = _mm512_dpwssd_epi32(sums[j], out[j], _mm512_set1_epi32(beside([1, 1])));
            }
        }
        (scales, sums)
    }

    /// Adds the contributions of some units to the logits; all sums are in registers.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn units<const UNITS: usize, const COUNT: usize>(
        &self,
        unit: usize,
        activations: &[[__m512i; COUNT]],
        steps: &[__m512; COUNT],
        totals: &mut [__m512; COUNT],
    ) {
        let mut weights = [&self.weights[..0]; UNITS];
        for (i, weights) in weights.iter_mut().enumerate() {
            *weights = &self.weights[(unit + i) * self.pairs..][..activations.len()];
        }
        let mut sums = [[_mm512_setzero_si512(); COUNT]; UNITS];
        for (pair, activations) in activations.iter().enumerate() {
            for i in 0..UNITS {
                let weight = _mm512_set1_epi32(beside(weights[i][pair]));
                for j in 0..COUNT {
                    sums[i][j] = _mm512_dpwssd_epi32(sums[i][j], weight, activations[j]);
                }
            }
        }
        for (i, sums) in sums.into_iter().enumerate() {
            let bias = _mm512_set1_ps(self.layers.bias[unit + i]);
            let readout = _mm512_set1_ps(self.layers.readout[unit + i]);
            for j in 0..COUNT {
                let value = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[j]), steps[j], bias);
                let active = _mm512_max_ps(value, _mm512_setzero_ps());
                totals[j] = _mm512_fmadd_ps(active, readout, totals[j]);
            }
        }
    }
}
