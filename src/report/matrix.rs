//! The matrix of laws and estimators behind the reports.

use crate::gate::{Counts, Outcome, Report, Verdict};

/// Counts of every estimator under every law, in the order of the report.
pub(super) struct Matrix<'r> {
    /// Columns.
    pub laws: Vec<&'r str>,
    /// Rows.
    pub estimators: Vec<&'r str>,
    /// `cells[estimator][law]`; `None` where the estimator is not held to the law.
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
