//! What the studies of batch size and of width share: a sweep over attack sets in each of several groups of networks.

use crate::study::claims::{correlated_strongly, stronger_than};
use crate::study::measured::{Choices, measure_all};
use crate::study::networks::population;
use crate::study::predictors::{
    ACCURACY, Row, SHARPNESS, SHARPNESSES, axis, cloud, coefficients, networks_table, pearson_of, predictors, skipped,
    titled,
};
use crate::study::{
    Axis, Defaults, Figure, Findings, Measured, Panel, Request, Series, Setting, StudyError, Style, Test, Workspace,
};
use crate::train::Settings;
use std::collections::BTreeMap;

/// Measures that are compared between groups, beside log P(f).
const MEASURES: [&str; 5] =
    ["keskar_sharpness", "keskar_sharpness_sgd", "hessian_trace", "hessian_max_eigenvalue", "filter_weighted_trace"];

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
pub(super) fn compare(variable: &Variable, request: &Request, workspace: &Workspace) -> Result<Findings, StudyError> {
    let (seeds, train, attacks) = if request.quick { (2, Some(200), 5) } else { (3, None, 7) };
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
    correlations(variable, &groups, &setting, request, workspace, &mut findings)?;
    Ok(findings)
}

/// A value of what is varied, and the networks at it.
type Networks<'m> = (usize, Vec<&'m Measured>);

fn judge(findings: &mut Findings, label: &str, groups: &[Networks], names: &[String], log_prob: &str, seed: u64) {
    let tests = |test: &dyn Fn(&str, &[&Measured]) -> Test| -> Vec<Test> {
        groups.iter().map(|(value, networks)| test(&format!("{label} {value}"), networks)).collect()
    };
    findings.claim(
        &format!("log P(f) correlates strongly with generalisation at every {label}."),
        tests(&|group, networks| {
            let of = format!("{group}: Pearson({log_prob}, accuracy)");
            correlated_strongly(&of, networks, log_prob, ACCURACY, STRONG, seed)
        }),
        format!("Pearson's coefficient of {log_prob} and accuracy is to be above {STRONG}."),
    );
    for (sharpness, ascent) in SHARPNESSES {
        if names.iter().all(|name| name != sharpness) {
            continue;
        }
        findings.claim(
            &format!("It is the better predictor: sharpness ({ascent}) correlates less at every {label}."),
            tests(&|group, networks| {
                let of = format!("{group}: |r({log_prob})| less |r({sharpness})|");
                stronger_than(&of, networks, log_prob, sharpness, ACCURACY, seed)
            }),
            format!("Pearson's coefficients with accuracy, {log_prob} against {sharpness}, on the same networks."),
        );
    }
}

fn correlations(
    variable: &Variable,
    groups: &[Group],
    setting: &Setting,
    request: &Request,
    workspace: &Workspace,
    findings: &mut Findings,
) -> Result<(), StudyError> {
    let choices = Choices::new(request, Some(&MEASURES))?;
    let log_prob = choices.log_prob();
    let jobs: Vec<Settings> = groups.iter().flat_map(|group| group.jobs.iter().cloned()).collect();
    let population = population(&jobs, setting.kernel, workspace)?;
    let measured = measure_all(&population.networks, &|_| Vec::new(), &choices, workspace)?;
    let group_of: BTreeMap<&str, usize> = population
        .networks
        .iter()
        .filter_map(|trained| {
            let group = groups.iter().find(|group| group.jobs.contains(&trained.settings))?;
            Some((trained.name.as_str(), group.value))
        })
        .collect();
    let of = |value: usize| -> Vec<&Measured> {
        measured.iter().filter(|one| group_of.get(one.network.as_str()) == Some(&value)).collect()
    };
    let names = predictors(&choices, &measured);
    let mut rows = Vec::new();
    for group in groups {
        let networks = of(group.value);
        rows.extend(names.iter().map(|name| Row::new(&group.value.to_string(), name, &networks, request.seed)));
    }
    let networks: Vec<Networks> = groups.iter().map(|group| (group.value, of(group.value))).collect();
    judge(findings, variable.label, &networks, &names, log_prob, request.seed);
    findings.record("correlations", rows.iter().map(|row| row.json(variable.key)).collect::<Vec<_>>());
    findings.notes.extend(population.left_out);
    findings.notes.push(skipped(&choices, &measured.iter().collect::<Vec<_>>()));
    findings.notes.retain(|note| !note.is_empty());
    findings.tables.push(coefficients("correlations", "Correlation with accuracy on E", variable.key, &rows));
    findings.tables.push(networks_table(&choices, &measured));
    for predictor in [SHARPNESS, log_prob] {
        let panels: Vec<Panel> = groups
            .iter()
            .map(|group| {
                let name = group.value.to_string();
                Panel {
                    title: titled(&format!("{} {name}", variable.label), &rows, &name, predictor),
                    x: Axis::linear(&axis(predictor)),
                    y: Axis::linear("accuracy on E (percent)"),
                    series: vec![cloud("", of(group.value), predictor, 0)],
                }
            })
            .collect();
        findings.figures.push(Figure {
            name: format!("accuracy_{predictor}"),
            caption: format!("Accuracy against {}, one mark per network.", axis(predictor)),
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
                curve(log_prob, "log P(f)", 0),
                curve(SHARPNESS, "log10 Keskar sharpness", 1),
                curve("log10_hessian_trace", "log10 tr H", 2),
            ],
        }],
        columns: 1,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Verdict::{Fails, Holds, Undecided};
    use crate::study::claims::planted::{noise, planted, verdict_of};
    use crate::study::reading::LOG_PROB;

    /// Two groups, of which the second has these noises of log P(f) and sharpness.
    fn found(n: usize, log_prob: f64, sharpness: f64) -> Findings {
        let group = |value: usize, log_prob: f64, sharpness: f64| -> Vec<Measured> {
            let network = |index: usize| {
                let accuracy = 0.5 + 0.4 * index as f64 / n as f64;
                let name = format!("{value}");
                let numbers = [
                    (LOG_PROB, accuracy + log_prob * noise(&name, index)),
                    ("keskar_sharpness", 10_f64.powf(-accuracy + sharpness * noise(&name, index + 1000))),
                ];
                planted("sgd", index, accuracy, &numbers)
            };
            (0..n).map(network).collect()
        };
        let (first, second) = (group(16, 0.01, 0.15), group(64, log_prob, sharpness));
        let groups: [Networks; 2] = [(16, first.iter().collect()), (64, second.iter().collect())];
        let mut findings = Findings::new("width", String::new(), &[0]);
        let names = [LOG_PROB, SHARPNESS].map(str::to_owned);
        judge(&mut findings, "width", &groups, &names, LOG_PROB, 0);
        findings
    }

    #[test]
    fn claims_hold_fail_or_stay_open() {
        let claim = "log P(f) correlates strongly";
        assert_eq!(verdict_of(&found(24, 0.01, 0.15), claim), Holds);
        assert_eq!(verdict_of(&found(24, 1.0, 0.15), claim), Fails);
        assert_eq!(verdict_of(&found(4, 0.01, 0.15), claim), Undecided);
        let claim = "It is the better predictor";
        assert_eq!(verdict_of(&found(24, 0.01, 0.15), claim), Holds);
        assert_eq!(verdict_of(&found(24, 0.15, 0.005), claim), Fails);
        assert_eq!(verdict_of(&found(24, 0.05, 0.05), claim), Undecided);
    }
}
