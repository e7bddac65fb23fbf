//! What populations of weighted particles share: uniforms, summaries of weights, systematic resampling.

use ndarray::ArrayViewMut2;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

/// Uniform on the open interval (0, 1): the midpoints of `2^53` equal cells.
pub(crate) fn open_uniform(generator: &mut ChaCha8Rng) -> f64 {
    (generator.next_u64() >> 11) as f64 * (0.5 * f64::EPSILON) + 0.25 * f64::EPSILON
}

/// `log mean exp` of log weights, and the effective share `(sum w)^2 / (N sum w^2)` of the particles.
pub(crate) fn summarise(log_weights: &[f64]) -> (f64, f64) {
    let largest = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return (largest, 0.0);
    }
    let (mut sum, mut squares) = (0.0, 0.0);
    for weight in log_weights {
        let weight = (weight - largest).exp();
        sum += weight;
        squares += weight * weight;
    }
    let count = log_weights.len() as f64;
    (largest + (sum / count).ln(), sum * sum / (count * squares))
}

/// Ancestors of a systematically resampled population (Carpenter, Clifford and Fearnhead 1999): particle `k` is
/// copied `N w_k / sum w` times, rounded up or down at random so that the expectation is exact.
pub(crate) fn systematic_ancestors(log_weights: &[f64], generator: &mut ChaCha8Rng) -> Vec<usize> {
    let largest = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = log_weights.iter().map(|weight| (weight - largest).exp()).collect();
    let spacing = weights.iter().sum::<f64>() / weights.len() as f64;
    let mut position = generator.random::<f64>() * spacing;
    let (mut ancestor, mut cumulative) = (0, weights[0]);
    let mut ancestors = Vec::with_capacity(weights.len());
    for _ in 0..weights.len() {
        while cumulative <= position && ancestor + 1 < weights.len() {
            ancestor += 1;
            cumulative += weights[ancestor];
        }
        ancestors.push(ancestor);
        position += spacing;
    }
    ancestors
}

/// Replaces each row's entries (one a particle) by those of the ancestors.
pub(crate) fn copy_ancestors(mut rows: ArrayViewMut2<f64>, ancestors: &[usize]) {
    let mut copy = vec![0.0; ancestors.len()];
    for mut row in rows.outer_iter_mut() {
        let row = row.as_slice_mut().expect("rows are contiguous");
        copy.copy_from_slice(row);
        for (value, &ancestor) in row.iter_mut().zip(ancestors) {
            *value = copy[ancestor];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::Streams;

    #[test]
    fn resampling_copies_in_proportion() {
        let weights = [0.1_f64, 0.0, 0.4, 0.3, 0.2];
        let log_weights = weights.map(f64::ln);
        let streams = Streams::new(2);
        let runs = 20_000;
        let mut counts = [0_usize; 5];
        for run in 0..runs {
            let ancestors = systematic_ancestors(&log_weights, &mut streams.stream("resample", run));
            let mut copies = [0_usize; 5];
            ancestors.iter().for_each(|&ancestor| copies[ancestor] += 1);
            for (k, &count) in copies.iter().enumerate() {
                let expected = 5.0 * weights[k];
                assert!((count as f64 - expected).abs() < 1.0 + 1e-9, "{count} copies where {expected} are due");
                counts[k] += count;
            }
        }
        for (k, &count) in counts.iter().enumerate() {
            // A copy count varies by at most 1/2 around its expectation: six standard errors of the mean.
            let allowed = 6.0 * 0.5 / (runs as f64).sqrt();
            assert!((count as f64 / runs as f64 - 5.0 * weights[k]).abs() < allowed);
        }
    }

    #[test]
    fn equal_weights_are_fully_effective() {
        let (log_mean, share) = summarise(&[-700.0; 8]);
        assert!((log_mean + 700.0).abs() < 1e-12 && (share - 1.0).abs() < 1e-15);
        assert_eq!(summarise(&[f64::NEG_INFINITY; 3]), (f64::NEG_INFINITY, 0.0));
    }
}
