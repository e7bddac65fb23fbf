//! Two-dimensional convolution with zero padding, as products of the kernel with the windows' patches.

use super::{AdjointPass, Layer, Mode, Pass, Role, Saved, SavedAdjoint, TensorSpec, Weights, Window};
use crate::numeric::linalg::gemm;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};

/// A convolution layer; weights of shape (outputs, inputs, height, width).
#[derive(Debug, Clone)]
pub(crate) struct Conv {
    window: Window,
    outputs: usize,
    bias: bool,
}

fn plane(values: &[f64], rows: usize, columns: usize) -> ArrayView2<'_, f64> {
    ArrayView2::from_shape((rows, columns), values).expect("the values fit the layer")
}

fn plane_mut(values: &mut [f64], rows: usize, columns: usize) -> ArrayViewMut2<'_, f64> {
    ArrayViewMut2::from_shape((rows, columns), values).expect("the values fit the layer")
}

fn row_of<'a>(rows: &'a ArrayView2<f64>, index: usize) -> &'a [f64] {
    &rows.as_slice().expect("batches are stored row by row")[index * rows.ncols()..(index + 1) * rows.ncols()]
}

fn add_row_sums(gradient: ArrayView2<f64>, bias: &mut [f64]) {
    for (bias, row) in bias.iter_mut().zip(gradient.outer_iter()) {
        *bias += row.sum();
    }
}

/// Patches of one image; those of pointwise windows are the image.
struct Patches<'a> {
    window: &'a Window,
    storage: Vec<f64>,
}

impl<'a> Patches<'a> {
    fn new(window: &'a Window) -> Self {
        let len = if window.is_pointwise() { 0 } else { window.taps() * window.positions() };
        Self { window, storage: vec![0.0; len] }
    }

    fn of<'b>(&'b mut self, image: &'b [f64]) -> ArrayView2<'b, f64> {
        let values = if self.window.is_pointwise() {
            image
        } else {
            self.window.gather(image, &mut self.storage);
            &self.storage
        };
        plane(values, self.window.taps(), self.window.positions())
    }
}

impl Conv {
    pub fn new(window: Window, outputs: usize, bias: bool) -> Self {
        Self { window, outputs, bias }
    }

    fn weight_len(&self) -> usize {
        self.outputs * self.window.taps()
    }

    fn weight<'a>(&self, theta: &'a [f64]) -> ArrayView2<'a, f64> {
        plane(&theta[..self.weight_len()], self.outputs, self.window.taps())
    }

    fn weight_mut<'a>(&self, theta: &'a mut [f64]) -> ArrayViewMut2<'a, f64> {
        plane_mut(theta, self.outputs, self.window.taps())
    }

    /// One sample's rows of gradient or output as `outputs x positions`.
    fn volume<'a>(&self, rows: &'a ArrayView2<f64>, index: usize) -> ArrayView2<'a, f64> {
        plane(row_of(rows, index), self.outputs, self.window.positions())
    }

    fn inputs(&self) -> usize {
        self.window.channels * self.window.input_positions()
    }

    fn features(&self) -> usize {
        self.outputs * self.window.positions()
    }

    /// Adds `kernel^T gradient`, laid back onto the image.
    fn add_input_gradient(&self, kernel: ArrayView2<f64>, gradient: ArrayView2<f64>, image: &mut [f64]) {
        if self.window.is_pointwise() {
            gemm(plane_mut(image, self.window.taps(), self.window.positions()), true, kernel.t(), gradient, 1.0);
        } else {
            let mut patches = Array2::zeros((self.window.taps(), self.window.positions()));
            gemm(patches.view_mut(), false, kernel.t(), gradient, 1.0);
            self.window.scatter(patches.as_slice().expect("owned arrays are contiguous"), image);
        }
    }

    fn input_gradient(&self, pass: Pass, gradient: ArrayView2<f64>, want_input: bool) -> Option<Array2<f64>> {
        want_input.then(|| {
            let mut out = Array2::zeros((gradient.nrows(), self.inputs()));
            for (index, mut image) in out.outer_iter_mut().enumerate() {
                let image = image.as_slice_mut().expect("rows are contiguous");
                self.add_input_gradient(self.weight(pass.weights.theta), self.volume(&gradient, index), image);
            }
            out
        })
    }

    /// Calls `each` with every sample's own gradient: of the weights, and of the biases.
    fn each_gradient(&self, pass: Pass, gradient: ArrayView2<f64>, mut each: impl FnMut(&Array2<f64>, &[f64])) {
        let mut patches = Patches::new(&self.window);
        let mut weight = Array2::zeros((self.outputs, self.window.taps()));
        let mut bias = vec![0.0; self.outputs];
        for index in 0..gradient.nrows() {
            let gradient = self.volume(&gradient, index);
            gemm(weight.view_mut(), false, gradient, patches.of(row_of(&pass.input, index)).t(), 1.0);
            bias.fill(0.0);
            add_row_sums(gradient, &mut bias);
            each(&weight, &bias);
        }
    }
}

impl Layer for Conv {
    fn output_shape(&self) -> Vec<usize> {
        vec![self.outputs, self.window.output[0], self.window.output[1]]
    }

    fn tensors(&self) -> Vec<TensorSpec> {
        let Window { channels, size: [height, width], .. } = self.window;
        let spec = |name, shape, role| TensorSpec { name, shape, role, fan_in: self.window.taps(), layer: 0 };
        let mut tensors = vec![spec("weight", vec![self.outputs, channels, height, width], Role::Weight)];
        if self.bias {
            tensors.push(spec("bias", vec![self.outputs], Role::Bias));
        }
        tensors
    }

    fn forward(&self, weights: Weights, input: ArrayView2<f64>, _mode: Mode) -> (Array2<f64>, Saved) {
        let positions = self.window.positions();
        let mut patches = Patches::new(&self.window);
        let mut output = Array2::zeros((input.nrows(), self.features()));
        for (index, mut row) in output.outer_iter_mut().enumerate() {
            let row = row.as_slice_mut().expect("rows are contiguous");
            for (plane, bias) in row.chunks_exact_mut(positions).zip(&weights.theta[self.weight_len()..]) {
                plane.fill(*bias);
            }
            let patches = patches.of(row_of(&input, index));
            gemm(plane_mut(row, self.outputs, positions), true, self.weight(weights.theta), patches, 1.0);
        }
        (output, Saved::None)
    }

    fn backward(
        &self,
        pass: Pass,
        gradient: ArrayView2<f64>,
        theta_gradient: &mut [f64],
        want_input: bool,
    ) -> (Option<Array2<f64>>, SavedAdjoint) {
        let (weight, bias) = theta_gradient.split_at_mut(self.weight_len());
        let mut patches = Patches::new(&self.window);
        for index in 0..gradient.nrows() {
            let gradient = self.volume(&gradient, index);
            gemm(self.weight_mut(weight), true, gradient, patches.of(row_of(&pass.input, index)).t(), 1.0);
            add_row_sums(gradient, bias);
        }
        (self.input_gradient(pass, gradient, want_input), SavedAdjoint::None)
    }

    fn tangent(&self, pass: Pass, input_dot: Option<ArrayView2<f64>>, directions: ArrayView2<f64>) -> Array2<f64> {
        let (n, k) = (pass.input.nrows(), directions.nrows());
        let positions = self.window.positions();
        let (mut patches, mut patches_dot) = (Patches::new(&self.window), Patches::new(&self.window));
        let mut out = Array2::zeros((k * n, self.features()));
        for index in 0..n {
            let patches = patches.of(row_of(&pass.input, index));
            for (j, direction) in directions.outer_iter().enumerate() {
                let direction = direction.to_slice().expect("directions are stored row by row");
                let mut row = out.row_mut(j * n + index);
                let row = row.as_slice_mut().expect("rows are contiguous");
                for (plane, bias) in row.chunks_exact_mut(positions).zip(&direction[self.weight_len()..]) {
                    plane.fill(*bias);
                }
                let mut row = plane_mut(row, self.outputs, positions);
                gemm(row.view_mut(), true, self.weight(direction), patches, 1.0);
                if let Some(input_dot) = &input_dot {
                    let patches_dot = patches_dot.of(row_of(input_dot, j * n + index));
                    gemm(row, true, self.weight(pass.weights.theta), patches_dot, 1.0);
                }
            }
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
        let (mut patches, mut patches_dot) = (Patches::new(&self.window), Patches::new(&self.window));
        let mut out = adjoint.want_input.then(|| Array2::zeros((k * n, self.inputs())));
        for index in 0..n {
            let patches = patches.of(row_of(&pass.input, index));
            let gradient = self.volume(&adjoint.gradient, index);
            for j in 0..k {
                let gradient_dot = self.volume(&adjoint.gradient_dot, j * n + index);
                let mut row = theta_gradient_dot.row_mut(j);
                let row = row.as_slice_mut().expect("directions are stored row by row");
                let (weight, bias) = row.split_at_mut(self.weight_len());
                gemm(self.weight_mut(weight), true, gradient_dot, patches.t(), 1.0);
                if let Some(input_dot) = &adjoint.input_dot {
                    let patches_dot = patches_dot.of(row_of(input_dot, j * n + index));
                    gemm(self.weight_mut(weight), true, gradient, patches_dot.t(), 1.0);
                }
                add_row_sums(gradient_dot, bias);
                if let Some(out) = &mut out {
                    let direction = adjoint.directions.row(j);
                    let direction = direction.to_slice().expect("directions are stored row by row");
                    let mut image = out.slice_mut(s![j * n + index, ..]);
                    let image = image.as_slice_mut().expect("rows are contiguous");
                    self.add_input_gradient(self.weight(pass.weights.theta), gradient_dot, image);
                    self.add_input_gradient(self.weight(direction), gradient, image);
                }
            }
        }
        out
    }

    fn squared_gradient(
        &self,
        pass: Pass,
        gradient: ArrayView2<f64>,
        squares: &mut [f64],
        want_input: bool,
    ) -> Option<Array2<f64>> {
        self.each_gradient(pass, gradient, |weight, bias| {
            for (square, value) in squares.iter_mut().zip(weight.iter().chain(bias)) {
                *square += value * value;
            }
        });
        self.input_gradient(pass, gradient, want_input)
    }

    fn squared_gradient_norms(
        &self,
        pass: Pass,
        gradient: ArrayView2<f64>,
        squares: &mut [f64],
        want_input: bool,
    ) -> Option<Array2<f64>> {
        self.each_gradient(pass, gradient, |weight, bias| {
            squares[0] += weight.iter().map(|value| value * value).sum::<f64>();
            if self.bias {
                squares[1] += bias.iter().map(|value| value * value).sum::<f64>();
            }
        });
        self.input_gradient(pass, gradient, want_input)
    }
}
