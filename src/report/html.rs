//! The report as one page that needs nothing else: no script, no request, readable on a phone.

use super::escape::escaped;
use super::failures::anchor;
use super::matrix::{Matrix, verdict};
use super::plot::{Axes, Series, plot};
use super::table::number;
use super::text::{command_sentence, false_alarm_sentence, grades, score_cells, smallest_bias, verdict_line};
use crate::demonstration::{Demonstration, Row, TrainedNetwork};
use crate::gate::{Counts, Report, Verdict};

const STYLE: &str = include_str!("style.css");

/// The page: verdict first, then the matrix of laws and estimators, failures by law and cause, and plots.
pub fn html(demonstration: Option<&Demonstration>, report: &Report) -> String {
    let (class, word) = match report.verdict {
        Verdict::Pass => ("pass", "PASS"),
        Verdict::Fail | Verdict::Skip => ("fail", "FAIL"),
    };
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>{word}: flatgauge report</title>\n<link rel=\"icon\" \
         href=\"data:,\">\n<style>\n{STYLE}</style>\n</head>\n<body>\n<header class=\"{class}\">\n<h1 \
         id=\"verdict\">{word}</h1>\n<p>{}</p>\n{}</header>\n<main>\n",
        escaped(&verdict_line(report)),
        Some(command_sentence(report))
            .filter(|said| !said.is_empty())
            .map_or(String::new(), |said| format!("<p>{}</p>\n", escaped(&said)))
    );
    page += &matrix_section(report);
    page += &super::failures::html(report);
    page += &skip_section(report);
    page += &score_section(report);
    page += &demonstration.map_or(String::new(), demonstration_section);
    page + "</main>\n</body>\n</html>\n"
}

fn matrix_section(report: &Report) -> String {
    let matrix = Matrix::new(report);
    let mut text = "<section>\n<h2>Laws and estimators</h2>\n<p>Checks that hold, of those tried; a red cell leads to \
                    its failures.</p>\n<div class=\"scroll\"><table class=\"matrix\">\n<thead><tr><th></th>"
        .to_owned();
    for law in &matrix.laws {
        text += &format!("<th scope=\"col\"><span>{}</span></th>", escaped(law));
    }
    text += "</tr></thead>\n<tbody>\n";
    for (estimator, cells) in matrix.estimators.iter().zip(&matrix.cells) {
        text += &format!("<tr><th scope=\"row\">{}</th>", escaped(estimator));
        for (law, counts) in matrix.laws.iter().zip(cells) {
            text += &counts.map_or("<td></td>".to_owned(), |counts| cell(law, estimator, counts));
        }
        text += "</tr>\n";
    }
    text += "</tbody>\n";
    let alarms = false_alarm_sentence(report);
    if !alarms.is_empty() {
        let biases =
            matrix.laws.iter().map(|law| format!("<td>{}</td>", smallest_bias(report, law))).collect::<String>();
        text += &format!("<tfoot><tr><th scope=\"row\">catches</th>{biases}</tr></tfoot>\n");
    }
    text + &format!("</table></div>\n<p>{}</p>\n</section>\n", escaped(&alarms))
}

fn cell(law: &str, estimator: &str, counts: Counts) -> String {
    let Counts { pass, fail, skip } = counts;
    let title = format!("{} under {}: {pass} pass, {fail} fail, {skip} skipped", escaped(estimator), escaped(law));
    match verdict(counts) {
        Verdict::Pass => format!("<td class=\"pass\" title=\"{title}\">&#10003;{pass}</td>"),
        Verdict::Skip => format!("<td class=\"skip\" title=\"{title}\">&#8211;</td>"),
        Verdict::Fail => format!(
            "<td class=\"fail\" title=\"{title}\"><a href=\"#{}\">&#10007;{pass}/{}</a></td>",
            anchor(law, estimator),
            pass + fail
        ),
    }
}

fn skip_section(report: &Report) -> String {
    let mut reasons = std::collections::BTreeMap::<&str, usize>::new();
    for outcome in report.laws.iter().filter(|outcome| outcome.verdict == Verdict::Skip) {
        *reasons.entry(&outcome.reason).or_default() += 1;
    }
    if reasons.is_empty() {
        return String::new();
    }
    let rows: String =
        reasons.iter().map(|(reason, count)| format!("<li>{count} &times; {}</li>\n", escaped(reason))).collect();
    format!(
        "<section>\n<details>\n<summary>Skipped ({})</summary>\n<ul>\n{rows}</ul>\n</details>\n</section>\n",
        report.counts.skip
    )
}

/// Digits of every certified value, one row an estimator.
fn score_section(report: &Report) -> String {
    if report.scores.is_empty() {
        return String::new();
    }
    let mut text = "<section>\n<h2>Certified values</h2>\n<p>One mark a case, from 0 to 15 digits that agree; z is \
                    in standard errors, speed in that of the built-in estimator.</p>\n<div class=\"scroll\"><table \
                    class=\"digits\">\n<thead><tr><th></th><th></th>"
        .to_owned();
    for title in super::text::SCORE_TITLES {
        text += &format!("<th scope=\"col\">{}</th>", escaped(title));
    }
    text += "</tr></thead>\n<tbody>\n";
    for score in &report.scores {
        let of_it = report.laws.iter().filter(|outcome| outcome.estimator == score.estimator);
        let marks: String = of_it
            .filter_map(|outcome| outcome.score)
            .map(|score| {
                format!("<circle cx=\"{:.1}\" cy=\"8\" r=\"3\" class=\"mark c0\"/>", 5.0 + 10.0 * score.digits)
            })
            .collect();
        let cells: String = score_cells(score).map(|cell| format!("<td>{}</td>", escaped(&cell))).concat();
        text += &format!(
            "<tr><th scope=\"row\">{}</th><td><svg viewBox=\"0 0 160 16\" role=\"img\" aria-label=\"digits of each \
             case\"><line x1=\"5\" x2=\"155\" y1=\"8\" y2=\"8\" class=\"grid\"/>{marks}</svg></td>{cells}</tr>\n",
            escaped(&score.estimator)
        );
    }
    let grades: String = grades(report).map(|grade| format!("<p>{}</p>\n", escaped(&grade))).collect();
    text + &format!("</tbody></table></div>\n{grades}</section>\n")
}

/// A quantity over alpha: marks measured, lines predicted, a colour a network.
fn over_alpha(
    networks: &[TrainedNetwork],
    axes: &Axes,
    measured: impl Fn(&Row) -> f64,
    predicted: impl Fn(&Row) -> f64,
) -> String {
    let mut series = Vec::new();
    for (colour, network) in networks.iter().enumerate() {
        let mut rows: Vec<&Row> = network.rows.iter().collect();
        rows.sort_by(|a, b| a.alpha.unwrap_or(1.0).total_cmp(&b.alpha.unwrap_or(1.0)));
        let points = |of: &dyn Fn(&Row) -> f64| rows.iter().map(|row| (row.alpha.unwrap_or(1.0), of(row))).collect();
        series.push(Series { name: String::new(), points: points(&predicted), line: true, colour });
        series.push(Series { name: network.name.clone(), points: points(&measured), line: false, colour });
    }
    plot(axes, &series)
}

fn demonstration_section(demonstration: &Demonstration) -> String {
    let networks = &demonstration.networks;
    let axes = |title, y, log_y| Axes { title, x: "alpha", y, log_x: true, log_y };
    let mut text = format!(
        "<section>\n<h2>Trained networks, rescaled</h2>\n<p>{}</p>\n<p>Marks: measured. Lines: predicted from the \
         network before rescaling.</p>\n<div class=\"plots\">\n",
        escaped(&demonstration.setting)
    );
    text += &over_alpha(
        networks,
        &axes("Keskar sharpness", "sharpness", true),
        |row| row.sharpness,
        |row| row.sharpness_predicted,
    );
    text += &over_alpha(networks, &axes("Hessian trace", "trace", true), |row| row.trace, |row| row.trace_predicted);
    text += &over_alpha(
        networks,
        &axes("Largest eigenvalue", "eigenvalue", true),
        |row| row.eigenvalue,
        |row| row.eigenvalue_predicted,
    );
    // The prediction of log P(f) is that it stays.
    let first = |network: &TrainedNetwork| network.rows.first().map_or(f64::NAN, |row| row.log_prob);
    let mut series = Vec::new();
    for (colour, network) in networks.iter().enumerate() {
        let mut at: Vec<(f64, f64)> = network.rows.iter().map(|row| (row.alpha.unwrap_or(1.0), row.log_prob)).collect();
        at.sort_by(|a, b| a.0.total_cmp(&b.0));
        let flat = at.iter().map(|(alpha, _)| (*alpha, first(network))).collect();
        series.push(Series { name: String::new(), points: flat, line: true, colour });
        series.push(Series { name: network.name.clone(), points: at, line: false, colour });
    }
    text += &plot(&axes("log P(f)", "nats", false), &series);
    text += "</div>\n<div class=\"scroll\"><table class=\"numbers\"><thead><tr><th>network</th><th>alpha</th>\
             <th>sharpness</th><th>tr H</th><th>predicted</th><th>largest eigenvalue</th><th>predicted</th>\
             <th>log P(f)</th><th>labels flipped</th></tr></thead>\n<tbody>\n";
    for network in networks {
        for row in &network.rows {
            let numbers =
                [row.sharpness, row.trace, row.trace_predicted, row.eigenvalue, row.eigenvalue_predicted, row.log_prob];
            let cells: String = numbers.iter().map(|value| format!("<td>{}</td>", number(*value))).collect();
            let alpha = row.alpha.map_or("-".to_owned(), |alpha| format!("{alpha:.4}"));
            text += &format!(
                "<tr><th scope=\"row\">{}</th><td>{alpha}</td>{cells}<td>{}</td></tr>\n",
                escaped(&network.name),
                row.labels_flipped
            );
        }
    }
    text + "</tbody></table></div>\n</section>\n"
}
