//! Performance as a contract: an estimator timed beside the built-in one in one run, once its answers were seen to be right.
//!
//! Seconds are those of a machine; the ratio to a peer that ran in turn with it is what lasts, and what a change is judged by.

use crate::data::digits;
use crate::flatness::{self, FlatnessError, Measure, Options, Point};
use crate::gate::calibration::median;
use crate::gate::score::Score;
use crate::gate::tolerance::{CERTIFIED_FIXED_POINT, GATE_Z, curvature_agreement, kernel_agreement};
use crate::kernel::{self, KernelError, KernelMethod, KernelOptions, Kind};
use crate::model::{Activation, Architecture, Loss, Model, Network, Objective};
use crate::numeric::bootstrap::bootstrap;
use crate::numeric::{Estimate, Streams};
use crate::prior::{self, Gram, Labels, LogProbMethod, PriorError, PriorOptions};
use ndarray::{Array2, s};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Fewest and most rounds of a case; a round asks both once.
const ROUNDS: std::ops::RangeInclusive<usize> = 7..=60;

/// What one case cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BenchRow {
    /// What was computed.
    pub case: String,
    /// Why no time counts: a wrong answer, an error, a case that one of the two does not cover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Whether that fault is one of the estimator.
    pub failed: bool,
    /// What it cost; `None` where no time counts.
    #[serde(flatten)]
    pub timing: Option<Timing>,
}

/// What the answers to one case cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Timing {
    /// Rounds that were timed; each asks the estimator and the built-in one, in turn.
    pub rounds: usize,
    /// Median time of an answer.
    pub seconds: f64,
    /// Median time of an answer of the built-in one.
    pub reference_seconds: f64,
    /// `seconds / reference_seconds`.
    pub ratio: f64,
    /// Its 95% interval, by a bootstrap over rounds.
    pub interval: [f64; 2],
    /// Right digits: those in which it agrees with the built-in one, or those that its standard error leaves.
    pub digits: Option<f64>,
    /// `seconds / digits`.
    pub seconds_per_digit: Option<f64>,
    /// `seconds` times the relative variance of a random answer: what does not change when it draws more.
    pub seconds_times_variance: Option<f64>,
    /// Operator products it says it took.
    pub products: Option<f64>,
}

/// The times of one estimator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Bench {
    /// The estimator.
    pub estimator: String,
    /// The built-in one that ran in turn with it.
    pub reference: String,
    /// Case by case.
    pub rows: Vec<BenchRow>,
}

impl Bench {
    /// Whether it was wrong somewhere, or nowhere timed.
    pub fn failed(&self) -> bool {
        self.rows.iter().any(|row| row.failed) || self.rows.iter().all(|row| row.timing.is_none())
    }

    /// Cases that became slower, beside the built-in estimator, by more than `factor` since `before`: the lower end of the
    /// interval of the ratio is beyond `factor` times what the ratio was.
    pub fn slower_than(&self, before: &Self, factor: f64) -> Vec<String> {
        let rows = self.rows.iter().filter_map(|row| Some((row, row.timing.as_ref()?)));
        rows.filter_map(|(row, timing)| {
            let was = before.timing(&row.case)?.ratio;
            let ratio = timing.ratio;
            (timing.interval[0] > factor * was).then(|| {
                format!("{}: {ratio:.3} times the built-in one's time, was {was:.3} (limit {factor})", row.case)
            })
        })
        .collect()
    }

    /// What a case cost, if it was timed.
    pub fn timing(&self, case: &str) -> Option<&Timing> {
        self.rows.iter().find(|row| row.case == case)?.timing.as_ref()
    }
}

/// An answer, as numbers that are compared one by one.
struct Answer {
    values: Vec<f64>,
    std_errors: Vec<f64>,
    /// Differences that rounding and declared accuracy explain.
    tolerance: f64,
    products: Option<f64>,
}

enum NoAnswer {
    NotCovered(String),
    Fault(String),
}

type Ask<'a> = Box<dyn Fn(u64) -> Result<Answer, NoAnswer> + 'a>;

fn of_estimate(estimate: Estimate, agreement: f64) -> Answer {
    Answer {
        values: vec![estimate.value],
        std_errors: estimate.std_error.into_iter().collect(),
        tolerance: agreement * estimate.value.abs() + estimate.error_bound,
        products: estimate.info.number("products"),
    }
}

/// The largest difference in units of the expected size, if it is more than is explained.
fn wrong(mine: &Answer, reference: &Answer) -> Option<String> {
    if mine.values.len() != reference.values.len() {
        return Some(format!("{} numbers, expected {}", mine.values.len(), reference.values.len()));
    }
    let error = |answer: &Answer, index: usize| answer.std_errors.get(index).copied().unwrap_or(0.0);
    mine.values.iter().zip(&reference.values).enumerate().find_map(|(index, (found, expected))| {
        let noise = GATE_Z * error(mine, index).hypot(error(reference, index));
        let allowed = mine.tolerance.max(reference.tolerance) + noise;
        // Written so that NaN is wrong.
        let right = found == expected || (found - expected).abs() <= allowed;
        (!right).then(|| format!("{found}, the built-in estimator says {expected}; {allowed:.1e} would be explained"))
    })
}

/// Digits in which a deterministic answer agrees, relative to the largest of its numbers, or which its standard error leaves.
fn digits_of(mine: &Answer, reference: &Answer) -> Option<f64> {
    let size = reference.values.iter().fold(0.0_f64, |size, value| size.max(value.abs()));
    let off = match mine.std_errors.iter().copied().fold(0.0, f64::max) {
        0.0 => mine.values.iter().zip(&reference.values).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max),
        std_error => std_error,
    };
    Score::of(off / size, 0.0).filter(|_| size.is_finite()).map(|score| score.digits)
}

fn row(case: &str, mine: &Ask, reference: &Ask, budget: Duration) -> BenchRow {
    let unable =
        |fault: String, failed: bool| BenchRow { case: case.to_owned(), fault: Some(fault), failed, timing: None };
    // The first answers are checked and not timed: caches are cold, and a command may still be starting.
    let expected = match reference(0) {
        Ok(answer) => answer,
        Err(NoAnswer::NotCovered(reason) | NoAnswer::Fault(reason)) => {
            return unable(format!("the built-in estimator does not cover it: {reason}"), false);
        }
    };
    let answer = match mine(0) {
        Ok(answer) => answer,
        Err(NoAnswer::NotCovered(reason)) => return unable(reason, false),
        Err(NoAnswer::Fault(reason)) => return unable(reason, true),
    };
    if let Some(wrong) = wrong(&answer, &expected) {
        return unable(wrong, true);
    }
    let timed = |ask: &Ask, seed: u64| {
        let start = Instant::now();
        let answer = ask(seed);
        (start.elapsed().as_secs_f64(), answer)
    };
    let (mut times, mut reference_times) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    for round in 1..=*ROUNDS.end() {
        if round > *ROUNDS.start() && begun.elapsed() > budget {
            break;
        }
        let (seconds, again) = timed(mine, round as u64);
        let (reference_seconds, expected) = timed(reference, round as u64);
        match (again, expected) {
            (Ok(again), Ok(expected)) => {
                if let Some(wrong) = wrong(&again, &expected) {
                    return unable(format!("seed {round}: {wrong}"), true);
                }
            }
            (Err(NoAnswer::NotCovered(reason) | NoAnswer::Fault(reason)), _) => {
                return unable(format!("seed {round}: {reason}"), true);
            }
            (_, Err(NoAnswer::NotCovered(reason) | NoAnswer::Fault(reason))) => {
                return unable(format!("the built-in estimator, seed {round}: {reason}"), false);
            }
        }
        times.push(seconds);
        reference_times.push(reference_seconds);
    }
    let middle = |mut times: Vec<f64>| median(&mut times).expect("a time of every round");
    let ratio_of = |rows: &[usize]| {
        let of = |all: &[f64]| middle(rows.iter().map(|row| all[*row]).collect());
        of(&times) / of(&reference_times)
    };
    let [interval] = bootstrap(times.len(), Streams::new(0).child(case, 0), |rows| [Some(ratio_of(rows))]);
    let (rounds, seconds, reference_seconds) = (times.len(), middle(times.clone()), middle(reference_times.clone()));
    let digits = digits_of(&answer, &expected);
    let relative = |std_error: f64| std_error / expected.values[0].abs();
    let timing = Timing {
        rounds,
        seconds,
        reference_seconds,
        ratio: seconds / reference_seconds,
        interval: interval.expect("seven rounds or more, each with a time"),
        digits,
        seconds_per_digit: digits.filter(|digits| *digits > 0.0).map(|digits| seconds / digits),
        seconds_times_variance: answer.std_errors.first().map(|error| seconds * relative(*error).powi(2)),
        products: answer.products,
    };
    BenchRow { case: case.to_owned(), fault: None, failed: false, timing: Some(timing) }
}

/// The first digits as inputs, and whether each is at least 5.
fn images(count: usize) -> (Array2<f64>, Array2<f64>) {
    let all = digits();
    let targets = all.targets().slice(s![..count, ..]).mapv(|digit| f64::from(u8::from(digit >= 5.0)));
    (all.inputs().slice(s![..count, ..]).to_owned(), targets)
}

/// Widths of fully connected networks, and numbers of digits.
const NETWORKS: [(&[usize], usize); 3] = [(&[64, 10, 1], 100), (&[64, 40, 40, 1], 500), (&[64, 100, 100, 1], 1000)];
/// Points of Gram matrices.
const POINTS: [usize; 3] = [50, 150, 400];

fn name_of(widths: &[usize], count: usize) -> String {
    let widths: Vec<String> = widths.iter().map(usize::to_string).collect();
    format!("fcn:{} on {count} digits", widths.join("-"))
}

fn prior_network(widths: &[usize]) -> Architecture {
    Architecture::fully_connected(widths, Activation::Relu, std::f64::consts::SQRT_2, 1.0)
}

/// Times a measure beside the one that it claims to be, for about `budget` a case.
pub(super) fn bench_measure(subject: &dyn Measure, budget: Duration) -> Bench {
    let rows = NETWORKS.iter().map(|(widths, count)| {
        let model = Arc::new(Model::new(prior_network(widths)).expect("widths above 0"));
        let network = Network::sample(model, Streams::new(1).child("bench", *count as u64));
        let (inputs, targets) = images(*count);
        let ask = |measure: &dyn Measure, seed: u64| {
            let objective = Objective::new(&network, Loss::Bce, inputs.view(), targets.view()).expect("they fit");
            let options = Options { seed, ..Options::default() };
            match measure.evaluate(&Point::new(objective, network.theta()), &options) {
                Ok(estimate) => Ok(of_estimate(estimate, curvature_agreement(measure.dtype())[0])),
                Err(FlatnessError::NotApplicable { reason, .. }) => Err(NoAnswer::NotCovered(reason)),
                Err(error) => Err(NoAnswer::Fault(error.to_string())),
            }
        };
        let registered = flatness::find(subject.claim());
        let mine: Ask = Box::new(|seed| ask(subject, seed));
        let reference: Ask = Box::new(|seed| match registered {
            Some(measure) => ask(measure, seed),
            None => Err(NoAnswer::NotCovered(format!("no measure '{}' is registered", subject.claim()))),
        });
        row(&name_of(widths, *count), &mine, &reference, budget)
    });
    Bench { estimator: subject.id().to_owned(), reference: subject.claim().to_owned(), rows: rows.collect() }
}

/// Times a method of log P(f) beside the one that it claims to be, for each link it has.
pub(super) fn bench_prior(subject: &dyn LogProbMethod, budget: Duration) -> Bench {
    let registered = prior::find(subject.claim());
    let mut rows = Vec::new();
    for count in POINTS {
        let (inputs, targets) = images(count);
        let gram = kernel::nngp(&prior_network(&[64, 40, 40, 1]), inputs.view()).expect("digits are ordinary inputs");
        let gram = Gram::new(gram).expect("a kernel is a Gram matrix");
        let labels = Labels::from_signs(targets.iter().map(|label| *label > 0.5));
        for &link in subject.links() {
            let ask = |method: &dyn LogProbMethod, seed: u64| match method.log_prob(
                &gram,
                &labels,
                &PriorOptions { link, seed, ..PriorOptions::default() },
            ) {
                Ok(answer) => Ok(of_estimate(answer.estimate, CERTIFIED_FIXED_POINT)),
                Err(PriorError::NotApplicable { reason, .. }) => Err(NoAnswer::NotCovered(reason)),
                Err(error) => Err(NoAnswer::Fault(error.to_string())),
            };
            let mine: Ask = Box::new(|seed| ask(subject, seed));
            let reference: Ask = Box::new(|seed| match registered {
                Some(method) if method.links().contains(&link) => ask(method, seed),
                _ => Err(NoAnswer::NotCovered(format!("no method '{}' with this link is registered", subject.claim()))),
            });
            let case = format!("{link} link, kernel of {count} digits");
            rows.push(row(&case, &mine, &reference, budget));
        }
    }
    Bench { estimator: subject.id().to_owned(), reference: subject.claim().to_owned(), rows }
}

/// Times a method for Gram matrices beside the analytic one.
pub(super) fn bench_kernel(subject: &dyn KernelMethod, budget: Duration) -> Bench {
    let analytic = kernel::find("analytic").expect("it is registered");
    let mut rows = Vec::new();
    for &kind in subject.kinds() {
        for count in POINTS {
            let (inputs, _) = images(count);
            let architecture = prior_network(&[64, 40, 40, 1]);
            let ask = |method: &dyn KernelMethod, seed: u64| {
                let options = KernelOptions { kind, seed, ..KernelOptions::default() };
                match method.gram(&architecture, inputs.view(), &options) {
                    Ok(result) => {
                        Ok(of_matrix(result.matrix, result.std_error, kernel_agreement(Kind::Ntk, method.dtype())))
                    }
                    Err(KernelError::NotApplicable { reason, .. }) => Err(NoAnswer::NotCovered(reason)),
                    Err(error) => Err(NoAnswer::Fault(error.to_string())),
                }
            };
            let mine: Ask = Box::new(|seed| ask(subject, seed));
            let reference: Ask = Box::new(|seed| ask(analytic, seed));
            let case = format!("{} of {}", kind.name(), name_of(&[64, 40, 40, 1], count));
            rows.push(row(&case, &mine, &reference, budget));
        }
    }
    Bench { estimator: subject.id().to_owned(), reference: "analytic".to_owned(), rows }
}

fn of_matrix(matrix: Array2<f64>, std_error: Option<Array2<f64>>, agreement: f64) -> Answer {
    let size = matrix.iter().fold(0.0_f64, |size, value| size.max(value.abs()));
    Answer {
        values: matrix.into_iter().collect(),
        std_errors: std_error.into_iter().flatten().collect(),
        tolerance: agreement * size,
        products: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Gate;
    use crate::numeric::{Dtype, Info};

    /// The trace of the registry, slower by a factor or wrong by a share.
    fn trace(times: usize, share: f64, dtype: Dtype) -> impl Measure {
        let registered = flatness::find("hessian_trace").expect("it is registered");
        flatness::measure_fn("hessian_trace", move |point, options| {
            let mut value = 0.0;
            for _ in 0..times {
                let point = Point::new(*point.objective(), point.theta());
                value = registered.evaluate(&point, options)?.value;
            }
            Ok(Estimate::deterministic(value * (1.0 + share), Info::new()))
        })
        .in_dtype(dtype)
    }

    #[test]
    fn a_slower_estimator_is_seen_and_a_wrong_one_has_no_time() {
        let budget = Duration::from_millis(300);
        let before = bench_measure(&trace(1, 0.0, Dtype::Float64), budget);
        assert!(!before.failed(), "{before:?}");
        assert!(before.rows.iter().all(|row| row.timing.as_ref().unwrap().digits.unwrap() > 12.0), "{before:?}");
        // Eight times the work is a ratio beyond any interval, whatever else the machine does.
        let after = bench_measure(&trace(8, 0.0, Dtype::Float64), budget);
        assert_eq!(after.slower_than(&before, 1.5).len(), after.rows.len(), "{after:?}");
        assert!(before.slower_than(&after, 1.5).is_empty());
        let wrong = bench_measure(&trace(1, 1e-6, Dtype::Float64), budget);
        assert!(wrong.failed() && wrong.rows.iter().all(|row| row.timing.is_none() && row.failed), "{wrong:?}");
        // What is wrong in float64 is right in float32, where more is wrong.
        assert!(!bench_measure(&trace(1, 1e-6, Dtype::Float32), budget).failed());
        assert!(bench_measure(&trace(1, 0.01, Dtype::Float32), budget).failed());
        let kept: Bench = serde_json::from_str(&serde_json::to_string(&before).unwrap()).unwrap();
        assert_eq!(kept, before);
    }

    #[test]
    fn every_kind_of_estimator_is_timed() {
        let [measure, method, kernel] = &Gate::quick()
            .measure(flatness::find("hessian_trace").unwrap())
            .prior(prior::find("ep").unwrap())
            .kernel(kernel::find("analytic").unwrap())
            .bench(Duration::from_millis(50))[..]
        else {
            panic!("three estimators");
        };
        for bench in [measure, method, kernel] {
            assert!(!bench.failed(), "{bench:?}");
            let timed = bench.rows.iter().filter(|row| row.timing.is_some());
            assert!(timed.count() >= 3, "{bench:?}");
        }
        let noisy = flatness::measure_fn("hessian_trace", |point, options| {
            let estimate = flatness::find("hessian_trace").expect("it is registered").evaluate(point, options)?;
            Ok(Estimate::stochastic(estimate.value, 0.01 * estimate.value.abs(), Info::new()))
        });
        let random = bench_measure(&noisy, Duration::from_millis(50));
        let cost = |row: &BenchRow| row.timing.as_ref()?.seconds_times_variance;
        assert!(random.rows.iter().all(|row| cost(row).is_some_and(|cost| cost > 0.0)), "{random:?}");
    }
}
