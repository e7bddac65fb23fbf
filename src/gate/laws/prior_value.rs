//! Laws of the true value of log P(f), which exact and unbiased methods owe.

use super::prior::{Promise, at, each, same};
use crate::description::Reference;
use crate::gate::effort::short;
use crate::gate::finding::Finding;
use crate::gate::law::{Check, Context, Law, Scope};
use crate::numeric::Streams;
use crate::numeric::tolerance::PRIOR_SYMMETRY;
use crate::prior::{Labels, Link};
use ndarray::Array2;

const BOTH: &[Link] = &[Link::Step, Link::Probit];
/// Most points whose labellings are all summed over.
const MAX_ENUMERATED: usize = 8;

/// Probabilities of all labellings add up to 1.
pub(super) struct Normalisation;

impl Law for Normalisation {
    fn id(&self) -> &'static str {
        "prior.normalisation"
    }

    fn statement(&self) -> &'static str {
        "the probabilities of all 2^n labellings add up to 1"
    }

    fn formula(&self) -> &'static str {
        "sum over all 2^n labellings y of P(y) = 1"
    }

    fn tolerance(&self) -> String {
        format!(
            "{PRIOR_SYMMETRY:e}, and {} standard errors of the sum where draws are involved",
            crate::gate::tolerance::GATE_Z
        )
    }

    fn catches(&self) -> &'static str {
        "a function counted together with its negation, logarithms to base 2, log weights averaged in the place of weights, standard errors that are too small, replicates that share their seeds"
    }

    fn sources(&self) -> &'static [Reference] {
        &[]
    }

    fn scope(&self) -> Scope {
        Scope::Every
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        let most = context.by_tier(5, MAX_ENUMERATED);
        each(context, BOTH, Promise::Value, move |trial| {
            let points = trial.case.gram.point_count();
            if points > most {
                return Finding::skip(format!("{points} points have too many labellings for this tier"));
            }
            let (mut total, mut variance, mut bound) = (0.0, 0.0, 0.0);
            // Every labelling draws with a seed of its own, so that errors add up as independent ones.
            for bits in 0..1_u64 << points {
                let labels = Labels::from_signs((0..points).map(|i| bits >> i & 1 == 1));
                let seed = short(Streams::new(trial.seed).child("labelling", bits));
                match super::prior::log_prob(trial.subject, trial.link, &trial.case.gram, &labels, seed) {
                    Ok(answer) => {
                        let probability = answer.value.exp();
                        total += probability;
                        variance += (probability * answer.std_error.unwrap_or(0.0)).powi(2);
                        bound += probability * answer.error_bound;
                    }
                    Err(finding) => return finding,
                }
            }
            Finding::test(total, 1.0, PRIOR_SYMMETRY + bound, variance.sqrt()).vouched(bound, 1.0)
        })
    }
}

/// Summing over the label of one point gives the probability without it; adding a point never raises it.
pub(super) struct Marginalisation;

impl Law for Marginalisation {
    fn id(&self) -> &'static str {
        "prior.marginalisation"
    }

    fn statement(&self) -> &'static str {
        "summed over the two labels of one point, P is the probability without that point"
    }

    fn formula(&self) -> &'static str {
        "P(y_1..y_n, +1) + P(y_1..y_n, -1) = P(y_1..y_n), and neither is above it"
    }

    fn tolerance(&self) -> String {
        format!(
            "{PRIOR_SYMMETRY:e} of the probability, and {} standard errors where draws are involved",
            crate::gate::tolerance::GATE_Z
        )
    }

    fn catches(&self) -> &'static str {
        "a last point left out, standard errors of correlated states taken as independent"
    }

    fn sources(&self) -> &'static [Reference] {
        &[]
    }

    fn scope(&self) -> Scope {
        Scope::Every
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        each(context, BOTH, Promise::Value, |trial| {
            let points = trial.case.gram.point_count();
            let shorter: Vec<usize> = (0..points - 1).collect();
            let (matrix, labels) = at(trial.case, &shorter);
            let without = trial.log_prob_of(matrix, &labels);
            let with = |last: bool| {
                if (trial.case.labels.signs()[points - 1] > 0) == last {
                    return trial.base();
                }
                let signs = labels.signs().iter().map(|sign| *sign > 0).chain([last]);
                trial.log_prob(&trial.case.gram, &Labels::from_signs(signs))
            };
            match (with(true), with(false), without) {
                (Ok(plus), Ok(minus), Ok(without)) => {
                    let total = plus.value.exp() + minus.value.exp();
                    let errors = [&plus, &minus, &without].map(|p| p.value.exp() * p.std_error.unwrap_or(0.0));
                    let std_error = errors.iter().map(|e| e * e).sum::<f64>().sqrt();
                    let expected = without.value.exp();
                    let bound: f64 = [&plus, &minus, &without].map(|p| p.value.exp() * p.error_bound).iter().sum();
                    let sum = Finding::test(total, expected, PRIOR_SYMMETRY * expected + bound, std_error);
                    let sum = sum.vouched(bound, expected);
                    let most = plus.value.max(minus.value).exp();
                    let rounding = PRIOR_SYMMETRY * expected + bound;
                    let rise = Finding::test_at_most(most, expected, rounding, std_error, "P rose with a point");
                    Finding::worst([rise, sum])
                }
                (Err(finding), ..) | (_, Err(finding), _) | (.., Err(finding)) => finding,
            }
        })
    }
}

/// Independent blocks add.
pub(super) struct BlockDiagonal;

impl Law for BlockDiagonal {
    fn id(&self) -> &'static str {
        "prior.block_diagonal"
    }

    fn statement(&self) -> &'static str {
        "log P of a block-diagonal matrix is the sum over its blocks"
    }

    fn formula(&self) -> &'static str {
        "log P(diag(K, K), (y, y)) = 2 log P(K, y)"
    }

    fn tolerance(&self) -> String {
        super::prior::agreement()
    }

    fn catches(&self) -> &'static str {
        "points of one block that influence another, probabilities clipped from below"
    }

    fn sources(&self) -> &'static [Reference] {
        &[]
    }

    fn scope(&self) -> Scope {
        Scope::Every
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        each(context, BOTH, Promise::Value, |trial| {
            let k = trial.case.gram.matrix();
            let n = trial.case.gram.point_count();
            let doubled =
                Array2::from_shape_fn(
                    (2 * n, 2 * n),
                    |(i, j)| {
                        if (i < n) == (j < n) { k[[i % n, j % n]] } else { 0.0 }
                    },
                );
            let signs: Vec<bool> = trial.case.labels.signs().iter().map(|sign| *sign > 0).collect();
            let labels = Labels::from_signs(signs.iter().chain(&signs).copied());
            let twice = trial.base().map(|mut single| {
                single.value *= 2.0;
                single.std_error = single.std_error.map(|error| 2.0 * error);
                single.error_bound *= 2.0;
                single
            });
            same(trial.log_prob_of(doubled, &labels), twice)
        })
    }
}
