//! All labellings of a few inputs: how good each estimator of log P(f) is where the truth is known of every function.

use super::FEWEST;
use crate::function::{Counts, Function, Sampler};
use crate::model::Architecture;
use crate::numeric::correlation::kendall;
use crate::prior::{Gram, Labels, Link};
use crate::study::networks::Trained;
use crate::study::reading::{Number, Quantity, READINGS, read};
use crate::study::{Axis, Figure, Panel, Progress, Series, StudyError, Style, Table, Workspace, real};
use ndarray::s;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Inputs whose labellings are gone through: 1024 of them.
const POINTS: usize = 10;
/// Networks of a block.
const BLOCK: usize = 1000;
/// Labellings that are kept together.
const CHUNK: usize = 64;

/// One labelling, in each reading.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Labelling {
    pub labels: String,
    /// The orthant probability, by the method that suits it.
    pub truth: Number,
    pub ep_step: f64,
    pub ep_probit: f64,
}

/// Networks that were sampled: what they are called, and how many have each labelling.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Sampled {
    pub name: String,
    pub drawn: u64,
    pub counts: Vec<u64>,
}

/// All labellings, in binary counting order.
#[derive(Debug, Clone)]
pub(super) struct Labellings {
    pub all: Vec<Labelling>,
    pub sampled: Vec<Sampled>,
}

/// Goes through all labellings of the first inputs of S, and samples networks on these.
///
/// # Errors
/// [`StudyError`]: a Gram matrix that a method refuses, networks that cannot be sampled.
pub(super) fn labellings(
    trained: &Trained,
    architectures: &[(String, Architecture)],
    blocks: u64,
    seed: u64,
    workspace: &Workspace,
) -> Result<Labellings, StudyError> {
    let points = POINTS.min(trained.ground.clean.len());
    let gram = Gram::new(trained.ground.gram.matrix().slice(s![..points, ..points]).to_owned())?;
    let mut data = trained.settings.data.clone();
    data.attack = 0;
    let key = json!({ "data": data, "architecture": trained.settings.architecture, "kernel": trained.ground.kernel,
        "points": points });
    // A function and its negative are equally probable in every reading.
    let half = 1_usize << (points - 1);
    let chunks: Vec<usize> = (0..half).step_by(CHUNK).collect();
    let done = AtomicUsize::new(0);
    let found: Vec<Vec<Labelling>> = chunks
        .par_iter()
        .map(|&first| {
            let found = workspace.cache.get(&format!("labellings-{first}"), &key, || {
                (first..(first + CHUNK).min(half)).map(|index| one(&gram, index, points)).collect()
            })?;
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            (workspace.progress)(Progress { phase: "going through labellings", done, total: chunks.len() });
            Ok(found)
        })
        .collect::<Result<_, StudyError>>()?;
    let mut all: Vec<Labelling> = found.into_iter().flatten().collect();
    let mirrored: Vec<Labelling> = all
        .iter()
        .rev()
        .map(|one| Labelling {
            labels: one.labels.bytes().map(|label| if label == b'0' { '1' } else { '0' }).collect(),
            ..one.clone()
        })
        .collect();
    all.extend(mirrored);
    let inputs = trained.ground.inputs.slice(s![..points, ..]).to_owned();
    let sampled = architectures
        .iter()
        .enumerate()
        .map(|(index, (name, architecture))| {
            let key = json!({ "data": data, "architecture": architecture, "points": points, "blocks": blocks,
                "seed": seed });
            workspace.cache.get(&format!("labellings-sampled-{index}"), &key, || {
                let sampler = Sampler::new(architecture.clone(), inputs.clone(), seed)?;
                let block = BLOCK.min(sampler.block_size());
                let counted: Vec<Counts> = (0..blocks)
                    .into_par_iter()
                    .map(|index| {
                        let mut counts = Counts::new(points);
                        counts.add_all(&sampler.functions(index, block)?);
                        Ok(counts)
                    })
                    .collect::<Result<_, StudyError>>()?;
                let of = |one: &Labelling| {
                    let function = Function::new(&one.labels.bytes().map(|label| label == b'1').collect::<Vec<_>>());
                    counted.iter().map(|counts| counts.count(&function)).sum()
                };
                (workspace.progress)(Progress { phase: "counting", done: index + 1, total: architectures.len() });
                Ok(Sampled { name: name.clone(), drawn: blocks * block as u64, counts: all.iter().map(of).collect() })
            })
        })
        .collect::<Result<_, StudyError>>()?;
    Ok(Labellings { all, sampled })
}

/// Labelling number `index`, whose first label is 0.
fn one(gram: &Gram, index: usize, points: usize) -> Result<Labelling, StudyError> {
    let signs: Vec<bool> = (0..points).map(|point| index >> (points - 1 - point) & 1 == 1).collect();
    let labels = Labels::from_signs(signs.iter().copied());
    let of = |method: &'static str, link| {
        let reading = Quantity { name: method, method, link };
        Ok::<_, StudyError>(Number::from(&read(&reading, gram, &labels)?))
    };
    Ok(Labelling {
        labels: signs.iter().map(|&sign| if sign { '1' } else { '0' }).collect(),
        truth: of("auto", Link::Step)?,
        ep_step: of(READINGS[0].method, READINGS[0].link)?.real(),
        ep_probit: of(READINGS[1].method, READINGS[1].link)?.real(),
    })
}

/// An estimator's values beside the true ones; `None` where it has none.
pub(super) struct Estimator {
    pub name: String,
    pub values: Vec<Option<f64>>,
    /// Sampling errors, of those that are counted.
    pub errors: Vec<f64>,
}

impl Labellings {
    /// The true values.
    pub fn truth(&self) -> Vec<f64> {
        self.all.iter().map(|one| one.truth.real()).collect()
    }

    /// Every estimator, the sampled networks last.
    pub fn estimators(&self) -> Vec<Estimator> {
        let exact = |name: &str, value: fn(&Labelling) -> f64| Estimator {
            name: name.to_owned(),
            values: self.all.iter().map(|one| Some(value(one))).collect(),
            errors: vec![0.0; self.all.len()],
        };
        let mut all = vec![exact("EP step", |one| one.ep_step), exact("EP probit", |one| one.ep_probit)];
        for sampled in &self.sampled {
            let value = |count: u64| (count >= FEWEST).then(|| (count as f64 / sampled.drawn as f64).ln());
            let error = |count: u64| (1.0 / count.max(1) as f64 - 1.0 / sampled.drawn as f64).sqrt();
            all.push(Estimator {
                name: sampled.name.clone(),
                values: sampled.counts.iter().map(|&count| value(count)).collect(),
                errors: sampled.counts.iter().map(|&count| error(count)).collect(),
            });
        }
        all
    }

    /// How far each estimator is from the truth.
    pub fn table(&self) -> Table {
        let columns = [
            "estimator",
            "labellings",
            "sum_of_probabilities",
            "mean_error",
            "largest_error",
            "divergence",
            "kendall",
            "mean_sampling_error",
        ];
        let mut table =
            Table::new("labellings_summary", "Estimators over all labellings of ten inputs (nats)", &columns);
        let truth = self.truth();
        let sum = |values: &[f64]| values.iter().map(|value| value.exp()).sum::<f64>();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let error: Vec<f64> = self.all.iter().filter_map(|one| one.truth.std_error).collect();
        table.row(vec![
            "truth".into(),
            truth.len().into(),
            sum(&truth).into(),
            0.0.into(),
            0.0.into(),
            0.0.into(),
            1.0.into(),
            (!error.is_empty()).then(|| mean(&error)).into(),
        ]);
        for estimator in self.estimators() {
            let known = || truth.iter().zip(&estimator.values).filter_map(|(truth, value)| Some((*truth, (*value)?)));
            let (x, y): (Vec<f64>, Vec<f64>) = known().unzip();
            let gaps: Vec<f64> = known().map(|(truth, value)| value - truth).collect();
            let errors: Vec<f64> = estimator
                .errors
                .iter()
                .zip(&estimator.values)
                .filter(|(_, value)| value.is_some())
                .map(|(error, _)| *error)
                .collect();
            // Of the truth from the estimator, over the labellings that both know.
            let divergence: f64 = known().map(|(truth, value)| truth.exp() * (truth - value)).sum();
            let size = gaps.iter().map(|gap| gap.abs()).collect::<Vec<_>>();
            table.row(vec![
                (&estimator.name).into(),
                x.len().into(),
                sum(&y).into(),
                (!gaps.is_empty()).then(|| mean(&size)).into(),
                size.iter().copied().reduce(f64::max).into(),
                divergence.into(),
                kendall(&x, &y).into(),
                (!errors.is_empty()).then(|| mean(&errors)).into(),
            ]);
        }
        table
    }

    /// Every labelling with its values.
    pub fn json(&self) -> Vec<Value> {
        let estimators = self.estimators();
        self.all
            .iter()
            .enumerate()
            .map(|(index, one)| {
                let mut document = json!({
                    "labels": one.labels,
                    "step": real(Some(one.truth.real())),
                    "std_error": real(one.truth.std_error),
                    "ep_step": real(Some(one.ep_step)),
                    "ep_probit": real(Some(one.ep_probit)),
                });
                for estimator in &estimators[2..] {
                    document[estimator.name.replace(' ', "_")] = real(estimator.values[index]);
                }
                document
            })
            .collect()
    }

    /// Every estimator against the truth.
    pub fn figure(&self) -> Figure {
        let truth = self.truth();
        let ends = truth.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (v.min(l), v.max(h)));
        let panels = self
            .estimators()
            .into_iter()
            .enumerate()
            .map(|(index, estimator)| Panel {
                title: estimator.name.clone(),
                x: Axis::linear("log P, true (nats)"),
                y: Axis::linear(&format!("log P, {} (nats)", estimator.name)),
                series: vec![
                    Series {
                        name: "equal".to_owned(),
                        points: vec![(ends.0, ends.0), (ends.1, ends.1)],
                        style: Style::Line,
                        colour: 6,
                    },
                    Series {
                        name: String::new(),
                        points: truth
                            .iter()
                            .zip(&estimator.values)
                            .filter_map(|(truth, value)| Some((*truth, (*value)?)))
                            .collect(),
                        style: Style::Marks,
                        colour: [0, 1, 4, 2, 3, 5][index % 6],
                    },
                ],
            })
            .collect();
        Figure {
            name: "labellings".to_owned(),
            caption: format!(
                "All labellings of {} inputs: log P by each estimator against its true value; on the line they are equal. \
                 Counted are labellings that at least {FEWEST} networks have.",
                truth.len().ilog2()
            ),
            panels,
            columns: 3,
        }
    }
}
