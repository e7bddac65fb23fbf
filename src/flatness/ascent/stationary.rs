//! Ways on from points where a gradient leads nowhere: the centre of a box at a minimum or a saddle, a corner that lies in
//! the kernel of the Hessian, coordinates that nothing has moved.

use super::{Peak, sign_of};
use crate::flatness::curvature::{Hessian, Scaled};
use crate::flatness::lanczos::{End, Lanczos};
use crate::model::Objective;
use crate::numeric::tolerance::UNIT_ROUNDOFF;

/// Rounds in which coordinates at rest are moved, one direction of curvature a round.
const ROUNDS: usize = 32;
/// Coordinates up to which all corners of a box are tried.
const CORNERS: usize = 10;
/// A coordinate is at rest where its slope is below this share of the largest.
const AT_REST: f64 = 1e-9;
/// Coordinates at rest matter if a mean corner of theirs would add this share of the rise.
const MATTERS: f64 = 1e-3;
/// Entries of an eigenvector below this share of the largest have no sign.
const NO_SIGN: f64 = 1e-6;
/// Most products for an eigenvector.
const PRODUCTS: usize = 500;

/// A loss around a point in units `theta + unit * u`, over a box or a ball in `u`.
pub(super) struct Surroundings<'p, 'a> {
    pub objective: &'p Objective<'a>,
    pub theta: &'p [f64],
    /// Unit of each coordinate, at least 0; coordinates with 0 stay.
    pub unit: &'p [f64],
}

/// The largest curvature over some coordinates.
struct Curvature {
    value: f64,
    /// Its direction, in `u`.
    direction: Vec<f64>,
    products: usize,
}

impl Surroundings<'_, '_> {
    fn parameters(&self, u: &[f64]) -> Vec<f64> {
        self.theta.iter().zip(self.unit).zip(u).map(|((theta, unit), u)| theta + unit * u).collect()
    }

    /// Loss, gradient with respect to `u`, and diagonal of the Gauss-Newton matrix in `u`, at the centre.
    fn at_centre(&self) -> (f64, Vec<f64>, Vec<f64>) {
        let objective = self.objective.view();
        let linearisation = objective.linearise(self.theta);
        let scaled = |values: &[f64], power: i32| -> Vec<f64> {
            values.iter().zip(self.unit).map(|(value, unit)| value * unit.powi(power)).collect()
        };
        let diagonal = scaled(&linearisation.gauss_newton_diagonal(), 2);
        (linearisation.value(), scaled(linearisation.gradient(), 1), diagonal)
    }

    /// The largest eigenvalue of the Hessian at `u`, in units of `u` and on the coordinates that `moves` names; `None`
    /// where it was not found.
    fn curvature(&self, u: &[f64], moves: &[bool]) -> Option<Curvature> {
        let at = self.parameters(u);
        let objective = self.objective.view();
        let linearisation = objective.linearise(&at);
        let scale: Vec<f64> =
            self.unit.iter().zip(moves).map(|(unit, moves)| if *moves { *unit } else { 0.0 }).collect();
        let operator = Scaled { operator: Hessian(&linearisation), scale: &scale };
        let settings = Lanczos { max_products: PRODUCTS, ..Lanczos::default() };
        let mut found = settings.extreme(&operator, End::Largest, 1).ok()?;
        let pair = found.pairs.swap_remove(0);
        // Along a gradient of 0 the loss is even, and either sign would do; elsewhere the slope decides first.
        let top = pair.vector.iter().fold(0.0, |top: f64, v| top.max(v.abs()));
        let direction = pair.vector.iter().map(|v| if v.abs() > NO_SIGN * top { *v } else { 0.0 });
        Some(Curvature { value: pair.value, direction: direction.collect(), products: found.work.products })
    }
}

/// Whether a rise over a box or ball is less than curvature explains: below the mean one at its corners or over its
/// sphere (`average`), or more than the slope at the centre promises, so that chance found what it found.
fn unexplained(rise: f64, promise: f64, average: f64) -> bool {
    !(rise > 0.0) || rise < average || rise > 2.0 * promise
}

/// Climbs a box from its centre and its outward corner, and goes on from where curvature says that a point without a
/// slope is no maximum. A `Peak` that has converged has passed that test.
pub(super) fn climb_box(around: &Surroundings, outward: Vec<f64>, climb_from: impl Fn(Vec<f64>) -> Peak) -> Peak {
    let parameters = around.theta.len();
    let mut peak = climb_from(vec![0.0; parameters]).or(climb_from(outward));
    let moving: Vec<bool> = around.unit.iter().map(|unit| *unit > 0.0).collect();
    if !moving.contains(&true) {
        return peak;
    }
    let (start, slope, diagonal) = around.at_centre();
    let promise: f64 = slope.iter().map(|slope| slope.abs()).sum();
    let mean_rise = |moves: &dyn Fn(usize) -> bool| -> f64 {
        0.5 * diagonal.iter().enumerate().filter(|(index, _)| moves(*index)).map(|(_, entry)| entry).sum::<f64>()
    };
    let corner = |from: &[f64], direction: &[f64], side: f64| -> Vec<f64> {
        let along = |(u, v): (&f64, &f64)| if *v == 0.0 { *u } else { side * sign_of(*v) };
        from.iter().zip(direction).map(along).collect()
    };
    // A rise that rounding of the loss explains is none.
    let noise = 8.0 * UNIT_ROUNDOFF * start.abs();
    if unexplained(peak.value - start, promise, mean_rise(&|_| true)) {
        if moving.iter().filter(|moves| **moves).count() <= CORNERS {
            peak = peak.or(climb_from(best_corner(around, &moving)));
        }
        let centre = vec![0.0; parameters];
        match around.curvature(&centre, &moving) {
            Some(curvature) if 0.5 * curvature.value * parameters as f64 > noise => {
                peak.iterations += curvature.products;
                for side in [1.0, -1.0] {
                    peak = peak.or(climb_from(corner(&centre, &curvature.direction, side)));
                }
                peak.converged &= peak.value > start;
            }
            Some(curvature) => peak.iterations += curvature.products,
            None => peak.converged = false,
        }
        // At a kink the derivatives are those of one side. The corners that no permutation of units changes look at others.
        if !(peak.value > start) && around.objective.model.is_piecewise_linear() {
            for side in [1.0, -1.0] {
                peak = peak.or(climb_from(vec![side; parameters]));
            }
        }
    }
    for _ in 0..ROUNDS {
        let (_, gradient) = around.objective.gradient(&around.parameters(&peak.u));
        let slopes: Vec<f64> = gradient.iter().zip(around.unit).map(|(slope, unit)| (slope * unit).abs()).collect();
        let steepest = slopes.iter().fold(0.0, |top: f64, slope| top.max(*slope));
        let rests = |index: usize| moving[index] && peak.u[index].abs() < 1.0 && slopes[index] <= AT_REST * steepest;
        let at_rest: Vec<bool> = (0..parameters).map(rests).collect();
        // Where the network is piecewise linear the diagonal tells that nothing is to be gained, as for dead units; elsewhere
        // curvature may lie off the diagonal alone.
        let gain = mean_rise(&|index| at_rest[index]);
        let hidden = !around.objective.model.is_piecewise_linear();
        if !at_rest.contains(&true) || !(hidden || gain > (MATTERS * (peak.value - start)).max(noise)) {
            break;
        }
        let Some(curvature) = around.curvature(&peak.u, &at_rest) else {
            peak.converged = false;
            break;
        };
        peak.iterations += curvature.products;
        if !(0.5 * curvature.value * parameters as f64 > noise) {
            break;
        }
        let before = peak.value;
        for side in [1.0, -1.0] {
            let next = corner(&peak.u, &curvature.direction, side);
            peak = peak.or(climb_from(next));
        }
        if !(peak.value > before + noise) {
            peak.converged &= peak.value > before;
            break;
        }
    }
    peak
}

/// The corner with the largest loss; the first of several in binary order, coordinates that stay left out.
fn best_corner(around: &Surroundings, moving: &[bool]) -> Vec<f64> {
    let coordinates: Vec<usize> = (0..moving.len()).filter(|&index| moving[index]).collect();
    let corner = |number: usize| -> Vec<f64> {
        let mut u = vec![0.0; moving.len()];
        for (position, &index) in coordinates.iter().enumerate() {
            u[index] = if number >> position & 1 == 1 { 1.0 } else { -1.0 };
        }
        u
    };
    let mut best = (f64::NEG_INFINITY, 0);
    for number in 0..1 << coordinates.len() {
        let value = around.objective.value(&around.parameters(&corner(number)));
        if value > best.0 && value.is_finite() {
            best = (value, number);
        }
    }
    corner(best.1)
}

/// As [`climb_box`] for a ball of the given radius: it goes on along both directions of the largest curvature.
pub(super) fn climb_ball(
    around: &Surroundings,
    radius: f64,
    outward: Vec<f64>,
    climb_from: impl Fn(Vec<f64>) -> Peak,
) -> Peak {
    let parameters = around.theta.len();
    let mut peak = climb_from(vec![0.0; parameters]).or(climb_from(outward));
    let moving: Vec<bool> = around.unit.iter().map(|unit| *unit > 0.0).collect();
    let count = moving.iter().filter(|moves| **moves).count();
    if count == 0 || radius == 0.0 {
        return peak;
    }
    let (start, slope, diagonal) = around.at_centre();
    let promise = radius * crate::numeric::linalg::norm(&slope);
    let average = 0.5 * radius * radius * diagonal.iter().sum::<f64>() / count as f64;
    if !unexplained(peak.value - start, promise, average) {
        return peak;
    }
    let noise = 8.0 * UNIT_ROUNDOFF * start.abs();
    match around.curvature(&vec![0.0; parameters], &moving) {
        Some(curvature) => {
            peak.iterations += curvature.products;
            if 0.5 * curvature.value * radius * radius > noise {
                for side in [radius, -radius] {
                    peak = peak.or(climb_from(curvature.direction.iter().map(|v| side * v).collect()));
                }
                peak.converged &= peak.value > start;
            }
        }
        None => peak.converged = false,
    }
    if !(peak.value > start) && around.objective.model.is_piecewise_linear() {
        let share = radius / (count as f64).sqrt();
        for side in [share, -share] {
            peak = peak.or(climb_from(moving.iter().map(|moves| if *moves { side } else { 0.0 }).collect()));
        }
    }
    peak
}
