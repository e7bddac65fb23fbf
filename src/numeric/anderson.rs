//! Anderson acceleration of fixed-point iterations `x <- g(x)` (Walker and Ni 2011).
//!
//! Of the last few iterates it takes the combination whose residual `g(x) - x` is smallest as if residuals were linear, and
//! steps from there: a quasi-Newton method in the space of the last steps. The fixed point is that of `g`.

use crate::numeric::linalg::{add_scaled, dot, norm};

/// Steps that are combined.
const STEPS: usize = 3;
/// A change of the residual is left out where less than this share of it is new: the others span it.
const NEW_SHARE: f64 = 1e-6;

/// The last steps of an iteration.
#[derive(Debug, Default)]
pub(crate) struct Anderson {
    /// Changes of iterate and residual, newest first.
    changes: Vec<(Vec<f64>, Vec<f64>)>,
    /// Last iterate and residual.
    last: Option<(Vec<f64>, Vec<f64>)>,
}

impl Anderson {
    /// The next iterate after `x` with residual `g(x) - x`: `x + damping (g(x) - x)` without a past, and whether there is one.
    pub fn next(&mut self, x: Vec<f64>, residual: Vec<f64>, damping: f64) -> (Vec<f64>, bool) {
        if let Some((last_x, last_residual)) = self.last.take() {
            let change = |now: &[f64], before: &[f64]| now.iter().zip(before).map(|(a, b)| a - b).collect();
            self.changes.insert(0, (change(&x, &last_x), change(&residual, &last_residual)));
            self.changes.truncate(STEPS);
        }
        let mut next = plain(&x, &residual, damping);
        // Gram and Schmidt on the changes of the residual, with the steps that belong to them carried along.
        let mut orthogonal: Vec<(Vec<f64>, Vec<f64>)> = Vec::with_capacity(STEPS);
        for (of_x, of_residual) in &self.changes {
            let (mut step, mut direction) = (of_x.clone(), of_residual.clone());
            add_scaled(&mut step, damping, of_residual);
            for (known_step, known) in &orthogonal {
                let overlap = dot(known, &direction);
                add_scaled(&mut direction, -overlap, known);
                add_scaled(&mut step, -overlap, known_step);
            }
            let length = norm(&direction);
            if !(length > NEW_SHARE * norm(of_residual)) {
                continue;
            }
            step.iter_mut().chain(&mut direction).for_each(|entry| *entry /= length);
            add_scaled(&mut next, -dot(&direction, &residual), &step);
            orthogonal.push((step, direction));
        }
        self.last = Some((x, residual));
        (next, !orthogonal.is_empty())
    }

    /// Forgets the past, which led astray, and takes the step from the last iterate that needs none.
    pub fn step_back(&mut self, damping: f64) -> Vec<f64> {
        self.changes.clear();
        let (x, residual) = self.last.take().expect("it has led somewhere");
        plain(&x, &residual, damping)
    }
}

fn plain(x: &[f64], residual: &[f64], damping: f64) -> Vec<f64> {
    let mut next = x.to_vec();
    add_scaled(&mut next, damping, residual);
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iterations(mut residual: impl FnMut(&[f64]) -> Vec<f64>, start: &[f64]) -> (Vec<f64>, usize) {
        let (mut x, mut anderson) = (start.to_vec(), Anderson::default());
        for iteration in 0..200 {
            let now = residual(&x);
            if norm(&now) <= 1e-12 {
                return (x, iteration);
            }
            (x, _) = anderson.next(x, now, 1.0);
        }
        panic!("no fixed point in 200 iterations: {x:?}");
    }

    /// `g(x) = A x + b` of three dimensions, where plain iterations need some hundreds (0.95) or never end (-1.5): four
    /// residuals span the space, so five iterations are enough.
    #[test]
    fn linear_maps_end_after_as_many_steps_as_there_are_dimensions() {
        let slopes = [0.95, 0.3, -1.5];
        let residual = |x: &[f64]| x.iter().zip(slopes).map(|(x, slope)| (slope - 1.0) * x + 1.0).collect();
        let (x, count) = iterations(residual, &[5.0, -2.0, 0.1]);
        assert!(count <= 5, "{count}");
        for (x, slope) in x.iter().zip(slopes) {
            assert!((x - 1.0 / (1.0 - slope)).abs() <= 1e-11, "{x}");
        }
    }

    #[test]
    fn curved_maps_keep_their_fixed_point() {
        let (x, count) = iterations(|x| vec![x[0].cos() - x[0], 0.9 * x[1].sin() + 0.05 * x[0] - x[1]], &[3.0, 2.0]);
        assert!((x[0].cos() - x[0]).abs() <= 1e-12 && count < 40, "{x:?} after {count}");
    }

    #[test]
    fn the_past_is_forgotten_where_it_led_astray() {
        let mut anderson = Anderson::default();
        assert_eq!(anderson.next(vec![0.0], vec![1.0], 0.5), (vec![0.5], false));
        // A slope of 0.4: the root of the residual is at 5/3.
        let (next, is_accelerated) = anderson.next(vec![0.5], vec![0.7], 0.5);
        assert!(is_accelerated && (next[0] - 5.0 / 3.0).abs() <= 1e-15, "{next:?}");
        assert_eq!(anderson.step_back(0.5), vec![0.85]);
        assert_eq!(anderson.next(vec![0.85], vec![0.2], 1.0), (vec![1.05], false));
    }
}
