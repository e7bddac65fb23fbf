//! Generated cases: networks with data and Gram matrices with labels drawn beyond the corpus, and every failure shrunk
//! to the smallest case that still fails.

use crate::gate::cases::{FlatnessCase, PriorCase, draw_flatness_case, draw_prior_case, drawn_architecture};
use crate::gate::counterexample::{Content, Counterexample};
use crate::gate::finding::{Finding, Verdict};
use crate::gate::law::{Context, Law, Scope};
use crate::gate::origin::Origin;
use crate::gate::outcome::Outcome;
use crate::gate::printable::printable;
use crate::gate::runner::{Progress, run};
use crate::model::{Activation, Loss, Role};
use crate::numeric::Streams;
use crate::prior::{Gram, Labels};
use ndarray::Array2;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, RngSeed, TestRunner};
use std::sync::Arc;

/// Smaller cases tried for one failure.
const MOST_TRIALS: usize = 400;
/// Failures that are shrunk; of more, the first ones are.
const MOST_SHRUNK: usize = 10;

/// A network case before it is drawn: what is shrunk.
#[derive(Debug, Clone)]
struct NetworkDraw {
    widths: Vec<usize>,
    activation: Activation,
    loss: Loss,
    samples: usize,
    decimals: Option<i32>,
    alpha: f64,
    rescalings: bool,
    seed: u64,
}

/// A Gram case before it is drawn.
#[derive(Debug, Clone)]
struct GramDraw {
    points: usize,
    rank: usize,
    diagonal: f64,
    negative: Vec<bool>,
    decimals: Option<i32>,
    seed: u64,
}

/// Weights and inputs of one decimal, or as they come.
fn decimals() -> impl Strategy<Value = Option<i32>> {
    prop_oneof![Just(Some(1)), Just(None)]
}

const MOST_POINTS: usize = 8;

/// Names of the random streams of the two kinds of case.
const NETWORK: &str = "network";
const GRAM: &str = "gram";

fn networks() -> impl Strategy<Value = NetworkDraw> {
    let activation = prop_oneof![Just(Activation::Relu), Just(Activation::Tanh), Just(Activation::Erf)];
    let loss = prop_oneof![Just(Loss::Bce), Just(Loss::Mse), Just(Loss::Ce)];
    let alpha = prop_oneof![Just(1.0), Just(2.0), Just(0.5), (-10.0..10.0_f64).prop_map(f64::exp2)];
    let shape = (1..6_usize, prop::collection::vec(1..7_usize, 1..4), 1..4_usize, 2..17_usize);
    (shape, activation, loss, decimals(), alpha, any::<bool>(), any::<u64>().no_shrink()).prop_map(
        |((inputs, hidden, outputs, samples), activation, loss, decimals, alpha, rescalings, seed)| {
            let outputs = match loss {
                Loss::Bce => 1,
                Loss::Ce => outputs + 1,
                Loss::Mse => outputs,
            };
            let widths = [vec![inputs], hidden, vec![outputs]].concat();
            NetworkDraw { widths, activation, loss, samples, decimals, alpha, rescalings, seed }
        },
    )
}

fn grams() -> impl Strategy<Value = GramDraw> {
    let diagonal = prop_oneof![Just(1.0), Just(0.1), Just(0.01)];
    let labels = prop::collection::vec(any::<bool>(), MOST_POINTS);
    (2..MOST_POINTS + 1, 1..MOST_POINTS + 1, diagonal, labels, decimals(), any::<u64>().no_shrink()).prop_map(
        |(points, rank, diagonal, negative, decimals, seed)| GramDraw {
            points,
            rank,
            diagonal,
            negative: negative[..points].to_vec(),
            decimals,
            seed,
        },
    )
}

fn rounded(value: f64, decimals: Option<i32>) -> f64 {
    let unit = 10_f64.powi(decimals.unwrap_or(0));
    if decimals.is_some() { (value * unit).round() / unit } else { value }
}

impl NetworkDraw {
    fn case(&self, name: &str) -> FlatnessCase {
        let streams = Streams::new(self.seed);
        let architecture = drawn_architecture(&self.widths, self.activation);
        let drawn = draw_flatness_case(name.to_owned(), architecture, self.loss, self.samples, streams);
        let drawn = drawn.expect("outputs are drawn to fit the loss");
        // Biases keep all their digits: with round numbers throughout a unit may stand at its kink, where there is no
        // Hessian and programs differ with the order of their sums.
        let mut theta = drawn.network.theta.clone();
        for tensor in drawn.network.model.tensors().iter().filter(|tensor| tensor.role == Role::Weight) {
            theta[tensor.range.clone()].iter_mut().for_each(|weight| *weight = rounded(*weight, self.decimals));
        }
        let round = |array: &Array2<f64>| array.mapv(|value| rounded(value, self.decimals));
        let network = drawn.network.with_theta(theta);
        let mut case = FlatnessCase::new(drawn.name, network, drawn.loss, round(&drawn.inputs), round(&drawn.targets));
        case.alphas = vec![self.alpha];
        case.rescalings = self.rescalings;
        case
    }

    fn describe(&self) -> String {
        let widths: Vec<String> = self.widths.iter().map(usize::to_string).collect();
        format!(
            "fcn:{} {}, {}, {} samples, alpha {}{}{}",
            widths.join("-"),
            self.activation,
            self.loss,
            self.samples,
            self.alpha,
            if self.rescalings { ", other rescalings" } else { "" },
            if self.decimals.is_some() { ", weights and inputs of one decimal" } else { "" }
        )
    }
}

impl GramDraw {
    fn case(&self, name: &str) -> PriorCase {
        let streams = Streams::new(self.seed);
        let drawn = draw_prior_case("drawn".to_owned(), self.points, self.rank, self.diagonal, streams);
        let drawn = drawn.expect("a diagonal of at least 0.01 makes it definite");
        let drawn = PriorCase { name: name.to_owned(), ..drawn };
        let labels = Labels::from_signs(self.negative.iter().map(|negative| !negative));
        // Rounding may cost a matrix its definiteness; then it stays as it came.
        let matrix = drawn.gram.matrix().mapv(|value| rounded(value, self.decimals));
        match Gram::new(matrix) {
            Ok(gram) if self.decimals.is_some() => PriorCase { gram, labels, ..drawn },
            _ => PriorCase { labels, ..drawn },
        }
    }

    fn describe(&self) -> String {
        let signs: String = self.negative.iter().map(|negative| if *negative { '-' } else { '+' }).collect();
        format!("{} points of labels {signs}, rank {} plus {} I", self.points, self.rank, self.diagonal)
    }
}

/// The tree of generated case `index`, the same for the same seed.
fn tree<S: Strategy>(strategy: &S, seed: u64, kind: &str, index: usize) -> S::Tree {
    let seed = Streams::new(seed).child(kind, index as u64).seed();
    strategy.new_tree(&mut TestRunner::new(config(seed))).expect("these strategies reject nothing")
}

/// Every setting by which trees are drawn. The default ones are read from the variables `PROPTEST_*` of the user's
/// environment, on which cases must not depend; what is left to the default says how proptest runs tests, which it
/// does not do here.
fn config(seed: u64) -> Config {
    Config {
        cases: 1,
        max_local_rejects: 65_536,
        max_global_rejects: 1024,
        max_flat_map_regens: 1_000_000,
        failure_persistence: None,
        source_file: None,
        test_name: None,
        max_shrink_time: 0,
        max_shrink_iters: u32::MAX,
        max_default_size_range: 100,
        verbose: 0,
        rng_algorithm: RngAlgorithm::ChaCha,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    }
}

/// Walks to the smallest value that still fails: `fails` gives the finding of a failure.
fn shrink<T: ValueTree>(mut tree: T, fails: impl Fn(&T::Value) -> Option<Finding>) -> Option<(T::Value, Finding)> {
    let mut smallest = tree.current();
    let mut finding = fails(&smallest)?;
    let mut smaller = tree.simplify();
    for _ in 0..MOST_TRIALS {
        if !smaller {
            break;
        }
        let candidate = tree.current();
        if let Some(failure) = fails(&candidate) {
            (smallest, finding) = (candidate, failure);
            smaller = tree.simplify();
        } else {
            smaller = tree.complicate();
        }
    }
    Some((smallest, finding))
}

fn name_of(index: usize) -> String {
    format!("generated-{index}")
}

/// The first `count` networks and Gram matrices that a gate of this seed generates.
pub fn generated_cases(seed: u64, count: usize) -> (Vec<FlatnessCase>, Vec<PriorCase>) {
    let (networks, grams) = (networks(), grams());
    (
        (0..count).map(|index| tree(&networks, seed, NETWORK, index).current().case(&name_of(index))).collect(),
        (0..count).map(|index| tree(&grams, seed, GRAM, index).current().case(&name_of(index))).collect(),
    )
}

/// Runs the universal laws on `count` generated networks and Gram matrices each, and shrinks what fails.
///
/// `origin` says how a reader runs them again. A failure that is no comparison (an error, a panic) is
/// shrunk only if `restartable`: a command that crashed once answers nothing more.
pub fn run_generated(
    context: &Context,
    count: usize,
    only: Option<&str>,
    origin: impl Into<Origin>,
    restartable: bool,
    progress: Progress,
) -> (Vec<Outcome>, Vec<Counterexample>) {
    let laws: Vec<&dyn Law> =
        crate::gate::registry().iter().copied().filter(|law| law.scope() == Scope::Every).collect();
    let (networks, grams) = (networks(), grams());
    let seed = context.seed;
    let network = |index| tree(&networks, seed, NETWORK, index);
    let gram = |index| tree(&grams, seed, GRAM, index);
    let (all_networks, all_grams) = generated_cases(seed, count);
    let drawn = context.on_cases(all_networks, all_grams);
    let mut outcomes = run(&laws, &drawn, only, origin.into().with_cases(count), progress);
    let mut counterexamples: Vec<Counterexample> = Vec::new();
    for outcome in outcomes.iter_mut().filter(|outcome| outcome.verdict == Verdict::Fail) {
        let known = |other: &Counterexample| other.law == outcome.law && other.estimator == outcome.estimator;
        let compared = outcome.measured.is_some();
        if counterexamples.len() == MOST_SHRUNK || counterexamples.iter().any(known) || !(compared || restartable) {
            continue;
        }
        let law = laws.iter().find(|law| law.id() == outcome.law).expect("it was run");
        let index: usize =
            outcome.case.strip_prefix("generated-").and_then(|text| text.parse().ok()).expect("named so");
        let name = format!("smallest-{}", counterexamples.len());
        let failure = |context: Context| {
            let check = law.checks(&context).into_iter().find(|check| check.estimator == outcome.estimator)?;
            let finding = check.decide();
            (finding.verdict == Verdict::Fail && finding.measured.is_some() == compared).then_some(finding)
        };
        progress(0, 0, &format!("shrinking {}/{}/{}", outcome.law, outcome.estimator, outcome.case));
        let shrunk = if law.is_of_networks() {
            let fails = |draw: &NetworkDraw| failure(context.on_cases(vec![draw.case(&name)], Vec::new()));
            shrink(network(index), fails)
                .map(|(draw, finding)| (draw.describe(), Content::Network(Arc::new(draw.case(&name))), finding))
        } else {
            let fails = |draw: &GramDraw| failure(context.on_cases(Vec::new(), vec![draw.case(&name)]));
            shrink(gram(index), fails)
                .map(|(draw, finding)| (draw.describe(), Content::Gram(Arc::new(draw.case(&name))), finding))
        };
        // A failure that does not come again, under another seed of its law or from a command of moods, stays as it is.
        let Some((smallest, body, finding)) = shrunk else { continue };
        let reason = printable(&finding.reason);
        outcome.reason += &format!("; smallest case that fails: {smallest}: {reason}");
        counterexamples.push(Counterexample {
            law: outcome.law.clone(),
            estimator: outcome.estimator.clone(),
            case: outcome.case.clone(),
            smallest,
            reason,
            body,
        });
    }
    (outcomes, counterexamples)
}
