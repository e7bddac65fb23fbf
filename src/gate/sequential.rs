//! Decisions that rest on standard errors, made one step after the other: what looks suspicious is asked again under fresh
//! seeds, four times as often at each step, until it is one or the other.
//!
//! An answer that is off by `b` standard errors is off by `b sqrt(k)` on the average of `k`, and one that is right is off
//! by a deviate of unit size whatever `k` is. So a small bias is found with a few answers more, spent only where the first
//! one gives cause.

use crate::gate::effort::Effort;
use crate::gate::finding::{Finding, Verdict};
use crate::gate::tolerance::SUSPICIOUS_Z;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Standard errors of the average of a step from which on the law is broken.
///
/// The answers of a step are independent of the one that gave cause, and of each other. The average of four deviates of
/// Student's distribution exceeds 7 with probability below `1e-9`, which multiplied by that of the cause, 1 of 190, is
/// below `6e-12`: a fifth of what [`GATE_FALSE_ALARM`](crate::gate::tolerance::GATE_FALSE_ALARM) allows the decision.
const BROKEN_Z: f64 = 7.0;

/// Answers asked for in each step.
const STEPS: [u64; 3] = [4, 16, 64];

/// Standard errors that the average of the last step may be off: that of an honest answer is, after three steps that
/// were all beyond [`SUSPICIOUS_Z`], with probability `5.7e-7 / (190 * 330 * 360)`.
const LAST_Z: f64 = 5.0;

/// Runs a check until it is decided.
pub(super) fn decide(run: &dyn Fn(Effort) -> Finding, replicates: usize) -> Finding {
    let once = |repeat| settle(run, Effort { repeat, replicates });
    let first = once(0);
    if !is_suspicious(&first) {
        return first;
    }
    let mut repeat = 0;
    for (step, &answers) in STEPS.iter().enumerate() {
        let mut sums = vec![0.0; first.z_scores.len()];
        for _ in 0..answers {
            repeat += 1;
            let again = once(repeat);
            if again.verdict == Verdict::Fail {
                return again;
            }
            if again.z_scores.len() != sums.len() {
                // It was not decided this time, so it says nothing.
                continue;
            }
            sums.iter_mut().zip(&again.z_scores).for_each(|(sum, z)| *sum += z);
        }
        let farthest = sums.iter().map(|sum| sum / (answers as f64).sqrt()).fold(0.0, larger);
        let allowed = if step + 1 == STEPS.len() { LAST_Z } else { BROKEN_Z };
        if farthest.abs() > allowed {
            let z = first.z_scores.iter().copied().fold(0.0, larger);
            let reason = format!(
                "off by {z:.1} standard errors, and on the average of {answers} answers under other seeds by {farthest:.1} of \
                 theirs: a bias, or standard errors that are too small"
            );
            return Finding { share: f64::INFINITY, ..first.broken(reason) };
        }
        if farthest.abs() <= SUSPICIOUS_Z {
            break;
        }
    }
    first
}

fn larger(a: f64, b: f64) -> f64 {
    if b.abs() > a.abs() { b } else { a }
}

/// Whether a comparison that was decided is so far off that chance is a poor reason.
fn is_suspicious(finding: &Finding) -> bool {
    finding.verdict == Verdict::Pass && finding.z_scores.iter().any(|z| z.abs() > SUSPICIOUS_Z)
}

/// Runs a check once. A panicking estimator fails its case; the others still run.
fn settle(run: &dyn Fn(Effort) -> Finding, effort: Effort) -> Finding {
    catch_unwind(AssertUnwindSafe(|| run(effort))).unwrap_or_else(|panic| {
        let message = (panic.downcast_ref::<String>().map(String::as_str))
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Finding::fail(format!("panicked: {message}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::Streams;
    use rand_distr::{Distribution, StandardNormal};

    /// A check of an answer that is `bias` of its standard errors off, whose errors are stated `shrunk` times too small.
    fn of(bias: f64, shrunk: f64, seed: u64) -> Finding {
        let check = move |effort: Effort| {
            let noise: f64 = StandardNormal.sample(&mut Streams::new(effort.seed(seed)).stream("noise", 0));
            Finding::test(10.0 + 0.1 * (bias + shrunk * noise), 10.0, 1e-9, 0.1)
        };
        decide(&check, 1)
    }

    fn failures(bias: f64, shrunk: f64, decisions: u64) -> usize {
        (0..decisions).filter(|seed| of(bias, shrunk, *seed).verdict == Verdict::Fail).count()
    }

    #[test]
    fn honest_answers_pass_and_small_biases_are_found() {
        assert_eq!(failures(0.0, 1.0, 100_000), 0);
        // In a hundred decisions: a bias of 2 standard errors, of 3, of 8; and errors too small by 3.
        assert!(failures(2.0, 1.0, 100) > 5, "{}", failures(2.0, 1.0, 100));
        assert!(failures(-3.0, 1.0, 100) > 30);
        assert_eq!(failures(8.0, 1.0, 100), 100);
        assert_eq!(failures(-8.0, 1.0, 100), 100);
    }

    #[test]
    fn an_ignored_seed_is_asked_again_in_vain() {
        let check = |_| Finding::test(10.35, 10.0, 1e-9, 0.1);
        assert_eq!(decide(&check, 1).verdict, Verdict::Fail);
    }
}
