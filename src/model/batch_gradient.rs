//! Gradients with the batch's own statistics in batch norms, as training takes them.

use crate::model::layer::Mode;
use crate::model::{Model, Objective};

/// Loss and gradient of one mini-batch in train mode.
#[derive(Debug, Clone)]
pub struct BatchGradient {
    /// `L(theta)` with the batch's statistics.
    pub value: f64,
    /// Its gradient, through the statistics.
    pub gradient: Vec<f64>,
    /// The batch's means and unbiased variances, in the order of the model's buffers.
    pub statistics: Vec<f64>,
}

impl Objective<'_> {
    /// Loss, gradient and statistics of all samples as one batch in train mode: batch norms use the batch's
    /// statistics and not the stored ones. On the calling thread, as samples are coupled.
    ///
    /// Without batch norms, value and gradient are those of [`Objective::gradient`].
    pub fn batch_gradient(&self, theta: &[f64]) -> BatchGradient {
        let body = self.model.body();
        let weights = self.model.weights(theta, self.buffers);
        let tape = body.forward(weights, self.inputs, Mode::Train);
        let value = self.value_of_logits(tape.output());
        let at_logits = self.logit_gradient(tape.output(), self.targets);
        let mut gradient = vec![0.0; theta.len()];
        body.backward(weights, self.inputs, &tape, at_logits, &mut gradient, false);
        BatchGradient { value, gradient, statistics: body.statistics(&tape) }
    }
}

impl Model {
    /// Moves stored statistics towards those of a batch: `(1 - momentum) stored + momentum batch`; PyTorch's
    /// default momentum is 0.1.
    ///
    /// # Panics
    /// If the lengths do not fit the model.
    pub fn update_statistics(&self, buffers: &mut [f64], statistics: &[f64], momentum: f64) {
        assert_eq!(buffers.len(), self.buffer_count(), "buffers do not fit the model");
        assert_eq!(statistics.len(), self.buffer_count(), "statistics do not fit the model");
        for (stored, batch) in buffers.iter_mut().zip(statistics) {
            *stored = (1.0 - momentum) * *stored + momentum * batch;
        }
    }
}
