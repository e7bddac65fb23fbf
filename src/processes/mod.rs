//! Processes that share a run: one alone, or several over MPI.

#[cfg(feature = "mpi")]
mod mpi;

#[cfg(feature = "mpi")]
pub use mpi::MpiWorld;

/// The processes of a run, numbered from 0; process 0 keeps the result.
pub trait Ranks {
    /// Number of this process.
    fn rank(&self) -> usize;

    /// Number of processes.
    fn size(&self) -> usize;

    /// On process 0 the words of all processes, one after the other; nothing elsewhere.
    fn gather(&self, words: Vec<u64>) -> Vec<u64>;

    /// The word of process 0, on every process (`MPI_Bcast`).
    fn broadcast(&self, word: u64) -> u64;
}

/// The outcome of process 0 as every process sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnRank<T> {
    /// Process 0 has the value itself.
    Root(T),
    /// The others have the word that process 0 sent of it.
    Other(u64),
}

/// What process 0 sends when it has failed.
const FAILED: u64 = u64::MAX;

/// The outcome of process 0 on process 0; elsewhere the word that it sends of it, or `failed` if there is none.
///
/// # Errors
/// The outcome's own; `failed` on the other processes if process 0 has failed.
pub fn broadcast_result<T, E>(
    ranks: &dyn Ranks,
    outcome: Result<T, E>,
    word_of: impl Fn(&T) -> u64,
    failed: E,
) -> Result<OnRank<T>, E> {
    let sent = ranks.broadcast(outcome.as_ref().map_or(FAILED, word_of));
    match outcome {
        Err(error) => Err(error),
        Ok(_) if sent == FAILED => Err(failed),
        Ok(value) if ranks.rank() == 0 => Ok(OnRank::Root(value)),
        Ok(_) => Ok(OnRank::Other(sent)),
    }
}

/// One process.
#[derive(Debug, Clone, Copy)]
pub struct SingleProcess;

impl Ranks for SingleProcess {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn gather(&self, words: Vec<u64>) -> Vec<u64> {
        words
    }

    fn broadcast(&self, word: u64) -> u64 {
        word
    }
}
