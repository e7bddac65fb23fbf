//! Sharpness as a maximum.

use super::curvature::{agreement, beyond_range, constant, definition, each, evaluate, noise, probe, unless_at_a_kink};
use crate::description::{Reference, references};
use crate::flatness::{Measure, Options};
use crate::gate::finding::Finding;
use crate::gate::law::{Check, Context, Law, Scope};

/// A maximum is at least what is found at the points that dense derivatives name.
pub(super) struct Rise;

/// Share of the rise that an ascent may miss: it stops short of a maximum, and a corner beside the best one is lower by
/// twice one slope of many.
const MISSED: f64 = 0.01;

impl Law for Rise {
    fn id(&self) -> &'static str {
        "curvature.rise"
    }

    fn statement(&self) -> &'static str {
        "a sharpness is at least 0.99 of the rise at the corners, or in the directions, that the dense gradient and Hessian \
         point to"
    }

    fn formula(&self) -> &'static str {
        "m(theta) >= 0.99 max over named d of rise(theta + d), d: corners of the box and directions from the dense gradient and Hessian"
    }

    fn tolerance(&self) -> String {
        agreement()
    }

    fn catches(&self) -> &'static str {
        "an ascent that takes a gradient of 0 for a maximum, or stops where it starts"
    }

    fn sources(&self) -> &'static [Reference] {
        &[references::KESKAR_2017, references::KWON_2021]
    }

    fn scope(&self) -> Scope {
        Scope::Generic
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        let covers =
            |measure: &dyn Measure| definition(measure).at_least(&probe().dense(), &Options::default()).is_some();
        each(context, covers, |measure, case, draws| {
            let dense = case.dense();
            if let Some(finding) = beyond_range(&dense) {
                return finding;
            }
            let options = Options { seed: draws.seed, ..Options::default() };
            let Some(bound) = definition(measure).at_least(&dense, &options) else {
                return Finding::skip("no lower bound is known");
            };
            match evaluate(measure, case, &case.network.theta, &options) {
                Ok(measured) => {
                    let summands = definition(measure).summands(&dense, &options);
                    let (rounding, std_error) = noise(&measured, &constant(bound), summands, measure.dtype());
                    let what = "a corner or direction, less what may be missed";
                    let least = (1.0 - MISSED) * bound;
                    let finding = Finding::test_at_most(least, measured.value, rounding, std_error, what);
                    unless_at_a_kink(finding, case, measure.dtype())
                }
                Err(finding) => finding,
            }
        })
    }
}
