//! Networks: an architecture compiled into passes, and parameters to run them with.

use crate::model::ModelError;
use crate::model::architecture::Architecture;
use crate::model::layer::{Mode, Role, Sequence, TensorSpec, Weights, chain};
use crate::model::size;
use crate::numeric::Streams;
use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2, Axis};
use rand_distr::{Distribution, StandardNormal};
use std::ops::Range;
use std::sync::Arc;

/// Most samples a thread takes at a time.
const CHUNK_ROWS: usize = 128;
/// Numbers that the forward pass of one chunk may keep: 64 MiB.
const CHUNK_NUMBERS: usize = 1 << 23;

/// One parameter tensor or buffer: its name in files, shape, and place in the flat vector.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Tensor {
    /// Name in checkpoints: layer number and PyTorch's name, as `0.weight`.
    pub name: String,
    /// Shape, as in PyTorch.
    pub shape: Vec<usize>,
    /// What it does in its layer.
    pub role: Role,
    /// Number of the parametrised layer it belongs to, counted in forward order.
    pub layer: usize,
    /// Inputs that one output sums over.
    pub fan_in: usize,
    /// Where its entries (row-major) lie in the flat vector.
    pub range: Range<usize>,
}

fn layout(specs: Vec<TensorSpec>) -> Vec<Tensor> {
    let mut first = 0;
    specs
        .into_iter()
        .map(|spec| {
            let range = first..first + spec.len();
            first = range.end;
            Tensor {
                name: format!("{}.{}", spec.layer, spec.name),
                shape: spec.shape,
                role: spec.role,
                layer: spec.layer,
                fan_in: spec.fan_in,
                range,
            }
        })
        .collect()
}

/// An architecture with shapes checked and passes ready: everything of a network but its parameters.
///
/// Parameters are one flat vector `theta`, tensor after tensor in forward order (weight before bias);
/// stored statistics are a second one, `buffers`.
#[derive(Debug)]
pub struct Model {
    architecture: Architecture,
    body: Sequence,
    tensors: Vec<Tensor>,
    buffers: Vec<Tensor>,
}

impl Model {
    /// Compiles an architecture.
    ///
    /// # Errors
    /// [`ModelError::Shape`] with the first layer that does not fit, [`ModelError::TooLarge`] with the first that has more
    /// numbers than are computed with, [`ModelError::Architecture`] if there is no layer at all.
    pub fn new(architecture: Architecture) -> Result<Self, ModelError> {
        let fault =
            |reason: &str| ModelError::Architecture { origin: architecture.to_string(), reason: reason.to_owned() };
        if !matches!(architecture.input.len(), 1 | 3) || architecture.input.contains(&0) {
            return Err(fault("input must be [features] or [channels, height, width], all at least 1"));
        }
        size::product(|| "the input".to_owned(), "numbers", &architecture.input)?;
        if architecture.layers.is_empty() {
            return Err(fault("there are no layers"));
        }
        let body = chain(&architecture.layers, &architecture.input, "")?;
        if body.output_shape().len() != 1 {
            return Err(fault("the output is not a vector; end with a dense layer"));
        }
        size::product(|| "the network".to_owned(), "parameters", &[body.parameter_count()])?;
        size::product(|| "the network".to_owned(), "numbers in all its layers' outputs", &[body.footprint()])?;
        let tensors = layout(body.tensors());
        let buffers = layout(body.buffers());
        Ok(Self { architecture, body, tensors, buffers })
    }

    /// The architecture.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The parameter tensors in the order of the flat vector.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The stored statistics in the order of their flat vector.
    pub fn buffers(&self) -> &[Tensor] {
        &self.buffers
    }

    /// Number of parameters.
    pub fn parameter_count(&self) -> usize {
        self.tensors.last().map_or(0, |tensor| tensor.range.end)
    }

    /// Number of stored statistics.
    pub fn buffer_count(&self) -> usize {
        self.buffers.last().map_or(0, |tensor| tensor.range.end)
    }

    /// Number of layers with parameters.
    pub fn parametrised_layer_count(&self) -> usize {
        self.tensors.last().map_or(0, |tensor| tensor.layer + 1)
    }

    /// Features of one input.
    pub fn input_count(&self) -> usize {
        self.architecture.input.iter().product()
    }

    /// Logits of one input.
    pub fn output_count(&self) -> usize {
        self.body.output_shape()[0]
    }

    /// Whether the network is piecewise linear in its input and in each layer's own parameters, so that
    /// every within-layer block of a loss' Hessian equals the Gauss-Newton block.
    pub fn is_piecewise_linear(&self) -> bool {
        self.body.is_piecewise_linear()
    }

    /// Samples a thread takes at a time: a matter of the model alone, so results do not depend on threads.
    pub(crate) fn chunk_rows(&self) -> usize {
        (CHUNK_NUMBERS / (self.input_count() + self.body.footprint())).clamp(1, CHUNK_ROWS)
    }

    pub(crate) fn body(&self) -> &Sequence {
        &self.body
    }

    pub(crate) fn weights<'a>(&self, theta: &'a [f64], buffers: &'a [f64]) -> Weights<'a> {
        assert_eq!(theta.len(), self.parameter_count(), "parameters do not fit the model");
        assert_eq!(buffers.len(), self.buffer_count(), "buffers do not fit the model");
        Weights { theta, buffers }
    }

    /// Logits (`n x outputs`) of a batch (`n x inputs`), with stored statistics in batch norms.
    ///
    /// # Panics
    /// If parameters, buffers or inputs do not fit the model.
    pub fn logits(&self, theta: &[f64], buffers: &[f64], inputs: ArrayView2<f64>) -> Array2<f64> {
        assert_eq!(inputs.ncols(), self.input_count(), "inputs do not fit the model");
        let weights = self.weights(theta, buffers);
        let mut out = Array2::zeros((inputs.nrows(), self.output_count()));
        let inputs = inputs.as_standard_layout();
        out.axis_chunks_iter_mut(Axis(0), self.chunk_rows())
            .into_par_iter()
            .zip(inputs.axis_chunks_iter(Axis(0), self.chunk_rows()))
            .for_each(|(mut out, rows)| out.assign(&self.body.infer(weights, rows, Mode::Eval)));
        out
    }

    /// Features that the last layer takes.
    pub fn feature_width(&self) -> usize {
        self.body.feature_width(self.input_count())
    }

    /// What the last layer takes (`n x feature_width`) of a batch (`n x inputs`), with stored statistics in batch
    /// norms.
    ///
    /// # Panics
    /// If parameters, buffers or inputs do not fit the model.
    pub fn features(&self, theta: &[f64], buffers: &[f64], inputs: ArrayView2<f64>) -> Array2<f64> {
        assert_eq!(inputs.ncols(), self.input_count(), "inputs do not fit the model");
        let weights = self.weights(theta, buffers);
        let mut out = Array2::zeros((inputs.nrows(), self.feature_width()));
        let inputs = inputs.as_standard_layout();
        out.axis_chunks_iter_mut(Axis(0), self.chunk_rows())
            .into_par_iter()
            .zip(inputs.axis_chunks_iter(Axis(0), self.chunk_rows()))
            .for_each(|(mut out, rows)| out.assign(&self.body.features(weights, rows, Mode::Eval)));
        out
    }

    /// Draws parameters from the prior: weights `N(0, weight_std^2 / fan_in)`, biases
    /// `N(0, bias_std^2)`; batch norms start at scale 1 and shift 0.
    pub fn sample_parameters(&self, streams: Streams) -> Vec<f64> {
        let mut theta = vec![0.0; self.parameter_count()];
        for (index, tensor) in self.tensors.iter().enumerate() {
            let mut generator = streams.stream("parameters", index as u64);
            let std = match tensor.role {
                Role::Weight => self.architecture.weight_std / (tensor.fan_in as f64).sqrt(),
                Role::Bias => self.architecture.bias_std,
                Role::Scale | Role::Shift => {
                    theta[tensor.range.clone()].fill(if tensor.role == Role::Scale { 1.0 } else { 0.0 });
                    continue;
                }
            };
            for value in &mut theta[tensor.range.clone()] {
                let draw: f64 = StandardNormal.sample(&mut generator);
                *value = std * draw;
            }
        }
        theta
    }
}

/// A model with parameters.
#[derive(Debug, Clone)]
pub struct Network {
    pub(crate) model: Arc<Model>,
    pub(crate) theta: Vec<f64>,
    pub(crate) buffers: Vec<f64>,
}

impl Network {
    /// A network drawn from the prior.
    pub fn sample(model: Arc<Model>, streams: Streams) -> Self {
        let theta = model.sample_parameters(streams);
        Self::new(model, theta)
    }

    /// A network with the given parameters and untouched statistics (mean 0, variance 1).
    ///
    /// # Panics
    /// If the parameters do not fit the model.
    pub fn new(model: Arc<Model>, theta: Vec<f64>) -> Self {
        assert_eq!(theta.len(), model.parameter_count(), "parameters do not fit the model");
        let mut buffers = vec![0.0; model.buffer_count()];
        for tensor in model.buffers().iter().filter(|tensor| tensor.role == Role::Scale) {
            buffers[tensor.range.clone()].fill(1.0);
        }
        Self { model, theta, buffers }
    }

    /// The compiled architecture.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Flat parameters, tensor by tensor as in [`Model::tensors`].
    pub fn theta(&self) -> &[f64] {
        &self.theta
    }

    /// Flat stored statistics of batch norms, as in [`Model::buffers`].
    pub fn buffers(&self) -> &[f64] {
        &self.buffers
    }

    /// Logits (`n x outputs`) of a batch (`n x inputs`).
    pub fn logits(&self, inputs: ArrayView2<f64>) -> Array2<f64> {
        self.model.logits(&self.theta, &self.buffers, inputs)
    }

    /// What the last layer takes (`n x feature_width`) of a batch (`n x inputs`).
    pub fn features(&self, inputs: ArrayView2<f64>) -> Array2<f64> {
        self.model.features(&self.theta, &self.buffers, inputs)
    }

    /// The first stored variance below 0, which no data has: its name and place, its value, and what was expected.
    pub(super) fn negative_variance(&self) -> Option<(String, String, String)> {
        let variances = self.model.buffers.iter().filter(|tensor| tensor.role == Role::Scale);
        variances.into_iter().find_map(|tensor| {
            let index = self.buffers[tensor.range.clone()].iter().position(|value| !(*value >= 0.0))?;
            let value = self.buffers[tensor.range.start + index];
            Some((
                format!("entry {index} of tensor '{}'", tensor.name),
                value.to_string(),
                "variances of at least 0".to_owned(),
            ))
        })
    }

    /// The same network with other parameters and the same statistics.
    ///
    /// # Panics
    /// If the parameters do not fit the model.
    #[must_use]
    pub fn with_theta(&self, theta: Vec<f64>) -> Self {
        assert_eq!(theta.len(), self.theta.len(), "parameters do not fit the model");
        Self { model: Arc::clone(&self.model), theta, buffers: self.buffers.clone() }
    }

    /// The same network with other stored statistics of batch norms.
    ///
    /// # Panics
    /// If the statistics do not fit the model.
    #[must_use]
    pub fn with_buffers(&self, buffers: Vec<f64>) -> Self {
        assert_eq!(buffers.len(), self.buffers.len(), "stored statistics do not fit the model");
        Self { model: Arc::clone(&self.model), theta: self.theta.clone(), buffers }
    }
}
