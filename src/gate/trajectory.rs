//! Trajectories of optimisers, step by step on given mini-batches.

use crate::data::Dataset;
use crate::gate::no_parameters::NoParameters;
use crate::model::{Activation, Architecture, Loss, Model, Network, Objective};
use crate::numeric::Streams;
use crate::train::{Batches, Optimizer, OptimizerSettings, Step, targets};
use ndarray::Array2;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// A certified trajectory: what an optimiser is asked to do, and where it ends.
#[derive(Debug)]
pub struct Course {
    /// Its name.
    pub name: String,
    /// The optimiser, with all its hyper-parameters.
    pub optimizer: Box<dyn Optimizer>,
    /// Preset that the hyper-parameters come from, where they are one.
    pub preset: Option<String>,
    /// Learning rate of every step.
    pub learning_rate: f64,
    /// The network as it stands at first.
    pub network: Network,
    /// The loss, of which each step takes the mean over its mini-batch.
    pub loss: Loss,
    /// Inputs, `n x features`.
    pub inputs: Array2<f64>,
    /// Targets for the loss.
    pub targets: Array2<f64>,
    /// Rows of a mini-batch; the k-th one that is asked for has rows `batch k, batch k + 1, ...`, modulo n.
    pub batch: usize,
    /// The mean loss of the (first) mini-batch of each step, before the step.
    pub losses: Vec<f64>,
    /// Parameters after the first step and after the last.
    pub after: [Vec<f64>; 2],
}

/// Steps after which parameters are certified.
pub const STEPS: [usize; 2] = [1, 50];

/// An optimiser under test.
pub trait TrajectoryMethod: Send + Sync {
    /// Registry name of the optimiser that it claims to be, whose courses it is asked for.
    fn id(&self) -> &'static str;

    /// Parameters after so many steps.
    ///
    /// # Errors
    /// [`NoParameters`].
    fn run(&self, course: &Course, steps: usize) -> Result<Vec<f64>, NoParameters>;
}

impl Course {
    /// Rows of the mini-batch that is asked for as number `index`, from 0.
    pub fn rows(&self, index: usize) -> Vec<usize> {
        (0..self.batch).map(|row| (self.batch * index + row) % self.inputs.nrows()).collect()
    }

    /// Parameters after `steps` steps, and the losses that the steps return.
    fn follow(&self, steps: usize, take_step: &mut TakeStep) -> (Vec<f64>, Vec<f64>) {
        let (inputs, shape) = (self.inputs.clone(), vec![self.inputs.ncols()]);
        let data = Dataset { name: self.name.clone(), shape, inputs, targets: self.targets.clone() };
        let mut batches = InOrder { course: self, data, next: 0 };
        let mut theta = self.network.theta.clone();
        let mut take = |number| {
            let step = Step { number, learning_rate: self.learning_rate, streams: Streams::new(0) };
            take_step(&step, &mut theta, &mut batches)
        };
        let losses = (0..steps as u64).map(&mut take).collect();
        (theta, losses)
    }

    /// The normal number that is drawn as number `index`, from 0, by optimisers with noise.
    pub fn noise(index: usize) -> f64 {
        ((7919 * index) % 1000) as f64 / 500.0 - 1.0
    }
}

#[derive(Deserialize)]
struct File {
    batch: usize,
    inputs: Vec<Vec<f64>>,
    targets: BTreeMap<String, Vec<Vec<f64>>>,
    cases: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    optimizer: OptimizerSettings,
    learning_rate: f64,
    loss: Loss,
    widths: Vec<usize>,
    initial: Vec<f64>,
    losses: Vec<f64>,
    after_1: Vec<f64>,
    after_50: Vec<f64>,
}

fn matrix(rows: &[Vec<f64>]) -> Array2<f64> {
    Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).expect("rows of one length")
}

/// The courses of `golden/train`.
pub(super) fn courses() -> &'static [Course] {
    static ALL: LazyLock<Vec<Course>> = LazyLock::new(|| {
        let files =
            [include_str!("../../golden/train/optimizers.json"), include_str!("../../golden/train/tensorflow_1.json")];
        let mut all = Vec::new();
        for text in files {
            let file: File = serde_json::from_str(text).expect("golden files are sound");
            for row in file.cases {
                let architecture = Architecture::fully_connected(&row.widths, Activation::Tanh, 1.0, 1.0);
                let model = Arc::new(Model::new(architecture).expect("golden files are sound"));
                let optimizer = row.optimizer.build().expect("golden files are sound").optimizer;
                all.push(Course {
                    name: row.name,
                    optimizer,
                    preset: row.optimizer.preset,
                    learning_rate: row.learning_rate,
                    network: Network::new(model, row.initial),
                    loss: row.loss,
                    inputs: matrix(&file.inputs),
                    targets: matrix(&file.targets[&row.loss.to_string()]),
                    batch: file.batch,
                    losses: row.losses,
                    after: [row.after_1, row.after_50],
                });
            }
        }
        all
    });
    &ALL
}

/// A step of an optimiser that keeps its own state: changes the parameters and returns the loss.
type TakeStep<'a> = dyn FnMut(&Step, &mut [f64], &mut dyn Batches) -> f64 + 'a;

/// The mini-batches of a course, through the objective and not through the trainer's sampler.
struct InOrder<'a> {
    course: &'a Course,
    data: Dataset,
    next: usize,
}

impl Batches for InOrder<'_> {
    fn advance(&mut self) {
        self.next += 1;
    }

    fn gradient(&mut self, theta: &[f64], gradient: &mut [f64]) -> f64 {
        let data = self.data.rows(&self.course.rows(self.next - 1));
        let network = &self.course.network;
        let labels = targets(self.course.loss, network.model.output_count(), &data).expect("targets that fit the loss");
        let objective =
            Objective::new(network, self.course.loss, data.inputs.view(), labels.view()).expect("parts that fit");
        let (loss, values) = objective.gradient(theta);
        gradient.copy_from_slice(&values);
        loss
    }
}

/// An optimiser of this crate as one under test.
pub(super) struct OfOptimizer<'a>(pub &'a dyn Optimizer);

impl TrajectoryMethod for OfOptimizer<'_> {
    fn id(&self) -> &'static str {
        self.0.id()
    }

    fn run(&self, course: &Course, steps: usize) -> Result<Vec<f64>, NoParameters> {
        if has_noise(&*course.optimizer) {
            let reason = "its noise comes from streams of its own; commands are given theirs number by number";
            return Err(NoParameters::NotApplicable(reason.to_owned()));
        }
        let configured = self.0.configured(course.optimizer.hyperparameters());
        let optimizer = configured.map_err(|error| NoParameters::NotApplicable(error.to_string()))?;
        let mut state = optimizer.start(course.network.theta.len());
        let (theta, _) =
            course.follow(steps, &mut |step, theta, batches| optimizer.step(step, &mut state, theta, batches));
        Ok(theta)
    }
}

/// Whether an optimiser draws random numbers.
pub(super) fn has_noise(optimizer: &dyn Optimizer) -> bool {
    optimizer.hyperparameters().get("noise").and_then(|noise| noise.as_f64()).is_some_and(|noise| noise > 0.0)
}

/// The registered optimisers whose steps depend on nothing but gradients.
pub(super) fn built_in() -> Vec<&'static dyn TrajectoryMethod> {
    static ALL: LazyLock<Vec<OfOptimizer<'static>>> = LazyLock::new(|| {
        let quiet = crate::train::registry().iter().filter(|optimizer| !has_noise(**optimizer));
        quiet.map(|optimizer| OfOptimizer(*optimizer)).collect()
    });
    ALL.iter().map(|optimizer| optimizer as &dyn TrajectoryMethod).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::tolerance::CERTIFIED_TRAJECTORY;
    use crate::train::{EntropySgd, registry};
    use approx::assert_relative_eq;

    /// Losses on the way, beside the parameters that the law compares; and Entropy-SGD, whose draws the law cannot give.
    #[test]
    fn trajectories_are_those_of_pytorch_keras_and_the_papers() {
        for course in courses() {
            let optimizer = &course.optimizer;
            let entropy: Option<EntropySgd> = has_noise(&**optimizer)
                .then(|| serde_json::from_value(optimizer.hyperparameters().into()).expect("its own hyper-parameters"));
            assert_eq!(course.losses.len(), STEPS[1]);
            for (steps, after) in STEPS.into_iter().zip(&course.after) {
                let mut state = optimizer.start(course.network.theta.len());
                let mut drawn = 0..;
                let mut draw = || Course::noise(drawn.next().unwrap());
                let (theta, losses) = course.follow(steps, &mut |step, theta, batches| match &entropy {
                    Some(rule) => rule.step_with_noise(step, &mut state, theta, batches, &mut draw),
                    None => optimizer.step(step, &mut state, theta, batches),
                });
                assert_relative_eq!(&losses[..], &course.losses[..steps], max_relative = CERTIFIED_TRAJECTORY);
                assert_relative_eq!(&theta[..], &after[..], max_relative = CERTIFIED_TRAJECTORY);
            }
        }
    }

    /// Another program vouches for every preset of every optimiser, as it is.
    #[test]
    fn every_preset_has_a_trajectory() {
        for optimizer in registry() {
            for (index, preset) in optimizer.presets().iter().enumerate() {
                let is_it = |name: &str| crate::id::names(name, preset.name);
                let own = preset.optimizer.hyperparameters();
                let vouched = courses().iter().any(|course| {
                    course.optimizer.id() == optimizer.id()
                        && course.optimizer.hyperparameters() == own
                        && course.preset.as_deref().map_or(index == 0, is_it)
                });
                assert!(vouched, "{}, {}", optimizer.id(), preset.name);
            }
        }
    }
}
