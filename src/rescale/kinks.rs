//! Pre-activations that are 0 as far as rounding lets one see.

use crate::model::{Architecture, LayerSpec, Model};
use crate::numeric::Dtype;
use crate::numeric::linalg::norm;
use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2, Axis, CowArray, Ix2};

/// Samples looked at together by one thread: what a layer reads and writes of them stays in its cache.
const ROWS: usize = 64;
/// Samples among which the first kink is that of the first ReLU.
const BLOCK: usize = 1024;

/// Inputs of ReLUs that lie within their rounding bound of the kink.
///
/// The function is continuous there, its derivatives are not: which side a pre-activation is taken to lie on is decided
/// by rounding, which another order of summation or a rescaling changes, and every measure of curvature with it. A
/// pre-activation all of whose terms are 0 (zero weights, zero inputs) is 0 in any arithmetic and does not count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NearKinks {
    /// How many there are, over all samples.
    pub count: usize,
    /// The first, in the order of ReLUs, samples and units within blocks of 1024 samples.
    pub first: Option<NearKink>,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NearKink {
    /// Number of the ReLU, counted from 0 in forward order (a residual's branch before its shortcut).
    pub activation: usize,
    /// Row of the data.
    pub sample: usize,
    /// Feature that reaches it, channels outermost.
    pub unit: usize,
}

impl NearKinks {
    /// Looks at every ReLU of a network on every input.
    ///
    /// A running error analysis (Higham 2002, section 3.3): with `e` the errors of what a layer reads, an affine layer's
    /// are `|W| e + gamma (|W| |x| + |b|)`, `gamma = (fan-in + 4) u` for the sum, the bias, and the three roundings of a
    /// rescaled weight; a ReLU passes on the error of what is not certainly below 0, other layers theirs by their
    /// Lipschitz constants. Twice that bounds the difference between two computations.
    pub fn of(model: &Model, theta: &[f64], buffers: &[f64], inputs: ArrayView2<f64>) -> Self {
        Self::in_dtype(model, theta, buffers, inputs, Dtype::Float64)
    }

    /// The same for computations in another format, on numbers that it holds.
    pub fn in_dtype(model: &Model, theta: &[f64], buffers: &[f64], inputs: ArrayView2<f64>, dtype: Dtype) -> Self {
        if !has_relu(&model.architecture().layers) {
            return Self::default();
        }
        // Most networks have none, and the wider bounds show it.
        let within = |bounds| Self::within(bounds, model, theta, buffers, inputs, dtype);
        if within(Bounds::ByNorms).count == 0 { Self::default() } else { within(Bounds::ByTerms) }
    }

    fn within(
        bounds: Bounds,
        model: &Model,
        theta: &[f64],
        buffers: &[f64],
        inputs: ArrayView2<f64>,
        dtype: Dtype,
    ) -> Self {
        let template = model.architecture();
        let parts: Vec<Self> = inputs
            .axis_chunks_iter(Axis(0), ROWS)
            .into_par_iter()
            .enumerate()
            .map(|(chunk, rows)| {
                let mut walk = Walk {
                    bounds,
                    unit_roundoff: dtype.unit_roundoff(),
                    template,
                    theta,
                    buffers,
                    activations: 0,
                    first_sample: chunk * ROWS,
                    found: Self::default(),
                };
                walk.chain(&template.layers, template.input.clone(), Values { at: rows.into(), error: None });
                walk.found
            })
            .collect();
        let place = |kink: &NearKink| (kink.sample / BLOCK, kink.activation, kink.sample, kink.unit);
        Self {
            count: parts.iter().map(|part| part.count).sum(),
            first: parts.iter().filter_map(|part| part.first).min_by_key(place),
        }
    }

    /// One sentence for people; `None` if there are none.
    pub fn sentence(&self) -> Option<String> {
        let first = self.first?;
        let (are, them) = if self.count == 1 { ("pre-activation is", "it") } else { ("pre-activations are", "them") };
        Some(format!(
            "{} {are} 0 within rounding (first: sample {}, unit {} of ReLU {}): derivatives there depend on the side that \
             rounding puts {them} on, and a rescaling may change it",
            self.count, first.sample, first.unit, first.activation
        ))
    }
}

fn has_relu(layers: &[LayerSpec]) -> bool {
    layers.iter().any(|layer| match layer {
        LayerSpec::Relu => true,
        LayerSpec::Residual { branch, shortcut } => has_relu(branch) || has_relu(shortcut),
        _ => false,
    })
}

/// How the sizes of what a dense layer adds up are bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bounds {
    /// `|w . x| <= |w| |x|` of the Euclidean norms (Cauchy-Schwarz): nothing to compute beside the forward pass, and never less.
    ByNorms,
    /// `sum |w_i| |x_i|`.
    ByTerms,
}

/// Beside bounds by terms, those by norms have a square root and a product of their own to round.
const NORM_SLACK: f64 = 1.0 + 1e-9;

/// Features of some samples (`n x features`), and bounds on their errors; data have none.
#[derive(Clone)]
struct Values<'v> {
    at: CowArray<'v, f64, Ix2>,
    error: Option<Array2<f64>>,
}

/// Walks the layers in the order in which parameters and buffers are laid out.
struct Walk<'w> {
    bounds: Bounds,
    template: &'w Architecture,
    unit_roundoff: f64,
    theta: &'w [f64],
    buffers: &'w [f64],
    activations: usize,
    /// Row of the data that is row 0 here.
    first_sample: usize,
    found: NearKinks,
}

impl Walk<'_> {
    fn chain<'v>(&mut self, layers: &[LayerSpec], shape: Vec<usize>, input: Values<'v>) -> (Vec<usize>, Values<'v>) {
        layers.iter().fold((shape, input), |(shape, values), layer| self.layer(layer, shape, values))
    }

    fn layer<'v>(&mut self, layer: &LayerSpec, shape: Vec<usize>, input: Values<'v>) -> (Vec<usize>, Values<'v>) {
        match layer {
            LayerSpec::Relu => (shape, self.relu(input)),
            LayerSpec::Residual { branch, shortcut } => {
                let (shape_out, branch) = self.chain(branch, shape.clone(), input.clone());
                let (_, shortcut) = self.chain(shortcut, shape, input);
                let at = &branch.at + &shortcut.at;
                let rounding = at.mapv(|value: f64| self.unit_roundoff * value.abs());
                let error = sum(sum(branch.error, shortcut.error), Some(rounding));
                (shape_out, Values { error, at: at.into() })
            }
            _ => self.plain(layer, shape, input),
        }
    }

    fn relu<'v>(&mut self, mut input: Values<'v>) -> Values<'v> {
        if let Some(error) = &mut input.error {
            for ((sample, unit), value) in input.at.indexed_iter() {
                let bound = 2.0 * error[[sample, unit]];
                // Of norms beyond f64 nothing is known: the terms decide.
                let unknown = self.bounds == Bounds::ByNorms && bound.is_nan();
                if bound > 0.0 && value.abs() <= bound || unknown {
                    self.found.count += 1;
                    let sample = self.first_sample + sample;
                    self.found.first.get_or_insert(NearKink { activation: self.activations, sample, unit });
                }
            }
            ndarray::Zip::from(error).and(&input.at).for_each(|error, value| {
                if *value < -2.0 * *error {
                    *error = 0.0;
                }
            });
        }
        self.activations += 1;
        Values { at: input.at.mapv(|value| value.max(0.0)).into(), error: input.error }
    }

    /// Any other layer, by its own forward pass on values, sizes and errors.
    fn plain<'v>(&mut self, layer: &LayerSpec, shape: Vec<usize>, input: Values<'v>) -> (Vec<usize>, Values<'v>) {
        // Models end in vectors; a flatten makes one of anything.
        let flat = LayerSpec::Flatten;
        let architecture = Architecture { input: shape, layers: vec![layer.clone(), flat], ..self.template.clone() };
        let model = Model::new(architecture).expect("a layer of a network that was compiled");
        let shape = model.body().shapes().swap_remove(0);
        let (theta, buffers);
        (theta, self.theta) = self.theta.split_at(model.parameter_count());
        (buffers, self.buffers) = self.buffers.split_at(model.buffer_count());
        let at = model.logits(theta, buffers, input.at.view());
        let through = |error: &Option<Array2<f64>>| error.as_ref().map(|e| model.logits(theta, buffers, e.view()));
        let error = match layer {
            LayerSpec::Dense { .. } | LayerSpec::Conv { .. } | LayerSpec::BatchNorm => {
                let fan_in = model.tensors().iter().map(|tensor| tensor.fan_in).max().unwrap_or(1);
                let gamma = (fan_in + 4) as f64 * self.unit_roundoff;
                let magnitudes: Vec<f64> = theta.iter().map(|value| value.abs()).collect();
                // Without biases, shifts and means an affine layer is the linear one that acts on errors.
                let mut linear = magnitudes.clone();
                let constants = model.tensors().iter().filter(|tensor| matches!(tensor.name.as_str(), "0.bias"));
                constants.for_each(|tensor| linear[tensor.range.clone()].fill(0.0));
                let means = model.buffers().iter().filter(|tensor| tensor.name == "0.running_mean");
                let (mut opposite, mut none) = (buffers.to_vec(), buffers.to_vec());
                for tensor in means {
                    opposite[tensor.range.clone()].iter_mut().for_each(|mean| *mean = -mean.abs());
                    none[tensor.range.clone()].fill(0.0);
                }
                let own = match (layer, self.bounds) {
                    (LayerSpec::Dense { .. }, Bounds::ByNorms) => sizes_by_norms(&model, &magnitudes, input.at.view()),
                    _ => model.logits(&magnitudes, &opposite, input.at.mapv(f64::abs).view()),
                };
                sum(Some(own * gamma), input.error.map(|error| model.logits(&linear, &none, error.view())))
            }
            LayerSpec::AvgPool { size, .. } => {
                let gamma = (size[0] * size[1] + 1) as f64 * self.unit_roundoff;
                sum(through(&input.error), through(&Some(input.at.mapv(f64::abs))).map(|sizes| sizes * gamma))
            }
            LayerSpec::GlobalAvgPool => {
                let gamma = (input.at.ncols() + 1) as f64 * self.unit_roundoff;
                sum(through(&input.error), through(&Some(input.at.mapv(f64::abs))).map(|sizes| sizes * gamma))
            }
            LayerSpec::MaxPool { .. } => through(&input.error),
            LayerSpec::Flatten | LayerSpec::Relu | LayerSpec::Residual { .. } => input.error,
            // Slopes of at most 1 and 2 / sqrt(pi), and two roundings of the value.
            LayerSpec::Tanh | LayerSpec::Erf => {
                sum(input.error, Some(at.mapv(|y: f64| self.unit_roundoff * y.abs()))).map(|error| 2.0 * error)
            }
        };
        (shape, Values { at: at.into(), error })
    }
}

/// The sum of two bounds.
fn sum(a: Option<Array2<f64>>, b: Option<Array2<f64>>) -> Option<Array2<f64>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}

/// `|w_u| |x_s| + |b_u|` for every sample and unit of a dense layer.
fn sizes_by_norms(model: &Model, magnitudes: &[f64], inputs: ArrayView2<f64>) -> Array2<f64> {
    let tensor = |name: &str| {
        let tensor = model.tensors().iter().find(|tensor| tensor.name == name);
        tensor.map_or(&[][..], |tensor| &magnitudes[tensor.range.clone()])
    };
    let (weight, bias) = (tensor("0.weight"), tensor("0.bias"));
    let units: Vec<f64> = weight.chunks_exact(inputs.ncols()).map(norm).collect();
    let inputs = inputs.as_standard_layout();
    let rows: Vec<f64> = inputs.outer_iter().map(|row| norm(row.as_slice().expect("rows are contiguous"))).collect();
    Array2::from_shape_fn((rows.len(), units.len()), |(sample, unit)| {
        NORM_SLACK * (rows[sample] * units[unit] + bias.get(unit).copied().unwrap_or(0.0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, Network};
    use crate::numeric::Streams;
    use ndarray::array;
    use std::sync::Arc;

    fn near(network: &Network, inputs: Array2<f64>) -> NearKinks {
        NearKinks::of(&network.model, &network.theta, &network.buffers, inputs.view())
    }

    fn network(widths: &[usize], theta: Vec<f64>) -> Network {
        let architecture = Architecture::fully_connected(widths, Activation::Relu, 1.0, 1.0);
        Network::new(Arc::new(Model::new(architecture).unwrap()), theta)
    }

    /// `w x + b` with `b` the rounded `-w x`: 0 as computed, and on either side after a rescaling.
    #[test]
    fn cancelled_pre_activations_are_found_and_zeros_are_not() {
        for (w, x) in [(2.6, 5.6), (0.1, 0.3), (1e-170, 3.7e-120), (7e200, 0.3)] {
            let cancelled = network(&[1, 1, 1], vec![w, -w * x, 1.0, 0.0]);
            let found = near(&cancelled, array![[1.1], [x]]);
            let first = NearKink { activation: 0, sample: 1, unit: 0 };
            assert_eq!(found, NearKinks { count: 1, first: Some(first) }, "{w} {x}");
            assert!(found.sentence().unwrap().contains("sample 1"));
        }
        // Terms that are all 0: zero weights and biases, zero inputs without a bias, and units behind dead ones.
        let zeros = network(&[1, 2, 2, 1], vec![0.0; 13]);
        assert_eq!(near(&zeros, array![[1.0], [-2.0]]), NearKinks::default());
        let dead = network(&[1, 1, 1, 1], vec![1.0, -100.0, 1.0, 0.0, 1.0, 0.0]);
        assert_eq!(near(&dead, array![[1.0], [2.0]]), NearKinks::default());
        // A bias of its own, far from the kink.
        let apart = network(&[1, 1, 1], vec![2.6, 0.1 - 2.6 * 5.6, 1.0, 0.0]);
        assert_eq!(near(&apart, array![[5.6]]), NearKinks::default());
    }

    /// `1 - (1 - 1e-10)` is `1e-10` to ten digits fewer than it has; less `1e-10` it is 0 within the error that it brought along,
    /// and far from 0 beside the rounding of that subtraction alone.
    #[test]
    fn errors_of_the_layers_before_are_carried_along() {
        let carried = network(&[1, 1, 1, 1], vec![1.0, -(1.0 - 1e-10), 1.0, -1e-10, 1.0, 0.0]);
        let first = NearKink { activation: 1, sample: 0, unit: 0 };
        assert_eq!(near(&carried, array![[1.0]]), NearKinks { count: 1, first: Some(first) });
    }

    /// Where the two norms are the two terms, the bounds by norms are as narrow as they get.
    #[test]
    fn bounds_by_norms_miss_nothing_that_bounds_by_terms_find() {
        let (w, x) = (2.6, 5.6);
        let mut found = Vec::new();
        for units in 0..40 {
            let bias = -w * x + f64::from(units) * 16.0 * f64::EPSILON / 2.0;
            let network = network(&[1, 1, 1], vec![w, bias, 1.0, 0.0]);
            let (model, inputs) = (&network.model, array![[x]]);
            let by_terms =
                NearKinks::within(Bounds::ByTerms, model, &network.theta, &[], inputs.view(), Dtype::Float64);
            assert_eq!(near(&network, inputs), by_terms, "{units} units in the last place from 0");
            found.push(by_terms.count);
        }
        // 2 gamma = 10 u, of sizes 29.1: up to 3.2e-14, which is 18 units of 1.8e-15.
        assert_eq!(found, [[1; 19].as_slice(), &[0; 21]].concat());
    }

    /// Threads take 64 samples each; the first kink is that of the first ReLU all the same, within 1024 samples.
    #[test]
    fn the_first_kink_does_not_depend_on_who_finds_it() {
        let bias = -2.6 * 5.6;
        let two = network(&[1, 1, 1, 1], vec![2.6, bias, 1.0, -(2.6 * 7.0 + bias), 1.0, 0.0]);
        let mut inputs = Array2::from_elem((2000, 1), 9.0);
        for (sample, x) in [(3, 7.0), (200, 5.6), (1023, 7.0), (1030, 5.6)] {
            inputs[[sample, 0]] = x;
        }
        let first = NearKink { activation: 0, sample: 200, unit: 0 };
        assert_eq!(near(&two, inputs.clone()), NearKinks { count: 4, first: Some(first) });
        inputs[[200, 0]] = 9.0;
        let first = NearKink { activation: 1, sample: 3, unit: 0 };
        assert_eq!(near(&two, inputs), NearKinks { count: 3, first: Some(first) });
    }

    /// 50 networks of a convolution, batch norm, a residual sum, pooling and dense layers: none of their 12,000 random
    /// pre-activations each is taken for a kink (a bound of some `1e-14` would meet one with probability `1e-8`).
    #[test]
    fn generic_networks_have_none() {
        let text = r#"
            input = [1, 4, 4]
            weight_std = 1.4
            bias_std = 0.5
            layers = [
                { type = "conv", channels = 3, kernel = [3, 3], padding = "same" },
                { type = "batch_norm" }, { type = "relu" },
                { type = "residual", branch = [
                    { type = "conv", channels = 3, kernel = [3, 3], padding = "same" }, { type = "relu" }] },
                { type = "avg_pool", size = [2, 2] },
                { type = "flatten" },
                { type = "dense", units = 4 }, { type = "relu" },
                { type = "dense", units = 2 },
            ]"#;
        let model = Arc::new(Model::new(toml::from_str(text).unwrap()).unwrap());
        for seed in 0..50 {
            let network = Network::sample(Arc::clone(&model), Streams::new(seed));
            let inputs = Array2::from_shape_fn((4, 16), |(i, j)| ((7 * i + 3 * j) as f64 + seed as f64).sin());
            assert_eq!(near(&network, inputs), NearKinks::default(), "seed {seed}");
        }
    }
}
