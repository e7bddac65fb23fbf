//! Fully connected ReLU networks in single precision, with a bound on what rounding does to a logit.

use super::chain::{DenseLayer, dense_layers};
use super::exact::Exact;
use super::fixed_point::{self, FixedPoint, LastLayers};
use super::panel::{self, COLUMNS, Panel};
use crate::model::Architecture;
use crate::numeric::instructions::{Instructions, vectorised};
use ndarray::{Array2, Axis};
use pulp::{Simd, WithSimd};

/// A chain of dense layers and ReLUs with one logit, ready to run on fixed inputs.
#[derive(Debug, Clone)]
pub(super) struct Forward {
    layers: Vec<DenseLayer>,
    /// The inputs in panels of [`COLUMNS`], feature by feature.
    panels: Vec<Panel>,
    /// Euclidean norm of the longest input.
    longest: f32,
    /// `gamma` of [`Forward::bound`].
    gamma: f32,
    /// Whether the last hidden layer runs in fixed point first.
    fixed_point: Option<FixedPoint>,
}

/// Room for the activations of one thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    activations: panel::Scratch,
    fixed_point: fixed_point::Scratch,
}

/// What is known of the labels of a panel, bit `i` for column `i`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Signs {
    /// Logits above 0 for certain.
    pub positive: u128,
    /// Logits that may be on either side.
    pub near: u128,
}

impl Signs {
    /// Of logits, each with a bound on its error.
    fn new(logits: &[f32], bounds: &[f32]) -> Self {
        let halves = || logits.chunks(64).zip(bounds.chunks(64)).enumerate();
        let mut signs = Self::default();
        for (half, (logits, bounds)) in halves() {
            let (positive, near) = signs_of(logits, bounds);
            signs.positive |= u128::from(positive) << (64 * half);
            signs.near |= u128::from(near) << (64 * half);
        }
        signs
    }
}

/// [`Signs`] of at most 64 columns, compiled for each width of vectors.
fn signs_of(logits: &[f32], bounds: &[f32]) -> (u64, u64) {
    vectorised(
        #[inline(always)]
        move || {
            let (mut positive, mut near) = (0, 0);
            for (column, (logit, bound)) in logits.iter().zip(bounds).enumerate() {
                positive |= u64::from(logit > bound) << column;
                // Written so that NaN and an infinite bound are near.
                near |= u64::from(!(logit.abs() > *bound)) << column;
            }
            (positive, near)
        },
    )
}

/// The positions of the ones, ascending.
pub(super) fn ones(mut bits: u128) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let first = (bits != 0).then(|| bits.trailing_zeros() as usize)?;
        bits &= bits - 1;
        Some(first)
    })
}

/// Added for every unit: more than all that underflow can do (see [`Forward::bound`]).
const UNDERFLOW: f32 = 1.0 / (1_u128 << 100) as f32;

impl Forward {
    /// The chain of an architecture on inputs (`n` rows), or `None` if it is not one of dense layers and ReLUs. The `silent`
    /// inputs are not labelled.
    pub fn new(architecture: &Architecture, inputs: &Array2<f64>, silent: &[bool]) -> Option<Self> {
        let layers = dense_layers(architecture, inputs.ncols())?;
        let rows = inputs.axis_chunks_iter(Axis(0), COLUMNS);
        let panels = rows.zip(silent.chunks(COLUMNS)).map(|(rows, silent)| Panel::new(rows, silent)).collect();
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
        let fixed_point = match &layers[..] {
            [.., before, last, readout]
                if before.relu && last.relu && !readout.relu && FixedPoint::suits(last.inputs, last.units) =>
            {
                FixedPoint::detect()
            }
            _ => None,
        };
        Some(Self { layers, panels, longest, gamma, fixed_point })
    }

    /// A bound on `|fl(f(x)) - f(x)|` for every input, with `fl(f)` either in f32 as [`Forward::signs`] computes it or in f64 in
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
        let through = |magnitude: f32, layer: &DenseLayer| {
            let underflow = UNDERFLOW * layer.units as f32;
            norm(&theta[layer.weight.clone()]) * magnitude + norm(&theta[layer.bias.clone()]) + underflow
        };
        self.gamma * self.layers.iter().fold(self.longest, through)
    }

    /// The same chain in f64.
    pub fn exact(&self) -> Exact<'_> {
        Exact::new(&self.layers)
    }

    /// Number of panels, of [`COLUMNS`] inputs each, the last of fewer.
    pub fn panels(&self) -> usize {
        self.panels.len()
    }

    /// What single precision says of the labels of a panel, or fixed point where there is that; with the network's
    /// [`Forward::bound`].
    pub fn signs(&self, theta: &[f32], bound: f32, panel: usize, scratch: &mut Scratch) -> Signs {
        let panel = &self.panels[panel];
        let single = [bound; COLUMNS];
        let (logits, bounds) = match (self.fixed_point, &self.layers[..]) {
            (Some(fixed_point), [earlier @ .., last, readout]) => {
                let hidden = panel.run(earlier, theta, &mut scratch.activations);
                let layers = LastLayers {
                    fan_in: last.inputs,
                    weights: &theta[last.weight.clone()],
                    bias: &theta[last.bias.clone()],
                    readout: &theta[readout.weight.clone()],
                    shift: theta[readout.bias.start],
                };
                fixed_point.logits(layers, hidden, panel.columns, bound, &mut scratch.fixed_point);
                (&scratch.fixed_point.logits[..], &scratch.fixed_point.bounds[..])
            }
            _ => (panel.run(&self.layers, theta, &mut scratch.activations), &single[..]),
        };
        let Signs { positive, near } = Signs::new(logits, bounds);
        Signs { positive: positive & panel.open, near: near & panel.open }
    }
}

/// The Euclidean norm. A square below `2^-126` is rounded or lost; `2^-126` is added for each. An overflow is an infinite
/// bound.
fn norm(values: &[f32]) -> f32 {
    let squares = Instructions::get().dispatch(SumOfSquares(values));
    (squares + f32::MIN_POSITIVE * values.len() as f32).sqrt()
}

struct SumOfSquares<'a>(&'a [f32]);

impl WithSimd for SumOfSquares<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        // Several sums, for one has to wait for its last addition.
        let mut sums = [simd.splat_f32s(0.0); 4];
        let (vectors, rest) = S::as_simd_f32s(self.0);
        let (blocks, others) = vectors.as_chunks::<4>();
        for block in blocks {
            for (sum, vector) in sums.iter_mut().zip(block) {
                *sum = simd.mul_add_f32s(*vector, *vector, *sum);
            }
        }
        for (sum, vector) in sums.iter_mut().zip(others) {
            *sum = simd.mul_add_f32s(*vector, *vector, *sum);
        }
        let rest = simd.partial_load_f32s(rest);
        sums[3] = simd.mul_add_f32s(rest, rest, sums[3]);
        let [a, b, c, d] = sums;
        simd.reduce_sum_f32s(simd.add_f32s(simd.add_f32s(a, b), simd.add_f32s(c, d)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::load;
    use crate::model::Activation;
    use crate::numeric::Streams;
    use rand_distr::{Distribution, StandardNormal};

    /// n = 300 networks and seed 6: every label that is called certain is that of f64, and the labels that are not are
    /// some and few, with fixed point and without, whatever this machine has.
    #[test]
    fn certain_labels_are_those_of_double_precision() {
        let architecture = Architecture::fully_connected(&[7, 40, 40, 1], Activation::Relu, 1.0, 0.0);
        let inputs = load("boolean:7").unwrap().inputs;
        let all = Forward::new(&architecture, &inputs, &[false; 128]).unwrap();
        let single = Forward { fixed_point: None, ..all.clone() };
        let mut generator = Streams::new(6).stream("parameters", 0);
        let (mut scratch, mut near) = (Scratch::default(), [0; 2]);
        for _ in 0..300 {
            let theta: Vec<f32> = (0..2001).map(|_| StandardNormal.sample(&mut generator)).collect();
            let mut exact = 0_u128;
            all.exact().logits(&theta, inputs.view(), 0..128, |input, logit| exact |= u128::from(logit > 0.0) << input);
            for (forward, near) in [&all, &single].into_iter().zip(&mut near) {
                let signs = forward.signs(&theta, forward.bound(&theta), 0, &mut scratch);
                assert_eq!(signs.positive & !signs.near, exact & !signs.near);
                *near += signs.near.count_ones();
            }
        }
        assert!(near.iter().all(|near| (1..300 * 2).contains(near)), "{near:?}");
    }
}
