//! Sharpness by stochastic gradient ascent, as Zhang et al. 2021 compute it.

use super::{Domain, Peak};
use crate::model::Objective;
use crate::numeric::Streams;
use ndarray::Axis;
use rand::seq::SliceRandom;

/// Plain SGD up the loss of shuffled minibatches (an incomplete last one is dropped), clipped to the box
/// after each step; the loss of all data is taken after each epoch and the largest counts. Zhang et al.
/// look after each step, and their settings are the defaults.
#[derive(Debug, Clone, Copy)]
pub struct SgdAscent {
    /// Passes over the data.
    pub epochs: usize,
    /// Samples in a minibatch.
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
    /// Climbs from the centre; the order of samples is drawn from `streams`.
    pub fn climb(&self, domain: &Domain, streams: Streams) -> Peak {
        let objective = domain.objective;
        let mut order: Vec<usize> = (0..objective.samples()).collect();
        let batch = self.batch.clamp(1, order.len());
        let mut u = vec![0.0; domain.theta.len()];
        let mut best = Peak { value: objective.value(domain.theta), u: u.clone(), iterations: 0, converged: true };
        for epoch in 0..self.epochs {
            order.shuffle(&mut streams.stream("sharpness by sgd", epoch as u64));
            for rows in order.chunks_exact(batch) {
                let inputs = objective.inputs.select(Axis(0), rows);
                let targets = objective.targets.select(Axis(0), rows);
                let part = Objective { inputs: inputs.view(), targets: targets.view(), ..*objective };
                let (_, gradient) = part.gradient(&domain.parameters(&u));
                for (((u, gradient), radius), metric) in
                    u.iter_mut().zip(&gradient).zip(domain.radii).zip(domain.metric)
                {
                    if *radius > 0.0 {
                        *u = (*u + self.rate * metric * gradient / radius).clamp(-1.0, 1.0);
                    }
                }
                best.iterations += 1;
            }
            let value = objective.value(&domain.parameters(&u));
            if value > best.value && value.is_finite() {
                best.value = value;
                best.u.clone_from(&u);
            }
        }
        best
    }
}
