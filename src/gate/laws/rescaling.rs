//! Laws of maps that claim to leave functions as they are: whether they do, and whether they act on parameters and Hessian as
//! they say.

use super::curvature::{beyond_range, near_kinks};
use crate::description::{Reference, references};
use crate::flatness::DensePoint;
use crate::gate::cases::FlatnessCase;
use crate::gate::effort::short;
use crate::gate::finding::{Finding, Verdict};
use crate::gate::law::{Check, Context, Law, Scope};
use crate::gate::map::{FunctionMap, Rescaled};
use crate::model::{Model, Network, Objective};
use crate::numeric::Dtype;
use crate::numeric::tolerance::{CURVATURE_AGREEMENT, SUMMATION_AGREEMENT, UNIT_ROUNDOFF};
use crate::rescale::{Action, logit_rounding_bound};
use std::sync::Arc;

/// Roundings that a factor, its reciprocal, a product of three of them and their product with a parameter may have.
const ROUNDINGS: f64 = 8.0;

/// Asks a map for the network after it and its action; what it does not cover is a skip, an error or another number of
/// parameters a failure.
fn rescale(map: &dyn FunctionMap, network: &Network, seed: u64) -> Result<(Network, Action), Finding> {
    let Rescaled { theta, buffers, action } = map.rescale(network, seed).map_err(Finding::from)?;
    for (what, found, expected) in [
        ("parameters", theta.len(), network.theta.len()),
        ("factors", action.len(), network.theta.len()),
        ("statistics of batch norms", buffers.len(), network.buffers.len()),
    ] {
        if found != expected {
            return Err(Finding::fail(format!("the map gives {found} {what}, the network has {expected}")));
        }
    }
    if let Some((index, value)) = theta.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        return Err(Finding::fail(format!("{} is {value}", parameter(&network.model, index))));
    }
    let mut twin = network.with_theta(theta);
    twin.buffers = buffers;
    Ok((twin, action))
}

/// A parameter by the name of its tensor and its place there.
fn parameter(model: &Model, index: usize) -> String {
    match model.tensors().iter().find(|tensor| tensor.range.contains(&index)) {
        Some(tensor) => format!("{}[{}]", tensor.name, index - tensor.range.start),
        None => format!("parameter {index}"),
    }
}

/// The worst of several comparisons; a failure says where it was seen.
fn worst(findings: impl Iterator<Item = (Finding, impl FnOnce() -> String)>) -> Finding {
    Finding::worst(findings.map(|(finding, place)| match finding.verdict {
        Verdict::Fail => Finding { reason: format!("{}: {}", place(), finding.reason), ..finding },
        _ => finding,
    }))
}

/// The function stays.
pub(super) struct Function;

impl Law for Function {
    fn id(&self) -> &'static str {
        "rescaling.function"
    }

    fn statement(&self) -> &'static str {
        "a map moves no logit by more than rounding explains"
    }

    fn formula(&self) -> &'static str {
        "f(x; theta') = f(x; theta), theta' what the map makes of theta"
    }

    fn tolerance(&self) -> String {
        format!(
            "for chains of affine and positively homogeneous layers the rounding bound 2 gamma_m f(|x|; |theta|), \
             gamma_m = m u / (1 - m u), m roundings on a path and u = 2^-53; else {SUMMATION_AGREEMENT:e} of \
             |f(x; theta)| + |f(|x|; |theta|)|"
        )
    }

    fn catches(&self) -> &'static str {
        "a bias that is forgotten, a compensation that is missing or at the wrong layer, maps of ReLUs used on tanh, statistics of batch norms left behind"
    }

    fn sources(&self) -> &'static [Reference] {
        &[references::DINH_2017]
    }

    fn scope(&self) -> Scope {
        Scope::Every
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        each(context, Owed::ByExactMaps, |case, twin, _| {
            let inputs = case.inputs.view();
            let (before, after) = (case.network.logits(inputs), twin.logits(inputs));
            let bound = logit_rounding_bound(&case.network, inputs).unwrap_or_else(|| {
                let sizes = case.network.with_theta(case.network.theta.iter().map(|value| value.abs()).collect());
                let sizes = sizes.logits(inputs.mapv(f64::abs).view()).mapv(f64::abs) + before.mapv(f64::abs);
                SUMMATION_AGREEMENT * sizes
            });
            worst(before.indexed_iter().map(|((sample, output), before)| {
                let place = [sample, output];
                let finding = Finding::compare(after[place], *before, bound[place]);
                (finding, move || format!("logit {output} of sample {sample}"))
            }))
        })
    }
}

/// The parameters move as the map says.
pub(super) struct Parameters;

impl Law for Parameters {
    fn id(&self) -> &'static str {
        "rescaling.parameters"
    }

    fn statement(&self) -> &'static str {
        "the parameters after a map are those before it, moved and scaled as the map declares"
    }

    fn formula(&self) -> &'static str {
        "theta'_i = scale_i theta_(source_i)"
    }

    fn tolerance(&self) -> String {
        format!("{ROUNDINGS} roundings of 2^-53")
    }

    fn catches(&self) -> &'static str {
        "factors declared as their reciprocals, orders as their inverses, tensors that the declaration leaves out"
    }

    fn sources(&self) -> &'static [Reference] {
        &[]
    }

    fn scope(&self) -> Scope {
        Scope::Every
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        each(context, Owed::ByAll, |case, twin, action| {
            let (model, declared) = (&case.network.model, action.apply(&case.network.theta));
            worst(twin.theta.iter().zip(&declared).enumerate().map(|(index, (found, declared))| {
                let tolerance = ROUNDINGS * UNIT_ROUNDOFF * declared.abs() + f64::MIN_POSITIVE;
                (Finding::compare(*found, *declared, tolerance), move || parameter(model, index))
            }))
        })
    }
}

/// The Hessian moves as the map says.
pub(super) struct Curvature;

impl Law for Curvature {
    fn id(&self) -> &'static str {
        "rescaling.curvature"
    }

    fn statement(&self) -> &'static str {
        "the Hessian after a map is the one before it, transported as the map declares"
    }

    fn formula(&self) -> &'static str {
        "H_ij(theta') = H_(source_i source_j)(theta) / (scale_i scale_j)"
    }

    fn tolerance(&self) -> String {
        format!(
            "{CURVATURE_AGREEMENT:e} of an entry and {SUMMATION_AGREEMENT:e} of the sizes of what is added up in it or, if larger, \
             of their geometric mean over the entries (i, i) and (j, j)"
        )
    }

    fn catches(&self) -> &'static str {
        "an action that fits the parameters but not the function, as a scaling that is not compensated"
    }

    fn sources(&self) -> &'static [Reference] {
        &[references::DINH_2017]
    }

    fn scope(&self) -> Scope {
        Scope::Every
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        each(context, Owed::ByExactMaps, |case, twin, action| {
            let expected = case.dense().transported(action);
            let (inputs, targets) = (case.inputs.view(), case.targets.view());
            let objective = Objective::new(twin, case.loss, inputs, targets).expect("parts that fit the network");
            let found = DensePoint::new(objective, &twin.theta);
            if let Some(finding) = beyond_range(&expected).or_else(|| beyond_range(&found)) {
                return finding;
            }
            let model = &case.network.model;
            let finding = worst(found.hessian.indexed_iter().map(|((i, j), entry)| {
                let wanted = expected.hessian[[i, j]];
                // H = J^T B J + ..., and entries of B are off by roundings of sqrt(B_kk B_ll): of J^T B J by as many of the
                // geometric mean of its diagonal, however small an entry's own terms are.
                let mean = (expected.magnitude[[i, i]] * expected.magnitude[[j, j]]).sqrt();
                let size = mean.max(expected.magnitude[[i, j]]);
                let tolerance = CURVATURE_AGREEMENT * wanted.abs() + SUMMATION_AGREEMENT * size + f64::MIN_POSITIVE;
                let place = move || format!("entry of {} and {}", parameter(model, i), parameter(model, j));
                (Finding::compare(*entry, wanted, tolerance), place)
            }));
            match near_kinks(case, Dtype::Float64).sentence() {
                Some(sentence) if finding.verdict == Verdict::Fail => Finding::skip(sentence),
                _ => finding,
            }
        })
    }
}

/// The map is one.
pub(super) struct Movement;

impl Law for Movement {
    fn id(&self) -> &'static str {
        "rescaling.movement"
    }

    fn statement(&self) -> &'static str {
        "a map moves parameters of some network, and under one seed always in the same way"
    }

    fn formula(&self) -> &'static str {
        "theta' differs from theta on some network; theta'(seed) = theta'(seed)"
    }

    fn tolerance(&self) -> String {
        "none: bits are compared".to_owned()
    }

    fn catches(&self) -> &'static str {
        "a map that does nothing, random numbers that are not those of the seed"
    }

    fn sources(&self) -> &'static [Reference] {
        &[]
    }

    fn scope(&self) -> Scope {
        Scope::Generic
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        let streams = context.streams("rescaling");
        let of_map = |&map: &&'a dyn FunctionMap| {
            let cases = Arc::clone(&context.flatness_cases);
            Check::new(map.id(), "pooled", move |effort| {
                let (seed, mut asked) = (effort.seed(short(streams)), 0);
                for case in cases.iter().filter(|case| map.covers(&case.network)) {
                    let (first, again) = match (rescale(map, &case.network, seed), rescale(map, &case.network, seed)) {
                        (Ok((first, _)), Ok((again, _))) => (first.theta, again.theta),
                        (Err(finding), _) | (_, Err(finding)) if finding.verdict == Verdict::Fail => return finding,
                        _ => continue,
                    };
                    asked += 1;
                    if first != again {
                        return Finding::wrong(format!("on {} one seed gives two answers", case.name));
                    }
                    if first != case.network.theta {
                        return Finding::compare(0.0, 0.0, 0.0);
                    }
                }
                match asked {
                    0 => Finding::unsupported("it covers none of the networks"),
                    _ => Finding::wrong(format!("it leaves every parameter of {asked} networks where it is")),
                }
            })
        };
        context.maps.iter().map(of_map).collect()
    }
}

/// Which maps owe a law.
#[derive(Clone, Copy, PartialEq)]
enum Owed {
    ByAll,
    /// By those that say that they leave the function as it is, and not just nearly.
    ByExactMaps,
}

/// One check per map and case, of the network after the map and the action that it declares.
fn each<'a>(
    context: &Context<'a>,
    owed: Owed,
    run: impl Fn(&FlatnessCase, &Network, &Action) -> Finding + Send + Sync + 'a,
) -> Vec<Check<'a>> {
    let run = Arc::new(run);
    let mut checks = Vec::new();
    for &map in &context.maps {
        let cases = context.flatness_cases.iter().enumerate();
        for (index, case) in cases.filter(|(_, case)| map.covers(&case.network)) {
            let (cases, run) = (Arc::clone(&context.flatness_cases), Arc::clone(&run));
            let streams = context.streams(&case.name);
            checks.push(Check::new(map.id(), case.name.clone(), move |effort| {
                if owed == Owed::ByExactMaps && !map.is_exact() {
                    return Finding::not_owed("it says that it moves the function a little");
                }
                match rescale(map, &cases[index].network, effort.seed(short(streams))) {
                    Ok((twin, action)) => run(&cases[index], &twin, &action),
                    Err(finding) => finding,
                }
            }));
        }
    }
    checks
}
