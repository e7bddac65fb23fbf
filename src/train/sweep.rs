//! Many trainings, one network per core.

use crate::data::{DataError, Source, load_source};
use crate::io::write_atomically;
use crate::processes::Ranks;
use crate::train::{Epoch, Settings, Summary, TrainError};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Epochs between saves of an unfinished network: some ten milliseconds of work for a small one.
const CHECKPOINT_EVERY: usize = 200;
/// One line of JSON a network, in the order of the jobs.
const SUMMARY_FILE: &str = "summary.jsonl";

/// One training of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its name, unique in the sweep; the file is `NAME.safetensors`.
    pub name: String,
    /// What is trained.
    pub settings: Settings,
}

/// What a sweep tells while it runs; `job` counts from 0 in the order of the jobs.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A network passed an epoch (the first one it tells of is where it begins or resumes).
    Epoch {
        /// Which network.
        job: usize,
        /// Where it stands.
        epoch: &'a Epoch,
    },
    /// A network is done, now or in an earlier run, or cannot be trained.
    Finished {
        /// Which network.
        job: usize,
        /// How it ended.
        outcome: &'a Result<Summary, TrainError>,
    },
}

/// Jobs for every attack size and seed, seeds varying fastest; each seed is that of data, parameters and training.
pub fn grid(base: &Settings, attacks: &[usize], seeds: &[u64]) -> Vec<Job> {
    let mut jobs = Vec::new();
    for &attack in attacks {
        for &seed in seeds {
            let mut settings = base.clone().with_seed(seed);
            settings.data.attack = attack;
            let name = format!("{}-attack-{attack}-seed-{seed}", settings.trainer.optimizer.id);
            jobs.push(Job { name, settings });
        }
    }
    jobs
}

/// Trains all jobs into `folder`, each on one thread, on all threads. Networks that are there are not trained again,
/// those that were begun go on where they were saved; the files are the same bytes for any number of threads and
/// interruptions. At the end `summary.jsonl` holds one line per network.
///
/// Processes take the jobs in turn, one network per core in each. Process 0 then reads what the others wrote; what it does
/// not find (a folder that is not shared, a training that failed) it trains itself, to the same bytes or the same
/// error. Elsewhere the outcomes are those of the process's own jobs.
///
/// A training that fails (divergence, labels that do not fit) does not stop the others; its outcome is the error.
///
/// # Errors
/// [`TrainError`]: two jobs of one name, a data source or a folder that cannot be used.
pub fn sweep(
    jobs: &[Job],
    folder: &Path,
    ranks: &dyn Ranks,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<Vec<Result<Summary, TrainError>>, TrainError> {
    let fault =
        |error: std::io::Error| DataError::File { path: folder.display().to_string(), reason: error.to_string() };
    let mut names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(TrainError::Setting {
            name: "name of a network".to_owned(),
            found: format!("'{}' twice", pair[0]),
            expected: "a name of its own for each".to_owned(),
        });
    }
    let mut sources: BTreeMap<&str, Source> = BTreeMap::new();
    for job in jobs {
        if let Entry::Vacant(place) = sources.entry(&job.settings.data.source) {
            let source = load_source(place.key())?;
            place.insert(source);
        }
    }
    std::fs::create_dir_all(folder).map_err(fault)?;
    let train = |indices: &[usize]| -> Vec<Result<Summary, TrainError>> {
        let outcomes: Vec<Mutex<Option<Result<Summary, TrainError>>>> =
            indices.iter().map(|_| Mutex::new(None)).collect();
        let next = AtomicUsize::new(0);
        // Each thread takes the next job when it is done with one: no thread waits while there is work.
        rayon::broadcast(|_| {
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(&index) = indices.get(place) else { break };
                let job = &jobs[index];
                let source = &sources[job.settings.data.source.as_str()];
                let path = folder.join(format!("{}.safetensors", job.name));
                let mut tell = |epoch: &Epoch| progress(Event::Epoch { job: index, epoch });
                let outcome = job.settings.run_to_file(source, &path, CHECKPOINT_EVERY, &mut tell);
                progress(Event::Finished { job: index, outcome: &outcome });
                *outcomes[place].lock().expect("no thread panics with the lock") = Some(outcome);
            }
        });
        let take = |outcome: Mutex<Option<_>>| outcome.into_inner().expect("no thread panicked");
        outcomes.into_iter().map(|outcome| take(outcome).expect("every job was taken")).collect()
    };
    let own: Vec<usize> = (ranks.rank()..jobs.len()).step_by(ranks.size()).collect();
    let trained = train(&own);
    // The others are done too once they have sent something.
    let _ = ranks.gather(Vec::new());
    if ranks.rank() != 0 {
        return Ok(trained);
    }
    let others: Vec<usize> = (0..jobs.len()).filter(|index| index % ranks.size() != 0).collect();
    let mut outcomes: Vec<_> = own.into_iter().zip(trained).chain(others.iter().copied().zip(train(&others))).collect();
    outcomes.sort_by_key(|(index, _)| *index);
    let outcomes: Vec<Result<Summary, TrainError>> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    let lines: String = jobs.iter().zip(&outcomes).map(|(job, outcome)| line(job, outcome) + "\n").collect();
    write_atomically(&folder.join(SUMMARY_FILE), lines.as_bytes()).map_err(fault)?;
    Ok(outcomes)
}

/// The summary of a network as a line of JSON: `name` and the summary's fields, or `name` and `error`.
fn line(job: &Job, outcome: &Result<Summary, TrainError>) -> String {
    let mut value = match outcome {
        Ok(summary) => serde_json::to_value(summary).expect("summaries serialise"),
        Err(error) => serde_json::json!({ "error": error.to_string() }),
    };
    value["name"] = job.name.clone().into();
    value.to_string()
}
