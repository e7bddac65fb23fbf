//! Trains the networks, rescales and measures them.

use crate::data::{self, Dataset};
use crate::demonstration::DemonstrationError;
use crate::flatness::{self, Measure, Options, Point};
use crate::gate::{Context, Finding, Outcome, Tier};
use crate::kernel;
use crate::model::architecture::{DEFAULT_BIAS_STD, DEFAULT_WEIGHT_STD};
use crate::model::{Activation, Architecture, Loss, Model, Network};
use crate::numeric::serialize_real;
use crate::numeric::tolerance::{CURVATURE_AGREEMENT, PRIOR_SYMMETRY};
use crate::prior::{self, Gram, Labels, Link, LogProbMethod, PriorOptions};
use crate::rescale::{LayerAlpha, Rescaling, logit_rounding_bound};
use crate::train::Trainer;
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use serde::Serialize;
use std::sync::Arc;

const WIDTHS: [usize; 4] = [64, 40, 40, 1];
/// Rate of plain SGD; with it every network here reaches zero error within a second or two.
const LEARNING_RATE: f64 = 0.05;
const LAYER: usize = 0;
const ALPHAS: [f64; 3] = [2.0, 5.9, 1.0 / 5.9];
/// Laws of the demonstration begin with this.
const LAW: &str = "demonstration";
/// What is checked of each rescaled network: the law and what is held to it.
const CHECKS: [(&str, &str); 5] = [
    ("function", "network"),
    ("prediction", "keskar_sharpness"),
    ("prediction", "hessian_trace"),
    ("prediction", "hessian_max_eigenvalue"),
    ("prior", "ep-step"),
];

fn architecture() -> Architecture {
    Architecture::fully_connected(&WIDTHS, Activation::Relu, DEFAULT_WEIGHT_STD, DEFAULT_BIAS_STD)
}

fn network_name(attack: usize) -> String {
    format!("digits+{attack}")
}

fn case_name(network: &str, alpha: f64) -> String {
    format!("{network}-alpha-{alpha:.4}")
}

/// Networks trained on digits, before and after rescaling.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Demonstration {
    /// What was trained on what, in one sentence.
    pub setting: String,
    /// The networks.
    pub networks: Vec<TrainedNetwork>,
}

/// One network with its rescaled twins.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TrainedNetwork {
    /// Name: how many points with flipped labels it was trained on besides the training set.
    pub name: String,
    /// Epochs to zero error on the training set.
    pub epochs: usize,
    /// Accuracy on the test set.
    pub test_accuracy: f64,
    /// The network as trained, then rescaled.
    pub rows: Vec<Row>,
}

/// What was measured on one network.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Row {
    /// The factor; `None` for the network as trained.
    pub alpha: Option<f64>,
    /// Keskar sharpness on the training set.
    #[serde(serialize_with = "serialize_real")]
    pub sharpness: f64,
    /// What it must be by the transported box.
    #[serde(serialize_with = "serialize_real")]
    pub sharpness_predicted: f64,
    /// Hessian trace.
    #[serde(serialize_with = "serialize_real")]
    pub trace: f64,
    /// What it must be by the transported diagonal.
    #[serde(serialize_with = "serialize_real")]
    pub trace_predicted: f64,
    /// Largest eigenvalue of the Hessian.
    #[serde(serialize_with = "serialize_real")]
    pub eigenvalue: f64,
    /// What it must be by the transported Hessian.
    #[serde(serialize_with = "serialize_real")]
    pub eigenvalue_predicted: f64,
    /// log P(f) on training and test inputs, f recomputed by this network; EP, step link.
    #[serde(serialize_with = "serialize_real")]
    pub log_prob: f64,
    /// Labels in which f differs from that of the network as trained.
    pub labels_flipped: usize,
    /// Largest movement of a logit over its rounding bound.
    #[serde(serialize_with = "serialize_real")]
    pub movement_over_bound: f64,
}

/// The demonstration and what it says of the laws; `None` where `only` asks for none of its cases.
///
/// # Errors
/// [`DemonstrationError`], where a network cannot be trained or measured at all.
pub fn demonstrate(
    context: &Context,
    only: Option<&str>,
    command: &str,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Option<(Demonstration, Vec<Outcome>)>, DemonstrationError> {
    let mut plan = Plan::new(context);
    let wanted = |outcome: &Outcome| {
        only.is_none_or(|only| format!("{}/{}/{}", outcome.law, outcome.estimator, outcome.case).contains(only))
    };
    plan.attacks.retain(|attack| addresses(*attack).any(|address| only.is_none_or(|only| address.contains(only))));
    if plan.attacks.is_empty() {
        return Ok(None);
    }
    let networks: Vec<TrainedNetwork> = plan
        .attacks
        .par_iter()
        .map(|&attack| {
            let network = plan.network(context, attack)?;
            progress(&format!("{LAW}: {}", network.name));
            Ok(network)
        })
        .collect::<Result<_, DemonstrationError>>()?;
    let mut outcomes: Vec<Outcome> = networks.iter().flat_map(|network| outcomes(network, context, command)).collect();
    outcomes.retain(wanted);
    let setting = format!(
        "{} on digits (label: digit >= 5), {} training and {} test images, SGD to zero training error; \
         layer {LAYER} divided by alpha, layer {} multiplied",
        architecture(),
        plan.train,
        plan.test,
        LAYER + 1
    );
    Ok(Some((Demonstration { setting, networks }, outcomes)))
}

/// Every `law/estimator/case` of a network, known before it is trained.
fn addresses(attack: usize) -> impl Iterator<Item = String> {
    let cases = ALPHAS.into_iter().map(move |alpha| case_name(&network_name(attack), alpha));
    cases.flat_map(|case| CHECKS.map(|(law, estimator)| format!("{LAW}.{law}/{estimator}/{case}")))
}

/// Sizes and seeds of the demonstration.
struct Plan {
    train: usize,
    test: usize,
    attacks: Vec<usize>,
    digits: Dataset,
}

impl Plan {
    fn new(context: &Context) -> Self {
        let (train, test, attacks) = match context.tier {
            Tier::Quick => (300, 100, vec![0, 100, 200]),
            Tier::Full => (500, 300, vec![0, 50, 100, 150, 200, 250, 300]),
        };
        let digits = data::load("digits").expect("the embedded digits load");
        Self { train, test, attacks, digits }
    }

    /// Trains a network on S and `attack` further images with flipped labels, and measures it.
    fn network(&self, context: &Context, attack: usize) -> Result<TrainedNetwork, DemonstrationError> {
        let name = network_name(attack);
        let fault = DemonstrationError::of(&name);
        let streams = context.streams("digits");
        // The same S and E for every network: the attack set is dealt last.
        let dealt =
            self.digits.split(self.test + self.train + attack, 0, streams).map_err(|error| fault(error.into()))?.train;
        let indices: Vec<usize> = (0..dealt.len()).collect();
        let (test, train) = indices.split_at(self.test);
        let (test, mut train) = (dealt.rows(test), dealt.rows(train));
        for label in train.targets.iter_mut().skip(self.train) {
            *label = 1.0 - *label;
        }
        let model = Arc::new(Model::new(architecture()).expect("the architecture is sound"));
        let start = Network::sample(Arc::clone(&model), streams.child("network", attack as u64));
        let trainer = Trainer { learning_rate: Some(LEARNING_RATE), seed: context.seed, ..Trainer::default() };
        let trained =
            trainer.run_with_attack(start, &train, self.train, &mut |_| ()).map_err(|error| fault(error.into()))?;
        let epochs = trained.zero_error_epoch.ok_or_else(|| fault("zero training error was not reached".into()))?;

        let clean = train.rows(&(0..self.train).collect::<Vec<_>>());
        let inputs = Dataset::stacked_inputs(&[&clean, &test]);
        let gram = kernel::nngp(model.architecture(), inputs.view()).map_err(|error| fault(error.into()))?;
        let gram = Gram::new(gram).map_err(|error| fault(error.into()))?;
        let logits = trained.network.logits(test.inputs.view());
        let right = logits.iter().zip(&test.targets).filter(|(logit, label)| (**logit > 0.0) == (**label > 0.5));
        let test_accuracy = right.count() as f64 / test.len() as f64;
        let bench = Bench { context, network: &trained.network, clean: &clean, inputs: inputs.view(), gram: &gram };
        let alphas = [None].into_iter().chain(ALPHAS.map(Some));
        let rows = alphas.map(|alpha| bench.row(alpha)).collect::<Result<_, _>>().map_err(fault)?;
        Ok(TrainedNetwork { name, epochs, test_accuracy, rows })
    }
}

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// A trained network with what it is measured on.
struct Bench<'b> {
    context: &'b Context<'b>,
    network: &'b Network,
    clean: &'b Dataset,
    inputs: ArrayView2<'b, f64>,
    gram: &'b Gram,
}

impl Bench<'_> {
    fn point<'n>(&'n self, network: &'n Network) -> Result<Point<'n>, Fault> {
        Ok(Point::of(network, Loss::Bce, self.clean.inputs.view(), self.clean.targets.view())?)
    }

    fn row(&self, alpha: Option<f64>) -> Result<Row, Fault> {
        let map = LayerAlpha { layer: LAYER, alpha: alpha.unwrap_or(1.0) };
        let action = map.action(&self.network.model)?;
        let rescaled = map.apply(self.network)?;
        let before = self.point(self.network)?;
        let after = self.point(&rescaled)?;
        let options = Options::default();
        // Measured by the estimator under test, predicted by the registry's definition.
        let measure = |id: &str| -> Result<[f64; 2], Fault> {
            let definition = flatness::find(id).expect("a registered measure");
            let subject: &dyn Measure =
                self.context.measures.iter().copied().find(|measure| measure.id() == id).unwrap_or(definition);
            let measured = subject.evaluate(&after, &options)?;
            let predicted =
                definition.predict(&before, &action, &options).expect("the measures of the demonstration predict")?;
            Ok([measured.value, predicted.value])
        };
        let [sharpness, sharpness_predicted] = measure("keskar_sharpness")?;
        let [trace, trace_predicted] = measure("hessian_trace")?;
        let [eigenvalue, eigenvalue_predicted] = measure("hessian_max_eigenvalue")?;

        let (logits, original) = (rescaled.logits(self.inputs), self.network.logits(self.inputs));
        let bound = logit_rounding_bound(self.network, self.inputs).expect("the network is homogeneous");
        let (labels, unscaled) = (Labels::from_logits(&logits), Labels::from_logits(&original));
        let labels_flipped = labels.signs().iter().zip(unscaled.signs()).filter(|(a, b)| a != b).count();
        let ep: &dyn LogProbMethod = self
            .context
            .priors
            .iter()
            .copied()
            .find(|method| method.id() == "ep")
            .unwrap_or_else(|| prior::find("ep").expect("a registered method"));
        let options = PriorOptions { link: Link::Step, ..PriorOptions::default() };
        let answer = ep.log_prob(self.gram, &labels, &options)?;
        Ok(Row {
            alpha,
            sharpness,
            sharpness_predicted,
            trace,
            trace_predicted,
            eigenvalue,
            eigenvalue_predicted,
            log_prob: answer.estimate.value,
            labels_flipped,
            movement_over_bound: movement(&logits, &original, &bound),
        })
    }
}

/// The largest movement of a logit in units of its bound; NaN if any is.
fn movement(after: &Array2<f64>, before: &Array2<f64>, bound: &Array2<f64>) -> f64 {
    (after.iter().zip(before).zip(bound))
        .map(|((after, before), bound)| (after - before).abs() / bound)
        .fold(0.0, |top: f64, ratio| if ratio > top || ratio.is_nan() { ratio } else { top })
}

fn outcomes(network: &TrainedNetwork, context: &Context, command: &str) -> Vec<Outcome> {
    let tier = context.by_tier("quick", "full");
    let original = &network.rows[0];
    let mut outcomes = Vec::new();
    for row in &network.rows {
        let Some(alpha) = row.alpha else { continue };
        let case = case_name(&network.name, alpha);
        let curvature =
            |measured: f64, expected: f64| Finding::compare(measured, expected, CURVATURE_AGREEMENT * expected.abs());
        let prior_tolerance = PRIOR_SYMMETRY * (1.0 + original.log_prob.abs());
        let findings = [
            Finding::at_most(row.movement_over_bound, 1.0, "movement over rounding bound"),
            curvature(row.sharpness, row.sharpness_predicted),
            curvature(row.trace, row.trace_predicted),
            curvature(row.eigenvalue, row.eigenvalue_predicted),
            if row.labels_flipped == 0 {
                Finding::compare(row.log_prob, original.log_prob, prior_tolerance)
            } else {
                Finding::skip(format!("{} labels within the rounding bound flipped", row.labels_flipped))
            },
        ];
        for ((law, estimator), finding) in CHECKS.into_iter().zip(findings) {
            let law = format!("{LAW}.{law}");
            let reproduce =
                format!("{command} --tier {tier} --seed {} --only '{law}/{estimator}/{case}'", context.seed);
            outcomes.push(Outcome::new(&law, estimator, &case, finding, reproduce));
        }
    }
    outcomes
}
