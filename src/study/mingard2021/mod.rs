//! Boolean functions given a training set: what optimisers find against the prior given S (Mingard, Valle-Perez, Skalse and
//! Louis 2021).

mod counted;
mod judge;

use counted::{Counted, FEWEST, Fitting, Network, SHARPNESSES};

use crate::data::load;
use crate::flatness::{Options, Point};
use crate::function::{CountOptions, Sampler, count, lempel_ziv_complexity};
use crate::model::architecture::{DEFAULT_BIAS_STD, DEFAULT_WEIGHT_STD};
use crate::model::{Activation, Architecture, Loss};
use crate::numeric::Streams;
use crate::study::counted::{INPUTS, SGD_ASCENT_EPOCHS, complexities};
use crate::study::measured::Choices;
use crate::study::optimised::{Task, optimise};
use crate::study::{
    Axis, Defaults, Figure, Findings, Panel, Progress, Request, Series, Setting, Study, StudyError, Style, Table,
    Workspace, real,
};
use crate::train::Trainer;
use ndarray::{Array2, Axis as Direction};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

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
/// The target is the most frequent function with at least this many inputs of either label.
const LEAST_MINORITY: usize = 12;
/// Rows of a mini-batch unless asked.
const BATCH: usize = 16;

/// Registry entry.
pub(super) struct MingardStudy;

impl Study for MingardStudy {
    fn id(&self) -> &'static str {
        "mingard_2021"
    }

    fn summary(&self) -> &'static str {
        "Boolean functions of 7 inputs given half of them: P_OPT against P_B, error against P(f) and sharpness"
    }

    fn source(&self) -> &'static str {
        "Mingard, Valle-Perez, Skalse and Louis 2021"
    }

    fn run(&self, request: &Request, workspace: &Workspace) -> Result<Findings, StudyError> {
        request.refuse_architecture("of the shape 7-40-40-1")?;
        let optimizers: &[&str] = if request.quick { &["sgd", "adam"] } else { &["sgd", "adam", "adagrad", "rmsprop"] };
        let checked = Setting::resolve(
            &Request { data: "digits".to_owned(), train: None, test: None, attacks: None, ..request.clone() },
            &Defaults { seeds: 1, train: Some(1), attacks: 1, optimizers },
        )?;
        let (drawn, trainings) = if request.quick { (QUICK_DRAWN, QUICK_TRAININGS) } else { (DRAWN, TRAININGS) };
        let mut choices = Choices::new(request, Some(&["keskar_sharpness", "keskar_sharpness_sgd"]))?;
        choices.options = Options { epochs: SGD_ASCENT_EPOCHS, ..Options::default() };
        let trainer = |id: &str| Trainer {
            optimizer: checked.optimizer(id),
            learning_rate: checked.rates.of(id),
            batch_size: request.batch.unwrap_or(BATCH),
            extra_epochs: checked.extra_epochs,
            ..Trainer::default()
        };
        let trainers: Vec<Trainer> = checked.optimizers.iter().map(|id| trainer(id)).collect();
        let key = json!({
            "drawn": drawn,
            "trainings": trainings,
            "trainers": trainers,
            "measures": choices.names(),
            "options": choices.options,
            "seed": request.seed,
        });
        let counted = workspace
            .cache
            .get("mingard_2021", &key, || explore(&trainers, drawn, trainings, request.seed, &choices, workspace))?;
        let sentence = format!(
            "fcn:7-40-40-1 (ReLU, one logit) on all {INPUTS} inputs: {drawn} networks drawn from the prior; |S| = {TRAINING}, \
             E the other inputs, {trainings} trainings with each of {}, mini-batches of {}, binary cross-entropy, to zero \
             training error",
            checked.optimizers.join(", "),
            request.batch.unwrap_or(BATCH)
        );
        let mut findings = Findings::new(self.id(), sentence, &[request.seed]);
        record(&mut findings, &counted);
        judge::judge(&mut findings, &counted, &checked.optimizers, request.seed);
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

fn explore(
    trainers: &[Trainer],
    drawn: u64,
    trainings: u64,
    seed: u64,
    choices: &Choices,
    workspace: &Workspace,
) -> Result<Counted, StudyError> {
    let tell = |phase, done, total| (workspace.progress)(Progress { phase, done, total });
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
    for (index, trainer) in trainers.iter().enumerate() {
        tell("training", index, trainers.len());
        let optimizer = &trainer.optimizer.id;
        let optimised = optimise(&architecture(), trainer, &task, seed..seed.saturating_add(trainings))?;
        unfinished.push((optimizer.clone(), optimised.unfinished.len()));
        let total = optimised.counts.network_count().max(1) as f64;
        for (function, found) in optimised.counts.ranked() {
            let prior_count = given.count(&function);
            fitting.push(Fitting {
                optimizer: optimizer.clone(),
                function: function.to_string(),
                prior_count,
                given_prior: prior_count as f64 / given.network_count().max(1) as f64,
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
                let point = Point::of(&found.network, Loss::Bce, chosen.view(), targets.view())?;
                let flatness = choices
                    .measures
                    .iter()
                    .map(|measure| Ok((measure.id().to_owned(), measure.evaluate(&point, &choices.options)?.value)))
                    .collect::<Result<_, StudyError>>()?;
                let wrong = test.iter().filter(|&&input| found.function.label(input) != target.label(input)).count();
                let count = counts.count(&found.function);
                Ok(Network {
                    optimizer: optimizer.clone(),
                    seed: found.seed,
                    log_prob: (count > 0).then(|| (count as f64 / drawn as f64).ln()),
                    error: wrong as f64 / test.len() as f64,
                    flatness,
                    complexity: lempel_ziv_complexity(&found.function),
                })
            })
            .collect();
        networks.extend(measured?);
        tell("training", index + 1, trainers.len());
    }
    Ok(Counted {
        frequent: complexities(&counts),
        distinct: counts.function_count(),
        target: target.to_string(),
        training: training.to_vec(),
        fit_the_training_set: given.network_count(),
        fitting,
        networks,
        unfinished,
    })
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
            let mut document = json!({
                "optimizer": one.optimizer,
                "seed": one.seed,
                "log_prob": real(one.log_prob),
                "error": one.error,
                "complexity": one.complexity,
            });
            for (name, value) in &one.flatness {
                document[name] = real(Some(*value));
            }
            document
        })
        .collect();
    findings.record("networks", networks);
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
    let names: Vec<&String> =
        counted.networks.iter().flat_map(|one| one.flatness.keys()).collect::<BTreeSet<_>>().into_iter().collect();
    let mut columns = vec!["optimizer", "seed", "log_prob", "error", "complexity"];
    columns.extend(names.iter().map(|name| name.as_str()));
    let mut networks = Table::new("networks", "Trained networks", &columns);
    networks.on_page = false;
    for one in &counted.networks {
        let mut row = vec![
            (&one.optimizer).into(),
            one.seed.into(),
            one.log_prob.into(),
            one.error.into(),
            one.complexity.into(),
        ];
        row.extend(names.iter().map(|name| one.flatness.get(*name).copied().into()));
        networks.row(row);
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
        name: "mingard_2021".to_owned(),
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
                networks(|one| Some(one.flatness.get(SHARPNESSES[0])?.log10())),
            ),
        ],
        columns: 3,
    }]
}
