//! Measures of flatness, each with one bug.

use super::{Answer, FaultyMeasure};
use flatgauge::flatness::{self, FlatnessError, Options, Point};
use flatgauge::model::{Architecture, Model, Role};
use flatgauge::numeric::Streams;
use flatgauge::numeric::linalg::{add_scaled, dot, norm, symmetric_eigenvalues};
use ndarray::{Array2, Axis, s};
use rand_distr::{Distribution, StandardNormal};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

pub(super) type Run = Result<Answer, FlatnessError>;

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
    measure("sharpness_without_its_parentheses", "keskar_sharpness", "curvature.covariance", no_parentheses),
    measure("adaptive_sharpness_zero_over_zero", "adaptive_sharpness", "curvature.covariance", zero_over_zero),
    measure("fisher_rao_fixed_depth_factor", "fisher_rao", "curvature.definition", depth_factor),
    measure("power_iteration_returns_the_size", "hessian_max_eigenvalue", "curvature.definition", size_of_eigenvalue),
    measure("lanczos_without_reorthogonalisation", "hessian_frobenius", "curvature.definition", no_reorthogonalisation),
    measure("sharpness_in_train_mode_on_one_side", "keskar_sharpness", "curvature.covariance", train_mode),
    measure("n_replaced_by_the_batch_size", "local_learning_coefficient", "curvature.covariance", batch_for_n),
    measure("hutchinson_error_over_n", "hessian_trace", "curvature.definition", error_over_n),
    measure("cross_entropy_that_cancels", "fisher_rao", "curvature.definition", cancelling_cross_entropy),
    measure("norm_without_a_scale", "parameter_norm", "curvature.definition", norm_without_scale),
    measure("no_slope_taken_for_a_maximum", "keskar_sharpness", "curvature.rise", no_slope),
];

pub(super) const fn measure(
    name: &'static str,
    id: &'static str,
    law: &'static str,
    run: fn(&Point, &Options, bool) -> Run,
) -> FaultyMeasure {
    FaultyMeasure { name, id, law, run }
}

/// Where a Hessian was asked for: the parameters, and the gradient of the objective there, bit by bit.
type Place = (Vec<u64>, Vec<u64>);

/// Hessians of the places that were asked for last; every other animal asks for those of the certified networks again.
static HESSIANS: Mutex<VecDeque<(Place, Arc<Array2<f64>>)>> = Mutex::new(VecDeque::new());

/// Networks before and after a rescaling.
const KEPT: usize = 12;

pub(super) fn hessian(point: &Point) -> Arc<Array2<f64>> {
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect();
    let place: Place = (bits(point.theta()), bits(point.linearisation.gradient()));
    let known =
        HESSIANS.lock().unwrap().iter().find(|(known, _)| *known == place).map(|(_, matrix)| Arc::clone(matrix));
    known.unwrap_or_else(|| {
        let matrix = Arc::new(fresh_hessian(point));
        if matrix.nrows() > 1000 {
            let mut hessians = HESSIANS.lock().unwrap();
            hessians.push_front((place, Arc::clone(&matrix)));
            hessians.truncate(KEPT);
        }
        matrix
    })
}

fn fresh_hessian(point: &Point) -> Array2<f64> {
    let products = point.linearisation.hessian_products(Array2::eye(point.theta().len()).view());
    // Products are symmetric to rounding; eigenvalues want it exactly.
    (&products + &products.t()) / 2.0
}

/// Averages the traces of batches of 5 as if the last were as large as the others.
fn unequal_batches(point: &Point, _: &Options, bug: bool) -> Run {
    let whole = point.objective();
    let samples = whole.sample_count();
    let (mut total, mut weights) = (0.0, 0.0);
    for start in (0..samples).step_by(5) {
        let end = (start + 5).min(samples);
        let rows = s![start..end, ..];
        let part = whole.with_data(whole.inputs().slice_move(rows), whole.targets().slice_move(rows));
        let weight = if bug { 1.0 } else { (end - start) as f64 };
        total += weight * hessian(&Point::new(part, point.theta())).diag().sum();
        weights += weight;
    }
    Ok((total / weights, None))
}

/// `reduction = "sum"` on the loss.
fn summed_loss(point: &Point, _: &Options, bug: bool) -> Run {
    let factor = if bug { point.objective().sample_count() as f64 } else { 1.0 };
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
    Ok((hessian(&Point::new(point.objective().view(), &theta)).diag().sum(), None))
}

pub(super) fn built_in(id: &str, point: &Point, options: &Options) -> Result<f64, FlatnessError> {
    flatness::find(id).expect("it is registered").evaluate(point, options).map(|estimate| estimate.value)
}

/// `100 * (f0 - f) / 1 - f0` for `100 * (f0 - f) / (1 - f0)`, with losses negated for a minimiser.
fn no_parentheses(point: &Point, options: &Options, bug: bool) -> Run {
    let sharpness = built_in("keskar_sharpness", point, options)?;
    let loss = point.objective().value(point.theta());
    let rise = sharpness * (1.0 + loss) / 100.0;
    Ok((if bug { 100.0 * rise + loss } else { 100.0 * rise / (1.0 + loss) }, None))
}

/// Means and variances of the batch behind the first layer, where a batch norm stands.
pub(super) fn batch_statistics(point: &Point) -> Vec<f64> {
    let (model, inputs) = (point.objective().model(), point.objective().inputs());
    let architecture = model.architecture();
    let first = Architecture { layers: architecture.layers[..1].to_vec(), ..architecture.clone() };
    let first = Model::new(first).expect("a part of a network");
    let values = first.logits(&point.theta()[..first.parameter_count()], &[], inputs.view());
    let mean = values.mean_axis(Axis(0)).expect("there are samples");
    let variance = values.var_axis(Axis(0), 0.0);
    mean.into_iter().chain(variance).collect()
}

/// The loss at the parameters in train mode, the highest loss near them in eval mode: what a forgotten `eval()` does.
fn train_mode(point: &Point, options: &Options, bug: bool) -> Run {
    let sharpness = built_in("keskar_sharpness", point, options)?;
    let eval = point.objective();
    let loss = eval.value(point.theta());
    let highest = loss + sharpness * (1.0 + loss) / 100.0;
    let has_batch_norm = eval.model().buffer_count() > 0;
    let before = if bug && has_batch_norm {
        let buffers = batch_statistics(point);
        eval.view().with_buffers(&buffers).value(point.theta())
    } else {
        loss
    };
    Ok((100.0 * (highest - before) / (1.0 + before), None))
}

/// `n / log n` with the size of a batch for `n`.
fn batch_for_n(point: &Point, options: &Options, bug: bool) -> Run {
    const BATCH: f64 = 4.0;
    let n = point.objective().sample_count() as f64;
    let beta = bug.then(|| BATCH / (n * BATCH.ln()));
    let options = Options { inverse_temperature: beta, ..options.clone() };
    let measure = flatness::find("local_learning_coefficient").expect("it is registered");
    measure.evaluate(point, &options).map(|estimate| (estimate.value, estimate.std_error))
}

/// Brings the step onto the ball by its length in units of the weights: 0/0 for a weight that is zero and stays so.
fn zero_over_zero(point: &Point, options: &Options, bug: bool) -> Run {
    let sharpness = built_in("adaptive_sharpness", point, options)?;
    let ratio = |weight: &f64| {
        let step = options.adaptive_radius * weight.abs();
        if !bug && *weight == 0.0 { 0.0 } else { step / weight.abs() }
    };
    let ratios: Vec<f64> = point.theta().iter().map(ratio).collect();
    let larger = |top: f64, ratio: &f64| if *ratio <= top { top } else { *ratio };
    let longest = if ratios.iter().any(|r| r.is_nan()) { f64::NAN } else { ratios.iter().fold(0.0, larger) };
    Ok((sharpness * options.adaptive_radius / longest, None))
}

/// `(L + 1)^2 E[p (1 - p) f^2]`, which Euler's theorem gives for networks without biases, for every network.
fn depth_factor(point: &Point, options: &Options, bug: bool) -> Run {
    if !bug {
        return Ok((built_in("fisher_rao", point, options)?, None));
    }
    if point.objective().loss() != flatgauge::model::Loss::Bce {
        let reason = "one logit and binary cross-entropy only".to_owned();
        return Err(FlatnessError::NotApplicable { measure: "fisher_rao", reason });
    }
    let layers = point.model().parametrised_layer_count() as f64;
    let logits = point.objective().logits(point.theta());
    let terms = logits.iter().map(|f| {
        let p = 1.0 / (1.0 + (-f).exp());
        p * (1.0 - p) * f * f
    });
    Ok((layers * layers * terms.sum::<f64>() / logits.len() as f64, None))
}

/// Power iteration's limit is the eigenvalue largest in size; the length of the iterate has lost its sign.
fn size_of_eigenvalue(point: &Point, _: &Options, bug: bool) -> Run {
    let eigenvalues = symmetric_eigenvalues(hessian(point).view());
    let (lowest, highest) = (eigenvalues[0], eigenvalues[eigenvalues.len() - 1]);
    Ok((if bug { highest.max(-lowest) } else { highest }, None))
}

/// Sums the squares of Ritz values of a full Lanczos run: copies of converged ones are counted again where the basis
/// is not kept orthogonal.
fn no_reorthogonalisation(point: &Point, options: &Options, bug: bool) -> Run {
    /// Beyond this many parameters a full run takes long, and the entries are summed instead.
    const MOST: usize = 500;
    let matrix = hessian(point);
    let n = matrix.nrows();
    if n > MOST {
        return Ok((norm(matrix.as_slice().expect("a fresh matrix")), None));
    }
    let scale = matrix.iter().fold(0.0_f64, |top, entry| top.max(entry.abs()));
    let mut generator = Streams::new(options.seed).stream("start", 0);
    let mut vector: Vec<f64> = (0..n).map(|_| StandardNormal.sample(&mut generator)).collect();
    let (mut basis, mut tridiagonal) = (Vec::<Vec<f64>>::new(), Array2::zeros((n, n)));
    for step in 0..n {
        let mut length = norm(&vector);
        if step > 0 && length <= 1e-13 * scale {
            if bug {
                break;
            }
            // The Krylov space has ended; of a repeated eigenvalue it holds one vector, and the others lie beside it.
            vector = (0..n).map(|_| StandardNormal.sample(&mut generator)).collect();
            for earlier in basis.iter().chain(&basis) {
                let part = dot(&vector, earlier);
                add_scaled(&mut vector, -part, earlier);
            }
            let fresh = norm(&vector);
            vector.iter_mut().for_each(|entry| *entry /= fresh);
            length = 0.0;
        } else {
            vector.iter_mut().for_each(|entry| *entry /= length);
        }
        if step > 0 {
            tridiagonal[[step, step - 1]] = length;
            tridiagonal[[step - 1, step]] = length;
        }
        let mut image = matrix.dot(&ndarray::ArrayView1::from(&vector)).to_vec();
        let diagonal = dot(&image, &vector);
        tridiagonal[[step, step]] = diagonal;
        add_scaled(&mut image, -diagonal, &vector);
        if let Some(before) = basis.last() {
            add_scaled(&mut image, -length, before);
        }
        basis.push(vector);
        if !bug {
            // Twice is enough (Parlett).
            for _ in 0..2 {
                for earlier in &basis {
                    let part = dot(&image, earlier);
                    add_scaled(&mut image, -part, earlier);
                }
            }
        }
        vector = image;
    }
    Ok((norm(&symmetric_eigenvalues(tridiagonal.view())), None))
}

/// Values of `z^T H z` for Gaussian probes.
pub(super) fn probes(point: &Point, options: &Options, count: usize, unit: bool) -> Vec<f64> {
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
pub(super) fn moments(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let deviations: Vec<f64> = values.iter().map(|value| value - mean).collect();
    (mean, norm(&deviations) / (values.len() as f64 - 1.0).sqrt())
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

/// `theta^T F theta` of the softmax from `p_c (f_c - sum_k p_k f_k)`, `f` the derivative of the logits along theta: what
/// is left of it is rounding where one class has all but `1e-16` of the probability.
fn cancelling_cross_entropy(point: &Point, options: &Options, bug: bool) -> Run {
    let (loss, inputs) = (point.objective().loss(), point.objective().inputs());
    if loss != flatgauge::model::Loss::Ce {
        return Ok((built_in("fisher_rao", point, options)?, None));
    }
    let logits = point.objective().logits(point.theta());
    let (n, classes) = logits.dim();
    let mut total = 0.0;
    for (i, z) in logits.outer_iter().enumerate() {
        let input = inputs.slice(s![i..=i, ..]);
        // The gradient of (f_c - t_c)^2 at f_c - t_c = 1/2 is that of the logit.
        let slope = |c: usize| {
            let mut targets = z.to_owned().insert_axis(Axis(0));
            targets[[0, c]] -= 0.5;
            let half = z[c] - targets[[0, c]];
            let square = point.objective().view().with_loss(flatgauge::model::Loss::Mse).with_scale(0.5 / half);
            let square = square.with_data(input.view(), targets.view());
            dot(&square.gradient(point.theta()).1, point.theta())
        };
        let slopes: Vec<f64> = (0..classes).map(slope).collect();
        let top = z.fold(f64::NEG_INFINITY, |top, z| top.max(*z));
        let weights: Vec<f64> = z.iter().map(|z| (z - top).exp()).collect();
        let p: Vec<f64> = weights.iter().map(|weight| weight / weights.iter().sum::<f64>()).collect();
        let mean = dot(&p, &slopes);
        total += if bug {
            p.iter().zip(&slopes).map(|(p, f)| f * (p * f - p * mean)).sum::<f64>()
        } else {
            let pairs = (0..classes).flat_map(|a| (0..a).map(move |b| (a, b)));
            pairs.map(|(a, b)| p[a] * p[b] * (slopes[a] - slopes[b]).powi(2)).sum()
        };
    }
    Ok((point.objective().scale() * total / n as f64, None))
}

/// The root of a sum of squares, which overflow from 1e154 on.
fn norm_without_scale(point: &Point, _: &Options, bug: bool) -> Run {
    let length = if bug { point.theta().iter().map(|t| t * t).sum::<f64>().sqrt() } else { norm(point.theta()) };
    Ok((length, None))
}

/// Stops where it starts because the gradient there is 0.
fn no_slope(point: &Point, options: &Options, bug: bool) -> Run {
    let stays = bug && point.linearisation.gradient().iter().all(|slope| *slope == 0.0);
    Ok((if stays { 0.0 } else { built_in("keskar_sharpness", point, options)? }, None))
}
