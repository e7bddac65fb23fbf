//! The [`Optimizer`] trait, and what its rules share.

use crate::numeric::Streams;
use crate::numeric::instructions::vectorised;
use serde::Serialize;
use serde::de::DeserializeOwned;
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
    pub(super) fn new(name: &'static str, learning_rate: f64, optimizer: impl Optimizer + 'static) -> Self {
        Self { name, former_name: None, learning_rate, optimizer: Box::new(optimizer) }
    }

    pub(super) fn formerly(self, name: &'static str) -> Self {
        Self { former_name: Some(name), ..self }
    }

    pub(super) fn is_called(&self, name: &str) -> bool {
        crate::id::names(name, self.name) || self.former_name == Some(name)
    }
}

/// Hyper-parameters that a rule does not have, or out of their range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub struct HyperparameterError {
    /// What was expected, and what was found.
    pub(super) expected: String,
}

impl HyperparameterError {
    /// What was expected, and what was found.
    pub fn new(expected: impl Into<String>) -> Self {
        Self { expected: expected.into() }
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
    /// [`HyperparameterError`]: what was expected of them.
    fn configured(&self, hyperparameters: Map<String, Value>) -> Result<Box<dyn Optimizer>, HyperparameterError>;

    /// The state before the first step.
    fn start(&self, parameters: usize) -> State;

    /// One update of `theta`; returns the loss of the (first) mini-batch at the `theta` before.
    fn step(&self, step: &Step, state: &mut State, theta: &mut [f64], batches: &mut dyn Batches) -> f64;
}

/// [`Optimizer::hyperparameters`] of a struct of numbers.
pub(super) fn to_map(rule: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(rule) {
        Ok(Value::Object(map)) => map,
        other => unreachable!("hyper-parameters are a struct, found {other:?}"),
    }
}

/// [`Optimizer::configured`] of a struct of numbers.
pub(super) fn from_map<T: DeserializeOwned>(map: Map<String, Value>) -> Result<T, HyperparameterError> {
    serde_json::from_value(Value::Object(map)).map_err(|error| HyperparameterError::new(error.to_string()))
}

/// Adds the gradient of `weight_decay / 2 |theta|^2`.
pub(super) fn add_decay(gradient: &mut [f64], weight_decay: f64, theta: &[f64]) {
    if weight_decay > 0.0 {
        vectorised(|| {
            for (gradient, theta) in gradient.iter_mut().zip(theta) {
                *gradient += weight_decay * theta;
            }
        });
    }
}

pub(super) fn above_zero(name: &str, value: f64) -> Result<(), HyperparameterError> {
    if value > 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(HyperparameterError::new(format!("a finite {name} above 0, found {value}")))
    }
}

pub(super) fn above_zero_or_equal(name: &str, value: f64) -> Result<(), HyperparameterError> {
    if value >= 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(HyperparameterError::new(format!("a finite {name} of at least 0, found {value}")))
    }
}

pub(super) fn fraction(name: &str, value: f64) -> Result<(), HyperparameterError> {
    if (0.0..1.0).contains(&value) {
        Ok(())
    } else {
        Err(HyperparameterError { expected: format!("{name} in [0, 1), found {value}") })
    }
}
