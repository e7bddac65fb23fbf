//! Training to zero error.

use crate::data::Dataset;
use crate::model::{Loss, Network, Objective};
use crate::numeric::Streams;
use crate::train::labels::targets;
use crate::train::optimizer::{Optimizer, OptimizerSettings, State, Step};
use crate::train::sampler::{Sampler, evaluate};
use crate::train::{Schedule, TrainError};
use ndarray::{Array2, s};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A mini-batch whose loss is this many times the larger of 1 and the loss before training is called an
/// explosion. Losses that recover stay far below: the first steps of a rate that is barely stable raise the
/// loss by tens, while a diverging one multiplies it at every step and passes any bound.
const EXPLOSION: f64 = 1e6;

/// How a network is trained: everything but the network and the data.
///
/// Each epoch takes all rows once, in mini-batches of an order drawn afresh from the seed. Training ends
/// after the first epoch at whose end every genuine row has the right label, or `extra_epochs` later, or
/// after `max_epochs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trainer {
    /// The update rule.
    pub optimizer: OptimizerSettings,
    /// Learning rate; the optimiser's own by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Factors on the learning rate; they multiply.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schedule: Vec<Schedule>,
    /// Rows of a mini-batch; the last one of an epoch may be smaller.
    pub batch_size: usize,
    /// The loss, averaged over a mini-batch.
    pub loss: Loss,
    /// Epochs after which training ends in any case.
    pub max_epochs: usize,
    /// Epochs to go on for after the first one without errors.
    pub extra_epochs: usize,
    /// Seed of the order of the rows and of the optimiser's noise.
    pub seed: u64,
}

impl Default for Trainer {
    /// The paper's setting: SGD with rate 0.01 and mini-batches of 32 under binary cross-entropy.
    fn default() -> Self {
        Self {
            optimizer: OptimizerSettings::named("sgd"),
            learning_rate: None,
            schedule: Vec::new(),
            batch_size: 32,
            loss: Loss::Bce,
            max_epochs: 10_000,
            extra_epochs: 0,
            seed: 0,
        }
    }
}

/// Where training stands at the end of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Passes over the data so far; 0 is the network before training.
    pub epoch: usize,
    /// Optimiser steps so far.
    pub step: u64,
    /// Mean loss on the genuine training set.
    pub loss: f64,
    /// Fraction of the genuine training set with the right label.
    pub accuracy: f64,
}

/// A network and how it came about.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The network at the end.
    pub network: Network,
    /// The state of training before it began and after each epoch.
    pub history: Vec<Epoch>,
    /// First epoch at whose end no genuine row was wrong; `None` if `max_epochs` came first.
    pub zero_error_epoch: Option<usize>,
}

impl Trained {
    /// Where training ended.
    pub fn last(&self) -> Epoch {
        *self.history.last().expect("the state before training is recorded")
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

    /// Trains on all rows of `data`, of which the first `genuine` are the training set S and the others an
    /// attack set: zero error is asked for on S only.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub fn run_with_attack(
        &self,
        network: Network,
        data: &Dataset,
        genuine: usize,
        progress: &mut dyn FnMut(&Epoch),
    ) -> Result<Trained, TrainError> {
        let mut run = Run::new(self, network, data, genuine)?;
        progress(&run.last());
        while !run.is_finished() {
            progress(&run.advance()?);
        }
        Ok(run.finish())
    }

    fn check(&self) -> Result<(), TrainError> {
        let fault = |name: &str, found: String, expected: &str| {
            Err(TrainError::Setting { name: name.to_owned(), found, expected: expected.to_owned() })
        };
        for schedule in &self.schedule {
            schedule.check()?;
        }
        if self.batch_size == 0 {
            return fault("batch_size", "0".to_owned(), "at least 1");
        }
        match self.learning_rate {
            Some(rate) if !(rate > 0.0 && rate.is_finite()) => {
                fault("learning_rate", rate.to_string(), "a finite number above 0")
            }
            _ => Ok(()),
        }
    }
}

/// A training run, epoch by epoch.
#[derive(Debug)]
pub struct Run {
    trainer: Trainer,
    optimizer: Box<dyn Optimizer>,
    learning_rate: f64,
    network: Network,
    inputs: Array2<f64>,
    targets: Array2<f64>,
    genuine: usize,
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
    pub fn new(trainer: &Trainer, network: Network, data: &Dataset, genuine: usize) -> Result<Self, TrainError> {
        trainer.check()?;
        if genuine == 0 || genuine > data.len() {
            return Err(TrainError::Setting {
                name: "number of genuine rows".to_owned(),
                found: genuine.to_string(),
                expected: format!("1 to {}, the rows of '{}'", data.len(), data.name),
            });
        }
        let preset = trainer.optimizer.build()?;
        let targets = targets(trainer.loss, network.model.outputs(), data)?;
        Objective::new(&network, trainer.loss, data.inputs.view(), targets.view())?;
        let mut run = Self {
            learning_rate: trainer.learning_rate.unwrap_or(preset.learning_rate),
            state: preset.optimizer.start(network.theta.len()),
            optimizer: preset.optimizer,
            trainer: trainer.clone(),
            network,
            inputs: data.inputs.as_standard_layout().into_owned(),
            targets: targets.as_standard_layout().into_owned(),
            genuine,
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

    /// Where training stands.
    pub fn last(&self) -> Epoch {
        *self.history.last().expect("the state before training is recorded")
    }

    /// Whether there is nothing left to do.
    pub fn is_finished(&self) -> bool {
        let epoch = self.last().epoch;
        epoch >= self.trainer.max_epochs
            || self.zero_error_epoch.is_some_and(|zero| epoch >= zero + self.trainer.extra_epochs)
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
            &self.network.buffers,
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
            self.inputs.slice(s![..self.genuine, ..]),
            self.targets.slice(s![..self.genuine, ..]),
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
}
