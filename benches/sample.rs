//! Networks a second: FCN 7-40-40-1 on all 128 inputs, drawn and evaluated on one thread, and the whole job, with counting,
//! on all of them. The answer is checked first.
//!
//! The same beside PyTorch: `python3 benches/peers/run.py sampling`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flatgauge::data::load;
use flatgauge::function::{CountOptions, Counts, Function, Sampler, count};
use flatgauge::model::{Activation, Architecture};

fn blocks(criterion: &mut Criterion) {
    let architecture = Architecture::fully_connected(&[7, 40, 40, 1], Activation::Relu, 1.0, 0.0);
    let sampler = Sampler::new(architecture, load("boolean:7").unwrap().inputs().clone(), 1).unwrap();
    let (mut fast, mut plain) = (Counts::new(128), Counts::new(128));
    fast.add_all(&sampler.functions(0, 256).unwrap());
    for index in 0..256 {
        let logits = sampler.network(index).logits(sampler.inputs().view());
        plain.add(&Function::new(&logits.iter().map(|logit| *logit > 0.0).collect::<Vec<bool>>()), 1);
    }
    assert!(fast.ranked().eq(plain.ranked()));
    let mut group = criterion.benchmark_group("networks");
    group.throughput(Throughput::Elements(256));
    let mut block = 0;
    group.bench_function("7-40-40-1 on 128 inputs", |bencher| {
        bencher.iter(|| {
            block += 1;
            sampler.functions(block, 256).unwrap()
        });
    });
    group.throughput(Throughput::Elements(1 << 20));
    group.bench_function("7-40-40-1 on 128 inputs, counted, all threads", |bencher| {
        bencher.iter(|| count(&sampler, 1 << 20, &CountOptions::new(&sampler)).unwrap());
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = blocks
}
criterion_main!(benches);
