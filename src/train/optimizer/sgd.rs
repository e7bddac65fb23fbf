//! Stochastic gradient descent.

use super::{Batches, Optimizer, Preset, State, Step, from_map, to_map};
use crate::numeric::linalg::add_scaled;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `theta <- theta - rate g` (Robbins and Monro 1951).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sgd {}

impl Optimizer for Sgd {
    fn id(&self) -> &'static str {
        "sgd"
    }

    fn summary(&self) -> &'static str {
        "stochastic gradient descent: theta <- theta - rate g"
    }

    fn source(&self) -> &'static str {
        "Robbins and Monro 1951"
    }

    fn presets(&self) -> Vec<Preset> {
        vec![Preset { name: "paper", learning_rate: 0.01, optimizer: Box::new(*self) }]
    }

    fn hyperparameters(&self) -> Map<String, Value> {
        to_map(self)
    }

    fn configured(&self, hyperparameters: Map<String, Value>) -> Result<Box<dyn Optimizer>, String> {
        Ok(Box::new(from_map::<Self>(hyperparameters)?))
    }

    fn start(&self, parameters: usize) -> State {
        State::zeros(parameters, 0, 1)
    }

    fn step(&self, step: &Step, state: &mut State, theta: &mut [f64], batches: &mut dyn Batches) -> f64 {
        let gradient = &mut state.scratch[0];
        batches.advance();
        let loss = batches.gradient(theta, gradient);
        add_scaled(theta, -step.learning_rate, gradient);
        loss
    }
}
