//! A function as the labels it gives to fixed inputs, packed into bits.

use super::FunctionError;
use std::fmt;
use std::str::FromStr;

/// Labels of `n` inputs, one bit each: input 0 is the highest bit of the first word, so that words compare as
/// the bit strings do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Function {
    words: Vec<u64>,
    inputs: usize,
}

/// Words that hold the labels of this many inputs.
pub(super) fn words_of(inputs: usize) -> usize {
    inputs.div_ceil(64)
}

/// Packs labels into words that are zero.
pub(super) fn pack(labels: impl IntoIterator<Item = bool>, words: &mut [u64]) {
    for (input, label) in labels.into_iter().enumerate() {
        words[input / 64] |= u64::from(label) << (63 - input % 64);
    }
}

/// Writes at most 128 labels, bit `i` that of input `i`, as words; as many as there are.
pub(super) fn unpack(labels: u128, words: &mut [u64]) {
    for (word, half) in words.iter_mut().zip([labels as u64, (labels >> 64) as u64]) {
        *word = half.reverse_bits();
    }
}

impl Function {
    /// The function with these labels.
    pub fn new(labels: &[bool]) -> Self {
        let mut words = vec![0; words_of(labels.len())];
        pack(labels.iter().copied(), &mut words);
        Self { words, inputs: labels.len() }
    }

    pub(super) fn from_words(words: &[u64], inputs: usize) -> Self {
        Self { words: words.to_vec(), inputs }
    }

    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }

    /// Number of inputs.
    pub fn input_count(&self) -> usize {
        self.inputs
    }

    /// Label of an input.
    ///
    /// # Panics
    /// If there is no such input.
    pub fn label(&self, input: usize) -> bool {
        assert!(input < self.inputs, "input {input} of {}", self.inputs);
        self.words[input / 64] >> (63 - input % 64) & 1 == 1
    }

    /// All labels in the order of the inputs.
    pub fn labels(&self) -> Vec<bool> {
        (0..self.inputs).map(|input| self.label(input)).collect()
    }
}

impl fmt::Display for Function {
    /// Character `i` is the label of input `i`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.words.iter().enumerate() {
            let labels: [u8; 64] = std::array::from_fn(|input| b'0' + (word >> (63 - input) & 1) as u8);
            let labels = &labels[..(self.inputs - 64 * index).min(64)];
            f.write_str(std::str::from_utf8(labels).expect("digits are ASCII"))?;
        }
        Ok(())
    }
}

impl FromStr for Function {
    type Err = FunctionError;

    fn from_str(text: &str) -> Result<Self, FunctionError> {
        let labels: Option<Vec<bool>> = text
            .chars()
            .map(|character| match character {
                '0' => Some(false),
                '1' => Some(true),
                _ => None,
            })
            .collect();
        let labels = labels.filter(|labels| !labels.is_empty());
        let labels = labels.ok_or_else(|| FunctionError::Bits { text: text.chars().take(80).collect() })?;
        Ok(Self::new(&labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..ProptestConfig::default() })]
        #[test]
        fn text_and_order_are_those_of_the_string(
            a in prop::collection::vec(any::<bool>(), 130), b in prop::collection::vec(any::<bool>(), 130), shared in 0_usize..130,
        ) {
            let b: Vec<bool> = a[..shared].iter().chain(&b[shared..]).copied().collect();
            let text = |labels: &[bool]| labels.iter().map(|&label| if label { '1' } else { '0' }).collect::<String>();
            let (first, second) = (Function::new(&a), Function::new(&b));
            prop_assert_eq!(first.to_string(), text(&a));
            prop_assert_eq!(first.labels(), a.clone());
            prop_assert_eq!(&text(&a).parse::<Function>().unwrap(), &first);
            prop_assert_eq!(first.cmp(&second), text(&a).cmp(&text(&b)));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "012", "0 1", "é"] {
            assert!(text.parse::<Function>().is_err());
        }
    }
}
