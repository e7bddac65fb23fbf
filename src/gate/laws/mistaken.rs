//! What a wrong number is the right one of: the dense oracle knows every block.

use crate::flatness::{DensePoint, Measure, Options};
use crate::gate::finding::{Finding, Verdict};
use crate::numeric::tolerance::CURVATURE_AGREEMENT;
use ndarray::Array2;

/// By how many of the tolerance two explanations must differ to be told apart.
const APART: f64 = 10.0;

/// A failure whose number is what the definition would be with part of the Hessian left out, or with the Gauss-Newton matrix in
/// its place, says so.
pub(super) fn mistaken_for(
    finding: Finding,
    definition: &dyn Measure,
    dense: &DensePoint,
    options: &Options,
) -> Finding {
    let (Verdict::Fail, Some(measured), Some(expected)) = (finding.verdict, finding.measured, finding.expected) else {
        return finding;
    };
    let tolerance = finding.tolerance.unwrap_or(0.0).max(CURVATURE_AGREEMENT * measured.abs());
    // Written so that NaN explains nothing.
    if !((measured - expected).abs() > APART * tolerance) {
        return finding;
    }
    let explains = |(_, other): &(String, DensePoint)| {
        definition.on_dense(other, options).is_some_and(|value| (value - measured).abs() <= tolerance)
    };
    match alternatives(dense).find(explains) {
        Some((what, _)) => Finding { reason: format!("{}, as if {what}", finding.reason), ..finding },
        None => finding,
    }
}

/// The point with another matrix in the place of the Hessian, and what that would mean.
fn alternatives<'p, 'd>(dense: &'p DensePoint<'d>) -> impl Iterator<Item = (String, DensePoint<'d>)> + use<'p, 'd> {
    let model = dense.objective.model();
    let tensors = model.tensors();
    let part_of = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let single = tensors.iter().map(move |tensor| {
        let without = |index: usize| tensor.range.contains(&index);
        (format!("the Hessian's block of {} were left out", tensor.name), masked(dense, &without))
    });
    let kinds: std::collections::BTreeSet<String> = tensors.iter().map(|tensor| part_of(&tensor.name)).collect();
    let all_of_a_kind = kinds.into_iter().map(move |kind| {
        let without =
            |index: usize| tensors.iter().any(|other| other.range.contains(&index) && part_of(&other.name) == kind);
        (format!("the Hessian's blocks of all tensors called {kind} were left out"), masked(dense, &without))
    });
    let gauss_newton = std::iter::once_with(move || {
        let words = "the Gauss-Newton matrix stood in the place of the Hessian".to_owned();
        (words, with_hessian(dense, dense.gauss_newton.clone()))
    });
    let diagonal = std::iter::once_with(move || {
        let words = "the Hessian's off-diagonal entries were left out".to_owned();
        (words, with_hessian(dense, Array2::from_diag(&dense.hessian.diag())))
    });
    gauss_newton.chain(single).chain(all_of_a_kind).chain(diagonal)
}

/// The point without the rows and columns of some parameters, of the Gauss-Newton matrix too.
fn masked<'d>(dense: &DensePoint<'d>, without: &dyn Fn(usize) -> bool) -> DensePoint<'d> {
    let kept = |matrix: &Array2<f64>| {
        let mut matrix = matrix.clone();
        for ((row, column), entry) in matrix.indexed_iter_mut() {
            if without(row) || without(column) {
                *entry = 0.0;
            }
        }
        matrix
    };
    DensePoint { gauss_newton: kept(&dense.gauss_newton), ..with_hessian(dense, kept(&dense.hessian)) }
}

fn with_hessian<'d>(dense: &DensePoint<'d>, hessian: Array2<f64>) -> DensePoint<'d> {
    DensePoint { hessian, ..dense.clone() }
}
