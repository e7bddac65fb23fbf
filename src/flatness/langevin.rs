//! Langevin chains that sample `exp(-n beta L(w) - gamma/2 |w - w0|^2)`.

use crate::numeric::Streams;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

/// Acceptance rate that is best for Langevin proposals in many dimensions (Roberts and Rosenthal 1998).
const TARGET_ACCEPTANCE: f64 = 0.574;

/// A loss as a function of parameters.
pub trait Potential: Sync {
    /// `L(w)` and its gradient.
    fn gradient(&self, w: &[f64]) -> (f64, Vec<f64>);

    /// An unbiased estimate of both, from a minibatch; all of it by default.
    fn noisy_gradient(&self, w: &[f64], _generator: &mut ChaCha8Rng) -> (f64, Vec<f64>) {
        self.gradient(w)
    }
}

/// What is sampled, and in which coordinates.
pub struct Target<'t> {
    /// `L`.
    pub potential: &'t dyn Potential,
    /// `n beta`.
    pub weight: f64,
    /// Centre `w0`, where chains start.
    pub centre: &'t [f64],
    /// `gamma` in each coordinate.
    pub precision: &'t [f64],
    /// Square of the length of a unit step in each coordinate.
    pub metric: &'t [f64],
    /// Turns standard normal numbers, one a coordinate, into a random unit step (covariance `diag(metric)`).
    pub unit_step: &'t (dyn Fn(Vec<f64>) -> Vec<f64> + Sync),
}

/// What a chain did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ChainReport {
    /// Mean of `L` after the dropped steps.
    pub mean: f64,
    /// Means of the first and the second half of these.
    pub halves: [f64; 2],
    /// Share of proposals accepted; 1 for chains that reject nothing.
    pub acceptance: f64,
    /// Step size at the end.
    pub step: f64,
}

impl Target<'_> {
    /// Log density and its gradient, and `L`.
    fn state(&self, w: Vec<f64>) -> State {
        let (loss, mut gradient) = self.potential.gradient(&w);
        let mut log_density = -self.weight * loss;
        for (index, gradient) in gradient.iter_mut().enumerate() {
            let away = w[index] - self.centre[index];
            log_density -= 0.5 * self.precision[index] * away * away;
            *gradient = -self.weight * *gradient - self.precision[index] * away;
        }
        State { w, loss, log_density, gradient }
    }

    /// The time for which a proposal drifts along the gradient: half the step, cut short where the drift would exceed
    /// the typical length of the noise. Far out in a potential that grows faster than a square the full drift
    /// overshoots, and a chain would stay there for very long (Roberts and Tweedie 1996, section 4).
    fn drift_time(&self, from: &State, step: f64) -> f64 {
        let square: f64 = self.metric.iter().zip(&from.gradient).map(|(metric, g)| metric * g * g).sum();
        let noise = (step * self.metric.len() as f64).sqrt();
        let full = 0.5 * step;
        if full * square.sqrt() > noise { noise / square.sqrt() } else { full }
    }

    /// `log q(to | from)` of a Langevin proposal, up to a constant.
    fn log_proposal(&self, from: &State, to: &State, step: f64) -> f64 {
        let time = self.drift_time(from, step);
        let mut sum = 0.0;
        for (index, metric) in self.metric.iter().enumerate() {
            let drift = time * metric * from.gradient[index];
            let away = to.w[index] - from.w[index] - drift;
            sum -= away * away / (2.0 * step * metric);
        }
        sum
    }

    fn unit(&self, generator: &mut ChaCha8Rng) -> Vec<f64> {
        (self.unit_step)((0..self.centre.len()).map(|_| StandardNormal.sample(generator)).collect())
    }
}

struct State {
    w: Vec<f64>,
    loss: f64,
    log_density: f64,
    gradient: Vec<f64>,
}

/// Steps of a chain: those dropped while it settles, and those kept.
#[derive(Debug, Clone, Copy)]
pub struct Length {
    /// Dropped; the step size adapts during these.
    pub burn_in: usize,
    /// Kept.
    pub kept: usize,
}

/// Independent chains of Metropolis-adjusted Langevin steps with truncated drift (Roberts and Tweedie 1996), all from
/// the centre.
pub fn adjusted_chains(target: &Target, chains: usize, length: Length, streams: Streams) -> Vec<ChainReport> {
    (0..chains)
        .into_par_iter()
        .map(|chain| adjusted_chain(target, length, streams.stream("langevin", chain as u64)))
        .collect()
}

fn adjusted_chain(target: &Target, length: Length, mut generator: ChaCha8Rng) -> ChainReport {
    let mut state = target.state(target.centre.to_vec());
    let mut step = 1e-3;
    let mut losses = Vec::with_capacity(length.kept);
    let mut accepted = 0;
    for iteration in 0..length.burn_in + length.kept {
        let unit = target.unit(&mut generator);
        let time = target.drift_time(&state, step);
        let proposal: Vec<f64> = (0..unit.len())
            .map(|i| state.w[i] + time * target.metric[i] * state.gradient[i] + step.sqrt() * unit[i])
            .collect();
        let proposed = target.state(proposal);
        let log_ratio = proposed.log_density - state.log_density + target.log_proposal(&proposed, &state, step)
            - target.log_proposal(&state, &proposed, step);
        // A proposal of undefined density is never accepted.
        let probability = if log_ratio.is_nan() { 0.0 } else { log_ratio.exp().min(1.0) };
        let accept = generator.random::<f64>() < probability;
        if accept {
            state = proposed;
        }
        if iteration < length.burn_in {
            // Robbins and Monro 1951, in large steps first.
            let gain = 2.0 / (1.0 + iteration as f64 / 10.0).powf(0.7);
            step *= (gain * (probability - TARGET_ACCEPTANCE)).exp();
        } else {
            accepted += usize::from(accept);
            losses.push(state.loss);
        }
    }
    report(&losses, accepted as f64 / length.kept as f64, step)
}

/// Independent chains of stochastic gradient Langevin dynamics (Welling and Teh 2011) with a fixed step; the
/// stationary distribution is off by the order of the step and of the minibatch noise.
pub fn stochastic_chains(
    target: &Target,
    chains: usize,
    length: Length,
    step: f64,
    streams: Streams,
) -> Vec<ChainReport> {
    let chain = |chain: usize| {
        let mut generator = streams.stream("langevin", chain as u64);
        let mut w = target.centre.to_vec();
        let mut losses = Vec::with_capacity(length.kept);
        for iteration in 0..length.burn_in + length.kept {
            let (loss, gradient) = target.potential.noisy_gradient(&w, &mut generator);
            if iteration >= length.burn_in {
                losses.push(loss);
            }
            let unit = target.unit(&mut generator);
            for i in 0..w.len() {
                let pull = target.weight * gradient[i] + target.precision[i] * (w[i] - target.centre[i]);
                w[i] += step.sqrt() * unit[i] - 0.5 * step * target.metric[i] * pull;
            }
        }
        report(&losses, 1.0, step)
    };
    (0..chains).into_par_iter().map(chain).collect()
}

fn report(losses: &[f64], acceptance: f64, step: f64) -> ChainReport {
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let (first, second) = losses.split_at(losses.len() / 2);
    ChainReport { mean: mean(losses), halves: [mean(first), mean(second)], acceptance, step }
}
