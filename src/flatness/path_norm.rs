//! Path norm (Neyshabur, Tomioka and Srebro 2015).

use crate::description::{Description, references};
use crate::flatness::{DensePoint, FlatnessError, Measure, Options, Point, Responses};
use crate::model::{LayerSpec, Padding};
use crate::model::{Model, Role};
use crate::numeric::Estimate;
use crate::numeric::linalg::{norm, power_of_two_near};
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

/// Roots of the summed squared path weights that arrive at each feature, channels outermost, in units of
/// `2^exponent`: a product of weights may leave the range of f64 halfway along a path that ends inside it.
#[derive(Clone)]
struct Arriving {
    values: Vec<f64>,
    exponent: i32,
    shape: Vec<usize>,
}

/// The numbers in units of a power of two near the largest of them, and its exponent; 0 for none but zeros.
fn split(mut values: Vec<f64>) -> (Vec<f64>, i32) {
    let top = values.iter().fold(0.0, |top: f64, value| top.max(value.abs()));
    if top == 0.0 || !top.is_finite() {
        return (values, 0);
    }
    let unit = power_of_two_near(top);
    values.iter_mut().for_each(|value| *value /= unit);
    (values, unit.log2().round() as i32)
}

/// `value 2^exponent`: in steps, as a power of two beyond the range of f64 may bring a number into it.
fn times_power_of_two(mut value: f64, mut exponent: i32) -> f64 {
    while exponent != 0 && value != 0.0 && value.is_finite() {
        let step = exponent.clamp(-1000, 1000);
        value *= 2_f64.powi(step);
        exponent -= step;
    }
    value
}

impl Arriving {
    fn new(values: Vec<f64>, exponent: i32, shape: Vec<usize>) -> Self {
        let (values, shift) = split(values);
        Self { values, exponent: exponent + shift, shape }
    }

    /// The two lists in one unit, the larger of theirs, and its exponent. Zeros have no unit of their own.
    fn in_one_unit(a: (Vec<f64>, i32), b: (Vec<f64>, i32)) -> (Vec<f64>, Vec<f64>, i32) {
        let is_zero = |list: &(Vec<f64>, i32)| list.0.iter().all(|value| *value == 0.0);
        let exponent = match (is_zero(&a), is_zero(&b)) {
            (true, _) => b.1,
            (_, true) => a.1,
            _ => a.1.max(b.1),
        };
        let to_unit = |list: (Vec<f64>, i32)| -> Vec<f64> {
            list.0.into_iter().map(|value| times_power_of_two(value, list.1 - exponent)).collect()
        };
        (to_unit(a), to_unit(b), exponent)
    }

    /// `A values + b` with squares for numbers: each output from pairs of a weight and an input, and its constant.
    fn affine(self, weights: Vec<f64>, constants: Vec<f64>, shape: Vec<usize>, taps: &Taps) -> Self {
        let (weights, weight_exponent) = split(weights);
        let (constants, constant_exponent) = split(constants);
        let inputs = (self.values, self.exponent + weight_exponent);
        let (inputs, constants, exponent) = Self::in_one_unit(inputs, (constants, constant_exponent));
        let outputs: usize = shape.iter().product();
        let values = (0..outputs).map(|output| {
            let mut terms: Vec<f64> = vec![constants[output * constants.len() / outputs]];
            taps(output, &mut |weight, input| terms.push(weights[weight] * inputs[input]));
            norm(&terms)
        });
        Self::new(values.collect(), exponent, shape)
    }
}

/// Calls back with the positions of a weight and an input for every product that an output sums.
type Taps<'t> = dyn Fn(usize, &mut dyn FnMut(usize, usize)) + 't;

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
            LayerSpec::Flatten => Arriving { shape: vec![input.values.len()], ..input },
            LayerSpec::Dense { units } => {
                let weights = self.take(units * input.values.len());
                let biases = self.take(*units);
                let features = input.values.len();
                input.affine(weights, biases, vec![*units], &|unit, tap| {
                    (0..features).for_each(|feature| tap(unit * features + feature, feature));
                })
            }
            LayerSpec::Conv { channels, kernel, stride, padding, bias } => {
                let fan_in = input.shape[0] * kernel[0] * kernel[1];
                let weights = self.take(channels * fan_in);
                let biases = if *bias { self.take(*channels) } else { vec![0.0; *channels] };
                let windows = Windows::new(&input.shape, *kernel, *stride, *padding);
                let seen: Vec<Vec<(usize, usize)>> = windows.iter().collect();
                let (entries, channels_in) = (kernel[0] * kernel[1], input.shape[0]);
                let shape = vec![*channels, windows.size[0], windows.size[1]];
                input.affine(weights, biases, shape, &|output, tap| {
                    for channel in 0..channels_in {
                        for &(entry, position) in &seen[output % seen.len()] {
                            let weight = (output / seen.len()) * fan_in + channel * entries + entry;
                            tap(weight, channel * windows.positions + position);
                        }
                    }
                })
            }
            LayerSpec::AvgPool { size, stride } => {
                pool(&input, *size, stride.unwrap_or(*size), Padding::Valid, |values| {
                    norm(values) / values.len() as f64
                })
            }
            LayerSpec::MaxPool { size, stride, padding } => {
                let padding = Padding::Zeros(*padding);
                pool(&input, *size, stride.unwrap_or(*size), padding, |values| {
                    values.iter().copied().fold(0.0, f64::max)
                })
            }
            LayerSpec::GlobalAvgPool => {
                let whole = [input.shape[1], input.shape[2]];
                let mean = |values: &[f64]| norm(values) / values.len() as f64;
                let pooled = pool(&input, whole, [1, 1], Padding::Valid, mean);
                Arriving { shape: vec![pooled.values.len()], ..pooled }
            }
            LayerSpec::BatchNorm => {
                let channels = input.shape[0];
                let (scale, shift) = (self.take(channels), self.take(channels));
                let (mean, variance) = (self.stored(channels), self.stored(channels));
                let positions = input.values.len() / channels;
                let slopes: Vec<f64> =
                    scale.iter().zip(&variance).map(|(scale, v)| scale / (v + BATCH_NORM_EPS).sqrt()).collect();
                let constants =
                    shift.iter().zip(&slopes).zip(&mean).map(|((shift, slope), mean)| shift - slope * mean).collect();
                let shape = input.shape.clone();
                input.affine(slopes, constants, shape, &|output, tap| tap(output / positions, output))
            }
            LayerSpec::Residual { branch, shortcut } => {
                let sum = self.chain(branch, input.clone());
                let other = self.chain(shortcut, input);
                let (a, b, exponent) =
                    Arriving::in_one_unit((sum.values, sum.exponent), (other.values, other.exponent));
                Arriving::new(a.iter().zip(&b).map(|(a, b)| a.hypot(*b)).collect(), exponent, sum.shape)
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
    Arriving::new(values, input.exponent, vec![input.shape[0], windows.size[0], windows.size[1]])
}

fn path_norm(model: &Model, theta: &[f64], buffers: &[f64]) -> f64 {
    let shape = model.architecture().input.clone();
    let input = Arriving { values: vec![1.0; shape.iter().product()], exponent: 0, shape };
    let arriving = Walk { theta, buffers }.chain(&model.architecture().layers, input);
    times_power_of_two(norm(&arriving.values), arriving.exponent)
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

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "(sum over paths from an input or bias to an output of the product of squared weights)^(1/2)",
            notes: "A mean over k entries passes each with weight 1 / k, a maximum passes the largest, a batch norm multiplies by scale / (variance + 1e-5)^(1/2). It knows neither data nor loss.",
            unit: "none",
            use_for: "a norm that no rescaling changes, without data",
            not_for: "-",
            cost: "no products; one pass of the network at one input",
            options: &[],
            refuses: "a norm that is not finite",
            sources: &[references::NEYSHABUR_2015],
        })
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
        // Squares, and products of them, are within the range of f64 for ordinary parameters only.
        let ordinary = |theta: &f64| *theta == 0.0 || (1e-30..=1e30).contains(&theta.abs());
        if !(dense.theta.iter().all(ordinary) && model.parametrised_layer_count() <= 5) {
            return None;
        }
        let squares: Vec<f64> = dense.theta.iter().map(|theta| theta * theta).collect();
        let ones = ndarray::Array2::ones((1, model.input_count()));
        Some(model.logits(&squares, dense.objective.buffers, ones.view()).sum().sqrt())
    }

    /// It knows no loss.
    fn at_loss_scale(&self, value: f64, _factor: f64, _point: &Point, _options: &Options) -> f64 {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, Architecture};

    /// Paths whose products leave the range of f64 halfway: `w2 (w1, b1)` with `|w2| |(w1, b1)| = 10`.
    #[test]
    fn paths_leave_the_range_and_come_back() {
        let architecture = Architecture::fully_connected(&[1, 1, 1, 1], Activation::Relu, 1.0, 1.0);
        let model = Model::new(architecture).unwrap();
        for scale in [1.0, 1e100, 1e160, 1e-160, 1e300, 1e-300] {
            // w1, b1, w2, b2, w3, b3
            let theta = [3.0 * scale, 4.0 * scale, 2.0 / scale, 0.0, 1.0, 0.0];
            assert!((path_norm(&model, &theta, &[]) - 10.0).abs() < 1e-13, "at {scale:e}");
        }
        // Three factors of which two together are out of range.
        let theta = [1e200, 0.0, 1e200, 0.0, 1e-300, 0.0];
        assert!((path_norm(&model, &theta, &[]) / 1e100 - 1.0).abs() < 1e-13);
        let theta = [1e-200, 0.0, 1e-200, 3.0, 1e300, 0.0];
        assert!((path_norm(&model, &theta, &[]) / 3e300 - 1.0).abs() < 1e-13);
        assert_eq!(path_norm(&model, &[0.0; 6], &[]), 0.0);
        assert_eq!(path_norm(&model, &[1e300, 0.0, 1e300, 0.0, 1.0, 0.0], &[]), f64::INFINITY);
    }
}
