//! Cases: small networks with data, Gram matrices with labels, and how they are drawn.

use crate::flatness::DensePoint;
use crate::model::{Activation, Architecture, Loss, Model, Network, Objective};
use crate::numeric::Streams;
use crate::prior::{Gram, Labels};
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
}

struct DenseArrays {
    value: f64,
    gradient: Vec<f64>,
    hessian: Array2<f64>,
    gauss_newton: Array2<f64>,
}

impl FlatnessCase {
    /// A case from its parts, not rescaled.
    pub fn new(name: String, network: Network, loss: Loss, inputs: Array2<f64>, targets: Array2<f64>) -> Self {
        Self { name, network, loss, inputs, targets, alphas: Vec::new(), rescalings: false, dense: OnceLock::new() }
    }

    /// The objective of the case's network.
    pub fn objective(&self) -> Objective<'_> {
        Objective::new(&self.network, self.loss, self.inputs.view(), self.targets.view())
            .expect("cases are made of parts that fit")
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
            }
        });
        DensePoint {
            objective: self.objective(),
            theta: self.network.theta.clone(),
            value: arrays.value,
            gradient: arrays.gradient.clone(),
            hessian: arrays.hessian.clone(),
            gauss_newton: arrays.gauss_newton.clone(),
        }
    }
}

fn normal_matrix(rows: usize, columns: usize, streams: Streams, name: &str) -> Array2<f64> {
    let mut generator = streams.stream(name, 0);
    Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(&mut generator))
}

/// Draws a fully connected case; small enough for the dense oracle if the widths are.
pub fn draw_flatness_case(
    name: String,
    widths: &[usize],
    activation: Activation,
    loss: Loss,
    samples: usize,
    streams: Streams,
) -> FlatnessCase {
    let architecture = Architecture::fully_connected(widths, activation, std::f64::consts::SQRT_2, 0.3);
    let model = Arc::new(Model::new(architecture).expect("widths are at least 1"));
    let network = Network::sample(model, streams);
    let inputs = normal_matrix(samples, widths[0], streams, "inputs");
    let outputs = *widths.last().expect("at least two widths");
    let mut generator = streams.stream("targets", 0);
    let targets = match loss {
        Loss::Bce => Array2::from_shape_simple_fn((samples, 1), || f64::from(generator.random_range(0..2_u8))),
        Loss::Ce => Array2::from_shape_simple_fn((samples, 1), || generator.random_range(0..outputs) as f64),
        Loss::Mse => normal_matrix(samples, outputs, streams, "targets"),
    };
    FlatnessCase::new(name, network, loss, inputs, targets)
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
pub(super) fn draw_prior_case(name: String, points: usize, rank: usize, diagonal: f64, streams: Streams) -> PriorCase {
    let streams = streams.child(&name, 0);
    let factor = normal_matrix(points, rank, streams, "factor");
    let matrix = factor.dot(&factor.t()) + Array2::<f64>::eye(points) * diagonal;
    let mut generator = streams.stream("labels", 0);
    PriorCase {
        name,
        gram: Gram::new(matrix).expect("a Gram matrix by construction"),
        labels: Labels::from_signs((0..points).map(|_| generator.random_range(0..2_u8) == 1)),
    }
}
