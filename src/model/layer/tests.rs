//! First and second directional derivatives of chains in both modes, against central differences.

use super::{Mode, Sequence, Weights, chain};
use crate::model::Padding;
use crate::model::architecture::LayerSpec;
use crate::numeric::Streams;
use crate::numeric::linalg::dot;
use ndarray::{Array2, ArrayView2};
use rand::RngExt;

/// Agreement of an analytic directional derivative with a central difference, relative to the largest
/// entry: the step `1e-5` leaves `1e-10` of curvature and `u / 1e-5 = 1e-11` of rounding, times a
/// hundredfold margin for derivatives that cancel.
const DIFFERENCE_AGREEMENT: f64 = 1e-8;

const STEP: f64 = 1e-5;

fn smooth_chain() -> Vec<LayerSpec> {
    let conv = |channels, kernel, stride, bias| LayerSpec::Conv {
        channels,
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: Padding::Same,
        bias,
    };
    vec![
        LayerSpec::BatchNorm,
        conv(3, 3, 1, true),
        LayerSpec::BatchNorm,
        LayerSpec::Tanh,
        LayerSpec::Residual {
            branch: vec![
                conv(2, 2, 2, false),
                LayerSpec::BatchNorm,
                LayerSpec::Residual { branch: vec![LayerSpec::Tanh, conv(2, 3, 1, true)], shortcut: vec![] },
            ],
            shortcut: vec![conv(2, 1, 2, false), LayerSpec::BatchNorm],
        },
        LayerSpec::Erf,
        LayerSpec::AvgPool { size: [2, 1], stride: Some([1, 1]) },
        LayerSpec::MaxPool { size: [1, 2], stride: None, padding: [0, 0] },
        LayerSpec::GlobalAvgPool,
        LayerSpec::BatchNorm,
        LayerSpec::Dense { units: 3 },
    ]
}

struct Setting {
    chain: Sequence,
    theta: Vec<f64>,
    buffers: Vec<f64>,
    inputs: Array2<f64>,
    /// Gradient at the output.
    gradient: Array2<f64>,
    /// Directions: of the input, of the parameters, of the gradient at the output.
    dots: [Array2<f64>; 3],
}

impl Setting {
    fn new() -> Self {
        let shape = [2, 5, 4];
        let chain = chain(&smooth_chain(), &shape, "").unwrap();
        let mut generator = Streams::new(9).stream("layers", 0);
        let mut normal =
            |rows, columns| Array2::from_shape_simple_fn((rows, columns), || generator.random_range(-1.0..1.0));
        let (n, k) = (6, 2);
        let (inputs, outputs) = (shape.iter().product(), chain.output_count());
        let theta = normal(1, chain.parameter_count()).into_raw_vec_and_offset().0;
        let buffers = normal(1, chain.buffer_count()).mapv(|value: f64| 1.2 + value).into_raw_vec_and_offset().0;
        let dots = [normal(k * n, inputs), normal(k, theta.len()), normal(k * n, outputs)];
        Self { theta, buffers, inputs: normal(n, inputs), gradient: normal(n, outputs), dots, chain }
    }

    /// Output, parameter gradient and input gradient where everything has moved `step` along direction `j`.
    fn at(&self, mode: Mode, j: usize, step: f64) -> [Vec<f64>; 3] {
        let n = self.inputs.nrows();
        let block = |dots: &Array2<f64>| dots.slice(ndarray::s![j * n..(j + 1) * n, ..]).to_owned() * step;
        let theta: Vec<f64> = self.theta.iter().zip(self.dots[1].row(j)).map(|(x, dot)| x + step * dot).collect();
        let inputs = &self.inputs + &block(&self.dots[0]);
        let gradient = &self.gradient + &block(&self.dots[2]);
        let weights = Weights { theta: &theta, buffers: &self.buffers };
        let tape = self.chain.forward(weights, inputs.view(), mode);
        let mut theta_gradient = vec![0.0; theta.len()];
        let (input_gradient, _) =
            self.chain.backward(weights, inputs.view(), &tape, gradient, &mut theta_gradient, true);
        let flat = |array: ArrayView2<f64>| array.iter().copied().collect();
        [flat(tape.output()), theta_gradient, flat(input_gradient.unwrap().view())]
    }
}

fn assert_close(found: &[f64], expected: &[f64], what: &str) {
    let scale = expected.iter().fold(1.0, |top: f64, x| top.max(x.abs()));
    for (index, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= DIFFERENCE_AGREEMENT * scale, "{what}, entry {index}: {a} {b}, scale {scale}");
    }
}

#[test]
fn tangents_and_their_adjoints_are_derivatives_in_both_modes() {
    let setting = Setting::new();
    let weights = Weights { theta: &setting.theta, buffers: &setting.buffers };
    let [input_dot, theta_dot, gradient_dot] = &setting.dots;
    for mode in [Mode::Eval, Mode::Train] {
        let chain = &setting.chain;
        let tape = chain.forward(weights, setting.inputs.view(), mode);
        assert_eq!(tape.output(), chain.infer(weights, setting.inputs.view(), mode));
        let mut theta_gradient = vec![0.0; setting.theta.len()];
        let (input_gradient, adjoints) =
            chain.backward(weights, setting.inputs.view(), &tape, setting.gradient.clone(), &mut theta_gradient, true);
        let dots = chain.tangent(weights, setting.inputs.view(), &tape, Some(input_dot.view()), theta_dot.view());
        let mut theta_second = Array2::zeros(theta_dot.dim());
        let input_second = chain
            .backward_tangent(
                weights,
                setting.inputs.view(),
                &tape,
                &adjoints,
                Some(input_dot.view()),
                &dots,
                theta_dot.view(),
                gradient_dot.clone(),
                theta_second.view_mut(),
                true,
            )
            .unwrap();
        let output_dot = dots.last().unwrap();
        for j in 0..theta_dot.nrows() {
            let (ahead, behind) = (setting.at(mode, j, STEP), setting.at(mode, j, -STEP));
            let difference = |index: usize| -> Vec<f64> {
                ahead[index].iter().zip(&behind[index]).map(|(a, b)| (a - b) / (2.0 * STEP)).collect()
            };
            let n = setting.inputs.nrows();
            let block = |array: &Array2<f64>| -> Vec<f64> {
                array.slice(ndarray::s![j * n..(j + 1) * n, ..]).iter().copied().collect()
            };
            assert_close(&block(output_dot), &difference(0), &format!("{mode:?}: tangent"));
            assert_close(&theta_second.row(j).to_vec(), &difference(1), &format!("{mode:?}: parameter gradient"));
            assert_close(&block(&input_second), &difference(2), &format!("{mode:?}: input gradient"));
            // The gradient itself, against the tangent: <g, J v> = <J^T g, v>.
            let through: f64 = dot(setting.gradient.as_slice().unwrap(), &block(output_dot));
            let back = dot(input_gradient.as_ref().unwrap().as_slice().unwrap(), &block(input_dot))
                + dot(&theta_gradient, &theta_dot.row(j).to_vec());
            assert!((through - back).abs() < 1e-11 * (1.0 + through.abs()), "{mode:?}: {through} {back}");
        }
    }
}

#[test]
fn the_modes_differ_and_statistics_are_those_of_the_batch() {
    let chain = chain(&[LayerSpec::BatchNorm], &[2, 1, 3], "").unwrap();
    let theta = [2.0, 1.0, 0.5, -1.0];
    let buffers = [0.0, 0.0, 1.0, 1.0];
    let weights = Weights { theta: &theta, buffers: &buffers };
    let inputs = ndarray::array![[1.0, 2.0, 3.0, 0.0, 0.0, 6.0], [4.0, 5.0, 6.0, 6.0, 6.0, 0.0]];
    let tape = chain.forward(weights, inputs.view(), Mode::Train);
    // Channel 0 holds 1 to 6: mean 3.5, variance 35/12; channel 1 three zeros and three sixes.
    let expected = [3.5, 3.0, 3.5, 10.8];
    for (found, expected) in chain.statistics(&tape).iter().zip(expected) {
        assert!((found - expected).abs() < 1e-14, "{found} {expected}");
    }
    let first = 2.0 * (1.0 - 3.5) / f64::sqrt(35.0 / 12.0 + 1e-5) + 0.5;
    assert!((tape.output()[[0, 0]] - first).abs() < 1e-14);
    let tape = chain.forward(weights, inputs.view(), Mode::Eval);
    assert!((tape.output()[[0, 0]] - (2.0 / f64::sqrt(1.0 + 1e-5) + 0.5)).abs() < 1e-14);
}
