//! Time of training on one thread: an epoch of each optimiser at 784-40-40-1 on 500 rows in mini-batches of 32, and
//! the digits to zero error. Each answer is checked first.
//!
//! The same epoch beside PyTorch: `python3 benches/peers/run.py epoch`.

use criterion::{Criterion, criterion_group, criterion_main};
use flatgauge::data::{Dataset, Recipe, load_source};
use flatgauge::model::{Activation, Architecture, Loss, Model, Network, Objective};
use flatgauge::numeric::Streams;
use flatgauge::numeric::tolerance::SUMMATION_AGREEMENT;
use flatgauge::train::{OptimizerSettings, Run, Settings, Trainer, registry};
use ndarray::Array2;
use rand::RngExt;
use std::sync::Arc;

const ROWS: usize = 500;
const FEATURES: usize = 784;

/// Inputs uniform in [0, 1), label 1 where the first half of the features has the larger sum.
fn images() -> Dataset {
    let mut generator = Streams::new(1).stream("bench inputs", 0);
    let inputs = Array2::from_shape_simple_fn((ROWS, FEATURES), || generator.random::<f64>());
    let targets = Array2::from_shape_fn((ROWS, 1), |(row, _)| {
        let (first, second) = inputs.row(row).split_at(ndarray::Axis(0), FEATURES / 2);
        f64::from(u8::from(first.sum() > second.sum()))
    });
    Dataset::new("bench", inputs, vec![FEATURES], targets).unwrap()
}

fn architecture(inputs: usize) -> Architecture {
    Architecture::fully_connected(&[inputs, 40, 40, 1], Activation::Relu, std::f64::consts::SQRT_2, 1.0)
}

fn epochs(criterion: &mut Criterion) {
    let data = images();
    let network = Network::sample(Arc::new(Model::new(architecture(FEATURES)).unwrap()), Streams::new(1));
    // One step of gradient descent on all rows is theta - rate g.
    let trainer = Trainer { batch_size: ROWS, learning_rate: Some(0.01), ..Trainer::default() };
    let mut run = Run::new(&trainer, network.clone(), &data, ROWS).unwrap();
    run.advance().unwrap();
    let objective = Objective::new(&network, Loss::Bce, data.inputs().view(), data.targets().view()).unwrap();
    let (_, gradient) = objective.gradient(network.theta());
    for ((after, before), gradient) in run.network().theta().iter().zip(network.theta()).zip(gradient) {
        assert!((after - (before - 0.01 * gradient)).abs() <= SUMMATION_AGREEMENT * (1.0 + before.abs()));
    }
    for optimizer in registry() {
        let trainer = Trainer { optimizer: OptimizerSettings::named(optimizer.id()), ..Trainer::default() };
        let mut run = Run::new(&trainer, network.clone(), &data, ROWS).unwrap();
        let before = run.last().loss;
        assert!(run.advance().unwrap().loss < before);
        criterion.bench_function(&format!("epoch/{}", optimizer.id()), |bencher| {
            bencher.iter(|| run.advance().unwrap());
        });
    }
}

fn digits(criterion: &mut Criterion) {
    let source = load_source("digits").unwrap();
    let mut settings = Settings::new(architecture(64), 1);
    settings.data = Recipe { train: 500, test: 500, ..settings.data };
    settings.trainer.learning_rate = Some(0.1);
    let (trained, summary, splits) = settings.run(&source, &mut |_| {}).unwrap();
    let signs = splits.clean_set().signs().unwrap();
    let logits = trained.network.logits(splits.training.inputs().view());
    assert!(logits.iter().zip(signs).all(|(logit, sign)| (*logit > 0.0) == sign));
    assert!(summary.test_accuracy.unwrap() > 0.9);
    criterion.bench_function("digits to zero error, 500 rows, rate 0.1", |bencher| {
        bencher.iter(|| settings.run(&source, &mut |_| {}).unwrap());
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = epochs, digits
}
criterion_main!(benches);
