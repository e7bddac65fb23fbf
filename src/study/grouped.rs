//! What the studies of batch size and of width share: a sweep over attack sets in each of several groups of networks.

use crate::study::measured::{Menu, measure_all};
use crate::study::networks::population;
use crate::study::predictors::{
    LOG_PROB, Row, SHARPNESS, axis, cloud, coefficients, networks_table, pearson_of, predictors, skipped, titled,
    verdict,
};
use crate::study::{
    Axis, Defaults, Desk, Figure, Findings, Measured, Panel, Request, Series, Setting, StudyError, Style,
};
use crate::train::Settings;
use std::collections::BTreeMap;

/// Measures that are compared between groups, beside log P(f).
const MEASURES: [&str; 4] = ["keskar_sharpness", "hessian_trace", "hessian_max_eigenvalue", "filter_weighted_trace"];

/// Coefficient from which a correlation is called strong.
const STRONG: f64 = 0.8;

/// What is varied.
pub(super) struct Variable<'v> {
    /// Registry name of the study.
    pub study: &'v str,
    /// Key in the JSON document.
    pub key: &'v str,
    /// Label of an axis.
    pub label: &'v str,
    /// Its values.
    pub values: &'v [usize],
    /// Sets it in a training.
    pub set: fn(&Setting, &mut Settings, usize),
}

/// A value of what is varied, with the trainings at it.
struct Group {
    value: usize,
    jobs: Vec<Settings>,
}

/// Trains, measures and correlates at each value, and judges the claims that concern all of them.
pub(super) fn compare(variable: &Variable, request: &Request, desk: &Desk) -> Result<Findings, StudyError> {
    let (seeds, train, attacks) = if request.quick { (1, 200, 5) } else { (3, 500, 7) };
    let setting = Setting::resolve(request, &Defaults { seeds, train, attacks, optimizers: &["sgd"] })?;
    let groups: Vec<Group> = variable
        .values
        .iter()
        .map(|&value| {
            let mut jobs = Vec::new();
            for &attack in &setting.attacks {
                for &seed in &setting.seeds {
                    let mut settings = setting.training(&setting.optimizers[0], attack, seed);
                    (variable.set)(&setting, &mut settings, value);
                    jobs.push(settings);
                }
            }
            Group { value, jobs }
        })
        .collect();
    let sentence = format!("{}, but for the {}: {:?}", setting.sentence(), variable.label, variable.values);
    let mut findings = Findings::new(variable.study, sentence, &setting.seeds);
    let rows = correlations(variable, &groups, request, desk, &mut findings)?;
    judge(variable, &rows, &mut findings);
    Ok(findings)
}

fn judge(variable: &Variable, rows: &[Row], findings: &mut Findings) {
    let of = |value: &usize, predictor: &str| pearson_of(rows, &value.to_string(), predictor);
    let (label, all) = (variable.label, variable.values.len());
    let strong = variable.values.iter().filter(|value| of(value, LOG_PROB).is_some_and(|r| r >= STRONG)).count();
    findings.claim(
        &format!("log P(f) correlates strongly with generalisation at every {label}."),
        verdict(strong, all),
        format!(
            "Pearson(log P(f), accuracy) by {label}: {}. It is at least {STRONG} in {strong} of {all}.",
            listed(rows, LOG_PROB)
        ),
    );
    let is_weaker = |value: &usize| match (of(value, SHARPNESS), of(value, LOG_PROB)) {
        (Some(sharpness), Some(log_prob)) => sharpness.abs() < log_prob.abs(),
        _ => false,
    };
    let weaker = variable.values.iter().filter(|value| is_weaker(value)).count();
    findings.claim(
        &format!("It is the better predictor: sharpness correlates less at every {label}."),
        verdict(weaker, all),
        format!(
            "Pearson(log10 sharpness, accuracy) by {label}: {}. It is weaker than that of log P(f) in {weaker} of {all}.",
            listed(rows, SHARPNESS)
        ),
    );
}

fn correlations(
    variable: &Variable,
    groups: &[Group],
    request: &Request,
    desk: &Desk,
    findings: &mut Findings,
) -> Result<Vec<Row>, StudyError> {
    let menu = Menu::new(request.measures.as_deref(), Some(&MEASURES))?;
    let jobs: Vec<Settings> = groups.iter().flat_map(|group| group.jobs.iter().cloned()).collect();
    let population = population(&jobs, desk)?;
    let measured = measure_all(&population.networks, &|_| Vec::new(), &menu, desk)?;
    let group_of: BTreeMap<&str, usize> = population
        .networks
        .iter()
        .filter_map(|trained| {
            let group = groups.iter().find(|group| group.jobs.contains(&trained.settings))?;
            Some((trained.name.as_str(), group.value))
        })
        .collect();
    let of = |value: usize| -> Vec<Measured> {
        measured.iter().filter(|one| group_of.get(one.network.as_str()) == Some(&value)).cloned().collect()
    };
    let names = predictors(&menu, &measured);
    let mut rows = Vec::new();
    for group in groups {
        let networks = of(group.value);
        rows.extend(names.iter().map(|name| Row::new(&group.value.to_string(), name, &networks, request.seed)));
    }
    findings.record("correlations", rows.iter().map(|row| row.json(variable.key)).collect::<Vec<_>>());
    findings.notes.extend(population.left_out);
    findings.notes.push(skipped(&menu, &measured.iter().collect::<Vec<_>>()));
    findings.notes.retain(|note| !note.is_empty());
    findings.tables.push(coefficients("correlations", "Correlation with accuracy on E", variable.key, &rows));
    findings.tables.push(networks_table(&menu, &measured));
    for predictor in [SHARPNESS, LOG_PROB] {
        let panels: Vec<Panel> = groups
            .iter()
            .map(|group| {
                let name = group.value.to_string();
                Panel {
                    title: titled(&format!("{} {name}", variable.label), &rows, &name, predictor),
                    x: Axis::linear(&axis(predictor)),
                    y: Axis::linear("accuracy on E (percent)"),
                    series: vec![cloud("", &of(group.value), predictor, 0)],
                }
            })
            .collect();
        findings.figures.push(Figure {
            name: format!("accuracy_{predictor}"),
            caption: format!("Accuracy against {}, one mark a network.", axis(predictor)),
            columns: panels.len().min(3),
            panels,
        });
    }
    let curve = |predictor: &str, name: &str, colour| Series {
        name: name.to_owned(),
        points: (groups.iter())
            .filter_map(|group| Some((group.value as f64, pearson_of(&rows, &group.value.to_string(), predictor)?)))
            .collect(),
        style: Style::Marks,
        colour,
    };
    findings.figures.push(Figure {
        name: "coefficients".to_owned(),
        caption: format!("Pearson's coefficient with accuracy against {}.", variable.label),
        panels: vec![Panel {
            title: "Correlation with accuracy".to_owned(),
            x: Axis::log(variable.label),
            y: Axis::linear("Pearson's coefficient"),
            series: vec![
                curve(LOG_PROB, "log P(f), EP step", 0),
                curve(SHARPNESS, "log10 Keskar sharpness", 1),
                curve("log10_hessian_trace", "log10 tr H", 2),
            ],
        }],
        columns: 1,
    });
    Ok(rows)
}

/// Pearson's coefficients of a predictor by group, in a sentence.
fn listed(rows: &[Row], predictor: &str) -> String {
    let own = rows.iter().filter(|row| row.predictor == predictor);
    let texts = own.map(|row| {
        let coefficient = row.correlation.pearson.map_or("none".to_owned(), |r| format!("{r:.3}"));
        format!("{} {coefficient}", row.group)
    });
    texts.collect::<Vec<_>>().join(", ")
}
