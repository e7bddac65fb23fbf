//! Sharpness over a box as Zhang et al. 2021 compute it.

use crate::description::{Description, references};
use crate::flatness::keskar_sharpness::{rise_at_loss_scale, sharpness};
use crate::flatness::options::AscentKind;
use crate::flatness::place::Place;
use crate::flatness::{FlatnessError, Measure, Options, Point, Responses};
use crate::numeric::Estimate;
use crate::numeric::linalg::norm;
use crate::rescale::Action;

/// `100 (max_t L(theta_t) - L(theta)) / (1 + L(theta))`, in percent, the maximum over the points `theta_t` that
/// stochastic gradient ascent with a fixed rate, number of epochs and batch size visits
/// ([`SgdAscent`](crate::flatness::ascent::SgdAscent)), clipped to `|d_i| <= eps (|theta_i| + 1)` after every step.
///
/// This is the number of the paper (arXiv 2103.06219, after its program) and no estimate of the maximum over the box:
/// where gradients are small the ascent ends far below it, so that it measures the size of the gradient as much as the
/// shape of the loss. `keskar_sharpness` is the better bound of that maximum, at least as large.
///
/// It depends on the order of the rows. A permutation of hidden units does not change it (but for rounding). A
/// rescaling changes it in two ways, by the box and by the metric in which a step is steepest; both are known, so its
/// value is predicted, though in no closed form: the prediction climbs from `theta` in the transported box with the
/// transported step. It is no function of the curvature, so there is no dense definition; another program's ascent
/// stands in for it (`golden/flatness/ascent.json`).
pub(super) struct KeskarSharpnessSgd;

impl KeskarSharpnessSgd {
    fn at(&self, place: &Place, options: &Options) -> Result<Estimate, FlatnessError> {
        let alone = Options { ascents: vec![AscentKind::Sgd], ..options.clone() };
        let mut estimate = sharpness(self.id(), place, &alone)?;
        estimate.info.set("learning_rate", options.learning_rate);
        estimate.info.set("epochs", options.epochs);
        estimate.info.set("batch_size", options.batch_size);
        Ok(estimate)
    }
}

impl Measure for KeskarSharpnessSgd {
    fn id(&self) -> &'static str {
        "keskar_sharpness_sgd"
    }

    fn summary(&self) -> &'static str {
        "rise of the loss along stochastic gradient ascent within the box of keskar_sharpness, in percent"
    }

    fn source(&self) -> &'static str {
        "Zhang et al. 2021"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "100 (max_t L(theta_t) - L(theta)) / (1 + L(theta)), theta_t visited by stochastic gradient ascent clipped to |d_i| <= box_radius (|theta_i| + 1)",
            notes: "The number of the published program, which takes the rows in their order. It is no estimate of the maximum over the box: where gradients are small the ascent ends far below it.",
            unit: "percent",
            use_for: "comparing with the numbers of Zhang et al. 2021",
            not_for: "the maximum over the box, which is what `keskar_sharpness` bounds",
            cost: "no products; `epochs` passes of mini-batch gradients, and the loss of all samples after every step",
            options: &["box_radius", "learning_rate", "epochs", "batch_size"],
            refuses: "`box_radius` below 0; a `learning_rate` of 0 or below; `epochs` or `batch_size` of 0; a loss that is not finite",
            sources: &[references::ZHANG_2021, references::KESKAR_2017],
        })
    }

    fn responses(&self) -> Responses {
        Responses::OF_CURVATURE
    }

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        self.at(&Place::at(point), options)
    }

    fn predict(&self, point: &Point, action: &Action, options: &Options) -> Option<Result<Estimate, FlatnessError>> {
        if norm(point.linearisation.gradient()) == 0.0 {
            // At theta it never sets off; elsewhere rounding of the gradient decides whether it does, and where to.
            let reason = "the gradient is 0, and the ascent starts from its rounding".to_owned();
            return Some(Err(FlatnessError::NotApplicable { measure: self.id(), reason }));
        }
        Some(self.at(&Place::transported(point, action), options))
    }

    fn at_loss_scale(&self, value: f64, factor: f64, point: &Point, _options: &Options) -> f64 {
        rise_at_loss_scale(value, factor, point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flatness::find;
    use crate::model::{Activation, Architecture, Loss, Model, Network, Objective};
    use crate::numeric::{InfoValue, Streams};
    use ndarray::Array2;
    use std::sync::Arc;

    /// 40 rows, so that the default mini-batches are 32 and 8.
    fn with_point(check: impl Fn(&Point)) {
        let inputs = Array2::from_shape_fn((40, 3), |(i, j)| ((7 * i + 3 * j) % 11) as f64 / 5.0 - 1.0);
        let targets = Array2::from_shape_fn((40, 1), |(i, _)| f64::from(u8::from(i % 3 == 0)));
        let architecture = Architecture::fully_connected(&[3, 5, 1], Activation::Relu, 1.4, 1.0);
        let network = Network::sample(Arc::new(Model::new(architecture).unwrap()), Streams::new(3));
        let objective = Objective::new(&network, Loss::Bce, inputs.view(), targets.view()).unwrap();
        check(&Point::new(objective, &network.theta));
    }

    fn value(id: &str, point: &Point, options: &Options) -> f64 {
        find(id).unwrap().evaluate(point, options).unwrap().value
    }

    #[test]
    fn it_is_the_sgd_value_of_the_best_ascent_and_no_larger_than_that() {
        with_point(|point| {
            for (eps, rate) in [(1e-4, 1e-3), (1e-2, 1e-3), (1e-2, 1e-1)] {
                let options = Options { box_radius: eps, learning_rate: rate, epochs: 5, ..Options::default() };
                let alone = value("keskar_sharpness_sgd", point, &options);
                let best = find("keskar_sharpness").unwrap().evaluate(point, &options).unwrap();
                assert_eq!(best.info.get("sgd_value"), Some(&InfoValue::Real(alone)));
                assert!(alone > 0.0 && alone <= best.value);
            }
        });
    }

    #[test]
    fn rate_epochs_and_batch_each_count() {
        with_point(|point| {
            let defaults = Options { epochs: 2, ..Options::default() };
            let changes = [
                Options { learning_rate: 2e-5, ..defaults.clone() },
                Options { epochs: 1, learning_rate: 1e-5, ..defaults.clone() },
                Options { epochs: 2, learning_rate: 1e-5, ..defaults.clone() },
                Options { batch_size: 40, learning_rate: 1e-5, ..defaults.clone() },
            ];
            let mut values: Vec<f64> = changes.iter().map(|o| value("keskar_sharpness_sgd", point, o)).collect();
            values.sort_by(f64::total_cmp);
            assert!(values.windows(2).all(|pair| pair[1] > pair[0] * (1.0 + 1e-6)), "{values:?}");
        });
    }

    #[test]
    fn an_empty_box_is_flat() {
        with_point(|point| {
            assert_eq!(value("keskar_sharpness_sgd", point, &Options { box_radius: 0.0, ..Options::default() }), 0.0)
        });
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        with_point(|point| {
            let defaults = Options::default();
            for (name, options) in [
                ("learning_rate", Options { learning_rate: 0.0, ..defaults.clone() }),
                ("learning_rate", Options { learning_rate: f64::NAN, ..defaults.clone() }),
                ("learning_rate", Options { learning_rate: f64::INFINITY, ..defaults.clone() }),
                ("epochs", Options { epochs: 0, ..defaults.clone() }),
                ("batch_size", Options { batch_size: 0, ..defaults.clone() }),
                ("box_radius", Options { box_radius: -1.0, ..defaults.clone() }),
            ] {
                for id in ["keskar_sharpness_sgd", "keskar_sharpness"] {
                    let error = find(id).unwrap().evaluate(point, &options).unwrap_err().to_string();
                    assert!(error.starts_with(&format!("{id}: {name} is")), "{error}");
                }
            }
            // An ascent that is not asked for has no settings.
            let without = Options { learning_rate: 0.0, ascents: vec![AscentKind::Sign], ..defaults };
            assert!(find("keskar_sharpness").unwrap().evaluate(point, &without).is_ok());
        });
    }
}
