//! How hard a check is tried.

use crate::numeric::Streams;

/// Which independent draws a check is to rest on, and over how many answers it averages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Number of the repeat; each has seeds of its own.
    pub repeat: u64,
    /// Answers under different seeds whose mean is judged in place of one.
    pub replicates: usize,
}

impl Effort {
    /// Once, as it is.
    pub const ONCE: Self = Self { repeat: 0, replicates: 1 };

    /// The seed that a check hands to an estimator: `seed` itself the first time.
    pub fn seed(self, seed: u64) -> u64 {
        if self.repeat == 0 { seed } else { short(Streams::new(seed).child("repeat of a check", self.repeat)) }
    }
}

/// A seed of 32 bits, which the generators of every language take.
pub(super) fn short(streams: Streams) -> u64 {
    streams.seed() >> 32
}
