//! The mean loss over a data set as a function of the parameters, and its derivatives at a point.

use crate::model::layer::{Adjoints, Mode, Tape};
use crate::model::{Loss, Model, ModelError, Network};
use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, s};
use rayon::prelude::ParallelSlice;

/// Partial sums kept at most while adding over samples, and parts a block of directions is cut into at most;
/// fixed, so results do not depend on threads.
const LANES: usize = 16;

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
        if let Some(((row, column), value)) = inputs.indexed_iter().find(|(_, value)| !value.is_finite()) {
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

    fn chunks(&self) -> Vec<(ArrayView2<'a, f64>, ArrayView2<'a, f64>)> {
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
    fn weight(&self) -> f64 {
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

    /// Everything needed for derivatives at `theta`, computed once.
    pub fn linearise(&self, theta: &'a [f64]) -> Linearisation<'a> {
        Linearisation::new(*self, theta)
    }
}

fn row<'a>(view: &ndarray::ArrayView1<'a, f64>) -> &'a [f64] {
    view.to_slice().expect("batches are stored row by row")
}

/// Splits `items` into at most `lanes` runs, folds each run in order, lanes in parallel; the caller adds
/// the lanes in order. Memory is that of the lanes, and the sums do not depend on threads.
fn add_in_lanes<T: Sync, S: Clone + Send + Sync>(
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

/// The forward and backward passes of an [`Objective`] at one point, kept for many products.
///
/// Memory: two numbers a sample and unit, beside the data.
#[derive(Debug)]
pub struct Linearisation<'a> {
    objective: Objective<'a>,
    theta: &'a [f64],
    chunks: Vec<Chunk<'a>>,
    value: f64,
    gradient: Vec<f64>,
}

#[derive(Debug)]
struct Chunk<'a> {
    inputs: ArrayView2<'a, f64>,
    tape: Tape,
    adjoints: Adjoints,
}

impl<'a> Linearisation<'a> {
    fn new(objective: Objective<'a>, theta: &'a [f64]) -> Self {
        let weights = objective.model.weights(theta, objective.buffers);
        let parts: Vec<(Chunk, Vec<f64>, f64)> = objective
            .chunks()
            .into_par_iter()
            .map(|(inputs, targets)| {
                let body = objective.model.body();
                let tape = body.forward(weights, inputs, Mode::Eval);
                let value: f64 = tape
                    .output()
                    .outer_iter()
                    .zip(targets.outer_iter())
                    .map(|(logits, target)| objective.loss.value(row(&logits), &target.to_vec()))
                    .sum();
                let at_logits = objective.logit_gradient(tape.output(), targets);
                let mut gradient = vec![0.0; theta.len()];
                let (_, adjoints) = body.backward(weights, inputs, &tape, at_logits, &mut gradient, false);
                (Chunk { inputs, tape, adjoints }, gradient, value)
            })
            .collect();
        let mut gradient = vec![0.0; theta.len()];
        let mut value = 0.0;
        let mut chunks = Vec::with_capacity(parts.len());
        for (chunk, part, part_value) in parts {
            crate::numeric::linalg::add_scaled(&mut gradient, 1.0, &part);
            value += part_value;
            chunks.push(chunk);
        }
        Self { value: value * objective.weight(), objective, theta, chunks, gradient }
    }

    /// The objective.
    pub fn objective(&self) -> &Objective<'a> {
        &self.objective
    }

    /// The point.
    pub fn theta(&self) -> &'a [f64] {
        self.theta
    }

    /// `L(theta)`.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// The gradient of `L` at `theta`.
    pub fn gradient(&self) -> &[f64] {
        &self.gradient
    }

    /// Logits of all samples, `n x outputs`.
    pub fn logits(&self) -> Array2<f64> {
        let views: Vec<_> = self.chunks.iter().map(|chunk| chunk.tape.output()).collect();
        ndarray::concatenate(Axis(0), &views).expect("chunks have equal widths")
    }

    /// `B v / n` for stacked logit directions `v` (`k n x outputs`), in place.
    fn apply_loss_hessian(&self, logits: ArrayView2<f64>, dots: &mut Array2<f64>) {
        let n = logits.nrows();
        let weight = self.objective.weight();
        let mut product = vec![0.0; logits.ncols()];
        for (index, mut dot) in dots.outer_iter_mut().enumerate() {
            let dot = dot.as_slice_mut().expect("rows are contiguous");
            self.objective.loss.hessian_product(row(&logits.row(index % n)), dot, &mut product);
            for (dot, product) in dot.iter_mut().zip(&product) {
                *dot = weight * product;
            }
        }
    }

    /// Sums over chunks of samples for each of `directions`, as rows of `k x parameters`.
    ///
    /// Few directions are spread over threads by samples, each lane with a sum of its own; many by direction,
    /// each summed in place: a sum a lane and direction would cost more to clear and to add than the passes.
    fn sum_products(
        &self,
        directions: ArrayView2<f64>,
        add: impl Fn(ArrayViewMut2<f64>, &Chunk, ArrayView2<f64>) + Sync,
    ) -> Array2<f64> {
        let k = directions.nrows();
        let mut sums = Array2::zeros(directions.dim());
        if k == 0 {
            return sums;
        }
        let group = k.div_ceil(LANES);
        let lanes = LANES.div_ceil(k.div_ceil(group));
        let parts = sums.axis_chunks_iter_mut(Axis(0), group).into_par_iter();
        parts.zip(directions.axis_chunks_iter(Axis(0), group)).for_each(|(mut sums, directions)| {
            if lanes == 1 {
                self.chunks.iter().for_each(|chunk| add(sums.view_mut(), chunk, directions));
                return;
            }
            let zero = Array2::zeros(directions.dim());
            for lane in add_in_lanes(&self.chunks, lanes, zero, |sum, chunk| add(sum.view_mut(), chunk, directions)) {
                sums += &lane;
            }
        });
        sums
    }

    fn tangents(&self, chunk: &Chunk, directions: ArrayView2<f64>) -> Vec<Array2<f64>> {
        let weights = self.objective.model.weights(self.theta, self.objective.buffers);
        self.objective.model.body().tangent(weights, chunk.inputs, &chunk.tape, None, directions)
    }

    /// `H v` for the rows `v` of `directions` (`k x parameters`), by a tangent pass through the gradient
    /// (Pearlmutter 1994).
    pub fn hessian_products(&self, directions: ArrayView2<f64>) -> Array2<f64> {
        let weights = self.objective.model.weights(self.theta, self.objective.buffers);
        self.sum_products(directions, |sum, chunk, directions| {
            let dots = self.tangents(chunk, directions);
            let mut at_logits = dots.last().expect("a chain has at least one layer").clone();
            self.apply_loss_hessian(chunk.tape.output(), &mut at_logits);
            self.objective.model.body().backward_tangent(
                weights,
                chunk.inputs,
                &chunk.tape,
                &chunk.adjoints,
                None,
                &dots,
                directions,
                at_logits,
                sum,
                false,
            );
        })
    }

    /// `G v` for the rows `v` of `directions`, `G = 1/n sum_i J_i^T B_i J_i` the Gauss-Newton matrix
    /// (Schraudolph 2002).
    pub fn gauss_newton_products(&self, directions: ArrayView2<f64>) -> Array2<f64> {
        let weights = self.objective.model.weights(self.theta, self.objective.buffers);
        self.sum_products(directions, |mut sum, chunk, directions| {
            let dots = self.tangents(chunk, directions);
            let mut at_logits = dots.into_iter().next_back().expect("a chain has at least one layer");
            self.apply_loss_hessian(chunk.tape.output(), &mut at_logits);
            let n = chunk.inputs.nrows();
            for (mut sum, at_logits) in sum.outer_iter_mut().zip(at_logits.axis_chunks_iter(Axis(0), n)) {
                let sum = sum.as_slice_mut().expect("rows are contiguous");
                self.objective.model.body().backward(
                    weights,
                    chunk.inputs,
                    &chunk.tape,
                    at_logits.to_owned(),
                    sum,
                    false,
                );
            }
        })
    }

    /// Number of columns of the root of the logit Hessian.
    fn root_columns(&self) -> usize {
        self.objective.model.output_count()
    }

    /// Column `column` of the roots `S_i` of the logit Hessians of some samples, `n x outputs`, scaled so that
    /// squares of gradients add up to the mean's.
    fn root(&self, logits: ArrayView2<f64>, column: usize) -> Array2<f64> {
        let mut out = Array2::zeros(logits.dim());
        for (mut out, logits) in out.outer_iter_mut().zip(logits.outer_iter()) {
            let out = out.as_slice_mut().expect("rows are contiguous");
            self.objective.loss.hessian_root(row(&logits), column, out);
        }
        out *= self.objective.weight().sqrt();
        out
    }

    /// The diagonal of the Gauss-Newton matrix: `G_jj = 1/n sum_i sum_c (S_i[:, c] . d f_i / d theta_j)^2`,
    /// with `S_i S_i^T` the logit Hessian; exact, at the cost of one backward pass a logit.
    ///
    /// It is the diagonal of the Hessian too where the model [is piecewise linear](Model::is_piecewise_linear).
    pub fn gauss_newton_diagonal(&self) -> Vec<f64> {
        self.sum_squares(self.theta.len(), |sum, chunk, root| {
            let weights = self.objective.model.weights(self.theta, self.objective.buffers);
            self.objective.model.body().squared_gradient(weights, chunk.inputs, &chunk.tape, root, sum, false);
        })
    }

    /// Traces of the Gauss-Newton matrix' diagonal blocks, one a parameter tensor; exact, and cheaper
    /// than [`Linearisation::gauss_newton_diagonal`].
    pub fn gauss_newton_block_traces(&self) -> Vec<f64> {
        self.sum_squares(self.objective.model.tensors().len(), |sum, chunk, root| {
            let weights = self.objective.model.weights(self.theta, self.objective.buffers);
            self.objective.model.body().squared_gradient_norms(weights, chunk.inputs, &chunk.tape, root, sum, false);
        })
    }

    /// The loss-weighted Jacobian `R`, `n outputs x parameters`, with `G = R^T R`: row `(i, c)` is the
    /// gradient of `S_i[:, c] . f_i`, `S_i S_i^T` the logit Hessian of the mean at sample `i`.
    pub fn root_jacobian(&self) -> Array2<f64> {
        let weights = self.objective.model.weights(self.theta, self.objective.buffers);
        let body = self.objective.model.body();
        let outputs = self.root_columns();
        let mut rows = Array2::zeros((self.objective.sample_count() * outputs, self.theta.len()));
        rows.axis_chunks_iter_mut(Axis(0), outputs)
            .into_par_iter()
            .zip(self.objective.inputs.axis_chunks_iter(Axis(0), 1))
            .for_each(|(mut rows, input)| {
                let tape = body.forward(weights, input, Mode::Eval);
                for (column, mut gradient) in rows.outer_iter_mut().enumerate() {
                    let at_logits = self.root(tape.output(), column);
                    let gradient = gradient.as_slice_mut().expect("rows are contiguous");
                    body.backward(weights, input, &tape, at_logits, gradient, false);
                }
            });
        rows
    }

    fn sum_squares(&self, len: usize, add: impl Fn(&mut [f64], &Chunk, Array2<f64>) + Sync) -> Vec<f64> {
        let mut total = vec![0.0; len];
        let lanes = add_in_lanes(&self.chunks, LANES, vec![0.0; len], |sum, chunk| {
            for column in 0..self.root_columns() {
                add(sum, chunk, self.root(chunk.tape.output(), column));
            }
        });
        for lane in lanes {
            crate::numeric::linalg::add_scaled(&mut total, 1.0, &lane);
        }
        total
    }
}
