//! Schedules against PyTorch (`golden/train`), and what optimisers promise beside their trajectories, which the gate holds.

use super::*;
use crate::numeric::Streams;
use crate::numeric::tolerance::SUMMATION_AGREEMENT;
use crate::train::Schedule;
use approx::assert_relative_eq;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn golden<T: DeserializeOwned>(name: &str) -> T {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/train").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
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
