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

/// Points of the rule that integrates; its error, up to `2e-11`, is divided in an end by the root of at least
/// [`FRACTION_BELOW`].
const POINTS: u32 = 4000;
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
            let weight = if k == 0 || k == POINTS {
                1.0
            } else if k % 2 == 1 {
                4.0
            } else {
                2.0
            };
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

    /// Count, trials, confidence and both ends, to 40 digits (`golden/generate/clopper_pearson.py`): few hits in many trials, as
    /// many as are usually drawn, and more.
    const CERTIFIED: &[(u64, u64, f64, f64, f64)] = &[
        (1, 178_000_000, 0.95, 1.4223487630612e-10, 3.130136696286266e-08),
        (2, 180_000_000, 0.95, 1.345607105854496e-09, 4.013715312706619e-08),
        (3, 320_000_000, 0.95, 1.9333503882215526e-09, 2.7397728096053858e-08),
        (10, 320_000_000, 0.95, 1.4985589773864763e-08, 5.74698618778796e-08),
        (1, 1_000_000_000, 0.95, 2.5317807983969402e-11, 5.571643378203114e-09),
        (2, 1_000_000_000, 0.95, 2.42209278635737e-10, 7.224687648850591e-09),
        (30, 1_000_000_000, 0.95, 2.02408741100671e-08, 4.2826865120140444e-08),
        (1, 10_000_000_000, 0.95, 2.531780798425785e-12, 5.571643389665319e-10),
        (100, 3_200_000_000, 0.95, 2.542624733597872e-08, 3.800837293169586e-08),
        (1_000, 5_600_000_000, 0.95, 1.6767375418574467e-07, 1.8999145177520036e-07),
        (100_000, 32_000_000_000, 0.95, 3.1056610507236776e-06, 3.1444294925695896e-06),
        (7, 1_000_000_000_000, 0.95, 2.8143630515243496e-12, 1.442267536164885e-11),
        (1, 1_000_000_000_000_000, 0.95, 2.5317807984289898e-17, 5.571643390938885e-15),
        (1, 100_000_000_000_000_000, 0.95, 2.53178079842899e-19, 5.571643390938897e-17),
        (5_000, 100_000_000_000_000_000, 0.95, 4.862359188694903e-14, 5.1405489485350014e-14),
        (10_000_000, 100_000_000_000_000_000, 0.95, 9.993802996884576e-11, 1.0006199897731187e-10),
        (10_000_000_000_000_000, 100_000_000_000_000_000, 0.95, 0.09999999814061492, 0.10000000185938511),
        (50_000_000_000_000_000, 100_000_000_000_000_000, 0.95, 0.4999999969010248, 0.5000000030989752),
        (3, 7, 0.95, 0.0989882784425079, 0.815948432359917),
        (1, 2, 0.95, 0.01257911709342506, 0.9874208829065749),
        (999_999, 1_000_000_000, 0.95, 0.0009980409616543607, 0.0010019599278412855),
        (1_000_001, 1_000_000_000, 0.95, 0.0009980429596973318, 0.0010019619297983017),
        (3_000_000, 10_000_000, 0.95, 0.29971598216542433, 0.3002841336338418),
        (9_998_500, 10_000_000, 0.95, 0.9998422129097114, 0.9998574952261897),
        (17, 40, 0.95, 0.27042903126886286, 0.5910994195730367),
        (1, 178_000_000, 0.999, 2.8096912454022234e-12, 5.617234407238987e-08),
        (2, 180_000_000, 0.999, 1.7756123523278868e-10, 6.695221756116666e-08),
        (3, 320_000_000, 0.999, 4.678245323624107e-10, 4.354382176136434e-08),
        (10, 320_000_000, 0.999, 8.434478539392174e-09, 7.892362117891865e-08),
        (1, 1_000_000_000, 0.999, 5.001250416821734e-13, 9.998677452636367e-09),
        (2, 1_000_000_000, 0.999, 3.1961022271428623e-11, 1.205139943692503e-08),
        (30, 1_000_000_000, 0.999, 1.517023783454442e-08, 5.2644728886941214e-08),
        (1, 10_000_000_000, 0.999, 5.0012504168228586e-14, 9.998677493125059e-10),
        (100, 3_200_000_000, 0.999, 2.1978195460800954e-08, 4.292977903697466e-08),
        (1_000, 5_600_000_000, 0.999, 1.605729805591218e-07, 1.9792750186248673e-07),
    ];

    #[test]
    fn both_ends_keep_their_digits_for_few_and_for_many_hits() {
        for &(count, trials, confidence, low, high) in CERTIFIED {
            let (lower, upper) = clopper_pearson(count, trials, confidence);
            for (found, expected) in [(lower, low), (upper, high)] {
                // Written so that NaN fails.
                let agrees = (found / expected - 1.0).abs() <= 1e-13;
                assert!(agrees, "{count} of {trials}: {found:e} for {expected:e}");
            }
            // The interval of the misses is the mirror image.
            let (mirrored_upper, mirrored_lower) = clopper_pearson(trials - count, trials, confidence);
            for (found, expected) in [(mirrored_lower, 1.0 - low), (mirrored_upper, 1.0 - high)] {
                assert!(
                    (found - expected).abs() <= 1e-13 * expected + f64::EPSILON,
                    "{count} of {trials}: {found:e} for {expected:e}"
                );
            }
        }
    }

    /// All ends are numbers, in order, and move up with the count, through the change of method and at the edges.
    #[test]
    fn ends_are_ordered_for_every_size_of_count_and_trials() {
        for power in 0..=17 {
            for trials in [10_u64.pow(power), 3 * 10_u64.pow(power), u64::MAX >> (3 * power)] {
                let counts = (0..18).flat_map(|power| [1, 2, 5].map(|first| first * 10_u64.pow(power)));
                let inside: Vec<u64> = counts.filter(|count| *count < trials).collect();
                let mirrored = inside.iter().rev().map(|count| trials - count);
                let mut counts: Vec<u64> =
                    [0].into_iter().chain(inside.iter().copied()).chain(mirrored).chain([trials]).collect();
                counts.sort_unstable();
                counts.dedup();
                let ends: Vec<(f64, f64)> = counts.iter().map(|count| clopper_pearson(*count, trials, 0.95)).collect();
                for ((low, high), count) in ends.iter().zip(&counts) {
                    let share = *count as f64 / trials as f64;
                    // Counts above 2^53 are rounded on their way to f64.
                    let slack = f64::EPSILON;
                    let holds = 0.0 <= *low && *low <= share + slack && share <= *high + slack && *high <= 1.0;
                    assert!(holds, "{count} of {trials}");
                }
                assert!(ends.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1), "{trials}: {ends:?}");
            }
        }
    }

    /// On both sides of the change of method the two agree to what the slower one is known to.
    #[test]
    fn the_fraction_and_the_integral_agree() {
        for (hits, misses) in [(1e6, 1e6), (1e6, 3e6), (2e6, 1e6), (1e6, 1e9), (1e9, 1e6)] {
            let n: f64 = hits + misses;
            for deviations in [1.5, 2.0, 3.3, 5.0] {
                let p = (hits + deviations * (hits * misses / n).sqrt()) / n;
                let (one, other) = (by_fraction(hits, misses, p, 1.0 - p), by_integral(hits, misses, p, 1.0 - p));
                assert!((one / other - 1.0).abs() <= 1e-9, "{hits} {misses} {deviations}: {one} {other}");
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
