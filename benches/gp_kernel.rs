//! Time of the analytic NNGP Gram matrix: fully connected, two hidden layers, on inputs of 784 features.
//!
//! The answer is checked first, on a few entries, against the arc-cosine recursion in plain scalars.

use criterion::{Criterion, criterion_group, criterion_main};
use flatgauge::kernel;
use flatgauge::model::{Activation, Architecture};
use flatgauge::numeric::Streams;
use ndarray::{Array2, ArrayView1};
use rand::RngExt;
use std::f64::consts::PI;

const FEATURES: usize = 784;
const WEIGHT_VARIANCE: f64 = 2.0;
const BIAS_VARIANCE: f64 = 1.0;

fn inputs(n: usize) -> Array2<f64> {
    let mut generator = Streams::new(1).stream("bench inputs", n as u64);
    Array2::from_shape_simple_fn((n, FEATURES), || generator.random::<f64>())
}

/// Two hidden layers by the formula of Cho and Saul (2009).
fn entry(x: ArrayView1<f64>, y: ArrayView1<f64>) -> f64 {
    let affine = |c: f64| WEIGHT_VARIANCE * c + BIAS_VARIANCE;
    let mean = |a: ArrayView1<f64>, b: ArrayView1<f64>| a.dot(&b) / FEATURES as f64;
    let (mut p, mut q, mut c) = (affine(mean(x, x)), affine(mean(y, y)), affine(mean(x, y)));
    for _ in 0..2 {
        let theta = (c / (p * q).sqrt()).clamp(-1.0, 1.0).acos();
        c = affine((p * q).sqrt() / (2.0 * PI) * (theta.sin() + (PI - theta) * theta.cos()));
        p = affine(p / 2.0);
        q = affine(q / 2.0);
    }
    c
}

fn fully_connected(criterion: &mut Criterion) {
    let architecture = Architecture::fully_connected(
        &[FEATURES, 40, 40, 1],
        Activation::Relu,
        WEIGHT_VARIANCE.sqrt(),
        BIAS_VARIANCE.sqrt(),
    );
    for n in [500, 1000] {
        let x = inputs(n);
        let gram = kernel::nngp(&architecture, x.view()).unwrap();
        for (i, j) in [(0, 1), (n / 2, 3), (n - 1, n / 3), (7, n - 1)] {
            let expected = entry(x.row(i), x.row(j));
            assert!((gram[[i, j]] / expected - 1.0).abs() < 1e-12, "entry ({i}, {j}): {} {expected}", gram[[i, j]]);
        }
        criterion.bench_function(&format!("nngp/fcn depth 2, n={n}, d={FEATURES}"), |bencher| {
            bencher.iter(|| kernel::nngp(&architecture, x.view()).unwrap());
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = fully_connected
}
criterion_main!(benches);
