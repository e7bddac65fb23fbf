//! Seeded random streams: every random number is a function of (seed, stream name, index).

use crate::numeric::fnv::fnv1a;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A family of independent random streams under one seed.
///
/// A stream is addressed by its name and an index, never by thread, order or time, so results are
/// the same for any number of threads and adding a stream changes no other stream's numbers.
///
/// ```
/// use flatgauge::numeric::Streams;
/// use rand::Rng;
/// let streams = Streams::new(7);
/// assert_eq!(streams.stream("noise", 0).next_u64(), streams.stream("noise", 0).next_u64());
/// assert_ne!(streams.stream("noise", 0).next_u64(), streams.stream("noise", 1).next_u64());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streams {
    seed: u64,
}

impl Streams {
    /// The streams of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The seed these streams were made from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The generator of stream `name`, number `index`.
    pub fn stream(&self, name: &str, index: u64) -> ChaCha8Rng {
        let mut generator = ChaCha8Rng::seed_from_u64(self.seed);
        generator.set_stream(address(name, index));
        generator
    }

    /// A family of its own for a part of the work, so that parts cannot share a stream.
    pub fn child(&self, name: &str, index: u64) -> Self {
        Self::new(self.stream(name, index).next_u64())
    }
}

/// FNV-1a of the name, then of the index, finished by a full-avalanche mix (Steele et al. 2014).
fn address(name: &str, index: u64) -> u64 {
    let mut hash = fnv1a(name.bytes().chain([0xff]).chain(index.to_le_bytes()));
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn streams_do_not_collide() {
        let streams = Streams::new(0);
        let mut seen = HashSet::new();
        for name in ["a", "b", "ab", "initial parameters"] {
            for index in 0..500 {
                assert!(seen.insert(streams.stream(name, index).next_u64()));
            }
        }
        assert!(seen.insert(streams.child("a", 0).stream("a", 0).next_u64()));
    }
}
