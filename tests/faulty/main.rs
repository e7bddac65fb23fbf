//! The faulty zoo: estimators with one real bug each, which a law of the law book catches.
//!
//! Every entry is one body of code with a switch. With the bug the law named beside it fails; without it the
//! whole law book passes, so that what is caught is the bug and nothing else. `README.md` says where each comes
//! from.

#[path = "../common/mod.rs"]
mod common;
mod curvature;
mod kernel;
mod log_prob;
mod orthant;
mod recorded;
mod rescaling;

use common::need::need;
use common::tier::by_tier;
use flatgauge::flatness::{self, FlatnessError, Measure, Options, Point, Responses};
use flatgauge::gate::{self, Cause, Context, Gate, Outcome, Report, Tier, Verdict};
use flatgauge::kernel::{KernelError, KernelMethod, KernelOptions, KernelResult, Kind};
use flatgauge::model::{Architecture, Model};
use flatgauge::numeric::{Estimate, Info, Streams};
use flatgauge::prior::{Exactness, Gram, Labels, Link, LogProb, LogProbMethod, PriorError, PriorOptions};
use flatgauge::rescale::{self, Action, RescaleError, Rescaling, RescalingKind};
use ndarray::ArrayView2;

/// What an estimator returns: a value, and a standard error if it draws.
type Answer = (f64, Option<f64>);

fn estimate((value, std_error): Answer) -> Estimate {
    Estimate { value, std_error, error_bound: 0.0, info: Info::new() }
}

/// An animal of the zoo that claims to be a measure.
struct FaultyMeasure {
    /// Its name in the README.
    name: &'static str,
    /// The measure it claims to be.
    id: &'static str,
    /// The law that catches it.
    law: &'static str,
    /// The estimator; `true` plants the bug.
    run: fn(&Point, &Options, bool) -> Result<Answer, FlatnessError>,
}

/// A [`FaultyMeasure`] with its switch set.
struct MeasureSubject<'z> {
    animal: &'z FaultyMeasure,
    bug: bool,
}

impl Measure for MeasureSubject<'_> {
    fn id(&self) -> &'static str {
        self.animal.id
    }

    fn summary(&self) -> &'static str {
        self.animal.name
    }

    fn source(&self) -> &'static str {
        "tests/faulty/README.md"
    }

    fn responses(&self) -> Responses {
        flatness::find(self.animal.id).expect("it claims to be a registered measure").responses()
    }

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        (self.animal.run)(point, options, self.bug).map(estimate)
    }
}

/// An animal of the zoo that claims to be a method for log P(f).
struct FaultyPrior {
    /// Its name in the README.
    name: &'static str,
    /// What it claims to be: a method with that name or, as here, one of its own.
    id: &'static str,
    /// What it claims of its number.
    exactness: Exactness,
    /// The links it offers.
    links: &'static [Link],
    /// The law that catches it.
    law: &'static str,
    /// The estimator; `true` plants the bug.
    run: fn(&Gram, &Labels, &PriorOptions, bool) -> Result<Answer, PriorError>,
}

/// A [`FaultyPrior`] with its switch set.
struct PriorSubject<'z> {
    animal: &'z FaultyPrior,
    bug: bool,
}

impl LogProbMethod for PriorSubject<'_> {
    fn id(&self) -> &'static str {
        self.animal.id
    }

    fn summary(&self) -> &'static str {
        self.animal.name
    }

    fn source(&self) -> &'static str {
        "tests/faulty/README.md"
    }

    fn links(&self) -> &'static [Link] {
        self.animal.links
    }

    fn exactness(&self) -> Exactness {
        self.animal.exactness
    }

    fn log_prob(&self, gram: &Gram, labels: &Labels, options: &PriorOptions) -> Result<LogProb, PriorError> {
        let answer = (self.animal.run)(gram, labels, options, self.bug)?;
        Ok(LogProb { estimate: estimate(answer), upper_bound: None })
    }
}

/// An animal of the zoo that claims to be a method for Gram matrices.
struct FaultyKernel {
    /// Its name in the README.
    name: &'static str,
    /// The law that catches it.
    law: &'static str,
    /// The method; `true` plants the bug.
    run: fn(&Architecture, ArrayView2<f64>, bool) -> kernel::Run,
}

/// A [`FaultyKernel`] with its switch set.
struct KernelSubject<'z> {
    animal: &'z FaultyKernel,
    bug: bool,
}

impl KernelMethod for KernelSubject<'_> {
    fn id(&self) -> &'static str {
        "zoo"
    }

    fn summary(&self) -> &'static str {
        self.animal.name
    }

    fn source(&self) -> &'static str {
        "tests/faulty/README.md"
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::Nngp]
    }

    fn gram(
        &self,
        architecture: &Architecture,
        inputs: ArrayView2<f64>,
        _: &KernelOptions,
    ) -> Result<KernelResult, KernelError> {
        let matrix = (self.animal.run)(architecture, inputs, self.bug)?;
        Ok(KernelResult { matrix, std_error: None, left_out: Vec::new(), info: Info::new() })
    }
}

/// An animal of the zoo that claims to be a kind of rescaling.
struct FaultyRescaling {
    /// Its name in the README.
    name: &'static str,
    /// The law that catches it.
    law: &'static str,
    /// The registered kind that its twin is.
    kind: &'static str,
    /// What the bug makes of an action.
    bug: fn(&Action, &Model) -> Action,
}

/// A [`FaultyRescaling`] with its switch set.
#[derive(Clone, Copy)]
struct RescalingSubject<'z> {
    animal: &'z FaultyRescaling,
    bug: bool,
}

impl RescalingKind for RescalingSubject<'static> {
    fn id(&self) -> &'static str {
        "zoo"
    }

    fn summary(&self) -> &'static str {
        self.animal.name
    }

    fn draw(&self, model: &Model, spread: f64, streams: Streams) -> Result<Box<dyn Rescaling>, RescaleError> {
        let right = rescale::find(self.animal.kind).expect("a registered kind").draw(model, spread, streams)?;
        Ok(Box::new(Tampered { subject: *self, right }))
    }
}

/// A map that a [`RescalingSubject`] has drawn.
struct Tampered {
    subject: RescalingSubject<'static>,
    right: Box<dyn Rescaling>,
}

impl std::fmt::Debug for Tampered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {:?}", self.subject.animal.name, self.right)
    }
}

impl Rescaling for Tampered {
    fn id(&self) -> &'static str {
        "zoo"
    }

    fn action(&self, model: &Model) -> Result<Action, RescaleError> {
        let action = self.right.action(model)?;
        Ok(if self.subject.bug { (self.subject.animal.bug)(&action, model) } else { action })
    }

    fn in_powers_of_two(&self) -> Box<dyn Rescaling> {
        Box::new(Self { subject: self.subject, right: self.right.in_powers_of_two() })
    }

    fn describe(&self) -> String {
        self.right.describe()
    }

    fn inverse(&self) -> Box<dyn Rescaling> {
        Box::new(Self { subject: self.subject, right: self.right.inverse() })
    }
}

/// A correct twin by the whole law book. A bug by the law that catches it, and at the full tier of the tests by the others too,
/// which say what else it breaks.
fn laws_for(bug: bool, law: &'static str) -> Option<&'static str> {
    if bug { by_tier(Some(law), None) } else { None }
}

fn judge(
    measures: Vec<&dyn Measure>,
    priors: Vec<&dyn LogProbMethod>,
    kernels: Vec<&dyn KernelMethod>,
    only: Option<&str>,
) -> Report {
    let context = Context::new(measures, priors, false, Tier::Quick, 0).with_kernels(kernels);
    Report::new(gate::run(gate::registry(), &context, only, "test", &|_, _, _| ()), 0)
}

/// Measures with bugs of everyday code, and with those that trackers record.
fn measures() -> impl Iterator<Item = &'static FaultyMeasure> {
    curvature::ANIMALS.iter().chain(recorded::ANIMALS)
}

/// The laws that failed, with the first reason of each.
fn failures(report: &Report) -> Vec<(&str, String)> {
    let mut failures: Vec<(&str, String)> = Vec::new();
    for outcome in report.laws.iter().filter(|outcome| outcome.verdict == Verdict::Fail) {
        if !failures.iter().any(|(law, _)| *law == outcome.law) {
            failures.push((&outcome.law, format!("{} on {}: {}", outcome.estimator, outcome.case, outcome.reason)));
        }
    }
    failures
}

/// Collects what is wrong with an animal: a twin that is caught, or a bug that its law lets through.
fn complaints(name: &str, law: &str, twin: &Report, faulty: &Report) -> Vec<String> {
    let mut complaints = Vec::new();
    // The plain samplers of the zoo decline the certified images, of 20 points and more; a user would declare that.
    let declined =
        |outcome: &&Outcome| outcome.law == "certified.prior" && outcome.cause == Some(Cause::NothingVerified);
    let failing = twin.laws.iter().filter(|outcome| outcome.verdict == Verdict::Fail);
    if failing.filter(|outcome| !declined(outcome)).count() > 0 {
        complaints.push(format!("{name}: the correct twin is caught: {:?}", failures(twin)));
    }
    let caught = failures(faulty);
    if !caught.iter().any(|(failed, _)| *failed == law) {
        complaints.push(format!("{name}: {law} lets it through; caught by {caught:?}"));
    }
    println!("{name}: caught by {:?}; {complaints:?}", caught.iter().map(|(law, _)| *law).collect::<Vec<_>>());
    complaints
}

#[test]
fn every_faulty_measure_is_caught_by_its_law_and_its_correct_twin_by_none() {
    let mut wrong = Vec::new();
    for animal in measures() {
        let judged = [false, true].map(|bug| {
            let subject = MeasureSubject { animal, bug };
            // Convolutions are asked for at the full tier.
            if animal.name == "trace_of_shared_weights_by_their_positions" {
                return Gate::full().measure(&subject).only(animal.law).report();
            }
            judge(vec![&subject], vec![], vec![], laws_for(bug, animal.law))
        });
        wrong.extend(complaints(animal.name, animal.law, &judged[0], &judged[1]));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_faulty_method_of_log_prob_is_caught_by_its_law_and_its_correct_twin_by_none() {
    let mut wrong = Vec::new();
    for animal in log_prob::ANIMALS {
        let judged = [false, true]
            .map(|bug| judge(vec![], vec![&PriorSubject { animal, bug }], vec![], laws_for(bug, animal.law)));
        wrong.extend(complaints(animal.name, animal.law, &judged[0], &judged[1]));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_faulty_kernel_is_caught_by_its_law_and_its_correct_twin_by_none() {
    let mut wrong = Vec::new();
    for animal in kernel::ANIMALS {
        let judged = [false, true]
            .map(|bug| judge(vec![], vec![], vec![&KernelSubject { animal, bug }], laws_for(bug, animal.law)));
        wrong.extend(complaints(animal.name, animal.law, &judged[0], &judged[1]));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_faulty_rescaling_is_caught_by_its_law_and_its_correct_twin_by_none() {
    let mut wrong = Vec::new();
    for animal in rescaling::ANIMALS {
        let judged = [false, true].map(|bug| Gate::quick().rescaling(&RescalingSubject { animal, bug }).report());
        wrong.extend(complaints(animal.name, animal.law, &judged[0], &judged[1]));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_readme_knows_every_animal_and_no_other() {
    let readme = include_str!("README.md");
    let mut animals: Vec<(&str, &str)> = measures().map(|animal| (animal.name, animal.law)).collect();
    animals.extend(log_prob::ANIMALS.iter().map(|animal| (animal.name, animal.law)));
    animals.extend(kernel::ANIMALS.iter().map(|animal| (animal.name, animal.law)));
    animals.extend(rescaling::ANIMALS.iter().map(|animal| (animal.name, animal.law)));
    for (name, law) in &animals {
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        assert!(row.is_some_and(|row| row.contains(&format!("| {law} |"))), "{name}, {law}: missing from the README");
    }
    let mut names: Vec<&str> = animals.iter().map(|(name, _)| *name).collect();
    let rows = readme.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, names.len(), "the README has rows for animals that are not there");
    names.sort_unstable();
    names.dedup();
    assert_eq!(rows, names.len(), "two animals have one name");
}

/// The law that catches an animal.
fn law_of(name: &str) -> &'static str {
    let measure = measures().find(|animal| animal.name == name).map(|animal| animal.law);
    let method = log_prob::ANIMALS.iter().find(|animal| animal.name == name).map(|animal| animal.law);
    measure.or(method).expect("twins are of animals of the zoo")
}

#[test]
fn python_twins_get_the_same_verdicts_through_check() {
    let python = ["python3", "python"].into_iter().find(|program| {
        std::process::Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
    });
    if !need("python", python.is_some(), "there is no python3") {
        return;
    }
    let python = python.unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faulty/twins.py");
    for (name, flag, id) in [
        ("trace_mean_of_unequal_batches", "--measure", "hessian_trace"),
        ("trace_of_the_summed_loss", "--measure", "hessian_trace"),
        ("trace_remembered_from_before", "--measure", "hessian_trace"),
        ("probit_read_as_step", "--prior", "exact"),
        ("bits_for_nats", "--prior", "exact"),
    ] {
        for (kind, code) in [("sound", 0), ("faulty", 1)] {
            let output = std::process::Command::new(env!("CARGO_BIN_EXE_flatgauge"))
                .args(["check", flag, id, "--format", "json", "--command"])
                .arg(format!("{python} '{script}' {name} {kind}"))
                .output()
                .unwrap();
            let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            let outcomes = document["laws"].as_array().unwrap();
            let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome["verdict"] == "fail").collect();
            assert_eq!(output.status.code(), Some(code), "{name}, {kind}: {failed:#?}");
            let caught = failed.iter().any(|outcome| outcome["law"] == law_of(name));
            assert_eq!(caught, kind == "faulty", "{name}, {kind}: {failed:#?}");
        }
    }
}
