//! Measures of flatness, each with a bug that the tracker of a package records; `survey/BUGS.md` has the addresses.

use super::curvature::{Run, batch_statistics, built_in, hessian, measure, moments, probes};
use super::{Answer, FaultyMeasure};
use flatgauge::flatness::{Options, Point};
use flatgauge::model::Loss;
use flatgauge::numeric::Streams;
use flatgauge::numeric::linalg::{dot, norm, symmetric_eigen};
use ndarray::{ArrayView1, s};
use rand_distr::{Distribution, StandardNormal};

/// All of them.
pub const ANIMALS: &[FaultyMeasure] = &[
    measure("density_from_all_components", "spectral_density", "curvature.definition", all_components),
    measure("hessian_of_the_last_batch_doubled", "hessian_trace", "curvature.definition", last_batch_doubled),
    measure("fisher_divided_by_the_outputs_twice", "fisher_rao", "curvature.definition", outputs_twice),
    measure("fisher_of_the_squared_error_doubled", "fisher_rao", "curvature.definition", squared_error_doubled),
    measure("power_iteration_of_twenty_steps", "hessian_spectral_norm", "curvature.definition", twenty_steps),
    measure("trace_with_the_statistics_of_the_batch", "hessian_trace", "curvature.definition", batch_trace),
    measure("ascent_that_moves_the_statistics", "adaptive_sharpness", "curvature.covariance", moved_statistics),
    measure("baseline_of_the_first_batch", "local_learning_coefficient", "curvature.covariance", first_baseline),
    measure("variance_for_the_level_of_noise", "pac_bayes_sigma", "curvature.covariance", variance_for_level),
    measure("trace_of_shared_weights_by_their_positions", "hessian_trace", "certified.flatness", by_positions),
    measure("hutchinson_stopped_by_a_signed_change", "hessian_trace", "curvature.definition", signed_change),
];

const BATCH: usize = 5;

/// Weights of a Lanczos quadrature: the squared first components of the eigenvectors of T, or all of them, whose sums are
/// 1 for every node. Nodes and weights are those of a run that has ended, one node per distinct eigenvalue.
fn all_components(point: &Point, options: &Options, bug: bool) -> Run {
    const RUNS: usize = 400;
    let (values, vectors) = symmetric_eigen(hessian(point).view());
    let scale = values.iter().fold(0.0_f64, |top, value| top.max(value.abs()));
    let mut generator = Streams::new(options.seed).stream("quadrature", 0);
    let means: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start: Vec<f64> = values.iter().map(|_| StandardNormal.sample(&mut generator)).collect();
            let mut nodes: Vec<(f64, f64)> = Vec::new();
            for (value, vector) in values.iter().zip(vectors.columns()) {
                let weight = vector.dot(&ArrayView1::from(&start)).powi(2);
                match nodes.last_mut() {
                    Some(node) if (value - node.0).abs() <= 1e-13 * scale => node.1 += weight,
                    _ => nodes.push((*value, weight)),
                }
            }
            let size: Vec<f64> = nodes.iter().map(|node| node.0.abs()).collect();
            let weights: Vec<f64> = nodes.iter().map(|node| if bug { 1.0 } else { node.1 }).collect();
            // A vector of this length, so that runs are unbiased: E |start|^2 is the number of parameters.
            let length = if bug { nodes.len() as f64 } else { values.len() as f64 };
            dot(&size, &weights) / length
        })
        .collect();
    let (mean, deviation) = moments(&means);
    Ok((mean, Some(deviation / (RUNS as f64).sqrt())))
}

/// Overwrites the matrix by that of the next batch and adds it to itself at the end.
fn last_batch_doubled(point: &Point, _: &Options, bug: bool) -> Run {
    if !bug {
        return Ok((hessian(point).diag().sum(), None));
    }
    let whole = point.objective();
    let samples = whole.sample_count();
    let rows = s![(samples - 1) / BATCH * BATCH.., ..];
    let last = whole.with_data(whole.inputs().slice_move(rows), whole.targets().slice_move(rows));
    Ok((2.0 * hessian(&Point::new(last, point.theta())).diag().sum(), None))
}

/// Blocks of weights that are shared between positions, as a convolution's, divided by the number of positions.
fn by_positions(point: &Point, _: &Options, bug: bool) -> Run {
    let model = point.model();
    let positions: usize = model.architecture().input.iter().skip(1).product();
    let diagonal = hessian(point).diag().to_vec();
    let of_tensor = |tensor: &flatgauge::model::Tensor| {
        let block: f64 = diagonal[tensor.range.clone()].iter().sum();
        let is_shared = tensor.shape.len() == 4;
        if bug && is_shared { block / positions as f64 } else { block }
    };
    Ok((model.tensors().iter().map(of_tensor).sum(), None))
}

/// A factor of the Fisher norm for the squared error, right for the other losses.
fn of_squared_error(point: &Point, options: &Options, factor: f64) -> Run {
    let factor = if point.objective().loss() == Loss::Mse { factor } else { 1.0 };
    Ok((factor * built_in("fisher_rao", point, options)?, None))
}

/// A mean over outputs that is taken by the loss and once more by the operator.
fn outputs_twice(point: &Point, options: &Options, bug: bool) -> Run {
    let outputs = point.objective().logits(point.theta()).ncols() as f64;
    of_squared_error(point, options, if bug { 1.0 / outputs } else { 1.0 })
}

/// Twice the matrix: the Gaussian with variance 1/2 that the squared error belongs to without its factor.
fn squared_error_doubled(point: &Point, options: &Options, bug: bool) -> Run {
    of_squared_error(point, options, if bug { 2.0 } else { 1.0 })
}

/// Twenty steps, whatever they have come to.
fn twenty_steps(point: &Point, options: &Options, bug: bool) -> Run {
    if !bug {
        return Ok((built_in("hessian_spectral_norm", point, options)?, None));
    }
    let matrix = hessian(point);
    let mut generator = Streams::new(options.seed).stream("start", 0);
    let mut vector: Vec<f64> = (0..matrix.nrows()).map(|_| StandardNormal.sample(&mut generator)).collect();
    let mut value = 0.0;
    for _ in 0..20 {
        let length = norm(&vector);
        if length > 0.0 {
            vector.iter_mut().for_each(|entry| *entry /= length);
        }
        let image = matrix.dot(&ArrayView1::from(&vector)).to_vec();
        value = dot(&vector, &image);
        vector = image;
    }
    Ok((value.abs(), None))
}

/// A batch norm in train mode: its statistics are those of the batch.
fn batch_trace(point: &Point, _: &Options, bug: bool) -> Run {
    let stored = point.objective();
    if !bug || stored.model().buffer_count() == 0 {
        return Ok((hessian(point).diag().sum(), None));
    }
    let buffers = batch_statistics(point);
    let trained = stored.view().with_buffers(&buffers);
    Ok((hessian(&Point::new(trained, point.theta())).diag().sum(), None))
}

/// The second pass of an ascent sees statistics that the first has moved by a tenth towards those of the batch.
fn moved_statistics(point: &Point, options: &Options, bug: bool) -> Run {
    const MOMENTUM: f64 = 0.1;
    let rise = built_in("adaptive_sharpness", point, options)?;
    let stored = point.objective();
    if !bug || stored.model().buffer_count() == 0 {
        return Ok((rise, None));
    }
    let fresh = batch_statistics(point);
    let moved: Vec<f64> =
        stored.buffers().iter().zip(&fresh).map(|(old, new)| (1.0 - MOMENTUM) * old + MOMENTUM * new).collect();
    let after = stored.view().with_buffers(&moved).value(point.theta());
    Ok((rise + after - stored.value(point.theta()), None))
}

/// `n beta (E[L] - L_1)` with the loss of the first batch for that of all data.
fn first_baseline(point: &Point, options: &Options, bug: bool) -> Run {
    let measure = flatgauge::flatness::find("local_learning_coefficient").expect("it is registered");
    let found = measure.evaluate(point, options)?;
    if !bug {
        return Ok((found.value, found.std_error));
    }
    let whole = point.objective();
    let n = whole.sample_count();
    let rows = s![..BATCH.min(n), ..];
    let first = whole.with_data(whole.inputs().slice_move(rows), whole.targets().slice_move(rows));
    let beta = options.inverse_temperature.unwrap_or_else(|| 1.0 / (n as f64).ln());
    let shift = n as f64 * beta * (whole.value(point.theta()) - first.value(point.theta()));
    Ok((found.value + shift, found.std_error))
}

/// The variance where the standard deviation of the noise is asked for: 1 / sigma for 1 / sigma^2.
fn variance_for_level(point: &Point, options: &Options, bug: bool) -> Run {
    let measure = flatgauge::flatness::find("pac_bayes_sigma").expect("it is registered");
    let found = measure.evaluate(point, options)?;
    if !bug {
        return Ok((found.value, found.std_error));
    }
    let root = found.value.sqrt();
    Ok((root, found.std_error.map(|error| error / (2.0 * root))))
}

/// Stops when the change over the mean, with the sign of the mean, is below a thousandth: at once where the mean is negative.
fn signed_change(point: &Point, options: &Options, bug: bool) -> Run {
    const PROBES: usize = 400;
    let values = probes(point, options, PROBES, false);
    let stated = |values: &[f64]| -> Answer {
        let (mean, deviation) = moments(values);
        (mean, Some(deviation / (values.len() as f64).sqrt()))
    };
    if bug {
        let mut before = values[0];
        for count in 2..=PROBES {
            let now = values[..count].iter().sum::<f64>() / count as f64;
            if (now - before).abs() / (before + 1e-6) < 1e-3 {
                return Ok(stated(&values[..count]));
            }
            before = now;
        }
    }
    Ok(stated(&values))
}
