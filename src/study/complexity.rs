//! Data of growing complexity: the mean error against the mean of log P(f), over random labels, data sets and optimisers.

use crate::numeric::correlation::{kendall, pearson, spearman};
use crate::study::measured::{Menu, measure_all};
use crate::study::networks::population;
use crate::study::predictors::{LOG_PROB, axis, networks_table, verdict};
use crate::study::setting::source_name;
use crate::study::{
    Axis, Defaults, Desk, Figure, Findings, Panel, Request, Series, Setting, Study, StudyError, Style, Table, real,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Shares of S whose labels are replaced by random ones (Zhang et al. 2017).
const CORRUPTIONS: [f64; 7] = [0.0, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0];
const QUICK_CORRUPTIONS: [f64; 4] = [0.0, 0.2, 0.5, 1.0];
/// Of random labels among two classes, half are wrong. All of them wrong would be as simple a function as all right.
const WRONG: f64 = 0.5;
/// The data set that is always there.
const ALWAYS: &str = "digits";
/// Coefficient from which a correlation is called strong.
const STRONG: f64 = 0.8;

/// Registry entry.
pub(super) struct ComplexityStudy;

/// Networks that differ in their seed alone.
struct Level {
    data: String,
    optimizer: String,
    corruption: f64,
    error: f64,
    log_prob: f64,
    networks: usize,
}

impl Study for ComplexityStudy {
    fn id(&self) -> &'static str {
        "complexity"
    }

    fn summary(&self) -> &'static str {
        "mean error against mean log P(f) for data of growing complexity: random labels, data sets, optimisers"
    }

    fn source(&self) -> &'static str {
        "Zhang et al. 2021; Valle-Perez, Camargo and Louis 2019"
    }

    fn run(&self, request: &Request, desk: &Desk) -> Result<Findings, StudyError> {
        let (seeds, train) = if request.quick { (1, 200) } else { (3, 500) };
        let optimizers: &[&str] = if request.quick { &["sgd", "adam"] } else { &["sgd", "adam", "rmsprop", "sam"] };
        let defaults = Defaults { seeds, train, attacks: 1, optimizers };
        let mut settings = vec![Setting::resolve(request, &defaults)?];
        if request.data != ALWAYS {
            settings.push(Setting::resolve(&Request { data: ALWAYS.to_owned(), ..request.clone() }, &defaults)?);
        }
        let corruptions: &[f64] = if request.quick { &QUICK_CORRUPTIONS } else { &CORRUPTIONS };
        let menu = Menu::new(request.measures.as_deref(), Some(&[]))?;
        let mut jobs = Vec::new();
        for setting in &settings {
            for optimizer in &setting.optimizers {
                for &corruption in corruptions {
                    for &seed in &setting.seeds {
                        let mut job = setting.training(optimizer, 0, seed);
                        job.data.corruption = WRONG * corruption;
                        jobs.push(job);
                    }
                }
            }
        }
        let population = population(&jobs, desk)?;
        let measured = measure_all(&population.networks, &|_| Vec::new(), &menu, desk)?;
        let settings_of: BTreeMap<&str, &crate::train::Settings> =
            population.networks.iter().map(|trained| (trained.name.as_str(), &trained.settings)).collect();
        let mut levels: Vec<Level> = Vec::new();
        for one in &measured {
            let recipe = &settings_of[one.network.as_str()].data;
            let (error, log_prob) = (1.0 - one.accuracy, one.value(LOG_PROB).unwrap_or(f64::NAN));
            let data = source_name(&recipe.source).to_owned();
            let corruption = recipe.corruption / WRONG;
            let known = levels
                .iter_mut()
                .find(|level| level.data == data && level.optimizer == one.optimizer && level.corruption == corruption);
            match known {
                Some(level) => {
                    level.error += error;
                    level.log_prob += log_prob;
                    level.networks += 1;
                }
                None => levels.push(Level {
                    data,
                    optimizer: one.optimizer.clone(),
                    corruption,
                    error,
                    log_prob,
                    networks: 1,
                }),
            }
        }
        for level in &mut levels {
            level.error /= level.networks as f64;
            level.log_prob /= level.networks as f64;
        }
        let sentence = format!("{}; share of labels replaced by random ones {corruptions:?}", settings[0].sentence());
        let mut findings = Findings::new(self.id(), sentence, &settings[0].seeds);
        findings.record("levels", levels.iter().map(Level::json).collect::<Vec<_>>());
        judge(&mut findings, &levels);
        findings.notes.extend(population.left_out);
        findings.tables.push(table(&levels));
        findings.tables.push(networks_table(&menu, &measured));
        findings.figures.push(figure(&levels));
        Ok(findings)
    }
}

impl Level {
    fn json(&self) -> Value {
        json!({
            "data": self.data,
            "optimizer": self.optimizer,
            "corruption": self.corruption,
            "mean_error": self.error,
            "mean_log_prob_ep_step": real(Some(self.log_prob)),
            "networks": self.networks,
        })
    }
}

/// Data set and optimiser of each group of levels, in the order in which they appear.
fn groups(levels: &[Level]) -> Vec<(&str, &str)> {
    let mut groups: Vec<(&str, &str)> = Vec::new();
    for level in levels {
        let group = (level.data.as_str(), level.optimizer.as_str());
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups
}

fn of<'l>(levels: &'l [Level], group: (&'l str, &'l str)) -> impl Iterator<Item = &'l Level> {
    levels.iter().filter(move |level| (level.data.as_str(), level.optimizer.as_str()) == group)
}

fn judge(findings: &mut Findings, levels: &[Level]) {
    let groups = groups(levels);
    let mut coefficients = Vec::new();
    let mut texts = Vec::new();
    let mut strong = 0;
    for &group in &groups {
        let (x, y): (Vec<f64>, Vec<f64>) = of(levels, group).map(|level| (level.log_prob, level.error)).unzip();
        let r = pearson(&x, &y);
        strong += usize::from(r.is_some_and(|r| r <= -STRONG));
        texts.push(format!("{} {} {}", group.0, group.1, r.map_or("none".to_owned(), |r| format!("{r:.3}"))));
        coefficients.push(json!({
            "data": group.0,
            "optimizer": group.1,
            "predictor": "mean_log_prob_ep_step",
            "pearson": real(r),
            "spearman": real(spearman(&x, &y)),
            "kendall": real(kendall(&x, &y)),
            "n": x.len(),
        }));
    }
    findings.record("correlations", coefficients);
    findings.claim(
        "As data grow more complex, the error rises as log P(f) falls.",
        verdict(strong, groups.len()),
        format!(
            "Pearson(mean log P(f), mean error) over shares of random labels: {}. It is at most -{STRONG} for {strong} of \
             {}.",
            texts.join(", "),
            groups.len()
        ),
    );
}

fn table(levels: &[Level]) -> Table {
    let columns = ["data", "optimizer", "corruption", "mean_error", "mean_log_prob_ep_step", "networks"];
    let mut table = Table::new("levels", "Means over seeds", &columns);
    for level in levels {
        table.row(vec![
            (&level.data).into(),
            (&level.optimizer).into(),
            level.corruption.into(),
            level.error.into(),
            level.log_prob.into(),
            level.networks.into(),
        ]);
    }
    table
}

fn figure(levels: &[Level]) -> Figure {
    let series = groups(levels)
        .into_iter()
        .enumerate()
        .map(|(colour, group)| Series {
            name: format!("{}, {}", group.0, group.1),
            points: of(levels, group).map(|level| (level.log_prob, 100.0 * level.error)).collect(),
            style: Style::Marks,
            colour,
        })
        .collect();
    Figure {
        name: "complexity".to_owned(),
        caption: "Mean error on E against mean log P(f), one mark a share of random labels, from none (right) to all \
                  (left)."
            .to_owned(),
        panels: vec![Panel {
            title: "Error as data grow complex".to_owned(),
            x: Axis::linear(&format!("mean {}", axis(LOG_PROB))),
            y: Axis::linear("mean error on E (percent)"),
            series,
        }],
        columns: 1,
    }
}
