//! One training followed epoch by epoch: to zero error, past it, and on from a rescaling.

use crate::flatness::options::AscentKind;
use crate::flatness::{self, Measure, Options, Point};
use crate::model::{Loss, Network};
use crate::prior::Labels;
use crate::study::ground::Ground;
use crate::study::reading::{Quantity, read};
use crate::study::rescaled::rescaling;
use crate::study::{Progress, StudyError, Workspace, real};
use crate::train::{Run, Settings};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Epochs measured between two savings.
const CHUNK: usize = 50;

/// One epoch, or the moment after the rescaling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Moment {
    pub epoch: usize,
    pub rescaled: bool,
    pub loss: f64,
    pub train_accuracy: f64,
    pub test_accuracy: f64,
    /// In the order of the measures.
    pub flatness: Vec<f64>,
    /// In the order of the readings.
    pub log_prob: Vec<Option<f64>>,
    /// The function on S and E.
    pub labels: String,
}

impl Moment {
    pub fn log_prob(&self, reading: usize) -> f64 {
        self.log_prob[reading].unwrap_or(f64::NEG_INFINITY)
    }

    /// Inputs of S and E to which the two functions give different labels.
    pub fn hamming(&self, other: &Self) -> usize {
        self.labels.bytes().zip(other.labels.bytes()).filter(|(a, b)| a != b).count()
    }

    pub fn json(&self, watched: &Watched, before: &Self) -> Value {
        let mut value = json!({
            "epoch": self.epoch,
            "rescaled": self.rescaled,
            "loss": self.loss,
            "train_accuracy": self.train_accuracy,
            "test_accuracy": self.test_accuracy,
            "hamming_to_before_rescaling": self.hamming(before),
        });
        for (measure, number) in watched.measures.iter().zip(&self.flatness) {
            value[measure.id()] = real(Some(*number));
        }
        for (reading, number) in watched.readings.iter().zip(&self.log_prob) {
            value[reading.name] = real(Some(number.unwrap_or(f64::NEG_INFINITY)));
        }
        value
    }
}

/// What is measured, and when.
pub(super) struct Watched {
    /// Before zero error one epoch in this many is measured, from then on every one.
    pub stride: usize,
    pub measures: Vec<&'static dyn Measure>,
    pub readings: Vec<Quantity>,
}

impl Watched {
    fn names(&self) -> Vec<&str> {
        let measures = self.measures.iter().map(|measure| measure.id());
        measures.chain(self.readings.iter().map(|reading| reading.name)).collect()
    }

    /// Sharpness is that of projected sign ascent, whose path a rescaling does not change, so that a jump can be predicted
    /// to rounding.
    fn options() -> Options {
        Options { ascents: vec![AscentKind::Sign], ..Options::default() }
    }
}

/// A training with a rescaling halfway past zero error.
#[derive(Debug, Clone)]
pub(super) struct Course {
    pub seed: u64,
    pub alpha: f64,
    /// The measured epochs from the first network to the last before the rescaling.
    pub before: Vec<Moment>,
    /// The moment after the rescaling, and every epoch from there.
    pub after: Vec<Moment>,
    /// Each measure at the rescaling as predicted before it; `None` where it cannot be to rounding.
    pub predicted: Vec<Option<f64>>,
}

impl Course {
    /// The first epoch without errors on S.
    pub fn zero(&self) -> &Moment {
        self.before.iter().find(|moment| moment.train_accuracy == 1.0).expect("zero error was reached")
    }

    /// The network that is rescaled.
    pub fn last_before(&self) -> &Moment {
        self.before.last().expect("the network before training is measured")
    }

    pub fn moments(&self) -> impl Iterator<Item = &Moment> {
        self.before.iter().chain(&self.after)
    }
}

struct Snapshot {
    epoch: usize,
    rescaled: bool,
    loss: f64,
    accuracy: f64,
    network: Network,
}

/// Follows one training with each of the factors. Training is seconds and is done again when the study resumes;
/// measurements are minutes and are kept. The epochs before the rescaling are measured once.
pub(super) fn follow(
    settings: &Settings,
    alphas: &[f64],
    watched: &Watched,
    ground: &Ground,
    workspace: &Workspace,
) -> Result<Vec<Course>, StudyError> {
    let mut shared: Option<Vec<Moment>> = None;
    let mut courses = Vec::new();
    for &alpha in alphas {
        let (before, after, predicted) = one(settings, alpha, watched, ground, shared.is_none(), workspace)?;
        let before = shared.get_or_insert(before).clone();
        courses.push(Course { seed: settings.seed, alpha, before, after, predicted });
    }
    Ok(courses)
}

type Followed = (Vec<Moment>, Vec<Moment>, Vec<Option<f64>>);

fn one(
    settings: &Settings,
    alpha: f64,
    watched: &Watched,
    ground: &Ground,
    measure_before: bool,
    workspace: &Workspace,
) -> Result<Followed, StudyError> {
    let extra = settings.trainer.extra_epochs;
    let source = crate::data::load_source(&settings.data.source)?;
    let splits = settings.data.take(&source)?;
    let mut run = Run::new(&settings.trainer, settings.initial_network()?, &splits.training, splits.clean)?;
    let snapshot = |run: &Run, rescaled: bool| {
        let last = run.last();
        Snapshot {
            epoch: last.epoch,
            rescaled,
            loss: last.loss,
            accuracy: last.accuracy,
            network: run.network().clone(),
        }
    };
    let measured = |stage: &str, part: usize, waiting: &[Snapshot]| {
        let alpha = (stage == "after").then_some(alpha);
        let key = json!({ "settings": settings, "kernel": ground.kernel, "alpha": alpha, "part": part,
            "epochs": waiting.iter().map(|one| one.epoch).collect::<Vec<_>>(), "names": watched.names(),
            "options": Watched::options() });
        let name = match alpha {
            None => format!("epochs-{}-{part}", course_name(settings)),
            Some(alpha) => format!("epochs-{}-alpha-{alpha}-{part}", course_name(settings)),
        };
        workspace.cache.get(&name, &key, || measure(waiting, watched, ground))
    };
    let mut waiting = vec![snapshot(&run, false)];
    let (mut before, mut after, mut predicted) = (Vec::new(), Vec::new(), Vec::new());
    let (mut zero, mut part, mut rescaled) = (None, 0, false);
    loop {
        let finished = run.is_finished();
        let turn = zero.is_some_and(|zero| !rescaled && run.last().epoch == zero + extra / 2);
        if waiting.len() >= CHUNK || finished || turn {
            if rescaled {
                after.extend(measured("after", part, &waiting)?);
            } else if measure_before {
                before.extend(measured("before", part, &waiting)?);
            }
            waiting.clear();
            part += 1;
            let total = zero.map_or(before.len() + after.len(), |zero| zero + extra + 2);
            (workspace.progress)(Progress { phase: "measuring epochs", done: before.len() + after.len(), total });
        }
        if turn {
            let map = rescaling(&run.network().model, alpha)?;
            predicted = if map.is_exact() {
                predict(run.network(), map.as_ref(), watched, ground)?
            } else {
                vec![None; watched.measures.len()]
            };
            let after = map.apply(run.network())?;
            *run.network_mut() = after;
            (rescaled, part) = (true, 0);
            waiting.push(snapshot(&run, true));
            // With no epoch past the rescaling there is nothing more to follow.
            if run.is_finished() {
                continue;
            }
        } else if finished {
            break;
        }
        let epoch = run.advance()?;
        if epoch.accuracy == 1.0 && zero.is_none() {
            zero = Some(epoch.epoch);
        }
        if zero.is_some() || epoch.epoch % watched.stride == 0 {
            waiting.push(snapshot(&run, false));
        }
    }
    if after.is_empty() {
        let reason = format!("no zero error in {} epochs", run.last().epoch);
        return Err(StudyError::Untrained { trained: 0, wanted: 1, least: 1, reason });
    }
    Ok((before, after, predicted))
}

/// What tells the files of one training from those of others.
fn course_name(settings: &Settings) -> String {
    let kind = if settings.architecture.as_fully_connected().is_some() { "" } else { "-batch-norm" };
    format!("{}{kind}-seed-{}", settings.trainer.optimizer.id, settings.seed)
}

/// Every measure after the rescaling, computed from the network before it; `None` where a measure cannot.
fn predict(
    network: &Network,
    map: &dyn crate::rescale::Rescaling,
    watched: &Watched,
    ground: &Ground,
) -> Result<Vec<Option<f64>>, StudyError> {
    let action = map.action(&network.model)?;
    let (inputs, targets) = (ground.clean.inputs.view(), ground.clean.targets.view());
    let point = Point::of(network, Loss::Bce, inputs, targets)?;
    let of = |measure: &&'static dyn Measure| {
        // Plain SGD ascent takes other paths after a rescaling.
        if measure.id() == "keskar_sharpness_sgd" {
            return Ok(None);
        }
        measure.predict(&point, &action, &Watched::options()).transpose().map(|found| found.map(|one| one.value))
    };
    Ok(watched.measures.iter().map(of).collect::<Result<_, flatness::FlatnessError>>()?)
}

/// Measures snapshots on all threads; log P(f) once for each function among them.
fn measure(snapshots: &[Snapshot], watched: &Watched, ground: &Ground) -> Result<Vec<Moment>, StudyError> {
    let labels: Vec<Labels> =
        snapshots.iter().map(|one| Labels::from_logits(&one.network.logits(ground.inputs.view()))).collect();
    let mut functions: BTreeMap<&[i8], Vec<Option<f64>>> = BTreeMap::new();
    for labels in &labels {
        functions.entry(labels.signs()).or_default();
    }
    let mut pairs: Vec<(&[i8], &mut Vec<Option<f64>>)> =
        functions.iter_mut().map(|(signs, values)| (*signs, values)).collect();
    pairs.par_iter_mut().try_for_each(|(signs, values)| {
        let labels = Labels::from_signs(signs.iter().map(|&sign| sign > 0));
        for reading in &watched.readings {
            let value = read(reading, &ground.gram, &labels)?.value;
            values.push(value.is_finite().then_some(value));
        }
        Ok::<(), StudyError>(())
    })?;
    snapshots
        .par_iter()
        .zip(&labels)
        .map(|(snapshot, labels)| {
            let network = &snapshot.network;
            let (inputs, targets) = (ground.clean.inputs.view(), ground.clean.targets.view());
            let point = Point::of(network, Loss::Bce, inputs, targets)?;
            let flatness = watched
                .measures
                .iter()
                .map(|measure| Ok(measure.evaluate(&point, &Watched::options())?.value))
                .collect::<Result<_, StudyError>>()?;
            let test = ground.test.signs()?;
            let on_test = &labels.signs()[labels.len() - test.len()..];
            let right = on_test.iter().zip(&test).filter(|(sign, target)| (**sign > 0) == **target);
            Ok(Moment {
                epoch: snapshot.epoch,
                rescaled: snapshot.rescaled,
                loss: snapshot.loss,
                train_accuracy: snapshot.accuracy,
                test_accuracy: right.count() as f64 / test.len() as f64,
                flatness,
                log_prob: functions[labels.signs()].clone(),
                labels: labels.signs().iter().map(|&sign| if sign > 0 { '1' } else { '0' }).collect(),
            })
        })
        .collect()
}
