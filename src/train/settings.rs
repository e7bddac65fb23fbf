//! One training as data, from architecture to seed, and the line that sums it up.

use crate::data::{Recipe, Source, Splits};
use crate::io::{check_writable, with_appended};
use crate::model::{Architecture, Model, ModelError, Network, load_network, save_network};
use crate::numeric::Streams;
use crate::train::labels::targets;
use crate::train::sampler::evaluate;
use crate::train::{Epoch, Run, TrainError, Trained, Trainer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Metadata key of the settings a network was trained with.
const SETTINGS_KEY: &str = "settings";
/// Metadata key of the summary of its training.
const SUMMARY_KEY: &str = "summary";

/// Everything that decides a trained network to the last bit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The network up to its parameters, and the prior these are drawn from.
    pub architecture: Architecture,
    /// The data: training set, attack set, test set.
    #[serde(default)]
    pub data: Recipe,
    /// The training.
    #[serde(default)]
    pub trainer: Trainer,
    /// Seed of the initial parameters.
    #[serde(default)]
    pub seed: u64,
}

/// How a training ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Summary {
    /// Optimiser.
    pub optimizer: String,
    /// Passes over the data.
    pub epochs: usize,
    /// Optimiser steps.
    pub steps: u64,
    /// First epoch at whose end no clean row was wrong; `null` if there was none.
    pub zero_error_epoch: Option<usize>,
    /// Mean loss on the clean training set.
    pub train_loss: f64,
    /// Accuracy on the clean training set.
    pub train_accuracy: f64,
    /// Accuracy on the attack set and its wrong labels; `null` without one.
    pub attack_accuracy: Option<f64>,
    /// Accuracy on the test set; `null` without one.
    pub test_accuracy: Option<f64>,
    /// Rows of the clean training set.
    pub train: usize,
    /// Rows of the attack set.
    pub attack: usize,
    /// Rows of the clean training set that were given wrong labels.
    pub corrupted: usize,
    /// Rows of the test set.
    pub test: usize,
    /// Seed of the initial parameters.
    pub seed: u64,
}

impl fmt::Display for Summary {
    /// One line for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} rows", self.optimizer, self.train)?;
        if self.corrupted > 0 {
            write!(f, " ({} corrupted)", self.corrupted)?;
        }
        write!(f, ", attack {}, seed {}: ", self.attack, self.seed)?;
        match self.zero_error_epoch {
            Some(epoch) => write!(f, "zero error after {epoch} epochs")?,
            None => write!(f, "no zero error in {} epochs", self.epochs)?,
        }
        write!(f, ", {} steps, loss {:.4}, accuracy {:.4}", self.steps, self.train_loss, self.train_accuracy)?;
        if let Some(accuracy) = self.attack_accuracy {
            write!(f, ", on the attack set {accuracy:.4}")?;
        }
        match self.test_accuracy {
            Some(accuracy) => write!(f, ", on {} test rows {accuracy:.4}", self.test),
            None => Ok(()),
        }
    }
}

impl Settings {
    /// The paper's setting for an architecture, all seeds the same.
    pub fn new(architecture: Architecture, seed: u64) -> Self {
        let settings = Self { architecture, data: Recipe::default(), trainer: Trainer::default(), seed };
        settings.with_seed(seed)
    }

    /// The same with one seed for data, initial parameters and training.
    pub fn with_seed(mut self, seed: u64) -> Self {
        (self.seed, self.data.seed, self.trainer.seed) = (seed, seed, seed);
        self
    }

    /// The network before training, drawn from its prior.
    ///
    /// # Errors
    /// [`TrainError::Model`] if the architecture does not fit together.
    pub fn initial_network(&self) -> Result<Network, TrainError> {
        Ok(Network::sample(Arc::new(Model::new(self.architecture.clone())?), Streams::new(self.seed)))
    }

    /// The compiled architecture, whose inputs are those of the source: seen before anything large is made of either.
    fn model_for(&self, source: &Source) -> Result<Arc<Model>, TrainError> {
        let model = Arc::new(Model::new(self.architecture.clone())?);
        let features: usize = source.shape.iter().product();
        if features != model.input_count() {
            return Err(TrainError::Model(ModelError::Mismatch {
                what: format!("features of '{}'", source.name),
                found: format!("{features} (shape {:?})", source.shape),
                expected: format!("{} as the architecture takes", model.input_count()),
            }));
        }
        Ok(model)
    }

    /// Trains the network.
    ///
    /// # Errors
    /// Any [`TrainError`].
    pub fn run(
        &self,
        source: &Source,
        progress: &mut dyn FnMut(&Epoch),
    ) -> Result<(Trained, Summary, Splits), TrainError> {
        let model = self.model_for(source)?;
        let splits = self.data.take(source)?;
        let network = Network::sample(model, Streams::new(self.seed));
        let trained = self.trainer.run_with_attack(network, &splits.training, splits.clean, progress)?;
        let summary = self.summary(&trained, &splits)?;
        Ok((trained, summary, splits))
    }

    /// Trains the network into a file, unless it is there already: `path` gets the network with settings and summary
    /// in its metadata. Every `checkpoint_every` epochs the state is saved beside it, and a later call goes on from
    /// there with the same bits.
    ///
    /// # Errors
    /// Any [`TrainError`]; [`TrainError::Checkpoint`] if `path` holds a network of other settings, which is left as
    /// it is.
    pub fn run_to_file(
        &self,
        source: &Source,
        path: &Path,
        checkpoint_every: usize,
        progress: &mut dyn FnMut(&Epoch),
    ) -> Result<Summary, TrainError> {
        if path.exists() {
            return self.read_summary(path);
        }
        let unwritable = |error: std::io::Error| TrainError::Checkpoint {
            path: path.display().to_string(),
            reason: format!("cannot write the file ({error})"),
        };
        // Before hours are spent on what goes into it.
        check_writable(path).map_err(unwritable)?;
        let model = self.model_for(source)?;
        let splits = self.data.take(source)?;
        let partial = partial_path(path);
        let mut run = if partial.exists() {
            Run::resume(&partial, &self.trainer, &model, &splits.training, splits.clean)?
        } else {
            let network = Network::sample(model, Streams::new(self.seed));
            Run::new(&self.trainer, network, &splits.training, splits.clean)?
        };
        progress(&run.last());
        let mut saved = run.last().epoch;
        while !run.is_finished() {
            let epoch = run.advance()?;
            progress(&epoch);
            if epoch.epoch - saved >= checkpoint_every.max(1) && !run.is_finished() {
                run.save(&partial)?;
                saved = epoch.epoch;
            }
        }
        let trained = run.finish();
        let summary = self.summary(&trained, &splits)?;
        let json = |value: Result<String, serde_json::Error>| value.expect("settings and summaries serialise");
        let metadata = BTreeMap::from([
            (SETTINGS_KEY.to_owned(), json(serde_json::to_string(self))),
            (SUMMARY_KEY.to_owned(), json(serde_json::to_string(&summary))),
        ]);
        save_network(path, &trained.network, &metadata)?;
        // The network is safe; what is left of the way there is of no more use, and harmless if it stays.
        let _ = std::fs::remove_file(&partial);
        Ok(summary)
    }

    /// The summary of a network that these settings gave.
    fn read_summary(&self, path: &Path) -> Result<Summary, TrainError> {
        let fault = |reason: String| TrainError::Checkpoint { path: path.display().to_string(), reason };
        let model = Arc::new(Model::new(self.architecture.clone())?);
        let metadata = load_network(path, &model)?.metadata;
        let read = |key: &str| metadata.get(key).ok_or_else(|| fault(format!("no '{key}' in its metadata")));
        let settings: Self = serde_json::from_str(read(SETTINGS_KEY)?)
            .map_err(|error| fault(format!("its settings cannot be read ({error})")))?;
        if settings != *self {
            return Err(fault("the file holds a network of other settings; remove it or name another".to_owned()));
        }
        serde_json::from_str(read(SUMMARY_KEY)?).map_err(|error| fault(format!("its summary cannot be read ({error})")))
    }

    /// The line that sums a training up.
    ///
    /// # Errors
    /// [`TrainError::Labels`] if test labels do not fit the loss.
    fn summary(&self, trained: &Trained, splits: &Splits) -> Result<Summary, TrainError> {
        let network = &trained.network;
        let outputs = network.model.output_count();
        let accuracy = |data: &crate::data::Dataset| -> Result<Option<f64>, TrainError> {
            if data.is_empty() {
                return Ok(None);
            }
            let targets = targets(self.trainer.loss, outputs, data)?;
            let (inputs, targets) = (data.inputs.view(), targets.view());
            let (_, accuracy) =
                evaluate(&network.model, &network.theta, &network.buffers, self.trainer.loss, inputs, targets);
            Ok(Some(accuracy))
        };
        let rows = splits.training.len();
        let attack: Vec<usize> = (splits.clean..rows).collect();
        let last = trained.last();
        Ok(Summary {
            optimizer: self.trainer.optimizer.id.clone(),
            epochs: last.epoch,
            steps: last.step,
            zero_error_epoch: trained.zero_error_epoch,
            train_loss: last.loss,
            train_accuracy: last.accuracy,
            attack_accuracy: accuracy(&splits.training.rows(&attack))?,
            test_accuracy: accuracy(&splits.test)?,
            train: splits.clean,
            attack: attack.len(),
            corrupted: splits.corrupted.len(),
            test: splits.test.len(),
            seed: self.seed,
        })
    }
}

/// Where the state of an unfinished training is kept.
fn partial_path(path: &Path) -> PathBuf {
    with_appended(path, "partial")
}
