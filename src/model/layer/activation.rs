//! Elementwise nonlinearities: ReLU, tanh, erf.

use super::{AdjointPass, Layer, Mode, Pass, Saved, SavedAdjoint, Weights};
use crate::model::architecture::Activation;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, Zip};

/// `|tanh|` up to which `1 - tanh^2` is taken as it stands, good to a thousand roundings (`1e-13`).
const SATURATION: f64 = 0.999;

/// An activation applied to each feature.
#[derive(Debug, Clone)]
pub(crate) struct ActivationLayer {
    activation: Activation,
    shape: Vec<usize>,
}

impl ActivationLayer {
    pub fn new(activation: Activation, shape: Vec<usize>) -> Self {
        Self { activation, shape }
    }

    fn value(&self, x: f64) -> f64 {
        match self.activation {
            // Not `max`, which would turn NaN into 0.
            Activation::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Activation::Tanh => x.tanh(),
            Activation::Erf => libm::erf(x),
        }
    }

    /// First derivative, from input and output.
    fn first(&self, x: f64, y: f64) -> f64 {
        match self.activation {
            Activation::Relu => f64::from(u8::from(x > 0.0)),
            // The difference loses the digits of its small value, so towards saturation it is sech^2 of the input.
            Activation::Tanh if y.abs() <= SATURATION => 1.0 - y * y,
            Activation::Tanh => {
                let e = (-2.0 * x.abs()).exp();
                4.0 * e / ((1.0 + e) * (1.0 + e))
            }
            Activation::Erf => std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp(),
        }
    }

    /// Second derivative, from input and output.
    fn second(&self, x: f64, y: f64) -> f64 {
        match self.activation {
            Activation::Relu => 0.0,
            Activation::Tanh => -2.0 * y * self.first(x, y),
            Activation::Erf => -2.0 * x * self.first(x, y),
        }
    }

    fn times_first(&self, pass: Pass, values: ArrayView2<f64>) -> Array2<f64> {
        let mut out = values.to_owned();
        let rows = pass.input.nrows().max(1);
        if self.is_piecewise_linear() || values.nrows() <= rows {
            for block in out.axis_chunks_iter_mut(Axis(0), rows) {
                Zip::from(block).and(pass.input).and(pass.output).for_each(|value, &x, &y| *value *= self.first(x, y));
            }
            return out;
        }
        // Several directions share their slopes.
        let slopes = Zip::from(pass.input).and(pass.output).map_collect(|&x, &y| self.first(x, y));
        for mut block in out.axis_chunks_iter_mut(Axis(0), rows) {
            block *= &slopes;
        }
        out
    }
}

impl Layer for ActivationLayer {
    fn output_shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn is_piecewise_linear(&self) -> bool {
        self.activation == Activation::Relu
    }

    fn forward(&self, _weights: Weights, input: ArrayView2<f64>, _mode: Mode) -> (Array2<f64>, Saved) {
        (input.mapv(|x| self.value(x)), Saved::None)
    }

    fn backward(
        &self,
        pass: Pass,
        gradient: ArrayView2<f64>,
        _theta_gradient: &mut [f64],
        want_input: bool,
    ) -> (Option<Array2<f64>>, SavedAdjoint) {
        (want_input.then(|| self.times_first(pass, gradient)), SavedAdjoint::None)
    }

    fn tangent(&self, pass: Pass, input_dot: Option<ArrayView2<f64>>, directions: ArrayView2<f64>) -> Array2<f64> {
        match input_dot {
            Some(input_dot) => self.times_first(pass, input_dot),
            None => Array2::zeros((directions.nrows() * pass.input.nrows(), pass.input.ncols())),
        }
    }

    fn backward_tangent(
        &self,
        pass: Pass,
        adjoint: AdjointPass,
        _theta_gradient_dot: ArrayViewMut2<f64>,
    ) -> Option<Array2<f64>> {
        if !adjoint.want_input {
            return None;
        }
        let mut out = self.times_first(pass, adjoint.gradient_dot);
        if let Some(input_dot) = adjoint.input_dot.filter(|_| !self.is_piecewise_linear()) {
            let n = pass.input.nrows().max(1);
            for (out, input_dot) in out.axis_chunks_iter_mut(Axis(0), n).zip(input_dot.axis_chunks_iter(Axis(0), n)) {
                Zip::from(out)
                    .and(input_dot)
                    .and(adjoint.gradient)
                    .and(pass.input)
                    .and(pass.output)
                    .for_each(|out, &input_dot, &gradient, &x, &y| *out += gradient * self.second(x, y) * input_dot);
            }
        }
        Some(out)
    }

    fn squared_gradient(
        &self,
        pass: Pass,
        gradient: ArrayView2<f64>,
        _squares: &mut [f64],
        want_input: bool,
    ) -> Option<Array2<f64>> {
        want_input.then(|| self.times_first(pass, gradient))
    }

    fn squared_gradient_norms(
        &self,
        pass: Pass,
        gradient: ArrayView2<f64>,
        _squares: &mut [f64],
        want_input: bool,
    ) -> Option<Array2<f64>> {
        want_input.then(|| self.times_first(pass, gradient))
    }
}
