//! Mini-batches in a fresh order every epoch, and their gradients.

use crate::model::{Loss, Mode, Model};
use crate::numeric::Streams;
use crate::train::labels::is_correct;
use crate::train::optimizer::Batches;
use ndarray::{Array2, ArrayView2, s};
use rand::seq::SliceRandom;

/// Rows evaluated at a time: what they need stays in the second-level cache.
const EVALUATION_ROWS: usize = 128;

/// Weight of a batch in the stored statistics of batch norms, as in PyTorch.
const STATISTICS_MOMENTUM: f64 = 0.1;

/// An endless sequence of mini-batches. Batch `b` is a part of the permutation of epoch
/// `b / batches_per_epoch`, which is drawn from the stream of that epoch: the sequence has no state but
/// the number of batches handed out.
#[derive(Debug)]
pub(crate) struct Sampler<'a> {
    model: &'a Model,
    buffers: Vec<f64>,
    loss: Loss,
    inputs: ArrayView2<'a, f64>,
    targets: ArrayView2<'a, f64>,
    batch_size: usize,
    streams: Streams,
    order: Vec<usize>,
    order_epoch: Option<usize>,
    drawn: usize,
    batch_inputs: Array2<f64>,
    batch_targets: Array2<f64>,
    rows: usize,
}

impl<'a> Sampler<'a> {
    /// A sampler that has handed out `drawn` batches, with the stored statistics of batch norms so far. Inputs and targets are stored row by row.
    #[allow(clippy::too_many_arguments)] // an objective and a way through its rows
    pub fn new(
        model: &'a Model,
        buffers: Vec<f64>,
        loss: Loss,
        inputs: ArrayView2<'a, f64>,
        targets: ArrayView2<'a, f64>,
        batch_size: usize,
        streams: Streams,
        drawn: usize,
    ) -> Self {
        let batch_size = batch_size.min(inputs.nrows());
        Self {
            model,
            buffers,
            loss,
            inputs,
            targets,
            batch_size,
            streams,
            order: (0..inputs.nrows()).collect(),
            order_epoch: None,
            drawn,
            batch_inputs: Array2::zeros((batch_size, inputs.ncols())),
            batch_targets: Array2::zeros((batch_size, targets.ncols())),
            rows: 0,
        }
    }

    /// Batches in an epoch; the last one may be smaller.
    pub fn batches_per_epoch(&self) -> usize {
        self.inputs.nrows().div_ceil(self.batch_size)
    }

    /// The stored statistics, moved by every batch whose gradient was taken.
    pub fn into_buffers(self) -> Vec<f64> {
        self.buffers
    }

    /// Batches handed out.
    pub fn drawn(&self) -> usize {
        self.drawn
    }
}

impl Batches for Sampler<'_> {
    fn advance(&mut self) {
        let (epoch, index) = (self.drawn / self.batches_per_epoch(), self.drawn % self.batches_per_epoch());
        if self.order_epoch != Some(epoch) {
            for (row, place) in self.order.iter_mut().enumerate() {
                *place = row;
            }
            self.order.shuffle(&mut self.streams.stream("shuffle", epoch as u64));
            self.order_epoch = Some(epoch);
        }
        let places = index * self.batch_size..((index + 1) * self.batch_size).min(self.order.len());
        self.rows = places.len();
        for (slot, &row) in self.order[places].iter().enumerate() {
            let (from, to) = (self.inputs.row(row), self.batch_inputs.row_mut(slot));
            to.into_slice().expect("row by row").copy_from_slice(from.to_slice().expect("row by row"));
            self.batch_targets.row_mut(slot).assign(&self.targets.row(row));
        }
        self.drawn += 1;
    }

    fn gradient(&mut self, theta: &[f64], gradient: &mut [f64]) -> f64 {
        let inputs = self.batch_inputs.slice(s![..self.rows, ..]);
        let weights = self.model.weights(theta, &self.buffers);
        let tape = self.model.body().forward(weights, inputs, Mode::Train);
        let mut at_logits = Array2::zeros(tape.output().dim());
        let scale = 1.0 / self.rows as f64;
        let mut total = 0.0;
        let output = tape.output();
        for (row, mut out) in at_logits.outer_iter_mut().enumerate() {
            let (logits, target) = (output.row(row), self.batch_targets.row(row));
            let (logits, target) = (logits.to_slice().expect("row by row"), target.to_slice().expect("row by row"));
            total += self.loss.value(logits, target);
            self.loss.gradient(logits, target, out.as_slice_mut().expect("row by row"));
        }
        at_logits *= scale;
        gradient.fill(0.0);
        self.model.body().backward(weights, inputs, &tape, at_logits, gradient, false);
        if self.model.buffer_count() > 0 {
            let statistics = self.model.body().statistics(&tape);
            self.model.update_statistics(&mut self.buffers, &statistics, STATISTICS_MOMENTUM);
        }
        total * scale
    }
}

/// Mean loss and fraction of right labels, on the calling thread.
pub(crate) fn evaluate(
    model: &Model,
    theta: &[f64],
    buffers: &[f64],
    loss: Loss,
    inputs: ArrayView2<f64>,
    targets: ArrayView2<f64>,
) -> (f64, f64) {
    let weights = model.weights(theta, buffers);
    let (mut total, mut correct) = (0.0, 0_usize);
    for first in (0..inputs.nrows()).step_by(EVALUATION_ROWS) {
        let rows = first..(first + EVALUATION_ROWS).min(inputs.nrows());
        let tape = model.body().forward(weights, inputs.slice(s![rows.clone(), ..]), Mode::Eval);
        let (output, targets) = (tape.output(), targets.slice(s![rows, ..]));
        for row in 0..output.nrows() {
            let (logits, target) = (output.row(row), targets.row(row));
            let (logits, target) = (logits.to_slice().expect("row by row"), target.to_slice().expect("row by row"));
            total += loss.value(logits, target);
            correct += usize::from(is_correct(logits, target));
        }
    }
    let rows = inputs.nrows() as f64;
    (total / rows, correct as f64 / rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, Architecture, Network, Objective};
    use crate::numeric::tolerance::SUMMATION_AGREEMENT;
    use ndarray::Axis;
    use std::sync::Arc;

    fn problem(rows: usize) -> (Network, Array2<f64>, Array2<f64>) {
        let architecture = Architecture::fully_connected(&[3, 5, 1], Activation::Tanh, 1.0, 1.0);
        let network = Network::sample(Arc::new(Model::new(architecture).unwrap()), Streams::new(1));
        let inputs = Array2::from_shape_fn((rows, 3), |(row, column)| (row * 3 + column) as f64 / 10.0);
        let targets = Array2::from_shape_fn((rows, 1), |(row, _)| f64::from(u8::from(row % 3 == 0)));
        (network, inputs, targets)
    }

    /// The rows of an epoch's batches, told apart by their first input.
    fn epoch_rows(sampler: &mut Sampler) -> Vec<usize> {
        let mut rows = Vec::new();
        for _ in 0..sampler.batches_per_epoch() {
            sampler.advance();
            let first = sampler.batch_inputs.slice(s![..sampler.rows, 0]);
            rows.extend(first.iter().map(|x| (x * 10.0 / 3.0).round() as usize));
        }
        rows
    }

    fn sampler<'a>(
        (network, inputs, targets): &'a (Network, Array2<f64>, Array2<f64>),
        seed: u64,
        drawn: usize,
    ) -> Sampler<'a> {
        let streams = Streams::new(seed);
        Sampler::new(
            &network.model,
            network.buffers.clone(),
            Loss::Bce,
            inputs.view(),
            targets.view(),
            4,
            streams,
            drawn,
        )
    }

    #[test]
    fn every_epoch_takes_every_row_once_in_a_fresh_order() {
        let problem = problem(22);
        let mut first = sampler(&problem, 5, 0);
        let epochs: Vec<_> = (0..4).map(|_| epoch_rows(&mut first)).collect();
        for (index, rows) in epochs.iter().enumerate() {
            let mut sorted = rows.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..22).collect::<Vec<_>>());
            assert!(!epochs[..index].contains(rows) && *rows != sorted);
        }
        assert_ne!(epoch_rows(&mut sampler(&problem, 6, 0)), epochs[0]);
        // A sampler that begins in the middle goes on as the first one did.
        let mut resumed = sampler(&problem, 5, 2 * 6 + 1);
        resumed.advance();
        assert_eq!(resumed.batch_inputs[[0, 0]], problem.1[[epochs[2][4], 0]]);
        assert_eq!(epoch_rows(&mut sampler(&problem, 5, 3 * 6)), epochs[3]);
    }

    #[test]
    fn batch_gradients_and_evaluation_are_those_of_the_objective() {
        let problem = problem(300);
        let (network, inputs, targets) = &problem;
        let mut sampler = sampler(&problem, 5, 0);
        let mut gradient = vec![f64::NAN; network.theta.len()];
        for _ in 0..2 {
            sampler.advance();
            let loss = sampler.gradient(&network.theta, &mut gradient);
            let rows = &sampler.order[sampler.drawn * 4 - 4..sampler.drawn * 4];
            let (inputs, targets) = (inputs.select(Axis(0), rows), targets.select(Axis(0), rows));
            let objective = Objective::new(network, Loss::Bce, inputs.view(), targets.view()).unwrap();
            let (expected_loss, expected) = objective.gradient(&network.theta);
            approx::assert_relative_eq!(loss, expected_loss, max_relative = SUMMATION_AGREEMENT);
            approx::assert_relative_eq!(
                &gradient[..],
                &expected[..],
                max_relative = SUMMATION_AGREEMENT,
                epsilon = SUMMATION_AGREEMENT
            );
        }
        assert!(sampler.into_buffers().is_empty());
        let objective = Objective::new(network, Loss::Bce, inputs.view(), targets.view()).unwrap();
        let logits = network.logits(inputs.view());
        let correct = logits.iter().zip(targets).filter(|(logit, target)| (**logit > 0.0) == (**target == 1.0)).count();
        let (loss, accuracy) = evaluate(&network.model, &network.theta, &[], Loss::Bce, inputs.view(), targets.view());
        approx::assert_relative_eq!(loss, objective.value(&network.theta), max_relative = SUMMATION_AGREEMENT);
        assert_eq!(accuracy, correct as f64 / 300.0);
    }

    #[test]
    fn batch_norms_train_on_the_batch_and_remember_a_running_mean() {
        let (_, inputs, targets) = problem(12);
        let mut architecture = Architecture::fully_connected(&[3, 5, 1], Activation::Relu, 1.0, 1.0);
        architecture.layers.insert(1, crate::model::LayerSpec::BatchNorm);
        let network = Network::sample(Arc::new(Model::new(architecture).unwrap()), Streams::new(1));
        let problem = (network, inputs, targets);
        let (network, inputs, targets) = &problem;
        let mut sampler = sampler(&problem, 5, 0);
        let mut gradient = vec![0.0; network.theta.len()];
        let mut buffers = network.buffers.clone();
        for _ in 0..2 {
            sampler.advance();
            let loss = sampler.gradient(&network.theta, &mut gradient);
            let rows = &sampler.order[sampler.drawn * 4 - 4..sampler.drawn * 4];
            let (inputs, targets) = (inputs.select(Axis(0), rows), targets.select(Axis(0), rows));
            let objective = Objective::new(network, Loss::Bce, inputs.view(), targets.view()).unwrap();
            let expected = objective.batch_gradient(&network.theta);
            approx::assert_relative_eq!(loss, expected.value, max_relative = SUMMATION_AGREEMENT);
            approx::assert_relative_eq!(
                &gradient[..],
                &expected.gradient[..],
                max_relative = SUMMATION_AGREEMENT,
                epsilon = SUMMATION_AGREEMENT
            );
            for (buffer, batch) in buffers.iter_mut().zip(expected.statistics) {
                *buffer = 0.9 * *buffer + 0.1 * batch;
            }
        }
        let stored = sampler.into_buffers();
        assert!(stored.len() == 10 && stored != network.buffers);
        approx::assert_relative_eq!(&stored[..], &buffers[..], max_relative = SUMMATION_AGREEMENT);
    }
}
