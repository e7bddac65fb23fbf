//! Optimisers: the [`Optimizer`] trait, the registry, one file per optimiser.

mod adagrad;
mod adam;
mod entropy_sgd;
mod momentum;
mod nesterov;
mod rmsprop;
mod sam;
mod sgd;
#[cfg(test)]
mod tests;

pub use adagrad::Adagrad;
pub use adam::Adam;
pub use entropy_sgd::EntropySgd;
pub use momentum::Momentum;
pub use nesterov::Nesterov;
pub use rmsprop::RmsProp;
pub use sam::Sam;
pub use sgd::Sgd;

use crate::numeric::Streams;
use crate::train::TrainError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt::Debug;

/// Where an optimiser gets its gradients.
pub trait Batches {
    /// Moves on to the next mini-batch.
    fn advance(&mut self);

    /// Mean loss of the current mini-batch at `theta`; writes its gradient.
    fn gradient(&mut self, theta: &[f64], gradient: &mut [f64]) -> f64;
}

/// What a step may depend on besides parameters and gradients.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Steps taken before this one.
    pub number: u64,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Random streams; a draw is addressed by its name and the step's number.
    pub streams: Streams,
}

/// Vectors an optimiser works on, each as long as the parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// What it remembers from step to step; saved in checkpoints.
    pub kept: Vec<Vec<f64>>,
    /// Room to work in; its contents do not outlive a step.
    pub scratch: Vec<Vec<f64>>,
}

impl State {
    /// `kept` and `scratch` vectors of zeros.
    pub fn zeros(parameters: usize, kept: usize, scratch: usize) -> Self {
        Self { kept: vec![vec![0.0; parameters]; kept], scratch: vec![vec![0.0; parameters]; scratch] }
    }
}

/// Hyper-parameters as they stand in some source.
#[derive(Debug)]
pub struct Preset {
    /// Name of the preset, after the program whose values these are: `pytorch`, `tensorflow_1` (`tf.train`),
    /// `tensorflow` (Keras), `tan` (github.com/Justin-Tan/entropy-sgd-tf), `paper_resnet` (the program published with
    /// arXiv 2103.06219, for its ResNet-50), `paper` (the same for all its networks), a method's own authors, or
    /// `customary`.
    pub name: &'static str,
    /// A name that it had and still answers to.
    pub former_name: Option<&'static str>,
    /// Learning rate of the source.
    pub learning_rate: f64,
    /// The optimiser with the source's other hyper-parameters.
    pub optimizer: Box<dyn Optimizer>,
}

impl Preset {
    fn new(name: &'static str, learning_rate: f64, optimizer: impl Optimizer + 'static) -> Self {
        Self { name, former_name: None, learning_rate, optimizer: Box::new(optimizer) }
    }

    fn formerly(self, name: &'static str) -> Self {
        Self { former_name: Some(name), ..self }
    }

    fn is_called(&self, name: &str) -> bool {
        crate::id::names(name, self.name) || self.former_name == Some(name)
    }
}

/// An update rule with its hyper-parameters. The rule is a pure function of what it is given: all state
/// is in [`State`], all randomness in [`Step::streams`].
pub trait Optimizer: Send + Sync + Debug {
    /// Registry name.
    fn id(&self) -> &'static str;

    /// One line for lists and help: the update.
    fn summary(&self) -> &'static str;

    /// Where the method comes from (author, year).
    fn source(&self) -> &'static str;

    /// Known sets of hyper-parameters; the first is the default.
    fn presets(&self) -> Vec<Preset>;

    /// The hyper-parameters by name.
    fn hyperparameters(&self) -> Map<String, Value>;

    /// The same rule with the given hyper-parameters (all of them).
    ///
    /// # Errors
    /// What is wrong with them.
    fn configured(&self, hyperparameters: Map<String, Value>) -> Result<Box<dyn Optimizer>, String>;

    /// The state before the first step.
    fn start(&self, parameters: usize) -> State;

    /// One update of `theta`; returns the loss of the (first) mini-batch at the `theta` before.
    fn step(&self, step: &Step, state: &mut State, theta: &mut [f64], batches: &mut dyn Batches) -> f64;
}

/// All optimisers, in the order users see them. A new optimiser is a file and a line here.
pub fn registry() -> &'static [&'static dyn Optimizer] {
    &[
        &Sgd::DEFAULT,
        &Momentum::DEFAULT,
        &Nesterov::DEFAULT,
        &Adam::DEFAULT,
        &Adagrad::DEFAULT,
        &RmsProp::DEFAULT,
        &EntropySgd::DEFAULT,
        &Sam::DEFAULT,
    ]
}

/// An optimiser by name, with hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerSettings {
    /// Registry name.
    pub id: String,
    /// Preset the other values come from; the optimiser's first one by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Hyper-parameters that differ from the preset's.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub hyperparameters: Map<String, Value>,
}

impl OptimizerSettings {
    /// The optimiser called `id` with its default preset.
    pub fn named(id: &str) -> Self {
        Self { id: id.to_owned(), preset: None, hyperparameters: Map::new() }
    }

    /// The optimiser, and the learning rate of its preset.
    ///
    /// # Errors
    /// [`TrainError::Setting`]: an unknown optimiser, preset or hyper-parameter, or a value out of range.
    pub fn build(&self) -> Result<Preset, TrainError> {
        let fault = |name: &str, found: &str, expected: String| TrainError::Setting {
            name: name.to_owned(),
            found: format!("'{found}'"),
            expected,
        };
        let Some(rule) = registry().iter().find(|optimizer| crate::id::names(&self.id, optimizer.id())) else {
            let known: Vec<_> = registry().iter().map(|optimizer| optimizer.id()).collect();
            return Err(fault("optimizer", &self.id, format!("one of {}", known.join(", "))));
        };
        let mut presets = rule.presets();
        let names: Vec<_> = presets.iter().map(|preset| preset.name).collect();
        let index = match &self.preset {
            None => 0,
            Some(name) => presets.iter().position(|preset| preset.is_called(name)).ok_or_else(|| {
                fault(&format!("preset of {}", self.id), name, format!("one of {}", names.join(", ")))
            })?,
        };
        let mut preset = presets.swap_remove(index);
        if !self.hyperparameters.is_empty() {
            let mut all = preset.optimizer.hyperparameters();
            all.extend(self.hyperparameters.clone());
            preset.optimizer = rule.configured(all).map_err(|reason| TrainError::Setting {
                name: format!("hyperparameters of {}", self.id),
                found: Value::Object(self.hyperparameters.clone()).to_string(),
                expected: reason,
            })?;
        }
        Ok(preset)
    }
}

/// [`Optimizer::hyperparameters`] of a struct of numbers.
fn to_map(rule: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(rule) {
        Ok(Value::Object(map)) => map,
        other => unreachable!("hyper-parameters are a struct, found {other:?}"),
    }
}

/// [`Optimizer::configured`] of a struct of numbers.
fn from_map<T: DeserializeOwned>(map: Map<String, Value>) -> Result<T, String> {
    serde_json::from_value(Value::Object(map)).map_err(|error| error.to_string())
}

/// Runs a loop over parameters compiled for the widest vectors of the machine. Each parameter's arithmetic is the
/// same on every machine, so the bits do not depend on it.
fn vectorised<T>(update: impl FnOnce() -> T) -> T {
    pulp::Arch::new().dispatch(update)
}

/// Adds the gradient of `weight_decay / 2 |theta|^2`.
fn add_decay(gradient: &mut [f64], weight_decay: f64, theta: &[f64]) {
    if weight_decay > 0.0 {
        vectorised(|| {
            for (gradient, theta) in gradient.iter_mut().zip(theta) {
                *gradient += weight_decay * theta;
            }
        });
    }
}

fn above_zero(name: &str, value: f64) -> Result<(), String> {
    if value > 0.0 && value.is_finite() { Ok(()) } else { Err(format!("a finite {name} above 0, found {value}")) }
}

fn above_zero_or_equal(name: &str, value: f64) -> Result<(), String> {
    if value >= 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(format!("a finite {name} of at least 0, found {value}"))
    }
}

fn fraction(name: &str, value: f64) -> Result<(), String> {
    if (0.0..1.0).contains(&value) { Ok(()) } else { Err(format!("{name} in [0, 1), found {value}")) }
}
