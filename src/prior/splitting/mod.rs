//! Multilevel splitting (Holmes-Diaconis-Ross, as in Gessner, Kanjilal and Hennig 2020) with margins that are soft.
//!
//! The event is reached through nested ones, `{h_i >= -gamma_t E_i for all i}`, with `gamma_1 > ... > gamma_T = 0` and
//! independent exponentials `E_i`: a margin of its own for each value. Of those in one event that are at `h`, a share of
//! `exp(-(1 / gamma_(t+1) - 1 / gamma_t) v(h))` is in the next, `v(h) = sum_i max(-h_i, 0)`. A population from the prior is
//! weighted by that share, multiplied by resampling where the weights have become uneven, and moved by Markov steps that
//! leave the Gaussian softened by `gamma_t` invariant (see `moves.rs`). The product of the mean weights is unbiased for `P`
//! for *any* number of steps, because the levels are fixed beforehand, by a pilot population of its own seed.
//!
//! One margin `E_i = 1` for all values, and the survivors counted, is the usual way. Levels of probability `p` then have
//! relative variance `(1 - p) / p` a particle, in sum more than `|log P|` however many they are; that of soft levels is one
//! over their number `T`: some `5 n / T` for `n` independent points.
//!
//! No look-ahead, no tilt, no inverse: it shares nothing with the other samplers that could be wrong in both.

mod moves;

use crate::description::{Description, references};
use crate::numeric::Streams;
use crate::prior::monte_carlo::{self, Plan};
use crate::prior::options::Deadline;
use crate::prior::particles::{copy_ancestors, summarise, systematic_ancestors};
use crate::prior::problem::{Reduced, check_link, decided_for_sampling, reduce};
use crate::prior::tolerance::LEAST_REPLICATES;
use crate::prior::{Exactness, Gram, Labels, Link, LogProb, LogProbMethod, PriorError, PriorOptions};
use moves::Gaussian;
use ndarray::{Array2, Axis};
use rayon::prelude::*;
use std::time::Instant;

/// Replicates of the default effort.
const REPLICATES: usize = LEAST_REPLICATES;
/// Particles of a replicate at the least; there are no fewer than points.
///
/// With levels of [`level_variance`] the variance of a replicate's log is below 1 then, where the mean of replicates takes no
/// more work than one of fewer and larger ones.
const LEAST_PARTICLES: usize = 256;
/// Relative variance of the shares by which the pilot lets a level weight its particles, at `n` points.
///
/// Levels are in proportion to `sqrt(n / variance)`, and so are sweeps, of which there is one a level; what a replicate gathers
/// is in proportion to `sqrt(n variance)`, which is the same from 4 to 100 points. Beyond, less would be lost to the work: as much
/// of it in more particles at fewer levels loses where a population has not settled from one level to the next.
fn level_variance(points: usize) -> f64 {
    (2.0 / points as f64).clamp(0.02, 0.1)
}

/// The same for the last level, which only those survive that meet all constraints: half of the particles.
const LAST_VARIANCE: f64 = 1.0;
/// Effective share of the particles below which they are resampled: resampling adds a variance of its own.
const LEAST_SHARE: f64 = 0.5;
/// Particles moved together on one thread, with a random stream of their own.
const CHUNK: usize = 128;

/// Multilevel splitting with slice steps along coordinates.
#[derive(Debug, Clone, Copy)]
pub struct Splitting;

impl LogProbMethod for Splitting {
    fn id(&self) -> &'static str {
        "splitting"
    }

    fn summary(&self) -> &'static str {
        "multilevel splitting with slice steps along coordinates; works on singular matrices"
    }

    fn source(&self) -> &'static str {
        "Gessner, Kanjilal, Hennig 2020"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "P = prod_t Pr[B_t | B_(t-1)], B_t = {h_i >= -gamma_t E_i for all i}, E_i exponential, gamma_1 > ... > gamma_T = 0",
            notes: "A population is weighted by the probability of each level, resampled where that has become uneven, and moved once through all coordinates by steps that leave the level's distribution as it is. The levels come from a pilot of its own seed, so the product is unbiased. 32 replicates of as many particles as points, 256 at the least, by default.",
            unit: "nats",
            use_for: "singular matrices",
            not_for: "speed",
            cost: "n^2 per particle and level; slow at many points",
            options: &["link", "seed", "target_std_error", "max_seconds"],
            refuses: "the logistic link; a function that no replicate found; a few replicates that outweigh all others (unless `target_std_error` is set); a budget that ends before eight replicates",
            sources: &[references::GESSNER_2020, references::NEAL_2003],
        })
    }

    fn links(&self) -> &'static [Link] {
        &[Link::Step, Link::Probit]
    }

    fn exactness(&self) -> Exactness {
        Exactness::Unbiased
    }

    fn log_prob(&self, gram: &Gram, labels: &Labels, options: &PriorOptions) -> Result<LogProb, PriorError> {
        let started = Instant::now();
        check_link(self.id(), self.links(), options.link)?;
        let orthant = match reduce(gram, labels, options.link)? {
            Reduced::Decided(answer) => return Ok(decided_for_sampling(answer)),
            Reduced::Open(orthant) => orthant,
        };
        let gaussian = Gaussian::new(&orthant);
        let streams = Streams::new(options.seed);
        let deadline = Deadline::new(self.id(), started, options);
        let rates = pilot(&gaussian, streams.child("pilot", 0), deadline)?;
        let plan = Plan {
            method: self.id(),
            replicates: REPLICATES,
            info: orthant
                .info()
                .with("particles_per_replicate", particle_count(&gaussian))
                .with("rank", gaussian.rank())
                .with("levels", rates.len()),
            upper_bound: None,
            points: orthant.point_count(),
        };
        let (mut answer, resamplings) = monte_carlo::run(plan, options, started, |index| {
            replicate(&gaussian, &rates, streams.child("splitting", index), deadline)
        })?;
        let mean = resamplings.iter().sum::<u64>() as f64 / resamplings.len() as f64;
        answer.estimate.info.set("resamplings_per_replicate", mean);
        Ok(answer)
    }
}

/// Particles of a replicate: whole chunks of them.
fn particle_count(gaussian: &Gaussian) -> usize {
    gaussian.point_count().max(LEAST_PARTICLES).next_multiple_of(CHUNK)
}

/// Particles with weights: each a column of values `h` and, below them, of coordinates.
struct Population<'g> {
    gaussian: &'g Gaussian,
    streams: Streams,
    state: Array2<f64>,
    /// Since the last resampling.
    log_weights: Vec<f64>,
    /// Log of the product of the mean weights at all resamplings.
    log_product: f64,
    resamplings: u64,
}

impl<'g> Population<'g> {
    fn from_prior(gaussian: &'g Gaussian, streams: Streams) -> Self {
        let particles = particle_count(gaussian);
        let mut state = Array2::zeros((gaussian.rows(), particles));
        state.axis_chunks_iter_mut(Axis(1), CHUNK).into_par_iter().enumerate().for_each(|(chunk, columns)| {
            gaussian.draw(columns, &mut streams.stream("prior", chunk as u64));
        });
        Self { gaussian, streams, state, log_weights: vec![0.0; particles], log_product: 0.0, resamplings: 0 }
    }

    /// By how much every particle misses its constraints, in sum.
    fn violations(&self) -> Vec<f64> {
        let mut violations = vec![0.0; self.log_weights.len()];
        for row in self.state.outer_iter().take(self.gaussian.point_count()) {
            for (violation, &value) in violations.iter_mut().zip(row) {
                *violation += (-value).max(0.0);
            }
        }
        violations
    }

    /// Weights every particle by its share of the next level, whose rate `1 / gamma` is higher by `rise`.
    fn weigh(&mut self, violations: &[f64], rise: f64) {
        for (log_weight, &violation) in self.log_weights.iter_mut().zip(violations) {
            *log_weight += log_survival(violation, rise);
        }
    }

    /// Resamples if the weights have become uneven, and moves all particles once through all coordinates.
    ///
    /// That their own weights decide leaves the product unbiased: each mean weight is right given all that came before.
    fn renew(&mut self, rate: f64, level: u64) {
        let (log_mean, share) = summarise(&self.log_weights);
        if share < LEAST_SHARE {
            let ancestors = systematic_ancestors(&self.log_weights, &mut self.streams.stream("resample", level));
            copy_ancestors(self.state.view_mut(), &ancestors);
            self.log_product += log_mean;
            self.log_weights.fill(0.0);
            self.resamplings += 1;
        }
        let chunks = self.log_weights.len().div_ceil(CHUNK) as u64;
        let (gaussian, streams) = (self.gaussian, self.streams);
        self.state.axis_chunks_iter_mut(Axis(1), CHUNK).into_par_iter().enumerate().for_each(|(chunk, columns)| {
            gaussian.sweep(columns, rate.recip(), &mut streams.stream("moves", level * chunks + chunk as u64));
        });
    }
}

/// Log of the share of a particle's margins that are wide enough for a rate higher by `rise`, which may be infinite.
fn log_survival(violation: f64, rise: f64) -> f64 {
    if violation > 0.0 { -rise * violation } else { 0.0 }
}

/// Rates `1 / gamma_1 < ... < 1 / gamma_T = infinity` at which shares have about [`level_variance`].
///
/// # Errors
/// [`PriorError::NothingFound`] if the rates stop rising, [`PriorError::OutOfTime`].
fn pilot(gaussian: &Gaussian, streams: Streams, deadline: Deadline) -> Result<Vec<f64>, PriorError> {
    let mut population = Population::from_prior(gaussian, streams);
    let mut rates: Vec<f64> = Vec::new();
    let mut rate = 0.0;
    loop {
        deadline.check(|| format!("{} levels set by the pilot population", rates.len()))?;
        let violations = population.violations();
        if relative_variance(&population.log_weights, &violations, f64::INFINITY) <= LAST_VARIANCE {
            rates.push(f64::INFINITY);
            return Ok(rates);
        }
        let rise = rise_of_variance(level_variance(gaussian.point_count()), &population.log_weights, &violations);
        if !(rate + rise > rate && rate + rise < f64::INFINITY) {
            return Err(PriorError::NothingFound { method: "splitting", replicates: 1 });
        }
        rate += rise;
        rates.push(rate);
        population.weigh(&violations, rise);
        population.renew(rate, rates.len() as u64);
    }
}

/// Relative variance of the shares that survive, over a weighted population; NaN if none does.
fn relative_variance(log_weights: &[f64], violations: &[f64], rise: f64) -> f64 {
    let (mut weights, mut shares, mut squares) = (0.0, 0.0, 0.0);
    for (log_weight, &violation) in log_weights.iter().zip(violations) {
        let (weight, share) = (log_weight.exp(), log_survival(violation, rise).exp());
        weights += weight;
        shares += weight * share;
        squares += weight * share * share;
    }
    squares * weights / (shares * shares) - 1.0
}

/// The rise of the rate at which the shares have a relative variance, by bisection: it grows with the rise.
fn rise_of_variance(variance: f64, log_weights: &[f64], violations: &[f64]) -> f64 {
    /// Digits of a rise in binary; it may be any number near the right one.
    const BISECTIONS: usize = 20;
    let below = |rise: f64| relative_variance(log_weights, violations, rise) < variance;
    let largest = violations.iter().copied().fold(0.0, f64::max);
    let (mut low, mut high) = (0.0, largest.recip());
    while below(high) {
        (low, high) = (high, 2.0 * high);
    }
    for _ in 0..BISECTIONS {
        let middle = 0.5 * (low + high);
        if below(middle) { low = middle } else { high = middle }
    }
    high
}

/// Log of one unbiased estimate of `P`, and how often its population was resampled.
///
/// # Errors
/// [`PriorError::OutOfTime`].
fn replicate(
    gaussian: &Gaussian,
    rates: &[f64],
    streams: Streams,
    deadline: Deadline,
) -> Result<(f64, u64), PriorError> {
    let mut population = Population::from_prior(gaussian, streams);
    let mut last = 0.0;
    for (level, &rate) in rates.iter().enumerate() {
        deadline.check(|| format!("level {level} of {} in one of the first replicates", rates.len()))?;
        population.weigh(&population.violations(), rate - last);
        if rate < f64::INFINITY {
            population.renew(rate, level as u64);
        }
        last = rate;
    }
    Ok((population.log_product + summarise(&population.log_weights).0, population.resamplings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_points_than_rank() {
        // Directions within 1.4 of each other: g = x cos(a) + y sin(a) is positive at all of them in an angle of pi - 1.4.
        let directions: Vec<f64> = (0..8).map(|k| 0.2 * k as f64).collect();
        let matrix = Array2::from_shape_fn((8, 8), |(i, j)| f64::cos(directions[i] - directions[j]));
        let gram = Gram::new(matrix).unwrap();
        let labels = Labels::from_signs([true; 8]);
        let answer = Splitting.log_prob(&gram, &labels, &PriorOptions::default()).unwrap().estimate;
        let truth = ((std::f64::consts::PI - 1.4) / std::f64::consts::TAU).ln();
        assert_eq!(answer.info.number("rank"), Some(2.0));
        assert!((answer.value - truth).abs() < 5.0 * answer.std_error.unwrap(), "{answer:?} against {truth}");
    }
}
