//! What log P(f) owes to the rank of the matrix.

use super::prior::{Promise, each, same};
use crate::description::Reference;
use crate::gate::finding::Finding;
use crate::gate::law::{Check, Context, Law, Scope};
use crate::prior::{Exactness, Labels, Link};
use ndarray::Array2;

const STEP: &[Link] = &[Link::Step];

/// A point that others determine.
pub(super) struct Dependent;

impl Law for Dependent {
    fn id(&self) -> &'static str {
        "prior.dependent"
    }

    fn statement(&self) -> &'static str {
        "for the step link a point whose value is a positive combination of two others', taken with their labels, changes \
         nothing with the label they force and gives -inf with the opposite one"
    }

    fn formula(&self) -> &'static str {
        "g_(n+1) = w_1 y_1 g_1 + w_2 y_2 g_2, w > 0: log P(y, +1) = log P(y), log P(y, -1) = -inf"
    }

    fn tolerance(&self) -> String {
        super::prior::agreement()
    }

    fn catches(&self) -> &'static str {
        "jitter that makes every matrix factorise, dependent points taken for repeated ones"
    }

    fn sources(&self) -> &'static [Reference] {
        &[]
    }

    fn scope(&self) -> Scope {
        Scope::Every
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        each(context, STEP, Promise::Symmetry, |trial| {
            let (k, signs) = (trial.case.gram.matrix(), trial.case.labels.signs());
            let n = trial.case.gram.point_count();
            // g_n = w_0 g_0 + w_1 g_1, w_i = y_i over the deviation: positive where both labels hold.
            let weight = |i: usize| f64::from(signs[i]) / k[[i, i]].sqrt();
            let pairs = [(0, weight(0)), (1, weight(1))];
            let covariance = |i: usize| pairs.iter().map(|&(j, w)| w * k[[i, j]]).sum::<f64>();
            let variance: f64 = pairs.iter().map(|&(i, w)| w * covariance(i)).sum();
            let matrix = Array2::from_shape_fn((n + 1, n + 1), |(i, j)| match (i.min(j), i.max(j)) {
                (i, j) if j < n => k[[i, j]],
                (i, _) if i < n => covariance(i),
                _ => variance,
            });
            let with = |last: bool| Labels::from_signs(signs.iter().map(|sign| *sign > 0).chain([last]));
            let impossible = match trial.log_prob_of(matrix.clone(), &with(false)) {
                Ok(answer) => Finding::compare(answer.value, f64::NEG_INFINITY, 0.0),
                Err(finding) => finding,
            };
            if trial.subject.exactness() == Exactness::Approximate {
                // An approximation may count a constraint twice.
                return impossible;
            }
            Finding::worst([same(trial.log_prob_of(matrix, &with(true)), trial.base()), impossible])
        })
    }
}
