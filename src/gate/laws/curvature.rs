//! Laws of flatness measures: the definition, and what it says after a rescaling.

use crate::flatness::{self, DensePoint, Measure, Options, Point, Response};
use crate::gate::cases::FlatnessCase;
use crate::gate::law::{Check, Context, Law};
use crate::gate::verdict::Finding;
use crate::numeric::Streams;
use crate::numeric::tolerance::CURVATURE_AGREEMENT;
use crate::rescale::{self, Action, LayerAlpha, Rescaling};
use std::sync::Arc;

/// The measure's definition comes from the registry where it has an entry, so that an estimator under
/// test is never its own judge.
fn definition(subject: &dyn Measure) -> &dyn Measure {
    flatness::find(subject.id()).unwrap_or(subject)
}

/// Asks a measure; "does not apply" is a skip, any other error and NaN a failure.
pub(super) fn evaluate(
    subject: &dyn Measure,
    case: &FlatnessCase,
    theta: &[f64],
    options: &Options,
) -> Result<f64, Finding> {
    match subject.evaluate(&Point::new(case.objective(), theta), options) {
        Ok(estimate) if estimate.value.is_nan() => Err(Finding::fail("the measure is NaN")),
        Ok(estimate) => Ok(estimate.value),
        Err(flatness::FlatnessError::NotApplicable { reason, .. }) => Err(Finding::skip(reason)),
        Err(error) => Err(Finding::fail(error.to_string())),
    }
}

fn compare(measured: Result<f64, Finding>, expected: f64) -> Finding {
    match measured {
        Ok(measured) => Finding::compare(measured, expected, CURVATURE_AGREEMENT * expected.abs()),
        Err(finding) => finding,
    }
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

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        each(
            context,
            |measure| has_definition(measure),
            |measure, case, _| {
                let options = Options::default();
                match definition(measure).on_dense(&case.dense(), &options) {
                    Some(expected) => compare(evaluate(measure, case, &case.network.theta, &options), expected),
                    None => Finding::skip("the definition does not cover this network"),
                }
            },
        )
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

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        each(
            context,
            |measure| !measure.is_stochastic(),
            |measure, case, streams| {
                let options = Options::default();
                let mut findings = Vec::new();
                let alphas = [2.0, 5.9, 1.0 / 5.9];
                let fixed = alphas.map(|alpha| LayerAlpha { layer: 0, alpha }.action(&case.network.model).ok());
                let drawn = rescale::registry().iter().map(|kind| {
                    let map = kind.draw(&case.network.model, 1e3, streams.child(kind.id(), 0)).ok()?;
                    map.action(&case.network.model).ok()
                });
                for action in fixed.into_iter().chain(drawn).flatten() {
                    let expected = match predicted(definition(measure), case, &action, &options) {
                        Ok(Some(expected)) => expected,
                        Ok(None) => return Finding::skip("the measure states no prediction"),
                        Err(finding) => return finding,
                    };
                    findings
                        .push(compare(evaluate(measure, case, &action.apply(&case.network.theta), &options), expected));
                }
                if findings.is_empty() {
                    return Finding::skip("no rescaling preserves this network's function");
                }
                Finding::worst(findings)
            },
        )
    }
}

fn predicted(
    definition: &dyn Measure,
    case: &FlatnessCase,
    action: &Action,
    options: &Options,
) -> Result<Option<f64>, Finding> {
    if let Some(value) = definition.on_dense(&case.dense().transported(action), options) {
        return Ok(Some(value));
    }
    let point = Point::new(case.objective(), &case.network.theta);
    match definition.predict(&point, action, options) {
        Some(Ok(estimate)) => Ok(Some(estimate.value)),
        Some(Err(error)) => Err(Finding::fail(error.to_string())),
        None => Ok(None),
    }
}

/// Measures that are said to change do change; those said to be invariant stay.
pub(super) struct Responds;

impl Law for Responds {
    fn id(&self) -> &'static str {
        "curvature.response"
    }

    fn statement(&self) -> &'static str {
        "under layer scaling by 5.9 a measure marked 'changes' moves and one marked 'invariant' stays"
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        each(
            context,
            |measure| !measure.is_stochastic(),
            |measure, case, _| {
                let options = Options::default();
                let action = match (LayerAlpha { layer: 0, alpha: 5.9 }).action(&case.network.model) {
                    Ok(action) => action,
                    Err(error) => return Finding::skip(error.to_string()),
                };
                let before = match evaluate(measure, case, &case.network.theta, &options) {
                    Ok(before) => before,
                    Err(finding) => return finding,
                };
                let after = evaluate(measure, case, &action.apply(&case.network.theta), &options);
                match (definition(measure).responses().layer_scaling, after) {
                    (_, Err(finding)) => finding,
                    (Response::Changes, Ok(after)) => Finding::differ(
                        after,
                        before,
                        100.0 * CURVATURE_AGREEMENT * before.abs(),
                        "the measure did not move",
                    ),
                    (_, after) => compare(after, before),
                }
            },
        )
    }
}

fn has_definition(measure: &dyn Measure) -> bool {
    // Whether a measure is a function of the curvature is a property of its definition alone; a tiny network tells.
    let case = crate::gate::cases::draw_flatness_case(
        "probe".to_owned(),
        &[2, 2, 1],
        crate::model::Activation::Relu,
        crate::model::Loss::Bce,
        2,
        Streams::new(0),
    );
    let dense: DensePoint = case.dense();
    definition(measure).on_dense(&dense, &Options::default()).is_some()
}

/// One check a deterministic measure and case.
fn each<'a>(
    context: &Context<'a>,
    covers: impl Fn(&dyn Measure) -> bool,
    run: impl Fn(&dyn Measure, &FlatnessCase, Streams) -> Finding + Send + Sync + 'a,
) -> Vec<Check<'a>> {
    let run = Arc::new(run);
    let mut checks = Vec::new();
    for &measure in context.measures.iter().filter(|measure| covers(**measure)) {
        for index in 0..context.flatness_cases.len() {
            let (cases, run) = (Arc::clone(&context.flatness_cases), Arc::clone(&run));
            let name = cases[index].name.clone();
            let streams = context.streams(&name);
            checks.push(Check::new(measure.id(), name, move || run(measure, &cases[index], streams)));
        }
    }
    checks
}
