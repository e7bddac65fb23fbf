//! The report as a comment on a pull request.

use super::escape::code;
use super::matrix::{Matrix, failures, verdict};
use super::text::{SCORE_TITLES, false_alarm_sentence, score_cells, verdict_line};
use crate::gate::{Report, Verdict};

/// Failures written out in full; of more there is the number only.
const MOST_FAILURES: usize = 20;

/// The report as Markdown: verdict, failures with the line that reproduces each, counts of laws folded away.
pub fn markdown(report: &Report) -> String {
    let heading = if report.verdict == Verdict::Pass { "the gate is open" } else { "the gate is shut" };
    let mut text = format!("## flatgauge: {heading}\n\n{}\n", verdict_line(report));
    let failures = failures(report);
    if !failures.is_empty() {
        text += "\n| law | estimator | case | what happened | alone |\n|---|---|---|---|---|\n";
        for outcome in failures.iter().take(MOST_FAILURES) {
            let cells = [&outcome.law, &outcome.estimator, &outcome.case, &outcome.reason, &outcome.reproduce];
            text += &format!("| {} |\n", cells.map(|cell| code(cell)).join(" | "));
        }
        if failures.len() > MOST_FAILURES {
            text += &format!("\nand {} more\n", failures.len() - MOST_FAILURES);
        }
    }
    if !report.scores.is_empty() {
        text += &format!("\n| certified values | {} |\n|---|{}\n", SCORE_TITLES.join(" | "), "--:|".repeat(6));
        for score in &report.scores {
            text += &format!("| {} | {} |\n", code(&score.estimator), score_cells(score).join(" | "));
        }
    }
    let alarms = false_alarm_sentence(report);
    if !alarms.is_empty() {
        text += &format!("\n{alarms}\n");
    }
    let matrix = Matrix::new(report);
    text += "\n<details><summary>Every estimator under every law</summary>\n\n";
    text += "| estimator | law | verdict | pass | fail | skip |\n|---|---|---|--:|--:|--:|\n";
    for (estimator, cells) in matrix.estimators.iter().zip(&matrix.cells) {
        for (law, counts) in matrix.laws.iter().zip(cells) {
            let Some(counts) = counts else { continue };
            let word = match verdict(*counts) {
                Verdict::Pass => "pass",
                Verdict::Fail => "**fail**",
                Verdict::Skip => "skip",
            };
            let (pass, fail, skip) = (counts.pass, counts.fail, counts.skip);
            text += &format!("| {} | {} | {word} | {pass} | {fail} | {skip} |\n", code(estimator), code(law));
        }
    }
    text + "\n</details>\n"
}
