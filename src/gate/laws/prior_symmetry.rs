//! Symmetries of log P(f), which every method owes.

use super::prior::{Promise, Trial, at, each, noise, rotation, same};
use crate::description::{Reference, references};
use crate::gate::finding::Finding;
use crate::gate::law::{Check, Context, Law, Scope};
use crate::gate::tolerance::SEEN_Z;
use crate::prior::{Labels, Link};
use ndarray::Array2;

const STEP: &[Link] = &[Link::Step];
const EVERY: &[Link] = &[Link::Step, Link::Probit, Link::Logistic];
/// Links other than the step.
const SMOOTH: &[Link] = &[Link::Probit, Link::Logistic];

fn diagonally_scaled(trial: &Trial) -> Array2<f64> {
    let k = trial.case.gram.matrix();
    let factor = |i: usize| 10_f64.powf((i % 5) as f64 - 2.0);
    Array2::from_shape_fn(k.dim(), |(i, j)| k[[i, j]] * factor(i) * factor(j))
}

/// `log P(cK) = log P(K)`.
pub(super) struct Scale;

impl Law for Scale {
    fn id(&self) -> &'static str {
        "prior.scale"
    }

    fn statement(&self) -> &'static str {
        "log P(c K) = log P(K) for the step link, c > 0"
    }

    fn formula(&self) -> &'static str {
        "log P(c K) = log P(K), c in {1e-6, 0.37, 4e5}"
    }

    fn tolerance(&self) -> String {
        super::prior::agreement()
    }

    fn catches(&self) -> &'static str {
        "jitter in absolute units, unit noise of the probit link added to the step link, kernels in half precision"
    }

    fn sources(&self) -> &'static [Reference] {
        &[references::VALLE_PEREZ_2019]
    }

    fn scope(&self) -> Scope {
        Scope::Every
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        each(context, STEP, Promise::Symmetry, |trial| {
            let factors = [1e-6, 0.37, 4e5];
            Finding::worst(factors.map(|c| {
                let scaled = trial.case.gram.matrix().mapv(|k| c * k);
                same(trial.log_prob_of(scaled, &trial.case.labels), trial.base())
            }))
        })
    }
}

/// `log P(DKD) = log P(K)`.
pub(super) struct Diagonal;

impl Law for Diagonal {
    fn id(&self) -> &'static str {
        "prior.diagonal"
    }

    fn statement(&self) -> &'static str {
        "log P(D K D) = log P(K) for the step link, D > 0 diagonal"
    }

    fn formula(&self) -> &'static str {
        "log P(D K D) = log P(K), D = diag(10^((i mod 5) - 2))"
    }

    fn tolerance(&self) -> String {
        super::prior::agreement()
    }

    fn catches(&self) -> &'static str {
        "jitter in absolute units, thresholds that ignore the size of an entry"
    }

    fn sources(&self) -> &'static [Reference] {
        &[references::VALLE_PEREZ_2019]
    }

    fn scope(&self) -> Scope {
        Scope::Every
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        each(context, STEP, Promise::Symmetry, |trial| {
            same(trial.log_prob_of(diagonally_scaled(trial), &trial.case.labels), trial.base())
        })
    }
}

/// The order of the points does not matter.
pub(super) struct Permutation;

impl Law for Permutation {
    fn id(&self) -> &'static str {
        "prior.permutation"
    }

    fn statement(&self) -> &'static str {
        "log P does not depend on the order of the points"
    }

    fn formula(&self) -> &'static str {
        "log P(Q K Q^T, Q y) = log P(K, y), Q a permutation"
    }

    fn tolerance(&self) -> String {
        super::prior::agreement()
    }

    fn catches(&self) -> &'static str {
        "units taken from the first point, order effects of sampling one point after another"
    }

    fn sources(&self) -> &'static [Reference] {
        &[]
    }

    fn scope(&self) -> Scope {
        Scope::Every
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        each(context, EVERY, Promise::Symmetry, |trial| {
            let (matrix, labels) = at(trial.case, &rotation(trial.case.gram.point_count()));
            same(trial.log_prob_of(matrix, &labels), trial.base())
        })
    }
}

/// `log P(-y) = log P(y)`.
pub(super) struct LabelFlip;

impl Law for LabelFlip {
    fn id(&self) -> &'static str {
        "prior.label_flip"
    }

    fn statement(&self) -> &'static str {
        "log P(-y) = log P(y)"
    }

    fn formula(&self) -> &'static str {
        "log P(K, -y) = log P(K, y)"
    }

    fn tolerance(&self) -> String {
        super::prior::agreement()
    }

    fn catches(&self) -> &'static str {
        "labels 0 and 1 used as signs"
    }

    fn sources(&self) -> &'static [Reference] {
        &[]
    }

    fn scope(&self) -> Scope {
        Scope::Every
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        each(context, EVERY, Promise::Symmetry, |trial| {
            same(trial.log_prob(&trial.case.gram, &trial.case.labels.flipped()), trial.base())
        })
    }
}

/// A point that comes twice.
pub(super) struct Duplicate;

impl Law for Duplicate {
    fn id(&self) -> &'static str {
        "prior.duplicate"
    }

    fn statement(&self) -> &'static str {
        "for the step link a duplicated point changes nothing with the same label and gives -inf with the opposite one"
    }

    fn formula(&self) -> &'static str {
        "log P(K with a point repeated, same label) = log P(K); -inf with the opposite label"
    }

    fn tolerance(&self) -> String {
        super::prior::agreement()
    }

    fn catches(&self) -> &'static str {
        "singular matrices that are regularised in silence, contradictions that get a finite probability"
    }

    fn sources(&self) -> &'static [Reference] {
        &[]
    }

    fn scope(&self) -> Scope {
        Scope::Every
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        each(context, STEP, Promise::Symmetry, |trial| {
            let points = trial.case.gram.point_count();
            let indices: Vec<usize> = (0..points).chain([0]).collect();
            let (matrix, labels) = at(trial.case, &indices);
            let repeated = same(trial.log_prob_of(matrix.clone(), &labels), trial.base());
            let mut signs: Vec<bool> = labels.signs().iter().map(|sign| *sign > 0).collect();
            signs[points] = !signs[points];
            let contradiction = match trial.log_prob_of(matrix, &Labels::from_signs(signs)) {
                Ok(answer) => Finding::compare(answer.value, f64::NEG_INFINITY, 0.0),
                Err(finding) => finding,
            };
            Finding::worst([repeated, contradiction])
        })
    }
}

/// The probit and the logistic reading are other numbers: they do not have the scale laws.
pub(super) struct ProbitBreaksScale;

impl Law for ProbitBreaksScale {
    fn id(&self) -> &'static str {
        "prior.probit_breaks_scale"
    }

    fn statement(&self) -> &'static str {
        "for the probit and the logistic link log P(c K) and log P(D K D) differ from log P(K): they are not the prior probability"
    }

    fn formula(&self) -> &'static str {
        "log P(100 K) and log P(D K D) differ from log P(K)"
    }

    fn tolerance(&self) -> String {
        format!("more than {:e} (1 + |log P|) and {SEEN_Z} standard errors", crate::numeric::tolerance::PRIOR_SYMMETRY)
    }

    fn catches(&self) -> &'static str {
        "a step probability handed out as the probit one, an answer that is the same for every matrix"
    }

    fn sources(&self) -> &'static [Reference] {
        &[references::RASMUSSEN_2006]
    }

    fn scope(&self) -> Scope {
        Scope::Generic
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        each(context, SMOOTH, Promise::Symmetry, |trial| {
            let moved = |matrix: Array2<f64>| match (trial.log_prob_of(matrix, &trial.case.labels), trial.base()) {
                (Ok(after), Ok(before)) => {
                    let (rounding, std_error) = noise(&after, &before);
                    let least = rounding + SEEN_Z * std_error;
                    let stochastic = after.std_error.is_some() || before.std_error.is_some();
                    if stochastic && (after.value - before.value).abs() <= least {
                        let hidden = "the standard errors hide whether it moves on this matrix";
                        return Finding::hidden(before.value, least, hidden);
                    }
                    Finding::differ(after.value, before.value, least, "the reading did not move")
                }
                (Err(finding), _) | (_, Err(finding)) => finding,
            };
            let scaled = trial.case.gram.matrix().mapv(|k| 100.0 * k);
            Finding::worst([moved(scaled), moved(diagonally_scaled(trial))])
        })
    }
}
