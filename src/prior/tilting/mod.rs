//! Minimax exponential tilting (Botev 2017): estimate, standard error and a certain upper bound.
//!
//! The bound is the point: `log P <= upper_bound` holds by convexity, not by sampling (see `saddle.rs`). The estimate
//! draws from the tilted proposal, whose weights the bound bounds too. Beyond a few hundred points these weights vary
//! too much for plain importance sampling, so populations are resampled on the way. A partial weight must then say how
//! promising a particle is: it carries the tangents of the constraints still to come,
//! `exp(sum_(k > i) h_k m_k)` with `m_k` what the past contributes to constraint `k`. The factors telescope: point `i`
//! multiplies the weight by `Phi(mu_i + m_i) exp(mu_i^2 / 2 - h_i m_i)`, a concave function's distance to its
//! tangent.

mod saddle;

use crate::description::{Description, references};
use crate::numeric::Streams;
use crate::numeric::linalg::{add_scaled, gemm};
use crate::numeric::truncated::fill_draws;
use crate::prior::monte_carlo::{self, Plan};
use crate::prior::order;
use crate::prior::particles::{copy_ancestors, open_uniform, summarise, systematic_ancestors};
use crate::prior::problem::{Reduced, check_link, decided_for_sampling, reduce};
use crate::prior::tolerance::LEAST_REPLICATES;
use crate::prior::{Exactness, Gram, Labels, Link, LogProb, LogProbMethod, PriorError, PriorOptions};
use ndarray::{Array2, s};
use rand_chacha::ChaCha8Rng;
use saddle::Saddle;
use std::time::Instant;

/// Populations of the default effort.
const POPULATIONS: usize = LEAST_REPLICATES;
/// Particles of a population.
const PARTICLES: usize = 2048;
/// Points advanced together: the past enters them by one matrix product.
const BLOCK: usize = 32;
/// Resampling sets in when the effective share of the particles falls below this.
const RESAMPLE_BELOW: f64 = 0.5;

/// Minimax exponential tilting.
#[derive(Debug, Clone, Copy)]
pub struct MinimaxTilting;

impl LogProbMethod for MinimaxTilting {
    fn id(&self) -> &'static str {
        "tilting"
    }

    fn summary(&self) -> &'static str {
        "minimax exponential tilting with resampling; also gives a certain upper bound"
    }

    fn source(&self) -> &'static str {
        "Botev 2017"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "P = E[exp(psi(h; mu))] <= exp(psi(h*; mu*)), (h*, mu*) the saddle point of psi, h drawn from the prior shifted by mu* and truncated point by point",
            notes: "The upper bound holds by convexity, not by sampling. 32 populations of 2048 particles by default, resampled on the way.",
            unit: "nats",
            use_for: "when a certain upper bound is wanted",
            not_for: "a thousand points",
            cost: "n^3 per Newton step, then n^2 per particle",
            options: &["link", "seed", "target_std_error", "max_seconds"],
            refuses: "a matrix of lower rank, or one with a pivot below 1e-11; the logistic link; a function that no replicate found; a few replicates that outweigh all others (unless `target_std_error` is set)",
            sources: &[references::BOTEV_2017],
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
        let (_, lower) = order::least_likely_first(self.id(), &orthant)?;
        let saddle = saddle::solve(&lower);
        let plan = Plan {
            method: self.id(),
            replicates: POPULATIONS,
            info: orthant
                .info()
                .with("particles_per_replicate", PARTICLES)
                .with("newton_steps", saddle.iterations)
                .with("tilt_converged", saddle.converged),
            upper_bound: Some(saddle.upper_bound),
            points: orthant.point_count(),
        };
        let streams = Streams::new(options.seed);
        let (mut answer, resamplings) = monte_carlo::run(plan, options, started, |index| {
            Ok(population(&saddle, &mut streams.stream("tilting", index)))
        })?;
        let mean = resamplings.iter().sum::<usize>() as f64 / resamplings.len() as f64;
        answer.estimate.info.set("resamplings_per_replicate", mean);
        Ok(answer)
    }
}

/// Log of one population's unbiased estimate of `P`, and how often it was resampled.
fn population(saddle: &Saddle, generator: &mut ChaCha8Rng) -> (f64, usize) {
    let n = saddle.tilt.len();
    let mut history = Array2::<f64>::zeros((n, PARTICLES));
    let mut past = Array2::<f64>::zeros((BLOCK, PARTICLES));
    let mut log_weights = vec![0.0; PARTICLES];
    let [mut means, mut uniforms, mut log_mass] = [(); 3].map(|()| vec![0.0; PARTICLES]);
    let (mut log_estimate, mut resamplings) = (0.0, 0);
    for first in (0..n).step_by(BLOCK) {
        let last = (first + BLOCK).min(n);
        let rows = saddle.strict.slice(s![first..last, ..first]);
        gemm(past.slice_mut(s![..last - first, ..]), false, rows, history.slice(s![..first, ..]), 1.0);
        for i in first..last {
            let (tilt, slope) = (saddle.tilt[i], saddle.slopes[i]);
            let past_row = past.row(i - first);
            for (mean, m) in means.iter_mut().zip(past_row) {
                *mean = tilt + m;
            }
            uniforms.fill_with(|| open_uniform(generator));
            let mut row = history.row_mut(i);
            let draws = row.as_slice_mut().expect("rows are contiguous");
            // z + m > 0, z ~ N(tilt, 1).
            fill_draws(&means, &uniforms, &mut log_mass, draws);
            draws.iter_mut().for_each(|z| *z += tilt);
            for ((log_weight, log_mass), m) in log_weights.iter_mut().zip(&log_mass).zip(past_row) {
                *log_weight += log_mass + 0.5 * tilt * tilt - slope * m;
            }
            let x = history.row(i);
            let x = x.as_slice().expect("rows are contiguous");
            for later in i + 1..last {
                let mut target = past.row_mut(later - first);
                add_scaled(target.as_slice_mut().expect("rows are contiguous"), saddle.strict[[later, i]], x);
            }
        }
        let (log_mean, effective_share) = summarise(&log_weights);
        if last == n {
            log_estimate += log_mean;
        } else if effective_share < RESAMPLE_BELOW {
            log_estimate += log_mean;
            resamplings += 1;
            let ancestors = systematic_ancestors(&log_weights, generator);
            copy_ancestors(history.slice_mut(s![..last, ..]), &ancestors);
            log_weights.fill(0.0);
        }
    }
    (log_estimate, resamplings)
}
