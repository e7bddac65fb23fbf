//! Predictors of generalisation, and how they correlate with it in groups of networks.

use crate::numeric::Streams;
use crate::numeric::correlation::{Correlation, correlate};
use crate::study::measured::Choices;
use crate::study::{Cell, Measured, Series, Style, Table, real};
use serde_json::{Value, json};

/// What generalisation is measured by.
pub(super) const ACCURACY: &str = "accuracy";
/// Sharpness by the best ascent that was found, on the scale of the paper's figures.
pub(super) const SHARPNESS: &str = "log10_keskar_sharpness";
/// Sharpness by SGD ascent with the paper's settings, the paper's number.
pub(super) const SHARPNESS_SGD: &str = "log10_keskar_sharpness_sgd";
/// Both, with what claims call them.
pub(super) const SHARPNESSES: [(&str, &str); 2] =
    [(SHARPNESS, "the best ascent found"), (SHARPNESS_SGD, "SGD ascent, the paper's number")];
/// Names of predictors: readings and measures as they are, and the logarithm of each measure that is always above 0.
pub(super) fn predictors(choices: &Choices, measured: &[Measured]) -> Vec<String> {
    let mut names = Vec::new();
    for reading in &choices.readings {
        names.push(reading.name.to_owned());
    }
    for measure in &choices.measures {
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

/// A predictor's value, or the accuracy; NaN where the network has none.
pub(super) fn value(one: &Measured, predictor: &str) -> f64 {
    if predictor == ACCURACY {
        return one.accuracy;
    }
    let found = match predictor.strip_prefix("log10_") {
        Some(id) => one.value(id).map(f64::log10),
        None => one.value(predictor),
    };
    found.unwrap_or(f64::NAN)
}

/// A predictor's correlations with accuracy, or with another predictor, in a group of networks: those of an optimiser, of
/// a batch size.
pub(super) struct Row {
    pub group: String,
    pub predictor: String,
    pub correlation: Correlation,
}

impl Row {
    pub fn new(group: &str, predictor: &str, networks: &[&Measured], seed: u64) -> Self {
        Self::against(ACCURACY, group, predictor, networks, seed)
    }

    pub fn against(target: &str, group: &str, predictor: &str, networks: &[&Measured], seed: u64) -> Self {
        let x: Vec<f64> = networks.iter().map(|one| value(one, predictor)).collect();
        let y: Vec<f64> = networks.iter().map(|one| value(one, target)).collect();
        // Each predictor sees the same resamples, so that their intervals can be compared.
        let correlation = correlate(&x, &y, Streams::new(seed).child(group, networks.len() as u64));
        Self { group: group.to_owned(), predictor: predictor.to_owned(), correlation }
    }

    pub fn json(&self, kind: &str) -> Value {
        let Correlation { pearson, spearman, kendall, n, .. } = self.correlation;
        let interval = |ends: Option<[f64; 2]>| ends.map(|ends| ends.map(|end| real(Some(end))));
        json!({
            kind: self.group,
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

pub(super) fn pearson_of(rows: &[Row], group: &str, predictor: &str) -> Option<f64> {
    let row = rows.iter().find(|row| row.group == group && row.predictor == predictor)?;
    row.correlation.pearson
}

pub(super) fn skipped(choices: &Choices, originals: &[&Measured]) -> String {
    let sentences: Vec<String> = choices
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

pub(super) fn coefficients(name: &str, title: &str, kind: &str, rows: &[Row]) -> Table {
    let columns = [
        kind,
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
        let mut cells = vec![Cell::from(&row.group), Cell::from(&row.predictor), Cell::from(found.pearson)];
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

/// One row per network, with standard errors of what is stochastic.
pub(super) fn networks_table(choices: &Choices, measured: &[Measured]) -> Table {
    let names = choices.names();
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
        SHARPNESS_SGD => "log10 Keskar sharpness, SGD ascent (percent)".to_owned(),
        other => match other.strip_prefix("log10_") {
            Some(id) => format!("log10 {}", id.replace('_', " ")),
            None => other.replace('_', " "),
        },
    }
}

pub(super) fn titled(title: &str, rows: &[Row], group: &str, predictor: &str) -> String {
    match pearson_of(rows, group, predictor) {
        Some(r) => format!("{title}: r = {r:.3}"),
        None => title.to_owned(),
    }
}

/// One predictor against another, one mark per network.
pub(super) fn scatter<'m>(
    name: &str,
    networks: impl IntoIterator<Item = &'m Measured>,
    x: &str,
    y: &str,
    colour: usize,
) -> Series {
    let points = networks.into_iter().map(|one| (value(one, x), value(one, y))).collect();
    Series { name: name.to_owned(), points, style: Style::Marks, colour }
}

/// Accuracy in percent against a predictor.
pub(super) fn cloud<'m>(
    name: &str,
    networks: impl IntoIterator<Item = &'m Measured>,
    predictor: &str,
    colour: usize,
) -> Series {
    let points = networks.into_iter().map(|one| (value(one, predictor), 100.0 * one.accuracy)).collect();
    Series { name: name.to_owned(), points, style: Style::Marks, colour }
}
