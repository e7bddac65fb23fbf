//! Analytic kernels against the recursion they stand for, written out in four loops over positions.

use flatgauge::kernel::{self, KernelError, KernelOptions, Kind};
use flatgauge::model::{Activation, Architecture, LayerSpec, Model, Padding};
use flatgauge::numeric::Streams;
use flatgauge::numeric::tolerance::{COVARIANCE_ANGLE_ERROR, NNGP_AGREEMENT};
use ndarray::{Array2, ArrayView1};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use rand::RngExt;
use std::f64::consts::PI;

/// Kernels of one pair of inputs: covariance and tangent kernel between all positions, and the
/// covariances of each input with itself.
#[derive(Clone)]
struct Slow {
    plane: [usize; 2],
    cross: Vec<f64>,
    tangent: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Slow {
    fn data(shape: &[usize], x: ArrayView1<f64>, y: ArrayView1<f64>) -> Self {
        let plane = if shape.len() == 3 { [shape[1], shape[2]] } else { [1, 1] };
        let positions = plane[0] * plane[1];
        let products = |u: ArrayView1<f64>, v: ArrayView1<f64>| -> Vec<f64> {
            let mean = |a: usize, b: usize| -> f64 {
                (0..shape[0]).map(|c| u[c * positions + a] * v[c * positions + b]).sum::<f64>() / shape[0] as f64
            };
            (0..positions * positions).map(|ab| mean(ab / positions, ab % positions)).collect()
        };
        let tangent = vec![0.0; positions * positions];
        Self { plane, cross: products(x, y), tangent, first: products(x, x), second: products(y, y) }
    }

    /// Applies a map of four-index functions to each of the four.
    fn map(&self, plane: [usize; 2], f: impl Fn(&[f64]) -> Vec<f64>) -> Self {
        let [cross, tangent, first, second] = [&self.cross, &self.tangent, &self.first, &self.second].map(|k| f(k));
        Self { plane, cross, tangent, first, second }
    }

    fn affine(&self, bias: f64) -> Self {
        let add = |k: &[f64]| -> Vec<f64> { k.iter().map(|c| c + bias).collect() };
        let cross = add(&self.cross);
        let tangent = self.tangent.iter().zip(&cross).map(|(t, c)| t + c).collect();
        Self { plane: self.plane, tangent, cross, first: add(&self.first), second: add(&self.second) }
    }

    fn activation(&self, activation: Activation) -> Self {
        let positions = self.plane[0] * self.plane[1];
        let dual = |p: f64, q: f64, c: f64| match activation {
            Activation::Relu => {
                let sine = (p * q - c * c).max(0.0).sqrt();
                let slope = (PI - sine.atan2(c)) / (2.0 * PI);
                (sine / (2.0 * PI) + slope * c, slope)
            }
            _ => {
                let product = (1.0 + 2.0 * p) * (1.0 + 2.0 * q);
                (2.0 / PI * (2.0 * c / product.sqrt()).asin(), 4.0 / PI / (product - 4.0 * c * c).sqrt())
            }
        };
        let each = |k: &[f64], p: &[f64], q: &[f64]| -> Vec<(f64, f64)> {
            let at = |ab: usize| (ab / positions, ab % positions);
            (0..k.len())
                .map(|ab| {
                    let (a, b) = at(ab);
                    dual(p[a * positions + a], q[b * positions + b], k[ab])
                })
                .collect()
        };
        let values = |pairs: Vec<(f64, f64)>| -> Vec<f64> { pairs.into_iter().map(|pair| pair.0).collect() };
        let both = each(&self.cross, &self.first, &self.second);
        Self {
            plane: self.plane,
            tangent: self.tangent.iter().zip(&both).map(|(t, pair)| t * pair.1).collect(),
            cross: values(both),
            first: values(each(&self.first, &self.first, &self.first)),
            second: values(each(&self.second, &self.second, &self.second)),
        }
    }

    /// Sums over window entries of both positions: paired (convolution) or each with each (pooling).
    fn windows(
        &self,
        size: [usize; 2],
        stride: [usize; 2],
        before: [usize; 2],
        output: [usize; 2],
        paired: bool,
    ) -> impl Fn(&[f64]) -> Vec<f64> {
        let [height, width] = self.plane;
        move |k: &[f64]| {
            let positions = output[0] * output[1];
            let mut out = vec![0.0; positions * positions];
            let taps: Vec<[usize; 2]> = (0..size[0] * size[1]).map(|t| [t / size[1], t % size[1]]).collect();
            let source = |position: usize, tap: [usize; 2]| {
                let y = (position / output[1] * stride[0] + tap[0]).checked_sub(before[0])?;
                let x = (position % output[1] * stride[1] + tap[1]).checked_sub(before[1])?;
                (y < height && x < width).then_some(y * width + x)
            };
            for (ab, out) in out.iter_mut().enumerate() {
                for (index, tap) in taps.iter().enumerate() {
                    for (other_index, other) in taps.iter().enumerate() {
                        if paired && index != other_index {
                            continue;
                        }
                        if let (Some(a), Some(b)) = (source(ab / positions, *tap), source(ab % positions, *other)) {
                            *out += k[a * height * width + b];
                        }
                    }
                }
            }
            out
        }
    }

    fn scaled(&self, factor: f64) -> Self {
        self.map(self.plane, |k| k.iter().map(|c| c * factor).collect())
    }

    fn chain(&self, layers: &[LayerSpec], weight: f64, bias: f64) -> Self {
        layers.iter().fold(self.clone(), |state, layer| state.layer(layer, weight, bias))
    }

    fn layer(&self, layer: &LayerSpec, weight: f64, bias: f64) -> Self {
        match layer {
            LayerSpec::Dense { .. } => self.scaled(weight).affine(bias),
            LayerSpec::Conv { kernel, stride, padding, bias: has_bias, .. } => {
                let (mut before, mut output) = ([0; 2], [0; 2]);
                for axis in 0..2 {
                    (before[axis], output[axis]) = match padding {
                        Padding::Same => {
                            let output = self.plane[axis].div_ceil(stride[axis]);
                            let reach = (output - 1) * stride[axis] + kernel[axis];
                            (reach.saturating_sub(self.plane[axis]) / 2, output)
                        }
                        Padding::Valid => (0, (self.plane[axis] - kernel[axis]) / stride[axis] + 1),
                        Padding::Zeros(zeros) => {
                            (zeros[axis], (self.plane[axis] + 2 * zeros[axis] - kernel[axis]) / stride[axis] + 1)
                        }
                    };
                }
                let sums = self.map(output, self.windows(*kernel, *stride, before, output, true));
                let share = weight / (kernel[0] * kernel[1]) as f64;
                sums.scaled(share).affine(if *has_bias { bias } else { 0.0 })
            }
            LayerSpec::AvgPool { size, stride } => self.pool(*size, stride.unwrap_or(*size)),
            LayerSpec::GlobalAvgPool => self.pool(self.plane, [1, 1]),
            LayerSpec::Flatten => {
                let sums = self.map([1, 1], self.windows(self.plane, [1, 1], [0, 0], [1, 1], true));
                sums.scaled(1.0 / (self.plane[0] * self.plane[1]) as f64)
            }
            LayerSpec::Residual { branch, shortcut } => {
                let mut sum = self.chain(branch, weight, bias);
                let other = self.chain(shortcut, weight, bias);
                for (a, b) in [
                    (&mut sum.cross, other.cross),
                    (&mut sum.tangent, other.tangent),
                    (&mut sum.first, other.first),
                    (&mut sum.second, other.second),
                ] {
                    a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
                }
                sum
            }
            activation => self.activation(activation.activation().expect("only layers with a closed form are drawn")),
        }
    }

    fn pool(&self, size: [usize; 2], stride: [usize; 2]) -> Self {
        let output = [0, 1].map(|axis| (self.plane[axis] - size[axis]) / stride[axis] + 1);
        let share = 1.0 / (size[0] * size[1]) as f64;
        self.map(output, self.windows(size, stride, [0, 0], output, false)).scaled(share * share)
    }
}

fn padding() -> impl Strategy<Value = Padding> {
    prop_oneof![
        Just(Padding::Same),
        Just(Padding::Valid),
        (0..3_usize, 0..2_usize).prop_map(|(a, b)| Padding::Zeros([a, b]))
    ]
}

fn conv() -> impl Strategy<Value = LayerSpec> {
    ((1..4_usize, 1..4_usize), (1..3_usize, 1..3_usize), padding(), any::<bool>()).prop_map(
        |((a, b), (c, d), padding, bias)| LayerSpec::Conv {
            channels: 2,
            kernel: [a, b],
            stride: [c, d],
            padding,
            bias,
        },
    )
}

fn same_conv() -> impl Strategy<Value = LayerSpec> {
    (1..4_usize, any::<bool>()).prop_map(|(kernel, bias)| LayerSpec::Conv {
        channels: 2,
        kernel: [kernel; 2],
        stride: [1, 1],
        padding: Padding::Same,
        bias,
    })
}

fn nonlinear() -> impl Strategy<Value = LayerSpec> {
    prop_oneof![3 => Just(LayerSpec::Relu), 1 => Just(LayerSpec::Erf)]
}

/// A piece of a network that takes a Gaussian volume to a Gaussian volume.
fn piece() -> impl Strategy<Value = Vec<LayerSpec>> {
    let pool = ((1..4_usize, 1..4_usize), prop::option::of((1..3_usize, 1..3_usize)))
        .prop_map(|((a, b), stride)| LayerSpec::AvgPool { size: [a, b], stride: stride.map(|(c, d)| [c, d]) });
    let branch = (nonlinear(), same_conv(), prop::option::of((nonlinear(), same_conv()))).prop_map(|(f, g, more)| {
        let mut branch = vec![f, g];
        branch.extend(more.into_iter().flat_map(|(f, g)| [f, g]));
        branch
    });
    let shortcut = prop_oneof![
        2 => Just(vec![]),
        1 => same_conv().prop_map(|conv| vec![conv]),
        1 => (same_conv()).prop_map(|conv| vec![LayerSpec::AvgPool { size: [1, 1], stride: None }, conv]),
    ];
    let projected = (nonlinear(), conv(), nonlinear(), same_conv()).prop_map(|(f, conv, g, last)| {
        let (stride, padding) = match &conv {
            LayerSpec::Conv { stride, .. } => (*stride, Padding::Same),
            _ => unreachable!(),
        };
        let first = LayerSpec::Conv { channels: 2, kernel: [3, 2], stride, padding, bias: true };
        let shortcut = LayerSpec::Conv { channels: 2, kernel: [1, 1], stride, padding, bias: false };
        vec![LayerSpec::Residual { branch: vec![f, first, g, last], shortcut: vec![shortcut] }]
    });
    // The pool inside makes the block one that keeps its input for several offsets.
    let pooled = (nonlinear(), same_conv()).prop_map(|(f, g)| {
        let pool = || LayerSpec::AvgPool { size: [2, 1], stride: Some([1, 1]) };
        vec![LayerSpec::Residual { branch: vec![f, pool(), g], shortcut: vec![pool()] }]
    });
    prop_oneof![
        3 => (nonlinear(), conv()).prop_map(|(f, g)| vec![f, g]),
        2 => (nonlinear(), pool.clone(), conv()).prop_map(|(f, g, h)| vec![f, g, h]),
        1 => pool.prop_map(|pool| vec![pool]),
        2 => (branch, shortcut).prop_map(|(branch, shortcut)| vec![LayerSpec::Residual { branch, shortcut }]),
        1 => projected,
        1 => pooled,
    ]
}

prop_compose! {
    fn network()(
        channels in 1..4_usize,
        height in 1..5_usize,
        width in 1..6_usize,
        first in conv(),
        pieces in prop::collection::vec(piece(), 0..4),
        last in prop::option::of(nonlinear()),
        global in any::<bool>(),
        hidden in prop::option::of(nonlinear()),
        weight_std in 0.7..1.8,
        bias_std in prop_oneof![Just(0.0), 0.1..1.0],
    ) -> Architecture {
        let mut layers = vec![first];
        layers.extend(pieces.into_iter().flatten());
        layers.extend(last);
        layers.push(if global { LayerSpec::GlobalAvgPool } else { LayerSpec::Flatten });
        if let Some(hidden) = hidden {
            layers.extend([LayerSpec::Dense { units: 3 }, hidden]);
        }
        layers.push(LayerSpec::Dense { units: 1 });
        Architecture { input: vec![channels, height, width], weight_std, bias_std, layers }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, max_global_rejects: 50_000, ..ProptestConfig::default() })]

    /// Every layer, stride, padding, pooling and block; one column at a time (few inputs) or several.
    #[test]
    fn kernels_are_their_recursions(
        architecture in network().prop_filter("does not compile", |a| Model::new(a.clone()).is_ok()),
        n in prop_oneof![Just(2_usize), Just(19)],
        seed in any::<u64>(),
    ) {
        compare(&architecture, n, seed)?;
    }
}

/// Kernels of `n` random inputs against the recursion, at a few pairs.
fn compare(architecture: &Architecture, n: usize, seed: u64) -> Result<(), TestCaseError> {
    let features = architecture.input.iter().product();
    let mut generator = Streams::new(seed).stream("images", 0);
    let inputs = Array2::from_shape_simple_fn((n, features), || generator.random_range(-1.0..1.0));
    let nngp = kernel::nngp(architecture, inputs.view()).unwrap();
    let ntk = kernel::ntk(architecture, inputs.view()).unwrap();
    let weight = architecture.weight_std.powi(2);
    let bias = architecture.bias_std.powi(2);
    let layers = architecture.layers.len() as f64;
    for (i, j) in [(0, 0), (1, 0), (n - 1, n - 1), (n - 1, 1), (n / 2, n / 2 - 1)] {
        let slow =
            Slow::data(&architecture.input, inputs.row(i), inputs.row(j)).chain(&architecture.layers, weight, bias);
        let scale = (nngp[[i, i]] * nngp[[j, j]]).sqrt();
        let error = (nngp[[i, j]] - slow.cross[0]).abs();
        prop_assert!(error <= NNGP_AGREEMENT * scale, "nngp ({i}, {j}): {} {}", nngp[[i, j]], slow.cross[0]);
        let scale = (ntk[[i, i]] * ntk[[j, j]]).sqrt();
        let error = (ntk[[i, j]] - slow.tangent[0]).abs();
        // The plain recursion takes angles from covariances, between positions of one image too.
        prop_assert!(
            error <= COVARIANCE_ANGLE_ERROR * layers * scale,
            "ntk ({i}, {j}): {} {}",
            ntk[[i, j]],
            slow.tangent[0]
        );
    }
    Ok(())
}

/// Zeros around a plane smaller than the window: the pooling after it asks for offsets that no two positions of
/// the plane have.
#[test]
fn windows_wider_than_their_plane() {
    let conv = |kernel, zeros| LayerSpec::Conv {
        channels: 2,
        kernel,
        stride: [1, 1],
        padding: Padding::Zeros(zeros),
        bias: true,
    };
    let pool = LayerSpec::AvgPool { size: [2, 1], stride: Some([1, 1]) };
    for input in [vec![1, 1, 1], vec![2, 1, 3], vec![1, 2, 1]] {
        for last in [LayerSpec::GlobalAvgPool, LayerSpec::Flatten] {
            let mut layers = vec![conv([1, 1], [0, 0]), LayerSpec::Relu, conv([2, 2], [1, 1]), LayerSpec::Relu];
            layers.extend([pool.clone(), conv([3, 2], [1, 1]), last, LayerSpec::Dense { units: 1 }]);
            let architecture = Architecture { input: input.clone(), weight_std: 1.3, bias_std: 0.4, layers };
            for n in [2, 19] {
                compare(&architecture, n, 5).unwrap();
            }
        }
    }
}

fn volume(layers: Vec<LayerSpec>) -> Architecture {
    Architecture { input: vec![1, 4, 4], weight_std: 1.0, bias_std: 1.0, layers }
}

fn plain_conv() -> LayerSpec {
    LayerSpec::Conv { channels: 2, kernel: [3, 3], stride: [1, 1], padding: Padding::Same, bias: true }
}

#[test]
fn layers_without_a_closed_form_are_named() {
    let max_pool = LayerSpec::MaxPool { size: [2, 2], stride: None, padding: [0, 0] };
    let end = || [LayerSpec::Flatten, LayerSpec::Dense { units: 1 }];
    let with = |layers: Vec<LayerSpec>| volume(layers.into_iter().chain(end()).collect());
    let identity = |branch: Vec<LayerSpec>| LayerSpec::Residual { branch, shortcut: vec![] };
    let inputs = Array2::ones((2, 16));
    let cases = [
        (with(vec![plain_conv(), max_pool.clone()]), "layer 1 (max_pool) has no analytic kernel: the maximum"),
        (with(vec![plain_conv(), LayerSpec::BatchNorm]), "layer 1 (batch_norm) has no analytic kernel: its statistics"),
        (with(vec![LayerSpec::BatchNorm, plain_conv()]), "layer 0 (batch_norm)"),
        (with(vec![plain_conv(), LayerSpec::Tanh]), "layer 1 (tanh) has no analytic kernel: its Gaussian expectation"),
        (
            with(vec![plain_conv(), LayerSpec::Relu, LayerSpec::Relu]),
            "layer 2 (relu) has no analytic kernel: its input",
        ),
        (
            with(vec![plain_conv(), identity(vec![LayerSpec::Relu, max_pool, plain_conv()])]),
            "layer 1.branch.1 (max_pool)",
        ),
        (
            with(vec![plain_conv(), identity(vec![LayerSpec::Relu])]),
            "layer 1 (residual) has no analytic kernel: its branch and its shortcut",
        ),
        (
            with(vec![LayerSpec::Residual {
                branch: vec![LayerSpec::Conv {
                    channels: 1,
                    kernel: [3, 3],
                    stride: [1, 1],
                    padding: Padding::Same,
                    bias: true,
                }],
                shortcut: vec![],
            }]),
            "layer 0 (residual) has no analytic kernel: it adds the data itself",
        ),
        (
            volume(vec![plain_conv(), LayerSpec::Relu, LayerSpec::Flatten]),
            "layer 2 (flatten) has no analytic kernel: the network's output is not Gaussian",
        ),
    ];
    for (architecture, expected) in cases {
        let architecture = match Model::new(architecture.clone()) {
            Ok(_) => architecture,
            // A max pool inside a block changes its shape: only the kernel's own complaint matters here.
            Err(_) => continue,
        };
        let error = kernel::nngp(&architecture, inputs.view()).unwrap_err();
        assert!(matches!(error, KernelError::NoClosedForm { .. }), "{error}");
        let text = error.to_string();
        assert!(text.starts_with(expected) && text.ends_with("; the empirical kernel covers it"), "{text}");
    }
}

#[test]
fn layers_before_the_first_parameters_map_the_data() {
    let mut generator = Streams::new(8).stream("images", 0);
    let inputs = Array2::from_shape_simple_fn((5, 16), || generator.random_range(-1.0..1.0));
    let pooled = volume(vec![
        LayerSpec::Relu,
        LayerSpec::MaxPool { size: [2, 2], stride: None, padding: [0, 0] },
        LayerSpec::Flatten,
        LayerSpec::Dense { units: 3 },
        LayerSpec::Relu,
        LayerSpec::Dense { units: 1 },
    ]);
    let by_hand = Array2::from_shape_fn((5, 4), |(i, k)| {
        let top = 8 * (k / 2) + 2 * (k % 2);
        [top, top + 1, top + 4, top + 5].into_iter().map(|p| inputs[[i, p]]).fold(0.0, f64::max)
    });
    let plain = Architecture::fully_connected(&[4, 3, 1], Activation::Relu, 1.0, 1.0);
    assert_eq!(kernel::nngp(&pooled, inputs.view()).unwrap(), kernel::nngp(&plain, by_hand.view()).unwrap());
}

#[test]
fn too_large_a_kernel_is_refused_with_the_memory_it_needs() {
    let architecture = Architecture {
        input: vec![1, 64, 64],
        weight_std: 1.0,
        bias_std: 1.0,
        layers: vec![
            plain_conv(),
            LayerSpec::Relu,
            LayerSpec::AvgPool { size: [2, 2], stride: None },
            plain_conv(),
            LayerSpec::Relu,
            LayerSpec::GlobalAvgPool,
            LayerSpec::Dense { units: 1 },
        ],
    };
    let inputs = Array2::ones((3, 64 * 64));
    let options = KernelOptions { max_bytes: Some(10 << 20), ..KernelOptions::default() };
    let analytic = kernel::find("analytic").unwrap();
    let error = analytic.gram(&architecture, inputs.view(), &options).unwrap_err();
    let KernelError::TooLarge { needed, limit } = error else { panic!("{error}") };
    // All pairs of the 32 x 32 positions behind the pooling, for each thread.
    let images = 8 * (32_u64 * 32).pow(2) * rayon::current_num_threads() as u64;
    assert!(needed > images && needed < 2 * images, "{needed} {images}");
    assert_eq!(limit, 10 << 20);
    assert!(error.to_string().contains("GiB of memory, 0.010 GiB may be used"), "{error}");
    // The tangent kernel carries three numbers in place of one.
    let error = analytic.gram(&architecture, inputs.view(), &KernelOptions { kind: Kind::Ntk, ..options }).unwrap_err();
    assert!(matches!(error, KernelError::TooLarge { needed, .. } if needed > 3 * images), "{error}");
}

#[test]
fn progress_ends_at_all_pairs() {
    let inputs = Array2::from_shape_fn((9, 4), |(i, j)| (i * 4 + j) as f64);
    let architecture = Architecture::fully_connected(&[4, 2, 1], Activation::Relu, 1.0, 1.0);
    let heard = std::sync::Mutex::new(Vec::new());
    let progress = |done: usize, total: usize| heard.lock().unwrap().push((done, total));
    let options = KernelOptions { progress: Some(&progress), ..KernelOptions::default() };
    kernel::find("analytic").unwrap().gram(&architecture, inputs.view(), &options).unwrap();
    let heard = heard.into_inner().unwrap();
    assert_eq!(heard.len(), 9);
    assert_eq!(heard.iter().max(), Some(&(45, 45)));
}
