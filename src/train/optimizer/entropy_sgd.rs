//! Entropy-SGD: gradient descent on the local entropy of the loss.

use super::{
    Batches, HyperparameterError, Optimizer, Preset, State, Step, above_zero, above_zero_or_equal, from_map, to_map,
};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Entropy-SGD (Chaudhari et al. 2017, Algorithm 1). Each step runs `langevin_steps` steps of stochastic
/// gradient Langevin dynamics from `x' = mu = theta`, each on a new mini-batch,
///
/// ```text
/// x' <- x' - langevin_rate (g(x') - scope (theta - x')) + sqrt(langevin_rate) noise N(0, 1)
/// mu <- (1 - averaging) mu + averaging x'
/// ```
///
/// and then moves by `theta <- theta - rate (theta - mu)`. The gradient of the local entropy is
/// `scope (theta - mu)`; as in the authors' program the factor is part of the rate, which is 1 there.
/// Scoping: in step `t` (from 0) the scope is `scope (1 + scoping)^t`.
///
/// The presets `tan` and `tan_script` are the hyper-parameters of github.com/Justin-Tan/entropy-sgd-tf (at 55adbe6),
/// which the paper's authors name as their source of Entropy-SGD (which values they ran it with is not known), in the
/// algorithm above. Their script lowers its rate by 0.4 and then five times by 0.2, every four epochs of 390 steps; here
/// that is a [`Schedule`](crate::train::Schedule) of milestones. That program itself departs from the algorithm:
/// - `mu` is not reset to `theta` but kept from step to step, from 0, which leaves `(1 - averaging)^L` of the old one:
///   0.1% for `L = 5`;
/// - `mu` reads `x'` in no fixed order with the writing of it, by which it may lag by one Langevin step (it does when run
///   on one thread of TensorFlow 2.21's graphs);
/// - its script takes 20 Langevin steps but leaves `L` at the class' 5, so that `theta` itself is moved to `x'` every
///   five of them;
/// - each step draws one more mini-batch, whose gradient is not used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntropySgd {
    /// Langevin steps in a step, `L`.
    pub langevin_steps: u32,
    /// Step size of the Langevin dynamics, `eta'`.
    pub langevin_rate: f64,
    /// Thermal noise of the Langevin dynamics, `epsilon`.
    pub noise: f64,
    /// Strength of the pull to `theta` in the first step, `gamma_0`.
    pub scope: f64,
    /// Relative growth of the scope in a step, `gamma_1`.
    pub scoping: f64,
    /// Weight of the newest point in the running mean, `alpha`, in (0, 1].
    pub averaging: f64,
}

impl EntropySgd {
    /// The authors' values.
    pub const DEFAULT: Self =
        Self { langevin_steps: 20, langevin_rate: 0.1, noise: 1e-4, scope: 1e-4, scoping: 1e-3, averaging: 0.75 };

    /// The step with normal draws from `draw`, one a parameter and Langevin step, in that order.
    pub(crate) fn step_with_noise(
        &self,
        step: &Step,
        state: &mut State,
        theta: &mut [f64],
        batches: &mut dyn Batches,
        draw: &mut dyn FnMut() -> f64,
    ) -> f64 {
        let [point, mean, gradient] = &mut state.scratch[..] else {
            unreachable!("Entropy-SGD works in three vectors")
        };
        point.copy_from_slice(theta);
        mean.copy_from_slice(theta);
        let scope = self.scope * (1.0 + self.scoping).powf(step.number as f64);
        let amplitude = self.langevin_rate.sqrt() * self.noise;
        let mut first_loss = f64::NAN;
        for index in 0..self.langevin_steps {
            batches.advance();
            let loss = batches.gradient(point, gradient);
            if index == 0 {
                first_loss = loss;
            }
            for (((point, mean), gradient), theta) in
                point.iter_mut().zip(mean.iter_mut()).zip(gradient.iter()).zip(theta.iter())
            {
                let drift = gradient - scope * (theta - *point);
                *point += amplitude * draw() - self.langevin_rate * drift;
                *mean += self.averaging * (*point - *mean);
            }
        }
        for (theta, mean) in theta.iter_mut().zip(mean) {
            *theta -= step.learning_rate * (*theta - *mean);
        }
        first_loss
    }
}

impl Optimizer for EntropySgd {
    fn id(&self) -> &'static str {
        "entropy_sgd"
    }

    fn summary(&self) -> &'static str {
        "Entropy-SGD: moves to the mean of Langevin dynamics around theta, that is, up the local entropy"
    }

    fn source(&self) -> &'static str {
        "Chaudhari et al. 2017"
    }

    fn presets(&self) -> Vec<Preset> {
        // The authors' program differs from their text: its noise is sqrt 2 times as strong, and 0.75 is what
        // stays of the running mean, not the weight of the newest point.
        let program = Self { noise: std::f64::consts::SQRT_2 * 1e-4, averaging: 0.25, ..Self::DEFAULT };
        // `local_entropy_sgld` and `EntropySGD` of the program that the paper's authors point to: the defaults of its
        // classes, and what its own script passes for CIFAR-10 (rate and scope before its schedule has begun).
        let tan = Self { langevin_steps: 5, scope: 1e-3, scoping: 0.0, ..Self::DEFAULT };
        let tan_script = Self { langevin_rate: 0.12, scope: 8e-3, scoping: 8e-4, ..Self::DEFAULT };
        vec![
            Preset::new("chaudhari", 1.0, Self::DEFAULT),
            Preset::new("chaudhari_program", 1.0, program),
            Preset::new("tan", 1e-3, tan),
            Preset::new("tan_script", 0.4, tan_script),
        ]
    }

    fn hyperparameters(&self) -> Map<String, Value> {
        to_map(self)
    }

    fn configured(&self, hyperparameters: Map<String, Value>) -> Result<Box<dyn Optimizer>, HyperparameterError> {
        let rule: Self = from_map(hyperparameters)?;
        if rule.langevin_steps == 0 {
            return Err(HyperparameterError::new("langevin_steps of at least 1, found 0"));
        }
        above_zero("langevin_rate", rule.langevin_rate)?;
        above_zero_or_equal("noise", rule.noise)?;
        above_zero_or_equal("scope", rule.scope)?;
        above_zero_or_equal("scoping", rule.scoping)?;
        above_zero("averaging", rule.averaging)?;
        if rule.averaging > 1.0 {
            return Err(HyperparameterError::new(format!("averaging of at most 1, found {}", rule.averaging)));
        }
        Ok(Box::new(rule))
    }

    fn start(&self, parameters: usize) -> State {
        State::zeros(parameters, 0, 3)
    }

    fn step(&self, step: &Step, state: &mut State, theta: &mut [f64], batches: &mut dyn Batches) -> f64 {
        let mut generator = step.streams.stream("entropy-sgd noise", step.number);
        let mut draw = || StandardNormal.sample(&mut generator);
        self.step_with_noise(step, state, theta, batches, &mut draw)
    }
}
