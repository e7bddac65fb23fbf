//! Flatness and log P(f) against generalisation, over a sweep of attack sets (figures 3 and 4 of the paper).

use crate::flatness::{self, Response};
use crate::numeric::Streams;
use crate::study::measured::{Menu, UNASKED, measure_all};
use crate::study::networks::{Trained, population};
use crate::study::predictors::{
    LOG_PROB, Row, SHARPNESS, axis, cloud, coefficients, networks_table, pearson_of, predictors, skipped, titled,
    verdict,
};
use crate::study::{
    Axis, Defaults, Desk, Figure, Findings, Measured, Panel, Request, Series, Setting, Study, StudyError, Style,
    Verdict,
};
use rand::RngExt;

const OPTIMIZERS: [&str; 7] = ["sgd", "momentum", "adam", "adagrad", "rmsprop", "entropy-sgd", "sam"];
/// Twins are rescaled by a factor between this and its inverse: the six decades of the study `rescaling`.
const SPREAD: f64 = 1e3;
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
/// What networks are grouped by.
const KIND: &str = "optimizer";

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
        findings.record("correlations", rows.iter().map(|row| row.json(KIND)).collect::<Vec<_>>());
        findings.record("correlations_with_twins", pooled.iter().map(|row| row.json(KIND)).collect::<Vec<_>>());
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
            "Intervals are those of a bootstrap over networks: all share S and E, so they say nothing of how another S would \
             do."
                .to_owned(),
        );
        findings.tables = vec![
            coefficients("correlations", "Correlation with accuracy on E, networks as trained", KIND, &rows),
            coefficients("correlations_with_twins", "The same with a rescaled twin of each network", KIND, &pooled),
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
                series.push(cloud("rescaled twin, the same function", of(twins, first), predictor, 1));
            }
            series.push(cloud("network as trained", of(originals, first), predictor, 0));
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
                series: vec![cloud("", of(originals, id), predictor, 0)],
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

/// The networks of an optimiser.
fn of<'m>(networks: &'m [&Measured], optimizer: &'m str) -> impl Iterator<Item = &'m Measured> {
    networks.iter().copied().filter(move |one| one.optimizer == optimizer)
}

/// Pearson's coefficient of every predictor, in the order of its size under the first optimiser.
fn ranking(setting: &Setting, rows: &[Row], pooled: &[Row]) -> Figure {
    let first = setting.optimizers.first().expect("at least one optimiser");
    let mut ranked: Vec<(&str, f64)> = rows
        .iter()
        .filter(|row| row.group == *first)
        // The logarithm stands for the measure where there is one.
        .filter(|row| !rows.iter().any(|other| other.predictor == format!("log10_{}", row.predictor)))
        .filter_map(|row| Some((row.predictor.as_str(), row.correlation.pearson?)))
        .collect();
    ranked.sort_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
    let points = |rows: &[Row]| -> Vec<(f64, f64)> {
        let places = ranked.iter().enumerate();
        places.filter_map(|(place, (id, _))| Some((pearson_of(rows, first, id)?, (place + 1) as f64))).collect()
    };
    let names = ranked
        .iter()
        .map(|(id, _)| {
            let invariant = flatness::find(id.trim_start_matches("log10_"))
                .is_none_or(|measure| measure.responses().layer_scaling != Response::Changes);
            format!("{id}{}", if invariant { " *" } else { "" })
        })
        .collect();
    Figure {
        name: "ranking".to_owned(),
        caption: format!(
            "Pearson's coefficient with accuracy under {first}, as trained and with rescaled twins, the strongest above. \
             Predictors with a star are not changed by rescaling a layer.",
        ),
        panels: vec![Panel {
            title: format!("Correlation with accuracy, {first}"),
            x: Axis::linear("Pearson's coefficient"),
            y: Axis::named(names),
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
