//! Channels, height and width to one vector; batches are flattened already, so nothing moves.

use super::{AdjointPass, Layer, Mode, Pass, Saved, SavedAdjoint, Weights};
use ndarray::{Array2, ArrayView2, ArrayViewMut2};

/// A flatten layer.
#[derive(Debug, Clone)]
pub(crate) struct Flatten {
    features: usize,
}

impl Flatten {
    pub fn new(features: usize) -> Self {
        Self { features }
    }
}

impl Layer for Flatten {
    fn output_shape(&self) -> Vec<usize> {
        vec![self.features]
    }

    fn forward(&self, _weights: Weights, input: ArrayView2<f64>, _mode: Mode) -> (Array2<f64>, Saved) {
        (input.to_owned(), Saved::None)
    }

    fn backward(
        &self,
        _pass: Pass,
        gradient: ArrayView2<f64>,
        _theta_gradient: &mut [f64],
        want_input: bool,
    ) -> (Option<Array2<f64>>, SavedAdjoint) {
        (want_input.then(|| gradient.to_owned()), SavedAdjoint::None)
    }

    fn tangent(&self, pass: Pass, input_dot: Option<ArrayView2<f64>>, directions: ArrayView2<f64>) -> Array2<f64> {
        match input_dot {
            Some(input_dot) => input_dot.to_owned(),
            None => Array2::zeros((directions.nrows() * pass.input.nrows(), self.features)),
        }
    }

    fn backward_tangent(
        &self,
        _pass: Pass,
        adjoint: AdjointPass,
        _theta_gradient_dot: ArrayViewMut2<f64>,
    ) -> Option<Array2<f64>> {
        adjoint.want_input.then(|| adjoint.gradient_dot.to_owned())
    }

    fn squared_gradient(
        &self,
        _pass: Pass,
        gradient: ArrayView2<f64>,
        _squares: &mut [f64],
        want_input: bool,
    ) -> Option<Array2<f64>> {
        want_input.then(|| gradient.to_owned())
    }

    fn squared_gradient_norms(
        &self,
        _pass: Pass,
        gradient: ArrayView2<f64>,
        _squares: &mut [f64],
        want_input: bool,
    ) -> Option<Array2<f64>> {
        want_input.then(|| gradient.to_owned())
    }
}
