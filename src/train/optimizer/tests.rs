//! Optimisers and schedules against PyTorch, Keras and the papers' algorithms (`golden/train`).

use super::*;
use crate::data::Dataset;
use crate::model::{Activation, Architecture, Loss, Model, Network, Objective};
use crate::numeric::Streams;
use crate::numeric::tolerance::SUMMATION_AGREEMENT;
use crate::train::{Schedule, targets};
use approx::assert_relative_eq;
use ndarray::Array2;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// Relative agreement of parameters after fifty steps of an optimiser with those of another float64 program.
///
/// A step adds some tens of roundings, `1e-14`; over the fifty steps of the certified problems an error grows by
/// less than a thousandfold.
const CERTIFIED_TRAJECTORY: f64 = 1e-10;

#[derive(Deserialize)]
struct Golden {
    batch: usize,
    inputs: Vec<Vec<f64>>,
    targets: std::collections::BTreeMap<String, Vec<Vec<f64>>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
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

fn golden<T: DeserializeOwned>(name: &str) -> T {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/train").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn matrix(rows: &[Vec<f64>]) -> Array2<f64> {
    Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
}

/// Batches in the order of the rows, through the objective and not through the trainer's sampler.
struct InOrder<'a> {
    network: &'a Network,
    loss: Loss,
    data: &'a Dataset,
    size: usize,
    next: usize,
}

impl Batches for InOrder<'_> {
    fn advance(&mut self) {
        self.next += 1;
    }

    fn gradient(&mut self, theta: &[f64], gradient: &mut [f64]) -> f64 {
        let rows: Vec<_> = (0..self.size).map(|j| (self.size * (self.next - 1) + j) % self.data.len()).collect();
        let data = self.data.rows(&rows);
        let labels = targets(self.loss, self.network.model.output_count(), &data).unwrap();
        let objective = Objective::new(self.network, self.loss, data.inputs.view(), labels.view()).unwrap();
        let (loss, values) = objective.gradient(theta);
        gradient.copy_from_slice(&values);
        loss
    }
}

type TakeStep<'a> = dyn FnMut(&Step, &mut State, &mut [f64], &mut dyn Batches) -> f64 + 'a;

/// Runs a case; `take_step` replaces [`Optimizer::step`] where the noise must be given.
fn trajectory(golden: &Golden, case: &Case, take_step: &mut TakeStep, mut state: State) {
    let architecture = Architecture::fully_connected(&case.widths, Activation::Tanh, 1.0, 1.0);
    let network = Network::new(Arc::new(Model::new(architecture).unwrap()), case.initial.clone());
    let labels = &golden.targets[&case.loss.to_string()];
    let inputs = matrix(&golden.inputs);
    let data = Dataset { name: case.name.clone(), shape: vec![inputs.ncols()], inputs, targets: matrix(labels) };
    let mut batches = InOrder { network: &network, loss: case.loss, data: &data, size: golden.batch, next: 0 };
    let mut theta = case.initial.clone();
    for (number, expected) in case.losses.iter().enumerate() {
        let step = Step { number: number as u64, learning_rate: case.learning_rate, streams: Streams::new(0) };
        let loss = take_step(&step, &mut state, &mut theta, &mut batches);
        assert_relative_eq!(loss, expected, max_relative = CERTIFIED_TRAJECTORY);
        if number == 0 {
            assert_relative_eq!(&theta[..], &case.after_1[..], max_relative = CERTIFIED_TRAJECTORY);
        }
    }
    assert_relative_eq!(&theta[..], &case.after_50[..], max_relative = CERTIFIED_TRAJECTORY);
    assert_eq!(case.losses.len(), 50);
}

#[test]
fn trajectories_are_those_of_pytorch_keras_and_the_papers() {
    let golden = ["optimizers.json", "tensorflow_1.json"].map(golden::<Golden>);
    for (golden, case) in golden.iter().flat_map(|golden| golden.cases.iter().map(move |case| (golden, case))) {
        let optimizer = case.optimizer.build().unwrap().optimizer;
        let state = optimizer.start(case.initial.len());
        if optimizer.id() == "entropy_sgd" {
            let rule: EntropySgd = from_map(optimizer.hyperparameters()).unwrap();
            let mut drawn = 0_u64;
            let mut draw = move || {
                drawn += 1;
                ((7919 * (drawn - 1)) % 1000) as f64 / 500.0 - 1.0
            };
            let mut take_step = |step: &Step, state: &mut State, theta: &mut [f64], batches: &mut dyn Batches| {
                rule.step_with_noise(step, state, theta, batches, &mut draw)
            };
            trajectory(golden, case, &mut take_step, state);
        } else {
            let mut take_step = |step: &Step, state: &mut State, theta: &mut [f64], batches: &mut dyn Batches| {
                optimizer.step(step, state, theta, batches)
            };
            trajectory(golden, case, &mut take_step, state);
        }
    }
    // Another program vouches for every preset of every optimiser, as it is.
    let mut plain = golden.iter().flat_map(|golden| &golden.cases).map(|case| &case.optimizer).collect::<Vec<_>>();
    plain.retain(|optimizer| optimizer.hyperparameters.is_empty());
    for optimizer in registry() {
        for (index, preset) in optimizer.presets().iter().enumerate() {
            let (id, name) = (optimizer.id(), preset.name);
            let is_it = |known: &str| crate::id::names(known, name);
            let of_it = |case: &&&OptimizerSettings| crate::id::names(&case.id, id);
            let vouched = plain.iter().filter(of_it).any(|case| case.preset.as_deref().map_or(index == 0, is_it));
            assert!(vouched, "{id}, {name}");
        }
    }
}

#[test]
fn schedules_are_those_of_pytorch() {
    #[derive(Deserialize)]
    struct Schedules {
        cases: Vec<ScheduleCase>,
    }
    #[derive(Deserialize)]
    struct ScheduleCase {
        schedule: Vec<Schedule>,
        factors: Vec<f64>,
    }
    for case in golden::<Schedules>("schedules.json").cases {
        for (epoch, expected) in case.factors.iter().enumerate() {
            let factor: f64 = case.schedule.iter().map(|schedule| schedule.factor(epoch)).product();
            assert_relative_eq!(factor, expected, max_relative = SUMMATION_AGREEMENT);
        }
    }
    let cosine = Schedule::Cosine { epochs: 10, floor: 0.1 };
    assert_eq!((cosine.factor(10), cosine.factor(1000)), (0.1, 0.1));
}

#[test]
fn langevin_noise_has_the_stated_variance() {
    // No gradient, no pull, all weight on the last point: theta moves by langevin_steps normal draws of
    // variance langevin_rate noise^2 each.
    struct Flat;
    impl Batches for Flat {
        fn advance(&mut self) {}
        fn gradient(&mut self, _theta: &[f64], gradient: &mut [f64]) -> f64 {
            gradient.fill(0.0);
            0.0
        }
    }
    let rule =
        EntropySgd { langevin_steps: 5, langevin_rate: 0.3, noise: 2.0, scope: 0.0, scoping: 0.0, averaging: 1.0 };
    let n = 20_000;
    let move_with = |seed, number| {
        let (mut theta, mut state) = (vec![0.0; n], rule.start(n));
        let step = Step { number, learning_rate: 1.0, streams: Streams::new(seed) };
        rule.step(&step, &mut state, &mut theta, &mut Flat);
        theta
    };
    let theta = move_with(1, 0);
    // 20,000 squares: the mean square has relative standard error 0.01, the mean 0.0071 standard deviations. Six
    // standard errors: a false alarm in 10^9; a factor of sqrt 2 in the amplitude is 100 standard errors off.
    let variance = 5.0 * 0.3 * 4.0;
    let mean_square = theta.iter().map(|x| x * x).sum::<f64>() / n as f64;
    assert!((mean_square / variance - 1.0).abs() < 0.06, "{mean_square}");
    let mean = theta.iter().sum::<f64>() / n as f64;
    assert!(mean.abs() < 6.0 * (variance / n as f64).sqrt(), "{mean}");
    assert_eq!(theta, move_with(1, 0));
    assert_ne!(theta, move_with(2, 0));
    assert_ne!(theta, move_with(1, 1));
}

#[test]
fn presets_build_and_settings_out_of_range_do_not() {
    for optimizer in registry() {
        assert!(!optimizer.summary().is_empty() && !optimizer.source().is_empty());
        let mut rates = Vec::new();
        for preset in optimizer.presets() {
            let settings =
                OptimizerSettings { preset: Some(preset.name.to_owned()), ..OptimizerSettings::named(optimizer.id()) };
            let built = settings.build().unwrap();
            assert_eq!(built.optimizer.hyperparameters(), preset.optimizer.hyperparameters());
            // The presets' own values are in range, and building from them changes nothing.
            let again = optimizer.configured(built.optimizer.hyperparameters()).unwrap();
            assert_eq!(format!("{again:?}"), format!("{:?}", preset.optimizer));
            rates.push(built.learning_rate);
            for name in built.optimizer.hyperparameters().keys() {
                for value in [Value::from(-1.0), Value::from("high"), Value::Null] {
                    let mut wrong = settings.clone();
                    wrong.hyperparameters.insert(name.clone(), value);
                    let message = wrong.build().unwrap_err().to_string();
                    assert!(message.contains(optimizer.id()) && message.contains(name), "{message}");
                }
            }
        }
        assert_eq!(OptimizerSettings::named(optimizer.id()).build().unwrap().learning_rate, rates[0]);
        let mut unknown = OptimizerSettings::named(optimizer.id());
        unknown.hyperparameters.insert("speed".to_owned(), Value::from(1.0));
        assert!(unknown.build().unwrap_err().to_string().contains("speed"));
        unknown = OptimizerSettings { preset: Some("theirs".to_owned()), ..OptimizerSettings::named(optimizer.id()) };
        assert!(unknown.build().unwrap_err().to_string().contains("'theirs', expected one of"));
    }
}

#[test]
fn presets_hold_the_values_of_the_programs_they_are_named_after() {
    let rule = |id: &str, preset: &str| {
        let settings = OptimizerSettings { preset: Some(preset.to_owned()), ..OptimizerSettings::named(id) };
        let built = settings.build().unwrap();
        (built.learning_rate, Value::Object(built.optimizer.hyperparameters()))
    };
    // TensorFlow 1.15: `tf.train.AdamOptimizer()`, and `tf.train.AdagradOptimizer(0.01)`, whose rate has no default.
    let adam = |epsilon: f64, epsilon_hat: bool| serde_json::json!({"beta1": 0.9, "beta2": 0.999, "epsilon": epsilon, "epsilon_hat": epsilon_hat});
    assert_eq!(rule("adam", "tensorflow_1"), (1e-3, adam(1e-8, true)));
    let adagrad = serde_json::json!({"initial_accumulator": 0.1, "epsilon": 0.0, "epsilon_in_root": false});
    assert_eq!(rule("adagrad", "tensorflow_1"), (0.01, adagrad));
    // github.com/sofuncheung/ICML_2021 at ad075da, ResNet50/main.py.
    assert_eq!(rule("adam", "paper_resnet"), (0.01, adam(1e-8, false)));
    let momentum = serde_json::json!({"momentum": 0.9, "weight_decay": 5e-4});
    assert_eq!(rule("momentum", "paper_resnet"), (0.01, momentum));
    // github.com/Justin-Tan/entropy-sgd-tf at 55adbe6, optimizer.py, and model.py with config.py.
    let entropy = |steps: u32, rate: f64, scope: f64, scoping: f64| {
        serde_json::json!({"langevin_steps": steps, "langevin_rate": rate, "noise": 1e-4, "scope": scope,
            "scoping": scoping, "averaging": 0.75})
    };
    assert_eq!(rule("entropy_sgd", "tan"), (1e-3, entropy(5, 0.1, 1e-3, 0.0)));
    assert_eq!(rule("entropy_sgd", "tan_script"), (0.4, entropy(20, 0.12, 8e-3, 8e-4)));
    // Former names go on working, and no two presets of an optimiser answer to the same.
    for id in ["adam", "momentum"] {
        assert_eq!(rule(id, "paper"), rule(id, "paper_resnet"));
    }
    for optimizer in registry() {
        let presets = optimizer.presets();
        let mut names: Vec<&str> = presets.iter().flat_map(|p| [Some(p.name), p.former_name]).flatten().collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "{}: {names:?}", optimizer.id());
    }
}

#[test]
fn adagrad_divides_by_something() {
    let adagrad = |initial_accumulator: f64, epsilon: f64| {
        let rule = Adagrad { initial_accumulator, epsilon, epsilon_in_root: false };
        Adagrad::DEFAULT.configured(rule.hyperparameters())
    };
    assert!(adagrad(0.1, 0.0).is_ok() && adagrad(0.0, 1e-10).is_ok());
    let message = adagrad(0.0, 0.0).unwrap_err().to_string();
    assert!(message.contains("epsilon") && message.contains("initial_accumulator"), "{message}");
}
