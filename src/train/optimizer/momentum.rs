//! Stochastic gradient descent with momentum (heavy ball).

use super::{
    Batches, HyperparameterError, Optimizer, Preset, State, Step, above_zero_or_equal, add_decay, fraction, from_map,
    to_map, vectorised,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `v <- momentum v + g`, `theta <- theta - rate v` (Polyak 1964, as PyTorch writes it), with
/// `g + weight_decay theta` in place of `g`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Momentum {
    /// What stays of the velocity in a step, in [0, 1).
    pub momentum: f64,
    /// Factor of the parameters added to the gradient.
    pub weight_decay: f64,
}

impl Momentum {
    /// The customary momentum, without weight decay.
    pub const DEFAULT: Self = Self { momentum: 0.9, weight_decay: 0.0 };
}

impl Optimizer for Momentum {
    fn id(&self) -> &'static str {
        "momentum"
    }

    fn summary(&self) -> &'static str {
        "heavy ball: v <- momentum v + g, theta <- theta - rate v"
    }

    fn source(&self) -> &'static str {
        "Polyak 1964"
    }

    fn presets(&self) -> Vec<Preset> {
        vec![
            // Also what the fully connected networks of the paper were trained with (TensorFlow 1).
            Preset::new("customary", 0.01, Self::DEFAULT),
            Preset::new("paper_resnet", 0.01, Self { momentum: 0.9, weight_decay: 5e-4 }).formerly("paper"),
        ]
    }

    fn hyperparameters(&self) -> Map<String, Value> {
        to_map(self)
    }

    fn configured(&self, hyperparameters: Map<String, Value>) -> Result<Box<dyn Optimizer>, HyperparameterError> {
        let rule: Self = from_map(hyperparameters)?;
        fraction("momentum", rule.momentum)?;
        above_zero_or_equal("weight_decay", rule.weight_decay)?;
        Ok(Box::new(rule))
    }

    fn start(&self, parameters: usize) -> State {
        State::zeros(parameters, 1, 1)
    }

    fn step(&self, step: &Step, state: &mut State, theta: &mut [f64], batches: &mut dyn Batches) -> f64 {
        let (velocity, gradient) = (&mut state.kept[0], &mut state.scratch[0]);
        batches.advance();
        let loss = batches.gradient(theta, gradient);
        add_decay(gradient, self.weight_decay, theta);
        vectorised(|| {
            for ((theta, velocity), gradient) in theta.iter_mut().zip(velocity).zip(gradient) {
                *velocity = self.momentum * *velocity + *gradient;
                *theta -= step.learning_rate * *velocity;
            }
        });
        loss
    }
}
