//! RMSprop.

use super::{
    Batches, HyperparameterError, Optimizer, Preset, State, Step, above_zero, fraction, from_map, to_map, vectorised,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// RMSprop (Tieleman and Hinton 2012): `v <- decay v + (1 - decay) g^2`,
/// `theta <- theta - rate g / (sqrt(v) + epsilon)`, or `g / sqrt(v + epsilon)` with `epsilon_in_root`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RmsProp {
    /// What stays of the mean squared gradient in a step, in [0, 1).
    pub decay: f64,
    /// Keeps steps finite where gradients vanish.
    pub epsilon: f64,
    /// Whether `epsilon` is added before the root is taken.
    pub epsilon_in_root: bool,
}

impl RmsProp {
    /// TensorFlow's.
    pub const DEFAULT: Self = Self { decay: 0.9, epsilon: 1e-7, epsilon_in_root: true };
}

impl Optimizer for RmsProp {
    fn id(&self) -> &'static str {
        "rmsprop"
    }

    fn summary(&self) -> &'static str {
        "RMSprop: v <- decay v + (1 - decay) g^2, theta <- theta - rate g / sqrt(v)"
    }

    fn source(&self) -> &'static str {
        "Tieleman and Hinton 2012"
    }

    fn presets(&self) -> Vec<Preset> {
        vec![
            Preset::new("tensorflow", 1e-3, Self::DEFAULT),
            Preset::new("pytorch", 0.01, Self { decay: 0.99, epsilon: 1e-8, epsilon_in_root: false }),
        ]
    }

    fn hyperparameters(&self) -> Map<String, Value> {
        to_map(self)
    }

    fn configured(&self, hyperparameters: Map<String, Value>) -> Result<Box<dyn Optimizer>, HyperparameterError> {
        let rule: Self = from_map(hyperparameters)?;
        fraction("decay", rule.decay)?;
        above_zero("epsilon", rule.epsilon)?;
        Ok(Box::new(rule))
    }

    fn start(&self, parameters: usize) -> State {
        State::zeros(parameters, 1, 1)
    }

    fn step(&self, step: &Step, state: &mut State, theta: &mut [f64], batches: &mut dyn Batches) -> f64 {
        let (square, gradient) = (&mut state.kept[0], &mut state.scratch[0]);
        batches.advance();
        let loss = batches.gradient(theta, gradient);
        let (inside, outside) = if self.epsilon_in_root { (self.epsilon, 0.0) } else { (0.0, self.epsilon) };
        vectorised(|| {
            for ((theta, square), gradient) in theta.iter_mut().zip(square).zip(gradient) {
                *square = self.decay * *square + (1.0 - self.decay) * *gradient * *gradient;
                *theta -= step.learning_rate * *gradient / ((*square + inside).sqrt() + outside);
            }
        });
        loss
    }
}
