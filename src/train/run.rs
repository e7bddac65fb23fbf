//! A training run: epoch by epoch, with its state on disk where that is wanted.

use crate::data::Dataset;
use crate::io::{Checksum, read_file};
use crate::model::{MOST_BYTES, Model, Network, Objective, parse_network, parse_vector, save_network_with};
use crate::numeric::Streams;
use crate::train::labels::targets;
use crate::train::optimizer::{Optimizer, State, Step};
use crate::train::sampler::{Sampler, evaluate};
use crate::train::{Epoch, TrainError, Trained, Trainer};
use ndarray::{Array2, ArrayView2, s};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A mini-batch whose loss is this many times the larger of 1 and the loss before training is called an
/// explosion. Losses that recover stay far below: the first steps of a rate that is barely stable raise the
/// loss by tens, while a diverging one multiplies it at every step and passes any bound.
const EXPLOSION: f64 = 1e6;

/// Metadata key of a run's state in a checkpoint.
const STATE_KEY: &str = "run";

/// A training run, epoch by epoch.
#[derive(Debug)]
pub struct Run {
    trainer: Trainer,
    optimizer: Box<dyn Optimizer>,
    learning_rate: f64,
    network: Network,
    inputs: Array2<f64>,
    targets: Array2<f64>,
    clean: usize,
    state: State,
    batches_drawn: usize,
    history: Vec<Epoch>,
    zero_error_epoch: Option<usize>,
    loss_limit: f64,
}

impl Run {
    /// A run that has not begun; see [`Trainer::run_with_attack`].
    ///
    /// # Errors
    /// [`TrainError`]: a setting out of range, labels or shapes that do not fit.
    pub fn new(trainer: &Trainer, network: Network, data: &Dataset, clean: usize) -> Result<Self, TrainError> {
        trainer.check()?;
        if clean == 0 || clean > data.len() {
            return Err(TrainError::Setting {
                name: "number of clean rows".to_owned(),
                found: clean.to_string(),
                expected: format!("1 to {}, the rows of '{}'", data.len(), data.name),
            });
        }
        let smallest_batch = match data.len() % trainer.batch_size {
            0 => trainer.batch_size.min(data.len()),
            rest => rest,
        };
        if network.model.buffer_count() > 0 && smallest_batch == 1 {
            return Err(TrainError::Setting {
                name: "batch_size".to_owned(),
                found: format!("{} for {} rows", trainer.batch_size, data.len()),
                expected: "no mini-batch of one row, which gives a batch norm no variance".to_owned(),
            });
        }
        let preset = trainer.optimizer.build()?;
        let targets = targets(trainer.loss, network.model.output_count(), data)?;
        Objective::new(&network, trainer.loss, data.inputs.view(), targets.view())?;
        let mut run = Self {
            learning_rate: trainer.learning_rate.unwrap_or(preset.learning_rate),
            state: preset.optimizer.start(network.theta.len()),
            optimizer: preset.optimizer,
            trainer: trainer.clone(),
            network,
            inputs: data.inputs.as_standard_layout().into_owned(),
            targets: targets.as_standard_layout().into_owned(),
            clean,
            batches_drawn: 0,
            history: Vec::new(),
            zero_error_epoch: None,
            loss_limit: f64::INFINITY,
        };
        let before = run.record(0, 0);
        run.loss_limit = EXPLOSION * before.loss.max(1.0);
        Ok(run)
    }

    /// The network as it is now.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The network, to be changed between epochs; what the optimiser remembers stays as it is.
    pub fn network_mut(&mut self) -> &mut Network {
        &mut self.network
    }

    /// Where training stands.
    pub fn last(&self) -> Epoch {
        *self.history.last().expect("the state before training is recorded")
    }

    /// Whether there is nothing left to do.
    pub fn is_finished(&self) -> bool {
        let epoch = self.last().epoch;
        epoch >= self.trainer.max_epochs
            || self.zero_error_epoch.is_some_and(|zero| epoch >= zero.saturating_add(self.trainer.extra_epochs))
    }

    /// Trains for an epoch: until all rows were used once more.
    ///
    /// # Errors
    /// [`TrainError::Diverged`].
    pub fn advance(&mut self) -> Result<Epoch, TrainError> {
        let Epoch { epoch, mut step, .. } = self.last();
        let streams = Streams::new(self.trainer.seed);
        let model = Arc::clone(&self.network.model);
        let mut sampler = Sampler::new(
            &model,
            self.network.buffers.clone(),
            self.trainer.loss,
            self.inputs.view(),
            self.targets.view(),
            self.trainer.batch_size,
            streams,
            self.batches_drawn,
        );
        let factor: f64 = self.trainer.schedule.iter().map(|schedule| schedule.factor(epoch)).product();
        let learning_rate = self.learning_rate * factor;
        let per_epoch = sampler.batches_per_epoch();
        while sampler.drawn() < (epoch + 1) * per_epoch {
            let now = Step { number: step, learning_rate, streams };
            let loss = self.optimizer.step(&now, &mut self.state, &mut self.network.theta, &mut sampler);
            step += 1;
            self.check_loss(loss, epoch + 1, step)?;
        }
        self.batches_drawn = sampler.drawn();
        self.network.buffers = sampler.into_buffers();
        let epoch = self.batches_drawn / per_epoch;
        let record = self.record(epoch, step);
        self.check_loss(record.loss, epoch, step)?;
        Ok(record)
    }

    fn check_loss(&self, loss: f64, epoch: usize, step: u64) -> Result<(), TrainError> {
        // Written so that NaN fails.
        let is_bearable = loss <= self.loss_limit;
        if is_bearable { Ok(()) } else { Err(TrainError::Diverged { epoch, step, loss, limit: self.loss_limit }) }
    }

    fn record(&mut self, epoch: usize, step: u64) -> Epoch {
        let (loss, accuracy) = evaluate(
            &self.network.model,
            &self.network.theta,
            &self.network.buffers,
            self.trainer.loss,
            self.inputs.slice(s![..self.clean, ..]),
            self.targets.slice(s![..self.clean, ..]),
        );
        let record = Epoch { epoch, step, loss, accuracy };
        self.history.push(record);
        if accuracy == 1.0 && self.zero_error_epoch.is_none() {
            self.zero_error_epoch = Some(epoch);
        }
        record
    }

    /// Ends the run.
    pub fn finish(self) -> Trained {
        Trained { network: self.network, history: self.history, zero_error_epoch: self.zero_error_epoch }
    }

    /// Writes network, optimiser state and history to `path`, so that [`Run::resume`] goes on with the same bits.
    ///
    /// # Errors
    /// [`TrainError::Model`] if the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        let mut state = SavedState {
            trainer: self.trainer.clone(),
            clean: self.clean,
            data: self.data_fingerprint(),
            batches_drawn: self.batches_drawn,
            history: self.history.clone(),
            zero_error_epoch: self.zero_error_epoch,
            checksum: String::new(),
        };
        state.checksum = state.checksum(&self.network, &self.state);
        let state = state.json();
        let metadata = BTreeMap::from([(STATE_KEY.to_owned(), state)]);
        let vectors: Vec<_> =
            self.state.kept.iter().enumerate().map(|(index, vector)| (vector_name(index), &vector[..])).collect();
        Ok(save_network_with(path, &self.network, &vectors, &metadata)?)
    }

    /// The run that [`Run::save`] wrote, as if it had never stopped. Settings, model and data must be those it began
    /// with; only `max_epochs` and `extra_epochs` may differ.
    ///
    /// # Errors
    /// [`TrainError`]: as [`Run::new`], or a file that is no checkpoint, is damaged, or is of another run.
    pub fn resume(
        path: &Path,
        trainer: &Trainer,
        model: &Arc<Model>,
        data: &Dataset,
        clean: usize,
    ) -> Result<Self, TrainError> {
        let fault = |reason: String| TrainError::Checkpoint { path: path.display().to_string(), reason };
        let bytes = read_file(path, MOST_BYTES).map_err(|error| fault(format!("cannot read the file ({error})")))?;
        let checkpoint = parse_network(&bytes, path, model)?;
        let Some(text) = checkpoint.metadata.get(STATE_KEY) else {
            return Err(fault("it holds a network but no training run".to_owned()));
        };
        let saved: SavedState =
            serde_json::from_str(text).map_err(|error| fault(format!("the state of the run is damaged ({error})")))?;
        let began =
            Trainer { max_epochs: trainer.max_epochs, extra_epochs: trainer.extra_epochs, ..saved.trainer.clone() };
        if began != *trainer {
            let show = |trainer: &Trainer| serde_json::to_string(trainer).expect("settings serialise");
            return Err(fault(format!("its run has settings {}, expected {}", show(&began), show(trainer))));
        }
        let first = *saved.history.first().ok_or_else(|| fault("the history of the run is empty".to_owned()))?;
        let mut run = Self::new(trainer, checkpoint.network, data, clean)?;
        if (saved.clean, &saved.data) != (clean, &run.data_fingerprint()) {
            return Err(fault("its run has other data".to_owned()));
        }
        for (index, vector) in run.state.kept.iter_mut().enumerate() {
            *vector = parse_vector(&bytes, path, &vector_name(index), vector.len())?;
        }
        if saved.checksum != saved.checksum(&run.network, &run.state) {
            return Err(fault("its numbers are not those that were written (the file is damaged)".to_owned()));
        }
        run.batches_drawn = saved.batches_drawn;
        run.history = saved.history;
        run.zero_error_epoch = saved.zero_error_epoch;
        run.loss_limit = EXPLOSION * first.loss.max(1.0);
        Ok(run)
    }

    fn data_fingerprint(&self) -> String {
        Checksum::default().numbers(slice(self.inputs.view())).numbers(slice(self.targets.view())).text()
    }
}

impl Trainer {
    /// Trains `network` on all rows of `data`; `progress` hears of every epoch.
    ///
    /// # Errors
    /// [`TrainError`]: a setting out of range, labels or shapes that do not fit, divergence.
    pub fn run(
        &self,
        network: Network,
        data: &Dataset,
        progress: &mut dyn FnMut(&Epoch),
    ) -> Result<Trained, TrainError> {
        self.run_with_attack(network, data, data.len(), progress)
    }

    /// Trains on all rows of `data`, of which the first `clean` are the training set S and the others an
    /// attack set: zero error is asked for on S only.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub fn run_with_attack(
        &self,
        network: Network,
        data: &Dataset,
        clean: usize,
        progress: &mut dyn FnMut(&Epoch),
    ) -> Result<Trained, TrainError> {
        let mut run = Run::new(self, network, data, clean)?;
        progress(&run.last());
        while !run.is_finished() {
            progress(&run.advance()?);
        }
        Ok(run.finish())
    }
}

/// What a checkpoint holds beside the network and the optimiser's vectors.
#[derive(Clone, Serialize, Deserialize)]
struct SavedState {
    trainer: Trainer,
    clean: usize,
    data: String,
    batches_drawn: usize,
    history: Vec<Epoch>,
    zero_error_epoch: Option<usize>,
    /// Of everything else in the file.
    checksum: String,
}

impl SavedState {
    fn json(&self) -> String {
        serde_json::to_string(self).expect("finite numbers and names serialise")
    }

    fn checksum(&self, network: &Network, state: &State) -> String {
        let text = Self { checksum: String::new(), ..self.clone() }.json();
        let sum = Checksum::default().bytes(text.as_bytes()).numbers(&network.theta).numbers(&network.buffers);
        state.kept.iter().fold(sum, |sum, vector| sum.numbers(vector)).text()
    }
}

fn vector_name(index: usize) -> String {
    format!("optimizer.{index}")
}

fn slice<'a>(view: ArrayView2<'a, f64>) -> &'a [f64] {
    view.to_slice().expect("stored row by row")
}
