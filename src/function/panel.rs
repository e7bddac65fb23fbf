//! Inputs that run through layers together, in single precision.

use super::chain::DenseLayer;
use crate::numeric::instructions::Instructions;
use aligned_vec::{AVec, avec};
use ndarray::ArrayView2;
use pulp::{Simd, WithSimd};

/// Inputs of a panel, the columns of its activations: those stay in cache, and labels are the bits of a `u128`.
pub(super) const COLUMNS: usize = 128;
/// Vectors are at most this long; columns are padded to a multiple.
const LANES: usize = 16;
/// Blocks of this many columns in a panel.
const BLOCKS: usize = COLUMNS / LANES;

/// Some inputs.
#[derive(Debug, Clone)]
pub(super) struct Panel {
    /// `features x columns`, columns padded by zeros.
    inputs: AVec<f32>,
    pub columns: usize,
    /// The columns to be labelled.
    pub open: u128,
    separation: Option<Separation>,
}

/// Inputs in blocks of [`LANES`] columns, where each feature either repeats in all blocks or is constant within
/// each, as for all inputs of 0 and 1 in counting order: the first layer's sums are those of a block plus numbers.
#[derive(Debug, Clone)]
struct Separation {
    repeated: Vec<usize>,
    /// With a value for each block.
    constant: Vec<(usize, [f32; BLOCKS])>,
}

/// Room for the activations of one thread. Vectors that cross lines of the cache would take twice the time.
#[derive(Debug)]
pub(super) struct Scratch {
    activations: [AVec<f32>; 2],
}

impl Default for Scratch {
    fn default() -> Self {
        Self { activations: [avec![], avec![]] }
    }
}

impl Panel {
    /// Inputs (`n x features`), and which of them need no label.
    pub fn new(rows: ArrayView2<f64>, silent: &[bool]) -> Self {
        let columns = rows.nrows().next_multiple_of(LANES);
        let mut inputs = avec![0.0; rows.ncols() * columns];
        for (column, row) in rows.outer_iter().enumerate() {
            for (feature, value) in row.iter().enumerate() {
                inputs[feature * columns + column] = *value as f32;
            }
        }
        let open = silent.iter().enumerate().map(|(column, silent)| u128::from(!silent) << column).sum();
        let separation = Separation::new(&inputs, columns);
        Self { inputs, columns, open, separation }
    }

    /// Some layers of network `theta` from the first on: `units x columns`.
    pub fn run<'a>(&self, layers: &[DenseLayer], theta: &[f32], scratch: &'a mut Scratch) -> &'a [f32] {
        let widest = layers.iter().map(|layer| layer.units).max().unwrap_or_default();
        for activations in &mut scratch.activations {
            activations.resize(activations.len().max(widest * COLUMNS), 0.0);
        }
        let [mut current, mut next] = scratch.activations.each_mut();
        let mut units = 0;
        for (index, layer) in layers.iter().enumerate() {
            let input = if index == 0 { &self.inputs } else { &current[..layer.inputs * self.columns] };
            let output = &mut next[..layer.units * self.columns];
            let (weights, bias) = (&theta[layer.weight.clone()], &theta[layer.bias.clone()]);
            let affine = Affine { layer, weights, bias, input, output };
            match &self.separation {
                Some(separation) if index == 0 => Instructions::get().dispatch(FirstLayer { affine, separation }),
                _ => Instructions::get().dispatch(affine),
            }
            std::mem::swap(&mut current, &mut next);
            units = layer.units;
        }
        &current[..units * self.columns]
    }
}

impl Separation {
    fn new(inputs: &[f32], columns: usize) -> Option<Self> {
        let mut separation = Self { repeated: Vec::new(), constant: Vec::new() };
        for (feature, row) in inputs.chunks_exact(columns).enumerate() {
            let blocks = row.as_chunks::<LANES>().0;
            if blocks.iter().all(|block| *block == blocks[0]) {
                separation.repeated.push(feature);
            } else if blocks.iter().all(|block| *block == [block[0]; LANES]) {
                let mut values = [0.0; BLOCKS];
                values.iter_mut().zip(blocks).for_each(|(value, block)| *value = block[0]);
                separation.constant.push((feature, values));
            } else {
                return None;
            }
        }
        // With one block there is nothing to save.
        (columns > LANES).then_some(separation)
    }
}

/// One layer on one panel: `output = relu(weights input + bias)`, `units x columns`.
struct Affine<'a> {
    layer: &'a DenseLayer,
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
        let DenseLayer { inputs, units, relu, .. } = *self.layer;
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

/// The first layer of separated inputs. Every product is added once, as in [`Affine`], in another order.
struct FirstLayer<'a> {
    affine: Affine<'a>,
    separation: &'a Separation,
}

impl WithSimd for FirstLayer<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Affine { layer, weights, bias, input, output } = self.affine;
        let Separation { repeated, constant } = self.separation;
        let vectors = const { LANES / S::F32_LANES };
        let (input, output) = (S::as_simd_f32s(input).0, S::as_mut_simd_f32s(output).0);
        let row = output.len() / layer.units;
        // Below every sum where there is no ReLU.
        let floor = simd.splat_f32s(if layer.relu { 0.0 } else { f32::NEG_INFINITY });
        for ((weights, bias), output) in weights.chunks_exact(layer.inputs).zip(bias).zip(output.chunks_exact_mut(row))
        {
            let mut of_blocks = [0.0; BLOCKS];
            for (feature, values) in constant {
                for (sum, value) in of_blocks.iter_mut().zip(values) {
                    *sum = weights[*feature].mul_add(*value, *sum);
                }
            }
            for vector in 0..vectors {
                let mut shared = simd.splat_f32s(*bias);
                for feature in repeated {
                    let weight = simd.splat_f32s(weights[*feature]);
                    shared = simd.mul_add_f32s(weight, input[feature * row + vector], shared);
                }
                for (output, of_block) in output[vector..].iter_mut().step_by(vectors).zip(&of_blocks) {
                    *output = simd.max_f32s(simd.add_f32s(shared, simd.splat_f32s(*of_block)), floor);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::load;
    use ndarray::{Array2, Axis};

    /// The first layer of separated inputs is that of the same inputs where nothing is known of them.
    #[test]
    fn separated_inputs_give_the_same_sums() {
        let layer = |features: usize| DenseLayer {
            inputs: features,
            units: 3,
            weight: 0..3 * features,
            bias: 3 * features..3 * features + 3,
            relu: true,
        };
        for (features, separated) in [(3, false), (4, false), (5, true), (7, true), (9, true)] {
            let inputs = load(&format!("boolean:{features}")).unwrap().inputs;
            let theta: Vec<f32> =
                (0..3 * features + 3).map(|place| ((7 * place + 3) % 11) as f32 / 8.0 - 0.5).collect();
            for rows in inputs.axis_chunks_iter(Axis(0), COLUMNS) {
                let mut panel = Panel::new(rows, &[false; COLUMNS][..rows.nrows()]);
                assert_eq!(panel.separation.is_some(), separated, "{features} features");
                let mut scratch = Scratch::default();
                let found = panel.run(&[layer(features)], &theta, &mut scratch).to_vec();
                panel.separation = None;
                // Small fractions of two: no sum is rounded.
                assert_eq!(found, panel.run(&[layer(features)], &theta, &mut scratch));
                assert!(found.iter().any(|value| *value > 0.0) && found.contains(&0.0));
            }
        }
        let mixed = Array2::from_shape_fn((40, 2), |(row, feature)| ((row * (feature + 3)) % 7) as f64);
        assert!(Panel::new(mixed.view(), &[false; 40]).separation.is_none());
    }
}
