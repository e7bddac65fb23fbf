//! Boolean functions: sharpness and spectral norm against P(f) by counting (figure 2 of the paper).
//!
//! Networks are drawn from the prior and their functions counted; SGD is then trained on all 128 outputs of each of the
//! functions found most often, so that what it finds is that function, and its flatness is compared with log P(f). Setting and
//! numbers are recalled from the paper's body, not confirmed.

use crate::data::load;
use crate::flatness::{Options, Point};
use crate::function::{CountOptions, Function, Sampler, count, lempel_ziv_complexity};
use crate::model::{Activation, Architecture, Loss};
use crate::numeric::Streams;
use crate::numeric::correlation::spearman;
use crate::study::claims::below;
use crate::study::counted::{Frequent, INPUTS, SGD_ASCENT_EPOCHS, complexities};
use crate::study::measured::Choices;
use crate::study::optimised::{Task, optimise};
use crate::study::{
    Axis, Defaults, Effect, Figure, Findings, Panel, Progress, Request, Series, Setting, Study, StudyError, Style,
    Table, Test, Workspace, real,
};
use crate::train::Trainer;
use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

const WIDTHS: [usize; 4] = [7, 40, 40, 1];
const WEIGHT_STD: f64 = 1.0;
const BIAS_STD: f64 = 0.1;
/// Networks drawn from the prior.
const DRAWN: u64 = 100_000_000;
const QUICK_DRAWN: u64 = 300_000;
/// The functions found most often that are trained on.
const FUNCTIONS: usize = 200;
const QUICK_FUNCTIONS: usize = 40;
/// Trainings on each of them.
const SEEDS: u64 = 3;
/// What is measured: sharpness, and the norm that the paper shows beside it.
const MEASURES: [&str; 3] = ["keskar_sharpness", "keskar_sharpness_sgd", "hessian_spectral_norm"];

/// Registry entry.
pub(super) struct BooleanStudy;

/// What was drawn from the prior.
#[derive(Serialize, Deserialize)]
struct Drawn {
    distinct: usize,
    frequent: Vec<Frequent>,
    /// The functions found most often, with how often.
    most: Vec<(String, u64)>,
}

/// A function, and networks trained on all of its outputs.
#[derive(Serialize, Deserialize)]
struct Learned {
    optimizer: String,
    rank: usize,
    function: String,
    log_prob: f64,
    complexity: f64,
    networks: Vec<Network>,
    unfinished: usize,
}

#[derive(Serialize, Deserialize)]
struct Network {
    seed: u64,
    /// Measures by name.
    flatness: BTreeMap<String, f64>,
}

impl Learned {
    /// Mean of the logarithm of a measure over the networks.
    fn log10(&self, measure: &str) -> Option<f64> {
        let values: Vec<f64> =
            self.networks.iter().filter_map(|one| Some(one.flatness.get(measure)?.log10())).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64).filter(|mean| mean.is_finite())
    }
}

impl Study for BooleanStudy {
    fn id(&self) -> &'static str {
        "boolean"
    }

    fn summary(&self) -> &'static str {
        "Boolean functions of 7 inputs: sharpness and spectral norm of networks trained on all outputs against P(f) by counting"
    }

    fn source(&self) -> &'static str {
        "Zhang et al. 2021, figure 2"
    }

    fn run(&self, request: &Request, workspace: &Workspace) -> Result<Findings, StudyError> {
        request.refuse_architecture("of the shape 7-40-40-1")?;
        let setting = Setting::resolve(
            &Request { data: "digits".to_owned(), train: None, test: None, attacks: None, ..request.clone() },
            &Defaults {
                seeds: if request.quick { 1 } else { SEEDS },
                train: Some(1),
                attacks: 1,
                optimizers: &["sgd"],
            },
        )?;
        let (networks, functions) = if request.quick { (QUICK_DRAWN, QUICK_FUNCTIONS) } else { (DRAWN, FUNCTIONS) };
        let mut choices = Choices::new(request, Some(&MEASURES))?;
        choices.options = Options { epochs: SGD_ASCENT_EPOCHS, ..choices.options };
        let inputs = load("boolean:7")?.inputs;
        let drawn = draw(&inputs, networks, functions, request.seed, workspace)?;
        let learned = learn(&inputs, &drawn, networks, &setting, &choices, workspace)?;
        let sentence = format!(
            "fcn:7-40-40-1 (ReLU, one logit, weight_std {WEIGHT_STD}, bias_std {BIAS_STD}) on all {INPUTS} inputs: {networks} \
             networks drawn from the prior; {} trained {} times on all outputs of each of the {} functions found most \
             often, mini-batches of {}, binary cross-entropy, to zero error",
            setting.optimizers.join(", "),
            setting.seeds.len(),
            drawn.most.len(),
            setting.batch
        );
        let mut findings = Findings::new(self.id(), sentence, &setting.seeds);
        record(&mut findings, &drawn, &learned);
        let names: Vec<&str> = choices.measures.iter().map(|measure| measure.id()).collect();
        judge(&mut findings, &learned, &names, &setting.optimizers, request.seed);
        let unfinished: usize = learned.iter().map(|one| one.unfinished).sum();
        if unfinished > 0 {
            findings.notes.push(format!("{unfinished} trainings did not reach zero error"));
        }
        findings.notes.push("The study makes its own data: --data and the sizes of sets do not concern it.".to_owned());
        findings.notes.push(format!(
            "The setting (standard deviations, all outputs as training set, the functions found most often, {SGD_ASCENT_EPOCHS} \
             epochs of SGD ascent) is recalled from the paper's body, not confirmed."
        ));
        findings.tables = tables(&learned, &names);
        findings.figures = figures(&drawn, &learned, &names, &setting.optimizers);
        Ok(findings)
    }
}

fn architecture() -> Architecture {
    Architecture::fully_connected(&WIDTHS, Activation::Relu, WEIGHT_STD, BIAS_STD)
}

/// Draws networks and counts their functions; a run that was stopped goes on from the table it kept.
fn draw(
    inputs: &Array2<f64>,
    networks: u64,
    functions: usize,
    seed: u64,
    workspace: &Workspace,
) -> Result<Drawn, StudyError> {
    let key = json!({ "architecture": architecture(), "networks": networks, "functions": functions, "seed": seed });
    workspace.cache.get("drawn", &key, || {
        std::fs::create_dir_all(&workspace.networks).map_err(|error| StudyError::File {
            path: workspace.networks.display().to_string(),
            reason: error.to_string(),
        })?;
        let path = workspace.networks.join(format!("boolean-{networks}-{seed}.partial"));
        let sampler = Sampler::new(architecture(), inputs.clone(), seed)?;
        let tell = |done: u64, _: usize| {
            (workspace.progress)(Progress { phase: "counting", done: done as usize, total: networks as usize });
        };
        let options = CountOptions {
            progress: Some(&tell),
            checkpoint: Some(&path),
            resume: true,
            ..CountOptions::new(&sampler)
        };
        let counts = count(&sampler, networks, &options)?;
        // The result is about to be kept; what is left of the way there is of no more use, and harmless if it stays.
        let _ = std::fs::remove_file(&path);
        let most = counts.ranked().take(functions).map(|(function, found)| (function.to_string(), found)).collect();
        Ok(Drawn { distinct: counts.function_count(), frequent: complexities(&counts), most })
    })
}

/// Trains on all outputs of each function, and measures what comes out.
fn learn(
    inputs: &Array2<f64>,
    drawn: &Drawn,
    networks: u64,
    setting: &Setting,
    choices: &Choices,
    workspace: &Workspace,
) -> Result<Vec<Learned>, StudyError> {
    let jobs: Vec<(&String, usize, &(String, u64))> = setting
        .optimizers
        .iter()
        .flat_map(|id| drawn.most.iter().enumerate().map(move |(index, function)| (id, index + 1, function)))
        .collect();
    let done = AtomicUsize::new(0);
    let first = setting.seeds[0];
    let seeds = first..first + setting.seeds.len() as u64;
    jobs.par_iter()
        .map(|&(id, rank, (text, found))| {
            let trainer = Trainer {
                optimizer: setting.optimizer(id),
                learning_rate: setting.rates.of(id),
                batch_size: setting.batch,
                extra_epochs: setting.extra_epochs,
                ..Trainer::default()
            };
            let key = json!({ "function": text, "found": found, "drawn": networks, "trainer": trainer, "seeds": seeds,
                "measures": choices.names(), "options": choices.options });
            let learned = workspace.cache.get(&format!("{id}-function-{rank}"), &key, || {
                let target = Function::new(&text.bytes().map(|label| label == b'1').collect::<Vec<_>>());
                let complexity = lempel_ziv_complexity(&target);
                let labels = target.labels().into_iter().map(|label| f64::from(u8::from(label))).collect();
                let targets = Array2::from_shape_vec((INPUTS, 1), labels).expect("one label per input");
                let task = Task { inputs: inputs.clone(), target, training: (0..INPUTS).collect() };
                let optimised = optimise(&architecture(), &trainer, &task, seeds.clone())?;
                let measured = optimised.found.iter().map(|found| {
                    let point = Point::of(&found.network, Loss::Bce, inputs.view(), targets.view())?;
                    let value = |measure: &&dyn crate::flatness::Measure| {
                        Ok((measure.id().to_owned(), measure.evaluate(&point, &choices.options)?.value))
                    };
                    let flatness = choices.measures.iter().map(value).collect::<Result<_, StudyError>>()?;
                    Ok(Network { seed: found.seed, flatness })
                });
                Ok(Learned {
                    optimizer: id.clone(),
                    rank,
                    function: text.clone(),
                    log_prob: (*found as f64 / networks as f64).ln(),
                    complexity,
                    networks: measured.collect::<Result<_, StudyError>>()?,
                    unfinished: optimised.unfinished.len(),
                })
            })?;
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            (workspace.progress)(Progress { phase: "training and measuring", done, total: jobs.len() });
            Ok(learned)
        })
        .collect()
}

fn record(findings: &mut Findings, drawn: &Drawn, learned: &[Learned]) {
    findings.record("distinct_functions", drawn.distinct);
    findings.record("frequent", &drawn.frequent);
    let networks: Vec<Value> = learned
        .iter()
        .flat_map(|function| {
            function.networks.iter().map(move |network| {
                let mut document = json!({
                    "optimizer": function.optimizer,
                    "seed": network.seed,
                    "rank": function.rank,
                    "function": function.function,
                    "log_prob": real(Some(function.log_prob)),
                    "complexity": function.complexity,
                });
                for (name, value) in &network.flatness {
                    document[name] = real(Some(*value));
                }
                document
            })
        })
        .collect();
    findings.record("networks", networks);
}

fn judge(findings: &mut Findings, learned: &[Learned], measures: &[&str], optimizers: &[String], seed: u64) {
    for (measure, claim) in [
        (
            "keskar_sharpness",
            "Flatter networks have more probable functions: sharpness (the best ascent found) falls as log P(f) rises.",
        ),
        (
            "keskar_sharpness_sgd",
            "Flatter networks have more probable functions: sharpness (SGD ascent, the paper's number) falls as log P(f) rises.",
        ),
        ("hessian_spectral_norm", "The spectral norm of the Hessian falls as log P(f) rises."),
    ] {
        if !measures.contains(&measure) {
            continue;
        }
        let tests: Vec<Test> = optimizers
            .iter()
            .map(|id| {
                let (log_prob, flatness): (Vec<f64>, Vec<f64>) = learned
                    .iter()
                    .filter(|one| one.optimizer == *id)
                    .filter_map(|one| Some((one.log_prob, one.log10(measure)?)))
                    .unzip();
                let of = format!("{id}: Spearman({measure}, log P(f))");
                let streams = Streams::new(seed).child(&of, 0);
                let effect = Effect::over(log_prob.len(), streams, |rows| {
                    let (x, y): (Vec<f64>, Vec<f64>) = rows.iter().map(|&row| (flatness[row], log_prob[row])).unzip();
                    spearman(&x, &y)
                });
                below(&of, effect, 0.0)
            })
            .collect();
        findings.claim(
            claim,
            tests,
            "Over functions, each with the mean over its networks; P(f) is counted.".to_owned(),
        );
    }
}

fn tables(learned: &[Learned], measures: &[&str]) -> Vec<Table> {
    let mut columns = vec!["optimizer", "rank", "function", "log_prob", "complexity", "networks"];
    let means: Vec<String> = measures.iter().map(|name| format!("mean_log10_{name}")).collect();
    columns.extend(means.iter().map(String::as_str));
    let mut table = Table::new("functions", "The functions found most often", &columns);
    table.on_page = false;
    for one in learned {
        let mut row = vec![
            (&one.optimizer).into(),
            one.rank.into(),
            (&one.function).into(),
            one.log_prob.into(),
            one.complexity.into(),
            one.networks.len().into(),
        ];
        row.extend(measures.iter().map(|name| one.log10(name).into()));
        table.row(row);
    }
    vec![table]
}

fn figures(drawn: &Drawn, learned: &[Learned], measures: &[&str], optimizers: &[String]) -> Vec<Figure> {
    let marks = |name: &str, points: Vec<(f64, f64)>, colour| Series {
        name: name.to_owned(),
        points,
        style: Style::Marks,
        colour,
    };
    let against = |measure: &str| -> Vec<Series> {
        let of = |id: &str| {
            let own = learned.iter().filter(move |one| one.optimizer == id);
            own.filter_map(|one| Some((one.log_prob, one.log10(measure)?))).collect()
        };
        optimizers.iter().enumerate().map(|(colour, id)| marks(id, of(id), colour)).collect()
    };
    let mut panels: Vec<Panel> = measures
        .iter()
        .map(|measure| Panel {
            title: measure.replace('_', " "),
            x: Axis::linear("log P(f), counted (nats)"),
            y: Axis::linear(&format!("log10 {}", measure.replace('_', " "))),
            series: against(measure),
        })
        .collect();
    let ranks = drawn.frequent.iter().map(|one| (one.rank as f64, one.probability)).collect();
    panels.push(Panel {
        title: "P(f) by rank".to_owned(),
        x: Axis::log("rank"),
        y: Axis::log("P(f)"),
        series: vec![marks("", ranks, 6)],
    });
    vec![Figure {
        name: "boolean".to_owned(),
        caption:
            "Flatness of networks trained on all outputs of a function against the function's log P(f), one mark per \
                  function; and P(f) of functions by rank."
                .to_owned(),
        panels,
        columns: 2,
    }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Verdict::{Fails, Holds, Undecided};
    use crate::study::claims::planted::{noise, verdict_of};

    /// Functions whose flatness follows log P(f) by `slope`.
    fn found(n: usize, slope: f64) -> Findings {
        let learned: Vec<Learned> = (0..n)
            .map(|index| {
                let log_prob = -(index as f64);
                let flatness = 10_f64.powf(slope * log_prob / n as f64 + 0.1 * noise("flatness", index));
                let values = MEASURES.map(|name| (name.to_owned(), flatness)).into();
                Learned {
                    optimizer: "sgd".to_owned(),
                    rank: index + 1,
                    function: String::new(),
                    log_prob,
                    complexity: 0.0,
                    networks: vec![Network { seed: 0, flatness: values }],
                    unfinished: 0,
                }
            })
            .collect();
        let mut findings = Findings::new("boolean", String::new(), &[0]);
        judge(&mut findings, &learned, &MEASURES, &["sgd".to_owned()], 0);
        findings
    }

    #[test]
    fn claims_hold_fail_or_stay_open() {
        for claim in [
            "Flatter networks have more probable functions: sharpness (the best",
            "Flatter networks have more probable functions: sharpness (SGD",
            "The spectral norm",
        ] {
            let verdicts = [found(30, -1.0), found(30, 1.0), found(4, -1.0), found(12, 0.0)]
                .map(|findings| verdict_of(&findings, claim));
            assert_eq!(verdicts, [Holds, Fails, Undecided, Undecided], "{claim}");
        }
    }
}
