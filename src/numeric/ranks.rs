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

/// What process 0 says when it has failed.
const FAILED: u64 = u64::MAX;

/// The outcome of process 0 on process 0; elsewhere the word that it says of it, or `failed` if there is none.
///
/// # Errors
/// The outcome's own; `failed` on the other processes if process 0 has failed.
pub fn together<T, E>(
    ranks: &dyn Ranks,
    outcome: Result<T, E>,
    says: impl Fn(&T) -> u64,
    failed: E,
) -> Result<Result<T, u64>, E> {
    let said = ranks.agree(outcome.as_ref().map_or(FAILED, says));
    match outcome {
        Err(error) => Err(error),
        Ok(_) if said == FAILED => Err(failed),
        Ok(value) if ranks.rank() == 0 => Ok(Ok(value)),
        Ok(_) => Ok(Err(said)),
    }
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
