//! The mean loss over a data set as a function of the parameters, and its gradient.

use crate::model::layer::Mode;
use crate::model::{Loss, Model, ModelError, Network};
use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2, s};
use rayon::prelude::ParallelSlice;

/// Partial sums kept at most while adding over samples, and parts a block of directions is cut into at most;
/// fixed, so results do not depend on threads.
pub(super) const LANES: usize = 16;

/// `L(theta) = scale / n sum_i loss(f(x_i; theta), target_i)` on fixed data.
#[derive(Debug, Clone, Copy)]
pub struct Objective<'a> {
    /// The network up to its parameters.
    pub(crate) model: &'a Model,
    /// Stored statistics of batch norms; not differentiated.
    pub(crate) buffers: &'a [f64],
    /// The loss of one sample.
    pub(crate) loss: Loss,
    /// Inputs, `n x inputs`.
    pub(crate) inputs: ArrayView2<'a, f64>,
    /// Targets, `n x 1` (labels 0/1 or class indices) or `n x outputs` (`mse`).
    pub(crate) targets: ArrayView2<'a, f64>,
    /// Factor on the loss; 1 unless a law asks for another.
    pub(crate) scale: f64,
}

impl<'a> Objective<'a> {
    /// The network up to its parameters.
    pub fn model(&self) -> &'a Model {
        self.model
    }

    /// Stored statistics of batch norms; not differentiated.
    pub fn buffers(&self) -> &'a [f64] {
        self.buffers
    }

    /// The loss of one sample.
    pub fn loss(&self) -> Loss {
        self.loss
    }

    /// Inputs, `n x inputs`.
    pub fn inputs(&self) -> ArrayView2<'a, f64> {
        self.inputs
    }

    /// Targets, `n x 1` (labels 0/1 or class indices) or `n x outputs` (`mse`).
    pub fn targets(&self) -> ArrayView2<'a, f64> {
        self.targets
    }

    /// Factor on the loss; 1 unless a law asks for another.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// The same with another factor on the loss.
    #[must_use]
    pub fn with_scale(self, scale: f64) -> Self {
        Self { scale, ..self }
    }

    /// The same with another loss of one sample; [`Objective::with_data`] gives it targets.
    #[must_use]
    pub fn with_loss(self, loss: Loss) -> Self {
        Self { loss, ..self }
    }

    /// The same with other stored statistics of batch norms.
    ///
    /// # Panics
    /// If they do not fit the model.
    #[must_use]
    pub fn with_buffers(self, buffers: &'a [f64]) -> Self {
        assert_eq!(buffers.len(), self.model.buffer_count(), "stored statistics do not fit the model");
        Self { buffers, ..self }
    }

    /// The same on other data, of a checked set as some of its rows.
    ///
    /// # Panics
    /// If there are no rows, or not as many targets as inputs, or of another width.
    #[must_use]
    pub fn with_data(self, inputs: ArrayView2<'a, f64>, targets: ArrayView2<'a, f64>) -> Self {
        assert!(inputs.nrows() > 0, "an objective needs data");
        assert_eq!(inputs.ncols(), self.inputs.ncols(), "features of an input");
        assert_eq!(
            targets.dim(),
            (inputs.nrows(), self.loss.columns(self.model.output_count())),
            "shape of the targets"
        );
        Self { inputs, targets, ..self }
    }

    /// The objective of a network on data, once they are seen to fit together.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] naming what disagrees.
    pub fn new(
        network: &'a Network,
        loss: Loss,
        inputs: ArrayView2<'a, f64>,
        targets: ArrayView2<'a, f64>,
    ) -> Result<Self, ModelError> {
        let model = &*network.model;
        let mismatch = |what: &str, found: String, expected: String| {
            Err(ModelError::Mismatch { what: what.to_owned(), found, expected })
        };
        let outputs = model.output_count();
        if inputs.nrows() == 0 {
            return mismatch("number of samples", "0".to_owned(), "at least 1".to_owned());
        }
        if inputs.ncols() != model.input_count() {
            return mismatch(
                "features of an input",
                inputs.ncols().to_string(),
                format!("{} (the architecture's input {:?})", model.input_count(), model.architecture().input),
            );
        }
        let columns = loss.columns(outputs);
        if targets.dim() != (inputs.nrows(), columns) {
            return mismatch(
                "shape of the targets",
                format!("{:?}", targets.dim()),
                format!("{:?} for {loss} with {outputs} outputs", (inputs.nrows(), columns)),
            );
        }
        // Without places first: they take longer than the numbers.
        if !inputs.iter().all(|value| value.is_finite())
            && let Some(((row, column), value)) = inputs.indexed_iter().find(|(_, value)| !value.is_finite())
        {
            return mismatch(&format!("input ({row}, {column})"), value.to_string(), "a finite number".to_owned());
        }
        let allowed = match loss {
            Loss::Bce if outputs != 1 => {
                return mismatch("outputs of the network", outputs.to_string(), "1 for bce".to_owned());
            }
            Loss::Ce if outputs < 2 => {
                return mismatch("outputs of the network", outputs.to_string(), "at least 2 for ce".to_owned());
            }
            Loss::Bce => "0 or 1".to_owned(),
            Loss::Ce => format!("a class index from 0 to {}", outputs - 1),
            Loss::Mse => "a finite number".to_owned(),
        };
        let fits = |target: f64| match loss {
            Loss::Bce => target == 0.0 || target == 1.0,
            Loss::Ce => target >= 0.0 && target < outputs as f64 && target.fract() == 0.0,
            Loss::Mse => target.is_finite(),
        };
        if let Some(((row, _), target)) = targets.indexed_iter().find(|(_, target)| !fits(**target)) {
            return mismatch(&format!("target {row}"), target.to_string(), format!("{allowed} for {loss}"));
        }
        if let Some((index, value)) = network.theta.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            let tensor = model.tensors().iter().find(|tensor| tensor.range.contains(&index));
            let name = tensor.map_or("", |tensor| &tensor.name);
            return mismatch(
                &format!("parameter {index} (in {name})"),
                value.to_string(),
                "a finite number".to_owned(),
            );
        }
        if let Some((index, value)) = network.buffers.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return mismatch(&format!("stored statistic {index}"), value.to_string(), "a finite number".to_owned());
        }
        if let Some((what, found, expected)) = network.negative_variance() {
            return mismatch(&what, found, expected);
        }
        Ok(Self { model, buffers: &network.buffers, loss, inputs, targets, scale: 1.0 })
    }

    /// The same for a shorter life, so that parameters or data of that life can take the place of its own.
    pub fn view(&self) -> Objective<'_> {
        let Self { model, buffers, loss, ref inputs, ref targets, scale } = *self;
        Objective { model, buffers, loss, inputs: inputs.view(), targets: targets.view(), scale }
    }

    /// Number of samples.
    pub fn sample_count(&self) -> usize {
        self.inputs.nrows()
    }

    pub(super) fn chunks(&self) -> Vec<(ArrayView2<'a, f64>, ArrayView2<'a, f64>)> {
        let n = self.sample_count();
        let size = self.model.chunk_rows();
        (0..n)
            .step_by(size)
            .map(|first| {
                let rows = first..(first + size).min(n);
                // `slice_move` keeps the data's lifetime.
                (self.inputs.slice_move(s![rows.clone(), ..]), self.targets.slice_move(s![rows, ..]))
            })
            .collect()
    }

    /// Factor of one sample's loss in the mean.
    pub(super) fn weight(&self) -> f64 {
        self.scale / self.sample_count() as f64
    }

    /// Logits of all samples, `n x outputs`.
    pub fn logits(&self, theta: &[f64]) -> Array2<f64> {
        self.model.logits(theta, self.buffers, self.inputs)
    }

    /// `L(theta)`.
    pub fn value(&self, theta: &[f64]) -> f64 {
        self.value_of_logits(self.logits(theta).view())
    }

    pub(super) fn value_of_logits(&self, logits: ArrayView2<f64>) -> f64 {
        let total: f64 = logits
            .outer_iter()
            .zip(self.targets.outer_iter())
            .map(|(logits, target)| self.loss.value(row(&logits), &target.to_vec()))
            .sum();
        total * self.weight()
    }

    /// `L(theta)` and its gradient.
    pub fn gradient(&self, theta: &[f64]) -> (f64, Vec<f64>) {
        let weights = self.model.weights(theta, self.buffers);
        let chunks = self.chunks();
        let sums =
            add_in_lanes(&chunks, LANES, (0.0, vec![0.0; theta.len()]), |(value, gradient), (inputs, targets)| {
                let tape = self.model.body().forward(weights, *inputs, Mode::Eval);
                for (logits, target) in tape.output().outer_iter().zip(targets.outer_iter()) {
                    *value += self.loss.value(row(&logits), &target.to_vec());
                }
                let at_logits = self.logit_gradient(tape.output(), *targets);
                self.model.body().backward(weights, *inputs, &tape, at_logits, gradient, false);
            });
        let (value, gradient) = sums
            .into_iter()
            .reduce(|(value, mut gradient), (other_value, other)| {
                crate::numeric::linalg::add_scaled(&mut gradient, 1.0, &other);
                (value + other_value, gradient)
            })
            .expect("there is at least one sample");
        (value * self.weight(), gradient)
    }

    /// Gradient of the (scaled, averaged) loss at the logits.
    pub(super) fn logit_gradient(&self, logits: ArrayView2<f64>, targets: ArrayView2<f64>) -> Array2<f64> {
        let mut out = Array2::zeros(logits.dim());
        for ((mut out, logits), target) in out.outer_iter_mut().zip(logits.outer_iter()).zip(targets.outer_iter()) {
            self.loss.gradient(row(&logits), &target.to_vec(), out.as_slice_mut().expect("rows are contiguous"));
        }
        out *= self.weight();
        out
    }
}

pub(super) fn row<'a>(view: &ndarray::ArrayView1<'a, f64>) -> &'a [f64] {
    view.to_slice().expect("batches are stored row by row")
}

/// Splits `items` into at most `lanes` runs, folds each run in order, lanes in parallel; the caller adds
/// the lanes in order. Memory is that of the lanes, and the sums do not depend on threads.
pub(super) fn add_in_lanes<T: Sync, S: Clone + Send + Sync>(
    items: &[T],
    lanes: usize,
    zero: S,
    add: impl Fn(&mut S, &T) + Sync,
) -> Vec<S> {
    let size = items.len().div_ceil(lanes).max(1);
    items
        .par_chunks(size)
        .map(|run| {
            let mut sum = zero.clone();
            for item in run {
                add(&mut sum, item);
            }
            sum
        })
        .collect()
}
