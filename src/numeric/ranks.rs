//! Processes that share a run.

/// The processes of a run, numbered from 0; process 0 keeps the result.
pub trait Ranks {
    /// Number of this process.
    fn rank(&self) -> usize;

    /// Number of processes.
    fn size(&self) -> usize;

    /// On process 0 the words of all processes, one after the other; nothing elsewhere.
    fn gather(&self, words: Vec<u64>) -> Vec<u64>;

    /// What process 0 says.
    fn agree(&self, word: u64) -> u64;
}

/// One process.
#[derive(Debug, Clone, Copy)]
pub struct Alone;

impl Ranks for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn gather(&self, words: Vec<u64>) -> Vec<u64> {
        words
    }

    fn agree(&self, word: u64) -> u64 {
        word
    }
}
