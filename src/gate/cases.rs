//! Cases: small networks with data, Gram matrices with labels, and how they are drawn.

use crate::flatness::DensePoint;
use crate::gate::finding::Finding;
use crate::gate::remembered::Remembered;
use crate::model::{Activation, Architecture, Loss, Model, Network, Objective, Role};
use crate::numeric::{Estimate, Streams};
use crate::prior::{Gram, Labels};
use crate::rescale::Action;
use ndarray::Array2;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use std::sync::{Arc, OnceLock};

/// A network, a loss and data small enough for the dense oracle.
pub struct FlatnessCase {
    /// Name, unique among the cases.
    pub name: String,
    /// The network.
    pub network: Network,
    /// The loss.
    pub loss: Loss,
    /// Inputs, `n x features`.
    pub inputs: Array2<f64>,
    /// Targets for the loss.
    pub targets: Array2<f64>,
    /// Factors by which layer 0 is divided, and layer 1 multiplied, in the laws of rescaling.
    pub alphas: Vec<f64>,
    /// Whether these laws draw one map of every kind too.
    pub rescalings: bool,
    dense: OnceLock<DenseArrays>,
    predictions: Remembered<PredictionQuestion, Option<Result<Estimate, Finding>>>,
}

/// What is asked of a registered definition: its id, the seed, and the map as scales (their bits) and sources.
type PredictionQuestion = (&'static str, u64, Vec<u64>, Vec<usize>);

struct DenseArrays {
    value: f64,
    gradient: Vec<f64>,
    hessian: Array2<f64>,
    gauss_newton: Array2<f64>,
    magnitude: Array2<f64>,
}

impl FlatnessCase {
    /// A case from its parts, not rescaled.
    pub fn new(name: String, network: Network, loss: Loss, inputs: Array2<f64>, targets: Array2<f64>) -> Self {
        Self {
            name,
            network,
            loss,
            inputs,
            targets,
            alphas: Vec::new(),
            rescalings: false,
            dense: OnceLock::new(),
            predictions: Remembered::default(),
        }
    }

    /// The case itself, if its loss fits its outputs and data.
    ///
    /// # Errors
    /// A sentence that says what does not fit.
    pub(super) fn checked(self) -> Result<Self, String> {
        let objective = Objective::new(&self.network, self.loss, self.inputs.view(), self.targets.view());
        objective.map(drop).map_err(|error| error.to_string())?;
        Ok(self)
    }

    /// The objective of the case's network.
    pub fn objective(&self) -> Objective<'_> {
        Objective::new(&self.network, self.loss, self.inputs.view(), self.targets.view())
            .expect("cases are made of parts that fit")
    }

    /// What a registered definition says of the case after a map, from `ask` the first time: chains and noise take long, and
    /// every estimator of the measure is compared with the same answer.
    pub(super) fn prediction(
        &self,
        definition: &'static str,
        seed: u64,
        action: &Action,
        ask: impl FnOnce() -> Option<Result<Estimate, Finding>>,
    ) -> Option<Result<Estimate, Finding>> {
        let scale = action.scale().iter().map(|factor| factor.to_bits()).collect();
        self.predictions.get((definition, seed, scale, action.source().to_vec()), ask)
    }

    /// Dense derivatives at the network's parameters, computed once.
    pub fn dense(&self) -> DensePoint<'_> {
        let arrays = self.dense.get_or_init(|| {
            let point = DensePoint::new(self.objective(), &self.network.theta);
            DenseArrays {
                value: point.value,
                gradient: point.gradient,
                hessian: point.hessian,
                gauss_newton: point.gauss_newton,
                magnitude: point.magnitude,
            }
        });
        DensePoint {
            objective: self.objective(),
            theta: self.network.theta.clone(),
            value: arrays.value,
            gradient: arrays.gradient.clone(),
            hessian: arrays.hessian.clone(),
            gauss_newton: arrays.gauss_newton.clone(),
            magnitude: arrays.magnitude.clone(),
        }
    }
}

fn normal_matrix(rows: usize, columns: usize, streams: Streams, name: &str) -> Array2<f64> {
    let mut generator = streams.stream(name, 0);
    Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(&mut generator))
}

/// The fully connected architecture of drawn cases.
pub(super) fn drawn_architecture(widths: &[usize], activation: Activation) -> Architecture {
    Architecture::fully_connected(widths, activation, std::f64::consts::SQRT_2, 0.3)
}

/// Draws a network of vectors with data; small enough for the dense oracle if the widths are. Batch norms get scales,
/// shifts and stored statistics of their own.
///
/// # Errors
/// A sentence: the architecture is none, or the loss does not fit its outputs.
pub(super) fn draw_flatness_case(
    name: String,
    architecture: Architecture,
    loss: Loss,
    samples: usize,
    streams: Streams,
) -> Result<FlatnessCase, String> {
    let model = Arc::new(Model::new(architecture).map_err(|error| error.to_string())?);
    let (features, outputs) = (model.input_count(), model.output_count());
    let mut network = Network::sample(model, streams);
    settle_batch_norms(&mut network, streams);
    let inputs = normal_matrix(samples, features, streams, "inputs");
    let mut generator = streams.stream("targets", 0);
    let targets = match loss {
        Loss::Bce => Array2::from_shape_simple_fn((samples, 1), || f64::from(generator.random_range(0..2_u8))),
        Loss::Ce => Array2::from_shape_simple_fn((samples, 1), || generator.random_range(0..outputs) as f64),
        Loss::Mse => normal_matrix(samples, outputs, streams, "targets"),
    };
    FlatnessCase::new(name, network, loss, inputs, targets).checked()
}

/// Scales and variances from 0.5 to 2, shifts and means of deviation 0.5: as training might leave them, and none of
/// them what a batch of the data would have.
fn settle_batch_norms(network: &mut Network, streams: Streams) {
    let mut generator = streams.stream("batch norms", 0);
    let model = Arc::clone(&network.model);
    let mut draw = |role: Role, values: &mut [f64]| {
        for value in values {
            *value = match role {
                Role::Scale => 2_f64.powf(generator.random_range(-1.0..=1.0)),
                _ => 0.5 * <StandardNormal as Distribution<f64>>::sample(&StandardNormal, &mut generator),
            };
        }
    };
    for tensor in model.tensors().iter().filter(|tensor| matches!(tensor.role, Role::Scale | Role::Shift)) {
        draw(tensor.role, &mut network.theta[tensor.range.clone()]);
    }
    for tensor in model.buffers() {
        draw(tensor.role, &mut network.buffers[tensor.range.clone()]);
    }
}

/// A Gram matrix and labels.
pub struct PriorCase {
    /// Name, unique among the cases.
    pub name: String,
    /// The matrix.
    pub gram: Gram,
    /// The function.
    pub labels: Labels,
}

/// Draws `F F^T + diagonal I` with `F` of `rank` columns, and random labels.
///
/// # Errors
/// A sentence, where that is no Gram matrix in f64.
pub(super) fn draw_prior_case(
    name: String,
    points: usize,
    rank: usize,
    diagonal: f64,
    streams: Streams,
) -> Result<PriorCase, String> {
    let streams = streams.child(&name, 0);
    let factor = normal_matrix(points, rank, streams, "factor");
    let matrix = factor.dot(&factor.t()) + Array2::<f64>::eye(points) * diagonal;
    let mut generator = streams.stream("labels", 0);
    Ok(PriorCase {
        name,
        gram: Gram::new(matrix).map_err(|error| error.to_string())?,
        labels: Labels::from_signs((0..points).map(|_| generator.random_range(0..2_u8) == 1)),
    })
}
