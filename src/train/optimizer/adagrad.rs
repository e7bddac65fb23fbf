//! Adagrad.

use super::{
    Batches, HyperparameterError, Optimizer, Preset, State, Step, above_zero_or_equal, from_map, to_map, vectorised,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Adagrad (Duchi, Hazan and Singer 2011): `a <- a + g^2`, `theta <- theta - rate g / (sqrt(a) + epsilon)`,
/// or `g / sqrt(a + epsilon)` with `epsilon_in_root`. Without an `epsilon` (TensorFlow 1) `a` has to start above 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adagrad {
    /// The sum of squared gradients before the first step.
    pub initial_accumulator: f64,
    /// Keeps steps finite where gradients vanish.
    pub epsilon: f64,
    /// Whether `epsilon` is added before the root is taken.
    pub epsilon_in_root: bool,
}

impl Adagrad {
    /// PyTorch's.
    pub const DEFAULT: Self = Self { initial_accumulator: 0.0, epsilon: 1e-10, epsilon_in_root: false };
}

impl Optimizer for Adagrad {
    fn id(&self) -> &'static str {
        "adagrad"
    }

    fn summary(&self) -> &'static str {
        "Adagrad: a <- a + g^2, theta <- theta - rate g / (sqrt(a) + epsilon)"
    }

    fn source(&self) -> &'static str {
        "Duchi, Hazan and Singer 2011"
    }

    fn presets(&self) -> Vec<Preset> {
        vec![
            Preset::new("pytorch", 0.01, Self::DEFAULT),
            Preset::new("tensorflow", 1e-3, Self { initial_accumulator: 0.1, epsilon: 1e-7, epsilon_in_root: true }),
            Preset::new("tensorflow_1", 0.01, Self { initial_accumulator: 0.1, epsilon: 0.0, epsilon_in_root: false }),
        ]
    }

    fn hyperparameters(&self) -> Map<String, Value> {
        to_map(self)
    }

    fn configured(&self, hyperparameters: Map<String, Value>) -> Result<Box<dyn Optimizer>, HyperparameterError> {
        let rule: Self = from_map(hyperparameters)?;
        above_zero_or_equal("initial_accumulator", rule.initial_accumulator)?;
        above_zero_or_equal("epsilon", rule.epsilon)?;
        if rule.epsilon == 0.0 && rule.initial_accumulator == 0.0 {
            return Err(HyperparameterError::new("an epsilon or an initial_accumulator above 0, found 0 for both"));
        }
        Ok(Box::new(rule))
    }

    fn start(&self, parameters: usize) -> State {
        let mut state = State::zeros(parameters, 1, 1);
        state.kept[0].fill(self.initial_accumulator);
        state
    }

    fn step(&self, step: &Step, state: &mut State, theta: &mut [f64], batches: &mut dyn Batches) -> f64 {
        let (accumulator, gradient) = (&mut state.kept[0], &mut state.scratch[0]);
        batches.advance();
        let loss = batches.gradient(theta, gradient);
        let (inside, outside) = if self.epsilon_in_root { (self.epsilon, 0.0) } else { (0.0, self.epsilon) };
        vectorised(|| {
            for ((theta, accumulator), gradient) in theta.iter_mut().zip(accumulator).zip(gradient) {
                *accumulator += *gradient * *gradient;
                *theta -= step.learning_rate * *gradient / ((*accumulator + inside).sqrt() + outside);
            }
        });
        loss
    }
}
