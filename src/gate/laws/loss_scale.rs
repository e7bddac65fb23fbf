//! The unit of the loss.

use super::curvature::{agreement, answer, beyond_range, definition, each, options_for, same, unless_at_a_kink};
use crate::description::Reference;
use crate::flatness::Point;
use crate::gate::finding::Finding;
use crate::gate::law::{Check, Context, Law, Scope};
use crate::model::Objective;

/// The loss may be measured in another unit.
pub(super) struct LossScale;

/// Not a power of two, so that every rounding is seen.
const LOSS_SCALE: f64 = 0.37;

impl Law for LossScale {
    fn id(&self) -> &'static str {
        "curvature.loss_scale"
    }

    fn statement(&self) -> &'static str {
        "for 0.37 times the loss, and options in its unit, the measure is what its definition says: 0.37 times itself for a \
         measure of curvature or sharpness"
    }

    fn formula(&self) -> &'static str {
        "m[c L](theta) = c m[L](theta) for measures of curvature and sharpness, others as they state, c = 0.37"
    }

    fn tolerance(&self) -> String {
        agreement()
    }

    fn catches(&self) -> &'static str {
        "a scale of the loss that is dropped, thresholds in absolute units"
    }

    fn sources(&self) -> &'static [Reference] {
        &[]
    }

    fn scope(&self) -> Scope {
        Scope::Generic
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        let most = context.by_tier(3, 8);
        let names: Vec<&String> = context.flatness_cases.iter().take(most).map(|case| &case.name).collect();
        let all = each(
            context,
            |_| true,
            |measure, case, draws| {
                if !measure.knows_loss_scale() {
                    return Finding::not_owed("the protocol of commands has no scale of the loss");
                }
                let dense = case.dense();
                if let Some(finding) = beyond_range(&dense) {
                    return finding;
                }
                let options = options_for(measure, std::slice::from_ref(&dense), draws.seed);
                let point = Point::new(case.objective(), &case.network.theta);
                let scaled = Objective { scale: LOSS_SCALE, ..case.objective() };
                let in_unit = options.at_loss_scale(LOSS_SCALE);
                let measured = answer(measure.evaluate(&Point::new(scaled, &case.network.theta), &in_unit));
                let expected = answer(measure.evaluate(&point, &options)).map(|mut estimate| {
                    let to = |value| definition(measure).at_loss_scale(value, LOSS_SCALE, &point, &options);
                    // An affine map of the value, so its slope is that of the errors.
                    let slope = to(1.0 + estimate.value) - to(estimate.value);
                    estimate.value = to(estimate.value);
                    estimate.std_error = estimate.std_error.map(|error| slope.abs() * error);
                    estimate.error_bound *= slope.abs();
                    estimate
                });
                let summands = definition(measure).summands(&dense, &options);
                let finding = same(measured, expected, summands, measure.dtype());
                unless_at_a_kink(finding, case, measure.dtype())
            },
        );
        all.into_iter().filter(|check| names.contains(&&check.case)).collect()
    }
}
