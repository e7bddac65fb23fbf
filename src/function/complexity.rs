//! How complex a function is.

use super::{Function, FunctionError};

/// Lempel-Ziv complexity `K_LZ` of the bit string of labels `x_1 .. x_n` (Dingle, Camargo and Louis 2018, equation 4):
/// `log2 n` if all labels are equal, else `log2(n) (N(x_1 .. x_n) + N(x_n .. x_1)) / 2`, with `N` the
/// [number of words](lempel_ziv_words). In bits.
///
/// ```
/// use flatgauge::function::{Function, lempel_ziv_complexity};
/// assert_eq!(lempel_ziv_complexity(&"00000000".parse::<Function>()?), 3.0);
/// assert_eq!(lempel_ziv_complexity(&"01010101".parse::<Function>()?), 9.0); // 0 1 010101, and 1 0 101010
/// # Ok::<(), flatgauge::function::FunctionError>(())
/// ```
pub fn lempel_ziv_complexity(function: &Function) -> f64 {
    let mut labels = function.labels();
    let scale = (labels.len() as f64).log2();
    if labels.iter().all(|label| *label == labels[0]) {
        return scale;
    }
    let forward = lempel_ziv_words(&labels);
    labels.reverse();
    scale * (forward + lempel_ziv_words(&labels)) as f64 / 2.0
}

/// Number of words in the exhaustive history of a sequence (Lempel and Ziv 1976): each word is the shortest piece that
/// cannot be copied from what begins earlier, the last one what is left.
pub fn lempel_ziv_words(labels: &[bool]) -> usize {
    let (mut start, mut words) = (0, 0);
    while start < labels.len() {
        // A copy may run into what it makes.
        let copied = |source: usize| {
            labels[source..].iter().zip(&labels[start..]).take_while(|(original, copy)| original == copy).count()
        };
        start += 1 + (0..start).map(copied).max().unwrap_or_default();
        words += 1;
    }
    words
}

/// Entropy `-p ln p - (1 - p) ln(1 - p)` of the fraction `p` of inputs with label 1, in nats.
pub fn entropy(function: &Function) -> f64 {
    let labels = function.labels();
    let ones = labels.iter().filter(|label| **label).count();
    let term = |count: usize| {
        let p = count as f64 / labels.len() as f64;
        if count == 0 { 0.0 } else { -p * p.ln() }
    };
    term(ones) + term(labels.len() - ones)
}

/// Critical sample ratio of a Boolean function: the fraction of its inputs that have another label than one of the
/// inputs that differ in a single bit (Arpit et al. 2017, at Hamming distance 1).
///
/// # Errors
/// [`FunctionError::NotBoolean`] if the labels are not those of `2^n` inputs, `n >= 1`.
pub fn critical_sample_ratio(function: &Function) -> Result<f64, FunctionError> {
    let labels = function.labels();
    let inputs = labels.len();
    if !inputs.is_power_of_two() || inputs < 2 {
        return Err(FunctionError::NotBoolean { labels: inputs });
    }
    let bits = inputs.ilog2();
    let critical = |input: &usize| (0..bits).any(|bit| labels[*input] != labels[input ^ (1 << bit)]);
    Ok((0..inputs).filter(critical).count() as f64 / inputs as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::tolerance::SUMMATION_AGREEMENT;

    /// The definition: `x_i .. x_j` is a word if it is the first such piece that does not occur in `x_1 .. x_(j - 1)`.
    fn words_by_search(text: &str) -> usize {
        let (mut words, mut start) = (0, 0);
        while start < text.len() {
            let end = (start + 1..=text.len()).find(|&end| !text[..end - 1].contains(&text[start..end]));
            start = end.unwrap_or(text.len());
            words += 1;
        }
        words
    }

    #[test]
    fn words_are_those_of_the_definition() {
        // The example of Lempel and Ziv 1976: 0 001 10 100 1000 101.
        let example: Function = "0001101001000101".parse().unwrap();
        assert_eq!(lempel_ziv_words(&example.labels()), 6);
        // Every string of up to 12 bits, and longer ones with long copies.
        let mut texts: Vec<String> =
            (1..=12).flat_map(|n| (0..1_u32 << n).map(move |number| format!("{number:0n$b}"))).collect();
        texts.extend(["01".repeat(64), "0".repeat(127) + "1", "0110".repeat(20) + &"011".repeat(16)]);
        for text in texts {
            let function: Function = text.parse().unwrap();
            assert_eq!(lempel_ziv_words(&function.labels()), words_by_search(&text), "{text}");
            let backward: String = text.chars().rev().collect();
            let expected = match text.chars().all(|c| text.starts_with(c)) {
                true => 1.0,
                false => (words_by_search(&text) + words_by_search(&backward)) as f64 / 2.0,
            };
            assert_eq!(lempel_ziv_complexity(&function), (text.len() as f64).log2() * expected, "{text}");
            assert_eq!(lempel_ziv_complexity(&function), lempel_ziv_complexity(&backward.parse().unwrap()));
        }
    }

    #[test]
    fn entropy_and_critical_samples_of_known_functions() {
        let of = |text: &str| text.parse::<Function>().unwrap();
        let (constant, parity, and) = ("0".repeat(8), "01101001", "00000001");
        assert_eq!(entropy(&of(&constant)), 0.0);
        assert!((entropy(&of(parity)) - std::f64::consts::LN_2).abs() <= SUMMATION_AGREEMENT);
        let expected = -0.125 * 0.125_f64.ln() - 0.875 * 0.875_f64.ln();
        assert!((entropy(&of(and)) - expected).abs() <= SUMMATION_AGREEMENT);
        assert_eq!(critical_sample_ratio(&of(&constant)).unwrap(), 0.0);
        assert_eq!(critical_sample_ratio(&of(parity)).unwrap(), 1.0);
        // 111 and its three neighbours.
        assert_eq!(critical_sample_ratio(&of(and)).unwrap(), 0.5);
        assert!(critical_sample_ratio(&of("011")).is_err());
        assert!(critical_sample_ratio(&of("1")).is_err());
    }
}
