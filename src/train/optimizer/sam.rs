//! Sharpness-aware minimisation.

use super::{
    Batches, HyperparameterError, Optimizer, Preset, State, Step, above_zero, fraction, from_map, to_map, vectorised,
};
use crate::numeric::linalg::norm;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// SAM (Foret et al. 2021, Algorithm 1): the gradient `g'` of the same mini-batch at
/// `theta + rho g / |g|` drives a step of gradient descent with momentum from `theta`:
/// `v <- momentum v + g'`, `theta <- theta - rate v`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sam {
    /// Radius of the neighbourhood whose worst loss is lowered.
    pub rho: f64,
    /// What stays of the velocity in a step, in [0, 1).
    pub momentum: f64,
}

impl Sam {
    /// The authors' values.
    pub const DEFAULT: Self = Self { rho: 0.05, momentum: 0.9 };
}

impl Optimizer for Sam {
    fn id(&self) -> &'static str {
        "sam"
    }

    fn summary(&self) -> &'static str {
        "sharpness-aware minimisation: the gradient at theta + rho g / |g| drives a step with momentum"
    }

    fn source(&self) -> &'static str {
        "Foret, Kleiner, Mobahi and Neyshabur 2021"
    }

    fn presets(&self) -> Vec<Preset> {
        vec![
            // The neighbourhood of the source with plain steps at the rate of `sgd`, to be compared with it.
            Preset::new("plain", 0.01, Self { momentum: 0.0, ..Self::DEFAULT }),
            Preset::new("foret", 0.1, Self::DEFAULT),
        ]
    }

    fn hyperparameters(&self) -> Map<String, Value> {
        to_map(self)
    }

    fn configured(&self, hyperparameters: Map<String, Value>) -> Result<Box<dyn Optimizer>, HyperparameterError> {
        let rule: Self = from_map(hyperparameters)?;
        above_zero("rho", rule.rho)?;
        fraction("momentum", rule.momentum)?;
        Ok(Box::new(rule))
    }

    fn start(&self, parameters: usize) -> State {
        State::zeros(parameters, 1, 2)
    }

    fn step(&self, step: &Step, state: &mut State, theta: &mut [f64], batches: &mut dyn Batches) -> f64 {
        let velocity = &mut state.kept[0];
        let [gradient, ascended] = &mut state.scratch[..] else { unreachable!("SAM works in two vectors") };
        batches.advance();
        let loss = batches.gradient(theta, gradient);
        let length = norm(gradient);
        // Where the gradient is zero there is no direction to ascend in, and its own place is the worst known.
        let scale = if length > 0.0 { self.rho / length } else { 0.0 };
        for ((ascended, theta), gradient) in ascended.iter_mut().zip(theta.iter()).zip(gradient.iter()) {
            *ascended = theta + scale * gradient;
        }
        batches.gradient(ascended, gradient);
        vectorised(|| {
            for ((theta, velocity), gradient) in theta.iter_mut().zip(velocity).zip(gradient) {
                *velocity = self.momentum * *velocity + *gradient;
                *theta -= step.learning_rate * *velocity;
            }
        });
        loss
    }
}
