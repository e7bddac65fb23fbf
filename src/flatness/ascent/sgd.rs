//! Sharpness by stochastic gradient ascent, as Zhang et al. 2021 compute it.

use super::{Domain, Peak};
use crate::model::Objective;
use ndarray::s;

/// Plain SGD up the loss of mini-batches, clipped to the box after each step; the loss of all data is taken after
/// each step and the largest counts.
///
/// The defaults are those of the program published with the source for its fully connected networks
/// (`sofuncheung/ICML_2021`, `FCN/sharpness-generalization.py`). For its ResNet-50 it takes rate 1, mini-batches of
/// 128 and `eps` 1e-5.
///
/// A mini-batch is the next `batch` rows in the order of the data, the last one of an epoch what is left: that program
/// never reorders rows, neither here nor in training (its `shuffle` permutes a copy and drops it), so nothing is drawn.
/// This ascent differs from it in three ways:
/// - the centre counts among the points whose loss is compared, so that a rise is never negative;
/// - where `batch` divides the number of rows, that program takes the first mini-batch of every epoch once more at its
///   end; it is not taken twice here;
/// - for the ResNet it reorders rows, drops an incomplete last mini-batch, and compares the mean loss of an epoch's
///   mini-batches, normalised by the batch's own statistics; here it is the loss of all data at stored statistics.
#[derive(Debug, Clone, Copy)]
pub struct SgdAscent {
    /// Passes over the data.
    pub epochs: usize,
    /// Samples in a mini-batch.
    pub batch: usize,
    /// Learning rate.
    pub rate: f64,
}

impl Default for SgdAscent {
    fn default() -> Self {
        Self { epochs: 100, batch: 32, rate: 1e-3 }
    }
}

impl SgdAscent {
    /// Climbs from the centre.
    pub fn climb(&self, domain: &Domain) -> Peak {
        self.climb_watched(domain, &mut |_, _| {})
    }

    /// The same; `watch` is called with the loss of all data and with `u` after every step.
    pub fn climb_watched(&self, domain: &Domain, watch: &mut dyn FnMut(f64, &[f64])) -> Peak {
        let objective = domain.objective;
        let rows = objective.sample_count();
        let batch = self.batch.clamp(1, rows);
        let mut u = vec![0.0; domain.theta.len()];
        let mut best = Peak { value: objective.value(domain.theta), u: u.clone(), iterations: 0, converged: true };
        for _ in 0..self.epochs {
            for first in (0..rows).step_by(batch) {
                let part = first..(first + batch).min(rows);
                let inputs = objective.inputs.slice(s![part.clone(), ..]);
                let targets = objective.targets.slice(s![part, ..]);
                let part = Objective { inputs, targets, ..*objective };
                let (_, gradient) = part.gradient(&domain.parameters(&u));
                for (((u, gradient), radius), metric) in
                    u.iter_mut().zip(&gradient).zip(domain.radii).zip(domain.metric)
                {
                    if *radius > 0.0 {
                        *u = (*u + self.rate * metric * gradient / radius).clamp(-1.0, 1.0);
                    }
                }
                best.iterations += 1;
                let value = objective.value(&domain.parameters(&u));
                watch(value, &u);
                if !value.is_finite() {
                    // Overflow within the box: every later step would start from it.
                    best.converged = false;
                    return best;
                }
                if value > best.value {
                    best.value = value;
                    best.u.clone_from(&u);
                }
            }
        }
        best
    }
}
