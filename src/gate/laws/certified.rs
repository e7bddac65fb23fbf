//! Certified values: numbers by independent programs.

use super::curvature::evaluate;
use super::kernel::{gram, largest_error, subjects};
use super::prior::{estimator, log_prob};
use crate::description::{Reference, references};
use crate::flatness::{self, Measure, Options};
use crate::gate::averaged::Averaged;
use crate::gate::cases::FlatnessCase;
use crate::gate::effort::{Effort, short};
use crate::gate::finding::{Finding, Verdict};
use crate::gate::float32;
use crate::gate::law::{Check, Context, Law, Scope};
use crate::gate::score::{Score, timed};
use crate::gate::tier::Tier;
use crate::gate::tolerance::{
    CERTIFIED_CLOSED_FORM, CERTIFIED_FIXED_POINT, CERTIFIED_KERNEL, CERTIFIED_NORMAL, kernel_agreement,
};
use crate::golden;
use crate::kernel::{self, KernelMethod};
use crate::model::LayerSpec;
use crate::numeric::normal::{hazard, log_ndtr};
use crate::numeric::tolerance::CERTIFIED_CURVATURE;
use crate::numeric::{Dtype, Estimate, Info};
use crate::prior::{self, Exactness, Gram, Labels, Link, LogProbMethod};
use crate::rescale::{LayerAlpha, Rescaling};
use ndarray::Array2;
use std::sync::Arc;

/// Asks an estimator and judges its answer. Where that holds, the built-in one is asked too for its time, unless it is a
/// built-in one that is gated as such, or asked again.
fn judged<A>(
    is_built_in: bool,
    effort: Effort,
    own: impl FnOnce() -> Result<A, Finding>,
    built_in: impl FnOnce() -> Option<Result<A, Finding>>,
    judge: impl FnOnce(A) -> Finding,
) -> Finding {
    let (answer, time) = timed(own);
    let mut finding = match answer {
        Ok(answer) => judge(answer),
        Err(finding) => return finding,
    };
    if let Some(score) = &mut finding.score
        && finding.verdict == Verdict::Pass
        && !is_built_in
        && effort == Effort::ONCE
    {
        let (beside, its_time) = timed(built_in);
        score.seconds = matches!(beside, Some(Ok(_))).then(|| [time.as_secs_f64(), its_time.as_secs_f64()]);
    }
    finding
}

/// log Phi and its derivative.
pub(super) struct Normal;

impl Law for Normal {
    fn id(&self) -> &'static str {
        "certified.normal"
    }

    fn statement(&self) -> &'static str {
        "log Phi and the hazard phi / Phi agree with mpmath to 13 digits"
    }

    fn formula(&self) -> &'static str {
        "log Phi(z) and phi(z) / Phi(z) at 44 arguments"
    }

    fn tolerance(&self) -> String {
        format!("{CERTIFIED_NORMAL:e} of the value")
    }

    fn catches(&self) -> &'static str {
        "cancellation in the tails"
    }

    fn sources(&self) -> &'static [Reference] {
        &[]
    }

    fn scope(&self) -> Scope {
        Scope::Certified
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        if !context.is_built_in {
            return Vec::new();
        }
        let close = |measured: f64, expected: f64| {
            // Below the smallest normal number there are no 13 digits to agree in.
            Finding::compare(measured, expected, CERTIFIED_NORMAL * expected.abs() + f64::MIN_POSITIVE)
                .scored(Score::of(measured, expected))
        };
        let check = move |estimator: &str, function: fn(f64) -> f64, expected: fn(&golden::NormalTail) -> f64| {
            Check::new(estimator, "44 arguments", move |_| {
                Finding::worst(golden::normal_tails().iter().map(|row| close(function(row.z), expected(row))))
            })
        };
        vec![check("log_ndtr", log_ndtr, |row| row.log_ndtr), check("hazard", hazard, |row| row.hazard)]
    }
}

/// The networks with certified curvature, as cases.
pub(in crate::gate) fn networks() -> Vec<FlatnessCase> {
    let case =
        |row: golden::Curvature| FlatnessCase::new(row.name.to_owned(), row.network, row.loss, row.inputs, row.targets);
    golden::curvatures().into_iter().map(case).collect()
}

/// Gram matrices.
pub(super) struct Kernel;

impl Law for Kernel {
    fn id(&self) -> &'static str {
        "certified.kernel"
    }

    fn statement(&self) -> &'static str {
        "NNGP and NTK Gram matrices agree with neural-tangents, duplicated, parallel and antipodal rows included; averages over \
         sampled networks do for one hidden layer, where any width has the same kernel"
    }

    fn formula(&self) -> &'static str {
        "max over i, j of |K_ij - K*_ij| / (K*_ii K*_jj)^(1/2) = 0, K* certified"
    }

    fn tolerance(&self) -> String {
        format!(
            "{CERTIFIED_KERNEL:e}, and {} standard errors for averages over sampled networks",
            crate::gate::tolerance::GATE_Z
        )
    }

    fn catches(&self) -> &'static str {
        "bias variances multiplied by weight variances, products accumulated in half precision"
    }

    fn sources(&self) -> &'static [Reference] {
        &[references::LEE_2018]
    }

    fn scope(&self) -> Scope {
        Scope::Certified
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        let (is_built_in, seed, rows) = (context.is_built_in, context.seed, Arc::new(golden::kernels()));
        let mut checks = Vec::new();
        for (subject, kind, name) in subjects(context) {
            for (index, row) in rows.iter().enumerate() {
                let rows = Arc::clone(&rows);
                checks.push(Check::new(name.clone(), row.name, move |effort| {
                    let (row, seed, averaged) = (&rows[index], effort.seed(seed), Averaged::of(subject, effort));
                    let subject: &dyn KernelMethod = if effort.replicates == 1 { subject } else { &averaged };
                    let certified = row.matrix(kind);
                    // Rounding the inputs moves an entry by less than the tolerance of the format.
                    let (dtype, tolerance) = match subject.dtype() {
                        Dtype::Float64 => (Dtype::Float64, CERTIFIED_KERNEL),
                        dtype => (dtype, kernel_agreement(kind, dtype)),
                    };
                    let Some(inputs) = float32::matrix(dtype, &row.inputs) else {
                        return Finding::skip("its inputs are beyond float32");
                    };
                    let ask = |method| gram(method, &row.architecture, inputs.view(), kind, seed);
                    let built_in = || kernel::find(subject.id()).map(ask);
                    judged(is_built_in, effort, || ask(subject), built_in, |answer| {
                        let Some(std_error) = answer.std_error else {
                            let worst = largest_error(answer.matrix.view(), certified.view());
                            return Finding::compare(worst, 0.0, tolerance.max(row.own_error(kind)))
                                .scored(Score::of(worst, 0.0));
                        };
                        let layers = &row.architecture.layers;
                        if layers.iter().filter(|spec| matches!(spec, LayerSpec::Dense { .. })).count() > 2 {
                            return Finding::skip(
                                "it estimates the kernel of networks of finite width, which is that of infinite width for \
                                 one hidden layer only",
                            );
                        }
                        let scale = certified.diag().mapv(f64::sqrt);
                        let upper = (0..scale.len()).flat_map(|i| (0..=i).map(move |j| (i, j)));
                        Finding::worst(upper.map(|(i, j)| {
                            let unit = scale[i] * scale[j];
                            let [value, expected, error] =
                                [answer.matrix[[i, j]], certified[[i, j]], std_error[[i, j]]].map(|entry| entry / unit);
                            let off = Estimate::stochastic(value - expected, error, Info::new());
                            Finding::test_on_scale(value, expected, tolerance, error, 1.0)
                                .scored(Score::of_estimate(&off, 0.0, 0.0))
                        }))
                    })
                }));
            }
        }
        checks
    }
}

/// Curvature of trained networks, before and after a rescaling.
pub(super) struct Flatness;

impl Law for Flatness {
    fn id(&self) -> &'static str {
        "certified.flatness"
    }

    fn statement(&self) -> &'static str {
        "measures of curvature agree with PyTorch's dense autograd on trained networks (at the full tier on a convolutional one \
         too), before and after scaling by 5.9"
    }

    fn formula(&self) -> &'static str {
        "m(theta) = m*, m(D theta) = m'*, m* and m'* certified, D: layer scaling by 5.9"
    }

    fn tolerance(&self) -> String {
        format!(
            "{CERTIFIED_CURVATURE:e} of the value, and {} standard errors for random estimates",
            crate::gate::tolerance::GATE_Z
        )
    }

    fn catches(&self) -> &'static str {
        "what estimator and definition of this crate could have wrong in common: conventions of the loss, mean or sum"
    }

    fn sources(&self) -> &'static [Reference] {
        &[]
    }

    fn scope(&self) -> Scope {
        Scope::Certified
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        let mut rows: Vec<_> = golden::curvatures().into_iter().zip(networks()).collect();
        // Many estimators are for dense layers; whoever asks for the full tier is asked for convolutions too.
        rows.retain(|(row, _)| {
            context.tier == Tier::Full || row.network.model.architecture().as_fully_connected().is_some()
        });
        let rows = Arc::new(rows);
        let is_built_in = context.is_built_in;
        let mut checks = Vec::new();
        // Certified values are those of parameters that float32 does not hold.
        for &measure in context.measures.iter().filter(|measure| measure.dtype() == Dtype::Float64) {
            for (index, (row, _)) in rows.iter().enumerate() {
                let Some(certified) = row.value(measure.claim()) else { continue };
                let (rows, streams) = (Arc::clone(&rows), context.streams(row.name));
                checks.push(Check::new(measure.id(), row.name, move |effort| {
                    let ((row, case), averaged) = (&rows[index], Averaged::of(measure, effort));
                    let measure: &dyn Measure = if effort.replicates == 1 { measure } else { &averaged };
                    let defaults = Options { seed: effort.seed(short(streams)), ..Options::default() };
                    let shift = row.log_det_shift().unwrap_or(defaults.log_det_shift);
                    let options = Options { log_det_shift: shift, ..defaults };
                    let close = |theta: &[f64], expected: f64| {
                        let own = || evaluate(measure, case, theta, &options);
                        let built_in = || Some(evaluate(flatness::find(measure.claim())?, case, theta, &options));
                        judged(is_built_in, effort, own, built_in, |answer| {
                            let rounding = CERTIFIED_CURVATURE * expected.abs() + answer.error_bound;
                            Finding::test(answer.value, expected, rounding, answer.std_error.unwrap_or(0.0))
                                .vouched(answer.error_bound, expected.abs())
                                .scored(Score::of_estimate(&answer, expected, 0.0))
                        })
                    };
                    let theta = &row.network.theta;
                    let mut findings = vec![close(theta, certified.value)];
                    if let (Some(expected), Some(alpha)) = (row.rescaled_value(measure.claim()), row.alpha()) {
                        let action = LayerAlpha { layer: 0, alpha }.action(&row.network.model);
                        let action = action.expect("only homogeneous networks have rescaled values");
                        findings.push(close(&action.apply(theta), expected.value));
                    }
                    Finding::worst(findings)
                }));
            }
        }
        checks
    }
}

/// log P(f) of functions on real images.
pub(super) struct PriorOnImages;

impl Law for PriorOnImages {
    fn id(&self) -> &'static str {
        "certified.prior"
    }

    fn statement(&self) -> &'static str {
        "on MNIST images unbiased methods agree with the certified value of log P(f), registered approximations with the \
         certified fixed point of their own method, others with the true value as near as they vouch to come"
    }

    fn formula(&self) -> &'static str {
        "log P(K, y) = log P*: the true value for exact and unbiased methods, the fixed point of the method for approximate ones"
    }

    fn tolerance(&self) -> String {
        format!(
            "{CERTIFIED_FIXED_POINT:e} nats, what the certified value is uncertain by, and {} standard errors where draws are involved",
            crate::gate::tolerance::GATE_Z
        )
    }

    fn catches(&self) -> &'static str {
        "probabilities clipped before the logarithm, iterations that are stopped too early"
    }

    fn sources(&self) -> &'static [Reference] {
        &[]
    }

    fn scope(&self) -> Scope {
        Scope::Certified
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        let rows = Arc::new(golden::log_probs());
        let (is_built_in, seed) = (context.is_built_in, context.seed);
        let mut checks = Vec::new();
        for &subject in &context.priors {
            // An approximation that is registered is held to its own fixed point, any other to the truth, as near as it
            // vouches to come. True values cost seconds each to those who sample.
            let registered = prior::find(subject.claim()).filter(|method| method.exactness() == Exactness::Approximate);
            let (quantity, most) = match (subject.exactness(), registered) {
                (Exactness::Approximate, Some(method)) => (method.fixed_point(), context.by_tier(150, usize::MAX)),
                (Exactness::Approximate, None) => ("true", context.by_tier(150, usize::MAX)),
                (Exactness::Unbiased, _) => ("true", context.by_tier(60, 150)),
                // Promise the closed forms; images have none.
                (Exactness::Exact, _) => continue,
            };
            for link in [Link::Step, Link::Probit] {
                for (index, row) in rows.iter().enumerate().filter(|(_, row)| row.labels.len() <= most) {
                    let Some(certified) = row.value(quantity, link) else { continue };
                    if !subject.links().contains(&link) {
                        continue;
                    }
                    let rows = Arc::clone(&rows);
                    checks.push(Check::new(estimator(subject, link), row.name, move |effort| {
                        let (row, seed, averaged) = (&rows[index], effort.seed(seed), Averaged::of(subject, effort));
                        let subject: &dyn LogProbMethod = if effort.replicates == 1 { subject } else { &averaged };
                        let ask = |method| log_prob(method, link, &row.gram, &row.labels, seed);
                        let built_in = || prior::find(subject.claim()).map(ask);
                        judged(is_built_in, effort, || ask(subject), built_in, |answer| {
                            let noise = answer.std_error.unwrap_or(0.0).hypot(certified.std_error.unwrap_or(0.0));
                            let approximates = subject.exactness() == Exactness::Approximate && quantity == "true";
                            let within = match (approximates, subject.within()) {
                                (false, _) => 0.0,
                                (true, Some(within)) => within,
                                (true, None) => {
                                    return Finding::wrong(
                                        "no approximate method is registered under this name, and it does not say how near \
                                         to the true value it comes (LogProbMethod::within): nothing holds it",
                                    );
                                }
                            };
                            let agreement = CERTIFIED_FIXED_POINT + certified.agreed_to + answer.error_bound + within;
                            let truth = row.value("true", link).filter(|_| quantity != "true");
                            let from_truth = truth.map(|truth| answer.value - truth.value);
                            let vouched = answer.clone().within(answer.error_bound + within);
                            let score = Score::of_estimate(&vouched, certified.value, certified.std_error.unwrap_or(0.0));
                            Finding::test(answer.value, certified.value, agreement, noise)
                                .vouched(answer.error_bound + within, certified.value.abs())
                                .scored(score.map(|score| Score { from_truth, ..score }))
                        })
                    }));
                }
            }
        }
        checks
    }
}

/// Closed forms of log P(f).
pub(super) struct PriorClosedForms;

impl Law for PriorClosedForms {
    fn id(&self) -> &'static str {
        "certified.closed_form"
    }

    fn statement(&self) -> &'static str {
        "on equicorrelated matrices exact and unbiased methods agree with 40-digit arithmetic"
    }

    fn formula(&self) -> &'static str {
        "log P(K, +1) = log int phi(t) Phi(t (rho / (1 - rho))^(1/2))^n dt, K_ij = rho, K_ii = 1"
    }

    fn tolerance(&self) -> String {
        format!(
            "{CERTIFIED_CLOSED_FORM:e} max(1, |log P|), and {} standard errors where draws are involved",
            crate::gate::tolerance::GATE_Z
        )
    }

    fn catches(&self) -> &'static str {
        "points taken as independent, variances in the place of standard deviations, floors under probabilities, kernels of too low a rank"
    }

    fn sources(&self) -> &'static [Reference] {
        &[references::DUNNETT_1955]
    }

    fn scope(&self) -> Scope {
        Scope::Certified
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        let (is_built_in, seed, most) = (context.is_built_in, context.seed, context.by_tier(100, usize::MAX));
        let mut checks = Vec::new();
        let owing = context.priors.iter().filter(|method| method.exactness() != Exactness::Approximate);
        for &subject in owing {
            for form in golden::closed_forms().into_iter().filter(|form| form.n <= most) {
                let name = format!("n-{}-rho-{}", form.n, form.rho);
                checks.push(Check::new(estimator(subject, Link::Step), name, move |effort| {
                    let (seed, averaged) = (effort.seed(seed), Averaged::of(subject, effort));
                    let subject: &dyn LogProbMethod = if effort.replicates == 1 { subject } else { &averaged };
                    let matrix = Array2::from_shape_fn((form.n, form.n), |(i, j)| if i == j { 1.0 } else { form.rho });
                    let gram = Gram::new(matrix).expect("equicorrelated matrices are semi-definite");
                    let labels = Labels::from_signs(vec![true; form.n]);
                    let ask = |method| log_prob(method, Link::Step, &gram, &labels, seed);
                    let built_in = || prior::find(subject.claim()).map(ask);
                    judged(
                        is_built_in,
                        effort,
                        || ask(subject),
                        built_in,
                        |answer| {
                            let noise = answer.std_error.unwrap_or(0.0);
                            let rounding = CERTIFIED_CLOSED_FORM * form.log_prob.abs().max(1.0) + answer.error_bound;
                            Finding::test(answer.value, form.log_prob, rounding, noise)
                                .vouched(answer.error_bound, form.log_prob.abs())
                                .scored(Score::of_estimate(&answer, form.log_prob, 0.0))
                        },
                    )
                }));
            }
        }
        checks
    }
}
