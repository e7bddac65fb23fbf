//! The report as a comment on a pull request.

use super::escape::code;
use super::failures;
use super::matrix::{Matrix, verdict};
use super::text::{SCORE_TITLES, command_sentence, false_alarm_sentence, grades, score_cells, verdict_line};
use crate::gate::{Report, Verdict};

/// The report as Markdown: verdict, counts of laws folded away, failures by law and cause with the line that reproduces the
/// smallest case of each.
pub fn markdown(report: &Report) -> String {
    let heading = if report.verdict == Verdict::Pass { "the gate is open" } else { "the gate is shut" };
    let mut text = format!("## flatgauge: {heading}\n\n{}\n", verdict_line(report));
    let command = command_sentence(report);
    if !command.is_empty() {
        text += &format!("\n{}\n", code(&command));
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
    text += "\n</details>\n";
    text += &failures::markdown(report);
    if !report.scores.is_empty() {
        text += &format!("\n| certified values | {} |\n|---|{}\n", SCORE_TITLES.join(" | "), "--:|".repeat(6));
        for score in &report.scores {
            text += &format!("| {} | {} |\n", code(&score.estimator), score_cells(score).join(" | "));
        }
        text.extend(grades(report).map(|grade| format!("\n{}\n", code(&grade))));
    }
    let alarms = false_alarm_sentence(report);
    if !alarms.is_empty() {
        text += &format!("\n{alarms}\n");
    }
    text
}
