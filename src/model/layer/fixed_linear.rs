//! Layers without parameters whose output is, once the forward pass is done, a linear map of the
//! input: poolings. All their passes are that map or its transpose.

use super::{AdjointPass, Layer, Mode, Pass, Saved, SavedAdjoint, Weights};
use ndarray::{Array2, ArrayView2, ArrayViewMut2};

/// A map of each row of a batch; the forward pass fixes it, later passes apply it.
pub(crate) trait LinearMap: Send + Sync + std::fmt::Debug {
    /// Shape of one output.
    fn output_shape(&self) -> Vec<usize>;

    /// Features of one input.
    fn inputs(&self) -> usize;

    /// What the forward pass must keep to fix the map.
    fn fix(&self, _input: ArrayView2<f64>) -> Saved {
        Saved::None
    }

    /// Applies sample `sample`'s map; `output` starts as zeros.
    fn apply(&self, saved: &Saved, sample: usize, input: &[f64], output: &mut [f64]);

    /// Adds the transposed map of `output` to `input`.
    fn add_transposed(&self, saved: &Saved, sample: usize, output: &[f64], input: &mut [f64]);
}

/// A [`LinearMap`] as a layer.
#[derive(Debug)]
pub(crate) struct LinearLayer<M>(pub M);

impl<M: LinearMap> LinearLayer<M> {
    fn outputs(&self) -> usize {
        self.0.output_shape().iter().product()
    }

    /// Rows may stack several blocks of `n` samples.
    fn map_rows(
        rows: ArrayView2<f64>,
        n: usize,
        columns: usize,
        map: impl Fn(usize, &[f64], &mut [f64]),
    ) -> Array2<f64> {
        let mut out = Array2::zeros((rows.nrows(), columns));
        for (index, (row, mut out)) in rows.outer_iter().zip(out.outer_iter_mut()).enumerate() {
            let row = row.to_slice().expect("batches are stored row by row");
            map(index % n, row, out.as_slice_mut().expect("rows are contiguous"));
        }
        out
    }

    fn transposed(&self, pass: Pass, gradient: ArrayView2<f64>) -> Array2<f64> {
        Self::map_rows(gradient, pass.input.nrows(), self.0.inputs(), |sample, output, input| {
            self.0.add_transposed(pass.saved, sample, output, input);
        })
    }
}

impl<M: LinearMap> Layer for LinearLayer<M> {
    fn output_shape(&self) -> Vec<usize> {
        self.0.output_shape()
    }

    fn forward(&self, _weights: Weights, input: ArrayView2<f64>, _mode: Mode) -> (Array2<f64>, Saved) {
        let saved = self.0.fix(input);
        let output = Self::map_rows(input, input.nrows(), self.outputs(), |sample, input, output| {
            self.0.apply(&saved, sample, input, output);
        });
        (output, saved)
    }

    fn backward(
        &self,
        pass: Pass,
        gradient: ArrayView2<f64>,
        _theta_gradient: &mut [f64],
        want_input: bool,
    ) -> (Option<Array2<f64>>, SavedAdjoint) {
        (want_input.then(|| self.transposed(pass, gradient)), SavedAdjoint::None)
    }

    fn tangent(&self, pass: Pass, input_dot: Option<ArrayView2<f64>>, directions: ArrayView2<f64>) -> Array2<f64> {
        let n = pass.input.nrows();
        match input_dot {
            Some(input_dot) => Self::map_rows(input_dot, n, self.outputs(), |sample, input, output| {
                self.0.apply(pass.saved, sample, input, output);
            }),
            None => Array2::zeros((directions.nrows() * n, self.outputs())),
        }
    }

    fn backward_tangent(
        &self,
        pass: Pass,
        adjoint: AdjointPass,
        _theta_gradient_dot: ArrayViewMut2<f64>,
    ) -> Option<Array2<f64>> {
        adjoint.want_input.then(|| self.transposed(pass, adjoint.gradient_dot))
    }

    fn squared_gradient(
        &self,
        pass: Pass,
        gradient: ArrayView2<f64>,
        _squares: &mut [f64],
        want_input: bool,
    ) -> Option<Array2<f64>> {
        want_input.then(|| self.transposed(pass, gradient))
    }

    fn squared_gradient_norms(
        &self,
        pass: Pass,
        gradient: ArrayView2<f64>,
        _squares: &mut [f64],
        want_input: bool,
    ) -> Option<Array2<f64>> {
        want_input.then(|| self.transposed(pass, gradient))
    }
}
