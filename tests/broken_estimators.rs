//! The gate must fail on estimators that are wrong: each error is planted, and a law catches it.

use flatgauge::cli::exit_code;
use flatgauge::demonstration;
use flatgauge::flatness::{self, DensePoint, FlatnessError, Measure, Options, Point, Responses};
use flatgauge::gate::{self, Context, Gate, Report, Tier, Verdict};
use flatgauge::model::Model;
use flatgauge::numeric::Streams;
use flatgauge::numeric::{Estimate, Info};
use flatgauge::prior::{self, Exactness, Gram, Labels, Link, LogProb, LogProbMethod, PriorError, PriorOptions};
use flatgauge::rescale::{self, Action, RescaleError, Rescaling, RescalingKind};
use flatgauge::train::{self, Batches, HyperparameterError, Optimizer, Preset, State, Step};
use serde_json::{Map, Value};
use std::process::Command;

/// A registered measure with its value tampered with.
struct Tampered<F> {
    inner: &'static dyn Measure,
    tamper: F,
}

impl<F: Fn(f64, &Point) -> f64 + Send + Sync> Measure for Tampered<F> {
    fn id(&self) -> &'static str {
        self.inner.id()
    }

    fn summary(&self) -> &'static str {
        "a wrong estimator"
    }

    fn source(&self) -> &'static str {
        "planted"
    }

    fn responses(&self) -> Responses {
        self.inner.responses()
    }

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        let mut estimate = self.inner.evaluate(point, options)?;
        estimate.value = (self.tamper)(estimate.value, point);
        Ok(estimate)
    }

    // A wrong estimator with a wrong definition to match: the gate must not ask it.
    fn on_dense(&self, dense: &DensePoint, options: &Options) -> Option<f64> {
        self.inner.on_dense(dense, options).map(|value| 1.01 * value)
    }

    fn predict(&self, _: &Point, _: &Action, _: &Options) -> Option<Result<Estimate, FlatnessError>> {
        None
    }
}

fn failed_laws(report: &Report) -> Vec<&str> {
    let failures = report.laws.iter().filter(|outcome| outcome.verdict == Verdict::Fail);
    let mut laws: Vec<&str> = failures.map(|outcome| outcome.law.as_str()).collect();
    laws.sort();
    laws.dedup();
    laws
}

fn judge_measure(measure: &dyn Measure) -> Report {
    let context = Context::new(vec![measure], Vec::new(), false, Tier::Quick, 0);
    Report::new(gate::run(gate::registry(), &context, None, "test", &|_, _, _| ()), 0)
}

#[test]
fn a_trace_that_is_off_by_one_percent_is_caught_by_every_law_of_its_value() {
    let trace = flatness::find("hessian_trace").unwrap();
    let sound = judge_measure(&Tampered { inner: trace, tamper: |value, _: &Point| value });
    assert_eq!(sound.verdict, Verdict::Pass, "{:?}", failed_laws(&sound));
    let report = judge_measure(&Tampered { inner: trace, tamper: |value, _: &Point| 1.01 * value });
    assert_eq!(report.verdict, Verdict::Fail);
    assert_eq!(failed_laws(&report), ["certified.flatness", "curvature.covariance", "curvature.definition"]);
}

#[test]
fn a_measure_that_never_moves_is_caught() {
    for id in ["hessian_trace", "hessian_max_eigenvalue", "keskar_sharpness"] {
        let inner = flatness::find(id).unwrap();
        let report = judge_measure(&Tampered { inner, tamper: |_, _: &Point| 1.0 });
        assert!(failed_laws(&report).contains(&"curvature.response"), "{id}: {:?}", failed_laws(&report));
        assert!(failed_laws(&report).contains(&"curvature.covariance"), "{id}: {:?}", failed_laws(&report));
    }
}

#[test]
fn nan_and_panics_are_failures_of_their_case() {
    let inner = flatness::find("hessian_trace").unwrap();
    assert_eq!(judge_measure(&Tampered { inner, tamper: |_, _: &Point| f64::NAN }).verdict, Verdict::Fail);
    let report = judge_measure(&Tampered { inner, tamper: |_, _: &Point| panic!("out of ideas") });
    assert_eq!(report.counts.pass, 0);
    let mut failures = report.laws.iter().filter(|outcome| outcome.verdict == Verdict::Fail);
    assert!(failures.all(|outcome| outcome.reason.contains("out of ideas")));
}

/// A registered method with its value tampered with.
struct TamperedPrior<F> {
    inner: &'static dyn LogProbMethod,
    tamper: F,
}

impl<F: Fn(f64, &Gram, &Labels) -> f64 + Send + Sync> LogProbMethod for TamperedPrior<F> {
    fn id(&self) -> &'static str {
        self.inner.id()
    }

    fn summary(&self) -> &'static str {
        "a wrong method"
    }

    fn source(&self) -> &'static str {
        "planted"
    }

    fn links(&self) -> &'static [Link] {
        self.inner.links()
    }

    fn exactness(&self) -> Exactness {
        self.inner.exactness()
    }

    fn log_prob(&self, gram: &Gram, labels: &Labels, options: &PriorOptions) -> Result<LogProb, PriorError> {
        let mut answer = self.inner.log_prob(gram, labels, options)?;
        answer.estimate.value = (self.tamper)(answer.estimate.value, gram, labels);
        Ok(answer)
    }
}

fn judge_prior(method: &dyn LogProbMethod) -> Report {
    let context = Context::new(Vec::new(), vec![method], false, Tier::Quick, 0);
    Report::new(gate::run(gate::registry(), &context, None, "test", &|_, _, _| ()), 0)
}

#[test]
fn the_laws_of_log_prob_catch_their_errors() {
    let exact = prior::find("exact").unwrap();
    let sound = judge_prior(&TamperedPrior { inner: exact, tamper: |value, _: &Gram, _: &Labels| value });
    assert_eq!(sound.verdict, Verdict::Pass, "{:?}", failed_laws(&sound));

    // A probability that is 1% too large everywhere has every symmetry, but does not add up to 1.
    let report = judge_prior(&TamperedPrior { inner: exact, tamper: |value, _: &Gram, _: &Labels| value + 0.01 });
    assert!(failed_laws(&report).contains(&"prior.normalisation"), "{:?}", failed_laws(&report));
    // The scale of the kernel leaks into the answer.
    let scale = |value: f64, gram: &Gram, _: &Labels| value * (1.0 + 1e-3 * gram.matrix()[[0, 0]].ln());
    let report = judge_prior(&TamperedPrior { inner: exact, tamper: scale });
    assert!(failed_laws(&report).contains(&"prior.scale"), "{:?}", failed_laws(&report));
    // A bias towards one label.
    let bias = |value: f64, _: &Gram, labels: &Labels| value + 0.01 * f64::from(labels.signs()[0]);
    let report = judge_prior(&TamperedPrior { inner: exact, tamper: bias });
    assert!(failed_laws(&report).contains(&"prior.label_flip"), "{:?}", failed_laws(&report));
    // The answer depends on the order of the points.
    let order = |value: f64, gram: &Gram, _: &Labels| value - 1e-3 * (gram.matrix()[[0, 0]] / gram.matrix()[[1, 1]]);
    let report = judge_prior(&TamperedPrior { inner: exact, tamper: order });
    assert!(failed_laws(&report).contains(&"prior.permutation"), "{:?}", failed_laws(&report));
}

/// Answers that say nothing: constants, and constants under a standard error that swallows every value.
const MUTE: [(f64, Option<f64>); 12] = [
    (0.0, None),
    (1.0, None),
    (1e300, None),
    (f64::NEG_INFINITY, None),
    (f64::INFINITY, None),
    (0.0, Some(1e9)),
    (0.0, Some(1e300)),
    (1.0, Some(1e300)),
    (1.0, Some(f64::INFINITY)),
    (1.0, Some(f64::NAN)),
    (-2.0, Some(1e3)),
    (f64::NEG_INFINITY, Some(1.0)),
];

/// A registered measure or method that always says the same.
struct Mute<'m, T: ?Sized>(&'m T, Estimate);

fn mute<T: ?Sized>(inner: &T, (value, std_error): (f64, Option<f64>)) -> Mute<'_, T> {
    Mute(inner, Estimate { value, std_error, error_bound: 0.0, info: Info::new() })
}

impl Measure for Mute<'_, dyn Measure> {
    fn id(&self) -> &'static str {
        self.0.id()
    }

    fn summary(&self) -> &'static str {
        "a constant"
    }

    fn source(&self) -> &'static str {
        "planted"
    }

    fn responses(&self) -> Responses {
        self.0.responses()
    }

    fn evaluate(&self, _: &Point, _: &Options) -> Result<Estimate, FlatnessError> {
        Ok(self.1.clone())
    }
}

impl LogProbMethod for Mute<'_, dyn LogProbMethod> {
    fn id(&self) -> &'static str {
        self.0.id()
    }

    fn summary(&self) -> &'static str {
        "a constant"
    }

    fn source(&self) -> &'static str {
        "planted"
    }

    fn links(&self) -> &'static [Link] {
        self.0.links()
    }

    fn exactness(&self) -> Exactness {
        self.0.exactness()
    }

    fn log_prob(&self, _: &Gram, _: &Labels, _: &PriorOptions) -> Result<LogProb, PriorError> {
        Ok(LogProb { estimate: self.1.clone(), upper_bound: None })
    }
}

/// Whether a gate fails, asked law by law so that the cheap ones may decide: what fails under one law fails as a whole.
fn fails(gate: impl Fn() -> Gate<'static>, laws: &[&str]) -> bool {
    laws.iter().any(|law| gate().only(law).report().counts.fail > 0)
}

/// The laws that held.
fn held(report: &Report) -> Vec<&str> {
    let passes = report.laws.iter().filter(|outcome| outcome.verdict == Verdict::Pass);
    passes.map(|outcome| outcome.law.as_str()).collect()
}

/// Under a standard error that swallows every value of the corpus no single law holds.
const SWALLOWED: [(f64, Option<f64>); 2] = [(0.0, Some(1e300)), (1.0, Some(1e300))];

#[test]
fn an_answer_that_says_nothing_passes_for_no_measure() {
    let laws = ["curvature.definition", "curvature.response", "certified", "curvature.covariance"];
    let mut passed = Vec::new();
    for &measure in flatness::registry() {
        for answer in MUTE {
            let subject: &'static Mute<dyn Measure> = Box::leak(Box::new(mute(measure, answer)));
            let gate = || Gate::quick().measure(subject);
            if !fails(gate, &laws) {
                passed.push(format!("{}: {answer:?} passes", measure.id()));
            }
            if SWALLOWED.contains(&answer) {
                // What a stochastic measure's predictions cost is spent once.
                for law in &laws[..if measure.is_stochastic() && answer != SWALLOWED[0] { 3 } else { 4 }] {
                    assert_eq!(held(&gate().only(law).report()), [""; 0], "{}: {answer:?}", measure.id());
                }
            }
        }
    }
    assert_eq!(passed, [""; 0]);
}

#[test]
fn an_answer_that_says_nothing_passes_for_no_method_of_log_prob() {
    let mut passed = Vec::new();
    for &method in prior::registry() {
        for answer in MUTE {
            let subject: &'static Mute<dyn LogProbMethod> = Box::leak(Box::new(mute(method, answer)));
            let gate = || Gate::quick().prior(subject);
            if !fails(gate, &["prior.", "certified"]) {
                passed.push(format!("{}: {answer:?} passes", method.id()));
            }
            if SWALLOWED.contains(&answer) {
                assert_eq!(held(&gate().only("prior.").report()), [""; 0], "{}: {answer:?}", method.id());
            }
        }
    }
    assert!(passed.is_empty(), "{}", passed.join("\n"));
}

/// Set in the child process of the next test.
const CHILD: &str = "FLATGAUGE_TEST_BROKEN_CHILD";

#[test]
fn verify_with_a_trace_off_by_one_percent_exits_with_1() {
    if std::env::var_os(CHILD).is_some() {
        let inner = flatness::find("hessian_trace").unwrap();
        let broken = Tampered { inner, tamper: |value, _: &Point| 1.01 * value };
        let mut measures = flatness::registry().to_vec();
        let place = measures.iter().position(|measure| measure.id() == broken.id()).unwrap();
        measures[place] = &broken;
        let context = Context::new(measures, prior::registry().to_vec(), true, Tier::Quick, 0);
        let (_, report) = demonstration::verify(&context, Some("hessian_trace/fcn"), "test", &|_, _, _| ()).unwrap();
        std::process::exit(exit_code(&report).into());
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "verify_with_a_trace_off_by_one_percent_exits_with_1", "--nocapture"])
        .env(CHILD, "1")
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
    let sound = Command::new(env!("CARGO_BIN_EXE_flatgauge")).args(["verify", "--only", "hessian_trace/fcn"]).status();
    assert_eq!(sound.unwrap().code(), Some(0));
}

/// Every registered kind of rescaling and every optimiser, as a crate's own would be held to the gate.
#[test]
fn registered_rescalings_and_optimisers_pass_the_gate() {
    for kind in rescale::registry() {
        Gate::quick().rescaling(*kind).assert();
    }
    // The noise of Entropy-SGD comes from streams of its own.
    for optimizer in train::registry().iter().filter(|optimizer| optimizer.id() != "entropy_sgd") {
        Gate::quick().optimizer(*optimizer).assert();
    }
}

/// A number that is right of part of the Hessian, or of the Gauss-Newton matrix, says of which.
#[test]
fn a_failure_names_the_block_that_is_missing() {
    let reasons = |evaluate: fn(&Point) -> f64| {
        let wrong = flatness::measure_fn("hessian_trace", move |point, _| {
            Ok(Estimate::deterministic(evaluate(point), Info::new()))
        });
        let report = Gate::quick().measure(&wrong).only("curvature.definition").report();
        let failed = report.laws.into_iter().filter(|outcome| outcome.verdict == Verdict::Fail);
        failed.map(|outcome| outcome.reason).collect::<Vec<_>>()
    };
    fn diagonal(point: &Point) -> Vec<f64> {
        let basis = ndarray::Array2::eye(point.theta().len());
        point.linearisation.hessian_products(basis.view()).diag().to_vec()
    }
    fn without(point: &Point, is_left_out: fn(&str) -> bool) -> f64 {
        let diagonal = diagonal(point);
        let tensors = point.objective().model().tensors();
        let kept = tensors.iter().filter(|tensor| !is_left_out(&tensor.name));
        kept.flat_map(|tensor| &diagonal[tensor.range.clone()]).sum()
    }
    let (first_bias, biases) = (
        reasons(|point| without(point, |name| name == "0.bias")),
        reasons(|point| without(point, |name| name.ends_with(".bias"))),
    );
    for (reasons, words) in [
        (first_bias, "as if the Hessian's block of 0.bias were left out"),
        (biases, "as if the Hessian's blocks of all tensors called bias were left out"),
    ] {
        let named = reasons.iter().filter(|reason| reason.contains(words)).count();
        assert!(named >= 5 && 2 * named > reasons.len(), "{words}: {reasons:?}");
    }
    let gauss_newton = reasons(|point| {
        let basis = ndarray::Array2::eye(point.theta().len());
        point.linearisation.gauss_newton_products(basis.view()).diag().sum()
    });
    assert!(!gauss_newton.is_empty());
    assert!(gauss_newton.iter().all(|reason| reason.contains("as if the Gauss-Newton matrix")), "{gauss_newton:?}");
    // What nothing explains is left as it is.
    let off = reasons(|point| 1.01 * diagonal(point).iter().sum::<f64>());
    assert!(off.iter().filter(|reason| reason.contains("as if")).count() * 10 < off.len(), "{off:?}");
}

/// The first tensor times a factor, and nothing in return.
#[derive(Debug, Clone, Copy)]
struct Uncompensated(f64);

impl Rescaling for Uncompensated {
    fn id(&self) -> &'static str {
        "uncompensated"
    }

    fn action(&self, model: &Model) -> Result<Action, RescaleError> {
        let first = &model.tensors()[0].range;
        Ok(Action::diagonal(
            (0..model.parameter_count()).map(|i| if first.contains(&i) { self.0 } else { 1.0 }).collect(),
        ))
    }

    fn in_powers_of_two(&self) -> Box<dyn Rescaling> {
        Box::new(*self)
    }

    fn describe(&self) -> String {
        format!("the first tensor times {}", self.0)
    }

    fn inverse(&self) -> Box<dyn Rescaling> {
        Box::new(Self(1.0 / self.0))
    }
}

impl RescalingKind for Uncompensated {
    fn id(&self) -> &'static str {
        "uncompensated"
    }

    fn summary(&self) -> &'static str {
        "planted"
    }

    fn draw(&self, _: &Model, _: f64, _: Streams) -> Result<Box<dyn Rescaling>, RescaleError> {
        Ok(Box::new(*self))
    }
}

/// SGD that takes steps of half the learning rate.
#[derive(Debug)]
struct HalfSgd(Box<dyn Optimizer>);

impl Optimizer for HalfSgd {
    fn id(&self) -> &'static str {
        "sgd"
    }

    fn summary(&self) -> &'static str {
        "planted"
    }

    fn source(&self) -> &'static str {
        "planted"
    }

    fn presets(&self) -> Vec<Preset> {
        self.0.presets()
    }

    fn hyperparameters(&self) -> Map<String, Value> {
        self.0.hyperparameters()
    }

    fn configured(&self, hyperparameters: Map<String, Value>) -> Result<Box<dyn Optimizer>, HyperparameterError> {
        Ok(Box::new(Self(self.0.configured(hyperparameters)?)))
    }

    fn start(&self, parameters: usize) -> State {
        self.0.start(parameters)
    }

    fn step(&self, step: &Step, state: &mut State, theta: &mut [f64], batches: &mut dyn Batches) -> f64 {
        self.0.step(&Step { learning_rate: 0.5 * step.learning_rate, ..*step }, state, theta, batches)
    }
}

#[test]
fn wrong_rescalings_and_optimisers_of_a_crates_own_are_caught() {
    let report = Gate::quick().rescaling(&Uncompensated(2.0)).report();
    assert_eq!(failed_laws(&report), ["rescaling.curvature", "rescaling.function"]);
    let sgd = train::OptimizerSettings::named("sgd").build().unwrap().optimizer;
    let report = Gate::quick().optimizer(&HalfSgd(sgd)).report();
    assert_eq!(failed_laws(&report), ["certified.trajectory"]);
}
