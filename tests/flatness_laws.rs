//! Laws of flatness measures on drawn networks: what every measure must be after every rescaling, under another
//! unit of loss, and for the same data in another order.
//!
//! Property tests draw architecture, activation, loss, data and rescaling from a fixed seed.

use flatgauge::flatness::options::Norm;
use flatgauge::flatness::{self, DensePoint, FlatnessError, Measure, Options, Point, Response};
use flatgauge::model::{Activation, Architecture, Loss, Model, Network, Objective};
use flatgauge::numeric::Streams;
use flatgauge::numeric::linalg::symmetric_eigenvalues;
use flatgauge::rescale::{self, LayerAlpha, Rescaling};
use ndarray::{Array2, Axis};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Relative agreement of one quantity computed at `theta'` and predicted from `theta`.
const AGREEMENT: f64 = 1e-9;

/// A network with data, drawn from a seed.
#[derive(Debug, Clone)]
struct Case {
    widths: Vec<usize>,
    activation: Activation,
    loss: Loss,
    samples: usize,
    seed: u64,
}

struct Built {
    network: Network,
    loss: Loss,
    inputs: Array2<f64>,
    targets: Array2<f64>,
}

fn cases() -> impl Strategy<Value = Case> {
    let activation = prop_oneof![Just(Activation::Relu), Just(Activation::Tanh), Just(Activation::Erf)];
    let loss = prop_oneof![Just(Loss::Bce), Just(Loss::Ce), Just(Loss::Mse)];
    let hidden = prop::collection::vec(2..6_usize, 1..4);
    (2..5_usize, hidden, 1..4_usize, activation, loss, 5..16_usize, any::<u64>()).prop_map(
        |(inputs, hidden, outputs, activation, loss, samples, seed)| {
            let outputs = match loss {
                Loss::Bce => 1,
                Loss::Ce => outputs + 1,
                _ => outputs,
            };
            let widths = [vec![inputs], hidden, vec![outputs]].concat();
            Case { widths, activation, loss, samples, seed }
        },
    )
}

impl Case {
    fn build(&self) -> Built {
        let streams = Streams::new(self.seed);
        let architecture = Architecture::fully_connected(&self.widths, self.activation, 1.4, 0.5);
        let network = Network::sample(Arc::new(Model::new(architecture).unwrap()), streams);
        let normal = |columns: usize, name: &str| {
            let mut generator = streams.stream(name, 0);
            Array2::from_shape_simple_fn((self.samples, columns), || StandardNormal.sample(&mut generator))
        };
        let outputs = *self.widths.last().unwrap();
        let mut generator = streams.stream("labels", 0);
        let targets = match self.loss {
            Loss::Bce => Array2::from_shape_simple_fn((self.samples, 1), || f64::from(generator.random_range(0..2_u8))),
            Loss::Ce => Array2::from_shape_simple_fn((self.samples, 1), || generator.random_range(0..outputs) as f64),
            _ => normal(outputs, "targets"),
        };
        Built { network, loss: self.loss, inputs: normal(self.widths[0], "inputs"), targets }
    }
}

impl Built {
    fn objective(&self) -> Objective<'_> {
        Objective::new(&self.network, self.loss, self.inputs.view(), self.targets.view()).unwrap()
    }

    fn at(&self, theta: Vec<f64>) -> Self {
        let network = self.network.with_theta(theta);
        Self { network, loss: self.loss, inputs: self.inputs.clone(), targets: self.targets.clone() }
    }

    /// The same data in other rows.
    fn with_rows(&self, rows: &[usize]) -> Self {
        Self {
            network: self.network.clone(),
            loss: self.loss,
            inputs: self.inputs.select(Axis(0), rows),
            targets: self.targets.select(Axis(0), rows),
        }
    }

    /// The value, or `None` where the measure does not apply.
    fn value(&self, measure: &dyn Measure, options: &Options) -> Option<f64> {
        self.value_at_scale(measure, options, 1.0)
    }

    fn value_at_scale(&self, measure: &dyn Measure, options: &Options, scale: f64) -> Option<f64> {
        let objective = self.objective().with_scale(scale);
        applicable(measure.evaluate(&Point::new(objective, &self.network.theta), options))
    }
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

fn run(cases_count: u32, seed: u64, law: impl Fn(Case) -> Result<(), TestCaseError>) {
    let config =
        Config { cases: cases_count, rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&cases(), law);
    if let Err(error) = result {
        panic!("{error}");
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
fn every_measure_is_what_was_predicted_under_every_rescaling() {
    let counts = RefCell::new(BTreeMap::<(&str, &str), usize>::new());
    run(80, 1, |case| {
        let here = case.build();
        let point = Point::new(here.objective(), &here.network.theta);
        for kind in rescale::registry() {
            let streams = Streams::new(case.seed).child(kind.id(), 1);
            // Factors over six decades.
            let Ok(map) = kind.draw(&here.network.model, 1e3, streams) else { continue };
            let action = map.action(&here.network.model).unwrap();
            let there = here.at(action.apply(&here.network.theta));
            for measure in flatness::registry().iter().filter(|measure| !is_chain(**measure)) {
                let predicted = applicable(measure.predict(&point, &action, &options()).unwrap());
                let found = there.value(*measure, &options());
                prop_assert!(
                    both_close(found, predicted, AGREEMENT),
                    "{} under {}: {found:?}, predicted {predicted:?}",
                    measure.id(),
                    map.describe()
                );
                if found.is_some() {
                    *counts.borrow_mut().entry((kind.id(), measure.id())).or_insert(0) += 1;
                }
            }
        }
        Ok(())
    });
    // No pair of a measure and a rescaling went untested. Batch norms have their own test.
    for kind in rescale::registry().iter().filter(|kind| kind.id() != "batch_norm_scale") {
        for measure in flatness::registry().iter().filter(|measure| !is_chain(**measure)) {
            let count = counts.borrow().get(&(kind.id(), measure.id())).copied().unwrap_or(0);
            // A positive definite H + c I is rare once factors of a thousand blow up the Hessian.
            let least = if measure.id() == "hessian_log_det" { 2 } else { 15 };
            assert!(count >= least, "{} under {}: {count} checks", measure.id(), kind.id());
        }
    }
}

#[test]
fn dense_definitions_agree_here_and_transported() {
    let counts = RefCell::new(BTreeMap::<&str, usize>::new());
    run(50, 2, |case| {
        let here = case.build();
        let dense = DensePoint::new(here.objective(), &here.network.theta);
        let mut pairs = vec![(here.at(here.network.theta.clone()), dense.clone())];
        for kind in rescale::registry() {
            let Ok(map) = kind.draw(&here.network.model, 1e3, Streams::new(case.seed)) else { continue };
            let action = map.action(&here.network.model).unwrap();
            pairs.push((here.at(action.apply(&here.network.theta)), dense.transported(&action)));
        }
        for (built, dense) in &pairs {
            for measure in flatness::registry() {
                let Some(expected) = measure.on_dense(dense, &options()) else { continue };
                let found = built.value(*measure, &options());
                prop_assert!(
                    both_close(found, Some(expected), AGREEMENT),
                    "{}: {found:?}, by definition {expected}",
                    measure.id()
                );
                *counts.borrow_mut().entry(measure.id()).or_insert(0) += 1;
            }
        }
        Ok(())
    });
    let defined = [
        "hessian_trace",
        "hessian_max_eigenvalue",
        "hessian_spectral_norm",
        "hessian_frobenius",
        "hessian_log_det",
        "hessian_log_product",
        "spectral_density",
        "layer_normalised_trace",
        "filter_weighted_trace",
        "relative_flatness",
        "fisher_rao",
        "path_norm",
        "parameter_norm",
    ];
    for id in defined {
        let count = counts.borrow().get(id).copied().unwrap_or(0);
        assert!(count >= 25, "{id}: {count} checks");
    }
}

#[test]
fn adaptive_sharpness_and_other_layers_with_settings_of_their_own() {
    run(40, 3, |case| {
        let here = case.build();
        let point = Point::new(here.objective(), &here.network.theta);
        let Ok(map) = rescale::find("composition").unwrap().draw(&here.network.model, 1e3, Streams::new(case.seed))
        else {
            return Ok(());
        };
        let action = map.action(&here.network.model).unwrap();
        let there = here.at(action.apply(&here.network.theta));
        let infinity = Options { norm: Norm::Infinity, adaptive_radius: 0.01, ..options() };
        let mut settings = vec![("adaptive_sharpness", infinity)];
        settings.extend(
            (0..here.network.model.parametrised_layer_count())
                .map(|layer| ("relative_flatness", Options { layer: Some(layer), ..options() })),
        );
        for (id, options) in settings {
            let measure = flatness::find(id).unwrap();
            let predicted = applicable(measure.predict(&point, &action, &options).unwrap());
            let found = there.value(measure, &options);
            prop_assert!(both_close(found, predicted, AGREEMENT), "{id}: {found:?}, predicted {predicted:?}");
        }
        Ok(())
    });
}

/// The table of responses is true: what is marked invariant stays, what is marked 'changes' moves, by a factor that was
/// predicted above. (Statistical ones deal the same draws to permuted parameters.)
#[test]
fn responses_are_as_stated_and_have_power() {
    let moved = RefCell::new(BTreeMap::<(&str, &str), (usize, usize)>::new());
    run(60, 4, |case| {
        let here = Case { activation: Activation::Relu, ..case.clone() }.build();
        let maps: [(&str, Box<dyn Rescaling>); 3] = [
            ("layer", Box::new(LayerAlpha { layer: 0, alpha: 5.9 })),
            (
                "neuron",
                rescale::find("neuron_scaling")
                    .unwrap()
                    .draw(&here.network.model, 5.9, Streams::new(case.seed))
                    .unwrap(),
            ),
            (
                "permutation",
                rescale::find("permutation").unwrap().draw(&here.network.model, 1.0, Streams::new(case.seed)).unwrap(),
            ),
        ];
        for (family, map) in &maps {
            let there = here.at(map.action(&here.network.model).unwrap().apply(&here.network.theta));
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
                let (Some(before), Some(after)) = (here.value(*measure, &options()), there.value(*measure, &options()))
                else {
                    continue;
                };
                let stays = close(after, before, AGREEMENT);
                if response == Response::Invariant {
                    prop_assert!(stays, "{} under {}: {before} became {after}", measure.id(), map.describe());
                } else {
                    let mut moved = moved.borrow_mut();
                    let entry = moved.entry((*family, measure.id())).or_insert((0, 0));
                    entry.0 += usize::from(!close(after, before, 1000.0 * AGREEMENT));
                    entry.1 += 1;
                }
            }
        }
        Ok(())
    });
    for ((family, id), (moved, all)) in moved.borrow().iter() {
        println!("{id} under {family} scaling: moved in {moved} of {all}");
        // A network whose hidden units are dead on all data has no curvature to move, or little beside c.
        let share = if *id == "hessian_log_det" { 0.8 } else { 0.9 };
        assert!(*moved as f64 >= share * *all as f64, "{id} under {family} scaling moved in {moved} of {all}");
    }
}

#[test]
fn the_unit_of_the_loss_goes_through_as_stated() {
    run(40, 5, |case| {
        let here = case.build();
        let point = Point::new(here.objective(), &here.network.theta);
        for measure in flatness::registry() {
            // Powers of two leave the chains of the learning coefficient bit-identical too.
            for factor in [0.125, 4.0, 3.7] {
                if is_chain(*measure) && factor == 3.7 {
                    continue;
                }
                let Some(value) = here.value(*measure, &options()) else { continue };
                let expected = measure.at_loss_scale(value, factor, &point, &options());
                let found = here.value_at_scale(*measure, &options().at_loss_scale(factor), factor);
                prop_assert!(
                    both_close(found, Some(expected), AGREEMENT),
                    "{} of {factor} times the loss: {found:?}, expected {expected}",
                    measure.id()
                );
            }
        }
        Ok(())
    });
}

#[test]
fn order_and_copies_of_the_data_change_nothing() {
    run(30, 6, |case| {
        let here = case.build();
        let n = case.samples;
        let mut shuffled: Vec<usize> = (0..n).collect();
        shuffled.shuffle(&mut Streams::new(case.seed).stream("rows", 0));
        // 30 copies run over several batches of the passes; the original is one batch.
        let variants = [
            ("another order", here.with_rows(&shuffled)),
            ("two copies", here.with_rows(&[shuffled.clone(), shuffled.clone()].concat())),
            ("30 copies", here.with_rows(&(0..30 * n).map(|row| row % n).collect::<Vec<_>>())),
        ];
        // SGD sees the order of samples, unless all are one mini-batch; the learning coefficient counts them.
        let options = Options { batch_size: 30 * n, ..options() };
        for (variant, there) in &variants {
            for measure in flatness::registry().iter().filter(|measure| !is_chain(**measure)) {
                let (found, expected) = (there.value(*measure, &options), here.value(*measure, &options));
                prop_assert!(
                    both_close(found, expected, AGREEMENT),
                    "{} of {variant}: {found:?}, was {expected:?}",
                    measure.id()
                );
            }
        }
        Ok(())
    });
}

#[test]
fn sharpness_starts_at_zero_and_grows_with_its_radius() {
    run(40, 7, |case| {
        let here = case.build();
        for id in ["keskar_sharpness", "adaptive_sharpness"] {
            let measure = flatness::find(id).unwrap();
            let mut last = 0.0;
            for radius in [0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 3e-2] {
                for p in [Norm::Two, Norm::Infinity] {
                    let options = Options { box_radius: radius, adaptive_radius: radius, norm: p, ..options() };
                    let value = here.value(measure, &options).unwrap();
                    prop_assert!(value >= 0.0);
                    prop_assert!(radius > 0.0 || value == 0.0, "{id} at radius 0 is {value}");
                    if p == Norm::Infinity {
                        prop_assert!(value >= last, "{id} fell from {last} to {value} at radius {radius}");
                        last = value;
                    }
                }
            }
            prop_assert!(last > 0.0, "{id} never left 0");
        }
        Ok(())
    });
}

/// Rescaling by factors of up to ten keeps several eigenvalues in reach of one another.
#[test]
fn the_log_product_has_its_definition_for_every_k_and_says_where_it_has_none() {
    let measure = flatness::find("hessian_log_product").unwrap();
    let counts = RefCell::new((0, 0));
    run(40, 8, |case| {
        let here = case.build();
        let point = Point::new(here.objective(), &here.network.theta);
        let dense = DensePoint::new(here.objective(), &here.network.theta);
        for kind in rescale::registry() {
            let Ok(map) = kind.draw(&here.network.model, 10.0, Streams::new(case.seed)) else { continue };
            let action = map.action(&here.network.model).unwrap();
            let there = here.at(action.apply(&here.network.theta));
            let (there_point, dense) =
                (Point::new(there.objective(), &there.network.theta), dense.transported(&action));
            let mut eigenvalues = symmetric_eigenvalues(dense.hessian.view());
            eigenvalues.reverse();
            let n = eigenvalues.len();
            for k in [1, 2, 3, 5, 8, 13, n, n + 1] {
                let options = Options { eigenvalue_count: k, ..options() };
                // By Lanczos as well as densely.
                let lanczos = Options { dense_limit: 0, ..options.clone() };
                let found = [&options, &lanczos].map(|options| measure.evaluate(&there_point, options));
                let predicted = [&options, &lanczos].map(|options| measure.predict(&point, &action, options).unwrap());
                let answers = found.into_iter().chain(predicted);
                match eigenvalues.get(k - 1) {
                    // Nearer to 0 rounding decides whether it is positive.
                    Some(last) if *last >= 1e-6 * eigenvalues[0] => {
                        let expected = measure.on_dense(&dense, &options).unwrap();
                        let by_hand: f64 = eigenvalues[..k].iter().map(|value| value.ln()).sum();
                        // Each eigenvalue carries some roundings of the largest, of which a logarithm sees the share.
                        let rounding: f64 = eigenvalues[..k].iter().map(|value| eigenvalues[0] / value).sum();
                        let tolerance = 10.0 * n as f64 * f64::EPSILON * rounding + AGREEMENT * expected.abs();
                        for value in answers.map(|answer| answer.unwrap().value).chain([by_hand]) {
                            prop_assert!((value - expected).abs() <= tolerance, "k {k}: {value}, defined {expected}");
                        }
                        counts.borrow_mut().0 += usize::from(k > 1);
                    }
                    Some(last) if *last > -1e-6 * eigenvalues[0] => {}
                    negative_or_missing => {
                        for result in answers {
                            let Err(FlatnessError::NotApplicable { reason, .. }) = result else {
                                panic!("k {k} of {n}: {result:?}")
                            };
                            let says = if negative_or_missing.is_some() { "are positive" } else { "eigenvalues, k is" };
                            prop_assert!(reason.contains(says) && reason.contains(&format!("k is {k}")), "{reason}");
                        }
                        prop_assert!(measure.on_dense(&dense, &options).is_none());
                        counts.borrow_mut().1 += 1;
                    }
                }
            }
        }
        Ok(())
    });
    let (defined, refused) = *counts.borrow();
    println!("{defined} products of several factors, {refused} refusals");
    assert!(defined >= 200 && refused >= 100, "{defined} products of several factors, {refused} refusals");
    let case =
        Case { widths: vec![2, 2, 1], activation: Activation::Relu, loss: Loss::Bce, samples: 5, seed: 0 }.build();
    let none = measure
        .evaluate(&Point::new(case.objective(), &case.network.theta), &Options { eigenvalue_count: 0, ..options() });
    assert_eq!(none.unwrap_err().to_string(), "hessian_log_product: eigenvalue_count is 0, expected at least 1");
}
