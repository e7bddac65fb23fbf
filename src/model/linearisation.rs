//! The passes of an objective at one point, kept for products with its Hessian and its Gauss-Newton matrix.

use crate::model::Objective;
use crate::model::layer::{Adjoints, Mode, Tape};
use crate::model::objective::{LANES, add_in_lanes, row};
use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};

impl<'a> Objective<'a> {
    /// Everything needed for derivatives at `theta`, computed once.
    pub fn linearise(&self, theta: &'a [f64]) -> Linearisation<'a> {
        Linearisation::new(*self, theta)
    }
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
    /// It is the diagonal of the Hessian too where the model [is piecewise linear](crate::model::Model::is_piecewise_linear).
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
