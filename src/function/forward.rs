//! Fully connected ReLU networks in single precision, with a bound on what rounding does to a logit.

use crate::model::{Architecture, LayerSpec};
use multiversion::multiversion;
use ndarray::{Array2, ArrayView1, Axis};
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// Inputs that run through all layers together; their activations stay in cache.
const COLUMNS: usize = 128;
/// Vectors are at most this long; columns are padded to a multiple.
const LANES: usize = 16;

/// A dense layer within a flat parameter vector.
#[derive(Debug, Clone)]
struct Dense {
    inputs: usize,
    units: usize,
    weight: Range<usize>,
    bias: Range<usize>,
    relu: bool,
}

/// A chain of dense layers and ReLUs with one logit, ready to run on fixed inputs.
#[derive(Debug, Clone)]
pub(super) struct Forward {
    layers: Vec<Dense>,
    /// The inputs in panels of [`COLUMNS`], feature by feature.
    panels: Vec<Panel>,
    /// Euclidean norm of the longest input.
    longest: f32,
    /// `gamma` of [`Forward::bound`].
    gamma: f32,
}

#[derive(Debug, Clone)]
struct Panel {
    /// `features x columns`, columns padded by zeros.
    inputs: Vec<f32>,
    columns: usize,
}

/// Room for the activations of one thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    activations: [Vec<f32>; 2],
}

/// Added for every unit: more than all that underflow can do (see [`Forward::bound`]).
const UNDERFLOW: f32 = 1.0 / (1_u128 << 100) as f32;

impl Forward {
    /// The chain of an architecture on inputs (`n` rows), or `None` if it is not one of dense layers and ReLUs.
    pub fn new(architecture: &Architecture, inputs: &Array2<f64>) -> Option<Self> {
        let mut layers: Vec<Dense> = Vec::new();
        let mut width = inputs.ncols();
        let mut first = 0;
        for spec in &architecture.layers {
            match spec {
                LayerSpec::Dense { units } => {
                    let weight = first..first + units * width;
                    let bias = weight.end..weight.end + units;
                    first = bias.end;
                    layers.push(Dense { inputs: width, units: *units, weight, bias, relu: false });
                    width = *units;
                }
                LayerSpec::Relu => layers.last_mut()?.relu = true,
                _ => return None,
            }
        }
        if width != 1 || layers.is_empty() {
            return None;
        }
        let panels = inputs.axis_chunks_iter(Axis(0), COLUMNS).map(|rows| {
            let columns = rows.nrows().next_multiple_of(LANES);
            let mut transposed = vec![0.0; rows.ncols() * columns];
            for (column, row) in rows.outer_iter().enumerate() {
                for (feature, value) in row.iter().enumerate() {
                    transposed[feature * columns + column] = *value as f32;
                }
            }
            Panel { inputs: transposed, columns }
        });
        let panels = panels.collect();
        let lengths = inputs.outer_iter().map(|row| row.dot(&row).sqrt());
        // Rounded up, so that the bound is one of the inputs as given.
        let longest = (lengths.fold(0.0, f64::max) as f32).next_up();
        let roundings: usize = layers.iter().map(|layer| layer.inputs + 2).sum::<usize>() + 1;
        let roundings = roundings as f64 * (f64::from(f32::EPSILON) / 2.0);
        if !(roundings < 0.01) {
            return None;
        }
        // The norms are rounded themselves, by as much; a few parts in a hundred are plenty for both.
        let gamma = (1.05 * roundings) as f32;
        Some(Self { layers, panels, longest, gamma })
    }

    /// A bound on `|fl(f(x)) - f(x)|` for every input, with `fl(f)` either as [`Forward::logits`] computes it or in f64 in
    /// any order of summation.
    ///
    /// For a chain of affine maps and ReLUs `|fl(f) - f| <= gamma M`: `M` is the chain on absolute values of parameters
    /// and inputs, `gamma = m u / (1 - m u)` with `m` the roundings on a path: a layer's fan-in, one for the bias, and
    /// one for the input (Higham 2002, sections 3.1 and 3.5); one more a layer covers the computation in f64. By Cauchy
    /// and Schwarz `M <= ||W_L|| (... (||W_1|| ||x|| + ||b_1||) ...) + |b_L|` with Frobenius norms, once for all inputs at
    /// the longest of them: a single pass over the parameters, and some 2.5 times `M` itself for Gaussian layers. Underflow
    /// adds at most `2^-150` a product, `K 2^-150` a unit of fan-in `K`; `gamma > K 2^-24`, so `2^-100` more for each unit
    /// covers it.
    pub fn bound(&self, theta: &[f32]) -> f32 {
        let through = |magnitude: f32, layer: &Dense| {
            let underflow = UNDERFLOW * layer.units as f32;
            norm(&theta[layer.weight.clone()]) * magnitude + norm(&theta[layer.bias.clone()]) + underflow
        };
        self.gamma * self.layers.iter().fold(self.longest, through)
    }

    /// The logit of network `theta` on one input, in f64.
    pub fn exact_logit(&self, theta: &[f32], input: ArrayView1<f64>) -> f64 {
        let mut current = input.to_vec();
        for layer in &self.layers {
            let rows = theta[layer.weight.clone()].chunks_exact(layer.inputs);
            let units = rows.zip(&theta[layer.bias.clone()]).map(|(row, bias)| {
                let sum: f64 = row.iter().zip(&current).map(|(weight, x)| f64::from(*weight) * x).sum();
                let sum = sum + f64::from(*bias);
                // Not `max`, which would turn NaN into 0.
                if layer.relu && sum < 0.0 { 0.0 } else { sum }
            });
            current = units.collect();
        }
        current[0]
    }

    /// The logits of network `theta` on all inputs, and whatever padding gives behind them.
    pub fn logits(&self, theta: &[f32], scratch: &mut Scratch, out: &mut Vec<f32>) {
        let widest = self.layers.iter().map(|layer| layer.units).max().unwrap_or_default();
        for activations in &mut scratch.activations {
            activations.resize(activations.len().max(widest * COLUMNS), 0.0);
        }
        let [current, next] = &mut scratch.activations;
        out.clear();
        for panel in &self.panels {
            for (index, layer) in self.layers.iter().enumerate() {
                let input = if index == 0 { &panel.inputs } else { &current[..layer.inputs * panel.columns] };
                let output = &mut next[..layer.units * panel.columns];
                let (weights, bias) = (&theta[layer.weight.clone()], &theta[layer.bias.clone()]);
                pulp::Arch::new().dispatch(Affine { layer, weights, bias, input, output });
                std::mem::swap(current, next);
            }
            out.extend_from_slice(&current[..panel.columns]);
        }
    }
}

/// The Euclidean norm, compiled for each width of vectors. A square below `2^-126` is rounded or lost;
/// `2^-126` is added for each. An overflow is an infinite bound.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx+avx2+fma"))]
fn norm(values: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    let (vectors, rest) = values.as_chunks::<LANES>();
    for vector in vectors {
        for lane in 0..LANES {
            sums[lane] = vector[lane].mul_add(vector[lane], sums[lane]);
        }
    }
    for (sum, value) in sums.iter_mut().zip(rest) {
        *sum = value.mul_add(*value, *sum);
    }
    for width in [8, 4, 2, 1] {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
    }
    (sums[0] + f32::MIN_POSITIVE * values.len() as f32).sqrt()
}

/// One layer on one panel: `output = relu(weights input + bias)`, `units x columns`.
struct Affine<'a> {
    layer: &'a Dense,
    weights: &'a [f32],
    bias: &'a [f32],
    input: &'a [f32],
    output: &'a mut [f32],
}

impl WithSimd for Affine<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (input, rest) = S::as_simd_f32s(self.input);
        let (output, output_rest) = S::as_mut_simd_f32s(self.output);
        assert!(rest.is_empty() && output_rest.is_empty(), "columns are padded to whole vectors");
        let Dense { inputs, units, relu, .. } = *self.layer;
        let vectors = output.len() / units;
        let tile = Tile { simd, weights: self.weights, bias: self.bias, input, inputs, vectors, relu };
        let mut unit = 0;
        while unit + 4 <= units {
            tile.rows::<4>(unit, output);
            unit += 4;
        }
        for unit in unit..units {
            tile.rows::<1>(unit, output);
        }
    }
}

struct Tile<'a, S: Simd> {
    simd: S,
    weights: &'a [f32],
    bias: &'a [f32],
    input: &'a [S::f32s],
    inputs: usize,
    vectors: usize,
    relu: bool,
}

impl<S: Simd> Tile<'_, S> {
    /// `UNITS` rows of the output.
    #[inline(always)]
    fn rows<const UNITS: usize>(&self, unit: usize, output: &mut [S::f32s]) {
        let mut vector = 0;
        while vector + 4 <= self.vectors {
            self.block::<UNITS, 4>(unit, vector, output);
            vector += 4;
        }
        for vector in vector..self.vectors {
            self.block::<UNITS, 1>(unit, vector, output);
        }
    }

    /// `UNITS` rows by `VECTORS` vectors of the output, all sums in registers.
    #[inline(always)]
    fn block<const UNITS: usize, const VECTORS: usize>(&self, unit: usize, vector: usize, output: &mut [S::f32s]) {
        let simd = self.simd;
        let mut sums: [[S::f32s; VECTORS]; UNITS] =
            std::array::from_fn(|i| [simd.splat_f32s(self.bias[unit + i]); VECTORS]);
        let weights: [&[f32]; UNITS] =
            std::array::from_fn(|i| &self.weights[(unit + i) * self.inputs..][..self.inputs]);
        for (k, row) in self.input.chunks_exact(self.vectors).enumerate() {
            let row = &row[vector..][..VECTORS];
            for i in 0..UNITS {
                let weight = simd.splat_f32s(weights[i][k]);
                for j in 0..VECTORS {
                    sums[i][j] = simd.mul_add_f32s(weight, row[j], sums[i][j]);
                }
            }
        }
        let zero = simd.splat_f32s(0.0);
        for (i, sums) in sums.into_iter().enumerate() {
            let out = &mut output[(unit + i) * self.vectors + vector..][..VECTORS];
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = if self.relu { simd.max_f32s(sum, zero) } else { sum };
            }
        }
    }
}
