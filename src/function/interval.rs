//! How sure a count is of a probability.

use std::f64::consts::PI;

/// Newton steps after which rounding alone moves an end.
const MOST_STEPS: usize = 100;

/// The exact interval of a binomial probability (Clopper and Pearson 1934): of `count` in `trials`, it covers the true
/// probability in at least a fraction `confidence` of all cases. At its lower end `count` or more, at its upper end
/// `count` or fewer have probability `(1 - confidence) / 2`.
///
/// # Panics
/// If `count > trials`, `trials` is 0, or the confidence is not between 0 and 1.
pub fn clopper_pearson(count: u64, trials: u64, confidence: f64) -> (f64, f64) {
    assert!(trials > 0 && count <= trials, "{count} of {trials} trials");
    assert!(confidence > 0.0 && confidence < 1.0, "confidence {confidence}");
    let log_tail = ((1.0 - confidence) / 2.0).ln();
    let (hits, misses, trials) = (count as f64, (trials - count) as f64, trials as f64);
    let lower = match (count, misses) {
        (0, _) => 0.0,
        (_, 0.0) => (log_tail / trials).exp(),
        _ => solve(hits / misses, |p, q| {
            let tail = Tail::new(hits, misses + 1.0, p, q);
            (tail.log - log_tail, hits * tail.hazard * q)
        }),
    };
    let upper = match (count, misses) {
        (0, _) => -(log_tail / trials).exp_m1(),
        (_, 0.0) => 1.0,
        _ => solve(hits / misses, |p, q| {
            let tail = Tail::new(misses, hits + 1.0, q, p);
            (tail.log - log_tail, -misses * tail.hazard * p)
        }),
    };
    (lower, upper)
}

/// The `p` where a function of `(p, 1 - p)` is 0, from its value and its slope in the log odds, the natural parameter of the
/// binomial distribution: logarithms of tails are concave in it, so that after the first of Newton's steps all others come
/// from one side.
fn solve(odds: f64, at: impl Fn(f64, f64) -> (f64, f64)) -> f64 {
    let both = |log_odds: f64| (1.0 / (1.0 + (-log_odds).exp()), 1.0 / (1.0 + log_odds.exp()));
    let mut log_odds = odds.ln();
    for _ in 0..MOST_STEPS {
        let (p, q) = both(log_odds);
        let (value, slope) = at(p, q);
        let step = value / slope;
        log_odds -= step;
        if step.abs() <= 4.0 * f64::EPSILON {
            break;
        }
    }
    both(log_odds).0
}

/// `P(X >= a)` for `X` binomial with `a + b - 1` trials of probability `x`, the incomplete beta function `I_x(a, b)`.
struct Tail {
    log: f64,
    /// `P(X = a) / P(X >= a)`.
    hazard: f64,
}

impl Tail {
    /// `y` is `1 - x`, given so that both keep their digits.
    fn new(a: f64, b: f64, x: f64, y: f64) -> Self {
        let log_mass = log_binomial(a, b - 1.0, x, y);
        let ratio = y * continued_fraction(a, b, x);
        Self { log: log_mass + ratio.ln(), hazard: 1.0 / ratio }
    }
}

/// `ln P(X = hits)` of `hits + misses` trials of probability `p = 1 - q` by the deviance from the mean (Loader 2000): no
/// factorials that cancel.
fn log_binomial(hits: f64, misses: f64, p: f64, q: f64) -> f64 {
    let n = hits + misses;
    if misses == 0.0 {
        return n * p.ln();
    }
    stirling_error(n) - stirling_error(hits) - stirling_error(misses) - deviance(hits, n * p) - deviance(misses, n * q)
        + 0.5 * (n / (2.0 * PI * hits * misses)).ln()
}

/// `ln n! - ln(sqrt(2 pi n) (n / e)^n)`, `n >= 1`.
fn stirling_error(n: f64) -> f64 {
    if n <= 15.0 {
        let factorial: f64 = (1..=n as u64).map(|k| k as f64).product();
        return factorial.ln() - (0.5 * (2.0 * PI * n).ln() + n * n.ln() - n);
    }
    let square = n * n;
    (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / 1188.0 / square) / square) / square) / square)
        / n
}

/// `x ln(x / m) + m - x`, without cancellation where `x` is close to `m`.
fn deviance(x: f64, m: f64) -> f64 {
    let v = (x - m) / (x + m);
    if v.abs() >= 0.1 {
        return x * (x / m).ln() + m - x;
    }
    // With x / m = (1 + v) / (1 - v): (x - m) v + 2 x (v^3 / 3 + v^5 / 5 + ...).
    // Terms fall by a hundred each.
    let series: f64 = (1..=9).rev().map(|k| v.powi(2 * k + 1) / f64::from(2 * k + 1)).sum();
    (x - m) * v + 2.0 * x * series
}

/// `I_x(a, b) a B(a, b) / (x^a (1 - x)^b)`, for `x` below the mean or not far above: the continued fraction of the
/// incomplete beta function (DLMF 8.17.22) by Lentz's method.
fn continued_fraction(a: f64, b: f64, x: f64) -> f64 {
    let mut d = 1.0 / (1.0 - (a + b) / (a + 1.0) * x);
    let (mut c, mut fraction) = (1.0, d);
    let mut m = 0.0;
    loop {
        m += 1.0;
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / (1.0 + even * d);
        c = 1.0 + even / c;
        fraction *= c * d;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / (1.0 + odd * d);
        c = 1.0 + odd / c;
        fraction *= c * d;
        // Written so that NaN ends it.
        if !((c * d - 1.0).abs() > 4.0 * f64::EPSILON) {
            return fraction;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Error of a tail's probability: a term's logarithm is up to 2e4 in size, with a half ulp of 1.8e-12, and takes up to 1e4
    /// roundings.
    const TAIL_SUM: f64 = 2e-8;

    /// The ends by their definition: the binomial tails there have probability `(1 - confidence) / 2`, summed term by term.
    #[test]
    fn tails_at_the_ends_have_half_of_the_rest() {
        for (count, trials) in
            [(0, 10), (1, 10), (5, 10), (10, 10), (3, 1000), (62, 1000), (0, 100_000), (6220, 100_000)]
        {
            for confidence in [0.95, 0.999] {
                let (lower, upper) = clopper_pearson(count, trials, confidence);
                assert!(0.0 <= lower && lower < upper && upper <= 1.0);
                let tail = |p: f64, from: u64, to: u64| -> f64 {
                    let mut log_choose = 0.0;
                    let mut sum = 0.0;
                    for k in 0..=to {
                        if k > 0 {
                            log_choose += ((trials - k + 1) as f64 / k as f64).ln();
                        }
                        if k >= from {
                            sum += (log_choose + k as f64 * p.ln() + (trials - k) as f64 * (-p).ln_1p()).exp();
                        }
                    }
                    sum
                };
                let half = (1.0 - confidence) / 2.0;
                let agrees = |found: f64| (found - half).abs() <= TAIL_SUM;
                if count > 0 {
                    assert!(agrees(1.0 - tail(lower, 0, count - 1)), "{count} of {trials}: {lower}");
                }
                if count < trials {
                    assert!(agrees(tail(upper, 0, count)), "{count} of {trials}: {upper}");
                }
            }
        }
    }

    /// Far beyond what factorials in f64 resolve: the ends by 40 digits (mpmath 1.3, the tails integrated).
    #[test]
    fn ends_of_large_counts_keep_their_digits() {
        let (lower, upper) = clopper_pearson(13_456, 100_000_000, 0.999);
        assert!((lower / 0.000_130_775_963_807_145_3 - 1.0).abs() < 1e-13, "{lower}");
        let (_, upper_of_two_more) = clopper_pearson(13_458, 100_000_000, 0.999);
        assert!((upper_of_two_more / 0.000_138_439_957_604_791_65 - 1.0).abs() < 1e-13, "{upper_of_two_more}");
        assert!(upper < upper_of_two_more);
        let (lower, upper) = clopper_pearson(1, 1, 0.95);
        assert!((lower - 0.025).abs() < 1e-15 && upper == 1.0);
        assert!((clopper_pearson(0, 1, 0.95).1 - 0.975).abs() < 1e-15);
    }
}
