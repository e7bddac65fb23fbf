//! Boolean functions: P(f) by counting, complexity, what optimisers find, and flatness (figure 2 of the paper).

use crate::data::load;
use crate::flatness::{self, Options, Point};
use crate::function::{CountOptions, Counts, Function, Sampler, Task, count, lempel_ziv_complexity, optimise};
use crate::model::architecture::{DEFAULT_BIAS_STD, DEFAULT_WEIGHT_STD};
use crate::model::{Activation, Architecture, Loss, Objective};
use crate::numeric::Streams;
use crate::numeric::correlation::{pearson, spearman};
use crate::study::predictors::verdict;
use crate::study::{
    Axis, Defaults, Desk, Figure, Findings, Panel, Progress, Request, Series, Setting, Study, StudyError, Style, Table,
    Verdict, real,
};
use crate::train::{OptimizerSettings, Trainer};
use ndarray::{Array2, Axis as Direction};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const INPUTS: usize = 128;
const WIDTHS: [usize; 4] = [7, 40, 40, 1];
/// Inputs of the training set.
const TRAINING: usize = 64;
/// Networks drawn from the prior.
const DRAWN: u64 = 10_000_000;
const QUICK_DRAWN: u64 = 300_000;
/// Trainings of each optimiser.
const TRAININGS: u64 = 500;
const QUICK_TRAININGS: u64 = 60;
/// Trainings whose networks are measured.
const MEASURED: usize = 100;
/// The target is the most frequent function with at least so many inputs of either label.
const LEAST_MINORITY: usize = 12;
/// Functions of the rank plot, evenly spaced in the logarithm of the rank.
const SHOWN: usize = 300;
/// Fewest networks by which P(f) is known well enough to be compared: its relative standard error is then a third.
const FEWEST: u64 = 9;

/// Registry entry.
pub(super) struct BooleanStudy;

/// A frequent function.
#[derive(Serialize, Deserialize)]
struct Frequent {
    rank: usize,
    probability: f64,
    complexity: f64,
}

/// A function that fits S: how often the prior and an optimiser find it, given S.
#[derive(Serialize, Deserialize)]
struct Fitting {
    optimizer: String,
    function: String,
    prior_count: u64,
    given_prior: f64,
    given_optimizer: f64,
}

/// A trained network.
#[derive(Serialize, Deserialize)]
struct Network {
    optimizer: String,
    seed: u64,
    /// `None` if no network of the sample has its function.
    log_prob: Option<f64>,
    error: f64,
    sharpness: f64,
    complexity: f64,
}

#[derive(Serialize, Deserialize)]
struct Counted {
    frequent: Vec<Frequent>,
    distinct: usize,
    target: String,
    training: Vec<usize>,
    fit_the_training_set: u64,
    fitting: Vec<Fitting>,
    networks: Vec<Network>,
    unfinished: Vec<(String, usize)>,
}

impl Study for BooleanStudy {
    fn id(&self) -> &'static str {
        "boolean"
    }

    fn summary(&self) -> &'static str {
        "Boolean functions of 7 inputs: P(f) by counting, complexity, P_OPT against P_B, flatness and error against P(f)"
    }

    fn source(&self) -> &'static str {
        "Zhang et al. 2021, figure 2; Mingard et al. 2021"
    }

    fn run(&self, request: &Request, desk: &Desk) -> Result<Findings, StudyError> {
        let optimizers: &[&str] = if request.quick { &["sgd", "adam"] } else { &["sgd", "adam", "adagrad", "rmsprop"] };
        let checked = Setting::resolve(
            &Request { data: "digits".to_owned(), train: None, test: None, attacks: None, ..request.clone() },
            &Defaults { seeds: 1, train: 1, attacks: 1, optimizers },
        )?;
        let (drawn, trainings) = if request.quick { (QUICK_DRAWN, QUICK_TRAININGS) } else { (DRAWN, TRAININGS) };
        let key = json!({
            "drawn": drawn,
            "trainings": trainings,
            "optimizers": checked.optimizers,
            "seed": request.seed,
        });
        let counted =
            desk.cache.get("boolean", &key, || explore(&checked.optimizers, drawn, trainings, request.seed, desk))?;
        let sentence = format!(
            "fcn:7-40-40-1 (ReLU, one logit) on all {INPUTS} inputs: {drawn} networks drawn from the prior; |S| = {TRAINING}, \
             E the other inputs, {trainings} trainings with each of {}, mini-batches of 16, binary cross-entropy, to zero \
             training error",
            checked.optimizers.join(", ")
        );
        let mut findings = Findings::new(self.id(), sentence, &[request.seed]);
        record(&mut findings, &counted);
        judge(&mut findings, &counted, &checked.optimizers);
        findings.notes.extend(
            counted
                .unfinished
                .iter()
                .filter(|(_, count)| *count > 0)
                .map(|(optimizer, count)| format!("{count} trainings with {optimizer} did not reach zero error")),
        );
        findings.notes.push("The study makes its own data: --data and the sizes of sets do not concern it.".to_owned());
        findings.tables = tables(&counted);
        findings.figures = figures(&counted, &checked.optimizers);
        Ok(findings)
    }
}

fn architecture() -> Architecture {
    Architecture::fully_connected(&WIDTHS, Activation::Relu, DEFAULT_WEIGHT_STD, DEFAULT_BIAS_STD)
}

fn explore(optimizers: &[String], drawn: u64, trainings: u64, seed: u64, desk: &Desk) -> Result<Counted, StudyError> {
    let tell = |phase, done, total| (desk.progress)(Progress { phase, done, total });
    let inputs = load("boolean:7")?.inputs;
    let sampler = Sampler::new(architecture(), inputs.clone(), seed)?;
    let progress = |counted: u64, _: usize| tell("counting", counted as usize, drawn as usize);
    let counts = count(&sampler, drawn, &CountOptions { progress: Some(&progress), ..CountOptions::new(&sampler) })?;
    let target = counts
        .ranked()
        .map(|(function, _)| function)
        .find(|function| {
            let ones = function.labels().iter().filter(|label| **label).count();
            ones.min(INPUTS - ones) >= LEAST_MINORITY
        })
        .ok_or_else(|| StudyError::Network {
            network: "sample".to_owned(),
            reason: "no function with enough inputs of either label was drawn".to_owned(),
        })?;
    let mut order: Vec<usize> = (0..INPUTS).collect();
    order.shuffle(&mut Streams::new(seed).stream("training inputs", 0));
    let (training, test) = order.split_at(TRAINING);
    let task = Task { inputs: inputs.clone(), target: target.clone(), training: training.to_vec() };
    let given = counts.given(&task.labelled());
    let (mut fitting, mut networks, mut unfinished) = (Vec::new(), Vec::new(), Vec::new());
    for (index, optimizer) in optimizers.iter().enumerate() {
        tell("training", index, optimizers.len());
        let trainer = Trainer { optimizer: OptimizerSettings::named(optimizer), batch_size: 16, ..Trainer::default() };
        let optimised = optimise(&architecture(), &trainer, &task, seed..seed.saturating_add(trainings))?;
        unfinished.push((optimizer.clone(), optimised.unfinished.len()));
        let total = optimised.counts.networks().max(1) as f64;
        for (function, found) in optimised.counts.ranked() {
            let prior_count = given.count(&function);
            fitting.push(Fitting {
                optimizer: optimizer.clone(),
                function: function.to_string(),
                prior_count,
                given_prior: prior_count as f64 / given.networks().max(1) as f64,
                given_optimizer: found as f64 / total,
            });
        }
        let of_training: Vec<f64> = training.iter().map(|&input| f64::from(u8::from(target.label(input)))).collect();
        let targets = Array2::from_shape_vec((TRAINING, 1), of_training).expect("one label an input");
        let measured: Result<Vec<Network>, StudyError> = optimised
            .found
            .par_iter()
            .take(MEASURED)
            .map(|found| {
                let chosen = inputs.select(Direction(0), training);
                let objective = Objective::new(&found.network, Loss::Bce, chosen.view(), targets.view())?;
                let point = Point::new(objective, &found.network.theta);
                let measure = flatness::find("keskar_sharpness").expect("a registered measure");
                let wrong = test.iter().filter(|&&input| found.function.label(input) != target.label(input)).count();
                let count = counts.count(&found.function);
                Ok(Network {
                    optimizer: optimizer.clone(),
                    seed: found.seed,
                    log_prob: (count > 0).then(|| (count as f64 / drawn as f64).ln()),
                    error: wrong as f64 / test.len() as f64,
                    sharpness: measure.evaluate(&point, &Options::default())?.value,
                    complexity: lempel_ziv_complexity(&found.function),
                })
            })
            .collect();
        networks.extend(measured?);
        tell("training", index + 1, optimizers.len());
    }
    Ok(Counted {
        frequent: frequent(&counts),
        distinct: counts.functions(),
        target: target.to_string(),
        training: training.to_vec(),
        fit_the_training_set: given.networks(),
        fitting,
        networks,
        unfinished,
    })
}

/// Functions at ranks that are evenly spaced in their logarithm.
fn frequent(counts: &Counts) -> Vec<Frequent> {
    let last = counts.functions().max(2) as f64;
    let mut wanted: Vec<usize> =
        (0..SHOWN).map(|step| last.powf(step as f64 / (SHOWN - 1) as f64).round() as usize).collect();
    wanted.dedup();
    let of = |(index, (function, found)): (usize, (Function, u64))| Frequent {
        rank: index + 1,
        probability: found as f64 / counts.networks() as f64,
        complexity: lempel_ziv_complexity(&function),
    };
    counts.ranked().enumerate().filter(|(index, _)| wanted.binary_search(&(index + 1)).is_ok()).map(of).collect()
}

fn record(findings: &mut Findings, counted: &Counted) {
    findings.record("target", &counted.target);
    findings.record("training", &counted.training);
    findings.record("distinct_functions", counted.distinct);
    findings.record("networks_that_fit", counted.fit_the_training_set);
    findings.record("frequent", &counted.frequent);
    findings.record("fitting", &counted.fitting);
    let networks: Vec<Value> = counted
        .networks
        .iter()
        .map(|one| {
            json!({
                "optimizer": one.optimizer,
                "seed": one.seed,
                "log_prob": real(one.log_prob),
                "error": one.error,
                "keskar_sharpness": real(Some(one.sharpness)),
                "complexity": one.complexity,
            })
        })
        .collect();
    findings.record("networks", networks);
}

fn judge(findings: &mut Findings, counted: &Counted, optimizers: &[String]) {
    let text = |r: Option<f64>| r.map_or("not defined".to_owned(), |r| format!("{r:.3}"));
    let (complexity, log): (Vec<f64>, Vec<f64>) =
        counted.frequent.iter().map(|one| (one.complexity, one.probability.ln())).unzip();
    let r = spearman(&complexity, &log);
    let top = counted.frequent.first().map_or(0.0, |one| one.probability);
    findings.claim(
        "The prior is biased towards simple functions: P(f) falls as complexity rises.",
        if r.is_some_and(|r| r < -0.5) { Verdict::Holds } else { Verdict::Fails },
        format!(
            "{} distinct functions were drawn, of 2^{INPUTS}; the most frequent has P(f) = {top:.3}. Spearman's coefficient of \
             log P(f) and Lempel-Ziv complexity is {}.",
            counted.distinct,
            text(r)
        ),
    );
    let mut strong = 0;
    let mut texts = Vec::new();
    for optimizer in optimizers {
        let (prior, found): (Vec<f64>, Vec<f64>) = counted
            .fitting
            .iter()
            .filter(|one| one.optimizer == *optimizer && one.prior_count >= FEWEST)
            .map(|one| (one.given_prior.ln(), one.given_optimizer.ln()))
            .unzip();
        let r = pearson(&prior, &found);
        strong += usize::from(r.is_some_and(|r| r >= 0.5));
        texts.push(format!("{optimizer} {} over {} functions", text(r), prior.len()));
    }
    findings.claim(
        "Optimisers find functions about as often as the prior given the training set does.",
        verdict(strong, optimizers.len()),
        format!(
            "Pearson's coefficient of log P_OPT(f|S) and log P_B(f|S), over functions that at least {FEWEST} of the {} sampled \
             networks which fit S express: {}.",
            counted.fit_the_training_set,
            texts.join(", ")
        ),
    );
    let known: Vec<(&Network, f64)> = counted.networks.iter().filter_map(|one| Some((one, one.log_prob?))).collect();
    let log_prob: Vec<f64> = known.iter().map(|(_, log_prob)| *log_prob).collect();
    let error: Vec<f64> = known.iter().map(|(one, _)| one.error).collect();
    let sharpness: Vec<f64> = known.iter().map(|(one, _)| one.sharpness.log10()).collect();
    let (of_log_prob, of_sharpness) = (spearman(&log_prob, &error), spearman(&sharpness, &error));
    findings.claim(
        "The error falls as P(f) rises, more surely than it rises with sharpness.",
        match (of_log_prob, of_sharpness) {
            (Some(p), Some(s)) if p < 0.0 && p.abs() > s.abs() => Verdict::Holds,
            (Some(p), _) if p < 0.0 => Verdict::Partly,
            _ => Verdict::Fails,
        },
        format!(
            "Over {} of {} trained networks whose function was drawn from the prior too, Spearman's coefficient with the error \
             is {} for log P(f) and {} for sharpness.",
            known.len(),
            counted.networks.len(),
            text(of_log_prob),
            text(of_sharpness)
        ),
    );
}

fn tables(counted: &Counted) -> Vec<Table> {
    let mut frequent = Table::new("frequent", "Functions by rank", &["rank", "probability", "complexity"]);
    frequent.on_page = false;
    for one in &counted.frequent {
        frequent.row(vec![one.rank.into(), one.probability.into(), one.complexity.into()]);
    }
    let columns = ["optimizer", "function", "prior_count", "given_prior", "given_optimizer"];
    let mut fitting = Table::new("fitting", "Functions that fit S", &columns);
    fitting.on_page = false;
    for one in &counted.fitting {
        fitting.row(vec![
            (&one.optimizer).into(),
            (&one.function).into(),
            one.prior_count.into(),
            one.given_prior.into(),
            one.given_optimizer.into(),
        ]);
    }
    let columns = ["optimizer", "seed", "log_prob", "error", "keskar_sharpness", "complexity"];
    let mut networks = Table::new("networks", "Trained networks", &columns);
    networks.on_page = false;
    for one in &counted.networks {
        networks.row(vec![
            (&one.optimizer).into(),
            one.seed.into(),
            one.log_prob.into(),
            one.error.into(),
            one.sharpness.into(),
            one.complexity.into(),
        ]);
    }
    vec![frequent, fitting, networks]
}

fn figures(counted: &Counted, optimizers: &[String]) -> Vec<Figure> {
    let marks = |name: &str, points: Vec<(f64, f64)>, colour| Series {
        name: name.to_owned(),
        points,
        style: Style::Marks,
        colour,
    };
    let by_optimizer = |points: &dyn Fn(&str) -> Vec<(f64, f64)>| -> Vec<Series> {
        optimizers.iter().enumerate().map(|(colour, id)| marks(id, points(id), colour)).collect()
    };
    let ranks = counted.frequent.iter().map(|one| (one.rank as f64, one.probability)).collect();
    let complexities = counted.frequent.iter().map(|one| (one.complexity, one.probability)).collect();
    let mut found = vec![Series {
        name: "equal".to_owned(),
        points: [1e-3, 1e-2, 1e-1, 1.0].map(|value| (value, value)).to_vec(),
        style: Style::Line,
        colour: 6,
    }];
    found.extend(by_optimizer(&|id| {
        let own = counted.fitting.iter().filter(|one| one.optimizer == id && one.prior_count > 0);
        own.map(|one| (one.given_prior, one.given_optimizer)).collect()
    }));
    let networks = |x: fn(&Network) -> Option<f64>| {
        by_optimizer(&|id| {
            let own = counted.networks.iter().filter(|one| one.optimizer == id);
            own.filter_map(|one| Some((x(one)?, 100.0 * one.error))).collect()
        })
    };
    let panel = |title: &str, x: Axis, y: Axis, series| Panel { title: title.to_owned(), x, y, series };
    vec![Figure {
        name: "boolean".to_owned(),
        caption:
            "Above: probability of functions by rank and by complexity; what optimisers find given S against the prior \
                  given S. Below: error on E of trained networks against log P(f) and against sharpness."
                .to_owned(),
        panels: vec![
            panel("P(f) by rank", Axis::log("rank"), Axis::log("P(f)"), vec![marks("", ranks, 6)]),
            panel(
                "P(f) by complexity",
                Axis::linear("Lempel-Ziv complexity (bits)"),
                Axis::log("P(f)"),
                vec![marks("", complexities, 6)],
            ),
            panel("What optimisers find", Axis::log("P_B(f|S)"), Axis::log("P_OPT(f|S)"), found),
            panel(
                "Error against log P(f)",
                Axis::linear("log P(f), counted (nats)"),
                Axis::linear("error on E (percent)"),
                networks(|one| one.log_prob),
            ),
            panel(
                "Error against sharpness",
                Axis::linear("log10 Keskar sharpness (percent)"),
                Axis::linear("error on E (percent)"),
                networks(|one| Some(one.sharpness.log10())),
            ),
        ],
        columns: 3,
    }]
}
