//! Networks drawn from the prior, and the functions they express.

use super::FunctionError;
use super::bits::{pack, unpack, words_of};
use super::forward::{Forward, Scratch, Signs, ones};
use super::panel::COLUMNS;
use crate::model::{Architecture, Model, Network, Role};
use crate::numeric::instructions::vectorised;
use crate::numeric::{Streams, WideChaCha, fill_normals};
use aligned_vec::{AVec, avec};
use ndarray::{Array2, Axis, s};
use std::ops::Range;
use std::sync::Arc;

/// Most networks that share a random stream.
const LARGEST_BLOCK: usize = 256;
/// Multiply-adds of a block, where networks are so large that fewer of them share a stream.
const BLOCK_WORK: usize = 1 << 26;
/// Words of a block's functions, where there are many inputs.
const BLOCK_WORDS: usize = 1 << 14;
/// Standard deviations, products of weights and inputs stay far from what single precision cannot hold.
const SCALES: Range<f64> = 1e-20..1e20;

/// Draws networks of one logit from the prior, and finds the function of each: the label of input `x` is 1 where
/// the logit is above 0.
///
/// Network `i` is a function of (architecture, inputs, seed, `i`) alone: block `i / size` has a stream of its own, from which
/// its networks' parameters are drawn one after the other, tensor after tensor, where their standard deviation is
/// not 0. A parameter is `std z`, `z` standard normal, all in f32. The labels are those of an evaluation in f64
/// of these parameters: chains of dense layers and ReLUs run in f32, or their last hidden layer in fixed point where the
/// machine has integer dot products, with a bound on the error of each logit, and a logit within its bound is computed again
/// in f64; all other networks run in f64.
#[derive(Debug)]
pub struct Sampler {
    model: Arc<Model>,
    inputs: Array2<f64>,
    streams: Streams,
    /// Standard deviation of each tensor, where it is drawn.
    deviations: Vec<(Range<usize>, f32)>,
    /// Parameters before anything is drawn.
    constant: Vec<f32>,
    forward: Option<Forward>,
    block: usize,
}

/// The functions of some networks, one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Functions {
    /// Packed labels, [`Sampler::words`] words a network.
    pub(super) words: Vec<u64>,
    /// Logits that were too close to 0 for f32 or fixed point and computed again; how many depends on the machine.
    pub recounted: u64,
}

impl Sampler {
    /// A sampler of networks on given inputs (`n x features`).
    ///
    /// # Errors
    /// [`FunctionError`]: an architecture that does not fit together or has several logits, inputs of another width or with
    /// values that are not finite, standard deviations beyond single precision.
    pub fn new(architecture: Architecture, inputs: Array2<f64>, seed: u64) -> Result<Self, FunctionError> {
        let model = Arc::new(Model::new(architecture)?);
        let architecture = model.architecture();
        if model.output_count() != 1 {
            return Err(FunctionError::Outputs { outputs: model.output_count() });
        }
        if inputs.ncols() != model.input_count() || inputs.nrows() == 0 {
            let reason = format!(
                "the inputs have shape {} x {}, expected n x {}",
                inputs.nrows(),
                inputs.ncols(),
                model.input_count()
            );
            return Err(FunctionError::Inputs { reason });
        }
        if let Some(((row, column), value)) = inputs.indexed_iter().find(|(_, value)| !(value.abs() <= SCALES.end)) {
            let reason =
                format!("input {row} has {value} as feature {column}, expected a number of at most 1e20 in size");
            return Err(FunctionError::Inputs { reason });
        }
        for (name, value) in [("weight_std", architecture.weight_std), ("bias_std", architecture.bias_std)] {
            if !(value == 0.0 || SCALES.contains(&value)) {
                return Err(FunctionError::Scale { name, value });
            }
        }
        let mut constant = vec![0.0; model.parameter_count()];
        let mut deviations = Vec::new();
        for tensor in model.tensors() {
            let deviation = match tensor.role {
                Role::Weight => architecture.weight_std / (tensor.fan_in as f64).sqrt(),
                Role::Bias => architecture.bias_std,
                Role::Shift => 0.0,
                Role::Scale => {
                    constant[tensor.range.clone()].fill(1.0);
                    0.0
                }
            };
            if deviation > 0.0 {
                deviations.push((tensor.range.clone(), deviation as f32));
            }
        }
        // Inputs whose logit is 0 whatever the weights: zeros, and no biases.
        let unbiased = architecture.bias_std == 0.0;
        let silent = inputs.axis_iter(Axis(0)).map(|row| unbiased && row.iter().all(|value| *value == 0.0));
        let forward = Forward::new(architecture, &inputs, &silent.collect::<Vec<bool>>());
        let work = model.parameter_count().saturating_mul(inputs.nrows());
        // A power of two, so that it is a round number of networks.
        let most = (BLOCK_WORK / work.max(1)).min(BLOCK_WORDS / words_of(inputs.nrows()));
        let block = 1 << most.clamp(1, LARGEST_BLOCK).ilog2();
        Ok(Self { streams: Streams::new(seed), inputs, deviations, constant, forward, block, model })
    }

    /// The architecture.
    pub fn architecture(&self) -> &Architecture {
        self.model.architecture()
    }

    /// The inputs.
    pub fn inputs(&self) -> &Array2<f64> {
        &self.inputs
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.streams.seed()
    }

    /// Networks of a block.
    pub fn block_size(&self) -> usize {
        self.block
    }

    /// Words of a packed function.
    pub(super) fn words(&self) -> usize {
        words_of(self.inputs.nrows())
    }

    /// Network `index`.
    pub fn network(&self, index: u64) -> Network {
        let size = self.block as u64;
        let mut draw = self.draw(index / size);
        for _ in 0..index % size {
            draw.next();
        }
        draw.next();
        Network::new(Arc::clone(&self.model), draw.theta.iter().copied().map(f64::from).collect())
    }

    fn draw(&self, block: u64) -> Draw<'_> {
        let entries = self.deviations.iter().map(|(range, _)| range.len()).sum();
        let theta = AVec::from_slice(0, &self.constant);
        let generator = WideChaCha::new(&self.streams.stream("networks of a sample", block));
        Draw { sampler: self, generator, normals: avec![0.0; entries], theta }
    }

    /// The functions of the first `count` networks of a block.
    ///
    /// # Errors
    /// [`FunctionError::Overflow`].
    ///
    /// # Panics
    /// If the block has fewer networks.
    pub fn functions(&self, block: u64, count: usize) -> Result<Functions, FunctionError> {
        assert!(count <= self.block, "{count} networks of a block of {}", self.block);
        let words = self.words();
        let mut functions = Functions { words: vec![0; count * words], recounted: 0 };
        let mut draw = self.draw(block);
        let mut scratch = Scratch::default();
        let mut exact = self.forward.as_ref().map(Forward::exact);
        for (index, function) in functions.words.chunks_exact_mut(words).enumerate() {
            draw.next();
            let overflow = || FunctionError::Overflow { network: block * self.block as u64 + index as u64 };
            match self.forward.as_ref().zip(exact.as_mut()) {
                Some((forward, exact)) => {
                    let bound = forward.bound(&draw.theta);
                    for panel in 0..forward.panels() {
                        let Signs { mut positive, near } = forward.signs(&draw.theta, bound, panel, &mut scratch);
                        let inputs = self.inputs.slice(s![panel * COLUMNS.., ..]);
                        let mut finite = true;
                        exact.logits(&draw.theta, inputs, ones(near), |column, logit| {
                            positive |= u128::from(logit > 0.0) << column;
                            finite &= logit.is_finite();
                        });
                        if !finite {
                            return Err(overflow());
                        }
                        functions.recounted += u64::from(near.count_ones());
                        unpack(positive, &mut function[panel * COLUMNS / 64..]);
                    }
                }
                None => {
                    let theta = draw.theta.iter().copied().map(f64::from).collect();
                    let logits = Network::new(Arc::clone(&self.model), theta).logits(self.inputs.view());
                    if logits.iter().any(|logit| !logit.is_finite()) {
                        return Err(overflow());
                    }
                    pack(logits.iter().map(|logit| *logit > 0.0), function);
                }
            }
        }
        Ok(functions)
    }
}

/// The networks of a block, one after the other.
struct Draw<'a> {
    sampler: &'a Sampler,
    generator: WideChaCha,
    normals: AVec<f32>,
    theta: AVec<f32>,
}

impl Draw<'_> {
    fn next(&mut self) {
        fill_normals(&mut self.generator, &mut self.normals);
        let mut first = 0;
        for (range, deviation) in &self.sampler.deviations {
            let normals = &self.normals[first..first + range.len()];
            first += range.len();
            scaled(*deviation, normals, &mut self.theta[range.clone()]);
        }
    }
}

/// Compiled for each width of vectors.
fn scaled(factor: f32, values: &[f32], out: &mut [f32]) {
    vectorised(
        #[inline(always)]
        move || {
            for (out, value) in out.iter_mut().zip(values) {
                *out = factor * value;
            }
        },
    );
}
