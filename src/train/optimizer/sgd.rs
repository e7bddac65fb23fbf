//! Stochastic gradient descent.

use super::{
    Batches, HyperparameterError, Optimizer, Preset, State, Step, above_zero_or_equal, add_decay, from_map, to_map,
    vectorised,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `theta <- theta - rate g` (Robbins and Monro 1951), with `g + weight_decay theta` in place of `g`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sgd {
    /// Factor of the parameters added to the gradient.
    pub weight_decay: f64,
}

impl Sgd {
    /// Without weight decay.
    pub const DEFAULT: Self = Self { weight_decay: 0.0 };
}

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
        vec![Preset::new("paper", 0.01, Self::DEFAULT)]
    }

    fn hyperparameters(&self) -> Map<String, Value> {
        to_map(self)
    }

    fn configured(&self, hyperparameters: Map<String, Value>) -> Result<Box<dyn Optimizer>, HyperparameterError> {
        let rule: Self = from_map(hyperparameters)?;
        above_zero_or_equal("weight_decay", rule.weight_decay)?;
        Ok(Box::new(rule))
    }

    fn start(&self, parameters: usize) -> State {
        State::zeros(parameters, 0, 1)
    }

    fn step(&self, step: &Step, state: &mut State, theta: &mut [f64], batches: &mut dyn Batches) -> f64 {
        let gradient = &mut state.scratch[0];
        batches.advance();
        let loss = batches.gradient(theta, gradient);
        add_decay(gradient, self.weight_decay, theta);
        vectorised(|| {
            for (theta, gradient) in theta.iter_mut().zip(gradient) {
                *theta -= step.learning_rate * *gradient;
            }
        });
        loss
    }
}
