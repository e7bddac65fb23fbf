//! Batch normalisation of channels (Ioffe and Szegedy 2015).

use super::{AdjointPass, Layer, Mode, Moments, Pass, Role, Saved, SavedAdjoint, TensorSpec, Weights};
use crate::model::BATCH_NORM_EPSILON;
use ndarray::{Array2, ArrayView2, ArrayViewMut2};

/// `y = scale (x - mean) / sqrt(variance + epsilon) + shift`, channel by channel: with the stored mean
/// and variance, or in [`Mode::Train`] with those of the batch, through which derivatives then pass.
#[derive(Debug, Clone)]
pub(crate) struct BatchNorm {
    shape: Vec<usize>,
    channels: usize,
    positions: usize,
}

/// The entries of one channel in `n` rows from `first` on, sample by sample.
fn channel(rows: ArrayView2<f64>, first: usize, n: usize, channel: usize, positions: usize) -> Vec<f64> {
    let columns = rows.ncols();
    let all = rows.to_slice().expect("batches are stored row by row");
    (first..first + n).flat_map(|row| &all[row * columns + channel * positions..][..positions]).copied().collect()
}

fn put_channel(rows: &mut Array2<f64>, first: usize, n: usize, channel: usize, positions: usize, values: &[f64]) {
    let columns = rows.ncols();
    let all = rows.as_slice_mut().expect("owned arrays are contiguous");
    for (row, values) in (first..first + n).zip(values.chunks_exact(positions)) {
        all[row * columns + channel * positions..][..positions].copy_from_slice(values);
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn sum_products(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn mean_product(a: &[f64], b: &[f64]) -> f64 {
    sum_products(a, b) / a.len() as f64
}

/// One channel of a pass: what normalises it.
struct Channel<'a> {
    mode: Mode,
    scale: f64,
    inverse_std: f64,
    normalised: &'a [f64],
}

impl Channel<'_> {
    /// `v`, or in train mode `v - mean(v) - x^ mean(x^ v)`: what is left of a change of the input, or of a
    /// gradient, once the statistics have followed it.
    fn project(&self, v: &[f64]) -> Vec<f64> {
        match self.mode {
            Mode::Eval => v.to_vec(),
            Mode::Train => {
                let (mean, along) = (mean(v), mean_product(self.normalised, v));
                v.iter().zip(self.normalised).map(|(v, x)| v - mean - x * along).collect()
            }
        }
    }

    /// Change of the normalised values along a change of the input.
    fn normalised_dot(&self, input_dot: &[f64]) -> Vec<f64> {
        let mut out = self.project(input_dot);
        out.iter_mut().for_each(|value| *value *= self.inverse_std);
        out
    }

    fn input_gradient(&self, gradient: &[f64]) -> Vec<f64> {
        let mut out = self.project(gradient);
        out.iter_mut().for_each(|value| *value *= self.scale * self.inverse_std);
        out
    }

    /// Change of [`Channel::input_gradient`] along changes of the scale, the gradient and the input.
    fn input_gradient_dot(
        &self,
        scale_dot: f64,
        gradient: &[f64],
        gradient_dot: &[f64],
        input_dot: Option<&[f64]>,
    ) -> Vec<f64> {
        let mut out = self.input_gradient(gradient_dot);
        let mut factor = scale_dot * self.inverse_std;
        if let (Mode::Train, Some(input_dot)) = (self.mode, input_dot) {
            let std_dot = mean_product(self.normalised, input_dot);
            factor -= self.scale * self.inverse_std * self.inverse_std * std_dot;
            let dot = self.normalised_dot(input_dot);
            let (along, along_dot) = (mean_product(self.normalised, gradient), mean_product(&dot, gradient));
            for ((out, dot), x) in out.iter_mut().zip(&dot).zip(self.normalised) {
                *out -= self.scale * self.inverse_std * (dot * along + x * along_dot);
            }
        }
        for (out, projected) in out.iter_mut().zip(self.project(gradient)) {
            *out += factor * projected;
        }
        out
    }
}

impl BatchNorm {
    pub fn new(shape: Vec<usize>) -> Self {
        let (channels, positions) = (shape[0], shape[1..].iter().product());
        Self { shape, channels, positions }
    }

    fn features(&self) -> usize {
        self.channels * self.positions
    }

    /// The normalised values of channel `c`, and what normalised them.
    fn with_channel<T>(&self, pass: Pass, c: usize, then: impl FnOnce(Channel) -> T) -> T {
        let Saved::Moments(moments) = pass.saved else { panic!("a batch norm reads what it kept") };
        let mut normalised = channel(pass.input, 0, pass.input.nrows(), c, self.positions);
        normalised.iter_mut().for_each(|x| *x = (*x - moments.mean[c]) * moments.inverse_std[c]);
        then(Channel {
            mode: moments.mode,
            scale: pass.weights.theta[c],
            inverse_std: moments.inverse_std[c],
            normalised: &normalised,
        })
    }

    fn input_gradient(&self, pass: Pass, gradient: ArrayView2<f64>, want_input: bool) -> Option<Array2<f64>> {
        want_input.then(|| {
            let n = gradient.nrows();
            let mut out = Array2::zeros(gradient.dim());
            for c in 0..self.channels {
                let gradient = channel(gradient, 0, n, c, self.positions);
                let values = self.with_channel(pass, c, |channel| channel.input_gradient(&gradient));
                put_channel(&mut out, 0, n, c, self.positions, &values);
            }
            out
        })
    }

    /// Calls `each(channel, gradient of the scale, gradient of the shift)` for every sample.
    fn each_gradient(&self, pass: Pass, gradient: ArrayView2<f64>, mut each: impl FnMut(usize, f64, f64)) {
        let Saved::Moments(moments) = pass.saved else { panic!("a batch norm reads what it kept") };
        assert_eq!(moments.mode, Mode::Eval, "samples have gradients of their own only under stored statistics");
        for c in 0..self.channels {
            let gradient = channel(gradient, 0, gradient.nrows(), c, self.positions);
            self.with_channel(pass, c, |channel| {
                let samples =
                    gradient.chunks_exact(self.positions).zip(channel.normalised.chunks_exact(self.positions));
                for (gradient, normalised) in samples {
                    each(c, sum_products(gradient, normalised), gradient.iter().sum());
                }
            });
        }
    }
}

impl Layer for BatchNorm {
    fn output_shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn tensors(&self) -> Vec<TensorSpec> {
        let spec = |name, role| TensorSpec { name, shape: vec![self.channels], role, fan_in: 1, layer: 0 };
        vec![spec("weight", Role::Scale), spec("bias", Role::Shift)]
    }

    fn buffers(&self) -> Vec<TensorSpec> {
        let spec = |name, role| TensorSpec { name, shape: vec![self.channels], role, fan_in: 1, layer: 0 };
        vec![spec("running_mean", Role::Shift), spec("running_var", Role::Scale)]
    }

    fn statistics(&self, saved: &Saved) -> Vec<f64> {
        let Saved::Moments(moments) = saved else { panic!("a batch norm reads what it kept") };
        assert_eq!(moments.mode, Mode::Train, "a batch has statistics of its own in train mode only");
        // PyTorch stores the unbiased variance, and normalises by the biased one.
        let unbiased = moments.count as f64 / (moments.count as f64 - 1.0);
        let variances = moments.variance.iter().map(|variance| variance * unbiased);
        moments.mean.iter().copied().chain(variances).collect()
    }

    fn forward(&self, weights: Weights, input: ArrayView2<f64>, mode: Mode) -> (Array2<f64>, Saved) {
        let n = input.nrows();
        let (scale, shift) = weights.theta.split_at(self.channels);
        let count = n * self.positions;
        let (mean, variance): (Vec<f64>, Vec<f64>) = match mode {
            Mode::Eval => {
                let (mean, variance) = weights.buffers.split_at(self.channels);
                (mean.to_vec(), variance.to_vec())
            }
            Mode::Train => (0..self.channels)
                .map(|c| {
                    let values = channel(input, 0, n, c, self.positions);
                    let mean = mean(&values);
                    (mean, values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count as f64)
                })
                .unzip(),
        };
        let inverse_std: Vec<f64> =
            variance.iter().map(|variance| 1.0 / (variance + BATCH_NORM_EPSILON).sqrt()).collect();
        let mut output = input.as_standard_layout().into_owned();
        for mut row in output.outer_iter_mut() {
            let row = row.as_slice_mut().expect("rows are contiguous");
            for (c, plane) in row.chunks_exact_mut(self.positions).enumerate() {
                plane.iter_mut().for_each(|x| *x = (*x - mean[c]) * inverse_std[c] * scale[c] + shift[c]);
            }
        }
        (output, Saved::Moments(Moments { mode, count, mean, variance, inverse_std }))
    }

    fn backward(
        &self,
        pass: Pass,
        gradient: ArrayView2<f64>,
        theta_gradient: &mut [f64],
        want_input: bool,
    ) -> (Option<Array2<f64>>, SavedAdjoint) {
        for c in 0..self.channels {
            let gradient = channel(gradient, 0, gradient.nrows(), c, self.positions);
            self.with_channel(pass, c, |channel| {
                theta_gradient[c] += sum_products(&gradient, channel.normalised);
                theta_gradient[self.channels + c] += gradient.iter().sum::<f64>();
            });
        }
        (self.input_gradient(pass, gradient, want_input), SavedAdjoint::None)
    }

    fn tangent(&self, pass: Pass, input_dot: Option<ArrayView2<f64>>, directions: ArrayView2<f64>) -> Array2<f64> {
        let (n, k) = (pass.input.nrows(), directions.nrows());
        let mut out = Array2::zeros((k * n, self.features()));
        for c in 0..self.channels {
            self.with_channel(pass, c, |this| {
                for j in 0..k {
                    let (scale_dot, shift_dot) = (directions[[j, c]], directions[[j, self.channels + c]]);
                    let mut values: Vec<f64> = this.normalised.iter().map(|x| scale_dot * x + shift_dot).collect();
                    if let Some(input_dot) = input_dot {
                        let input_dot = channel(input_dot, j * n, n, c, self.positions);
                        for (value, dot) in values.iter_mut().zip(this.normalised_dot(&input_dot)) {
                            *value += this.scale * dot;
                        }
                    }
                    put_channel(&mut out, j * n, n, c, self.positions, &values);
                }
            });
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
        let mut out = adjoint.want_input.then(|| Array2::zeros((k * n, self.features())));
        for c in 0..self.channels {
            let gradient = channel(adjoint.gradient, 0, n, c, self.positions);
            self.with_channel(pass, c, |this| {
                for j in 0..k {
                    let gradient_dot = channel(adjoint.gradient_dot, j * n, n, c, self.positions);
                    let input_dot = adjoint.input_dot.map(|dots| channel(dots, j * n, n, c, self.positions));
                    theta_gradient_dot[[j, c]] += sum_products(&gradient_dot, this.normalised);
                    if let Some(input_dot) = &input_dot {
                        theta_gradient_dot[[j, c]] += sum_products(&gradient, &this.normalised_dot(input_dot));
                    }
                    theta_gradient_dot[[j, self.channels + c]] += gradient_dot.iter().sum::<f64>();
                    if let Some(out) = &mut out {
                        let scale_dot = adjoint.directions[[j, c]];
                        let values = this.input_gradient_dot(scale_dot, &gradient, &gradient_dot, input_dot.as_deref());
                        put_channel(out, j * n, n, c, self.positions, &values);
                    }
                }
            });
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
        self.each_gradient(pass, gradient, |c, scale, shift| {
            squares[c] += scale * scale;
            squares[self.channels + c] += shift * shift;
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
        self.each_gradient(pass, gradient, |_, scale, shift| {
            squares[0] += scale * scale;
            squares[1] += shift * shift;
        });
        self.input_gradient(pass, gradient, want_input)
    }
}
