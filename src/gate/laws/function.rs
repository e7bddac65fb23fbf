//! Laws of the function: rescalings leave it as it is.

use crate::description::{Reference, references};
use crate::gate::cases::FlatnessCase;
use crate::gate::finding::Finding;
use crate::gate::law::{Check, Context, Law, Scope};
use crate::rescale::{self, LayerAlpha, Rescaling, logit_rounding_bound};
use std::sync::Arc;

/// Scaling by a power of two changes no bit.
pub(super) struct PowerOfTwo;

impl Law for PowerOfTwo {
    fn id(&self) -> &'static str {
        "function.power_of_two"
    }

    fn statement(&self) -> &'static str {
        "layer scaling by alpha = 2^k leaves every logit bit-identical"
    }

    fn formula(&self) -> &'static str {
        "f(x; D theta) = f(x; theta) to the bit, D: (W_l, b_l) / 2^k, W_(l+1) 2^k, k in {-20, -3, 1, 7}"
    }

    fn tolerance(&self) -> String {
        "none: bits are compared".to_owned()
    }

    fn catches(&self) -> &'static str {
        "a rescaling that forgets a bias or scales the wrong layer; a forward pass that is not homogeneous"
    }

    fn sources(&self) -> &'static [Reference] {
        &[references::DINH_2017]
    }

    fn scope(&self) -> Scope {
        Scope::Every
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        each_case(context, |case| {
            let logits = case.network.logits(case.inputs.view());
            let exponents = [-20, -3, 1, 7];
            Finding::worst(exponents.into_iter().map(|exponent| {
                let alpha = 2_f64.powi(exponent);
                let action = match (LayerAlpha { layer: 0, alpha }).action(&case.network.model) {
                    Ok(action) => action,
                    Err(error) => return Finding::skip(error.to_string()),
                };
                let rescaled = case.network.with_theta(action.apply(&case.network.theta));
                let moved = (rescaled.logits(case.inputs.view()).iter().zip(&logits))
                    .filter(|(after, before)| after.to_bits() != before.to_bits())
                    .count();
                Finding::compare(moved as f64, 0.0, 0.0)
            }))
        })
    }
}

/// Any function-preserving map moves logits by rounding only.
pub(super) struct RoundingBound;

impl Law for RoundingBound {
    fn id(&self) -> &'static str {
        "function.rounding_bound"
    }

    fn statement(&self) -> &'static str {
        "a rescaling moves each logit by at most its rounding bound"
    }

    fn formula(&self) -> &'static str {
        "|f_i(x; D theta) - f_i(x; theta)| <= 2 gamma_m f_i(|x|; |theta|), gamma_m = m u / (1 - m u)"
    }

    fn tolerance(&self) -> String {
        "the bound itself, from the number m of roundings on a path from input to output and u = 2^-53".to_owned()
    }

    fn catches(&self) -> &'static str {
        "a map that changes the function, however little"
    }

    fn sources(&self) -> &'static [Reference] {
        &[references::DINH_2017]
    }

    fn scope(&self) -> Scope {
        Scope::Every
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        let seed = context.seed;
        each_case(context, move |case| {
            let Some(bound) = logit_rounding_bound(&case.network, case.inputs.view()) else {
                return Finding::skip("no rounding bound is known for this activation");
            };
            let logits = case.network.logits(case.inputs.view());
            let streams = crate::numeric::Streams::new(seed).child(&case.name, 1);
            let mut findings = Vec::new();
            for kind in rescale::registry() {
                for draw in 0..4 {
                    let Ok(map) = kind.draw(&case.network.model, 1e3, streams.child(kind.id(), draw)) else { continue };
                    let action = map.action(&case.network.model).expect("drawn for this model");
                    let rescaled = case.network.with_theta(action.apply(&case.network.theta));
                    let after = rescaled.logits(case.inputs.view());
                    // The largest movement in units of its bound. Where all terms are 0, so is the bound, and nothing moves.
                    let ratio = (after.iter().zip(&logits).zip(&bound))
                        .map(
                            |((after, before), bound)| {
                                if after == before { 0.0 } else { (after - before).abs() / bound }
                            },
                        )
                        .fold(0.0, |top: f64, ratio| if ratio > top || ratio.is_nan() { ratio } else { top });
                    findings.push(Finding::at_most(ratio, 1.0, &format!("movement over bound, {}", map.describe())));
                }
            }
            if findings.is_empty() {
                return Finding::skip("no rescaling preserves this network's function");
            }
            Finding::worst(findings)
        })
    }
}

fn each_case<'a>(context: &Context<'a>, run: impl Fn(&FlatnessCase) -> Finding + Send + Sync + 'a) -> Vec<Check<'a>> {
    if !context.is_built_in {
        return Vec::new();
    }
    let run = Arc::new(run);
    (0..context.flatness_cases.len())
        .map(|index| {
            let (cases, run) = (Arc::clone(&context.flatness_cases), Arc::clone(&run));
            Check::new("network", context.flatness_cases[index].name.clone(), move |_| run(&cases[index]))
        })
        .collect()
}
