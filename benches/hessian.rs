//! Time of the curvature hot paths on a fully connected network 784-40-40-1 with 500 samples.
//!
//! Every answer is checked before it is timed.

use criterion::{Criterion, criterion_group, criterion_main};
use flatgauge::flatness::{self, Options, Point};
use flatgauge::model::{Activation, Architecture, Loss, Model, Network, Objective};
use flatgauge::numeric::Streams;
use ndarray::{Array2, ArrayView2};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use std::hint::black_box;
use std::sync::Arc;

const SAMPLES: usize = 500;
const FEATURES: usize = 784;
const BLOCK: usize = 16;

struct Problem {
    network: Network,
    inputs: Array2<f64>,
    targets: Array2<f64>,
    directions: Array2<f64>,
}

fn problem() -> Problem {
    let streams = Streams::new(1);
    let architecture = Architecture::fully_connected(&[FEATURES, 40, 40, 1], Activation::Relu, 1.414, 1.0);
    let network = Network::sample(Arc::new(Model::new(architecture).unwrap()), streams);
    let mut generator = streams.stream("data", 0);
    let inputs = Array2::from_shape_simple_fn((SAMPLES, FEATURES), || generator.random::<f64>());
    let targets = Array2::from_shape_simple_fn((SAMPLES, 1), || f64::from(generator.random_range(0..2_u8)));
    let shape = (BLOCK, network.theta().len());
    let directions = Array2::from_shape_simple_fn(shape, || StandardNormal.sample(&mut generator));
    Problem { network, inputs, targets, directions }
}

impl Problem {
    fn objective(&self) -> Objective<'_> {
        Objective::new(&self.network, Loss::Bce, self.inputs.view(), self.targets.view()).unwrap()
    }
}

/// Products against a central difference of gradients, and the trace against the diagonal.
fn check(problem: &Problem) {
    let objective = problem.objective();
    let theta = problem.network.theta();
    let linearisation = objective.linearise(theta);
    let products = linearisation.hessian_products(problem.directions.view());
    // ReLU kinks spoil a difference over a wide step: 1e-7 leaves 1e-5 of the product to rounding.
    let step = 1e-7;
    for (direction, product) in problem.directions.outer_iter().zip(products.outer_iter()).take(2) {
        let moved = |sign: f64| {
            let theta: Vec<f64> = theta.iter().zip(direction).map(|(t, d)| t + sign * step * d).collect();
            objective.gradient(&theta).1
        };
        let (up, down) = (moved(1.0), moved(-1.0));
        let norm = product.dot(&product).sqrt();
        let error =
            up.iter().zip(&down).zip(product).map(|((u, d), p)| ((u - d) / (2.0 * step) - p).powi(2)).sum::<f64>();
        assert!(error.sqrt() < 1e-4 * norm, "a product is off by {:e} of its norm", error.sqrt() / norm);
    }
    let single = linearisation.hessian_products(problem.directions.slice(ndarray::s![3..4, ..]));
    let difference = &single.row(0) - &products.row(3);
    assert!(difference.dot(&difference).sqrt() < 1e-12 * products.row(3).dot(&products.row(3)).sqrt());
    let diagonal: f64 = linearisation.gauss_newton_diagonal().iter().sum();
    let trace: f64 = linearisation.gauss_newton_block_traces().iter().sum();
    assert!((trace / diagonal - 1.0).abs() < 1e-12, "{trace} {diagonal}");
}

fn curvature(criterion: &mut Criterion) {
    let problem = problem();
    check(&problem);
    let objective = problem.objective();
    let theta = problem.network.theta();
    let linearisation = objective.linearise(theta);
    let one: ArrayView2<f64> = problem.directions.slice(ndarray::s![..1, ..]);
    let point = Point::new(objective, theta);
    let eigenvalue = flatness::find("hessian_max_eigenvalue").unwrap();
    let options = Options::default();

    let name = |what: &str| format!("fcn 784-40-40-1, n=500/{what}");
    criterion.bench_function(&name("gradient"), |bencher| bencher.iter(|| objective.gradient(black_box(theta))));
    criterion.bench_function(&name("hessian product"), |bencher| {
        bencher.iter(|| linearisation.hessian_products(black_box(one)));
    });
    criterion.bench_function(&name("hessian products, block of 16"), |bencher| {
        bencher.iter(|| linearisation.hessian_products(black_box(problem.directions.view())));
    });
    criterion
        .bench_function(&name("exact trace"), |bencher| bencher.iter(|| linearisation.gauss_newton_block_traces()));
    criterion.bench_function(&name("linearise and exact trace"), |bencher| {
        bencher.iter(|| objective.linearise(black_box(theta)).gauss_newton_block_traces());
    });
    criterion.bench_function(&name("largest eigenvalue, Lanczos"), |bencher| {
        bencher.iter(|| eigenvalue.evaluate(&point, &options).unwrap());
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30);
    targets = curvature
}
criterion_main!(benches);
