//! Time of every method for log P(f) at its default effort: the first n handwritten digits, label: digit >= 5.
//!
//! Answers are checked first: unbiased methods against each other within their standard errors, the two schedules of
//! expectation propagation against each other. A method that refuses a problem is named, not timed. With `--test`
//! methods that sample run at n = 100 alone; in full, tilting and splitting take minutes at n = 1000.

use criterion::{Criterion, criterion_group, criterion_main};
use flatgauge::data::digits;
use flatgauge::kernel;
use flatgauge::model::{Activation, Architecture};
use flatgauge::numeric::Estimate;
use flatgauge::prior::{Exactness, Gram, Labels, Link, PriorOptions, registry};
use ndarray::s;
use std::collections::HashMap;
use std::time::{Duration, Instant};

const SIZES: [usize; 3] = [100, 500, 1000];

/// Combined standard errors allowed between two unbiased methods: a Gaussian leaves 6.5 with probability `8e-11`.
const SIGMAS: f64 = 6.5;

/// Two schedules that stop within `1e-10` of one fixed point.
const SAME: f64 = 1e-7;

fn methods(criterion: &mut Criterion) {
    let smallest_only = std::env::args().any(|argument| argument == "--test");
    let digits = digits();
    let architecture = Architecture::fully_connected(&[64, 40, 40, 1], Activation::Relu, 2.0_f64.sqrt(), 1.0);
    for n in SIZES {
        let inputs = digits.inputs().slice(s![..n, ..]).to_owned();
        let gram = Gram::new(kernel::nngp(&architecture, inputs.view()).unwrap()).unwrap();
        let labels = Labels::from_signs(digits.targets().iter().take(n).map(|&digit| digit >= 5.0));
        let mut seen: HashMap<(String, Link), Estimate> = HashMap::new();
        for method in registry() {
            let samples = method.exactness() == Exactness::Unbiased;
            if samples && smallest_only && n > SIZES[0] {
                continue;
            }
            for &link in method.links() {
                let options = PriorOptions { link, ..PriorOptions::default() };
                let run = || {
                    let started = Instant::now();
                    let answer = method.log_prob(&gram, &labels, &options);
                    (answer, started.elapsed())
                };
                let (answer, elapsed) = run();
                let estimate = match answer {
                    Ok(answer) => answer.estimate,
                    Err(reason) => {
                        println!("prior/{}-{link}/{n}: not timed: {reason}", method.id());
                        continue;
                    }
                };
                // Members of a group say the same number.
                let group = match method.id() {
                    id if id.starts_with("ep") && !samples => "ep",
                    _ if samples => "true",
                    id => id,
                };
                let first = seen.entry((group.to_owned(), link)).or_insert_with(|| estimate.clone());
                let noise = estimate.std_error.unwrap_or(0.0).hypot(first.std_error.unwrap_or(0.0));
                let apart = (estimate.value - first.value).abs();
                assert!(apart <= SAME + SIGMAS * noise, "{}-{link}: {estimate:?} and {first:?}", method.id());
                // The run that was checked is the first one timed.
                let mut checked = Some(elapsed);
                criterion.bench_function(&format!("prior/{}-{link}/{n}", method.id()), |bencher| {
                    bencher.iter_custom(|iterations| {
                        (0..iterations).map(|_| checked.take().unwrap_or_else(|| run().1)).sum()
                    });
                });
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(1))
        .measurement_time(Duration::from_secs(1));
    targets = methods
}
criterion_main!(benches);
