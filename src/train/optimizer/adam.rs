//! Adam.

use super::{
    Batches, HyperparameterError, Optimizer, Preset, State, Step, above_zero, fraction, from_map, to_map, vectorised,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Adam (Kingma and Ba 2015): running means `m` of `g` and `v` of `g^2`, corrected for their start at 0,
/// `m' = m / (1 - beta1^t)`, `v' = v / (1 - beta2^t)`, and `theta <- theta - rate m' / (sqrt(v') + epsilon)`
/// (their Algorithm 1, PyTorch).
///
/// With `epsilon_hat` the form before their section 2.1 (TensorFlow):
/// `theta <- theta - rate sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + epsilon)`. The two agree only if
/// `epsilon` is 0, and differ most in the first steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adam {
    /// What stays of the mean gradient in a step, in [0, 1).
    pub beta1: f64,
    /// What stays of the mean squared gradient in a step, in [0, 1).
    pub beta2: f64,
    /// Keeps steps finite where gradients vanish.
    pub epsilon: f64,
    /// Whether `epsilon` is added before the correction of `v`.
    pub epsilon_hat: bool,
}

impl Adam {
    /// PyTorch's.
    pub const DEFAULT: Self = Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, epsilon_hat: false };
}

impl Optimizer for Adam {
    fn id(&self) -> &'static str {
        "adam"
    }

    fn summary(&self) -> &'static str {
        "Adam: running means of gradient and squared gradient, corrected for their start"
    }

    fn source(&self) -> &'static str {
        "Kingma and Ba 2015"
    }

    fn presets(&self) -> Vec<Preset> {
        vec![
            Preset::new("pytorch", 1e-3, Self::DEFAULT),
            Preset::new("tensorflow", 1e-3, Self { epsilon: 1e-7, epsilon_hat: true, ..Self::DEFAULT }),
            Preset::new("tensorflow_1", 1e-3, Self { epsilon_hat: true, ..Self::DEFAULT }),
            // The fully connected networks of the paper were trained with `tensorflow_1`.
            Preset::new("paper_resnet", 0.01, Self::DEFAULT).formerly("paper"),
        ]
    }

    fn hyperparameters(&self) -> Map<String, Value> {
        to_map(self)
    }

    fn configured(&self, hyperparameters: Map<String, Value>) -> Result<Box<dyn Optimizer>, HyperparameterError> {
        let rule: Self = from_map(hyperparameters)?;
        fraction("beta1", rule.beta1)?;
        fraction("beta2", rule.beta2)?;
        above_zero("epsilon", rule.epsilon)?;
        Ok(Box::new(rule))
    }

    fn start(&self, parameters: usize) -> State {
        State::zeros(parameters, 2, 1)
    }

    fn step(&self, step: &Step, state: &mut State, theta: &mut [f64], batches: &mut dyn Batches) -> f64 {
        let [mean, square] = &mut state.kept[..] else { unreachable!("Adam keeps two vectors") };
        let gradient = &mut state.scratch[0];
        batches.advance();
        let loss = batches.gradient(theta, gradient);
        let t = (step.number + 1) as f64;
        let (mean_correction, root_correction) = (1.0 - self.beta1.powf(t), (1.0 - self.beta2.powf(t)).sqrt());
        let (rate, root_scale) = if self.epsilon_hat {
            (step.learning_rate * root_correction / mean_correction, 1.0)
        } else {
            (step.learning_rate / mean_correction, 1.0 / root_correction)
        };
        vectorised(|| {
            for (((theta, mean), square), gradient) in theta.iter_mut().zip(mean).zip(square).zip(gradient) {
                *mean = self.beta1 * *mean + (1.0 - self.beta1) * *gradient;
                *square = self.beta2 * *square + (1.0 - self.beta2) * *gradient * *gradient;
                *theta -= rate * *mean / (square.sqrt() * root_scale + self.epsilon);
            }
        });
        loss
    }
}
