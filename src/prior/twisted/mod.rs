//! Sequential sampling with look-ahead: `smc` and `ep_importance`.
//!
//! Drawing `h_1, h_2, ...` in turn, each restricted to `h_i > 0` given the past (Geweke 1991, Hajivassiliou, Keane),
//! gives an unbiased estimate of `P` whose variance explodes with `n`: early points do not know of later constraints.
//! Here they do, through the Gaussian sites of expectation propagation (a twisted proposal in the sense of
//! Guarniero, Johansen and Lee 2017), so that the weights vary little: relative standard deviation about one at
//! `n = 1000`. The proposal is a mixture that keeps the weights bounded; see `guide.rs`.
//!
//! `smc` resamples a population where its weights degenerate (Del Moral 2006; Ridgway 2016 for orthants);
//! `ep_importance` is plain importance sampling from the same proposal. Both are unbiased for `P`.

mod guide;
mod island;

use crate::description::{Description, references};
use crate::numeric::Streams;
use crate::prior::ep::{self, FixedPoint};
use crate::prior::monte_carlo::{self, Plan};
use crate::prior::problem::{Reduced, check_link, decided_for_sampling, reduce};
use crate::prior::tolerance::LEAST_REPLICATES;
use crate::prior::{Exactness, Gram, Labels, Link, LogProb, LogProbMethod, PriorError, PriorOptions};
use guide::Guides;
use island::Outcome;
use std::time::Instant;

/// Islands of the default effort.
const ISLANDS: usize = LEAST_REPLICATES;

/// Twisted sequential Monte Carlo with adaptive resampling.
#[derive(Debug, Clone, Copy)]
pub struct SequentialMonteCarlo;

/// Importance sampling from the mixture guided by expectation propagation.
#[derive(Debug, Clone, Copy)]
pub struct EpImportance;

impl LogProbMethod for SequentialMonteCarlo {
    fn id(&self) -> &'static str {
        "smc"
    }

    fn summary(&self) -> &'static str {
        "sequential Monte Carlo with proposals twisted by expectation propagation; unbiased, honest standard error"
    }

    fn source(&self) -> &'static str {
        "Ridgway 2016; Guarniero, Johansen, Lee 2017"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "P = E[prod_i w_i], h_1, h_2, ... drawn in turn from a mixture guided by the sites of expectation propagation, w_i the density of the prior over that of the draw; particles resampled where their weights degenerate",
            notes: "32 islands of 512 particles by default; the standard error is that between islands.",
            unit: "nats",
            use_for: "rare functions (log P below -6), up to some thousand points",
            not_for: "singular matrices",
            cost: "n^3 per iteration of expectation propagation, then n^2 per particle",
            options: &["link", "seed", "target_std_error", "max_seconds"],
            refuses: "a matrix of lower rank, or one with a pivot below 1e-11; no fixed point of expectation propagation; the logistic link; a function that no replicate found; a few replicates that outweigh all others (unless `target_std_error` is set)",
            sources: &[references::RIDGWAY_2016, references::GUARNIERO_2017],
        })
    }

    fn links(&self) -> &'static [Link] {
        &[Link::Step, Link::Probit]
    }

    fn exactness(&self) -> Exactness {
        Exactness::Unbiased
    }

    fn log_prob(&self, gram: &Gram, labels: &Labels, options: &PriorOptions) -> Result<LogProb, PriorError> {
        sample(self, gram, labels, options, true)
    }
}

impl LogProbMethod for EpImportance {
    fn id(&self) -> &'static str {
        "ep_importance"
    }

    fn summary(&self) -> &'static str {
        "importance sampling from expectation propagation's posterior, point by point, without resampling"
    }

    fn source(&self) -> &'static str {
        "Geweke 1991; Minka 2001; Veach, Guibas 1995"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "P = E[prod_i w_i], h_1, h_2, ... drawn in turn from a mixture guided by the sites of expectation propagation, w_i the density of the prior over that of the draw",
            notes: "As `smc` without resampling: a check on it.",
            unit: "nats",
            use_for: "a check on `smc` without resampling",
            not_for: "constant labels at many points: heavy tails",
            cost: "as `smc`",
            options: &["link", "seed", "target_std_error", "max_seconds"],
            refuses: "as `smc`",
            sources: &[references::GEWEKE_1991, references::MINKA_2001, references::VEACH_1995],
        })
    }

    fn links(&self) -> &'static [Link] {
        &[Link::Step, Link::Probit]
    }

    fn exactness(&self) -> Exactness {
        Exactness::Unbiased
    }

    fn log_prob(&self, gram: &Gram, labels: &Labels, options: &PriorOptions) -> Result<LogProb, PriorError> {
        sample(self, gram, labels, options, false)
    }
}

fn sample(
    method: &dyn LogProbMethod,
    gram: &Gram,
    labels: &Labels,
    options: &PriorOptions,
    resample: bool,
) -> Result<LogProb, PriorError> {
    let started = Instant::now();
    check_link(method.id(), method.links(), options.link)?;
    let orthant = match reduce(gram, labels, options.link)? {
        Reduced::Decided(answer) => return Ok(decided_for_sampling(answer)),
        Reduced::Open(orthant) => orthant,
    };
    orthant.require_pivots(method.id())?;
    let fit = ep::fixed_point(&orthant, ep::Schedule::Parallel, options)?;
    let order = hardest_first(&fit);
    let lower = orthant.cholesky(method.id(), &order)?;
    let at = |values: &[f64]| order.iter().map(|&i| values[i]).collect::<Vec<f64>>();
    let guides = Guides::new(&lower, &at(&fit.precision), &at(&fit.shift));
    let plan = Plan {
        method: method.id(),
        replicates: ISLANDS,
        info: orthant
            .info()
            .with("particles_per_replicate", island::LANES)
            .with("ep_log_z", fit.log_z)
            .with("ep_iterations", fit.iterations),
        upper_bound: None,
        points: orthant.point_count(),
    };
    // A seed keeps its numbers whatever a method is called.
    let stream = if resample { "smc" } else { "ep-importance" };
    let streams = Streams::new(options.seed);
    let (mut answer, outcomes) = monte_carlo::run(plan, options, started, |index| {
        let outcome = island::run(&guides, &mut streams.stream(stream, index), resample);
        Ok((outcome.log_estimate, outcome))
    })?;
    let mean = |part: fn(&Outcome) -> f64| outcomes.iter().map(part).sum::<f64>() / outcomes.len() as f64;
    answer.estimate.info.set("resamplings_per_replicate", mean(|outcome| outcome.resamplings as f64));
    answer.estimate.info.set("effective_share", mean(|outcome| outcome.effective_share));
    Ok(answer)
}

/// Points by the strength of their constraint, the least likely to hold by itself first: later points then have
/// little left to go wrong.
fn hardest_first(fit: &FixedPoint) -> Vec<usize> {
    let mut order: Vec<usize> = (0..fit.mean.len()).collect();
    let ease = |i: usize| fit.mean[i] / fit.variance[i].sqrt();
    order.sort_by(|&a, &b| ease(a).total_cmp(&ease(b)));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn matrices_without_an_inverse_are_refused() {
        // Three points of a plane: rank two. Rounding leaves a pivot of either sign in the place of zero.
        for step in 1..40 {
            let angles = [0.0, 0.02 * f64::from(step), 0.05 * f64::from(step)];
            let gram = Array2::from_shape_fn((3, 3), |(i, j)| (angles[i] - angles[j]).cos());
            let (gram, labels) = (Gram::new(gram).unwrap(), Labels::from_signs(vec![true; 3]));
            for method in [&SequentialMonteCarlo as &dyn LogProbMethod, &EpImportance] {
                let error = method.log_prob(&gram, &labels, &PriorOptions::default()).unwrap_err();
                assert!(matches!(error, PriorError::Singular { .. }), "{} at step {step}: {error}", method.id());
            }
        }
    }
}
