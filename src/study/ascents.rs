//! How far sharpness by the best ascent found is above that of the paper's SGD ascent.

use crate::study::predictors::{SHARPNESS, SHARPNESS_SGD, value};
use crate::study::{Findings, Measured, Table, real};
use serde_json::json;

/// Records and tabulates the difference of the two logarithms in each group; nothing where one of them was not measured.
pub(super) fn compare(findings: &mut Findings, kind: &str, groups: &[(String, Vec<&Measured>)]) {
    let columns = [kind, "mean_difference", "largest_difference", "n"];
    let title = "log10 sharpness by the best ascent found, less that by SGD ascent";
    let mut table = Table::new("sharpness_by_ascent", title, &columns);
    let mut documents = Vec::new();
    let mut sentences = Vec::new();
    for (group, networks) in groups {
        let differences: Vec<f64> = networks
            .iter()
            .map(|one| value(one, SHARPNESS) - value(one, SHARPNESS_SGD))
            .filter(|difference| difference.is_finite())
            .collect();
        if differences.is_empty() {
            continue;
        }
        let mean = differences.iter().sum::<f64>() / differences.len() as f64;
        let largest = differences.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        documents.push(json!({
            kind: group,
            "mean_difference": real(Some(mean)),
            "largest_difference": real(Some(largest)),
            "n": differences.len(),
        }));
        table.row(vec![group.into(), mean.into(), largest.into(), differences.len().into()]);
        sentences.push(format!("{group} {mean:.3} (at most {largest:.3})"));
    }
    if documents.is_empty() {
        return;
    }
    findings.record("sharpness_by_ascent", documents);
    findings.tables.push(table);
    findings.notes.push(format!(
        "log10 sharpness by the best ascent found is above that by the paper's SGD ascent by, on average: {}.",
        sentences.join(", ")
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::claims::planted::planted;

    #[test]
    fn the_difference_is_that_of_networks_with_both() {
        let networks = [
            planted("sgd", 0, 0.9, &[("keskar_sharpness", 10.0), ("keskar_sharpness_sgd", 1.0)]),
            planted("sgd", 1, 0.9, &[("keskar_sharpness", 1000.0), ("keskar_sharpness_sgd", 10.0)]),
            planted("sgd", 2, 0.9, &[("keskar_sharpness", 1.0)]),
        ];
        let mut findings = Findings::new("t", String::new(), &[0]);
        compare(&mut findings, "optimizer", &[("sgd".to_owned(), networks.iter().collect())]);
        let found = &findings.data["sharpness_by_ascent"][0];
        assert_eq!((found["mean_difference"].as_f64(), found["n"].as_u64()), (Some(1.5), Some(2)));
        assert_eq!(found["largest_difference"].as_f64(), Some(2.0));
        let mut without = Findings::new("t", String::new(), &[0]);
        compare(&mut without, "optimizer", &[("sgd".to_owned(), networks[2..].iter().collect())]);
        assert!(without.data.is_empty() && without.notes.is_empty());
    }
}
