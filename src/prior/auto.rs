//! `auto`: the method that suits the matrix, and why.
//!
//! The true value with the smallest error for the time, in this order: a closed form, if there is one;
//! quasi-Monte-Carlo for common functions; sequential Monte Carlo for rare ones; splitting where the matrix has no
//! inverse or expectation propagation, which tells common from rare and guides the sampler, finds no fixed point.

use crate::description::Description;
use crate::numeric::Estimate;
use crate::prior::problem::{Reduced, check_link, decided_for_sampling, reduce};
use crate::prior::{Exactness, Gram, Labels, Link, LogProb, LogProbMethod, PriorError, PriorOptions};
use crate::prior::{ep, exact, genz, splitting, twisted};

/// Functions that expectation propagation puts above this are common.
///
/// Measured on the first 6 to 200 digits (`benches/prior.rs`' matrix) under four labellings, as standard error times
/// root of the time: the lattice of `genz` beats the particles of `smc` by 3 to 30 where `log P > -5`, whatever the
/// number of points, is level at `-6`, and loses by 2.5 at `-8` and by a hundred at `-60`.
const COMMON: f64 = -6.0;

/// Choice of the method by the problem.
#[derive(Debug, Clone, Copy)]
pub struct Auto;

impl LogProbMethod for Auto {
    fn id(&self) -> &'static str {
        "auto"
    }

    fn summary(&self) -> &'static str {
        "the best of exact, genz, smc and splitting for this matrix; the diagnostics say which and why"
    }

    fn source(&self) -> &'static str {
        "the methods it chooses from"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "log P by `exact` where there is a closed form, else by `genz` where expectation propagation says log P > -6, else by `smc`; by `splitting` where these need an inverse that is not there",
            notes: "The diagnostics say which method was chosen and why.",
            unit: "nats",
            use_for: "everything, unless you know better",
            not_for: "-",
            cost: "as the method it chooses, and one run of expectation propagation",
            options: &["link", "seed", "target_std_error", "max_seconds"],
            refuses: "as the method it chooses",
            sources: &[],
        })
    }

    fn links(&self) -> &'static [Link] {
        &[Link::Step, Link::Probit]
    }

    fn exactness(&self) -> Exactness {
        Exactness::Unbiased
    }

    fn log_prob(&self, gram: &Gram, labels: &Labels, options: &PriorOptions) -> Result<LogProb, PriorError> {
        check_link(self.id(), self.links(), options.link)?;
        let orthant = match reduce(gram, labels, options.link)? {
            Reduced::Decided(answer) => return Ok(decided_for_sampling(answer)),
            Reduced::Open(orthant) => orthant,
        };
        match exact::Exact.log_prob(gram, labels, options) {
            Ok(answer) => {
                let LogProb { estimate, upper_bound } = answer;
                // An impossible function is certain to be so.
                let rounding = if estimate.value == f64::NEG_INFINITY {
                    0.0
                } else {
                    crate::prior::monte_carlo::rounding(estimate.value, orthant.point_count())
                };
                let estimate = Estimate::stochastic(estimate.value, rounding, estimate.info);
                let answer = LogProb { estimate, upper_bound };
                return Ok(explained(answer, "exact", "the matrix has a closed form".to_owned()));
            }
            Err(PriorError::NotApplicable { .. }) => {}
            Err(error) => return Err(error),
        }
        let full_rank = orthant.require_pivots(self.id());
        let fit = full_rank.and_then(|()| ep::fixed_point(&orthant, ep::Schedule::Parallel, options));
        let sampled = fit.and_then(|fit| {
            let (method, reason): (&dyn LogProbMethod, &str) = if fit.log_z > COMMON {
                (&genz::Genz, "above -6: a lattice integrates common functions best")
            } else {
                (&twisted::SequentialMonteCarlo, "not above -6: rare functions need guided particles")
            };
            let answer = method.log_prob(gram, labels, options)?;
            Ok(explained(answer, method.id(), format!("EP says {:.1}, {reason}", fit.log_z)))
        });
        match sampled {
            Err(
                error @ (PriorError::Singular { .. }
                | PriorError::NearlySingular { .. }
                | PriorError::NotConverged { .. }
                | PriorError::Breakdown { .. }),
            ) => {
                let answer = splitting::Splitting.log_prob(gram, labels, options)?;
                Ok(explained(answer, "splitting", gave_up(&error)))
            }
            other => other,
        }
    }
}

/// Why neither lattice nor particles.
fn gave_up(error: &PriorError) -> String {
    match error {
        PriorError::Singular { rank, points, .. } => {
            format!("the other samplers need full rank, and this is rank {rank} with {points} points")
        }
        PriorError::NearlySingular { pivot, .. } => {
            format!("the other samplers have too few digits for a pivot of {pivot:e}")
        }
        _ => "expectation propagation, which guides the other samplers, found no fixed point".to_owned(),
    }
}

fn explained(mut answer: LogProb, method: &str, reason: String) -> LogProb {
    answer.estimate.info.set("chosen_method", method);
    answer.estimate.info.set("chosen_because", reason);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::InfoValue;
    use ndarray::Array2;

    fn chosen(matrix: Array2<f64>) -> String {
        let labels = Labels::from_signs(vec![true; matrix.nrows()]);
        let answer = Auto.log_prob(&Gram::new(matrix).unwrap(), &labels, &PriorOptions::default()).unwrap();
        assert!(answer.estimate.std_error.is_some());
        assert!(answer.estimate.info.get("chosen_because").is_some());
        match answer.estimate.info.get("chosen_method") {
            Some(InfoValue::Text(method)) => method.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_problem_gets_its_method() {
        let distances = |n| Array2::from_shape_fn((n, n), |(i, j)| (-0.3 * (i as f64 - j as f64).abs()).exp());
        assert_eq!(chosen(Array2::from_shape_fn((40, 40), |(i, j)| if i == j { 1.0 } else { 0.3 })), "exact");
        assert_eq!(chosen(distances(3)), "exact");
        assert_eq!(chosen(distances(8)), "genz");
        assert_eq!(chosen(distances(80)), "smc");
        // Eight points in a plane: rank two, and no two of them the same.
        let plane = Array2::from_shape_fn((8, 8), |(i, j)| (0.1 * (i as f64 - j as f64)).cos());
        assert_eq!(chosen(plane), "exact");
        // Rank four has no formula.
        let factor = Array2::from_shape_fn((8, 4), |(i, k)| 1.0 + ((3 * i + 5 * k + i * k) % 7) as f64);
        assert_eq!(chosen(factor.dot(&factor.t())), "splitting");
    }
}
