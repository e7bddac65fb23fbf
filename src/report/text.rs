//! Results for people to read in a terminal.

use super::table::{Table, number};
use super::{Entry, EntryPreset};
use crate::demonstration::Demonstration;
use crate::gate::{Calibration, EstimatorScore, Report, Verdict, median, printable};
use crate::numeric::{Estimate, Info, InfoValue};
use crate::prior::{Link, LogProb};
use std::collections::BTreeMap;

/// The result of `flatgauge prior`.
pub fn log_prob(method: &str, link: Link, n: usize, answer: &LogProb) -> String {
    let estimate = &answer.estimate;
    let error = estimate.std_error.map_or(String::new(), |error| format!(" +- {error:.2e}"));
    let mut text = format!("log P(f) = {}{error} nats  ({method}, {link} link, n = {n})\n", estimate.value);
    if let Some(bound) = answer.upper_bound {
        text += &format!("at most    {bound}\n");
    }
    text + &info(&estimate.info)
}

fn info(info: &Info) -> String {
    info.iter().map(|(name, value)| format!("  {name}: {}\n", info_value(value))).collect()
}

fn info_value(value: &InfoValue) -> String {
    match value {
        InfoValue::Count(count) => count.to_string(),
        InfoValue::Real(real) => number(*real),
        InfoValue::Flag(flag) => if *flag { "yes" } else { "no" }.to_owned(),
        InfoValue::Text(text) => text.clone(),
        InfoValue::Reals(reals) => reals.iter().map(|real| number(*real)).collect::<Vec<_>>().join(" "),
    }
}

/// The result of `flatgauge flatness`.
pub fn flatness(parameters: usize, loss: f64, results: &[(&str, Estimate)]) -> String {
    let mut table = Table::new(&["measure", "value", "standard error"]);
    for (id, estimate) in results {
        let error = estimate.std_error.map_or("none".to_owned(), number);
        table.row(vec![(*id).to_owned(), number(estimate.value), error]);
    }
    format!("{parameters} parameters, loss {}\n\n{}", number(loss), table.render(1))
}

/// A list of registry entries.
pub fn list(entries: &[Entry]) -> String {
    let width = entries.iter().map(|entry| entry.id.len()).max().unwrap_or(0);
    entries
        .iter()
        .map(|entry| {
            let source = entry.source.as_ref().map_or(String::new(), |source| format!("  [{source}]"));
            let presets: String = entry.presets.iter().map(|preset| preset_line(preset, width)).collect();
            format!("{:<width$}  {}{source}\n{presets}", entry.id, entry.summary)
        })
        .collect()
}

fn preset_line(preset: &EntryPreset, width: usize) -> String {
    let settings: Vec<String> = preset.settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
    format!("{:<width$}    {}: {}\n", "", preset.name, settings.join(", "))
}

/// The report of `flatgauge verify`: the table of networks, the laws with their counts, failures in full,
/// and one line of verdict.
pub fn verify(demonstration: Option<&Demonstration>, report: &Report) -> String {
    let mut text = demonstration.map_or(String::new(), demonstration_table);
    text += &law_table(report);
    text += &score_table(report);
    text += &false_alarm_line(report);
    text += &super::failures::text(report);
    let command = command_sentence(report);
    if !command.is_empty() {
        text += &format!("\n{command}\n");
    }
    text += &format!("\n{}\n", verdict_line(report));
    text
}

fn demonstration_table(demonstration: &Demonstration) -> String {
    let mut text = format!("{}\n\n", demonstration.setting);
    let mut table = Table::new(&[
        "network",
        "accuracy",
        "alpha",
        "log10 sharpness",
        "tr H",
        "predicted",
        "largest eigenvalue",
        "predicted",
        "log P(f)",
        "labels flipped",
    ]);
    for network in &demonstration.networks {
        for row in &network.rows {
            table.row(vec![
                network.name.clone(),
                format!("{:.3}", network.test_accuracy),
                row.alpha.map_or("-".to_owned(), |alpha| format!("{alpha:.4}")),
                format!("{:.4}", row.sharpness.log10()),
                number(row.trace),
                number(row.trace_predicted),
                number(row.eigenvalue),
                number(row.eigenvalue_predicted),
                format!("{:.6}", row.log_prob),
                row.labels_flipped.to_string(),
            ]);
        }
    }
    text += &table.render(1);
    text.push('\n');
    text
}

fn law_table(report: &Report) -> String {
    let mut counts: Vec<(&str, [usize; 3])> = Vec::new();
    for outcome in &report.laws {
        if counts.last().is_none_or(|(law, _)| *law != outcome.law)
            && !counts.iter().any(|(law, _)| *law == outcome.law)
        {
            counts.push((&outcome.law, [0; 3]));
        }
        let index = match outcome.verdict {
            Verdict::Pass => 0,
            Verdict::Fail => 1,
            Verdict::Skip => 2,
        };
        let (_, count) =
            counts.iter_mut().find(|(law, _)| *law == outcome.law).expect("it was pushed above if it was new");
        count[index] += 1;
    }
    let mut table = Table::new(&["law", "pass", "fail", "skip", "catches"]);
    for (law, count) in counts {
        let numbers = count.map(|n| n.to_string()).into_iter().chain([smallest_bias(report, law)]);
        table.row([law.to_owned()].into_iter().chain(numbers).collect());
    }
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for outcome in report.laws.iter().filter(|outcome| outcome.verdict == Verdict::Skip) {
        *reasons.entry(&outcome.reason).or_default() += 1;
    }
    let mut text = table.render(1);
    if !reasons.is_empty() {
        text += "\nskipped:\n";
        for (reason, count) in reasons {
            text += &format!("  {count} x {}\n", printable(reason));
        }
    }
    text
}

/// The bias that a law would catch in half of the checks that rest on standard errors; `-` if none do.
pub(super) fn smallest_bias(report: &Report, law: &str) -> String {
    let stochastic = report.laws.iter().filter(|outcome| outcome.law == law && outcome.decisions > 0);
    let mut biases: Vec<f64> = stochastic.filter_map(|outcome| outcome.catches).collect();
    median(&mut biases).map_or("-".to_owned(), |bias| format!("{bias:.1e}"))
}

/// What the report says of its own errors; empty if none of its decisions rests on chance.
pub(super) fn false_alarm_sentence(report: &Report) -> String {
    let alarms = report.false_alarms;
    if alarms.decisions == 0 {
        return String::new();
    }
    format!(
        "{} decisions rest on standard errors, at z = {}: a correct estimator fails any of them with probability of at \
         most {:.1e} (budget {:.0e} a run). 'Catches' is the smallest bias that they see with probability 0.99, the \
         median of each law in its own units.",
        alarms.decisions, alarms.z, alarms.per_run, alarms.budget
    )
}

fn false_alarm_line(report: &Report) -> String {
    let sentence = false_alarm_sentence(report);
    if sentence.is_empty() { sentence } else { format!("\n{sentence}\n") }
}

/// The result of `flatgauge verify --calibrate`.
pub fn calibration(calibration: &Calibration) -> String {
    let header = ["law", "estimator", "decisions", "rms z", "largest z", "beyond 3", "catches"];
    let mut table = Table::new(&header);
    for row in &calibration.rows {
        table.row(vec![
            row.law.clone(),
            row.estimator.clone(),
            row.decisions.to_string(),
            format!("{:.2}", row.root_mean_square_z),
            format!("{:.2}", row.largest_z),
            row.beyond_three.to_string(),
            format!("{:.1e}", row.catches),
        ]);
    }
    let mut text = table.render(2);
    for alarm in &calibration.alarms {
        let (law, estimator, case) = (&alarm.law, &alarm.estimator, &alarm.case);
        text += &format!("\nFALSE ALARM {law} for {estimator} on {case}: {}\n     {}\n", alarm.reason, alarm.reproduce);
    }
    let word = if calibration.verdict() == Verdict::Pass { "PASS" } else { "FAIL" };
    let alarms = calibration.false_alarms;
    text + &format!(
        "\n{word}: {} seeds, {} stochastic decisions, {} false alarms (expected {:.1e})\n",
        calibration.seeds,
        alarms.decisions,
        calibration.alarms.len(),
        alarms.decisions as f64 * alarms.per_decision
    )
}

/// Columns of [`score_cells`].
pub(super) const SCORE_TITLES: [&str; 6] = ["values", "fewest digits", "median", "largest z", "from truth", "speed"];

/// The scores of one estimator for a table; `-` where there is none.
pub(super) fn score_cells(score: &EstimatorScore) -> [String; 6] {
    let optional = |value: Option<f64>, decimals: usize| value.map_or("-".to_owned(), |v| format!("{v:.decimals$}"));
    [
        score.values.to_string(),
        format!("{:.1}", score.fewest_digits),
        format!("{:.1}", score.median_digits),
        optional(score.largest_z, 2),
        optional(score.from_truth, 3),
        optional(score.relative_speed, 2),
    ]
}

fn score_table(report: &Report) -> String {
    if report.scores.is_empty() {
        return String::new();
    }
    let header: Vec<&str> = ["certified values"].into_iter().chain(SCORE_TITLES).collect();
    let mut table = Table::new(&header);
    for score in &report.scores {
        table.row([score.estimator.clone()].into_iter().chain(score_cells(score)).collect());
    }
    let grades: String = grades(report).map(|grade| format!("{grade}\n")).collect();
    format!("\n{}{grades}", table.render(1))
}

/// How many digits estimators hold to that declare an accuracy, in one sentence each.
pub(super) fn grades(report: &Report) -> impl Iterator<Item = String> {
    report.scores.iter().filter_map(EstimatorScore::grade)
}

/// What a command said of itself; empty if none did.
pub(super) fn command_sentence(report: &Report) -> String {
    report.command.as_ref().map_or(String::new(), |command| format!("held to the gate: {command}"))
}

/// One line that says how it went.
pub fn verdict_line(report: &Report) -> String {
    let counts = report.counts;
    let word = if report.verdict == Verdict::Pass { "PASS" } else { "FAIL" };
    format!(
        "{word}: {} checks hold, {} fail, {} skipped (seed {}, flatgauge {})",
        counts.pass, counts.fail, counts.skip, report.seed, report.version
    )
}
