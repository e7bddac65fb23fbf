//! Path norm (Neyshabur, Tomioka and Srebro 2015).

use crate::flatness::{DensePoint, FlatnessError, Measure, Options, Point, Responses};
use crate::model::{LayerSpec, Padding};
use crate::model::{Model, Role};
use crate::numeric::Estimate;
use crate::rescale::Action;

/// `(sum over paths from an input or a bias to an output of the product of squared weights)^(1/2)`.
///
/// It is the root of the summed outputs of the network that has its weights squared and every activation the
/// identity, at the input of ones. A mean over `k` entries passes each with weight `1/k` (squared `1/k^2`), a
/// maximum passes the largest, a batch norm multiplies by `scale / sqrt(variance + eps)` and adds its remaining
/// constant. Every rescaling here multiplies the weights along a path by factors whose product is 1.
pub(super) struct PathNorm;

/// Added to the variance by batch norms, as in PyTorch.
const BATCH_NORM_EPS: f64 = 1e-5;

/// Squared path weights that arrive at each feature; channels outermost.
#[derive(Clone)]
struct Arriving {
    values: Vec<f64>,
    shape: Vec<usize>,
}

/// Walks the layers in the order in which parameters and buffers are laid out.
struct Walk<'w> {
    theta: &'w [f64],
    buffers: &'w [f64],
}

impl Walk<'_> {
    fn take(&mut self, count: usize) -> Vec<f64> {
        let (taken, rest) = self.theta.split_at(count);
        self.theta = rest;
        taken.to_vec()
    }

    fn stored(&mut self, count: usize) -> Vec<f64> {
        let (taken, rest) = self.buffers.split_at(count);
        self.buffers = rest;
        taken.to_vec()
    }

    fn chain(&mut self, layers: &[LayerSpec], input: Arriving) -> Arriving {
        layers.iter().fold(input, |arriving, layer| self.layer(layer, arriving))
    }

    fn layer(&mut self, layer: &LayerSpec, input: Arriving) -> Arriving {
        match layer {
            LayerSpec::Relu | LayerSpec::Tanh | LayerSpec::Erf => input,
            LayerSpec::Flatten => Arriving { shape: vec![input.values.len()], values: input.values },
            LayerSpec::Dense { units } => {
                let weights = self.take(units * input.values.len());
                let biases = self.take(*units);
                let rows = weights.chunks_exact(input.values.len()).zip(&biases);
                let values = rows.map(|(row, bias)| {
                    bias * bias + row.iter().zip(&input.values).map(|(w, value)| w * w * value).sum::<f64>()
                });
                Arriving { values: values.collect(), shape: vec![*units] }
            }
            LayerSpec::Conv { channels, kernel, stride, padding, bias } => {
                let fan_in = input.shape[0] * kernel[0] * kernel[1];
                let weights = self.take(channels * fan_in);
                let biases = if *bias { self.take(*channels) } else { vec![0.0; *channels] };
                let windows = Windows::new(&input.shape, *kernel, *stride, *padding);
                let mut values = Vec::with_capacity(channels * windows.count());
                for (filter, bias) in weights.chunks_exact(fan_in).zip(&biases) {
                    for window in windows.iter() {
                        let mut sum = bias * bias;
                        for channel in 0..input.shape[0] {
                            for &(tap, position) in &window {
                                let w = filter[channel * kernel[0] * kernel[1] + tap];
                                sum += w * w * input.values[channel * windows.positions + position];
                            }
                        }
                        values.push(sum);
                    }
                }
                Arriving { values, shape: vec![*channels, windows.size[0], windows.size[1]] }
            }
            LayerSpec::AvgPool { size, stride } => {
                pool(&input, *size, stride.unwrap_or(*size), Padding::Valid, |values| {
                    values.iter().sum::<f64>() / (values.len() * values.len()) as f64
                })
            }
            LayerSpec::MaxPool { size, stride, padding } => {
                let padding = Padding::Zeros(*padding);
                pool(&input, *size, stride.unwrap_or(*size), padding, |values| {
                    values.iter().copied().fold(0.0, f64::max)
                })
            }
            LayerSpec::GlobalAvgPool => {
                let pooled = pool(&input, [input.shape[1], input.shape[2]], [1, 1], Padding::Valid, |values| {
                    values.iter().sum::<f64>() / (values.len() * values.len()) as f64
                });
                Arriving { shape: vec![pooled.values.len()], values: pooled.values }
            }
            LayerSpec::BatchNorm => {
                let channels = input.shape[0];
                let (scale, shift) = (self.take(channels), self.take(channels));
                let (mean, variance) = (self.stored(channels), self.stored(channels));
                let positions = input.values.len() / channels;
                let values = input.values.iter().enumerate().map(|(index, value)| {
                    let c = index / positions;
                    let slope = scale[c] / (variance[c] + BATCH_NORM_EPS).sqrt();
                    let constant = shift[c] - slope * mean[c];
                    slope * slope * value + constant * constant
                });
                Arriving { values: values.collect(), shape: input.shape }
            }
            LayerSpec::Residual { branch, shortcut } => {
                let mut sum = self.chain(branch, input.clone());
                let other = self.chain(shortcut, input);
                sum.values.iter_mut().zip(&other.values).for_each(|(sum, other)| *sum += other);
                sum
            }
        }
    }
}

/// The windows of a convolution or pooling over one channel.
struct Windows {
    size: [usize; 2],
    positions: usize,
    extent: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    before: [usize; 2],
}

impl Windows {
    fn new(shape: &[usize], kernel: [usize; 2], stride: [usize; 2], padding: Padding) -> Self {
        let extent = [shape[1], shape[2]];
        let (mut size, mut before) = ([0; 2], [0; 2]);
        for axis in 0..2 {
            match padding {
                Padding::Valid => size[axis] = (extent[axis] - kernel[axis]) / stride[axis] + 1,
                Padding::Zeros(zeros) => {
                    size[axis] = (extent[axis] + 2 * zeros[axis] - kernel[axis]) / stride[axis] + 1;
                    before[axis] = zeros[axis];
                }
                Padding::Same => {
                    size[axis] = extent[axis].div_ceil(stride[axis]);
                    let covered = (size[axis] - 1) * stride[axis] + kernel[axis];
                    before[axis] = covered.saturating_sub(extent[axis]) / 2;
                }
            }
        }
        Self { size, positions: extent[0] * extent[1], extent, kernel, stride, before }
    }

    fn count(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Each window as pairs of a tap of the kernel and the position it sees; taps on the padding are left out.
    fn iter(&self) -> impl Iterator<Item = Vec<(usize, usize)>> + '_ {
        (0..self.count()).map(|index| {
            let (row, column) = (index / self.size[1], index % self.size[1]);
            let mut window = Vec::with_capacity(self.kernel[0] * self.kernel[1]);
            for i in 0..self.kernel[0] {
                for j in 0..self.kernel[1] {
                    let y = (row * self.stride[0] + i).wrapping_sub(self.before[0]);
                    let x = (column * self.stride[1] + j).wrapping_sub(self.before[1]);
                    if y < self.extent[0] && x < self.extent[1] {
                        window.push((i * self.kernel[1] + j, y * self.extent[1] + x));
                    }
                }
            }
            window
        })
    }
}

fn pool(
    input: &Arriving,
    size: [usize; 2],
    stride: [usize; 2],
    padding: Padding,
    reduce: impl Fn(&[f64]) -> f64,
) -> Arriving {
    let windows = Windows::new(&input.shape, size, stride, padding);
    let mut values = Vec::with_capacity(input.shape[0] * windows.count());
    for channel in input.values.chunks_exact(windows.positions) {
        for window in windows.iter() {
            let seen: Vec<f64> = window.iter().map(|&(_, position)| channel[position]).collect();
            values.push(reduce(&seen));
        }
    }
    Arriving { values, shape: vec![input.shape[0], windows.size[0], windows.size[1]] }
}

fn path_norm(model: &Model, theta: &[f64], buffers: &[f64]) -> f64 {
    let shape = model.architecture().input.clone();
    let input = Arriving { values: vec![1.0; shape.iter().product()], shape };
    let arriving = Walk { theta, buffers }.chain(&model.architecture().layers, input);
    arriving.values.iter().sum::<f64>().sqrt()
}

impl Measure for PathNorm {
    fn id(&self) -> &'static str {
        "path_norm"
    }

    fn summary(&self) -> &'static str {
        "root of the sum over all paths of squared weight products"
    }

    fn source(&self) -> &'static str {
        "Neyshabur et al. 2015"
    }

    fn responses(&self) -> Responses {
        Responses::INVARIANT
    }

    fn evaluate(&self, point: &Point, _options: &Options) -> Result<Estimate, FlatnessError> {
        let value = path_norm(point.model(), point.theta(), point.objective().buffers);
        if !value.is_finite() {
            return Err(FlatnessError::NotFinite { measure: self.id(), what: "the norm", value });
        }
        Ok(Estimate::deterministic(value, point.info()))
    }

    /// The same: the product of a rescaling's factors along a path is 1.
    fn predict(&self, point: &Point, _action: &Action, options: &Options) -> Option<Result<Estimate, FlatnessError>> {
        Some(self.evaluate(point, options))
    }

    /// Where all layers are affine or ReLU: the network itself, with squared parameters, at ones.
    fn on_dense(&self, dense: &DensePoint, _options: &Options) -> Option<f64> {
        let model = dense.objective.model;
        let plain = |layer: &LayerSpec| {
            matches!(layer, LayerSpec::Dense { .. } | LayerSpec::Conv { .. } | LayerSpec::Relu | LayerSpec::Flatten)
        };
        let affine = model.tensors().iter().all(|tensor| matches!(tensor.role, Role::Weight | Role::Bias));
        if !(affine && model.architecture().layers.iter().all(plain)) {
            return None;
        }
        let squares: Vec<f64> = dense.theta.iter().map(|theta| theta * theta).collect();
        let ones = ndarray::Array2::ones((1, model.inputs()));
        Some(model.logits(&squares, dense.objective.buffers, ones.view()).sum().sqrt())
    }

    /// It knows no loss.
    fn at_loss_scale(&self, value: f64, _factor: f64, _point: &Point, _options: &Options) -> f64 {
        value
    }
}
