//! How sure a count is of a probability.

use statrs::distribution::{Beta, ContinuousCDF};

/// The exact interval of a binomial probability (Clopper and Pearson 1934): of `count` in `trials`, it covers the true
/// probability in at least a fraction `confidence` of all cases. Its ends are quantiles `(1 - confidence) / 2` of
/// Beta(count, trials - count + 1) and `(1 + confidence) / 2` of Beta(count + 1, trials - count).
///
/// # Panics
/// If `count > trials`, `trials` is 0, or the confidence is not between 0 and 1.
pub fn clopper_pearson(count: u64, trials: u64, confidence: f64) -> (f64, f64) {
    assert!(trials > 0 && count <= trials, "{count} of {trials} trials");
    assert!(confidence > 0.0 && confidence < 1.0, "confidence {confidence}");
    let tail = (1.0 - confidence) / 2.0;
    let quantile = |a: u64, b: u64, p: f64| Beta::new(a as f64, b as f64).expect("positive shapes").inverse_cdf(p);
    let lower = if count == 0 { 0.0 } else { quantile(count, trials - count + 1, tail) };
    let upper = if count == trials { 1.0 } else { quantile(count + 1, trials - count, 1.0 - tail) };
    (lower, upper)
}

#[cfg(test)]
mod tests {
    use super::*;

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
                // A sum of up to 1e5 terms, each from as many roundings of its logarithm.
                let agrees = |found: f64| (found - half).abs() <= 1e-7 * half;
                if count > 0 {
                    assert!(agrees(1.0 - tail(lower, 0, count - 1)), "{count} of {trials}: {lower}");
                }
                if count < trials {
                    assert!(agrees(tail(upper, 0, count)), "{count} of {trials}: {upper}");
                }
            }
        }
    }
}
