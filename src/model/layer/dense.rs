//! The affine map `y = x W^T + b`, `W` of shape (outputs, inputs).

use super::{AdjointPass, Layer, Mode, Pass, Role, Saved, SavedAdjoint, TensorSpec, Weights};
use crate::numeric::linalg::{dot, gemm};
use ndarray::{Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis, s};

/// A dense layer.
#[derive(Debug, Clone)]
pub(crate) struct Dense {
    inputs: usize,
    outputs: usize,
}

impl Dense {
    pub fn new(inputs: usize, outputs: usize) -> Self {
        Self { inputs, outputs }
    }

    fn weight<'a>(&self, theta: &'a [f64]) -> ArrayView2<'a, f64> {
        ArrayView2::from_shape((self.outputs, self.inputs), &theta[..self.outputs * self.inputs])
            .expect("parameters fit the layer")
    }

    fn bias<'a>(&self, theta: &'a [f64]) -> ArrayView1<'a, f64> {
        ArrayView1::from(&theta[self.outputs * self.inputs..])
    }

    fn weight_mut<'a>(&self, theta: &'a mut [f64]) -> ArrayViewMut2<'a, f64> {
        ArrayViewMut2::from_shape((self.outputs, self.inputs), theta).expect("parameters fit the layer")
    }

    fn input_gradient(&self, pass: Pass, gradient: ArrayView2<f64>, want_input: bool) -> Option<Array2<f64>> {
        want_input.then(|| {
            let mut out = Array2::zeros((gradient.nrows(), self.inputs));
            gemm(out.view_mut(), false, gradient, self.weight(pass.weights.theta), 1.0);
            out
        })
    }
}

impl Layer for Dense {
    fn output_shape(&self) -> Vec<usize> {
        vec![self.outputs]
    }

    fn tensors(&self) -> Vec<TensorSpec> {
        let spec = |name, shape, role| TensorSpec { name, shape, role, fan_in: self.inputs, layer: 0 };
        vec![
            spec("weight", vec![self.outputs, self.inputs], Role::Weight),
            spec("bias", vec![self.outputs], Role::Bias),
        ]
    }

    fn forward(&self, weights: Weights, input: ArrayView2<f64>, _mode: Mode) -> (Array2<f64>, Saved) {
        let bias = self.bias(weights.theta);
        let mut output = Array2::zeros((input.nrows(), self.outputs));
        gemm(output.view_mut(), false, input, self.weight(weights.theta).t(), 1.0);
        output += &bias;
        (output, Saved::None)
    }

    fn backward(
        &self,
        pass: Pass,
        gradient: ArrayView2<f64>,
        theta_gradient: &mut [f64],
        want_input: bool,
    ) -> (Option<Array2<f64>>, SavedAdjoint) {
        let (weight, bias) = theta_gradient.split_at_mut(self.outputs * self.inputs);
        gemm(self.weight_mut(weight), true, gradient.t(), pass.input, 1.0);
        for row in gradient.outer_iter() {
            for (bias, value) in bias.iter_mut().zip(row) {
                *bias += value;
            }
        }
        (self.input_gradient(pass, gradient, want_input), SavedAdjoint::None)
    }

    fn tangent(&self, pass: Pass, input_dot: Option<ArrayView2<f64>>, directions: ArrayView2<f64>) -> Array2<f64> {
        let (n, k) = (pass.input.nrows(), directions.nrows());
        let mut out = Array2::zeros((k * n, self.outputs));
        if let Some(input_dot) = input_dot {
            gemm(out.view_mut(), false, input_dot, self.weight(pass.weights.theta).t(), 1.0);
        }
        for (j, mut block) in out.axis_chunks_iter_mut(Axis(0), n.max(1)).enumerate() {
            let theta_dot = directions.row(j);
            let theta_dot = theta_dot.as_slice().expect("directions are stored row by row");
            gemm(block.view_mut(), true, pass.input, self.weight(theta_dot).t(), 1.0);
            block += &self.bias(theta_dot);
        }
        out
    }

    fn backward_tangent(
        &self,
        pass: Pass,
        adjoint: AdjointPass,
        mut theta_gradient_dot: ArrayViewMut2<f64>,
    ) -> Option<Array2<f64>> {
        let (n, k) = (pass.input.nrows(), adjoint.directions.nrows());
        for j in 0..k {
            let rows = s![j * n..(j + 1) * n, ..];
            let gradient_dot = adjoint.gradient_dot.slice(rows);
            let mut row = theta_gradient_dot.row_mut(j);
            let out = row.as_slice_mut().expect("directions are stored row by row");
            let (weight, bias) = out.split_at_mut(self.outputs * self.inputs);
            gemm(self.weight_mut(weight), true, gradient_dot.t(), pass.input, 1.0);
            if let Some(input_dot) = adjoint.input_dot {
                gemm(self.weight_mut(weight), true, adjoint.gradient.t(), input_dot.slice(rows), 1.0);
            }
            for row in gradient_dot.outer_iter() {
                for (bias, value) in bias.iter_mut().zip(row) {
                    *bias += value;
                }
            }
        }
        adjoint.want_input.then(|| {
            let mut out = Array2::zeros((k * n, self.inputs));
            gemm(out.view_mut(), false, adjoint.gradient_dot, self.weight(pass.weights.theta), 1.0);
            for (j, block) in out.axis_chunks_iter_mut(Axis(0), n.max(1)).enumerate() {
                let theta_dot = adjoint.directions.row(j);
                let theta_dot = theta_dot.as_slice().expect("directions are stored row by row");
                gemm(block, true, adjoint.gradient, self.weight(theta_dot), 1.0);
            }
            out
        })
    }

    fn squared_gradient(
        &self,
        pass: Pass,
        gradient: ArrayView2<f64>,
        squares: &mut [f64],
        want_input: bool,
    ) -> Option<Array2<f64>> {
        // A sample's gradient is the outer product g x^T: its squares are the outer product of squares.
        let gradient_squared = gradient.mapv(|g| g * g);
        let input_squared = pass.input.mapv(|x| x * x);
        let (weight, bias) = squares.split_at_mut(self.outputs * self.inputs);
        gemm(self.weight_mut(weight), true, gradient_squared.t(), input_squared.view(), 1.0);
        for row in gradient_squared.outer_iter() {
            for (bias, value) in bias.iter_mut().zip(row) {
                *bias += value;
            }
        }
        self.input_gradient(pass, gradient, want_input)
    }

    fn squared_gradient_norms(
        &self,
        pass: Pass,
        gradient: ArrayView2<f64>,
        squares: &mut [f64],
        want_input: bool,
    ) -> Option<Array2<f64>> {
        for (gradient, input) in gradient.outer_iter().zip(pass.input.outer_iter()) {
            let bias: f64 = gradient.iter().map(|g| g * g).sum();
            let input = input.to_slice().expect("batches are stored row by row");
            squares[0] += bias * dot(input, input);
            squares[1] += bias;
        }
        self.input_gradient(pass, gradient, want_input)
    }
}
