//! Sharpness and log P(f) over training and past zero error, with a rescaling in the middle (figure 5 of the paper).

mod course;
mod judge;

use crate::flatness;
use crate::model::architecture::{DEFAULT_BIAS_STD, DEFAULT_WEIGHT_STD};
use crate::model::{Architecture, LayerSpec, Padding};
use crate::study::ground::Ground;
use crate::study::reading::{Quantity, READINGS};
use crate::study::{
    Axis, Cell, Defaults, Figure, Findings, KernelChoice, Panel, Request, Series, Setting, Study, StudyError, Style,
    Table, Workspace, real,
};
use crate::train::Settings;
use course::{Course, Watched, follow};
use serde_json::{Value, json};

/// The factor, epochs and rows of E are those of the program published with the paper (`Temporal`); other factors stand
/// beside it.
const ALPHA: f64 = 5.9;
const ALPHAS: [f64; 3] = [ALPHA, 2.0, 20.0];
/// Epochs past zero error, half of them before the rescaling.
const EXTRA_EPOCHS: usize = 1000;
const QUICK_EXTRA_EPOCHS: usize = 40;
/// Of the epochs before zero error, a quick study measures one in this many.
const QUICK_STRIDE: usize = 10;
/// Fewest of them: one on each side of the rescaling.
const LEAST_EXTRA_EPOCHS: usize = 2;
/// Rows of E.
const TEST: usize = 100;
/// Flatness over time: sharpness, and two more.
const MEASURES: [&str; 4] = ["keskar_sharpness", "keskar_sharpness_sgd", "hessian_trace", "hessian_max_eigenvalue"];
/// Channels of the network with batch norms.
const CHANNELS: usize = 4;
/// Sampled networks behind its kernel.
const KERNEL_SAMPLES: usize = 200;

/// Registry entry.
pub(super) struct TemporalStudy;

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

    fn run(&self, request: &Request, workspace: &Workspace) -> Result<Findings, StudyError> {
        let train = request.quick.then_some(100);
        let defaults = Defaults { seeds: 5, train, attacks: 1, optimizers: &["sgd"] };
        let extra = request.extra_epochs.unwrap_or(if request.quick { QUICK_EXTRA_EPOCHS } else { EXTRA_EPOCHS });
        if extra < LEAST_EXTRA_EPOCHS {
            return Err(StudyError::Request {
                name: "extra_epochs",
                found: extra.to_string(),
                expected: format!("at least {LEAST_EXTRA_EPOCHS}: one on each side of the rescaling"),
            });
        }
        let request =
            Request { test: Some(request.test.unwrap_or(TEST)), extra_epochs: Some(extra), ..request.clone() };
        let setting = Setting::resolve(&request, &defaults)?;
        let alphas: &[f64] = if request.quick { &ALPHAS[..1] } else { &ALPHAS };
        let watched = watched(&request)?;
        let trainings: Vec<Settings> = setting
            .seeds
            .iter()
            .map(|&seed| setting.training(&setting.optimizers[0], setting.attacks[0], seed))
            .collect();
        let mut courses = Vec::new();
        let ground = Ground::new(&trainings[0].data, &trainings[0].architecture, setting.kernel, workspace)?;
        for settings in &trainings {
            courses.extend(follow(settings, alphas, &watched, &ground, workspace)?);
        }
        let mut findings = Findings::new(self.id(), setting.sentence(), &setting.seeds);
        record(&mut findings, &courses, &watched);
        let of_the_paper: Vec<Course> = courses.iter().filter(|course| course.alpha == ALPHA).cloned().collect();
        judge::judge(&mut findings, &of_the_paper, request.seed);
        findings.tables.push(table("temporal", "Every epoch", &courses, &watched));
        findings.figures.push(figure("temporal", &of_the_paper, &watched));
        match batch_norm(&setting, &trainings[0])? {
            Some(settings) => {
                let kernel = KernelChoice::Empirical(Some(KERNEL_SAMPLES));
                let ground = Ground::new(&settings.data, &settings.architecture, kernel, workspace)?;
                let normed = follow(&settings, &ALPHAS[..1], &watched, &ground, workspace)?;
                let documents = normed.iter().map(|course| document(course, &watched)).collect::<Vec<_>>();
                findings.record("batch_norm_runs", documents);
                judge::judge_batch_norm(&mut findings, &normed);
                findings.tables.push(table("batch_norm", "Every epoch, with batch norms", &normed, &watched));
                findings.figures.push(figure("batch_norm", &normed, &watched));
                findings.notes.push(format!(
                    "The network with batch norms is {} ({CHANNELS} channels) with a kernel averaged over {KERNEL_SAMPLES} \
                     sampled networks; all its convolutions are multiplied by {ALPHA}.",
                    settings.architecture
                ));
            }
            None if setting.asked_architecture.is_some() => {}
            None => findings.notes.push("The data are no images: there is no run with batch norms.".to_owned()),
        }
        findings.notes.push(
            "Sharpness is that of projected sign ascent, whose path a rescaling does not change, so that the jump can be \
             predicted to rounding; beside it stands the paper's ascent by SGD, where it is measured."
                .to_owned(),
        );
        if watched.stride > 1 {
            findings.notes.push(format!("Before zero error one epoch in {} is measured.", watched.stride));
        }
        if request.measures.is_some() {
            findings.notes.push(format!("The study follows {}: --measures does not concern it.", MEASURES.join(", ")));
        }
        findings.notes.push(after_the_rescaling(&of_the_paper));
        Ok(findings)
    }
}

/// What is measured at every epoch: sharpness first, and both readings by EP unless others are asked for.
fn watched(request: &Request) -> Result<Watched, StudyError> {
    let asked = request.readings.as_deref();
    let is_read = |reading: &Quantity| {
        asked.map_or(reading.method == "ep", |asked| asked.iter().any(|name| name == reading.name))
    };
    let readings: Vec<Quantity> = READINGS.into_iter().filter(is_read).collect();
    if readings.is_empty() || asked.is_some_and(|asked| asked.len() != readings.len()) {
        return Err(StudyError::Request {
            name: "readings",
            found: asked.unwrap_or_default().join(","),
            expected: format!("names among {}", READINGS.map(|reading| reading.name).join(", ")),
        });
    }
    let stride = if request.quick { QUICK_STRIDE } else { 1 };
    Ok(Watched { stride, measures: MEASURES.into_iter().filter_map(flatness::find).collect(), readings })
}

/// The same training of a small network with batch norms, where none was asked for and the data are images.
fn batch_norm(setting: &Setting, settings: &Settings) -> Result<Option<Settings>, StudyError> {
    let shape = crate::data::load_source(&setting.data)?.shape;
    if setting.asked_architecture.is_some() || shape.len() != 3 {
        return Ok(None);
    }
    let conv =
        || LayerSpec::Conv { channels: CHANNELS, kernel: [3, 3], stride: [1, 1], padding: Padding::Same, bias: false };
    let architecture = Architecture {
        input: shape,
        weight_std: DEFAULT_WEIGHT_STD,
        bias_std: DEFAULT_BIAS_STD,
        layers: vec![
            conv(),
            LayerSpec::BatchNorm,
            LayerSpec::Relu,
            conv(),
            LayerSpec::BatchNorm,
            LayerSpec::Relu,
            LayerSpec::Flatten,
            LayerSpec::Dense { units: 1 },
        ],
    };
    Ok(Some(Settings { architecture, ..settings.clone() }))
}

fn document(course: &Course, watched: &Watched) -> Value {
    json!({
        "seed": course.seed,
        "alpha": course.alpha,
        "zero_error_epoch": course.zero().epoch,
        "rescaled_at_epoch": course.after[0].epoch,
        "predicted_at_rescaling": course.predicted.iter().map(|value| real(*value)).collect::<Vec<_>>(),
        "moments": course.moments().map(|one| one.json(watched, course.last_before())).collect::<Vec<_>>(),
    })
}

/// All runs, and the first of them under the names of a study of one run.
fn record(findings: &mut Findings, courses: &[Course], watched: &Watched) {
    let first = &courses[0];
    let changes = first.last_before().log_prob.iter().zip(&first.after[0].log_prob).map(|(before, after)| {
        let both = before.zip(*after);
        real(if before == after { Some(0.0) } else { both.map(|(before, after)| after - before) })
    });
    findings.record("alpha", first.alpha);
    findings.record("measures", watched.measures.iter().map(|measure| measure.id()).collect::<Vec<_>>());
    findings.record("log_prob_change_at_rescaling", changes.collect::<Vec<_>>());
    if let Value::Object(fields) = document(first, watched) {
        for name in ["zero_error_epoch", "rescaled_at_epoch", "predicted_at_rescaling", "moments"] {
            findings.record(name, &fields[name]);
        }
    }
    findings.record("runs", courses.iter().map(|course| document(course, watched)).collect::<Vec<_>>());
}

/// How training goes on from the rescaled place.
fn after_the_rescaling(courses: &[Course]) -> String {
    let Some(first) = courses.first() else { return String::new() };
    let later = &first.after[1..];
    let wrong = later.iter().filter(|one| one.train_accuracy < 1.0).count();
    let values = later.iter().map(|one| one.log_prob(0));
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let last = &first.after[first.after.len() - 1];
    format!(
        "Seed {}: {wrong} of the {} epochs after the rescaling end with a training error, and in them log P(f) ranges from \
         {low:.2} to {high:.2} nats; at the end {} of {} labels differ from those before it.",
        first.seed,
        later.len(),
        last.hamming(first.last_before()),
        last.labels.len()
    )
}

fn table(name: &str, title: &str, courses: &[Course], watched: &Watched) -> Table {
    let mut columns = vec!["seed", "alpha", "epoch", "rescaled", "loss", "train_accuracy", "test_accuracy", "hamming"];
    columns.extend(watched.measures.iter().map(|measure| measure.id()));
    columns.extend(watched.readings.iter().map(|reading| reading.name));
    let mut table = Table::new(name, title, &columns);
    table.on_page = false;
    for course in courses {
        for moment in course.moments() {
            let mut cells: Vec<Cell> = vec![
                course.seed.into(),
                course.alpha.into(),
                moment.epoch.into(),
                if moment.rescaled { "yes" } else { "no" }.into(),
                moment.loss.into(),
                moment.train_accuracy.into(),
                moment.test_accuracy.into(),
                moment.hamming(course.last_before()).into(),
            ];
            cells.extend(moment.flatness.iter().map(|value| Cell::from(*value)));
            cells.extend((0..watched.readings.len()).map(|reading| Cell::from(moment.log_prob(reading))));
            table.row(cells);
        }
    }
    table
}

/// The runs over time; zero error and rescaling are those of the first.
fn figure(name: &str, courses: &[Course], watched: &Watched) -> Figure {
    let rules = || {
        let rule = |name: &str, at: usize, colour| Series {
            name: name.to_owned(),
            points: vec![(at as f64, 0.0)],
            style: Style::Rule,
            colour,
        };
        let first = &courses[0];
        let rescaled = format!("rescaled by {}", first.alpha);
        vec![rule("zero training error", first.zero().epoch, 3), rule(&rescaled, first.after[0].epoch, 1)]
    };
    let panel = |title: &str, y: Axis, value: &dyn Fn(&Course, &course::Moment) -> f64| {
        let mut series = rules();
        for (index, course) in courses.iter().enumerate() {
            let points = course.moments().map(|moment| (moment.epoch as f64, value(course, moment))).collect();
            let colour = if index == 0 { 0 } else { 5 };
            let name = if index == 0 { "first seed" } else { "other seeds" };
            series.insert(2, Series { name: name.to_owned(), points, style: Style::Line, colour });
        }
        Panel { title: title.to_owned(), x: Axis::linear("epoch"), y, series }
    };
    let of = |id: &str| watched.measures.iter().position(|measure| measure.id() == id);
    let mut panels = vec![panel("Keskar sharpness", Axis::log("sharpness (percent)"), &|_, one| one.flatness[0])];
    if let Some(index) = of("keskar_sharpness_sgd") {
        let axis = Axis::log("sharpness, SGD ascent (percent)");
        panels.push(panel("Keskar sharpness by SGD ascent", axis, &|_, one| one.flatness[index]));
    }
    if let Some(index) = of("hessian_trace") {
        panels.push(panel("Trace of the Hessian", Axis::log("tr H"), &|_, one| one.flatness[index]));
    }
    let label = format!("{} (nats)", watched.readings[0].name.replace('_', " "));
    panels.push(panel("log P(f)", Axis::linear(&label), &|_, one| one.log_prob(0)));
    panels.push(panel(
        "Distance to the function before the rescaling",
        Axis::linear("labels that differ"),
        &|course, one| one.hamming(course.last_before()) as f64,
    ));
    panels.push(panel("Accuracy on E", Axis::linear("accuracy (percent)"), &|_, one| 100.0 * one.test_accuracy));
    Figure {
        name: name.to_owned(),
        caption: "Training to zero error and past it, rescaled halfway. Sharpness and curvature jump and fall; log P(f) stays \
                  at the jump. Zero error and rescaling are marked for the first seed."
            .to_owned(),
        panels,
        columns: 2,
    }
}
