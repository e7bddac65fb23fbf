//! Flatness against log P(f): the first half of the paper's title, and whether sharpness says anything of generalisation
//! that log P(f) does not.

use crate::numeric::Streams;
use crate::numeric::bootstrap::bootstrap;
use crate::numeric::correlation::partial;
use crate::study::claims::{accounted_for, correlated_in_sign};
use crate::study::predictors::{
    ACCURACY, Row, SHARPNESS, SHARPNESS_SGD, SHARPNESSES, axis, coefficients, scatter, titled, value,
};
use crate::study::{Axis, Figure, Findings, Measured, Panel, Table, Test, real};
use serde_json::json;

/// Groups of networks by name, as each optimiser's.
pub(super) type Groups<'m> = Vec<(String, Vec<&'m Measured>)>;

/// Records and tabulates the correlations of every predictor but the readings with `log_prob`, draws them, and judges the
/// claim that sharpness falls as log P(f) rises in the first group.
pub(super) fn flatness_against_log_prob(
    findings: &mut Findings,
    kind: &str,
    groups: &Groups,
    predictors: &[String],
    log_prob: &str,
    seed: u64,
) {
    let measures: Vec<&String> = predictors.iter().filter(|name| !name.starts_with("log_prob")).collect();
    let rows: Vec<Row> = groups
        .iter()
        .flat_map(|(group, networks)| {
            measures.iter().map(move |name| Row::against(log_prob, group, name, networks, seed))
        })
        .collect();
    let documents: Vec<_> = rows
        .iter()
        .map(|row| {
            let mut document = row.json(kind);
            document["with"] = log_prob.into();
            document
        })
        .collect();
    findings.record("correlations_with_log_prob", documents);
    let name = "correlations_with_log_prob";
    findings.tables.push(coefficients(name, &format!("Correlation of flatness with {}", axis(log_prob)), kind, &rows));
    let panels: Vec<Panel> = groups
        .iter()
        .flat_map(|(group, networks)| {
            let shown = [SHARPNESS, SHARPNESS_SGD, "log10_hessian_spectral_norm", "log10_hessian_trace"];
            let rows = &rows;
            let there = shown.into_iter().filter(|name| measures.iter().any(|known| known == name)).take(2);
            there.map(move |predictor| Panel {
                title: titled(group, rows, group, predictor),
                x: Axis::linear(&axis(log_prob)),
                y: Axis::linear(&axis(predictor)),
                series: vec![scatter("", networks.iter().copied(), log_prob, predictor, 0)],
            })
        })
        .collect();
    if !panels.is_empty() {
        findings.figures.push(Figure {
            name: "flatness_log_prob".to_owned(),
            caption: "Flatness against log P(f), one mark per network, one row per group of networks.".to_owned(),
            columns: panels.len().div_ceil(groups.len()).max(1),
            panels,
        });
    }
    judge(findings, groups, &measures, log_prob, seed);
}

fn judge(findings: &mut Findings, groups: &Groups, measures: &[&String], log_prob: &str, seed: u64) {
    let Some((first, networks)) = groups.first() else { return };
    for (sharpness, ascent) in SHARPNESSES {
        if measures.iter().all(|name| *name != sharpness) {
            continue;
        }
        let test = |group: &str, networks: &[&Measured]| {
            let of = format!("{group}: Pearson({sharpness}, {log_prob})");
            correlated_in_sign(&of, networks, sharpness, log_prob, -1.0, seed)
        };
        let others: Vec<Test> = groups[1..].iter().map(|(group, networks)| test(group, networks)).collect();
        let listed: Vec<String> = others.iter().map(ToString::to_string).collect();
        findings.claim(
            &format!("Flatter networks have more probable functions: under {first} sharpness ({ascent}) falls as log P(f) rises."),
            vec![test(first, networks)],
            match listed.is_empty() {
                true => format!("Pearson's coefficient of {sharpness} and {log_prob} under {first}, with its interval below."),
                false => format!("Beside it, not judged: {}.", listed.join("; ")),
            },
        );
    }
}

/// Records the partial correlation of each sharpness with accuracy given log P(f), and of log P(f) given sharpness, in
/// each group, and judges the claim that log P(f) accounts for what sharpness says in the first group.
pub(super) fn beyond_log_prob(
    findings: &mut Findings,
    kind: &str,
    groups: &Groups,
    predictors: &[String],
    log_prob: &str,
    seed: u64,
) {
    let columns = [kind, "predictor", "given", "partial", "partial_low", "partial_high", "n"];
    let mut table =
        Table::new("partial_correlations", "Partial correlation with accuracy on E, given the other", &columns);
    let mut documents = Vec::new();
    let there = SHARPNESSES.into_iter().filter(|(name, _)| predictors.iter().any(|known| known == name));
    for (sharpness, ascent) in there {
        for (group, networks) in groups {
            for (predictor, given) in [(sharpness, log_prob), (log_prob, sharpness)] {
                let (value, interval, n) = partial_correlation(networks, predictor, given, group, seed);
                documents.push(json!({
                    kind: group,
                    "predictor": predictor,
                    "given": given,
                    "partial": real(value),
                    "partial_interval": interval,
                    "n": n,
                }));
                table.row(vec![
                    group.into(),
                    predictor.into(),
                    given.into(),
                    value.into(),
                    interval.map(|ends| ends[0]).into(),
                    interval.map(|ends| ends[1]).into(),
                    n.into(),
                ]);
            }
        }
        if let Some((first, networks)) = groups.first() {
            let (value, interval, _) = partial_correlation(networks, sharpness, log_prob, first, seed);
            let number = |value: Option<f64>| value.map_or("not defined".to_owned(), |value| format!("{value:.3}"));
            let ends = interval.map_or(String::new(), |[low, high]| format!(" [{low:.3}, {high:.3}]"));
            findings.claim(
                &format!("Sharpness ({ascent}) correlates with generalisation through log P(f): given log P(f), it says less."),
                vec![accounted_for(&format!("{first}: |r| - |partial r|"), networks, sharpness, log_prob, seed)],
                format!(
                    "Under {first} the partial correlation of {sharpness} with accuracy given {log_prob} is {}{ends}; all \
                     groups are in partial_correlations.csv.",
                    number(value)
                ),
            );
        }
    }
    findings.record("partial_correlations", documents);
    findings.tables.push(table);
}

fn partial_correlation(
    networks: &[&Measured],
    predictor: &str,
    given: &str,
    group: &str,
    seed: u64,
) -> (Option<f64>, Option<[f64; 2]>, usize) {
    let column = |name: &str| networks.iter().map(|one| value(one, name)).collect::<Vec<f64>>();
    let columns = [column(predictor), column(ACCURACY), column(given)];
    let rows: Vec<usize> =
        (0..networks.len()).filter(|&row| columns.iter().all(|column| column[row].is_finite())).collect();
    let of = |chosen: &mut dyn Iterator<Item = usize>| -> Option<f64> {
        let chosen: Vec<usize> = chosen.map(|index| rows[index]).collect();
        let [x, y, z] = columns.each_ref().map(|column| chosen.iter().map(|&row| column[row]).collect::<Vec<f64>>());
        partial(&x, &y, &z)
    };
    let streams = Streams::new(seed).child(group, networks.len() as u64);
    let [interval] = bootstrap(rows.len(), streams, |sample| [of(&mut sample.iter().copied())]);
    (of(&mut (0..rows.len())), interval, rows.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Verdict;
    use crate::study::claims::planted::{noise, planted, verdict_of};
    use crate::study::reading::LOG_PROB;

    /// Networks of which sharpness follows log P(f) by `of_log_prob`, or accuracy directly by `of_accuracy`.
    fn networks(n: usize, of_log_prob: f64, of_accuracy: f64) -> Vec<Measured> {
        (0..n)
            .map(|index| {
                let log_prob = -300.0 + 100.0 * index as f64 / n as f64 + 10.0 * noise("log P", index);
                let own = noise("accuracy", index);
                let accuracy = 0.9 + 0.001 * log_prob + 0.02 * own;
                let sharpness = of_log_prob * log_prob / 100.0 + of_accuracy * own + 0.1 * noise("sharpness", index);
                planted("sgd", index, accuracy, &[("keskar_sharpness", 10_f64.powf(sharpness)), (LOG_PROB, log_prob)])
            })
            .collect()
    }

    fn found(n: usize, of_log_prob: f64, of_accuracy: f64) -> Findings {
        let networks = networks(n, of_log_prob, of_accuracy);
        let groups: Groups = vec![("sgd".to_owned(), networks.iter().collect())];
        let names = vec![LOG_PROB.to_owned(), SHARPNESS.to_owned()];
        let mut findings = Findings::new("t", String::new(), &[0]);
        flatness_against_log_prob(&mut findings, "optimizer", &groups, &names, LOG_PROB, 0);
        beyond_log_prob(&mut findings, "optimizer", &groups, &names, LOG_PROB, 0);
        findings
    }

    #[test]
    fn flatness_against_log_prob_is_judged_by_its_interval() {
        let claim = "Flatter networks have more probable functions";
        assert_eq!(verdict_of(&found(24, -1.0, 0.0), claim), Verdict::Holds);
        assert_eq!(verdict_of(&found(24, 1.0, 0.0), claim), Verdict::Fails);
        assert_eq!(verdict_of(&found(4, -1.0, 0.0), claim), Verdict::Undecided);
        assert_eq!(verdict_of(&found(6, 0.0, 0.0), claim), Verdict::Undecided);
    }

    #[test]
    fn what_sharpness_says_beyond_log_prob_is_seen() {
        let claim = "Sharpness (the best ascent found) correlates with generalisation through log P(f)";
        assert_eq!(verdict_of(&found(40, -1.0, 0.0), claim), Verdict::Holds);
        // Sharpness follows what log P(f) leaves of accuracy: given log P(f) it says more.
        assert_eq!(verdict_of(&found(40, 0.0, -1.0), claim), Verdict::Fails);
        assert_eq!(verdict_of(&found(4, -1.0, 0.0), claim), Verdict::Undecided);
        let findings = found(40, 0.0, -1.0);
        let documents = findings.data["partial_correlations"].as_array().unwrap();
        assert_eq!(documents.len(), 2);
        assert!(documents[0]["partial"].as_f64().unwrap() < -0.9, "{documents:?}");
    }
}
