//! Rises of the loss that dense derivatives point to: what a sharpness is at least.
//!
//! Values of the loss at corners and directions, in code that no ascent shares. A sharpness is a maximum, so each of them
//! is a lower bound of it, at stationary points and flat corners as everywhere.

use crate::flatness::DensePoint;
use crate::numeric::linalg::{norm, symmetric_eigen};
use ndarray::Array2;

/// Coordinates up to which all corners of a box are tried.
const ALL_CORNERS: usize = 10;
/// Eigenvectors whose directions are tried.
const EIGENVECTORS: usize = 3;

/// The largest rise of the loss over points `theta + units * u` with `u` a corner of `[-1, 1]^P`: all corners of few
/// coordinates, else those in the direction of the gradient, of `theta` and of the leading eigenvectors.
pub(super) fn over_box(dense: &DensePoint, units: &[f64]) -> f64 {
    let moving: Vec<usize> = (0..units.len()).filter(|&index| units[index] > 0.0).collect();
    let mut corners: Vec<Vec<f64>> = Vec::new();
    if moving.len() <= ALL_CORNERS {
        for number in 0..1_u32 << moving.len() {
            let mut corner = vec![0.0; units.len()];
            for (position, &index) in moving.iter().enumerate() {
                corner[index] = if number >> position & 1 == 1 { -1.0 } else { 1.0 };
            }
            corners.push(corner);
        }
    } else {
        let directions = directions(dense, units).into_iter().chain([dense.theta.clone()]);
        let signs =
            |direction: Vec<f64>| direction.into_iter().map(|v| if v == 0.0 { 0.0 } else { v.signum() }).collect();
        corners.extend(directions.map(signs));
    }
    largest_rise(dense, units, corners)
}

/// The same over a ball of the given radius: in the direction of the gradient and of the leading eigenvectors.
pub(super) fn over_ball(dense: &DensePoint, units: &[f64], radius: f64) -> f64 {
    let of_length = |mut direction: Vec<f64>| -> Vec<f64> {
        let length = norm(&direction);
        direction.iter_mut().for_each(|v| *v *= if length > 0.0 { radius / length } else { 0.0 });
        direction
    };
    largest_rise(dense, units, directions(dense, units).into_iter().map(of_length).collect())
}

/// The gradient and the leading eigenvectors of the Hessian, in the given units.
fn directions(dense: &DensePoint, units: &[f64]) -> Vec<Vec<f64>> {
    let p = units.len();
    let scaled = Array2::from_shape_fn((p, p), |(i, j)| units[i] * dense.hessian[[i, j]] * units[j]);
    let (_, vectors) = symmetric_eigen(scaled.view());
    let leading = (0..p.min(EIGENVECTORS)).map(|k| vectors.column(p - 1 - k).to_vec());
    let gradient = dense.gradient.iter().zip(units).map(|(g, unit)| g * unit).collect();
    leading.chain([gradient]).collect()
}

/// The largest of the rises at `theta + units * u` and `theta - units * u`; 0 if there is none.
fn largest_rise(dense: &DensePoint, units: &[f64], points: Vec<Vec<f64>>) -> f64 {
    let mut best = 0.0;
    for u in points {
        for side in [1.0, -1.0] {
            let moved: Vec<f64> =
                dense.theta.iter().zip(units).zip(&u).map(|((theta, unit), u)| theta + side * unit * u).collect();
            let rise = dense.objective.value(&moved) - dense.value;
            if rise > best && rise.is_finite() {
                best = rise;
            }
        }
    }
    best
}
