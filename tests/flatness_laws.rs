//! Laws of flatness measures that the gate does not ask: other options than the default ones, the order of the data, the
//! radius of a box. Those that it asks are held on drawn networks in laws.rs.

mod common;

use common::drawn::networks;
use common::tier::by_tier;
use flatgauge::flatness::options::Norm;
use flatgauge::flatness::{self, DensePoint, FlatnessError, Measure, Options, Point, Response};
use flatgauge::gate::FlatnessCase;
use flatgauge::numeric::Streams;
use flatgauge::numeric::linalg::symmetric_eigenvalues;
use flatgauge::numeric::tolerance::CURVATURE_AGREEMENT;
use flatgauge::rescale::{self, LayerAlpha, Rescaling};
use ndarray::Axis;
use rand::seq::SliceRandom;
use std::collections::BTreeMap;

/// Of rescalings and orders; cases have their own.
const SEED: u64 = 1;

/// The same data in other rows.
fn with_rows(case: &FlatnessCase, rows: &[usize]) -> FlatnessCase {
    let (inputs, targets) = (case.inputs.select(Axis(0), rows), case.targets.select(Axis(0), rows));
    FlatnessCase::new(case.name.clone(), case.network.clone(), case.loss, inputs, targets)
}

fn at(case: &FlatnessCase, theta: Vec<f64>) -> FlatnessCase {
    let network = case.network.with_theta(theta);
    FlatnessCase::new(case.name.clone(), network, case.loss, case.inputs.clone(), case.targets.clone())
}

fn point(case: &FlatnessCase) -> Point<'_> {
    Point::new(case.objective(), case.network.theta())
}

/// The value, or `None` where the measure does not apply.
fn value(case: &FlatnessCase, measure: &dyn Measure, options: &Options) -> Option<f64> {
    applicable(measure.evaluate(&point(case), options))
}

fn applicable(result: Result<flatgauge::numeric::Estimate, FlatnessError>) -> Option<f64> {
    match result {
        Ok(estimate) => {
            assert!(estimate.value.is_finite(), "{}", estimate.value);
            Some(estimate.value)
        }
        Err(FlatnessError::NotApplicable { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Settings at which every measure is quick.
fn options() -> Options {
    Options {
        log_det_shift: 2.0,
        eigenvalue_count: 1,
        perturbation_count: 16,
        epochs: 10,
        chain_count: 2,
        chain_length: 6,
        ..Options::default()
    }
}

fn close(found: f64, expected: f64, tolerance: f64) -> bool {
    (found - expected).abs() <= tolerance * expected.abs()
}

/// Both close, or the measure applies to neither.
fn both_close(found: Option<f64>, expected: Option<f64>, tolerance: f64) -> bool {
    match (found, expected) {
        (Some(found), Some(expected)) => close(found, expected, tolerance),
        (found, expected) => found.is_none() && expected.is_none(),
    }
}

/// The local learning coefficient follows chaotic chains: its laws are statistical and have a test of their own.
fn is_chain(measure: &dyn Measure) -> bool {
    measure.id() == "local_learning_coefficient"
}

#[test]
fn adaptive_sharpness_and_other_layers_with_settings_of_their_own() {
    for here in networks(3, 40) {
        let composition = rescale::find("composition").unwrap();
        let Ok(map) = composition.draw(here.network.model(), 1e3, Streams::new(SEED)) else { continue };
        let action = map.action(here.network.model()).unwrap();
        let there = at(&here, action.apply(here.network.theta()));
        let infinity = Options { norm: Norm::Infinity, adaptive_radius: 0.01, ..options() };
        let mut settings = vec![("adaptive_sharpness", infinity)];
        settings.extend(
            (0..here.network.model().parametrised_layer_count())
                .map(|layer| ("relative_flatness", Options { layer: Some(layer), ..options() })),
        );
        for (id, options) in settings {
            let measure = flatness::find(id).unwrap();
            let predicted = applicable(measure.predict(&point(&here), &action, &options).unwrap());
            let found = value(&there, measure, &options);
            assert!(both_close(found, predicted, CURVATURE_AGREEMENT), "{id}: {found:?}, predicted {predicted:?}");
        }
    }
}

/// The table of responses is true: what is marked invariant stays, what is marked 'changes' moves, by a factor that
/// `curvature.covariance` predicts. (Statistical ones deal the same draws to permuted parameters.)
#[test]
fn responses_are_as_stated_and_have_power() {
    let mut moved = BTreeMap::<(&str, &str), (usize, usize)>::new();
    for here in networks(4, 150).into_iter().filter(|case| case.network.model().is_piecewise_linear()) {
        // Where all hidden units are off on all data there is no curvature to move.
        let first = here.network.model().tensors().iter().filter(|tensor| tensor.layer == 0);
        let dense = here.dense();
        if first.flat_map(|tensor| tensor.range.clone()).all(|index| dense.hessian[[index, index]] == 0.0) {
            continue;
        }
        let drawn = |id: &str, range: f64| {
            rescale::find(id).unwrap().draw(here.network.model(), range, Streams::new(SEED)).unwrap()
        };
        let maps: [(&str, Box<dyn Rescaling>); 3] = [
            ("layer", Box::new(LayerAlpha { layer: 0, alpha: 5.9 })),
            ("neuron", drawn("neuron_scaling", 5.9)),
            ("permutation", drawn("permutation", 1.0)),
        ];
        for (family, map) in &maps {
            let there = at(&here, map.action(here.network.model()).unwrap().apply(here.network.theta()));
            for measure in flatness::registry() {
                let responses = measure.responses();
                let response = match *family {
                    "layer" => responses.layer_scaling,
                    "neuron" => responses.neuron_scaling,
                    _ => responses.permutation,
                };
                if response == Response::Statistical {
                    continue;
                }
                let (Some(before), Some(after)) =
                    (value(&here, *measure, &options()), value(&there, *measure, &options()))
                else {
                    continue;
                };
                let stays = close(after, before, CURVATURE_AGREEMENT);
                if response == Response::Invariant {
                    assert!(stays, "{} under {}: {before} became {after}", measure.id(), map.describe());
                } else {
                    let entry = moved.entry((*family, measure.id())).or_insert((0, 0));
                    entry.0 += usize::from(!close(after, before, 1000.0 * CURVATURE_AGREEMENT));
                    entry.1 += 1;
                }
            }
        }
    }
    for ((family, id), (moved, all)) in &moved {
        println!("{id} under {family} scaling: moved in {moved} of {all}");
        // Or it is little beside c.
        let share = if *id == "hessian_log_det" { 0.8 } else { 0.9 };
        assert!(*moved as f64 >= share * *all as f64, "{id} under {family} scaling moved in {moved} of {all}");
    }
}

#[test]
fn order_and_copies_of_the_data_change_nothing() {
    for here in networks(6, by_tier(15, 30)) {
        let n = here.inputs.nrows();
        let mut shuffled: Vec<usize> = (0..n).collect();
        shuffled.shuffle(&mut Streams::new(SEED).stream("rows", 0));
        // 30 copies run over several batches of the passes; the original is one batch.
        let variants = [
            ("another order", with_rows(&here, &shuffled)),
            ("two copies", with_rows(&here, &[shuffled.clone(), shuffled.clone()].concat())),
            ("30 copies", with_rows(&here, &(0..30 * n).map(|row| row % n).collect::<Vec<_>>())),
        ];
        // SGD sees the order of samples, unless all are one mini-batch; the learning coefficient counts them.
        let options = Options { batch_size: 30 * n, ..options() };
        for measure in flatness::registry().iter().filter(|measure| !is_chain(**measure)) {
            let expected = value(&here, *measure, &options);
            for (variant, there) in &variants {
                let found = value(there, *measure, &options);
                assert!(
                    both_close(found, expected, CURVATURE_AGREEMENT),
                    "{} of {variant}: {found:?}, was {expected:?}",
                    measure.id()
                );
            }
        }
    }
}

#[test]
fn sharpness_starts_at_zero_and_grows_with_its_radius() {
    for here in networks(7, 40) {
        for id in ["keskar_sharpness", "adaptive_sharpness"] {
            let measure = flatness::find(id).unwrap();
            let mut last = 0.0;
            for radius in [0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 3e-2] {
                for p in [Norm::Two, Norm::Infinity] {
                    let options = Options { box_radius: radius, adaptive_radius: radius, norm: p, ..options() };
                    let value = value(&here, measure, &options).unwrap();
                    assert!(value >= 0.0);
                    assert!(radius > 0.0 || value == 0.0, "{id} at radius 0 is {value}");
                    if p == Norm::Infinity {
                        assert!(value >= last, "{id} fell from {last} to {value} at radius {radius}");
                        last = value;
                    }
                }
            }
            assert!(last > 0.0, "{id} never left 0");
        }
    }
}

/// Rescaling by factors of up to ten keeps several eigenvalues in reach of one another.
#[test]
fn the_log_product_has_its_definition_for_every_k_and_says_where_it_has_none() {
    let measure = flatness::find("hessian_log_product").unwrap();
    let (mut defined, mut refused) = (0, 0);
    for here in networks(8, 40) {
        let dense = DensePoint::new(here.objective(), here.network.theta());
        for kind in rescale::registry() {
            let Ok(map) = kind.draw(here.network.model(), 10.0, Streams::new(SEED)) else { continue };
            let action = map.action(here.network.model()).unwrap();
            let there = at(&here, action.apply(here.network.theta()));
            let (there_point, dense) =
                (Point::new(there.objective(), there.network.theta()), dense.transported(&action));
            let mut eigenvalues = symmetric_eigenvalues(dense.hessian.view());
            eigenvalues.reverse();
            let n = eigenvalues.len();
            for k in [1, 2, 3, 5, 8, 13, n, n + 1] {
                let options = Options { eigenvalue_count: k, ..options() };
                // By Lanczos as well as densely.
                let lanczos = Options { dense_limit: 0, ..options.clone() };
                let found = [&options, &lanczos].map(|options| measure.evaluate(&there_point, options));
                let predicted =
                    [&options, &lanczos].map(|options| measure.predict(&point(&here), &action, options).unwrap());
                let answers = found.into_iter().chain(predicted);
                match eigenvalues.get(k - 1) {
                    // Nearer to 0 rounding decides whether it is positive.
                    Some(last) if *last >= 1e-6 * eigenvalues[0] => {
                        let expected = measure.on_dense(&dense, &options).unwrap();
                        let by_hand: f64 = eigenvalues[..k].iter().map(|value| value.ln()).sum();
                        // Each eigenvalue carries some roundings of the largest, of which a logarithm sees the share.
                        let rounding: f64 = eigenvalues[..k].iter().map(|value| eigenvalues[0] / value).sum();
                        let tolerance =
                            10.0 * n as f64 * f64::EPSILON * rounding + CURVATURE_AGREEMENT * expected.abs();
                        for value in answers.map(|answer| answer.unwrap().value).chain([by_hand]) {
                            assert!((value - expected).abs() <= tolerance, "k {k}: {value}, defined {expected}");
                        }
                        defined += usize::from(k > 1);
                    }
                    Some(last) if *last > -1e-6 * eigenvalues[0] => {}
                    negative_or_missing => {
                        for result in answers {
                            let Err(FlatnessError::NotApplicable { reason, .. }) = result else {
                                panic!("k {k} of {n}: {result:?}")
                            };
                            let says = if negative_or_missing.is_some() { "are positive" } else { "eigenvalues, k is" };
                            assert!(reason.contains(says) && reason.contains(&format!("k is {k}")), "{reason}");
                        }
                        assert!(measure.on_dense(&dense, &options).is_none());
                        refused += 1;
                    }
                }
            }
        }
    }
    println!("{defined} products of several factors, {refused} refusals");
    assert!(defined >= 200 && refused >= 100, "{defined} products of several factors, {refused} refusals");
    let case = &networks(8, 1)[0];
    let none = measure.evaluate(&point(case), &Options { eigenvalue_count: 0, ..options() });
    assert_eq!(none.unwrap_err().to_string(), "hessian_log_product: eigenvalue_count is 0, expected at least 1");
}
