//! Failures for people: those of one law and cause together, the law's sentence first, the smallest case, and the line that
//! runs it again.

use super::escape::{code, escaped};
use crate::gate::{Cause, FailureGroup, Outcome, Report, Verdict, printable};

/// Names of further cases that a line lists.
const MOST_NAMES: usize = 6;
/// Groups that Markdown writes out; of more there is the number only.
const MOST_GROUPS: usize = 20;

/// What happened, how often.
fn heading(group: &FailureGroup) -> String {
    let (cause, failed) = (group.cause.map_or("failed", Cause::name), group.cases.len());
    let cases = if failed == 1 { "case" } else { "cases" };
    let held = if group.held == 0 { "none holds".to_owned() } else { format!("{} hold", group.held) };
    format!("{cause} on {failed} {cases}, {held}")
}

/// What leads to the error, line by line, each with a word in front.
fn leads(group: &FailureGroup) -> Vec<(&'static str, String)> {
    let smallest = &group.smallest;
    let mut leads = Vec::new();
    if !group.statement.is_empty() {
        leads.push(("law", group.statement.to_owned()));
    }
    if !group.size().is_empty() {
        leads.push(("size", group.size()));
    }
    leads.extend(group.pattern.clone().map(|pattern| ("pattern", pattern)));
    leads.push((
        if group.cases.len() > 1 { "smallest" } else { "case" },
        format!("{}: {}", smallest.case, smallest.reason),
    ));
    if group.cases.len() > 1 {
        let others = &group.cases[1..];
        let more = others.len().saturating_sub(MOST_NAMES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        leads.push(("also", others[..others.len().min(MOST_NAMES)].join(", ") + &more));
    }
    leads
}

/// For a terminal.
pub(super) fn text(report: &Report) -> String {
    let of_group = |group: &FailureGroup| {
        let mut text = format!("\nFAIL {} for {}: {}\n", group.law, printable(&group.estimator), heading(group));
        text.extend(
            leads(group).iter().map(|(word, said)| format!("     {:<10}{}\n", format!("{word}:"), printable(said))),
        );
        text + &format!("     alone:    {}\n", printable(&group.smallest.reproduce))
    };
    report.failure_groups().iter().map(of_group).collect()
}

/// As a table of Markdown.
pub(super) fn markdown(report: &Report) -> String {
    let groups = report.failure_groups();
    if groups.is_empty() {
        return String::new();
    }
    let mut text = "\n| law | estimator | cases | what happened | alone |\n|---|---|---|---|---|\n".to_owned();
    for group in groups.iter().take(MOST_GROUPS) {
        let said: Vec<String> = leads(group).into_iter().map(|(word, said)| format!("{word}: {said}")).collect();
        let cells = [&group.law, &group.estimator, &heading(group), &said.join("; "), &group.smallest.reproduce];
        text += &format!("| {} |\n", cells.map(|cell| code(cell)).join(" | "));
    }
    if groups.len() > MOST_GROUPS {
        text += &format!("\nand {} more\n", groups.len() - MOST_GROUPS);
    }
    text
}

/// Anchor of an estimator's failures under a law.
pub(super) fn anchor(law: &str, estimator: &str) -> String {
    let plain = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    format!("{}--{}", plain(law), plain(estimator))
}

/// As cards of a page, one per group; every case with its line is folded away in its card.
pub(super) fn html(report: &Report) -> String {
    let groups = report.failure_groups();
    if groups.is_empty() {
        return String::new();
    }
    let failed = report.counts.fail;
    let mut text = format!("<section>\n<h2>Failures ({failed}, of {} kinds)</h2>\n", groups.len());
    let mut seen: Vec<String> = Vec::new();
    for group in &groups {
        let anchor = anchor(&group.law, &group.estimator);
        let id = if seen.contains(&anchor) { String::new() } else { format!(" id=\"{anchor}\"") };
        seen.push(anchor);
        text += &card(report, group, &id);
    }
    text + "</section>\n"
}

fn optional(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| escaped(&value.to_string()))
}

fn card(report: &Report, group: &FailureGroup, id: &str) -> String {
    let smallest = &group.smallest;
    let mut text = format!(
        "<details open{id}>\n<summary><b>{}</b> under {}: {}</summary>\n",
        escaped(&group.estimator),
        escaped(&group.law),
        escaped(&heading(group))
    );
    for (word, said) in leads(group) {
        text += &format!("<p><b>{word}:</b> {}</p>\n", escaped(&said));
    }
    text += &format!(
        "<dl><dt>measured</dt><dd>{}</dd><dt>expected</dt><dd>{}</dd><dt>tolerance</dt><dd>{}</dd></dl>\n<pre>{}</pre>\n",
        optional(smallest.measured),
        optional(smallest.expected),
        smallest.tolerance.map_or("-".to_owned(), |tolerance| format!("{tolerance:.3e}")),
        escaped(&smallest.reproduce)
    );
    if group.cases.len() > 1 {
        text += "<details><summary>all cases</summary>\n";
        let is_member = |outcome: &&Outcome| {
            let key = (&outcome.law, &outcome.estimator, outcome.cause);
            outcome.verdict == Verdict::Fail && key == (&group.law, &group.estimator, group.cause)
        };
        for outcome in report.laws.iter().filter(is_member) {
            let (case, reason) = (escaped(&outcome.case), escaped(&outcome.reason));
            text += &format!("<p>{case}: {reason}</p>\n<pre>{}</pre>\n", escaped(&outcome.reproduce));
        }
        text += "</details>\n";
    }
    text + "</details>\n"
}
