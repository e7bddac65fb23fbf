//! Whether standard errors are honest: the statistics of many answers of one estimator under seeds of their own.
//!
//! Every answer `v_i` comes with a standard error `s_i`. Against the truth, or where there is none against the mean of the
//! answers to the same case, `z_i = (v_i - truth) / s_i` of an honest estimator is a deviate of Student's distribution with
//! the degrees of freedom of `s_i`. It is mapped to a normal deviate by Wallace's formula (1959, Bounds on normal
//! approximations to Student's and the chi-square distributions)
//!
//! ```text
//! u = sign(z) (8 nu + 1) / (8 nu + 3) sqrt(nu ln(1 + z^2 / nu)),    nu = 31
//! ```
//!
//! which for more than 32 replicates gives something smaller. Then `sum u^2` is chi-square with `N` degrees of freedom, and
//! by Chernoff's bound it is above `N x` for `x > 1`, or below it for `x < 1`, with probability at most
//! `exp(-N (x - 1 - ln x) / 2)`.

/// Degrees of freedom of a standard error from the 32 replicates that the built-in methods take at least.
const FREEDOM: f64 = 31.0;

/// Minus the logarithm of the probability with which one statistic of an honest estimator is out of bounds: `1e-9`. A run
/// has some three for each of at most 60 estimators, less than `2e-7` of the budget of `1e-6`.
const SURPRISE: f64 = 20.72;

/// Deviate of the standard normal distribution that is exceeded in size with probability `1e-9`.
const MEAN_Z: f64 = 6.11;

/// Bias, in standard errors, that an honest answer may have: the ratio of a mean of 32 skewed replicates to its own
/// standard error is biased by `skewness / (2 sqrt 32)`, the logarithm of a mean by half its standard error.
const FREE_BIAS: f64 = 0.2;

/// Factor by which standard errors may be too large: bounds and conservative variances are honest.
const CONSERVATIVE: f64 = 1.25;

/// What the mapping leaves of the mean square of a normal deviate, at least: `(249 / 251)^2 (1 - 3 / 62)`.
const MAPPED: f64 = 0.93;

/// Deviates of one estimator.
#[derive(Debug, Default)]
pub(super) struct Deviates {
    /// From the truth.
    from_truth: Vec<f64>,
    /// Sum of squares about the means of the cases, and their degrees of freedom.
    squares: f64,
    freedom: f64,
}

/// How the deviates of an honest estimator may be distributed, and how they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Honesty {
    /// Answers.
    pub answers: usize,
    /// Root mean square of the deviates about the means of their cases: the scatter of the answers in units of the stated
    /// standard errors. Honest between the bounds.
    pub scatter: f64,
    /// Bounds of the scatter.
    pub scatter_bounds: [f64; 2],
    /// Mean deviate from the truth, in standard errors; `None` where no truth is known.
    pub bias: Option<f64>,
    /// Bound of its size.
    pub bias_bound: f64,
}

fn mapped(z: f64) -> f64 {
    let factor = (8.0 * FREEDOM + 1.0) / (8.0 * FREEDOM + 3.0);
    (factor * (FREEDOM * (z * z / FREEDOM).ln_1p()).sqrt()).copysign(z)
}

impl Deviates {
    /// Adds the answers to one case: values with standard errors, and the truth if it is known.
    pub fn add(&mut self, answers: &[(f64, f64)], truth: Option<f64>) {
        let count = answers.len() as f64;
        if count < 2.0 {
            return;
        }
        let mean = answers.iter().map(|(value, _)| value / count).sum::<f64>();
        // The mean takes part of each deviation with it.
        let about_mean = |(value, std_error): &(f64, f64)| (value - mean) / std_error * (count / (count - 1.0)).sqrt();
        self.squares +=
            answers.iter().map(|answer| mapped(about_mean(answer)).powi(2)).sum::<f64>() * (count - 1.0) / count;
        self.freedom += count - 1.0;
        if let Some(truth) = truth {
            self.from_truth.extend(answers.iter().map(|(value, std_error)| mapped((value - truth) / std_error)));
        }
    }

    /// The statistics; `None` of fewer than ten answers.
    pub fn judge(&self) -> Option<Honesty> {
        if self.freedom < 9.0 {
            return None;
        }
        let scatter = (self.squares / self.freedom).sqrt();
        let above = chernoff(self.freedom, 1.0, 1e3).sqrt();
        let below = (MAPPED * chernoff(self.freedom, 1.0, 1e-12)).sqrt() / CONSERVATIVE;
        let count = self.from_truth.len() as f64;
        let bias = (count > 0.0).then(|| self.from_truth.iter().sum::<f64>() / count);
        Some(Honesty {
            answers: self.freedom as usize + 1,
            scatter,
            scatter_bounds: [below, above],
            bias,
            bias_bound: FREE_BIAS + MEAN_Z / count.max(1.0).sqrt(),
        })
    }
}

/// The `x` between `from` (at 1) and `to` at which Chernoff's bound of `N` degrees of freedom is `exp(-SURPRISE)`.
fn chernoff(freedom: f64, from: f64, to: f64) -> f64 {
    let exponent = |x: f64| 0.5 * freedom * (x - 1.0 - x.ln());
    let (mut inside, mut outside) = (from, to);
    for _ in 0..200 {
        let middle = 0.5 * (inside + outside);
        if exponent(middle) < SURPRISE { inside = middle } else { outside = middle }
    }
    outside
}

impl Honesty {
    /// What is dishonest about the errors; `None` if nothing is seen.
    pub fn fault(&self) -> Option<String> {
        let Self { answers, scatter, scatter_bounds: [below, above], bias, bias_bound } = *self;
        // Written so that NaN is a fault.
        if !(scatter <= above) {
            return Some(format!(
                "standard errors are too small: {answers} answers scatter by {scatter:.2} of them, expected 1 (at most \
                 {above:.2})"
            ));
        }
        if !(scatter >= below) {
            return Some(format!(
                "standard errors are too large: {answers} answers scatter by {scatter:.2} of them, expected 1 (at least \
                 {below:.2})"
            ));
        }
        match bias {
            Some(bias) if !(bias.abs() <= bias_bound) => Some(format!(
                "biased: {answers} answers are off the truth by {bias:+.2} standard errors on average, expected 0 (within \
                 {bias_bound:.2})"
            )),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::Streams;
    use rand_distr::{ChiSquared, Distribution, StandardNormal};

    /// Faults among `runs` estimators of `cases` cases with `answers` each, whose errors come from 32 replicates, are
    /// stated `stated` times too large, and whose values are `bias` true standard errors off.
    fn faults(cases: usize, answers: usize, bias: f64, stated: f64, runs: u64) -> usize {
        let chi = ChiSquared::new(FREEDOM).unwrap();
        let fault = |run: u64| {
            let mut generator = Streams::new(run).stream("honesty", 0);
            let mut deviates = Deviates::default();
            for case in 0..cases {
                let truth = case as f64 - 3.0;
                let drawn: Vec<(f64, f64)> = (0..answers)
                    .map(|_| {
                        let noise: f64 = StandardNormal.sample(&mut generator);
                        let error = (chi.sample(&mut generator) / FREEDOM).sqrt();
                        (truth + 0.1 * (bias + noise), 0.1 * stated * error)
                    })
                    .collect();
                deviates.add(&drawn, Some(truth));
            }
            deviates.judge().unwrap().fault().is_some()
        };
        (0..runs).filter(|run| fault(*run)).count()
    }

    #[test]
    fn honest_errors_have_no_fault() {
        assert_eq!(faults(4, 16, 0.0, 1.0, 2000), 0);
        assert_eq!(faults(8, 96, 0.0, 1.0, 300), 0);
        assert_eq!(faults(1, 64, 0.15, 1.0, 1000), 0);
        assert_eq!(faults(8, 96, 0.15, 1.3, 300), 0);
    }

    /// The stated power: at the quick tier errors too small by 3 or too large by 4 and a bias of 3, at the full tier errors too
    /// small by the root of 2 or too large by 3 and a bias of half a standard error.
    #[test]
    fn the_stated_power_is_there() {
        for (cases, answers) in [(4, 16), (2, 32), (8, 96)] {
            assert_eq!(faults(cases, answers, 0.0, 1.0 / 3.0, 200), 200);
            assert_eq!(faults(cases, answers, 3.0, 1.0, 200), 200);
            assert_eq!(faults(cases, answers, -3.0, 1.0, 200), 200);
            assert_eq!(faults(cases, answers, 0.0, if answers > 32 { 3.0 } else { 4.0 }, 200), 200);
        }
        let by_root_two = faults(8, 96, 0.0, f64::sqrt(0.5), 200);
        assert!(by_root_two >= 198, "{by_root_two} of 200");
        let by_half = faults(8, 96, 0.5, 1.0, 200);
        assert!(by_half >= 190, "{by_half} of 200");
    }

    #[test]
    fn mapped_deviates_are_normal() {
        // Quantiles of Student's distribution with 31 degrees of freedom and of the normal one.
        for (student, normal) in [(0.682_3, 0.674_5), (2.039_5, 1.959_96), (3.633_5, 3.290_5), (6.6, 5.18)] {
            assert!((mapped(student) - normal).abs() < 0.01, "{student}: {}", mapped(student));
            assert_eq!(mapped(-student), -mapped(student));
        }
    }
}
