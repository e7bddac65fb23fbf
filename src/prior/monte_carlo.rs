//! Independent replicates of an unbiased estimate of `P`: their mean, an honest standard error, and when to stop.
//!
//! A replicate `m` returns `log p_m` with `E[p_m] = P` exactly. The estimate is the log of the mean of the `p_m`; its
//! standard error is that of the mean, relative to the mean (the delta method). Replicates are numbered, each
//! draws from streams of its own number, and they are summed in order: the bits do not depend on threads.

use crate::numeric::tolerance::UNIT_ROUNDOFF;
use crate::numeric::{Estimate, Info};
use crate::prior::options::{Interim, PriorOptions};
use crate::prior::{LogProb, PriorError};
use rayon::prelude::*;
use std::time::Instant;

/// Replicates drawn between two looks at clock and target.
const ROUND: usize = 16;

/// The same under a budget, so that it is not overrun by much, once there are [`FEWEST`].
const SHORT_ROUND: usize = 2;

/// Replicates behind a standard error at the least, whatever the budget.
///
/// The deviation of a few skewed replicates says nothing: of two with relative deviation `s` the mean is off by 100 of its
/// standard errors with probability 0.006, of eight (Student's distribution with 7 degrees of freedom) by 10 with
/// probability `2e-5`.
const FEWEST: usize = 8;

/// Relative standard error of `P` above which fewer than four replicates carry it (four equal ones and nothing else leave
/// `sqrt(1/4)`): what the others would have found is not known, and the true error may be many times as large.
const COLLAPSED: f64 = 0.5;

/// Estimates that ask for more replicates than this in one go look again first.
const LARGEST_GROWTH: f64 = 4.0;

/// Default efforts after which a method that has met the event in no replicate stops looking.
const LONGEST_SEARCH: usize = 64;

/// What a stochastic method brings.
pub(crate) struct Plan {
    /// Registry name.
    pub method: &'static str,
    /// Replicates of the default effort; also the fewest on which a target is tested.
    pub replicates: usize,
    /// Diagnostics so far.
    pub info: Info,
    /// A certain upper bound on `log P`, if there is one.
    pub upper_bound: Option<f64>,
    /// Number of points, for the rounding of `log P`.
    pub points: usize,
}

/// Runs replicates until the target, the budget or the default effort is reached; returns the replicates' own
/// diagnostics too, in order.
///
/// # Errors
/// Whatever a replicate returns; [`PriorError::NothingFound`] if all replicates returned `-inf`;
/// [`PriorError::Collapsed`] if a few outweigh the others and no target was set (with one, the answer says that it was
/// not reached).
pub(crate) fn run<D: Send>(
    plan: Plan,
    options: &PriorOptions,
    started: Instant,
    replicate: impl Fn(u64) -> Result<(f64, D), PriorError> + Sync,
) -> Result<(LogProb, Vec<D>), PriorError> {
    let out_of_time = || options.max_seconds.is_some_and(|budget| started.elapsed().as_secs_f64() >= budget);
    let (mut values, mut diagnostics): (Vec<f64>, Vec<D>) = (Vec::new(), Vec::new());
    let mut wanted = plan.replicates.max(FEWEST);
    let mut timed_out = false;
    let (value, std_error) = loop {
        while values.len() < wanted && !timed_out {
            let round = match (options.max_seconds, values.len()) {
                (None, _) => ROUND,
                (Some(_), 0) => FEWEST,
                (Some(_), _) => SHORT_ROUND,
            };
            let end = (values.len() + round).min(wanted);
            let round: Result<Vec<(f64, D)>, PriorError> =
                (values.len() as u64..end as u64).into_par_iter().map(&replicate).collect();
            // A replicate that the budget interrupts is no loss once there are enough.
            let round = match round {
                Err(PriorError::OutOfTime { .. }) if values.len() >= FEWEST => Vec::new(),
                other => other?,
            };
            for (value, diagnostic) in round {
                values.push(value);
                diagnostics.push(diagnostic);
            }
            timed_out = out_of_time();
            let (log_prob, std_error) = log_mean(&values, plan.points);
            let seconds = started.elapsed().as_secs_f64();
            options.progress.report(Interim { log_prob, std_error, replicates: values.len(), seconds });
        }
        let (value, std_error) = log_mean(&values, plan.points);
        // Nothing found, and looked long enough: more of the same would go on for ever.
        let hopeless = value == f64::NEG_INFINITY && values.len() >= LONGEST_SEARCH * plan.replicates;
        let below_rounding =
            value.is_finite() && options.target_std_error.is_some_and(|target| target <= rounding(value, plan.points));
        match options.target_std_error {
            Some(target) if std_error > target && !timed_out && !hopeless && !below_rounding => {
                let growth = 1.1 * (std_error / target).powi(2);
                // NaN and infinity (nothing found yet) ask for the largest growth.
                let growth = if growth < LARGEST_GROWTH { growth } else { LARGEST_GROWTH };
                wanted = (values.len() as f64 * growth).ceil() as usize + 1;
            }
            _ => break (value, std_error),
        }
    };
    let mut info = plan.info.with("replicates", values.len());
    if let Some(target) = options.target_std_error {
        // Of fewer replicates than the default effort a standard error says too little.
        let reached = std_error <= target && values.len() >= plan.replicates;
        info.set("target_reached", reached);
        info.set("target_std_error", target);
        info.set(
            "stopped_by",
            match (reached, timed_out) {
                (true, _) => "target standard error",
                (false, true) => "time budget",
                (false, false) => "rounding: no number of replicates reaches the target",
            },
        );
    } else {
        info.set("stopped_by", if timed_out { "time budget" } else { "default effort" });
    }
    if value == f64::NEG_INFINITY {
        return Err(PriorError::NothingFound { method: plan.method, replicates: values.len() });
    }
    if std_error > COLLAPSED && options.target_std_error.is_none() {
        return Err(PriorError::Collapsed { method: plan.method, replicates: values.len(), std_error });
    }
    let estimate = Estimate::stochastic(value, std_error, info);
    Ok((LogProb { estimate, upper_bound: plan.upper_bound }, diagnostics))
}

/// `log mean exp` of the replicates and the relative standard error of the mean.
///
/// The rounding of a sum of `points` log probabilities is added in quadrature: where the method happens to have no
/// variance, that is what its error consists of.
pub(crate) fn log_mean(values: &[f64], points: usize) -> (f64, f64) {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return (largest, f64::INFINITY);
    }
    let count = values.len() as f64;
    let scaled: Vec<f64> = values.iter().map(|value| (value - largest).exp()).collect();
    let mean = scaled.iter().sum::<f64>() / count;
    let variance = scaled.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let value = largest + mean.ln();
    (value, ((variance / count).sqrt() / mean).hypot(rounding(value, points)))
}

/// What rounding does to a sum of `points` log probabilities.
pub(crate) fn rounding(value: f64, points: usize) -> f64 {
    8.0 * UNIT_ROUNDOFF * (points as f64 + value.abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::Streams;
    use rand::RngExt;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn plan(replicates: usize) -> Plan {
        Plan { method: "test", replicates, info: Info::new(), upper_bound: None, points: 1 }
    }

    /// Uniform on (0, 2): mean 1, standard deviation 0.577.
    fn noisy(index: u64) -> Result<(f64, ()), PriorError> {
        Ok(((2.0 * Streams::new(5).stream("noise", index).random::<f64>()).ln(), ()))
    }

    #[test]
    fn runs_until_the_target_is_reached_and_says_so() {
        let heard = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&heard);
        let options = PriorOptions {
            target_std_error: Some(0.01),
            progress: crate::prior::ProgressSink::new(move |interim| {
                assert!(interim.std_error > 0.0);
                counter.fetch_add(1, Ordering::Relaxed);
            }),
            ..PriorOptions::default()
        };
        let answer = run(plan(8), &options, Instant::now(), noisy).unwrap().0.estimate;
        // 0.577 / sqrt(M) <= 0.01 needs about 3333 replicates.
        let replicates = answer.info.number("replicates").unwrap();
        assert!((3000.0..4500.0).contains(&replicates), "{replicates}");
        assert!(answer.std_error.unwrap() <= 0.01 && answer.value.abs() < 0.06);
        assert!(heard.load(Ordering::Relaxed) > 100);
    }

    #[test]
    fn stops_at_the_budget_and_says_so() {
        let options = PriorOptions { target_std_error: Some(1e-9), max_seconds: Some(0.05), ..PriorOptions::default() };
        let slow = |index| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            noisy(index)
        };
        let answer = run(plan(8), &options, Instant::now(), slow).unwrap().0.estimate;
        assert_eq!(answer.info.get("target_reached"), Some(&crate::numeric::InfoValue::Flag(false)));
    }

    #[test]
    fn a_target_below_rounding_ends_and_says_so() {
        let options = PriorOptions { target_std_error: Some(1e-300), ..PriorOptions::default() };
        let answer = run(plan(8), &options, Instant::now(), noisy).unwrap().0.estimate;
        assert_eq!(answer.info.get("target_reached"), Some(&crate::numeric::InfoValue::Flag(false)));
        assert_eq!(answer.info.number("replicates"), Some(8.0));
    }

    #[test]
    fn a_search_with_a_target_ends_too() {
        let options = PriorOptions { target_std_error: Some(0.1), ..PriorOptions::default() };
        let error = run(plan(8), &options, Instant::now(), |_| Ok((f64::NEG_INFINITY, ()))).unwrap_err();
        assert!(matches!(error, PriorError::NothingFound { replicates, .. } if replicates >= 512), "{error}");
    }

    #[test]
    fn finding_nothing_is_an_error() {
        let error =
            run(plan(8), &PriorOptions::default(), Instant::now(), |_| Ok((f64::NEG_INFINITY, ()))).unwrap_err();
        assert_eq!(error, PriorError::NothingFound { method: "test", replicates: 8 });
    }

    /// One replicate that outweighs all others is no estimate; with a target the answer is that it was not reached.
    #[test]
    fn a_collapsed_mean_is_no_estimate() {
        let heavy = |index: u64| Ok((if index == 3 { -5.0 } else { -50.0 }, ()));
        let error = run(plan(8), &PriorOptions::default(), Instant::now(), heavy).unwrap_err();
        assert!(matches!(error, PriorError::Collapsed { replicates: 8, std_error, .. } if std_error > 0.99), "{error}");
        let options = PriorOptions { target_std_error: Some(0.1), max_seconds: Some(1e-9), ..PriorOptions::default() };
        let (answer, _) = run(plan(8), &options, Instant::now(), heavy).unwrap();
        assert_eq!(answer.estimate.info.get("target_reached"), Some(&crate::numeric::InfoValue::Flag(false)));
        let even = |index: u64| Ok((if index < 4 { -5.0 } else { -50.0 }, ()));
        assert!(run(plan(8), &PriorOptions::default(), Instant::now(), even).is_ok());
    }
}
