//! L-BFGS-B: limited-memory quasi-Newton with bounds (Byrd, Lu, Nocedal and Zhu 1995).
//!
//! Minimises `f = -L` over the box `[-1, 1]^P` of a [`Domain`]. With `B = t I - W M W^T` the compact form of
//! the quasi-Newton matrix, an iteration follows the projected steepest descent path to the first minimum
//! of the model (the Cauchy point, section 4), minimises the model over the coordinates still free
//! (direct primal method, section 5.1), and searches the line to what it found.

use super::{Domain, Peak, SignAscent};
use crate::numeric::linalg::{add_scaled, dot};
use ndarray::{Array1, Array2};
use std::collections::VecDeque;

/// A pair of step and gradient change is kept if `s.y` exceeds this share of `y.y`.
const CURVATURE: f64 = 2.2e-16;
/// Curvature of a model without pairs, in units of the mean absolute gradient.
const INITIAL_CURVATURE: f64 = 1e-3;
/// Sufficient decrease (Armijo).
const DECREASE: f64 = 1e-4;
/// Points tried lie on a grid of this many to a radius. The path of a quasi-Newton method magnifies rounding from
/// step to step; on a grid, differences far below its spacing are forgotten after each step instead, and two views of
/// one problem (before and after a rescaling) stay on one path.
const GRID: f64 = (1_u64 << 24) as f64;
/// First step, in radii, of the sign ascent that ends it.
const POLISH: f64 = 0.01;
/// Trials of a line search.
const TRIALS: usize = 20;
/// An iteration that gains less than this share of the whole rise ends the ascent.
const LEAST_GAIN: f64 = 1e-12;
/// The projected gradient has vanished below this share of the loss change the first one promises.
const LEAST_GRADIENT: f64 = 1e-12;

/// Settings.
#[derive(Debug, Clone, Copy)]
pub struct Lbfgsb {
    /// Pairs of steps and gradient changes kept.
    pub memory: usize,
    /// Most iterations from each start; Keskar et al. allow 10.
    pub max_iterations: usize,
}

impl Default for Lbfgsb {
    fn default() -> Self {
        Self { memory: 10, max_iterations: 10 }
    }
}

impl Lbfgsb {
    /// Climbs from the centre, from the outward corner, and on along curvature from where nothing moves.
    pub fn climb(&self, domain: &Domain) -> Peak {
        domain.climb(|u| self.climb_from(domain, u))
    }

    fn climb_from(&self, domain: &Domain, mut u: Vec<f64>) -> Peak {
        let descent = |u: &[f64]| {
            let (value, mut gradient) = domain.gradient(u);
            gradient.iter_mut().for_each(|g| *g = -*g);
            (-value, gradient)
        };
        let (first, mut gradient) = descent(&u);
        let mut value = first;
        let promise: f64 = gradient.iter().map(|g| g.abs()).sum();
        let mut model = QuasiNewton::new(self.memory, &gradient);
        let (mut iterations, mut converged) = (1, false);
        for _ in 0..self.max_iterations {
            let slope = u.iter().zip(&gradient).map(|(u, g)| ((u - g).clamp(-1.0, 1.0) - u).abs()).fold(0.0, f64::max);
            if slope <= LEAST_GRADIENT * promise {
                converged = true;
                break;
            }
            let matrices = model.matrices();
            let (cauchy, along) = matrices.cauchy_point(&u, &gradient);
            let target = matrices.subspace_minimum(&u, &gradient, cauchy, &along);
            let direction: Vec<f64> = target.iter().zip(&u).map(|(target, u)| target - u).collect();
            let descent_rate = dot(&direction, &gradient);
            let step = (descent_rate < 0.0)
                .then(|| search(&u, value, &direction, descent_rate, &mut iterations, &descent))
                .flatten();
            let Some((next, next_value, next_gradient)) = step else {
                if model.pairs.is_empty() {
                    converged = true;
                    break;
                }
                // The model misleads: begin it anew.
                model = QuasiNewton::new(self.memory, &gradient);
                continue;
            };
            let gain = value - next_value;
            model.update(&next, &u, &next_gradient, &gradient);
            (u, value, gradient) = (next, next_value, next_gradient);
            if gain <= LEAST_GAIN * (first - value) {
                converged = true;
                break;
            }
        }
        // The last few digits by signs alone, which rounding does not lead astray.
        let polished = SignAscent::default().climb_from(domain, u.clone(), POLISH);
        Peak { value: -value, u, iterations, converged }.or(polished)
    }
}

type Step = (Vec<f64>, f64, Vec<f64>);

/// Backtracking from the full step by quadratic interpolation.
fn search(
    u: &[f64],
    value: f64,
    direction: &[f64],
    rate: f64,
    iterations: &mut usize,
    descent: &impl Fn(&[f64]) -> (f64, Vec<f64>),
) -> Option<Step> {
    let mut length = 1.0;
    for _ in 0..TRIALS {
        let on_grid = |u: f64| (u.clamp(-1.0, 1.0) * GRID).round() / GRID;
        let next: Vec<f64> = u.iter().zip(direction).map(|(u, d)| on_grid(u + length * d)).collect();
        let (found, gradient) = descent(&next);
        *iterations += 1;
        if found.is_finite() && found <= value + DECREASE * length * rate && found < value {
            return Some((next, found, gradient));
        }
        let interpolated = -rate * length * length / (2.0 * (found - value - length * rate));
        length = if interpolated.is_finite() { interpolated.clamp(0.1 * length, 0.5 * length) } else { 0.1 * length };
    }
    None
}

/// The last pairs of steps and gradient changes.
struct QuasiNewton {
    memory: usize,
    pairs: VecDeque<(Vec<f64>, Vec<f64>)>,
    scale: f64,
}

impl QuasiNewton {
    /// No pairs yet, and a curvature so small that the model's minimum lies at the sides of the box: within it a
    /// loss is close to linear, and what is too far the line search takes back.
    fn new(memory: usize, gradient: &[f64]) -> Self {
        let mean = gradient.iter().map(|g| g.abs()).sum::<f64>() / gradient.len() as f64;
        let scale = if mean > 0.0 { INITIAL_CURVATURE * mean } else { 1.0 };
        Self { memory, pairs: VecDeque::new(), scale }
    }

    fn update(&mut self, next: &[f64], u: &[f64], next_gradient: &[f64], gradient: &[f64]) {
        let difference = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a - b).collect() };
        let (s, y) = (difference(next, u), difference(next_gradient, gradient));
        let (sy, yy) = (dot(&s, &y), dot(&y, &y));
        if sy > CURVATURE * yy && sy > 0.0 {
            self.scale = yy / sy;
            self.pairs.push_back((s, y));
            if self.pairs.len() > self.memory {
                self.pairs.pop_front();
            }
        }
    }

    /// `W = [Y, t S]` by rows of coordinates and `M = [[-D, L^T], [L, t S^T S]]^-1` (equations 3.3, 3.4).
    fn matrices(&self) -> Compact {
        let m = self.pairs.len();
        let mut inverse = Array2::zeros((2 * m, 2 * m));
        for (i, (s_i, _)) in self.pairs.iter().enumerate() {
            for (j, (s_j, y_j)) in self.pairs.iter().enumerate() {
                let sy = dot(s_i, y_j);
                if i == j {
                    inverse[[i, i]] = -sy;
                } else if i > j {
                    inverse[[m + i, j]] = sy;
                    inverse[[j, m + i]] = sy;
                }
                inverse[[m + i, m + j]] = self.scale * dot(s_i, s_j);
            }
        }
        let columns = (self.pairs.iter().map(|(_, y)| y.clone()))
            .chain(self.pairs.iter().map(|(s, _)| s.iter().map(|s| self.scale * s).collect()));
        match solve_matrix(inverse, Array2::eye(2 * m)) {
            Some(middle) => Compact { scale: self.scale, columns: columns.collect(), middle },
            None => Compact { scale: self.scale, columns: Vec::new(), middle: Array2::zeros((0, 0)) },
        }
    }
}

/// `B = scale I - W M W^T`.
struct Compact {
    scale: f64,
    columns: Vec<Vec<f64>>,
    middle: Array2<f64>,
}

impl Compact {
    /// Row `index` of `W`.
    fn row(&self, index: usize) -> Array1<f64> {
        self.columns.iter().map(|column| column[index]).collect()
    }

    /// The generalised Cauchy point and `c = W^T (x_c - x)` (algorithm CP).
    fn cauchy_point(&self, u: &[f64], gradient: &[f64]) -> (Vec<f64>, Array1<f64>) {
        let breakpoint = |index: usize| {
            let g = gradient[index];
            if g < 0.0 {
                (u[index] - 1.0) / g
            } else if g > 0.0 {
                (u[index] + 1.0) / g
            } else {
                f64::INFINITY
            }
        };
        let breakpoints: Vec<f64> = (0..u.len()).map(breakpoint).collect();
        let mut direction: Vec<f64> =
            gradient.iter().zip(&breakpoints).map(|(g, t)| if *t > 0.0 { -g } else { 0.0 }).collect();
        let mut order: Vec<usize> = (0..u.len()).filter(|&i| breakpoints[i] > 0.0 && direction[i] != 0.0).collect();
        order.sort_by(|&a, &b| breakpoints[a].total_cmp(&breakpoints[b]));
        let mut p: Array1<f64> = self.columns.iter().map(|column| dot(column, &direction)).collect();
        let mut c = Array1::zeros(p.len());
        let square = dot(&direction, &direction);
        let mut first = -square;
        let mut second = self.scale * square - p.dot(&self.middle.dot(&p));
        let floor = f64::EPSILON * second.abs().max(f64::MIN_POSITIVE);
        let mut point = u.to_vec();
        let mut passed = 0.0;
        for index in order {
            let interval = breakpoints[index] - passed;
            if -first / second.max(floor) < interval {
                break;
            }
            // The coordinate meets its bound and stays there.
            let g = gradient[index];
            let bound = if direction[index] > 0.0 { 1.0 } else { -1.0 };
            point[index] = bound;
            let moved = bound - u[index];
            c.scaled_add(interval, &p);
            let w = self.row(index);
            let middle_w = self.middle.dot(&w);
            first += interval * second + g * g + self.scale * g * moved - g * middle_w.dot(&c);
            second -= self.scale * g * g + 2.0 * g * middle_w.dot(&p) + g * g * w.dot(&middle_w);
            p.scaled_add(g, &w);
            direction[index] = 0.0;
            passed = breakpoints[index];
        }
        let least = (-first / second.max(floor)).max(0.0);
        let reached = passed + if least.is_finite() { least } else { 0.0 };
        for index in 0..u.len() {
            if direction[index] != 0.0 {
                point[index] = (u[index] + reached * direction[index]).clamp(-1.0, 1.0);
            }
        }
        c.scaled_add(reached - passed, &p);
        (point, c)
    }

    /// Minimises the model over the coordinates inside the box at the Cauchy point, others fixed, and stops at
    /// the box.
    fn subspace_minimum(&self, u: &[f64], gradient: &[f64], cauchy: Vec<f64>, along: &Array1<f64>) -> Vec<f64> {
        let free: Vec<usize> = (0..u.len()).filter(|&index| cauchy[index].abs() < 1.0).collect();
        if free.is_empty() || self.columns.is_empty() {
            return cauchy;
        }
        let middle_c = self.middle.dot(along);
        let mut reduced: Vec<f64> = free.iter().map(|&i| gradient[i] + self.scale * (cauchy[i] - u[i])).collect();
        let columns: Vec<Vec<f64>> =
            self.columns.iter().map(|column| free.iter().map(|&index| column[index]).collect()).collect();
        for (column, weight) in columns.iter().zip(&middle_c) {
            add_scaled(&mut reduced, -weight, column);
        }
        let projected: Array1<f64> = columns.iter().map(|column| dot(column, &reduced)).collect();
        let gram = Array2::from_shape_fn((columns.len(), columns.len()), |(i, j)| dot(&columns[i], &columns[j]));
        let n = Array2::eye(columns.len()) - self.middle.dot(&gram) / self.scale;
        let right = self.middle.dot(&projected).insert_axis(ndarray::Axis(1));
        let Some(v) = solve_matrix(n, right) else { return cauchy };
        let mut step: Vec<f64> = reduced.iter().map(|r| -r / self.scale).collect();
        for (column, weight) in columns.iter().zip(v.column(0)) {
            add_scaled(&mut step, -weight / (self.scale * self.scale), column);
        }
        let mut length = 1.0_f64;
        for (&index, step) in free.iter().zip(&step) {
            let room = if *step > 0.0 { 1.0 - cauchy[index] } else { -1.0 - cauchy[index] };
            if *step != 0.0 {
                length = length.min(room / step);
            }
        }
        let mut target = cauchy;
        for (&index, step) in free.iter().zip(&step) {
            target[index] = (target[index] + length * step).clamp(-1.0, 1.0);
        }
        target
    }
}

/// `a^-1 b` for a small general matrix by elimination with row exchanges; `None` if it is singular.
fn solve_matrix(mut a: Array2<f64>, mut b: Array2<f64>) -> Option<Array2<f64>> {
    let n = a.nrows();
    for k in 0..n {
        let pivot = (k..n).max_by(|&i, &j| a[[i, k]].abs().total_cmp(&a[[j, k]].abs()))?;
        if !(a[[pivot, k]].abs() > 0.0 && a[[pivot, k]].is_finite()) {
            return None;
        }
        for column in 0..n {
            a.swap([k, column], [pivot, column]);
        }
        for column in 0..b.ncols() {
            b.swap([k, column], [pivot, column]);
        }
        for i in k + 1..n {
            let factor = a[[i, k]] / a[[k, k]];
            for column in k..n {
                a[[i, column]] -= factor * a[[k, column]];
            }
            for column in 0..b.ncols() {
                b[[i, column]] -= factor * b[[k, column]];
            }
        }
    }
    for k in (0..n).rev() {
        for column in 0..b.ncols() {
            let sum: f64 = (k + 1..n).map(|j| a[[k, j]] * b[[j, column]]).sum();
            b[[k, column]] = (b[[k, column]] - sum) / a[[k, k]];
        }
    }
    Some(b)
}
