//! Sampling runs: networks in rounds, over threads and processes, with unfinished work on disk.

use super::{Counts, FunctionError, Functions, Sampler, checkpoint};
use crate::processes::{OnRank, Ranks, SingleProcess, broadcast_result};
use rayon::prelude::*;
use std::path::Path;
use std::time::{Duration, Instant};

/// Blocks of networks between two looks at the table's size and the clock.
const ROUND_BLOCKS: u64 = 1024;
/// Least time between saves; saving takes at most a twentieth of the time.
const SAVE_EVERY: Duration = Duration::from_secs(10);

/// Settings of [`count`].
pub struct CountOptions<'a> {
    /// Most functions kept; beyond it the rarest are dropped at the end of a round, and reported.
    pub max_functions: usize,
    /// Where unfinished work is kept; another file there is refused.
    pub checkpoint: Option<&'a Path>,
    /// Whether to go on from there.
    pub resume: bool,
    /// The processes that share the run.
    pub ranks: &'a dyn Ranks,
    /// Told networks counted and distinct functions so far, on process 0.
    pub progress: Option<&'a dyn Fn(u64, usize)>,
}

impl CountOptions<'_> {
    /// One process, a table of about 1 GiB, nothing on disk.
    pub fn new(sampler: &Sampler) -> Self {
        Self {
            max_functions: Counts::default_capacity(sampler.inputs().nrows()),
            checkpoint: None,
            resume: false,
            ranks: &SingleProcess,
            progress: None,
        }
    }
}

/// Counts the functions of networks `0..networks`.
///
/// The counts are the same for any number of threads, processes and interruptions. On processes other than 0 the
/// table is empty.
///
/// # Errors
/// [`FunctionError`]: a checkpoint that cannot be used, logits that overflow. All processes then return an error.
pub fn count(sampler: &Sampler, networks: u64, options: &CountOptions) -> Result<Counts, FunctionError> {
    if options.max_functions == 0 {
        let expected = "at least 1".to_owned();
        return Err(FunctionError::Setting { name: "max_functions", found: "0".to_owned(), expected });
    }
    let inputs = sampler.inputs().nrows();
    let key = checkpoint::key(sampler, options.max_functions);
    let root = options.ranks.rank() == 0;
    let per_round = ROUND_BLOCKS * sampler.block_size() as u64;
    let begin = || match options.checkpoint.filter(|_| options.resume && root) {
        Some(path) => match checkpoint::load(path, &key, inputs)? {
            Some((_, counts)) if counts.network_count() > networks => Err(FunctionError::Checkpoint {
                path: path.display().to_string(),
                reason: format!("it has {} networks, more than the {networks} asked for", counts.network_count()),
            }),
            found => Ok(found.unwrap_or_else(|| (0, Counts::new(inputs)))),
        },
        None => {
            if let Some(path) = options.checkpoint.filter(|_| root) {
                checkpoint::check_own(path, &key)?;
            }
            Ok((0, Counts::new(inputs)))
        }
    };
    let begun = broadcast_result(options.ranks, begin(), |(round, _)| *round, FunctionError::Process)?;
    let (first, mut counts) = match begun {
        OnRank::Root(begun) => begun,
        OnRank::Other(first) => (first, Counts::new(inputs)),
    };
    let tell = |counts: &Counts| {
        options.progress.iter().for_each(|tell| tell(counts.network_count(), counts.function_count()))
    };
    tell(&counts);
    let mut saved: Option<(Instant, Duration)> = None;
    for round in first..networks.div_ceil(per_round) {
        let range = round * per_round..((round + 1) * per_round).min(networks);
        let functions = share(sampler, range.clone(), options.ranks)?;
        counts.add_all(&functions);
        counts.keep_most_frequent(options.max_functions);
        tell(&counts);
        let due = saved.is_none_or(|(when, took)| when.elapsed() >= SAVE_EVERY.max(20 * took));
        let saving = match options.checkpoint.filter(|_| root && due && range.end < networks) {
            Some(path) => {
                let start = Instant::now();
                let outcome = checkpoint::save(path, &key, round + 1, &counts);
                saved = Some((Instant::now(), start.elapsed()));
                outcome
            }
            None => Ok(()),
        };
        let _ = broadcast_result(options.ranks, saving, |()| 0, FunctionError::Process)?;
    }
    Ok(counts)
}

/// The functions of a range of networks that begins with a block; every process computes its share, process 0 gets all.
fn share(sampler: &Sampler, range: std::ops::Range<u64>, ranks: &dyn Ranks) -> Result<Functions, FunctionError> {
    let size = sampler.block_size() as u64;
    let (first, last) = (range.start / size, range.end.div_ceil(size));
    let part = |rank: usize| first + (last - first) * rank as u64 / ranks.size() as u64;
    let blocks: Result<Vec<Functions>, FunctionError> = (part(ranks.rank())..part(ranks.rank() + 1))
        .into_par_iter()
        .map(|block| sampler.functions(block, (range.end - block * size).min(size) as usize))
        .collect();
    // Every process takes part in the gathering, one that failed with nothing.
    let words = sampler.words();
    let (sent, failure) = match blocks {
        Ok(blocks) => (blocks.into_iter().flat_map(|functions| functions.words).collect(), None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let gathered = ranks.gather(sent);
    let whole = gathered.len() as u64 == (range.end - range.start) * words as u64;
    let outcome = match failure {
        Some(error) => Err(error),
        None if ranks.rank() == 0 && !whole => Err(FunctionError::Process),
        None => Ok(Functions { words: gathered, recounted: 0 }),
    };
    match broadcast_result(ranks, outcome, |_| 0, FunctionError::Process)? {
        OnRank::Root(functions) => Ok(functions),
        OnRank::Other(_) => Ok(Functions::default()),
    }
}
