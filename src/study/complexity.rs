//! Data of growing complexity: the error against log P(f), log P(f|S) and sharpness, over random labels, data sets and
//! optimisers.
//!
//! Relabelling S makes the labels of S themselves improbable, so that log P(f) falls whatever the function does on E; the
//! posterior log P(f|S) = log P(f) - log P(S) of a function that fits S leaves that out.

use crate::numeric::correlation::{kendall, pearson, spearman};
use crate::prior::Labels;
use crate::study::claims::{correlated_in_sign, correlated_strongly};
use crate::study::measured::{Choices, measure_all};
use crate::study::networks::{Population, Trained, population};
use crate::study::predictors::{ACCURACY, SHARPNESSES, axis, networks_table, predictors, value};
use crate::study::reading::Number;
use crate::study::setting::source_name;
use crate::study::{
    Axis, Defaults, Figure, Findings, Measured, Panel, Progress, Request, Series, Setting, Study, StudyError, Style,
    Table, Test, Workspace, real,
};
use rayon::prelude::*;
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
/// What is measured.
const MEASURES: [&str; 2] = ["keskar_sharpness", "keskar_sharpness_sgd"];
/// Name of log P(f|S) among the predictors.
const GIVEN_TRAINING: &str = "log_prob_given_s";

/// Registry entry.
pub(super) struct ComplexityStudy;

/// Networks that differ in their seed alone.
struct Level {
    data: String,
    optimizer: String,
    corruption: f64,
    networks: Vec<Measured>,
}

impl Study for ComplexityStudy {
    fn id(&self) -> &'static str {
        "complexity"
    }

    fn summary(&self) -> &'static str {
        "error against log P(f), log P(f|S) and sharpness for data of growing complexity: random labels, data sets, optimisers"
    }

    fn source(&self) -> &'static str {
        "Zhang et al. 2021; Valle-Perez, Camargo and Louis 2019"
    }

    fn run(&self, request: &Request, workspace: &Workspace) -> Result<Findings, StudyError> {
        let (seeds, train) = if request.quick { (2, Some(150)) } else { (3, None) };
        let optimizers: &[&str] =
            if request.quick { &["sgd", "adam"] } else { &["sgd", "adam", "rmsprop", "entropy_sgd", "sam"] };
        let defaults = Defaults { seeds, train, attacks: 1, optimizers };
        let mut settings = vec![Setting::resolve(request, &defaults)?];
        if request.data != ALWAYS && request.architecture.is_none() {
            settings.push(Setting::resolve(&Request { data: ALWAYS.to_owned(), ..request.clone() }, &defaults)?);
        }
        let corruptions: &[f64] = if request.quick { &QUICK_CORRUPTIONS } else { &CORRUPTIONS };
        let choices = Choices::new(request, Some(&MEASURES))?;
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
        let population = population(&jobs, settings[0].kernel, workspace)?;
        let mut measured = measure_all(&population.networks, &|_| Vec::new(), &choices, workspace)?;
        add_posterior(&mut measured, &population, &choices, workspace)?;
        let levels = levels(&measured, &population);
        let mut names = predictors(&choices, &measured);
        names.push(GIVEN_TRAINING.to_owned());
        let sentence = format!("{}; share of labels replaced by random ones {corruptions:?}", settings[0].sentence());
        let mut findings = Findings::new(self.id(), sentence, &settings[0].seeds);
        findings.record("levels", levels.iter().map(|level| level.json(&names)).collect::<Vec<_>>());
        findings.record("correlations", correlations(&levels, &names));
        judge(&mut findings, &levels, &names, choices.log_prob(), request.seed);
        findings.notes.extend(population.left_out);
        findings.notes.push(
            "log P(S), the probability of the labels of S, is found as log P(f) is; log P(f|S) is their difference."
                .to_owned(),
        );
        findings.tables.push(table(&levels, &names));
        findings.tables.push(networks_table(&choices, &measured));
        findings.figures.push(figure(&levels, &names, choices.log_prob()));
        Ok(findings)
    }
}

/// Adds log P(f|S) to what was measured, in the reading that stands for log P(f). The labels of S are those that were
/// learned, so that networks of the same data share log P(S).
fn add_posterior(
    measured: &mut [Measured],
    population: &Population,
    choices: &Choices,
    workspace: &Workspace,
) -> Result<(), StudyError> {
    let reading =
        choices.readings.iter().find(|reading| reading.name == choices.log_prob()).expect("it is one of them");
    let mut one_per_recipe: Vec<&Trained> = Vec::new();
    for trained in &population.networks {
        if one_per_recipe.iter().all(|known| known.settings.data != trained.settings.data) {
            one_per_recipe.push(trained);
        }
    }
    let found: Vec<f64> = one_per_recipe
        .par_iter()
        .map(|trained| {
            let key = json!({ "data": trained.settings.data, "architecture": trained.settings.architecture,
                "kernel": trained.ground.kernel, "reading": reading.name });
            let number: Number = workspace.cache.get(&format!("training-labels-{}", trained.name), &key, || {
                let clean = &trained.ground.clean;
                let labels = Labels::from_signs(clean.signs()?);
                Ok(Number::from(&crate::study::reading::read(reading, &trained.ground.gram_of_training()?, &labels)?))
            })?;
            Ok(number.real())
        })
        .collect::<Result<_, StudyError>>()?;
    (workspace.progress)(Progress { phase: "log P(S)", done: found.len(), total: found.len() });
    let of_recipe = |name: &str| {
        let trained = population.networks.iter().find(|trained| trained.name == name)?;
        let index = one_per_recipe.iter().position(|known| known.settings.data == trained.settings.data)?;
        Some(found[index])
    };
    for one in measured {
        if let (Some(log_prob), Some(of_training)) = (one.value(choices.log_prob()), of_recipe(&one.network)) {
            let given = log_prob - of_training;
            let number = Number { value: given.is_finite().then_some(given), std_error: None };
            one.numbers.insert(GIVEN_TRAINING.to_owned(), number);
        }
    }
    Ok(())
}

fn levels(measured: &[Measured], population: &Population) -> Vec<Level> {
    let settings_of: BTreeMap<&str, &crate::train::Settings> =
        population.networks.iter().map(|trained| (trained.name.as_str(), &trained.settings)).collect();
    let mut levels: Vec<Level> = Vec::new();
    for one in measured {
        let recipe = &settings_of[one.network.as_str()].data;
        let data = source_name(&recipe.source).to_owned();
        let corruption = recipe.corruption / WRONG;
        let known = levels
            .iter_mut()
            .find(|level| level.data == data && level.optimizer == one.optimizer && level.corruption == corruption);
        match known {
            Some(level) => level.networks.push(one.clone()),
            None => {
                levels.push(Level { data, optimizer: one.optimizer.clone(), corruption, networks: vec![one.clone()] })
            }
        }
    }
    levels
}

impl Level {
    fn mean(&self, name: &str) -> f64 {
        self.networks.iter().map(|one| value(one, name)).sum::<f64>() / self.networks.len() as f64
    }

    fn error(&self) -> f64 {
        1.0 - self.mean(ACCURACY)
    }

    fn json(&self, names: &[String]) -> Value {
        let mut document = json!({
            "data": self.data,
            "optimizer": self.optimizer,
            "corruption": self.corruption,
            "mean_error": self.error(),
            "networks": self.networks.len(),
        });
        for name in names {
            document[format!("mean_{name}")] = real(Some(self.mean(name)));
        }
        document
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

/// Coefficients of the levels' means with their mean error.
fn correlations(levels: &[Level], names: &[String]) -> Vec<Value> {
    let mut documents = Vec::new();
    for group in groups(levels) {
        for name in names {
            let (x, y): (Vec<f64>, Vec<f64>) = of(levels, group).map(|level| (level.mean(name), level.error())).unzip();
            documents.push(json!({
                "data": group.0,
                "optimizer": group.1,
                "predictor": format!("mean_{name}"),
                "pearson": real(pearson(&x, &y)),
                "spearman": real(spearman(&x, &y)),
                "kendall": real(kendall(&x, &y)),
                "n": x.len(),
            }));
        }
    }
    documents
}

fn judge(findings: &mut Findings, levels: &[Level], names: &[String], log_prob: &str, seed: u64) {
    let networks = |group: (&str, &str)| -> Vec<Measured> {
        levels
            .iter()
            .filter(|level| (level.data.as_str(), level.optimizer.as_str()) == group)
            .flat_map(|level| level.networks.iter().cloned())
            .collect()
    };
    let groups = groups(levels);
    let tests = |test: &dyn Fn(&str, &[&Measured]) -> Test| -> Vec<Test> {
        groups
            .iter()
            .map(|&group| test(&format!("{} {}", group.0, group.1), &networks(group).iter().collect::<Vec<_>>()))
            .collect()
    };
    findings.claim(
        "As data grow more complex, the error rises as log P(f) falls.",
        tests(&|group, networks| {
            let of = format!("{group}: Pearson({log_prob}, accuracy)");
            correlated_strongly(&of, networks, log_prob, ACCURACY, STRONG, seed)
        }),
        format!("Pearson's coefficient over networks and shares of random labels is to be above {STRONG}."),
    );
    findings.claim(
        "So does it as log P(f|S) falls, which does not know how improbable the labels of S are.",
        tests(&|group, networks| {
            let of = format!("{group}: Pearson({GIVEN_TRAINING}, accuracy)");
            correlated_in_sign(&of, networks, GIVEN_TRAINING, ACCURACY, 1.0, seed)
        }),
        "log P(f|S) = log P(f) - log P(S).".to_owned(),
    );
    for (sharpness, ascent) in SHARPNESSES {
        if names.iter().all(|name| name != sharpness) {
            continue;
        }
        findings.claim(
            &format!("As data grow more complex, the error rises with sharpness ({ascent})."),
            tests(&|group, networks| {
                let of = format!("{group}: Pearson({sharpness}, accuracy)");
                correlated_in_sign(&of, networks, sharpness, ACCURACY, -1.0, seed)
            }),
            format!("Pearson's coefficient of {sharpness} and accuracy over networks and shares of random labels."),
        );
    }
}

fn table(levels: &[Level], names: &[String]) -> Table {
    let means: Vec<String> = names.iter().map(|name| format!("mean_{name}")).collect();
    let mut columns = vec!["data", "optimizer", "corruption", "mean_error"];
    columns.extend(means.iter().map(String::as_str));
    columns.push("networks");
    let mut table = Table::new("levels", "Means over seeds", &columns);
    for level in levels {
        let mut row =
            vec![(&level.data).into(), (&level.optimizer).into(), level.corruption.into(), level.error().into()];
        row.extend(names.iter().map(|name| level.mean(name).into()));
        row.push(level.networks.len().into());
        table.row(row);
    }
    table
}

fn figure(levels: &[Level], names: &[String], log_prob: &str) -> Figure {
    let sharpness =
        SHARPNESSES.into_iter().map(|(name, _)| name).filter(|name| names.iter().any(|known| known == name));
    let panels: Vec<Panel> = [log_prob, GIVEN_TRAINING]
        .into_iter()
        .chain(sharpness)
        .map(|name| Panel {
            title: format!("Error against {}", label(name)),
            x: Axis::linear(&format!("mean {}", label(name))),
            y: Axis::linear("mean error on E (percent)"),
            series: groups(levels)
                .into_iter()
                .enumerate()
                .map(|(colour, group)| Series {
                    name: format!("{}, {}", group.0, group.1),
                    points: of(levels, group).map(|level| (level.mean(name), 100.0 * level.error())).collect(),
                    style: Style::Marks,
                    colour,
                })
                .collect(),
        })
        .collect();
    Figure {
        name: "complexity".to_owned(),
        caption: "Mean error on E against means of log P(f), of log P(f|S) and of sharpness, one mark per share of random labels."
            .to_owned(),
        panels,
        columns: 2,
    }
}

fn label(name: &str) -> String {
    if name == GIVEN_TRAINING { "log P(f|S) (nats)".to_owned() } else { axis(name) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Verdict::{Fails, Holds, Undecided};
    use crate::study::claims::planted::{noise, planted, verdict_of};
    use crate::study::predictors::SHARPNESS;
    use crate::study::reading::LOG_PROB;

    /// Levels of complexity with these slopes of log P(f), log P(f|S) and sharpness on accuracy, `n` networks in all.
    fn found(n: usize, log_prob: f64, given: f64, sharpness: f64) -> Findings {
        let levels: Vec<Level> = (0..n)
            .map(|index| {
                let accuracy = 0.5 + 0.4 * index as f64 / n as f64;
                let follows = |slope: f64, name: &str| slope * accuracy + 0.02 * noise(name, index);
                let numbers = [
                    (LOG_PROB, follows(log_prob, "log P")),
                    (GIVEN_TRAINING, follows(given, "given")),
                    ("keskar_sharpness", 10_f64.powf(follows(sharpness, "sharpness"))),
                ];
                let networks = vec![planted("sgd", index, accuracy, &numbers)];
                Level { data: "digits".to_owned(), optimizer: "sgd".to_owned(), corruption: index as f64, networks }
            })
            .collect();
        let mut findings = Findings::new("complexity", String::new(), &[0]);
        judge(&mut findings, &levels, &[LOG_PROB.to_owned(), SHARPNESS.to_owned()], LOG_PROB, 0);
        findings
    }

    #[test]
    fn claims_hold_fail_or_stay_open() {
        let (paper, few) = (found(24, 1.0, 1.0, -1.0), found(4, 1.0, 1.0, -1.0));
        for (claim, against) in [
            ("As data grow more complex, the error rises as log P(f)", found(24, -1.0, 1.0, -1.0)),
            ("So does it as log P(f|S)", found(24, 1.0, -1.0, -1.0)),
            ("As data grow more complex, the error rises with sharpness", found(24, 1.0, 1.0, 1.0)),
        ] {
            let verdicts = [&paper, &against, &few].map(|findings| verdict_of(findings, claim));
            assert_eq!(verdicts, [Holds, Fails, Undecided], "{claim}");
        }
    }
}
