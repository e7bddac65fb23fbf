//! Laws of flatness measures: the definition, and what it says after a rescaling.

use super::mistaken::mistaken_for;
use crate::description::{Reference, references};
use crate::flatness::{self, DensePoint, FlatnessError, Measure, Options, Point, Response};
use crate::gate::averaged::Averaged;
use crate::gate::cases::{FlatnessCase, draw_flatness_case, drawn_architecture};
use crate::gate::effort::short;
use crate::gate::finding::{Finding, Verdict};
use crate::gate::float32;
use crate::gate::law::{Check, Context, Law, Scope};
use crate::gate::score::Score;
use crate::gate::tolerance::{NO_NOISIER, SEEN_Z, curvature_agreement};
use crate::numeric::linalg::symmetric_eigenvalues;
use crate::numeric::tolerance::CURVATURE_AGREEMENT;
use crate::numeric::{Dtype, Estimate, Info, Streams};
use crate::rescale::{self, Action, LayerAlpha, NearKinks, Rescaling};
use std::sync::Arc;

/// The measure's definition comes from the registry where it has an entry, so that an estimator under
/// test is never its own judge.
pub(super) fn definition(subject: &dyn Measure) -> &dyn Measure {
    flatness::find(subject.claim()).unwrap_or(subject)
}

/// Asks a measure; "does not apply" is a skip, any other error, NaN and infinities failures.
pub(super) fn evaluate(
    subject: &dyn Measure,
    case: &FlatnessCase,
    theta: &[f64],
    options: &Options,
) -> Result<Estimate, Finding> {
    answer(subject.evaluate(&Point::new(case.objective(), theta), options))
}

pub(super) fn answer(result: Result<Estimate, FlatnessError>) -> Result<Estimate, Finding> {
    match result {
        Ok(estimate) if !estimate.value.is_finite() => Err(Finding::fail(format!("the measure is {}", estimate.value))),
        Ok(Estimate { std_error: Some(error), .. }) if !(error >= 0.0 && error.is_finite()) => {
            Err(Finding::fail(format!("the standard error is {error}")))
        }
        Ok(estimate) => Ok(estimate),
        Err(FlatnessError::NotApplicable { reason, .. }) => Err(Finding::unsupported(reason)),
        Err(error) => Err(Finding::fail(error.to_string())),
    }
}

/// Differences that rounding explains, and the standard error of the difference.
///
/// Relative to what is expected, so that an answer cannot widen its own tolerance; and relative to the sizes of what is
/// added up ([`Measure::summands`]), which is all that is left of a sum that cancels: two orders of adding differ by
/// [`SUMMATION_AGREEMENT`] of them. Below the normal numbers of f64 there are no relative errors.
pub(super) fn noise(measured: &Estimate, expected: &Estimate, summands: f64, dtype: Dtype) -> (f64, f64) {
    let std_error = measured.std_error.unwrap_or(0.0).hypot(expected.std_error.unwrap_or(0.0));
    let finite = |size: f64| if size.is_finite() { size.abs() } else { 0.0 };
    let [of_value, of_summands] = curvature_agreement(dtype);
    let relative = of_value * finite(expected.value) + of_summands * finite(summands);
    (relative + f64::MIN_POSITIVE + measured.error_bound + expected.error_bound, std_error)
}

/// The tolerance of two answers that a law makes equal, in words; see [`noise`].
pub(super) fn agreement() -> String {
    let [value, summands] = curvature_agreement(Dtype::Float64);
    let [value_32, summands_32] = curvature_agreement(Dtype::Float32);
    format!(
        "{value:e} of the value and {summands:e} of the sizes of what is added up (in float32 {value_32:e} and \
         {summands_32:e}), and {} standard errors for random estimates",
        crate::gate::tolerance::GATE_Z
    )
}

/// Compares two answers that the law says are equal.
pub(super) fn same(
    measured: Result<Estimate, Finding>,
    expected: Result<Estimate, Finding>,
    summands: f64,
    dtype: Dtype,
) -> Finding {
    match (measured, expected) {
        (Ok(measured), Ok(expected)) => {
            let (rounding, std_error) = noise(&measured, &expected, summands, dtype);
            Finding::test(measured.value, expected.value, rounding, std_error)
                .vouched(measured.error_bound + expected.error_bound, expected.value.abs().max(summands))
        }
        (Err(finding), _) | (_, Err(finding)) => finding,
    }
}

/// Compares an answer with what the definition predicts. A prediction that rests on draws has a standard error itself, and
/// asks of no answer to be much surer.
fn as_predicted(
    measured: Result<Estimate, Finding>,
    predicted: Result<Estimate, Finding>,
    summands: f64,
    dtype: Dtype,
) -> Finding {
    match (measured, predicted) {
        (Ok(measured), Ok(predicted)) => {
            let (rounding, std_error) = noise(&measured, &predicted, summands, dtype);
            let [own, least] = [&measured, &predicted].map(|estimate| estimate.std_error.unwrap_or(0.0));
            let scale = if own <= NO_NOISIER * least { f64::INFINITY } else { predicted.value.abs() };
            Finding::test_on_scale(measured.value, predicted.value, rounding, std_error, scale)
                .vouched(measured.error_bound, predicted.value.abs().max(summands))
        }
        (Err(finding), _) | (_, Err(finding)) => finding,
    }
}

/// A disagreement of numbers at a kink decides nothing: rounding chose the side on which each of them was computed.
pub(super) fn unless_at_a_kink(finding: Finding, case: &FlatnessCase, dtype: Dtype) -> Finding {
    if finding.verdict != Verdict::Fail || finding.measured.is_none_or(|measured| !measured.is_finite()) {
        return finding;
    }
    match near_kinks(case, dtype).sentence() {
        Some(sentence) => Finding::skip(sentence),
        None => finding,
    }
}

/// The kinks that a format cannot tell from 0.
pub(super) fn near_kinks(case: &FlatnessCase, dtype: Dtype) -> NearKinks {
    let network = &case.network;
    NearKinks::in_dtype(&network.model, &network.theta, &network.buffers, case.inputs.view(), dtype)
}

/// The reason to skip a case whose dense derivatives are beyond f64.
pub(super) fn beyond_range(dense: &DensePoint) -> Option<Finding> {
    let finite =
        dense.value.is_finite() && dense.hessian.iter().chain(&dense.gauss_newton).all(|entry| entry.is_finite());
    (!finite).then(|| Finding::skip("the dense derivatives of this network are beyond f64"))
}

/// Share of the largest eigenvalue below which the shift of log det leaves the smallest ones no digits: with `n` of
/// them each carries `n u` of the largest, so the sum of their logarithms is good to `100 n^2 u`, some `1e-11`.
const LEAST_SHIFT: f64 = 0.01;

/// Share of the largest eigenvalue from which on an eigenvalue is a factor of the log-product: of `n` eigenvalues each
/// carries `n u` of the largest, so its logarithm is good to `1000 n u`, some `1e-11` for a hundred.
const LEAST_FACTOR: f64 = 1e-3;

/// Default options, but for two measures that do not apply to a random point as it is: there the Hessian has negative
/// eigenvalues, which rescaling magnifies. The shift of log det is large enough for all of the given curvatures, and the
/// log-product takes no more eigenvalues than all of them have of the same order.
pub(super) fn options_for(measure: &dyn Measure, points: &[DensePoint], seed: u64) -> Options {
    let defaults = Options { seed, ..Options::default() };
    let spectra = || points.iter().map(|point| symmetric_eigenvalues(point.hessian.view()));
    match measure.claim() {
        "hessian_log_det" => {
            let (mut lowest, mut largest) = (0.0_f64, 0.0_f64);
            for eigenvalues in spectra() {
                lowest = lowest.min(eigenvalues[0]);
                largest = largest.max(eigenvalues[eigenvalues.len() - 1]);
            }
            Options { log_det_shift: (defaults.log_det_shift - 1.5 * lowest).max(LEAST_SHIFT * largest), ..defaults }
        }
        "hessian_log_product" => {
            let factors = |eigenvalues: Vec<f64>| {
                let least = LEAST_FACTOR * eigenvalues[eigenvalues.len() - 1];
                eigenvalues.iter().filter(|value| **value >= least).count()
            };
            let k = spectra().map(factors).fold(defaults.eigenvalue_count, usize::min);
            Options { eigenvalue_count: k.max(1), ..defaults }
        }
        _ => defaults,
    }
}

pub(super) fn constant(value: f64) -> Estimate {
    Estimate::deterministic(value, Info::new())
}

/// The estimator agrees with the dense definition.
pub(super) struct Definition;

impl Law for Definition {
    fn id(&self) -> &'static str {
        "curvature.definition"
    }

    fn statement(&self) -> &'static str {
        "the estimator equals the dense definition applied to the Hessian of a scalar oracle"
    }

    fn formula(&self) -> &'static str {
        "m(theta) = M(H(theta), G(theta), theta), M the dense definition of the measure"
    }

    fn tolerance(&self) -> String {
        agreement()
    }

    fn catches(&self) -> &'static str {
        "the Gauss-Newton matrix in the place of the Hessian, sums in the place of means, batches of unequal size with equal weights, coarse differences, single precision, probes without their factor"
    }

    fn sources(&self) -> &'static [Reference] {
        &[]
    }

    fn scope(&self) -> Scope {
        Scope::Every
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        each(context, has_definition, |measure, case, draws| {
            let dense = case.dense();
            if let Some(finding) = beyond_range(&dense) {
                return finding;
            }
            let options = options_for(measure, std::slice::from_ref(&dense), draws.seed);
            match definition(measure).on_dense(&dense, &options) {
                Some(expected) => {
                    let measured = evaluate(measure, case, &case.network.theta, &options);
                    let summands = definition(measure).summands(&dense, &options);
                    // Whoever vouches for some digits only is graded in digits wherever the true value is known, and has as
                    // many: a sum that cancels has fewer than any answer could hold.
                    let rounding = curvature_agreement(measure.dtype())[1] * summands;
                    let vouching = measured.as_ref().ok().filter(|answer| answer.error_bound > 100.0 * rounding);
                    let score = vouching.and_then(|answer| Score::of_estimate(answer, expected, 0.0));
                    let finding = same(measured, Ok(constant(expected)), summands, measure.dtype());
                    let finding = unless_at_a_kink(finding, case, measure.dtype());
                    let finding = mistaken_for(finding, definition(measure), &dense, &options);
                    let score = score.filter(|_| finding.verdict != Verdict::Skip);
                    finding.scored(score)
                }
                None => Finding::skip("the definition does not cover this network"),
            }
        })
    }
}

/// After a rescaling the measure is what the transported curvature says.
pub(super) struct Covariance;

impl Law for Covariance {
    fn id(&self) -> &'static str {
        "curvature.covariance"
    }

    fn statement(&self) -> &'static str {
        "at theta' = D theta the measure equals its definition on the transported curvature D^-1 H D^-1, or its \
         prediction from quantities at theta"
    }

    fn formula(&self) -> &'static str {
        "m(D theta) = M(D^-1 H D^-1, D^-1 G D^-1, D theta), H and G those at theta"
    }

    fn tolerance(&self) -> String {
        agreement()
    }

    fn catches(&self) -> &'static str {
        "weights that are normalised before differentiation, answers kept from another point, statistics of batch norms in the wrong mode, a box or noise level that ignores the parameters"
    }

    fn sources(&self) -> &'static [Reference] {
        &[references::DINH_2017]
    }

    fn scope(&self) -> Scope {
        Scope::Every
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        each(
            context,
            |_| true,
            |measure, case, draws| {
                let mut findings = Vec::new();
                let fixed = case.alphas.iter().map(|&alpha| LayerAlpha { layer: 0, alpha });
                let fixed = fixed.map(|map| Some((map.action(&case.network.model).ok()?, Some(map.alpha))));
                let kinds = if case.rescalings { rescale::registry() } else { &[] };
                let drawn = kinds.iter().map(|kind| {
                    let map = kind.draw(&case.network.model, 1e3, draws.streams.child(kind.id(), 0)).ok()?;
                    // What moves the function a little, or stored statistics with it, is predicted a little wrongly.
                    if !map.is_exact() {
                        return None;
                    }
                    let map = float32::map(measure.dtype(), map);
                    Some((map.action(&case.network.model).ok()?, None))
                });
                for (action, alpha) in fixed.chain(drawn).flatten() {
                    let dense = case.dense().transported(&action);
                    if let Some(finding) = beyond_range(&dense) {
                        return finding;
                    }
                    let options = options_for(measure, std::slice::from_ref(&dense), draws.seed);
                    let Some(expected) = predicted(measure, case, &dense, &action, &options) else {
                        return Finding::skip("the measure states no prediction");
                    };
                    let measured = evaluate(measure, case, &action.apply(&case.network.theta), &options);
                    let summands = definition(measure).summands(&dense, &options);
                    let finding = as_predicted(measured, expected, summands, measure.dtype());
                    findings.push(match alpha {
                        Some(alpha) => finding.scaled_by(alpha),
                        None => finding,
                    });
                }
                if findings.is_empty() {
                    return Finding::skip("no rescaling preserves this network's function");
                }
                unless_at_a_kink(Finding::worst(findings), case, measure.dtype())
            },
        )
    }
}

fn predicted(
    measure: &dyn Measure,
    case: &FlatnessCase,
    dense: &DensePoint,
    action: &Action,
    options: &Options,
) -> Option<Result<Estimate, Finding>> {
    if let Some(value) = definition(measure).on_dense(dense, options) {
        return Some(Ok(constant(value)));
    }
    let ask = |definition: &dyn Measure| {
        let point = Point::new(case.objective(), &case.network.theta);
        definition.predict(&point, action, options).map(answer)
    };
    match flatness::find(measure.claim()) {
        Some(registered) => case.prediction(registered.id(), options.seed, action, || ask(registered)),
        None => ask(measure),
    }
}

/// Least movement that counts as one, in units of the agreement of two answers.
const LEAST_MOVEMENT: f64 = 100.0;

/// Measures that are said to change do change; those said to be invariant stay.
///
/// Statistical invariance (of the local learning coefficient) holds in the limit of many samples only; what
/// holds exactly for it is [`Covariance`], with the prior that keeps the chains near the parameters transported.
pub(super) struct Responds;

impl Law for Responds {
    fn id(&self) -> &'static str {
        "curvature.response"
    }

    fn statement(&self) -> &'static str {
        "under layer scaling by 5.9 a measure marked 'changes' moves and one marked 'invariant' stays"
    }

    fn formula(&self) -> &'static str {
        "m(D theta) differs from m(theta) where the measure is marked 'changes', and equals it where it is marked 'invariant'; D: layer scaling by 5.9"
    }

    fn tolerance(&self) -> String {
        format!(
            "'changes': more than {:e} of the value, beyond rounding and {SEEN_Z} standard errors; 'invariant': {}",
            LEAST_MOVEMENT * CURVATURE_AGREEMENT,
            agreement()
        )
    }

    fn catches(&self) -> &'static str {
        "a measure that never moves, and one that moves although it is said to be invariant"
    }

    fn sources(&self) -> &'static [Reference] {
        &[references::ZHANG_2021, references::DINH_2017]
    }

    fn scope(&self) -> Scope {
        Scope::Generic
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        each(
            context,
            |measure| definition(measure).responses().layer_scaling != Response::Statistical,
            |measure, case, draws| {
                let alpha = float32::factor(measure.dtype(), 5.9);
                let action = match (LayerAlpha { layer: 0, alpha }).action(&case.network.model) {
                    Ok(action) => action,
                    Err(error) => return Finding::skip(error.to_string()),
                };
                let identity = Action::identity(action.len());
                let dense = case.dense();
                let transported = dense.transported(&action);
                if let Some(finding) = beyond_range(&dense).or_else(|| beyond_range(&transported)) {
                    return finding;
                }
                let points = [dense, transported];
                let options = options_for(measure, &points, draws.seed);
                let summands = points.iter().map(|point| definition(measure).summands(point, &options)).sum();
                let before = evaluate(measure, case, &case.network.theta, &options);
                let after = evaluate(measure, case, &action.apply(&case.network.theta), &options);
                match (definition(measure).responses().layer_scaling, before, after) {
                    (_, Err(finding), _) | (_, _, Err(finding)) => finding,
                    (Response::Changes, Ok(before), Ok(after)) => {
                        if let Some(value) = [before.value, after.value].into_iter().find(|value| !value.is_finite()) {
                            return Finding::fail(format!("the measure is {value}"));
                        }
                        let (rounding, std_error) = noise(&after, &before, summands, measure.dtype());
                        let share = LEAST_MOVEMENT * curvature_agreement(measure.dtype())[0];
                        let least = share * before.value.abs() + rounding + SEEN_Z * std_error;
                        if (after.value - before.value).abs() > least {
                            return Finding::differ(after.value, before.value, least, "the measure did not move");
                        }
                        if std_error > 0.0 || before.error_bound > 0.0 {
                            return Finding::hidden(
                                before.value,
                                least,
                                "the standard errors hide whether it moves on this network",
                            );
                        }
                        // On some networks it rightly stays: dead ones, parameters that are 0.
                        let here = predicted(measure, case, &points[0], &identity, &options);
                        let there = predicted(measure, case, &points[1], &action, &options);
                        match (here, there) {
                            (Some(Ok(here)), Some(Ok(there))) if (there.value - here.value).abs() <= least => {
                                Finding::skip("by its definition the measure does not move on this network")
                            }
                            // Where the definition has no prediction, nothing says that it moves.
                            (Some(Err(finding)), _) | (_, Some(Err(finding))) if finding.verdict == Verdict::Skip => {
                                finding
                            }
                            _ => Finding::differ(after.value, before.value, least, "the measure did not move"),
                        }
                    }
                    (_, before, after) => {
                        let finding = same(after, before, summands, measure.dtype());
                        unless_at_a_kink(finding, case, measure.dtype())
                    }
                }
            },
        )
    }
}

pub(super) fn has_definition(measure: &dyn Measure) -> bool {
    // Whether a measure is a function of the curvature is a property of its definition alone; a tiny network tells.
    let case = probe();
    let dense = case.dense();
    let options = options_for(measure, std::slice::from_ref(&dense), 0);
    definition(measure).on_dense(&dense, &options).is_some()
}

/// A tiny network.
pub(super) fn probe() -> FlatnessCase {
    draw_flatness_case(
        "probe".to_owned(),
        drawn_architecture(&[2, 2, 1], crate::model::Activation::Relu),
        crate::model::Loss::Bce,
        2,
        Streams::new(0),
    )
    .expect("a sound case")
}

/// What a check draws from.
pub(super) struct Draws {
    /// Of the law itself: maps, factors.
    pub streams: Streams,
    /// For the estimator.
    pub seed: u64,
}

/// One check per measure and case.
pub(super) fn each<'a>(
    context: &Context<'a>,
    covers: impl Fn(&dyn Measure) -> bool,
    run: impl Fn(&dyn Measure, &FlatnessCase, Draws) -> Finding + Send + Sync + 'a,
) -> Vec<Check<'a>> {
    let run = Arc::new(run);
    let mut checks = Vec::new();
    for &measure in context.measures.iter().filter(|measure| covers(**measure)) {
        let networks = context.networks(measure.dtype());
        for index in 0..networks.len() {
            let (cases, run) = (Arc::clone(&networks), Arc::clone(&run));
            let name = cases[index].name.clone();
            let streams = context.streams(&name);
            checks.push(Check::new(measure.id(), name, move |effort| {
                let draws = Draws { streams, seed: effort.seed(short(streams)) };
                let averaged = Averaged::of(measure, effort);
                let measure: &dyn Measure = if effort.replicates == 1 { measure } else { &averaged };
                run(measure, &cases[index], draws)
            }));
        }
    }
    checks
}
