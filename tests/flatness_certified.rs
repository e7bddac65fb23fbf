//! Flatness measures against values from PyTorch's dense float64 autograd (`golden/flatness`), before and
//! after layer scaling by 5.9.

mod common;

use approx::assert_relative_eq;
use common::golden::Trained;
use common::tier::by_tier;
use flatgauge::flatness::curvature::{Block, GaussNewton, Hessian, diagonal, gauss_newton_spectrum};
use flatgauge::flatness::lanczos::{End, Lanczos};
use flatgauge::flatness::{self, DensePoint, Options, Point, Response};
use flatgauge::numeric::InfoValue;
use flatgauge::rescale::{Action, LayerAlpha, Rescaling};

/// Two float64 programs that add the same few hundred products in different orders, and eigenvalues whose
/// residual is below `1e-10`.
const AGREEMENT: f64 = 1e-9;

type Case = Trained;

fn cases() -> Vec<Case> {
    Trained::fully_connected()
}

impl Case {
    /// The reference's settings.
    fn options(&self) -> Options {
        Options { log_det_shift: self.number("log_det_shift"), ..Options::default() }
    }

    /// Value after rescaling: certified, or the one before where the measure is invariant.
    fn rescaled(&self, id: &str, key: &str) -> Option<f64> {
        match flatness::find(id).unwrap().responses().layer_scaling {
            Response::Invariant => Some(self.number(key)),
            _ => self.record[format!("rescaled_{key}")].as_f64(),
        }
    }

    /// The reference's rescaling, where it gives one: it does so where the function is preserved.
    fn action(&self) -> Option<Action> {
        let alpha = self.record["rescaled_alpha"].as_f64()?;
        Some(LayerAlpha { layer: 0, alpha }.action(self.network.model()).unwrap())
    }
}

fn measure(id: &str, point: &Point, options: &Options) -> f64 {
    flatness::find(id).unwrap().evaluate(point, options).unwrap().value
}

/// Measures with certified values and their keys there.
const CERTIFIED: [(&str, &str); 9] = [
    ("hessian_trace", "hessian_trace"),
    ("hessian_max_eigenvalue", "hessian_max_eigenvalue"),
    ("hessian_spectral_norm", "hessian_spectral_norm"),
    ("hessian_frobenius", "hessian_frobenius"),
    ("hessian_log_det", "log_det_shifted"),
    ("hessian_log_product", "hessian_log_product"),
    ("filter_weighted_trace", "filter_weighted_trace"),
    ("relative_flatness", "relative_flatness_output_layer"),
    ("fisher_rao", "fisher_rao"),
];

#[test]
fn estimators_agree_with_pytorch() {
    for case in cases() {
        let objective = case.objective(&case.network);
        let point = Point::new(objective, case.network.theta());
        for (id, key) in CERTIFIED {
            println!("{} {id}", case.name());
            assert_relative_eq!(measure(id, &point, &case.options()), case.number(key), max_relative = AGREEMENT);
        }
        // Fewer than a thousand parameters: the dense Hessian unless that is forbidden.
        let lanczos = Options { dense_limit: 0, ..case.options() };
        let value = measure("hessian_log_product", &point, &lanczos);
        assert_relative_eq!(value, case.number("hessian_log_product"), max_relative = AGREEMENT);
    }
}

#[test]
fn layers_agree_with_pytorch() {
    for case in cases() {
        let point = Point::new(case.objective(&case.network), case.network.theta());
        let estimate = flatness::find("hessian_trace").unwrap().evaluate(&point, &Options::default()).unwrap();
        let Some(InfoValue::Reals(traces)) = estimate.info.get("tensor_traces") else { panic!("no traces") };
        let expected = case.record["block_traces"].as_object().unwrap();
        assert_eq!(traces.len(), expected.len());
        for (index, trace) in traces.iter().enumerate() {
            assert_relative_eq!(*trace, expected[&index.to_string()].as_f64().unwrap(), max_relative = AGREEMENT);
        }
        // The weights' blocks alone, each as an operator, and their squared norms.
        let mut normalised = 0.0;
        for (tensor, trace) in case.network.model().tensors().iter().zip(traces) {
            let operator = Block { operator: Hessian(&point.linearisation), range: tensor.range.clone() };
            assert_relative_eq!(diagonal(&operator).iter().sum::<f64>(), *trace, max_relative = AGREEMENT);
            if tensor.name.ends_with("weight") {
                normalised += case.network.theta()[tensor.range.clone()].iter().map(|w| w * w).sum::<f64>() * trace;
            }
        }
        let value = measure("layer_normalised_trace", &point, &Options::default());
        assert_relative_eq!(value, normalised, max_relative = AGREEMENT);
    }
}

#[test]
fn outer_eigenvalues_agree_with_pytorch() {
    for case in cases() {
        let point = Point::new(case.objective(&case.network), case.network.theta());
        let expected: Vec<f64> = serde_json::from_value(case.record["hessian_top10"].clone()).unwrap();
        let found = Lanczos::default().extreme(&Hessian(&point.linearisation), End::Largest, 10).unwrap();
        for (pair, expected) in found.pairs.iter().zip(&expected) {
            assert_relative_eq!(pair.value, *expected, max_relative = AGREEMENT);
            assert!(pair.residual <= AGREEMENT * pair.value.abs());
        }
        let found = Lanczos::default().extreme(&Hessian(&point.linearisation), End::Smallest, 1).unwrap();
        assert_relative_eq!(found.pairs[0].value, case.number("hessian_min_eigenvalue"), max_relative = AGREEMENT);
    }
}

#[test]
fn the_gauss_newton_spectrum_agrees_with_pytorch() {
    for case in cases() {
        let point = Point::new(case.objective(&case.network), case.network.theta());
        let spectrum = gauss_newton_spectrum(&point.linearisation);
        let top = *spectrum.last().unwrap();
        assert_relative_eq!(top, case.number("ggn_max_eigenvalue"), max_relative = AGREEMENT);
        assert_relative_eq!(spectrum.iter().sum::<f64>(), case.number("ggn_trace"), max_relative = AGREEMENT);
        let frobenius = spectrum.iter().map(|value| value * value).sum::<f64>().sqrt();
        assert_relative_eq!(frobenius, case.number("ggn_frobenius"), max_relative = AGREEMENT);
        let lanczos = Lanczos::default().extreme(&GaussNewton(&point.linearisation), End::Largest, 1).unwrap();
        assert_relative_eq!(lanczos.pairs[0].value, top, max_relative = AGREEMENT);
    }
}

#[test]
fn rescaled_values_agree_with_pytorch_when_evaluated_there_and_when_predicted() {
    let mut rescaled = 0;
    for case in cases() {
        let Some(action) = case.action() else { continue };
        rescaled += 1;
        let network = case.network.with_theta(action.apply(case.network.theta()));
        let there = Point::new(case.objective(&network), network.theta());
        let here = Point::new(case.objective(&case.network), case.network.theta());
        for (id, key) in CERTIFIED {
            println!("{} {id}", case.name());
            let Some(expected) = case.rescaled(id, key) else { continue };
            assert_relative_eq!(measure(id, &there, &case.options()), expected, max_relative = AGREEMENT);
            let measure = flatness::find(id).unwrap();
            let predicted = measure.predict(&here, &action, &case.options()).unwrap().unwrap();
            assert_relative_eq!(predicted.value, expected, max_relative = AGREEMENT);
        }
    }
    assert_eq!(rescaled, 3, "the ReLU networks");
}

#[test]
fn the_dense_definitions_agree_with_pytorch_before_and_after_transport() {
    // Every second network at the quick tier of the tests: a dense Hessian takes a pass through scalars for each parameter.
    for case in cases().into_iter().step_by(by_tier(2, 1)) {
        let dense = DensePoint::new(case.objective(&case.network), case.network.theta());
        let transported = case.action().map(|action| dense.transported(&action));
        for (id, key) in CERTIFIED {
            println!("{} {id}", case.name());
            let measure = flatness::find(id).unwrap();
            let value = measure.on_dense(&dense, &case.options()).unwrap();
            assert_relative_eq!(value, case.number(key), max_relative = AGREEMENT);
            if let (Some(transported), Some(expected)) = (&transported, case.rescaled(id, key)) {
                let value = measure.on_dense(transported, &case.options()).unwrap();
                assert_relative_eq!(value, expected, max_relative = AGREEMENT);
            }
        }
    }
}

#[test]
fn sharpness_is_what_was_predicted_from_the_transported_box() {
    let sharpness = flatness::find("keskar_sharpness").unwrap();
    for case in cases() {
        let Some(action) = case.action() else { continue };
        let network = case.network.with_theta(action.apply(case.network.theta()));
        let there = Point::new(case.objective(&network), network.theta());
        let here = Point::new(case.objective(&case.network), case.network.theta());
        for eps in [0.0, 1e-4, 1e-2] {
            let options = Options { box_radius: eps, ..Options::default() };
            let before = sharpness.evaluate(&here, &options).unwrap().value;
            let after = sharpness.evaluate(&there, &options).unwrap().value;
            let predicted = sharpness.predict(&here, &action, &options).unwrap().unwrap().value;
            assert_relative_eq!(after, predicted, max_relative = AGREEMENT, epsilon = 1e-12);
            assert_eq!(before == 0.0, eps == 0.0);
            if eps > 0.0 {
                assert!((after / before - 1.0).abs() > 0.1, "{}: {before} did not change", case.name());
            }
        }
    }
}
