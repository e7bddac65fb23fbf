//! Sharpness and log P(f) over training and past zero error, with a rescaling in the middle (figure 5 of the paper).

use crate::flatness::options::AscentKind;
use crate::flatness::{self, Options, Point};
use crate::model::{Loss, Network, Objective};
use crate::numeric::tolerance::CURVATURE_AGREEMENT;
use crate::prior::Labels;
use crate::rescale::{LayerAlpha, Rescaling};
use crate::study::measured::{READINGS, read};
use crate::study::networks::{Ground, ground};
use crate::study::{
    Axis, Cell, Defaults, Desk, Figure, Findings, Panel, Progress, Request, Series, Setting, Study, StudyError, Style,
    Table, Verdict, real,
};
use crate::train::{Run, Settings};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// The paper's factor.
const ALPHA: f64 = 5.9;
/// Layer that is divided by it.
const LAYER: usize = 0;
/// Epochs past zero error, half of them before the rescaling.
const EXTRA_EPOCHS: usize = 1000;
const QUICK_EXTRA_EPOCHS: usize = 200;
/// log P(f) that stays within this share of its size hardly moves.
const STEADY: f64 = 0.1;
/// Epochs measured between two savings.
const CHUNK: usize = 50;
/// Flatness over time: the paper's measure, and two more.
const MEASURES: [&str; 3] = ["keskar_sharpness", "hessian_trace", "hessian_max_eigenvalue"];
/// Readings of log P(f) over time.
const TIMED_READINGS: usize = 2;

/// Registry entry.
pub(super) struct TemporalStudy;

/// One epoch, or the moment after the rescaling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Moment {
    epoch: usize,
    rescaled: bool,
    loss: f64,
    train_accuracy: f64,
    test_accuracy: f64,
    /// In the order of [`MEASURES`].
    flatness: Vec<f64>,
    /// In the order of [`READINGS`].
    log_prob: Vec<Option<f64>>,
}

/// The parameters whose turn it is to be measured.
struct Snapshot {
    epoch: usize,
    rescaled: bool,
    loss: f64,
    accuracy: f64,
    theta: Vec<f64>,
}

impl Study for TemporalStudy {
    fn id(&self) -> &'static str {
        "temporal"
    }

    fn summary(&self) -> &'static str {
        "sharpness and log P(f) at every epoch to zero error and past it, rescaled by alpha = 5.9 in the middle"
    }

    fn source(&self) -> &'static str {
        "Zhang et al. 2021, figure 5"
    }

    fn run(&self, request: &Request, desk: &Desk) -> Result<Findings, StudyError> {
        let train = if request.quick { 200 } else { 500 };
        let defaults = Defaults { seeds: 1, train, attacks: 1, optimizers: &["sgd"] };
        let mut request = request.clone();
        if request.test.is_none() {
            request.test = Some(if request.quick { 100 } else { 200 });
        }
        let setting = Setting::resolve(&request, &defaults)?;
        let settings = setting.training(&setting.optimizers[0], setting.attacks[0], setting.seeds[0]);
        let extra = if request.quick { QUICK_EXTRA_EPOCHS } else { EXTRA_EPOCHS };
        let (moments, prediction) = follow(&settings, extra, desk)?;
        let mut findings = Findings::new(self.id(), setting.sentence(), &setting.seeds[..1]);
        findings.record("alpha", ALPHA);
        findings.record("measures", MEASURES);
        findings.record("predicted_at_rescaling", &prediction);
        findings.record("moments", moments.iter().map(Moment::json).collect::<Vec<_>>());
        judge(&mut findings, &moments, &prediction);
        findings.notes.push(
            "Sharpness is that of projected sign ascent, whose path a rescaling does not change, so that the jump can be \
             predicted to rounding; the paper's ascent by SGD is one of several in the study 'correlation'."
                .to_owned(),
        );
        findings.tables.push(table(&moments));
        findings.figures.push(figure(&moments));
        Ok(findings)
    }
}

impl Moment {
    fn json(&self) -> serde_json::Value {
        let mut value = json!({
            "epoch": self.epoch,
            "rescaled": self.rescaled,
            "loss": self.loss,
            "train_accuracy": self.train_accuracy,
            "test_accuracy": self.test_accuracy,
        });
        for (id, number) in MEASURES.iter().zip(&self.flatness) {
            value[*id] = real(Some(*number));
        }
        for (reading, number) in READINGS.iter().zip(&self.log_prob) {
            value[reading.name] = real(Some(number.unwrap_or(f64::NEG_INFINITY)));
        }
        value
    }

    fn log_prob(&self, reading: usize) -> f64 {
        self.log_prob[reading].unwrap_or(f64::NEG_INFINITY)
    }
}

fn options() -> Options {
    Options { ascents: vec![AscentKind::Sign], ..Options::default() }
}

/// Trains to zero error and `extra` epochs past it, rescales halfway, and measures every epoch. Training is seconds and
/// is done again when the study resumes; measurements are minutes and are kept.
fn follow(settings: &Settings, extra: usize, desk: &Desk) -> Result<(Vec<Moment>, Vec<f64>), StudyError> {
    let source = crate::data::load_source(&settings.data.source)?;
    let portions = settings.data.take(&source)?;
    let ground = ground(&settings.data, &settings.architecture)?;
    let mut trainer = settings.trainer.clone();
    trainer.extra_epochs = extra;
    let mut run = Run::new(&trainer, settings.initial_network()?, &portions.training, portions.genuine)?;
    let test = portions.test.inputs.nrows();
    let key = |part: usize| json!({ "settings": settings, "extra": extra, "alpha": ALPHA, "part": part, "options": options() });
    let snapshot = |run: &Run, rescaled: bool| {
        let last = run.last();
        let (epoch, loss, accuracy) = (last.epoch, last.loss, last.accuracy);
        Snapshot { epoch, rescaled, loss, accuracy, theta: run.network().theta.clone() }
    };
    let mut waiting = vec![snapshot(&run, false)];
    let (mut moments, mut prediction) = (Vec::new(), Vec::new());
    let mut zero: Option<usize> = None;
    let mut part = 0;
    let tell = |done: usize, zero: Option<usize>| {
        let total = zero.map_or(done + extra, |zero| zero + extra + 2);
        (desk.progress)(Progress { phase: "measuring epochs", done, total });
    };
    let template = run.network().clone();
    loop {
        let finished = run.is_finished();
        if waiting.len() >= CHUNK || finished {
            let measured: Vec<Moment> = desk.cache.get(&format!("epochs-{part}"), &key(part), || {
                measure(&waiting, &template, &ground, &portions.test.targets, test)
            })?;
            moments.extend(measured);
            waiting.clear();
            part += 1;
            tell(moments.len(), zero);
        }
        if finished {
            break;
        }
        let epoch = run.advance()?;
        if epoch.accuracy == 1.0 && zero.is_none() {
            zero = Some(epoch.epoch);
        }
        waiting.push(snapshot(&run, false));
        if zero.is_some_and(|zero| epoch.epoch == zero + extra / 2) {
            let map = LayerAlpha { layer: LAYER, alpha: ALPHA };
            let action = map.action(&run.network().model)?;
            let objective =
                Objective::new(run.network(), Loss::Bce, ground.genuine.inputs.view(), ground.genuine.targets.view())?;
            let theta = run.network().theta.clone();
            let point = Point::new(objective, &theta);
            for id in MEASURES {
                let measure = flatness::find(id).expect("a registered measure");
                let predicted =
                    measure.predict(&point, &action, &options()).expect("the measures over time predict")?;
                prediction.push(predicted.value);
            }
            run.network_mut().theta = action.apply(&theta);
            waiting.push(snapshot(&run, true));
        }
    }
    if zero.is_none() {
        let reason = format!("no zero error in {} epochs", run.last().epoch);
        return Err(StudyError::Untrained { trained: 0, wanted: 1, least: 1, reason });
    }
    Ok((moments, prediction))
}

/// Measures snapshots on all threads; log P(f) once for each function among them.
fn measure(
    snapshots: &[Snapshot],
    template: &Network,
    ground: &Ground,
    test_targets: &ndarray::Array2<f64>,
    test: usize,
) -> Result<Vec<Moment>, StudyError> {
    let networks: Vec<Network> = snapshots.iter().map(|one| template.with_theta(one.theta.clone())).collect();
    let labels: Vec<Labels> =
        networks.iter().map(|network| Labels::from_logits(&network.logits(ground.inputs.view()))).collect();
    let mut functions: BTreeMap<&[i8], Vec<Option<f64>>> = BTreeMap::new();
    for labels in &labels {
        functions.entry(labels.signs()).or_default();
    }
    let mut pairs: Vec<(&[i8], &mut Vec<Option<f64>>)> =
        functions.iter_mut().map(|(signs, values)| (*signs, values)).collect();
    pairs.par_iter_mut().try_for_each(|(signs, values)| {
        let labels = Labels::from_signs(signs.iter().map(|&sign| sign > 0));
        for reading in &READINGS[..TIMED_READINGS] {
            let value = read(reading, &ground.gram, &labels)?.value;
            values.push(value.is_finite().then_some(value));
        }
        Ok::<(), StudyError>(())
    })?;
    snapshots
        .par_iter()
        .zip(&networks)
        .zip(&labels)
        .map(|((snapshot, network), labels)| {
            let (inputs, targets) = (ground.genuine.inputs.view(), ground.genuine.targets.view());
            let point = Point::new(Objective::new(network, Loss::Bce, inputs, targets)?, &network.theta);
            let flatness = MEASURES
                .iter()
                .map(|id| Ok(flatness::find(id).expect("a registered measure").evaluate(&point, &options())?.value))
                .collect::<Result<_, StudyError>>()?;
            let on_test = &labels.signs()[labels.len() - test..];
            let right = on_test.iter().zip(test_targets).filter(|(sign, target)| (**sign > 0) == (**target > 0.5));
            Ok(Moment {
                epoch: snapshot.epoch,
                rescaled: snapshot.rescaled,
                loss: snapshot.loss,
                train_accuracy: snapshot.accuracy,
                test_accuracy: right.count() as f64 / test as f64,
                flatness,
                log_prob: functions[labels.signs()].clone(),
            })
        })
        .collect()
}

fn judge(findings: &mut Findings, moments: &[Moment], prediction: &[f64]) {
    let at = moments.iter().position(|moment| moment.rescaled).expect("the rescaling was reached");
    let (before, after, last) = (&moments[at - 1], &moments[at], &moments[moments.len() - 1]);
    findings.record("rescaled_at_epoch", after.epoch);
    let zero = moments.iter().find(|moment| moment.train_accuracy == 1.0).map_or(0, |moment| moment.epoch);
    findings.record("zero_error_epoch", zero);
    let errors: Vec<f64> =
        after.flatness.iter().zip(prediction).map(|(found, predicted)| (found / predicted - 1.0).abs()).collect();
    let worst = errors.iter().copied().fold(0.0, f64::max);
    let jumps: Vec<String> = (MEASURES.iter().zip(&before.flatness))
        .zip(after.flatness.iter().zip(prediction))
        .map(|((id, before), (after, predicted))| {
            format!("{id} from {before:.4} to {after:.4} (predicted {predicted:.4})")
        })
        .collect();
    let up = after.flatness[0] > before.flatness[0];
    findings.claim(
        "At the rescaling sharpness jumps up.",
        if up && worst <= CURVATURE_AGREEMENT { Verdict::Holds } else { Verdict::Fails },
        format!(
            "At epoch {}: {}. Measured and predicted differ by at most {worst:.1e} of the value.",
            after.epoch,
            jumps.join("; ")
        ),
    );
    let moves: Vec<f64> =
        (0..TIMED_READINGS).map(|reading| after.log_prob(reading) - before.log_prob(reading)).collect();
    findings.record("log_prob_change_at_rescaling", moves.iter().map(|change| real(Some(*change))).collect::<Vec<_>>());
    findings.claim(
        "... and log P(f) does not move.",
        if moves.iter().all(|change| *change == 0.0) { Verdict::Holds } else { Verdict::Fails },
        format!(
            "At that step log P(f) is {:.4} nats with the step link and {:.4} with the probit link; it changed by {}.",
            after.log_prob(0),
            after.log_prob(1),
            moves.iter().map(|change| format!("{change:e}")).collect::<Vec<_>>().join(" and ")
        ),
    );
    let fallen = last.flatness[0] < after.flatness[0];
    let share = (after.flatness[0] - last.flatness[0]) / (after.flatness[0] - before.flatness[0]);
    findings.claim(
        "Under further training sharpness comes back down.",
        match share {
            _ if share >= 0.5 => Verdict::Holds,
            _ if fallen => Verdict::Partly,
            _ => Verdict::Fails,
        },
        format!(
            "Sharpness is {:.4} right after the rescaling and {:.4} {} epochs later: it lost {:.0}% of the jump.",
            after.flatness[0],
            last.flatness[0],
            last.epoch - after.epoch,
            100.0 * share
        ),
    );
    let at_zero = moments.iter().find(|one| one.epoch == zero).expect("zero error was reached");
    let steady: Vec<f64> = moments[..at].iter().filter(|one| one.epoch >= zero).map(|one| one.log_prob(0)).collect();
    let (low, high) = steady.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (v.min(l), v.max(h)));
    findings.claim(
        "Past zero error sharpness goes on falling, while log P(f) hardly moves.",
        match before.flatness[0] < at_zero.flatness[0] {
            true if high - low <= STEADY * low.abs() => Verdict::Holds,
            true => Verdict::Partly,
            false => Verdict::Fails,
        },
        format!(
            "From zero error (epoch {zero}) to the rescaling sharpness goes from {:.4} to {:.4} and tr H from {:.2} to {:.2}; \
             log P(f) stays between {low:.2} and {high:.2} nats.",
            at_zero.flatness[0], before.flatness[0], at_zero.flatness[1], before.flatness[1]
        ),
    );
    let later = &moments[at + 1..];
    let wrong = later.iter().filter(|one| one.train_accuracy < 1.0).count();
    let (low, high) = later
        .iter()
        .map(|one| one.log_prob(0))
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    findings.notes.push(format!(
        "After the rescaling training goes on at the same rate from a place {:.1} times as curved: {wrong} of the {} epochs \
         that follow end with a training error, and in them log P(f) ranges from {low:.2} to {high:.2} nats, as the function \
         itself changes; at the end it is {:.2}.",
        after.flatness[2] / before.flatness[2],
        later.len(),
        last.log_prob(0)
    ));
}

fn table(moments: &[Moment]) -> Table {
    let mut columns = vec!["epoch", "rescaled", "loss", "train_accuracy", "test_accuracy"];
    columns.extend(MEASURES);
    columns.extend(READINGS[..TIMED_READINGS].iter().map(|reading| reading.name));
    let mut table = Table::new("temporal", "Every epoch", &columns);
    table.on_page = false;
    for moment in moments {
        let mut cells: Vec<Cell> = vec![
            moment.epoch.into(),
            if moment.rescaled { "yes" } else { "no" }.into(),
            moment.loss.into(),
            moment.train_accuracy.into(),
            moment.test_accuracy.into(),
        ];
        cells.extend(moment.flatness.iter().map(|value| Cell::from(*value)));
        cells.extend((0..TIMED_READINGS).map(|reading| Cell::from(moment.log_prob(reading))));
        table.row(cells);
    }
    table
}

fn figure(moments: &[Moment]) -> Figure {
    let zero = moments.iter().find(|moment| moment.train_accuracy == 1.0).map_or(0, |moment| moment.epoch) as f64;
    let rescaled = moments.iter().find(|moment| moment.rescaled).map_or(f64::NAN, |moment| moment.epoch as f64);
    let rules = || {
        let rule = |name: &str, at: f64, colour| Series {
            name: name.to_owned(),
            points: vec![(at, 0.0)],
            style: Style::Rule,
            colour,
        };
        vec![rule("zero training error", zero, 3), rule("rescaled by 5.9", rescaled, 1)]
    };
    let panel = |title: &str, y: Axis, value: &dyn Fn(&Moment) -> f64| {
        let points = moments.iter().map(|moment| (moment.epoch as f64, value(moment))).collect();
        let mut series = rules();
        series.push(Series { name: "measured at every epoch".to_owned(), points, style: Style::Line, colour: 0 });
        Panel { title: title.to_owned(), x: Axis::linear("epoch"), y, series }
    };
    Figure {
        name: "temporal".to_owned(),
        caption:
            "Training to zero error and past it; in the middle of what follows the first layer is divided by 5.9 and \
                  the second multiplied. Sharpness and curvature jump and fall; log P(f) stays."
                .to_owned(),
        panels: vec![
            panel("Keskar sharpness", Axis::log("sharpness (percent)"), &|one| one.flatness[0]),
            panel("log P(f)", Axis::linear("log P(f), EP step (nats)"), &|one| one.log_prob(0)),
            panel("Trace of the Hessian", Axis::log("tr H"), &|one| one.flatness[1]),
            panel("Accuracy on E", Axis::linear("accuracy (percent)"), &|one| 100.0 * one.test_accuracy),
        ],
        columns: 2,
    }
}
