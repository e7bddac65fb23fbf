//! A sum that tells damage of a file.

/// A hash of words in their order: it tells damage and other data, not forgery. Each step is a bijection of the state, so that
/// one changed word changes the sum for certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum(u64);

impl Default for Checksum {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Checksum {
    /// The sum with one more word.
    #[must_use]
    pub fn word(self, word: u64) -> Self {
        Self((self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29))
    }

    /// The sum with the length and the words of a list.
    #[must_use]
    pub fn words(self, words: impl ExactSizeIterator<Item = u64>) -> Self {
        let start = self.word(words.len() as u64);
        words.fold(start, Self::word)
    }

    /// The sum with the length and the bytes of a string, eight bytes a word.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let word = |chunk: &[u8]| chunk.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        bytes.chunks(8).map(word).fold(self.word(bytes.len() as u64), Self::word)
    }

    /// The sum with the length and the bits of numbers.
    #[must_use]
    pub fn numbers(self, numbers: &[f64]) -> Self {
        self.words(numbers.iter().map(|number| number.to_bits()))
    }

    /// The sum so far.
    pub fn value(self) -> u64 {
        self.0
    }

    /// The sum so far as 16 hexadecimal digits.
    pub fn text(self) -> String {
        format!("{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_bit_and_every_other_length_is_seen() {
        let bytes: Vec<u8> = (0..37).collect();
        let sum = |bytes: &[u8]| Checksum::default().bytes(bytes).value();
        for place in 0..8 * bytes.len() {
            let mut changed = bytes.clone();
            changed[place / 8] ^= 1 << (place % 8);
            assert_ne!(sum(&changed), sum(&bytes), "bit {place}");
        }
        for length in 0..bytes.len() {
            assert_ne!(sum(&bytes[..length]), sum(&bytes));
        }
        assert_ne!(sum(&[1]), sum(&[1, 0]));
        let numbers = |numbers: &[f64]| Checksum::default().numbers(numbers);
        assert_ne!(numbers(&[0.0]), numbers(&[-0.0]));
        assert_ne!(numbers(&[1.0]).numbers(&[2.0, 3.0]), numbers(&[1.0, 2.0]).numbers(&[3.0]));
    }
}
