//! Chains of dense layers and ReLUs in double precision.

use super::chain::DenseLayer;
use crate::numeric::instructions::{Instructions, vectorised};
use aligned_vec::{AVec, avec};
use ndarray::ArrayView2;
use pulp::{Simd, WithSimd};

/// Inputs that are computed together.
const LANES: usize = 8;

/// Evaluates networks with parameters in f32 on single inputs, in f64.
#[derive(Debug)]
pub(super) struct Exact<'a> {
    layers: &'a [DenseLayer],
    theta: AVec<f64>,
    /// `units` of some inputs.
    activations: [AVec<[f64; LANES]>; 2],
}

impl<'a> Exact<'a> {
    pub fn new(layers: &'a [DenseLayer]) -> Self {
        Self { layers, theta: avec![], activations: [avec![], avec![]] }
    }

    /// Calls `found` with the index of each input (`inputs` has them as rows) and its logit.
    pub fn logits(
        &mut self,
        theta: &[f32],
        inputs: ArrayView2<f64>,
        chosen: impl Iterator<Item = usize>,
        mut found: impl FnMut(usize, f64),
    ) {
        let mut chosen = chosen.peekable();
        if chosen.peek().is_none() {
            return;
        }
        self.theta.resize(theta.len(), 0.0);
        widen(theta, &mut self.theta);
        let [current, next] = &mut self.activations;
        while chosen.peek().is_some() {
            let mut indices = [0; LANES];
            let count = indices.iter_mut().zip(&mut chosen).map(|(index, chosen)| *index = chosen).count();
            current.resize(current.len().max(inputs.ncols()), [0.0; LANES]);
            current[..inputs.ncols()].fill([0.0; LANES]);
            for (lane, index) in indices[..count].iter().enumerate() {
                for (values, value) in current.iter_mut().zip(inputs.row(*index)) {
                    values[lane] = *value;
                }
            }
            for layer in self.layers {
                next.resize(next.len().max(layer.units), [0.0; LANES]);
                let (weights, bias) = (&self.theta[layer.weight.clone()], &self.theta[layer.bias.clone()]);
                let (input, output) = (&current[..layer.inputs], &mut next[..layer.units]);
                let (input, output) = (input.as_flattened(), output.as_flattened_mut());
                Instructions::get().dispatch(Layer { weights, bias, relu: layer.relu, input, output });
                std::mem::swap(current, next);
            }
            for (lane, index) in indices[..count].iter().enumerate() {
                found(*index, current[0][lane]);
            }
        }
    }
}

fn widen(values: &[f32], out: &mut [f64]) {
    vectorised(
        #[inline(always)]
        move || {
            for (out, value) in out.iter_mut().zip(values) {
                *out = f64::from(*value);
            }
        },
    );
}

/// One layer on some inputs; the operations and so the bits are the same on vectors of any width.
struct Layer<'a> {
    weights: &'a [f64],
    bias: &'a [f64],
    relu: bool,
    /// `fan_in x LANES` and `units x LANES`.
    input: &'a [f64],
    output: &'a mut [f64],
}

impl WithSimd for Layer<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (input, rest) = S::as_simd_f64s(self.input);
        let (output, output_rest) = S::as_mut_simd_f64s(self.output);
        assert!(rest.is_empty() && output_rest.is_empty(), "inputs fill whole vectors");
        let fan_in = self.input.len() / LANES;
        let rows = Rows { simd, weights: self.weights, bias: self.bias, fan_in, relu: self.relu, input };
        let mut unit = 0;
        // Several sums at once, for one has to wait for its last addition.
        while unit + 8 <= self.bias.len() {
            rows.sums::<8>(unit, output);
            unit += 8;
        }
        for unit in unit..self.bias.len() {
            rows.sums::<1>(unit, output);
        }
    }
}

struct Rows<'a, S: Simd> {
    simd: S,
    weights: &'a [f64],
    bias: &'a [f64],
    fan_in: usize,
    relu: bool,
    input: &'a [S::f64s],
}

impl<S: Simd> Rows<'_, S> {
    #[inline(always)]
    fn sums<const UNITS: usize>(&self, unit: usize, output: &mut [S::f64s]) {
        let simd = self.simd;
        let vectors = self.input.len() / self.fan_in;
        let weights: [&[f64]; UNITS] =
            std::array::from_fn(|i| &self.weights[(unit + i) * self.fan_in..][..self.fan_in]);
        for vector in 0..vectors {
            let mut sums: [S::f64s; UNITS] = std::array::from_fn(|i| simd.splat_f64s(self.bias[unit + i]));
            for (k, x) in self.input[vector..].iter().step_by(vectors).enumerate() {
                for i in 0..UNITS {
                    sums[i] = simd.mul_add_f64s(simd.splat_f64s(weights[i][k]), *x, sums[i]);
                }
            }
            let zero = simd.splat_f64s(0.0);
            for (i, sum) in sums.into_iter().enumerate() {
                let negative = simd.less_than_f64s(sum, zero);
                // Not the maximum, which would turn NaN into 0.
                let active = if self.relu { simd.select_f64s(negative, zero, sum) } else { sum };
                output[(unit + i) * vectors + vector] = active;
            }
        }
    }
}
