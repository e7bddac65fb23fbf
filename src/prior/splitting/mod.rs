//! Multilevel splitting with exact moves on ellipses (Gessner, Kanjilal and Hennig 2020: LIN-ESS within the
//! Holmes-Diaconis-Ross method).
//!
//! The event is reached through nested ones, `{min_i h_i >= -gamma_t}` with `gamma_1 > ... > gamma_T = 0`. A population
//! from the prior keeps those that meet the next level, multiplies them back by resampling, and moves each by Markov
//! steps that leave the truncated Gaussian at that level invariant (see `moves.rs`). The product of the surviving shares
//! is unbiased for `P` for *any* number of steps, because the levels are fixed beforehand, by a pilot population of its
//! own seed. No look-ahead, no tilt, no inverse of a singular matrix: it shares nothing with the other samplers that
//! could be wrong in both.

mod coordinates;
mod moves;

use crate::description::{Description, references};
use crate::numeric::Streams;
use crate::prior::monte_carlo::{self, Plan};
use crate::prior::options::Deadline;
use crate::prior::particles::systematic_ancestors;
use crate::prior::problem::{Reduced, check_link, decided_for_sampling, reduce};
use crate::prior::tolerance::LEAST_REPLICATES;
use crate::prior::{Exactness, Gram, Labels, Link, LogProb, LogProbMethod, PriorError, PriorOptions};
use moves::Gaussian;
use ndarray::{Array2, Axis};
use rayon::prelude::*;
use std::time::Instant;

/// Replicates of the default effort.
const REPLICATES: usize = LEAST_REPLICATES;
/// Particles of a replicate.
const PARTICLES: usize = 512;
/// Sweeps of every particle at each level.
const SWEEPS: usize = 3;
/// Share of the particles that the pilot lets survive a level.
const SURVIVAL: f64 = 0.3;
/// Particles moved together on one thread, with a random stream of their own.
const CHUNK: usize = 128;

/// Multilevel splitting with elliptical slice moves.
#[derive(Debug, Clone, Copy)]
pub struct Splitting;

impl LogProbMethod for Splitting {
    fn id(&self) -> &'static str {
        "splitting"
    }

    fn summary(&self) -> &'static str {
        "multilevel splitting with exact elliptical-slice moves; works on singular matrices"
    }

    fn source(&self) -> &'static str {
        "Gessner, Kanjilal, Hennig 2020"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "P = prod_t Pr[min_i h_i >= -gamma_t | min_i h_i >= -gamma_(t-1)], gamma_1 > ... > gamma_T = 0",
            notes: "A population is resampled at each level and moved by steps that leave the truncated Gaussian as it is. The levels come from a pilot of its own seed, so the product is unbiased. 32 replicates of 512 particles by default.",
            unit: "nats",
            use_for: "singular matrices",
            not_for: "speed",
            cost: "n^2 per particle, sweep and level; slow at many points",
            options: &["link", "seed", "target_std_error", "max_seconds"],
            refuses: "the logistic link; a function that no replicate found; a few replicates that outweigh all others (unless `target_std_error` is set); a budget that ends before eight replicates",
            sources: &[references::GESSNER_2020],
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
        let levels = pilot(&gaussian, streams.child("pilot", 0), deadline)?;
        let plan = Plan {
            method: self.id(),
            replicates: REPLICATES,
            info: orthant
                .info()
                .with("particles_per_replicate", PARTICLES)
                .with("rank", gaussian.rank())
                .with("moves", gaussian.moves())
                .with("levels", levels.len()),
            upper_bound: None,
            points: orthant.point_count(),
        };
        let (mut answer, shares) = monte_carlo::run(plan, options, started, |index| {
            replicate(&gaussian, &levels, streams.child("splitting", index), deadline)
        })?;
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        answer.estimate.info.set("surviving_share", mean);
        Ok(answer)
    }
}

/// A population of particles: values `h` (`n x particles`), and below them their coordinates where the moves need them.
struct Population<'g> {
    gaussian: &'g Gaussian,
    streams: Streams,
    state: Array2<f64>,
}

impl<'g> Population<'g> {
    fn from_prior(gaussian: &'g Gaussian, streams: Streams) -> Self {
        let mut population = Self { gaussian, streams, state: Array2::zeros((gaussian.rows(), PARTICLES)) };
        population.state.axis_chunks_iter_mut(Axis(1), CHUNK).into_par_iter().enumerate().for_each(
            |(chunk, columns)| {
                gaussian.draw(columns, &mut streams.stream("prior", chunk as u64));
            },
        );
        population
    }

    /// The smallest value of every particle.
    fn minima(&self) -> Vec<f64> {
        let mut minima = vec![f64::INFINITY; PARTICLES];
        for row in self.state.outer_iter().take(self.gaussian.point_count()) {
            for (least, &value) in minima.iter_mut().zip(row) {
                *least = least.min(value);
            }
        }
        minima
    }

    /// Replaces the population by copies of its survivors, then moves all inside `{h_i >= -gamma}`.
    fn renew(&mut self, survives: &[bool], gamma: f64, level: u64) {
        let log_weights: Vec<f64> =
            survives.iter().map(|&survives| if survives { 0.0 } else { f64::NEG_INFINITY }).collect();
        let ancestors = systematic_ancestors(&log_weights, &mut self.streams.stream("resample", level));
        crate::prior::particles::copy_ancestors(self.state.view_mut(), &ancestors);
        let chunks = PARTICLES.div_ceil(CHUNK) as u64;
        let (gaussian, streams) = (self.gaussian, self.streams);
        self.state.axis_chunks_iter_mut(Axis(1), CHUNK).into_par_iter().enumerate().for_each(|(chunk, mut columns)| {
            let mut generator = streams.stream("moves", level * chunks + chunk as u64);
            for sweep in 0..SWEEPS {
                gaussian.sweep(columns.view_mut(), gamma, sweep, &mut generator);
            }
        });
    }
}

/// Levels `gamma_1 > ... > gamma_T = 0` at which about [`SURVIVAL`] of a population survives.
///
/// # Errors
/// [`PriorError::NothingFound`] if the levels stop falling, [`PriorError::OutOfTime`].
fn pilot(gaussian: &Gaussian, streams: Streams, deadline: Deadline) -> Result<Vec<f64>, PriorError> {
    let mut population = Population::from_prior(gaussian, streams);
    let mut levels: Vec<f64> = Vec::new();
    loop {
        deadline.check(|| format!("{} levels set by the pilot population", levels.len()))?;
        let minima = population.minima();
        let mut sorted = minima.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let gamma = (-sorted[(SURVIVAL * PARTICLES as f64) as usize]).max(0.0);
        if levels.last().is_some_and(|last| gamma >= *last) {
            return Err(PriorError::NothingFound { method: "splitting", replicates: 1 });
        }
        levels.push(gamma);
        if gamma == 0.0 {
            return Ok(levels);
        }
        let survives: Vec<bool> = minima.iter().map(|&minimum| minimum >= -gamma).collect();
        population.renew(&survives, gamma, levels.len() as u64);
    }
}

/// Log of one unbiased estimate of `P`, and the mean share that survived a level.
///
/// # Errors
/// [`PriorError::OutOfTime`].
fn replicate(
    gaussian: &Gaussian,
    levels: &[f64],
    streams: Streams,
    deadline: Deadline,
) -> Result<(f64, f64), PriorError> {
    let mut population = Population::from_prior(gaussian, streams);
    let (mut log_estimate, mut shares) = (0.0, 0.0);
    for (level, &gamma) in levels.iter().enumerate() {
        deadline.check(|| format!("level {level} of {} in one of the first replicates", levels.len()))?;
        let survives: Vec<bool> = population.minima().iter().map(|&minimum| minimum >= -gamma).collect();
        let share = survives.iter().filter(|&&survives| survives).count() as f64 / PARTICLES as f64;
        if share == 0.0 {
            return Ok((f64::NEG_INFINITY, 0.0));
        }
        log_estimate += share.ln();
        shares += share;
        if level + 1 < levels.len() {
            population.renew(&survives, gamma, level as u64);
        }
    }
    Ok((log_estimate, shares / levels.len() as f64))
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
