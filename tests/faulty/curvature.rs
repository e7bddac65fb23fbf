//! Measures of flatness, each with one bug.

use super::{Answer, FaultyMeasure};
use flatgauge::flatness::{FlatnessError, Options, Point};
use flatgauge::model::{Objective, Role};
use flatgauge::numeric::Streams;
use flatgauge::numeric::linalg::norm;
use ndarray::{Array2, s};
use rand_distr::{Distribution, StandardNormal};

type Run = Result<Answer, FlatnessError>;

/// All of them.
pub const ANIMALS: &[FaultyMeasure] = &[
    measure("trace_mean_of_unequal_batches", "hessian_trace", "curvature.definition", unequal_batches),
    measure("trace_of_the_summed_loss", "hessian_trace", "curvature.definition", summed_loss),
    measure("trace_of_gauss_newton", "hessian_trace", "curvature.definition", gauss_newton_trace),
    measure("trace_by_coarse_differences", "hessian_trace", "curvature.definition", coarse_differences),
    measure("trace_added_in_single_precision", "hessian_trace", "curvature.definition", single_precision),
    measure("trace_remembered_from_before", "hessian_trace", "curvature.covariance", unit_weights),
    measure("hutchinson_unit_probes", "hessian_trace", "curvature.definition", unit_probes),
    measure("hutchinson_stopped_when_two_means_agree", "hessian_trace", "curvature.definition", stopped_early),
    measure("hutchinson_error_over_n", "hessian_trace", "curvature.definition", error_over_n),
];

const fn measure(
    name: &'static str,
    id: &'static str,
    law: &'static str,
    run: fn(&Point, &Options, bool) -> Run,
) -> FaultyMeasure {
    FaultyMeasure { name, id, law, run }
}

fn hessian(point: &Point) -> Array2<f64> {
    let products = point.linearisation.hessian_products(Array2::eye(point.theta().len()).view());
    // Products are symmetric to rounding; eigenvalues want it exactly.
    (&products + &products.t()) / 2.0
}

/// Averages the traces of batches of 5 as if the last were as large as the others.
fn unequal_batches(point: &Point, _: &Options, bug: bool) -> Run {
    let whole = point.objective();
    let samples = whole.samples();
    let (mut total, mut weights) = (0.0, 0.0);
    for start in (0..samples).step_by(5) {
        let end = (start + 5).min(samples);
        let part = Objective {
            inputs: whole.inputs.slice_move(s![start..end, ..]),
            targets: whole.targets.slice_move(s![start..end, ..]),
            ..*whole
        };
        let weight = if bug { 1.0 } else { (end - start) as f64 };
        total += weight * hessian(&Point::new(part, point.theta())).diag().sum();
        weights += weight;
    }
    Ok((total / weights, None))
}

/// `reduction = "sum"` on the loss.
fn summed_loss(point: &Point, _: &Options, bug: bool) -> Run {
    let factor = if bug { point.objective().samples() as f64 } else { 1.0 };
    Ok((factor * hessian(point).diag().sum(), None))
}

/// Takes the Gauss-Newton matrix for the Hessian: right for piecewise linear networks only.
fn gauss_newton_trace(point: &Point, _: &Options, bug: bool) -> Run {
    let trace =
        if bug { point.linearisation.gauss_newton_diagonal().iter().sum() } else { hessian(point).diag().sum() };
    Ok((trace, None))
}

/// Second derivatives by central differences of the gradient with a step chosen for f32.
fn coarse_differences(point: &Point, _: &Options, bug: bool) -> Run {
    const STEP: f64 = 1e-3;
    if !bug {
        return Ok((hessian(point).diag().sum(), None));
    }
    let mut trace = 0.0;
    for index in 0..point.theta().len() {
        let at = |step: f64| {
            let mut theta = point.theta().to_vec();
            theta[index] += step;
            point.objective().gradient(&theta).1[index]
        };
        trace += (at(STEP) - at(-STEP)) / (2.0 * STEP);
    }
    Ok((trace, None))
}

/// A diagonal added up in f32.
fn single_precision(point: &Point, _: &Options, bug: bool) -> Run {
    let diagonal = hessian(point);
    let trace =
        if bug { f64::from(diagonal.diag().iter().map(|h| *h as f32).sum::<f32>()) } else { diagonal.diag().sum() };
    Ok((trace, None))
}

/// Normalises every weight to length one before it differentiates, as one does for plots of the loss surface:
/// the answer no longer is about the parameters given.
fn unit_weights(point: &Point, _: &Options, bug: bool) -> Run {
    if !bug {
        return Ok((hessian(point).diag().sum(), None));
    }
    let mut theta = point.theta().to_vec();
    for tensor in point.model().tensors().iter().filter(|tensor| tensor.role == Role::Weight) {
        let length = norm(&theta[tensor.range.clone()]);
        theta[tensor.range.clone()].iter_mut().for_each(|weight| *weight /= length);
    }
    let Objective { model, buffers, loss, inputs, targets, scale } = point.objective();
    let objective =
        Objective { model, buffers, loss: *loss, inputs: inputs.view(), targets: targets.view(), scale: *scale };
    Ok((hessian(&Point::new(objective, &theta)).diag().sum(), None))
}

/// Values of `z^T H z` for Gaussian probes.
fn probes(point: &Point, options: &Options, count: usize, unit: bool) -> Vec<f64> {
    let parameters = point.theta().len();
    let mut generator = Streams::new(options.seed).stream("probes", 0);
    let mut directions: Array2<f64> =
        Array2::from_shape_simple_fn((count, parameters), || StandardNormal.sample(&mut generator));
    if unit {
        for mut row in directions.outer_iter_mut() {
            let length = row.dot(&row).sqrt();
            row /= length;
        }
    }
    let images = point.linearisation.hessian_products(directions.view());
    directions.outer_iter().zip(images.outer_iter()).map(|(probe, image)| probe.dot(&image)).collect()
}

/// Mean and standard deviation.
fn moments(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (values.len() as f64 - 1.0)).sqrt())
}

const PROBES: usize = 400;

/// Probes of length one, without the factor of the dimension that they need.
fn unit_probes(point: &Point, options: &Options, bug: bool) -> Run {
    let factor = if bug { 1.0 } else { point.theta().len() as f64 };
    let values: Vec<f64> = probes(point, options, PROBES, true).iter().map(|value| factor * value).collect();
    let (mean, deviation) = moments(&values);
    Ok((mean, Some(deviation / (PROBES as f64).sqrt())))
}

/// Stops as soon as a probe moves the mean by less than 1%, and calls the last movement the error.
fn stopped_early(point: &Point, options: &Options, bug: bool) -> Run {
    let values = probes(point, options, PROBES, false);
    let (mean, deviation) = moments(&values);
    if !bug {
        return Ok((mean, Some(deviation / (PROBES as f64).sqrt())));
    }
    let mut before = values[0];
    for count in 2..=PROBES {
        let now = values[..count].iter().sum::<f64>() / count as f64;
        if (now - before).abs() < 0.01 * now.abs() {
            return Ok((now, Some((now - before).abs())));
        }
        before = now;
    }
    Ok((mean, Some(deviation / (PROBES as f64).sqrt())))
}

/// Divides the deviation by `n` and not by its root.
fn error_over_n(point: &Point, options: &Options, bug: bool) -> Run {
    let (mean, deviation) = moments(&probes(point, options, PROBES, false));
    Ok((mean, Some(deviation / if bug { PROBES as f64 } else { (PROBES as f64).sqrt() })))
}
