//! What the gate sees of right and broken estimators: the power that it states, and no alarm where there is no fault.
//!
//! Every estimator here is made from a right one by one fault. Verdicts rest on fixed seeds; the rates behind them are
//! those of `gate::sequential` and `gate::honesty`, below 1e-6 a run for a right estimator.

mod common;

use common::tier::by_tier;
use flatgauge::flatness::{self, FlatnessError, Measure, Options, Point, measure_fn};
use flatgauge::gate::{self, Context, Gate, Outcome, Report, Tier, Verdict};
use flatgauge::kernel::{self, KernelOptions, Kind, kernel_fn};
use flatgauge::numeric::{Estimate, Info, Streams};
use flatgauge::prior::{self, Exactness, Link, LogProb, LogProbMethod, PriorOptions, method_fn};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use std::sync::atomic::{AtomicU64, Ordering};

/// Hutchinson's estimate of the trace with Rademacher probes.
fn hutchinson(point: &Point, seed: u64, probes: usize) -> Estimate {
    let mut generator = Streams::new(seed).stream("probes", 0);
    let shape = (probes, point.theta().len());
    let signs =
        ndarray::Array2::from_shape_simple_fn(shape, || if generator.random_range(0..2) == 0 { 1.0 } else { -1.0 });
    let products = point.linearisation.hessian_products(signs.view());
    let answers: Vec<f64> = (&signs * &products).sum_axis(ndarray::Axis(1)).to_vec();
    let count = probes as f64;
    let mean = answers.iter().sum::<f64>() / count;
    // In units of the largest, so that squares neither overflow nor vanish.
    let unit = answers.iter().fold(f64::MIN_POSITIVE, |top: f64, answer| top.max(answer.abs()));
    let variance = answers.iter().map(|answer| ((answer - mean) / unit).powi(2)).sum::<f64>() / (count - 1.0);
    Estimate::stochastic(mean, unit * (variance / count).sqrt(), Info::new())
}

/// A fault of an estimate with a standard error, as a map of value and error.
#[derive(Clone, Copy)]
enum Fault {
    None,
    Factor(f64),
    Bias(f64),
    StatedTimes(f64),
    SeedIgnored,
    ClockAsSeed,
}

/// Seeds of the gate that each estimator is held to: `FLATGAUGE_SEEDS`, or few.
fn seeds() -> u64 {
    let given = std::env::var("FLATGAUGE_SEEDS");
    given.map_or_else(|_| by_tier(1, 3), |text| text.parse().expect("FLATGAUGE_SEEDS is a count"))
}

static CLOCK: AtomicU64 = AtomicU64::new(0);

impl Fault {
    fn seed(self, seed: u64) -> u64 {
        match self {
            Self::SeedIgnored => 0,
            Self::ClockAsSeed => CLOCK.fetch_add(1, Ordering::Relaxed) + 1_000_000,
            _ => seed,
        }
    }

    fn of(self, mut estimate: Estimate) -> Estimate {
        let error = estimate.std_error.unwrap_or(0.0);
        match self {
            Self::Factor(factor) => {
                estimate.value *= factor;
                estimate.std_error = Some(factor.abs() * error);
            }
            Self::Bias(errors) => estimate.value += errors * error,
            Self::StatedTimes(factor) => estimate.std_error = Some(factor * error),
            Self::None | Self::SeedIgnored | Self::ClockAsSeed => {}
        }
        estimate
    }
}

fn failing_laws(report: &Report) -> Vec<String> {
    let mut laws: Vec<String> = report
        .laws
        .iter()
        .filter(|outcome| outcome.verdict == Verdict::Fail)
        .map(|outcome| outcome.law.clone())
        .collect();
    laws.dedup();
    laws
}

/// Runs of the gate at some seeds that fail, and the laws that failed in any.
fn trace_fails(tier: Tier, seeds: u64, fault: Fault, noise: f64) -> (u64, Vec<String>) {
    let mine = measure_fn("hessian_trace", move |point: &Point, options: &Options| {
        let seed = fault.seed(options.seed);
        let mut estimate = hutchinson(point, seed, 64);
        if noise > 0.0 {
            // Unbiased noise on top, from 64 replicates of its own.
            let mut generator = Streams::new(seed).stream("noise", 0);
            let draws: Vec<f64> = (0..64)
                .map(|_| {
                    let factor: f64 = StandardNormal.sample(&mut generator);
                    estimate.value * noise * factor
                })
                .collect();
            let mean = draws.iter().sum::<f64>() / 64.0;
            let unit = draws.iter().fold(f64::MIN_POSITIVE, |top: f64, draw| top.max(draw.abs()));
            let variance = draws.iter().map(|draw| ((draw - mean) / unit).powi(2)).sum::<f64>() / 63.0;
            let error = estimate.std_error.unwrap().hypot(unit * (variance / 64.0).sqrt());
            estimate = Estimate::stochastic(estimate.value + mean, error, Info::new());
        }
        Ok(fault.of(estimate))
    });
    let reports: Vec<Report> = (0..seeds).map(|seed| Gate::new(tier).seed(seed).measure(&mine).report()).collect();
    let laws = reports.iter().flat_map(failing_laws).collect();
    (reports.iter().filter(|report| report.verdict == Verdict::Fail).count() as u64, laws)
}

#[test]
fn a_right_stochastic_measure_raises_no_alarm_however_noisy() {
    for &noise in by_tier(&[3.0][..], &[0.0, 1.0, 3.0, 10.0]) {
        let (fails, laws) = trace_fails(Tier::Quick, seeds(), Fault::None, noise);
        assert_eq!(fails, 0, "noise {noise}: {laws:?}");
    }
}

#[test]
fn faults_of_a_stochastic_measure_are_caught_at_every_seed_of_the_quick_tier() {
    for (what, fault) in [
        ("factor 2", Fault::Factor(2.0)),
        ("wrong sign", Fault::Factor(-1.0)),
        ("seed ignored", Fault::SeedIgnored),
        ("clock as seed", Fault::ClockAsSeed),
        ("standard error / 3", Fault::StatedTimes(1.0 / 3.0)),
        ("standard error / 10", Fault::StatedTimes(0.1)),
        ("standard error x 4", Fault::StatedTimes(4.0)),
        ("bias of 3 standard errors", Fault::Bias(3.0)),
        ("bias of -3 standard errors", Fault::Bias(-3.0)),
        ("bias of 8 standard errors", Fault::Bias(8.0)),
        ("bias of -8 standard errors", Fault::Bias(-8.0)),
    ] {
        let (fails, laws) = trace_fails(Tier::Quick, seeds(), fault, 0.0);
        assert_eq!(fails, seeds(), "{what}: {laws:?}");
    }
}

#[test]
fn small_faults_are_caught_at_the_full_tier() {
    for (what, fault) in [
        ("standard error / sqrt 2", Fault::StatedTimes(f64::sqrt(0.5))),
        ("bias of half a standard error", Fault::Bias(0.5)),
        ("bias of minus half a standard error", Fault::Bias(-0.5)),
        ("standard error x 3", Fault::StatedTimes(3.0)),
    ] {
        let (fails, laws) = trace_fails(Tier::Full, 1, fault, 0.0);
        assert_eq!(fails, 1, "{what}: {laws:?}");
        assert!(laws.iter().any(|law| law == "estimate.honesty"), "{what}: {laws:?}");
    }
    let (fails, laws) = trace_fails(Tier::Full, 1, Fault::None, 0.0);
    assert_eq!(fails, 0, "{laws:?}");
}

#[test]
fn a_scale_of_the_loss_that_is_dropped_is_caught() {
    let mine = measure_fn("hessian_trace", |point: &Point, options: &Options| {
        let mut estimate = flatness::find("hessian_trace").unwrap().evaluate(point, options)?;
        estimate.value /= point.objective().scale();
        Ok(estimate)
    });
    assert_eq!(failing_laws(&Gate::quick().measure(&mine).report()), ["curvature.loss_scale"]);
}

#[test]
fn the_largest_size_in_place_of_the_largest_eigenvalue_is_caught_at_every_seed() {
    let mine = measure_fn("hessian_max_eigenvalue", |point: &Point, options: &Options| {
        flatness::find("hessian_spectral_norm").unwrap().evaluate(point, options)
    });
    for seed in 0..seeds() {
        let report = Gate::quick().seed(seed).measure(&mine).report();
        assert_eq!(report.verdict, Verdict::Fail, "seed {seed}");
    }
}

/// A method made from the built-in `genz`.
fn log_prob_report(seed: u64, fault: Fault) -> Report {
    let mine = method_fn("mine", Exactness::Unbiased, &[Link::Step, Link::Probit], move |gram, labels, options| {
        let options = PriorOptions { seed: fault.seed(options.seed), ..options.clone() };
        let answer = prior::find("genz").unwrap().log_prob(gram, labels, &options)?;
        let estimate = match answer.estimate.std_error {
            Some(_) if answer.estimate.value.is_finite() => fault.of(answer.estimate),
            _ => answer.estimate,
        };
        Ok(LogProb { estimate, ..answer })
    });
    Gate::quick().seed(seed).prior(&mine).report()
}

#[test]
fn faults_of_a_method_of_log_prob_are_caught() {
    assert_eq!(failing_laws(&log_prob_report(1, Fault::None)), [""; 0]);
    let faults = [
        ("standard error / 3", Fault::StatedTimes(1.0 / 3.0)),
        ("bias of 3", Fault::Bias(3.0)),
        ("seed ignored", Fault::SeedIgnored),
        ("factor 2", Fault::Factor(2.0)),
        ("clock as seed", Fault::ClockAsSeed),
        ("bias of -3", Fault::Bias(-3.0)),
    ];
    for &(what, fault) in &faults[..by_tier(3, 6)] {
        let report = log_prob_report(1, fault);
        assert_eq!(report.verdict, Verdict::Fail, "{what}");
    }
}

#[test]
fn promises_of_methods_are_held() {
    let exact = || prior::find("exact").unwrap();
    let ep = || prior::find("ep").unwrap();
    let verdict = |method: &dyn LogProbMethod| Gate::quick().prior(method).report();
    // A bound below the value.
    let lying = method_fn("mine", Exactness::Unbiased, &[Link::Step], |gram, labels, options| {
        let answer = prior::find("genz").unwrap().log_prob(gram, labels, options)?;
        Ok(LogProb { upper_bound: Some(answer.estimate.value - 1.0), ..answer })
    });
    assert!(failing_laws(&verdict(&lying)).contains(&"prior.scale".to_owned()));
    // Exact, and not sure.
    let unsure = method_fn("mine", Exactness::Exact, &[Link::Step], move |gram, labels, options| {
        let answer = exact().log_prob(gram, labels, options)?;
        let estimate = Estimate::stochastic(answer.estimate.value, 1e-3, Info::new());
        Ok(LogProb { estimate, ..answer })
    });
    assert_eq!(verdict(&unsure).verdict, Verdict::Fail);
    // Approximations of a name of their own: nothing vouched for, too much, and what is true.
    let twice = method_fn("mine", Exactness::Approximate, &[Link::Step], move |gram, labels, options| {
        let mut answer = ep().log_prob(gram, labels, options)?;
        answer.estimate.value *= 2.0;
        Ok(answer)
    });
    assert_eq!(failing_laws(&verdict(&twice)), ["certified.prior"]);
    assert_eq!(failing_laws(&verdict(&twice.vouching(3.0))), ["certified.prior"]);
    let once = method_fn("mine", Exactness::Approximate, &[Link::Step], move |gram, labels, options| {
        ep().log_prob(gram, labels, options)
    });
    assert_eq!(failing_laws(&verdict(&once)), ["certified.prior"]);
    assert_eq!(failing_laws(&verdict(&once.vouching(3.0))), [""; 0]);
    // Declining what is hard.
    let shy = method_fn("mine", Exactness::Unbiased, &[Link::Step], |gram, labels, options| {
        if gram.point_count() > 8 {
            let reason = "more than 8 points".to_owned();
            return Err(prior::PriorError::NotApplicable { method: "mine", reason });
        }
        prior::find("genz").unwrap().log_prob(gram, labels, options)
    });
    let report = verdict(&shy);
    assert_eq!(failing_laws(&report), ["certified.prior"]);
    // Declared in advance it is no failure, and once it is none any more the declaration is.
    let excused = Gate::quick().prior(&shy).known("certified.prior/*", "small matrices only").report();
    assert_eq!(failing_laws(&excused), [""; 0]);
    let stale = Gate::quick().prior(&shy).known("estimate.seed/*", "long ago").known("certified.prior/*", "small");
    assert_eq!(failing_laws(&stale.report()), ["gate.known"]);
}

#[test]
fn faults_of_an_averaged_kernel_are_caught() {
    let report = |seed: u64, fault: Fault, bias_factor: f64| {
        let mine = kernel_fn("mine", &[Kind::Nngp], move |architecture, inputs, options: &KernelOptions| {
            let mut architecture = architecture.clone();
            architecture.bias_std *= bias_factor;
            let options = KernelOptions { seed: fault.seed(options.seed), ..*options };
            let mut result = kernel::find("empirical").unwrap().gram(&architecture, inputs, &options)?;
            let errors = result.std_error.clone().unwrap();
            match fault {
                Fault::Factor(factor) => {
                    result.matrix *= factor;
                    result.std_error = Some(factor * &errors);
                }
                Fault::Bias(shift) => result.matrix = &result.matrix + &(shift * &errors),
                Fault::StatedTimes(factor) => result.std_error = Some(factor * &errors),
                _ => {}
            }
            Ok(result)
        });
        Gate::quick().seed(seed).kernel(&mine).report()
    };
    for seed in 0..seeds() {
        let right = report(seed, Fault::None, 1.0);
        assert_eq!(failing_laws(&right), [""; 0], "seed {seed}");
    }
    let faults = [
        ("10% too large", Fault::Factor(1.1), 1.0),
        ("standard error / 3", Fault::StatedTimes(1.0 / 3.0), 1.0),
        ("seed ignored", Fault::SeedIgnored, 1.0),
        ("bias of 3", Fault::Bias(3.0), 1.0),
        ("no biases", Fault::None, 0.0),
    ];
    for &(what, fault, bias_factor) in &faults[..by_tier(3, 5)] {
        assert_eq!(report(0, fault, bias_factor).verdict, Verdict::Fail, "{what}");
    }
}

/// An answer from the seed and the value of another case.
type Answer = fn(u64, f64) -> Estimate;

/// Estimators that say nothing.
const EMPTY: [(&str, Answer); 9] = [
    ("0", |_, _| Estimate::deterministic(0.0, Info::new())),
    ("1", |_, _| Estimate::deterministic(1.0, Info::new())),
    ("1e300", |_, _| Estimate::deterministic(1e300, Info::new())),
    ("-inf", |_, _| Estimate::deterministic(f64::NEG_INFINITY, Info::new())),
    ("0 +- 1e9", |_, _| Estimate::stochastic(0.0, 1e9, Info::new())),
    ("1 +- 1", |_, _| Estimate::stochastic(1.0, 1.0, Info::new())),
    ("0 within 1e300", |_, _| Estimate::deterministic(0.0, Info::new()).within(1e300)),
    ("another case's value", |_, value| Estimate::deterministic(value, Info::new())),
    ("white noise with a standard error", |seed, _| {
        let noise: f64 = StandardNormal.sample(&mut Streams::new(seed).stream("noise", 0));
        Estimate::stochastic(noise, 1.0, Info::new())
    }),
];

fn judged(context: &Context, only: Option<&str>) -> Report {
    let outcomes: Vec<Outcome> = gate::run(gate::registry(), context, only, "test", &|_, _, _| ());
    Report::new(outcomes, context.seed)
}

#[test]
fn what_says_nothing_passes_as_no_measure() {
    let context = Context::new(Vec::new(), Vec::new(), false, Tier::Quick, 0);
    let case = &context.flatness_cases[0];
    let mut passed = Vec::new();
    for measure in flatness::registry() {
        let point = Point::new(case.objective(), case.network.theta());
        let value =
            measure.evaluate(&point, &Options { log_det_shift: 10.0, eigenvalue_count: 1, ..Options::default() });
        let value = value.unwrap().value;
        for (what, answer) in EMPTY {
            let empty = measure_fn(measure.id(), move |_: &Point, options: &Options| {
                Ok::<_, FlatnessError>(answer(options.seed, value))
            });
            let subjects: Vec<&dyn Measure> = vec![&empty];
            let context = context.clone().with_estimators(subjects, Vec::new());
            // A failure of some laws is one of all; most are caught by the first.
            let caught = |only| judged(&context, only).verdict == Verdict::Fail;
            if !caught(Some("curvature.definition")) && !caught(None) {
                passed.push(format!("{} answers {what}", measure.id()));
            }
        }
    }
    assert!(passed.is_empty(), "{passed:#?}");
}

#[test]
fn what_says_nothing_passes_as_no_method_of_log_prob() {
    let context = Context::new(Vec::new(), Vec::new(), false, Tier::Quick, 0);
    let mut passed = Vec::new();
    let own = [Exactness::Exact, Exactness::Unbiased, Exactness::Approximate].map(|exactness| ("mine", exactness));
    let known = prior::registry().iter().map(|method| (method.id(), method.exactness()));
    for (id, exactness) in known.chain(own) {
        for (what, answer) in EMPTY {
            let links: &[Link] = prior::find(id).map_or(&[Link::Step], |method| method.links());
            let empty = method_fn(id, exactness, links, move |_, _, options: &PriorOptions| {
                Ok(LogProb { estimate: answer(options.seed, -1.386), upper_bound: None })
            });
            let subjects: Vec<&dyn LogProbMethod> = vec![&empty];
            let context = context.clone().with_estimators(Vec::new(), subjects);
            let caught = |only| judged(&context, only).verdict == Verdict::Fail;
            if !caught(Some("prior.permutation")) && !caught(Some("prior.")) && !caught(None) {
                passed.push(format!("{id} ({exactness:?}) answers {what}"));
            }
        }
    }
    assert!(passed.is_empty(), "{passed:#?}");
}
