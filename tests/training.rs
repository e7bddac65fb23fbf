//! Networks trained on the embedded digits.

use flatgauge::data::{self, Dataset};
use flatgauge::model::{Activation, Architecture, LayerSpec, Loss, Model, Network};
use flatgauge::numeric::Streams;
use flatgauge::train::{Run, TrainError, Trainer};
use ndarray::{Axis, concatenate};
use std::sync::Arc;

fn digits(rows: usize) -> Dataset {
    data::load("digits").unwrap().split(rows, 0, Streams::new(1)).unwrap().train
}

fn network(seed: u64) -> Network {
    let architecture = Architecture::fully_connected(&[64, 40, 40, 1], Activation::Relu, std::f64::consts::SQRT_2, 1.0);
    Network::sample(Arc::new(Model::new(architecture).unwrap()), Streams::new(seed))
}

#[test]
fn the_papers_setting_reaches_zero_error_and_stops_there() {
    let data = digits(500);
    for seed in 0..3 {
        let mut heard = Vec::new();
        let trainer = Trainer { seed, ..Trainer::default() };
        let trained = trainer.run(network(seed), &data, &mut |epoch| heard.push(*epoch)).unwrap();
        let signs = data.signs().unwrap();
        let logits = trained.network.logits(data.inputs().view());
        assert!(logits.iter().zip(&signs).all(|(logit, sign)| (*logit > 0.0) == *sign));
        assert_eq!(heard, trained.history);
        let (last, before) = trained.history.split_last().unwrap();
        assert_eq!((last.accuracy, trained.zero_error_epoch), (1.0, Some(last.epoch)));
        assert!(before.iter().all(|epoch| epoch.accuracy < 1.0));
        assert!(trained.history.iter().enumerate().all(|(index, e)| e.epoch == index && e.step == 16 * index as u64));
    }
}

#[test]
fn the_same_seed_gives_the_same_bits_on_any_number_of_threads() {
    let data = digits(300);
    let run = |threads, seed| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let trainer = Trainer { seed, max_epochs: 20, learning_rate: Some(0.1), ..Trainer::default() };
        pool.install(|| trainer.run(network(0), &data, &mut |_| {}).unwrap().network.theta().to_vec())
    };
    let bits = |theta: Vec<f64>| theta.into_iter().map(f64::to_bits).collect::<Vec<_>>();
    let first = bits(run(1, 0));
    assert_eq!(first, bits(run(2, 0)));
    assert_eq!(first, bits(run(5, 0)));
    assert_ne!(first, bits(run(1, 1)));
}

#[test]
fn extra_epochs_follow_the_first_without_errors() {
    let trainer = Trainer { learning_rate: Some(0.1), extra_epochs: 7, ..Trainer::default() };
    let trained = trainer.run(network(0), &digits(100), &mut |_| {}).unwrap();
    assert_eq!(trained.last().epoch, trained.zero_error_epoch.unwrap() + 7);
}

#[test]
fn an_attack_set_is_learned_from_but_not_waited_for() {
    let front = digits(100);
    // Rows 100 and later say the opposite of the same images in front: they can never all be right.
    let inputs = Dataset::stacked_inputs(&[&front, &front]);
    let targets = concatenate![Axis(0), front.targets().view(), front.targets().mapv(|label| 1.0 - label)];
    let data = Dataset::new(front.name(), inputs, front.shape().to_vec(), targets).unwrap();
    let trainer = Trainer { max_epochs: 300, learning_rate: Some(0.1), ..Trainer::default() };
    let contradicted = trainer.run(network(0), &data, &mut |_| {}).unwrap();
    assert_eq!(contradicted.zero_error_epoch, None);
    assert_eq!(contradicted.last().epoch, 300);
    let alone = trainer.run(network(0), &data.rows(&(0..100).collect::<Vec<_>>()), &mut |_| {}).unwrap();
    assert!(alone.zero_error_epoch.is_some());
    let attacked = trainer.run_with_attack(network(0), &data, 1, &mut |_| {}).unwrap();
    assert!(attacked.zero_error_epoch.is_some());
}

#[test]
fn divergence_is_an_error_that_names_epoch_and_step() {
    let data = digits(100);
    let trainer = Trainer { learning_rate: Some(1e6), ..Trainer::default() };
    match trainer.run(network(0), &data, &mut |_| {}).unwrap_err() {
        TrainError::Diverged { epoch: 1, step, loss, limit } => {
            assert!((2..=4).contains(&step) && !(loss <= limit), "step {step}, loss {loss}, limit {limit}");
        }
        other => panic!("{other}"),
    }
    // Weights that overflow make the loss NaN, and a NaN is no number below a limit.
    let trainer = Trainer { learning_rate: Some(1e300), ..Trainer::default() };
    let error = trainer.run(network(0), &data, &mut |_| {}).unwrap_err();
    assert!(matches!(error, TrainError::Diverged { epoch: 1, step: 2, .. }), "{error}");
    assert!(error.to_string().contains("epoch 1, step 2"), "{error}");
}

#[test]
fn settings_out_of_range_are_refused() {
    let data = digits(20);
    let message = |trainer: Trainer| Run::new(&trainer, network(0), &data, 20).unwrap_err().to_string();
    let default = Trainer::default;
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let text = message(Trainer { learning_rate: Some(rate), ..default() });
        assert!(text.contains("learning_rate") && text.contains(&rate.to_string()), "{text}");
    }
    assert!(message(Trainer { batch_size: 0, ..default() }).contains("batch_size is 0"));
    assert!(message(Trainer { loss: Loss::Ce, ..default() }).contains("at least 2 outputs is needed for ce"));
    let mut unknown = default();
    unknown.optimizer.id = "newton".to_owned();
    assert!(message(unknown).contains("'newton', expected one of sgd"));
    let mut architecture = Architecture::fully_connected(&[64, 5, 1], Activation::Relu, 1.0, 1.0);
    architecture.layers.insert(1, LayerSpec::BatchNorm);
    let normed = Network::sample(Arc::new(Model::new(architecture).unwrap()), Streams::new(0));
    let one_left = Trainer { batch_size: 19, ..default() };
    let error = Run::new(&one_left, normed, &data, 20).unwrap_err().to_string();
    assert!(error.contains("19 for 20 rows") && error.contains("no mini-batch of one row"), "{error}");
    for clean in [0, 21] {
        let error = Run::new(&default(), network(0), &data, clean).unwrap_err().to_string();
        assert!(error.contains(&format!("is {clean}, expected 1 to 20")), "{error}");
    }
    let text = toml::to_string(&default()).unwrap();
    assert_eq!(toml::from_str::<Trainer>(&text).unwrap(), default());
    assert!(toml::from_str::<Trainer>("rate = 1.0").unwrap_err().to_string().contains("unknown field `rate`"));
}
