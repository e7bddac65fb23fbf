//! Adaptive sharpness (Kwon et al. 2021).

use crate::description::{Description, references};
use crate::flatness::ascent::{Ball, BallAscent, Domain, Lbfgsb, SignAscent};
use crate::flatness::options::{Norm, non_negative};
use crate::flatness::place::Place;
use crate::flatness::{DensePoint, FlatnessError, Measure, Options, Point, Responses, rise};
use crate::numeric::Estimate;
use crate::rescale::Action;

/// `max_{|d / |theta||_p <= rho} L(theta + d) - L(theta)` for `p = 2` or infinity ([`Options::norm`]).
///
/// Parameters that are 0 stay 0; `info` says how many, and it is an error if all are. The maximum is the best that
/// an ascent found, a lower bound. Steps are taken in `d / |theta|`, which no rescaling changes.
pub(super) struct AdaptiveSharpness;

fn sharpness(place: &Place, options: &Options) -> Result<Estimate, FlatnessError> {
    let measure = "adaptive_sharpness";
    let rho = non_negative(measure, "adaptive_radius", options.adaptive_radius)?;
    let (theta, loss) = (place.point.theta(), place.point.linearisation.value());
    if !loss.is_finite() {
        return Err(FlatnessError::NotFinite { measure, what: "the loss", value: loss });
    }
    let zeros = theta.iter().filter(|theta| **theta == 0.0).count();
    if zeros == theta.len() {
        return Err(FlatnessError::NotApplicable {
            measure,
            reason: format!("all {zeros} parameters are 0, so no relative perturbation moves them"),
        });
    }
    // |theta'_i| / |scale_i| is |theta_source_i|: the unit of a coordinate is the same wherever it is seen from.
    let scale: Vec<f64> = theta.iter().map(|theta| theta.abs()).collect();
    let objective = place.point.objective();
    let (peak, ascent) = match options.norm {
        Norm::Two => {
            let ball = Ball { objective, theta, scale: &scale, radius: rho };
            (BallAscent::default().climb(&ball), "projected gradient")
        }
        Norm::Infinity => {
            let radii: Vec<f64> = scale.iter().map(|scale| rho * scale).collect();
            let domain = Domain { objective, theta, radii: &radii, metric: &vec![1.0; theta.len()] };
            let (sign, lbfgsb) = (SignAscent::default().climb(&domain), Lbfgsb::default().climb(&domain));
            if lbfgsb.value > sign.value { (lbfgsb, "lbfgsb") } else { (sign, "sign") }
        }
    };
    let info = place
        .info()
        .with("zero_weights", zeros)
        .with("ascent", ascent)
        .with("iterations", peak.iterations)
        .with("converged", peak.converged)
        .with("max_loss", peak.value);
    Ok(Estimate::deterministic((peak.value - loss).max(0.0), info))
}

impl Measure for AdaptiveSharpness {
    fn id(&self) -> &'static str {
        "adaptive_sharpness"
    }

    fn summary(&self) -> &'static str {
        "rise of the loss within a relative distance of the parameters"
    }

    fn source(&self) -> &'static str {
        "Kwon et al. 2021"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "max L(theta + d) - L(theta), |(d_i / |theta_i|)_i|_p <= adaptive_radius, p = norm",
            notes: "Parameters that are 0 stay 0. The maximum is the best that an ascent found, a lower bound.",
            unit: "units of the loss",
            use_for: "a sharpness that rescaling does not change",
            not_for: "networks with many parameters that are 0",
            cost: "no products but at points without slope; some hundred gradients",
            options: &["adaptive_radius", "norm"],
            refuses: "`adaptive_radius` below 0; parameters that are all 0; a loss that is not finite",
            sources: &[references::KWON_2021],
        })
    }

    fn responses(&self) -> Responses {
        Responses::INVARIANT
    }

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        sharpness(&Place::at(point), options)
    }

    fn predict(&self, point: &Point, action: &Action, options: &Options) -> Option<Result<Estimate, FlatnessError>> {
        Some(sharpness(&Place::transported(point, action), options))
    }

    /// The rise is a difference of two losses.
    fn summands(&self, dense: &DensePoint, _options: &Options) -> f64 {
        2.0 * dense.value
    }

    fn at_least(&self, dense: &DensePoint, options: &Options) -> Option<f64> {
        let sizes = |factor: f64| -> Vec<f64> { dense.theta.iter().map(|theta| factor * theta.abs()).collect() };
        Some(match options.norm {
            Norm::Two => rise::over_ball(dense, &sizes(1.0), options.adaptive_radius),
            Norm::Infinity => rise::over_box(dense, &sizes(options.adaptive_radius)),
        })
    }
}
