//! The matrix of laws and estimators behind the reports.

use crate::gate::{Counts, Outcome, Report, Verdict};

/// Counts of every estimator under every law, in the order of the report.
pub(super) struct Matrix<'r> {
    /// Columns.
    pub laws: Vec<&'r str>,
    /// Rows.
    pub estimators: Vec<&'r str>,
    /// `cells[estimator][law]`; `None` where the estimator does not owe the law.
    pub cells: Vec<Vec<Option<Counts>>>,
}

impl<'r> Matrix<'r> {
    pub fn new(report: &'r Report) -> Self {
        let names = |of: fn(&Outcome) -> &str| {
            let mut names: Vec<&str> = Vec::new();
            for outcome in &report.laws {
                if !names.contains(&of(outcome)) {
                    names.push(of(outcome));
                }
            }
            names
        };
        let (laws, estimators) = (names(|outcome| &outcome.law), names(|outcome| &outcome.estimator));
        let place = |names: &[&str], name: &str| names.iter().position(|other| *other == name).expect("gathered above");
        let mut cells = vec![vec![None; laws.len()]; estimators.len()];
        for outcome in &report.laws {
            let cell: &mut Option<Counts> =
                &mut cells[place(&estimators, &outcome.estimator)][place(&laws, &outcome.law)];
            cell.get_or_insert_default().add(outcome.verdict);
        }
        Self { laws, estimators, cells }
    }
}

/// What a cell shows: a failure outweighs passes, and these outweigh skips.
pub(super) fn verdict(counts: Counts) -> Verdict {
    match counts {
        Counts { fail: 1.., .. } => Verdict::Fail,
        Counts { pass: 1.., .. } => Verdict::Pass,
        _ => Verdict::Skip,
    }
}

/// The failures of a report.
pub(super) fn failures(report: &Report) -> Vec<&Outcome> {
    report.laws.iter().filter(|outcome| outcome.verdict == Verdict::Fail).collect()
}

/// Decimal digits in which a measured number agrees with a certified one (log relative error), between 0 and 15.
pub(super) fn digits(measured: f64, expected: f64) -> Option<f64> {
    if measured == expected {
        return Some(15.0);
    }
    let error = if expected == 0.0 { measured.abs() } else { ((measured - expected) / expected).abs() };
    (!error.is_nan()).then(|| (-error.log10()).clamp(0.0, 15.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_that_agree() {
        assert_eq!(digits(8.31, 8.31), Some(15.0));
        assert!((digits(1.01, 1.0).unwrap() - 2.0).abs() < 0.01);
        assert_eq!(digits(-1.0, 1.0), Some(0.0));
        assert_eq!(digits(f64::NEG_INFINITY, f64::NEG_INFINITY), Some(15.0));
        assert_eq!(digits(f64::NAN, 1.0), None);
    }
}
