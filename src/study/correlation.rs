//! Flatness and log P(f) against generalisation, over a sweep of attack sets (figures 3 and 4 of the paper).

use crate::flatness::{self, Response};
use crate::numeric::Streams;
use crate::numeric::correlation::{Correlation, correlate};
use crate::study::measured::{Menu, READINGS, UNASKED, measure_all};
use crate::study::networks::{Trained, population};
use crate::study::{
    Axis, Cell, Defaults, Desk, Figure, Findings, Measured, Panel, Request, Series, Setting, Study, StudyError, Style,
    Table, Verdict, real,
};
use rand::RngExt;
use serde_json::{Value, json};

const OPTIMIZERS: [&str; 7] = ["sgd", "momentum", "adam", "adagrad", "rmsprop", "entropy-sgd", "sam"];
/// Twins are rescaled by a factor between this and its inverse: the paper's 5.9.
const SPREAD: f64 = 5.9;
/// What `--quick` measures.
const QUICK_MEASURES: [&str; 7] = [
    "keskar_sharpness",
    "hessian_trace",
    "hessian_max_eigenvalue",
    "filter_weighted_trace",
    "relative_flatness",
    "fisher_rao",
    "path_norm",
];
/// Coefficient from which a correlation is called strong, as in the paper's figures.
const STRONG: f64 = 0.8;
const SHARPNESS: &str = "log10_keskar_sharpness";
const LOG_PROB: &str = "log_prob_ep_step";

/// Registry entry.
pub(super) struct CorrelationStudy;

impl Study for CorrelationStudy {
    fn id(&self) -> &'static str {
        "correlation"
    }

    fn summary(&self) -> &'static str {
        "generalisation against every flatness measure and log P(f), over attack sets and optimisers; then with rescaled twins"
    }

    fn source(&self) -> &'static str {
        "Zhang et al. 2021, figures 3 and 4"
    }

    fn run(&self, request: &Request, desk: &Desk) -> Result<Findings, StudyError> {
        let defaults = if request.quick {
            Defaults { seeds: 1, train: 300, attacks: 6, optimizers: &["sgd", "adam"] }
        } else {
            Defaults { seeds: 5, train: 500, attacks: 11, optimizers: &OPTIMIZERS }
        };
        let setting = Setting::resolve(request, &defaults)?;
        let menu = Menu::new(request.measures.as_deref(), request.quick.then_some(&QUICK_MEASURES))?;
        let mut jobs = Vec::new();
        for optimizer in &setting.optimizers {
            for &attack in &setting.attacks {
                jobs.extend(setting.seeds.iter().map(|&seed| setting.training(optimizer, attack, seed)));
            }
        }
        let population = population(&jobs, desk)?;
        let measured = measure_all(&population.networks, &|trained| vec![twin_factor(trained)], &menu, desk)?;
        let mut findings = Findings::new(self.id(), setting.sentence(), &setting.seeds);
        let predictors = predictors(&menu, &measured);
        let (originals, twins): (Vec<&Measured>, Vec<&Measured>) = measured.iter().partition(|one| one.alpha == 1.0);
        let mut rows = Vec::new();
        let mut pooled = Vec::new();
        for optimizer in &setting.optimizers {
            let of = |all: &[&Measured]| -> Vec<Measured> {
                all.iter().filter(|one| one.optimizer == *optimizer).map(|&one| one.clone()).collect()
            };
            let alone = of(&originals);
            let both: Vec<Measured> = alone.iter().cloned().chain(of(&twins)).collect();
            for predictor in &predictors {
                rows.push(Row::new(optimizer, predictor, &alone, request.seed));
                pooled.push(Row::new(optimizer, predictor, &both, request.seed));
            }
        }
        findings.record("setting_details", &setting);
        findings.record("correlations", rows.iter().map(Row::json).collect::<Vec<_>>());
        findings.record("correlations_with_twins", pooled.iter().map(Row::json).collect::<Vec<_>>());
        judge(&mut findings, &setting, &rows, &pooled);
        findings.notes.extend(population.left_out);
        if request.measures.is_none() && !request.quick {
            findings
                .notes
                .extend(UNASKED.iter().map(|(id, reason)| format!("{id} is measured when asked for: {reason}")));
        }
        findings.notes.push(skipped(&menu, &originals));
        findings.notes.retain(|note| !note.is_empty());
        findings.notes.push(
            "Intervals are those of a bootstrap over networks, which takes them as independent draws; networks of one seed \
             share S and E."
                .to_owned(),
        );
        findings.tables = vec![
            coefficients("correlations", "Correlation with accuracy on E, networks as trained", &rows),
            coefficients("correlations_with_twins", "The same with a rescaled twin of each network", &pooled),
            networks_table(&menu, &measured),
        ];
        findings.figures = figures(&setting, &originals, &twins, &rows, &pooled);
        Ok(findings)
    }
}

/// The twin's factor, uniform in its logarithm, from a stream of the network's own.
fn twin_factor(trained: &Trained) -> f64 {
    let index = trained.settings.data.attack as u64;
    let streams = Streams::new(trained.settings.seed).child(&trained.settings.trainer.optimizer.id, 0);
    SPREAD.powf(streams.stream("twin", index).random_range(-1.0..=1.0))
}

/// Names of predictors: readings and measures as they are, and the logarithm of each measure that is always above 0.
fn predictors(menu: &Menu, measured: &[Measured]) -> Vec<String> {
    let mut names = Vec::new();
    for reading in READINGS {
        names.push(reading.name.to_owned());
    }
    for measure in &menu.measures {
        let id = measure.id();
        let values: Vec<f64> = measured.iter().filter_map(|one| one.value(id)).collect();
        if values.is_empty() {
            continue;
        }
        if values.iter().all(|value| *value > 0.0) {
            names.push(format!("log10_{id}"));
        }
        names.push(id.to_owned());
    }
    names
}

/// A predictor's value; NaN where the network has none.
fn value(one: &Measured, predictor: &str) -> f64 {
    let found = match predictor.strip_prefix("log10_") {
        Some(id) => one.value(id).map(f64::log10),
        None => one.value(predictor),
    };
    found.unwrap_or(f64::NAN)
}

/// A predictor's correlations with accuracy under an optimiser.
struct Row {
    optimizer: String,
    predictor: String,
    correlation: Correlation,
}

impl Row {
    fn new(optimizer: &str, predictor: &str, networks: &[Measured], seed: u64) -> Self {
        let x: Vec<f64> = networks.iter().map(|one| value(one, predictor)).collect();
        let y: Vec<f64> = networks.iter().map(|one| one.accuracy).collect();
        // Each predictor sees the same resamples, so that their intervals can be compared.
        let correlation = correlate(&x, &y, Streams::new(seed).child(optimizer, networks.len() as u64));
        Self { optimizer: optimizer.to_owned(), predictor: predictor.to_owned(), correlation }
    }

    fn json(&self) -> Value {
        let Correlation { pearson, spearman, kendall, n, .. } = self.correlation;
        let interval = |ends: Option<[f64; 2]>| ends.map(|ends| ends.map(|end| real(Some(end))));
        json!({
            "optimizer": self.optimizer,
            "predictor": self.predictor,
            "pearson": real(pearson),
            "spearman": real(spearman),
            "kendall": real(kendall),
            "pearson_interval": interval(self.correlation.pearson_interval),
            "spearman_interval": interval(self.correlation.spearman_interval),
            "kendall_interval": interval(self.correlation.kendall_interval),
            "n": n,
        })
    }
}

fn pearson_of(rows: &[Row], optimizer: &str, predictor: &str) -> Option<f64> {
    let row = rows.iter().find(|row| row.optimizer == optimizer && row.predictor == predictor)?;
    row.correlation.pearson
}

/// How many of the optimisers a condition holds for.
fn verdict(holds: usize, of: usize) -> Verdict {
    match holds {
        _ if holds == of => Verdict::Holds,
        0 => Verdict::Fails,
        _ => Verdict::Partly,
    }
}

fn judge(findings: &mut Findings, setting: &Setting, rows: &[Row], pooled: &[Row]) {
    let of = |rows: &[Row], predictor: &str| -> Vec<(String, f64)> {
        let all = setting.optimizers.iter();
        all.filter_map(|id| Some((id.clone(), pearson_of(rows, id, predictor)?))).collect()
    };
    let list =
        |found: &[(String, f64)]| found.iter().map(|(id, r)| format!("{id} {r:.3}")).collect::<Vec<_>>().join(", ");
    let log_prob = of(rows, LOG_PROB);
    let strong = log_prob.iter().filter(|(_, r)| *r >= STRONG).count();
    findings.claim(
        "log P(f) correlates strongly with generalisation, whatever the optimiser.",
        verdict(strong, setting.optimizers.len()),
        format!(
            "Pearson(log P(f), accuracy) by EP with the step link: {}. It is at least {STRONG} for {strong} of {} optimisers. \
             With the probit link, the paper's number: {}.",
            list(&log_prob),
            setting.optimizers.len(),
            list(&of(rows, "log_prob_ep_probit"))
        ),
    );
    let sharpness = of(rows, SHARPNESS);
    if !sharpness.is_empty() {
        let (sgd, others): (Vec<_>, Vec<_>) = sharpness.iter().cloned().partition(|(id, _)| id == "sgd");
        if let Some((_, r)) = sgd.first() {
            findings.claim(
                "Under SGD, flatter networks generalise better: sharpness falls as accuracy rises.",
                if *r < 0.0 { Verdict::Holds } else { Verdict::Fails },
                format!("Pearson(log10 sharpness, accuracy) = {r:.3} under SGD."),
            );
        }
        let weaker =
            others.iter().filter(|(id, r)| log_prob.iter().any(|(other, p)| other == id && r.abs() < p.abs())).count();
        if !others.is_empty() {
            let (_, weakest) = others.iter().min_by(|a, b| a.1.abs().total_cmp(&b.1.abs())).expect("not empty");
            findings.claim(
                "Under other optimisers the correlation of sharpness weakens or breaks, and that of log P(f) stays.",
                verdict(weaker, others.len()),
                format!(
                    "Pearson(log10 sharpness, accuracy): {}; weakest {weakest:.3}. It is weaker than that of log P(f) for \
                     {weaker} of {} optimisers.",
                    list(&others),
                    others.len()
                ),
            );
        }
        let twins = of(pooled, SHARPNESS);
        let lost = |id: &str| {
            let before = sharpness.iter().find(|(other, _)| other == id).map_or(0.0, |(_, r)| r.abs());
            let after = twins.iter().find(|(other, _)| other == id).map_or(0.0, |(_, r)| r.abs());
            after < before / 2.0
        };
        let destroyed = setting.optimizers.iter().filter(|id| lost(id)).count();
        findings.claim(
            "Rescaling parameters, which leaves the function as it is, destroys the correlation of sharpness.",
            verdict(destroyed, setting.optimizers.len()),
            format!(
                "With a twin of each network, its first layer divided by a factor between {:.3} and {SPREAD} and the second \
                 multiplied, Pearson(log10 sharpness, accuracy) goes from {} to {}; it is more than halved for {destroyed} of \
                 {} optimisers.",
                1.0 / SPREAD,
                list(&sharpness),
                list(&twins),
                setting.optimizers.len()
            ),
        );
    }
    let twins = of(pooled, LOG_PROB);
    let moved = log_prob.iter().zip(&twins).map(|((_, a), (_, b))| (a - b).abs()).fold(0.0, f64::max);
    findings.claim(
        "... and leaves that of log P(f) as it is.",
        if moved < 1e-12 { Verdict::Holds } else { Verdict::Partly },
        format!("With the twins Pearson(log P(f), accuracy) is {}: it moves by at most {moved:.1e}.", list(&twins)),
    );
}

fn skipped(menu: &Menu, originals: &[&Measured]) -> String {
    let sentences: Vec<String> = menu
        .measures
        .iter()
        .filter_map(|measure| {
            let without: Vec<&&Measured> =
                originals.iter().filter(|one| one.skipped.contains_key(measure.id())).collect();
            let reason = without.first()?.skipped.get(measure.id())?;
            Some(format!(
                "{} has no value for {} of {} networks ({reason})",
                measure.id(),
                without.len(),
                originals.len()
            ))
        })
        .collect();
    sentences.join("; ")
}

fn coefficients(name: &str, title: &str, rows: &[Row]) -> Table {
    let columns = [
        "optimizer",
        "predictor",
        "pearson",
        "pearson_low",
        "pearson_high",
        "spearman",
        "spearman_low",
        "spearman_high",
        "kendall",
        "kendall_low",
        "kendall_high",
        "n",
    ];
    let mut table = Table::new(name, title, &columns);
    for row in rows {
        let found = &row.correlation;
        let ends = |interval: Option<[f64; 2]>| {
            [Cell::from(interval.map(|ends| ends[0])), Cell::from(interval.map(|ends| ends[1]))]
        };
        let mut cells = vec![Cell::from(&row.optimizer), Cell::from(&row.predictor), Cell::from(found.pearson)];
        cells.extend(ends(found.pearson_interval));
        cells.push(Cell::from(found.spearman));
        cells.extend(ends(found.spearman_interval));
        cells.push(Cell::from(found.kendall));
        cells.extend(ends(found.kendall_interval));
        cells.push(Cell::from(found.n));
        table.row(cells);
    }
    table
}

/// One row a network, with standard errors of what is stochastic.
pub(super) fn networks_table(menu: &Menu, measured: &[Measured]) -> Table {
    let names = menu.names();
    let stochastic: Vec<&str> =
        names.iter().copied().filter(|name| measured.iter().any(|one| one.std_error(name).is_some())).collect();
    let mut columns = vec!["network", "optimizer", "attack", "seed", "alpha", "epochs", "accuracy", "labels_flipped"];
    columns.extend(&names);
    let errors: Vec<String> = stochastic.iter().map(|name| format!("{name}_std_error")).collect();
    columns.extend(errors.iter().map(String::as_str));
    let mut table = Table::new("networks", "What was measured on each network", &columns);
    table.on_page = false;
    for one in measured {
        let mut cells: Vec<Cell> = vec![
            (&one.network).into(),
            (&one.optimizer).into(),
            one.attack.into(),
            one.seed.into(),
            one.alpha.into(),
            one.epochs.into(),
            one.accuracy.into(),
            one.labels_flipped.into(),
        ];
        cells.extend(names.iter().map(|name| Cell::from(one.value(name))));
        cells.extend(stochastic.iter().map(|name| Cell::from(one.std_error(name))));
        table.row(cells);
    }
    table
}

/// What a predictor is called on an axis.
pub(super) fn axis(predictor: &str) -> String {
    match predictor {
        "log_prob_ep_step" => "log P(f), EP step (nats)".to_owned(),
        "log_prob_ep_probit" => "log P(f), EP probit (nats)".to_owned(),
        "log_prob_smc" => "log P(f), SMC (nats)".to_owned(),
        SHARPNESS => "log10 Keskar sharpness (percent)".to_owned(),
        other => match other.strip_prefix("log10_") {
            Some(id) => format!("log10 {}", id.replace('_', " ")),
            None => other.replace('_', " "),
        },
    }
}

fn titled(title: &str, rows: &[Row], optimizer: &str, predictor: &str) -> String {
    match pearson_of(rows, optimizer, predictor) {
        Some(r) => format!("{title}: r = {r:.3}"),
        None => title.to_owned(),
    }
}

fn cloud(name: &str, networks: &[&Measured], optimizer: &str, predictor: &str, colour: usize) -> Series {
    let points = networks.iter().filter(|one| one.optimizer == optimizer);
    let points = points.map(|one| (value(one, predictor), 100.0 * one.accuracy)).collect();
    Series { name: name.to_owned(), points, style: Style::Marks, colour }
}

fn figures(
    setting: &Setting,
    originals: &[&Measured],
    twins: &[&Measured],
    rows: &[Row],
    pooled: &[Row],
) -> Vec<Figure> {
    let y = || Axis::linear("accuracy on E (percent)");
    let has = |predictor: &str| rows.iter().any(|row| row.predictor == predictor);
    let mut figures = Vec::new();
    let first = setting.optimizers.first().expect("at least one optimiser").as_str();
    let shown = [LOG_PROB, SHARPNESS];
    let panels: Vec<Panel> = [("as trained", rows, false), ("with rescaled twins", pooled, true)]
        .into_iter()
        .flat_map(|(title, rows, with_twins)| {
            shown
                .into_iter()
                .filter(|predictor| has(predictor))
                .map(move |predictor| (title, rows, with_twins, predictor))
        })
        .map(|(title, rows, with_twins, predictor)| {
            let mut series = Vec::new();
            if with_twins {
                series.push(cloud("rescaled twin, the same function", twins, first, predictor, 1));
            }
            series.push(cloud("network as trained", originals, first, predictor, 0));
            Panel { title: titled(title, rows, first, predictor), x: Axis::linear(&axis(predictor)), y: y(), series }
        })
        .collect();
    figures.push(Figure {
        name: "thesis".to_owned(),
        caption: format!(
            "Accuracy against log P(f) and sharpness under {first}, as trained (above) and with a rescaled twin of each \
             network (below). Twins express the same functions: log P(f) is theirs too, sharpness is not."
        ),
        panels,
        columns: shown.iter().filter(|predictor| has(predictor)).count(),
    });
    for predictor in [LOG_PROB, "log_prob_ep_probit", SHARPNESS, "log10_hessian_trace", "log10_hessian_max_eigenvalue"]
    {
        if !has(predictor) {
            continue;
        }
        let panels: Vec<Panel> = setting
            .optimizers
            .iter()
            .map(|id| Panel {
                title: titled(id, rows, id, predictor),
                x: Axis::linear(&axis(predictor)),
                y: y(),
                series: vec![cloud("", originals, id, predictor, 0)],
            })
            .collect();
        figures.push(Figure {
            name: format!("accuracy_{predictor}"),
            caption: format!("Accuracy against {}, one mark a network, one panel an optimiser.", axis(predictor)),
            columns: panels.len().min(3),
            panels,
        });
    }
    figures.push(ranking(setting, rows, pooled));
    figures
}

/// Pearson's coefficient of every predictor, in the order of its size under the first optimiser.
fn ranking(setting: &Setting, rows: &[Row], pooled: &[Row]) -> Figure {
    let first = setting.optimizers.first().expect("at least one optimiser");
    let mut ranked: Vec<(&str, f64)> = rows
        .iter()
        .filter(|row| row.optimizer == *first)
        // The logarithm stands for the measure where there is one.
        .filter(|row| !rows.iter().any(|other| other.predictor == format!("log10_{}", row.predictor)))
        .filter_map(|row| Some((row.predictor.as_str(), row.correlation.pearson?)))
        .collect();
    ranked.sort_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
    let points = |rows: &[Row]| -> Vec<(f64, f64)> {
        let places = ranked.iter().enumerate();
        places.filter_map(|(place, (id, _))| Some((pearson_of(rows, first, id)?, (place + 1) as f64))).collect()
    };
    let names: Vec<String> = ranked
        .iter()
        .enumerate()
        .rev()
        .map(|(place, (id, _))| {
            let invariant = flatness::find(id.trim_start_matches("log10_"))
                .is_none_or(|measure| measure.responses().layer_scaling != Response::Changes);
            format!("{} {}{}", place + 1, id, if invariant { " (invariant)" } else { "" })
        })
        .collect();
    Figure {
        name: "ranking".to_owned(),
        caption: format!(
            "Pearson's coefficient with accuracy under {first}, as trained and with rescaled twins. Rows from strongest to \
             weakest: {}. Those marked invariant are not changed by rescaling a layer.",
            names.join(", ")
        ),
        panels: vec![Panel {
            title: format!("Correlation with accuracy, {first}"),
            x: Axis::linear("Pearson's coefficient"),
            y: Axis::linear("row of the list below"),
            series: vec![
                Series { name: "as trained".to_owned(), points: points(rows), style: Style::Marks, colour: 0 },
                Series {
                    name: "with rescaled twins".to_owned(),
                    points: points(pooled),
                    style: Style::Marks,
                    colour: 1,
                },
            ],
        }],
        columns: 1,
    }
}
