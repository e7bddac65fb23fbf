//! The networks of a study: trained once, kept on disk, loaded with the data they are measured on.

use crate::data::Recipe;
use crate::model::{Architecture, Model, ModelError, Network, load_network};
use crate::numeric::fnv1a;
use crate::prior::Labels;
use crate::processes::SingleProcess;
use crate::study::ground::Ground;
use crate::study::setting::source_name;
use crate::study::{KernelChoice, Progress, StudyError, Workspace};
use crate::train::{Event, Job, Settings, Summary, TrainError, sweep};
use rayon::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Fewest networks of which correlations are worth a look.
const FEWEST: usize = 3;

/// A network with zero training error.
#[derive(Debug, Clone)]
pub(super) struct Trained {
    /// Name, unique in the sweep.
    pub name: String,
    /// What it was trained on and how.
    pub settings: Settings,
    /// How training ended.
    pub summary: Summary,
    /// The network.
    pub network: Network,
    /// Its data.
    pub ground: Arc<Ground>,
}

impl Trained {
    /// Accuracy on E.
    pub fn accuracy(&self) -> f64 {
        self.summary.test_accuracy.expect("studies have a test set")
    }

    /// The function on S and E that parameters give.
    pub fn labels(&self, network: &Network) -> Labels {
        Labels::from_logits(&network.logits(self.ground.inputs.view()))
    }
}

/// Networks with zero error, in the order of the jobs, and a sentence on each of the others.
pub(super) struct Population {
    pub networks: Vec<Trained>,
    pub left_out: Vec<String>,
}

/// Trains what is not on disk yet and loads all, one network per core, with the prior by a kernel of the given kind.
///
/// # Errors
/// [`StudyError::Untrained`] if fewer than three reached zero error; data, files and kernels that cannot be used.
pub(super) fn population(
    jobs: &[Settings],
    kernel: KernelChoice,
    workspace: &Workspace,
) -> Result<Population, StudyError> {
    let jobs: Vec<Job> = jobs.iter().map(|settings| Job { name: name(settings), settings: settings.clone() }).collect();
    let done = AtomicUsize::new(0);
    let outcomes = sweep(&jobs, &workspace.networks, &SingleProcess, &|event| {
        if let Event::Finished { .. } = event {
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            (workspace.progress)(Progress { phase: "training", done, total: jobs.len() });
        }
    })?;
    let mut left_out = Vec::new();
    let mut kept: Vec<(Job, Summary)> = Vec::new();
    let total = jobs.len();
    for (job, outcome) in jobs.into_iter().zip(outcomes) {
        match outcome {
            Ok(summary) if summary.zero_error_epoch.is_some() => kept.push((job, summary)),
            // A file of an earlier run that cannot be used is no network that failed to learn.
            Err(error @ (TrainError::Checkpoint { .. } | TrainError::Model(ModelError::Checkpoint { .. }))) => {
                return Err(StudyError::Network { network: job.name, reason: error.to_string() });
            }
            Ok(summary) => left_out.push(format!("{}: no zero error in {} epochs", job.name, summary.epochs)),
            Err(error) => left_out.push(format!("{}: {error}", job.name)),
        }
    }
    if kept.len() < FEWEST.min(total) {
        let reason = left_out.into_iter().next().unwrap_or_default();
        return Err(StudyError::Untrained { trained: kept.len(), wanted: total, least: FEWEST.min(total), reason });
    }
    let mut recipes: Vec<Key> = Vec::new();
    for (job, _) in &kept {
        let key = Key::of(&job.settings);
        if !recipes.contains(&key) {
            recipes.push(key);
        }
    }
    let grounds: Vec<Arc<Ground>> =
        recipes.iter().map(|key| key.ground(kernel, workspace).map(Arc::new)).collect::<Result<_, StudyError>>()?;
    let networks = kept
        .into_par_iter()
        .map(|(job, summary)| {
            let key = Key::of(&job.settings);
            let index = recipes.iter().position(|known| *known == key).expect("collected above");
            let model = Arc::new(Model::new(job.settings.architecture.clone())?);
            let network = load_network(&path(workspace, &job.name), &model)?.network;
            let ground = Arc::clone(&grounds[index]);
            Ok(Trained { name: job.name, settings: job.settings, summary, network, ground })
        })
        .collect::<Result<_, StudyError>>()?;
    Ok(Population { networks, left_out })
}

fn path(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.networks.join(format!("{name}.safetensors"))
}

/// A name that says the most of a network, and ends in a hash of everything that decides it.
fn name(settings: &Settings) -> String {
    let hash = fnv1a(serde_json::to_string(settings).expect("settings serialise").bytes());
    let data = &settings.data;
    format!(
        "{}-{}-attack-{}-seed-{}-{:08x}",
        plain(source_name(&data.source)),
        settings.trainer.optimizer.id,
        data.attack,
        settings.seed,
        (hash ^ (hash >> 32)) as u32
    )
}

/// `text` as a part of a file's name.
fn plain(text: &str) -> String {
    let text: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    text[text.len().saturating_sub(16)..].to_owned()
}

/// What decides a [`Ground`].
#[derive(PartialEq)]
struct Key {
    recipe: Recipe,
    architecture: Architecture,
}

impl Key {
    fn of(settings: &Settings) -> Self {
        Self { recipe: Recipe { attack: 0, ..settings.data.clone() }, architecture: settings.architecture.clone() }
    }

    fn ground(&self, kernel: KernelChoice, workspace: &Workspace) -> Result<Ground, StudyError> {
        Ground::new(&self.recipe, &self.architecture, kernel, workspace)
    }
}
