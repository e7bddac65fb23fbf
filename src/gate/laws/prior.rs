//! What the laws of log P(f) share: which methods they run, and how two answers are compared.

use crate::gate::averaged::Averaged;
use crate::gate::cases::PriorCase;
use crate::gate::effort::Effort;
use crate::gate::finding::Finding;
use crate::gate::law::{BaseQuestion, Check, Context};
use crate::gate::remembered::Remembered;
use crate::gate::tolerance::GATE_Z;
use crate::numeric::Estimate;
use crate::numeric::tolerance::PRIOR_SYMMETRY;
use crate::prior::{Exactness, Gram, Labels, Link, LogProb, LogProbMethod, PriorError, PriorOptions};
use ndarray::Array2;
use std::sync::Arc;

/// Reading of log P(f) under test with everything a law's case needs.
pub(super) struct Trial<'t> {
    pub subject: &'t dyn LogProbMethod,
    pub link: Link,
    pub case: &'t PriorCase,
    pub seed: u64,
    /// Answers to the case as it is that are shared with other laws.
    pub base_answers: Option<&'t Remembered<BaseQuestion>>,
}

impl Trial<'_> {
    /// The method's answer; a finding where it has none.
    pub fn log_prob(&self, gram: &Gram, labels: &Labels) -> Result<Estimate, Finding> {
        log_prob(self.subject, self.link, gram, labels, self.seed)
    }

    /// The method's answer on a matrix made from the case's.
    pub fn log_prob_of(&self, matrix: Array2<f64>, labels: &Labels) -> Result<Estimate, Finding> {
        let gram = Gram::new(matrix).map_err(|error| Finding::fail(format!("the law's own matrix: {error}")))?;
        self.log_prob(&gram, labels)
    }

    /// The method's answer on the case itself.
    pub fn base(&self) -> Result<Estimate, Finding> {
        let ask = || self.log_prob(&self.case.gram, &self.case.labels);
        let Some(base_answers) = self.base_answers else { return ask() };
        let address = std::ptr::from_ref(self.subject).addr();
        let key = (address, self.subject.id(), self.link, self.seed, self.case.name.clone());
        base_answers.get(key, ask)
    }
}

/// Asks a method; "does not apply" (to a singular matrix, say) is a skip, any other error and NaN a failure.
pub(super) fn log_prob(
    subject: &dyn LogProbMethod,
    link: Link,
    gram: &Gram,
    labels: &Labels,
    seed: u64,
) -> Result<Estimate, Finding> {
    let options = PriorOptions { link, seed, ..PriorOptions::default() };
    match subject.log_prob(gram, labels, &options) {
        Ok(answer) if answer.estimate.value.is_nan() => Err(Finding::fail("log P is NaN")),
        Ok(LogProb { estimate: Estimate { std_error: Some(error), .. }, .. })
            if !(error >= 0.0 && error.is_finite()) =>
        {
            Err(Finding::fail(format!("the standard error is {error}")))
        }
        Ok(LogProb { estimate: Estimate { std_error: Some(error), .. }, .. })
            if subject.exactness() == Exactness::Exact && error > 0.0 =>
        {
            let reason =
                format!("an exact method gives the true value to rounding, and this one states an error of {error:e}");
            Err(Finding::wrong(reason))
        }
        Ok(LogProb { estimate, upper_bound: Some(bound) }) => {
            let allowed = PRIOR_SYMMETRY * (1.0 + bound.abs()) + GATE_Z * estimate.std_error.unwrap_or(0.0);
            // Written so that NaN fails; of an impossible function any bound is one.
            if estimate.value == f64::NEG_INFINITY && !bound.is_nan() || estimate.value <= bound + allowed {
                return Ok(estimate);
            }
            Err(Finding::wrong(format!(
                "log P is {}, above the upper bound of {bound} that is stated with it",
                estimate.value
            )))
        }
        Ok(answer) => Ok(answer.estimate),
        Err(PriorError::NotApplicable { reason, .. }) => Err(Finding::unsupported(reason)),
        // It says itself that its answer would be worth nothing, or that the matrix is none for it.
        Err(
            error @ (PriorError::Collapsed { .. }
            | PriorError::FewPoints { .. }
            | PriorError::Singular { .. }
            | PriorError::NearlySingular { .. }
            | PriorError::Breakdown { .. }),
        ) => Err(Finding::unsupported(error.to_string())),
        Err(error) => Err(Finding::fail(error.to_string())),
    }
}

/// Differences that rounding explains, and the standard error of the difference.
pub(super) fn noise(a: &Estimate, b: &Estimate) -> (f64, f64) {
    let std_error = a.std_error.unwrap_or(0.0).hypot(b.std_error.unwrap_or(0.0));
    let finite = |estimate: &Estimate| if estimate.value.is_finite() { estimate.value.abs() } else { 0.0 };
    (PRIOR_SYMMETRY * (1.0 + finite(a).max(finite(b))) + a.error_bound + b.error_bound, std_error)
}

/// The tolerance of two answers that a law makes equal, in words; see [`noise`].
pub(super) fn agreement() -> String {
    format!(
        "{PRIOR_SYMMETRY:e} (1 + |log P|) nats, and {} standard errors where draws are involved",
        crate::gate::tolerance::GATE_Z
    )
}

/// Compares two answers that the law says are equal.
pub(super) fn same(measured: Result<Estimate, Finding>, expected: Result<Estimate, Finding>) -> Finding {
    match (measured, expected) {
        (Ok(measured), Ok(expected)) => {
            let (rounding, std_error) = noise(&measured, &expected);
            let bound = measured.error_bound + expected.error_bound;
            Finding::test(measured.value, expected.value, rounding, std_error).vouched(bound, expected.value.abs())
        }
        (Err(finding), _) | (_, Err(finding)) => finding,
    }
}

/// Which methods owe a law.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    /// Every method.
    Symmetry,
    /// Exact and unbiased ones only: the law speaks of the true value.
    Value,
}

/// One check per method, link and case.
pub(super) fn each<'a>(
    context: &Context<'a>,
    links: &'static [Link],
    owes: Promise,
    run: impl Fn(&Trial) -> Finding + Send + Sync + 'a,
) -> Vec<Check<'a>> {
    let run = Arc::new(run);
    let mut checks = Vec::new();
    for &subject in &context.priors {
        if owes == Promise::Value && subject.exactness() == Exactness::Approximate {
            continue;
        }
        for &link in links.iter().filter(|link| subject.links().contains(link)) {
            for index in 0..context.prior_cases.len() {
                let (cases, run) = (Arc::clone(&context.prior_cases), Arc::clone(&run));
                let base_answers = Arc::clone(&context.base_answers);
                let seed = context.seed;
                let name = cases[index].name.clone();
                checks.push(Check::new(estimator(subject, link), name, move |effort| {
                    let (case, seed, averaged) = (&cases[index], effort.seed(seed), Averaged::of(subject, effort));
                    let subject: &dyn LogProbMethod = if effort.replicates == 1 { subject } else { &averaged };
                    // Answers to the case as it is are kept for those who are asked once.
                    let base_answers = (effort == Effort::ONCE).then_some(&*base_answers);
                    run(&Trial { subject, link, case, seed, base_answers })
                }));
            }
        }
    }
    checks
}

/// Name of a method with its link, as reports have it.
pub(super) fn estimator(subject: &dyn LogProbMethod, link: Link) -> String {
    format!("{}-{link}", subject.id())
}

/// A deterministic permutation without fixed points for more than one point.
pub(super) fn rotation(points: usize) -> Vec<usize> {
    (0..points).map(|i| (i + points / 2 + 1) % points).collect()
}

/// Rows and columns of a matrix, and labels, at `indices`.
pub(super) fn at(case: &PriorCase, indices: &[usize]) -> (Array2<f64>, Labels) {
    let k = case.gram.matrix();
    let matrix = Array2::from_shape_fn((indices.len(), indices.len()), |(i, j)| k[[indices[i], indices[j]]]);
    let signs = case.labels.signs();
    (matrix, Labels::from_signs(indices.iter().map(|&i| signs[i] > 0)))
}
