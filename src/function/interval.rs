//! How sure a count is of a probability.

use std::f64::consts::PI;

/// Newton steps after which rounding alone moves an end.
const MOST_STEPS: usize = 100;
/// Standard deviations, in the log odds, from the observed odds to where Newton's method starts.
const START: f64 = 3.0;

/// The exact interval of a binomial probability (Clopper and Pearson 1934): of `count` in `trials`, it covers the true
/// probability in at least a fraction `confidence` of all cases. At its lower end `count` or more, at its upper end
/// `count` or fewer have probability `(1 - confidence) / 2`.
///
/// Ends are right to `1e-13` of themselves and of their distance from 1, up to `1e17` trials.
///
/// # Panics
/// If `count > trials`, `trials` is 0, or the confidence is not between 0 and 1.
pub fn clopper_pearson(count: u64, trials: u64, confidence: f64) -> (f64, f64) {
    assert!(trials > 0 && count <= trials, "{count} of {trials} trials");
    assert!(confidence > 0.0 && confidence < 1.0, "confidence {confidence}");
    let log_tail = ((1.0 - confidence) / 2.0).ln();
    let (hits, misses, trials) = (count as f64, (trials - count) as f64, trials as f64);
    // Few hits where hits are likely, or few misses where misses are.
    let lower = match (count, misses) {
        (0, _) => 0.0,
        (_, 0.0) => (log_tail / trials).exp(),
        _ => likely(misses, hits, log_tail).1,
    };
    let upper = match (count, misses) {
        (0, _) => -(log_tail / trials).exp_m1(),
        (_, 0.0) => 1.0,
        _ => likely(hits, misses, log_tail).0,
    };
    (lower, upper)
}

/// The probability of an event at which `hits` or fewer of `hits + misses` have probability `exp(log_tail)`, and its complement.
///
/// Newton's method in the log odds, the natural parameter of the binomial distribution: logarithms of tails are concave in it,
/// so that after the first step all others come from one side, that of larger odds, where the tail is computed without
/// cancellation.
fn likely(hits: f64, misses: f64, log_tail: f64) -> (f64, f64) {
    let both = |log_odds: f64| (1.0 / (1.0 + (-log_odds).exp()), 1.0 / (1.0 + log_odds.exp()));
    let deviation = (1.0 / (hits + 0.5) + 1.0 / (misses + 0.5)).sqrt();
    let mut log_odds = ((hits + 0.5) / (misses + 0.5)).ln() + START * deviation;
    for _ in 0..MOST_STEPS {
        let (p, q) = both(log_odds);
        let share = share_of_last(hits, misses, p, q);
        let value = log_binomial(hits, misses, p, q) - share.ln() - log_tail;
        // d log P(X <= hits) / d log odds = -(misses p) P(X = hits) / P(X <= hits)
        let step = -value / (misses * p * share);
        log_odds -= step;
        if step.abs() <= 4.0 * f64::EPSILON * log_odds.abs().max(1.0) {
            break;
        }
    }
    both(log_odds)
}

/// Numbers up to which [`by_fraction`] is used; its terms grow as their root.
const FRACTION_BELOW: f64 = 1e6;

/// `P(X = hits) / P(X <= hits)` of `hits + misses` trials of probability `p = 1 - q`, where `hits` are fewer than expected.
fn share_of_last(hits: f64, misses: f64, p: f64, q: f64) -> f64 {
    if hits.min(misses) < FRACTION_BELOW { by_fraction(hits, misses, p, q) } else { by_integral(hits, misses, p, q) }
}

/// The inverse share is `sum over j of (hits)_j / (misses + 1)^(j) (q / p)^j`, falling and rising factorials: the
/// hypergeometric function `F(-hits, 1; misses + 1; -q / p)`, whose continued fraction (Gauss; DLMF 15.7.1) is evaluated by
/// Lentz's method.
fn by_fraction(hits: f64, misses: f64, p: f64, q: f64) -> f64 {
    let odds = q / p;
    // 1 + t_1 / (1 + t_2 / (1 + ...))
    let (mut c, mut d, mut fraction) = (1.0, 0.0, 1.0);
    let mut term = |t: f64| {
        d = 1.0 / (1.0 + t * d);
        c = 1.0 + t / c;
        fraction *= c * d;
        // Written so that NaN ends it.
        (!((c * d - 1.0).abs() > 2.0 * f64::EPSILON), fraction)
    };
    let mut j = 0.0;
    loop {
        let place = misses + 2.0 * j;
        let (_, so_far) = term(-(hits - j) / (place + 1.0) * ((misses + j) / place.max(1.0)) * odds);
        if j == hits {
            return so_far;
        }
        j += 1.0;
        let (done, so_far) = term(j / (place + 2.0) * ((misses + hits + j) / (place + 1.0)) * odds);
        if done {
            return so_far;
        }
    }
}

/// Points of the rule that integrates; its error, `1e-11`, is less than what a root of [`FRACTION_BELOW`] makes of rounding.
const POINTS: u32 = 2000;
/// Logarithm of what is left out of the integral.
const LEFT_OUT: f64 = -40.0;

/// The same from the beta integral over log odds: `1 / share = misses p integral over u >= 0 of exp(e(u))` with
/// `e(u) = -misses u - (n + 1) ln(1 + q (exp(-u) - 1))`, a concave function.
///
/// Rounding leaves an error of `sqrt(n) 1e-15` in the share, and moves an end by `1e-15` of itself: its distance from the
/// observed odds is that much smaller than the odds.
fn by_integral(hits: f64, misses: f64, p: f64, q: f64) -> f64 {
    let next = hits + misses + 1.0;
    // The form whose terms are of the rarer kind.
    let exponent = |u: f64| match q <= p {
        true => -misses * u - next * (q * (-u).exp_m1()).ln_1p(),
        false => (hits + 1.0) * u - next * (p * u.exp_m1()).ln_1p(),
    };
    let mut end = 1.0 / (next * p * q).sqrt();
    while exponent(end) > LEFT_OUT {
        end *= 1.25;
    }
    let width = end / f64::from(POINTS);
    let sum: f64 = (0..=POINTS)
        .map(|k| {
            // Simpson's rule.
            let weight = if k == 0 || k == POINTS { 1.0 } else if k % 2 == 1 { 4.0 } else { 2.0 };
            weight * exponent(width * f64::from(k)).exp()
        })
        .sum();
    1.0 / (misses * p * sum * width / 3.0)
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
