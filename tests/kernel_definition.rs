//! Analytic kernels against the recursion they stand for, written out in four loops over positions.

use flatgauge::kernel::{self, KernelError, KernelOptions, Kind};
use flatgauge::model::{Activation, Architecture, LayerSpec, Model, Padding};
use flatgauge::numeric::Streams;
use flatgauge::numeric::tolerance::{NNGP_AGREEMENT, NTK_SPATIAL_AGREEMENT};
use ndarray::{Array2, ArrayView1};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestCaseError};
use rand::RngExt;
use std::f64::consts::PI;

/// Values between all positions of two inputs, each with a bound on its rounding error.
#[derive(Clone)]
struct Bounded {
    values: Vec<f64>,
    errors: Vec<f64>,
}

impl Bounded {
    fn zeros(len: usize) -> Self {
        Self { values: vec![0.0; len], errors: vec![0.0; len] }
    }

    /// Each value with its error replaced; adds the rounding of the result.
    fn map(&self, f: impl Fn(f64, f64) -> (f64, f64)) -> Self {
        let (values, errors) = self.values.iter().zip(&self.errors).map(|(value, error)| f(*value, *error)).unzip();
        Self { values, errors }
    }

    fn scaled(&self, factor: f64) -> Self {
        self.map(|value, error| (value * factor, factor * (error + UNIT * value.abs())))
    }

    fn plus(&self, other: &Self) -> Self {
        let values: Vec<f64> = self.values.iter().zip(&other.values).map(|(a, b)| a + b).collect();
        let errors = (0..values.len()).map(|k| self.errors[k] + other.errors[k] + UNIT * values[k].abs()).collect();
        Self { values, errors }
    }
}

/// Half the distance of 1 to the next number: the relative error of one rounding.
const UNIT: f64 = 0.5 * f64::EPSILON;

/// A dual's value and slope, each with a bound on its error, from variances and covariance with theirs.
fn dual(activation: Activation, [p, q, c]: [(f64, f64); 3]) -> [(f64, f64); 2] {
    let ((p, p_error), (q, q_error), (c, c_error)) = (p, q, c);
    match activation {
        Activation::Relu => {
            let sine = (p * q - c * c).max(0.0).sqrt();
            let slope = (PI - sine.atan2(c)) / (2.0 * PI);
            let value = sine / (2.0 * PI) + slope * c;
            if p == 0.0 || q == 0.0 {
                return [(value, c_error), (slope, 0.0)];
            }
            // The square of the sine cancels where the inputs are nearly parallel; its root loses half the digits.
            let square_error = p * q_error + q * p_error + 2.0 * c.abs() * c_error + 4.0 * UNIT * p * q;
            let sine_error = square_error.sqrt().min(square_error / sine);
            let angle_error = (c.abs() * sine_error + sine * c_error) / (p * q) + 4.0 * UNIT;
            let value_error = slope * c_error
                + square_error / (4.0 * PI * (p * q).sqrt())
                + 8.0 * UNIT * (value.abs() + c.abs() + sine);
            [(value, value_error), (slope, angle_error / (2.0 * PI) + UNIT)]
        }
        _ => {
            let product = (1.0 + 2.0 * p) * (1.0 + 2.0 * q);
            let gap = product - 4.0 * c * c;
            let (value, slope) = (2.0 / PI * (2.0 * c / product.sqrt()).asin(), 4.0 / PI / gap.sqrt());
            let relative = 2.0 * p_error / (1.0 + 2.0 * p) + 2.0 * q_error / (1.0 + 2.0 * q) + 6.0 * UNIT;
            let value_error = slope * (c_error + c.abs() * relative) + 8.0 * UNIT * value.abs();
            let gap_error = product * relative + 8.0 * c.abs() * c_error;
            [(value, value_error), (slope, slope * (0.5 * gap_error / gap + 4.0 * UNIT))]
        }
    }
}

/// Kernels of one pair of inputs: covariance and tangent kernel between all positions, and the
/// covariances of each input with itself.
#[derive(Clone)]
struct Slow {
    plane: [usize; 2],
    cross: Bounded,
    tangent: Bounded,
    first: Bounded,
    second: Bounded,
}

impl Slow {
    fn data(shape: &[usize], x: ArrayView1<f64>, y: ArrayView1<f64>) -> Self {
        let plane = if shape.len() == 3 { [shape[1], shape[2]] } else { [1, 1] };
        let positions = plane[0] * plane[1];
        let products = |u: ArrayView1<f64>, v: ArrayView1<f64>| {
            let mut out = Bounded::zeros(positions * positions);
            for ab in 0..positions * positions {
                let terms =
                    (0..shape[0]).map(|c| u[c * positions + ab / positions] * v[c * positions + ab % positions]);
                let absolute: f64 = terms.clone().map(f64::abs).sum();
                out.values[ab] = terms.sum::<f64>() / shape[0] as f64;
                out.errors[ab] = (shape[0] + 2) as f64 * UNIT * absolute / shape[0] as f64;
            }
            out
        };
        let tangent = Bounded::zeros(positions * positions);
        Self { plane, cross: products(x, y), tangent, first: products(x, x), second: products(y, y) }
    }

    /// Applies a map of four-index functions to each of the four.
    fn map(&self, plane: [usize; 2], f: impl Fn(&Bounded) -> Bounded) -> Self {
        let [cross, tangent, first, second] = [&self.cross, &self.tangent, &self.first, &self.second].map(f);
        Self { plane, cross, tangent, first, second }
    }

    fn affine(&self, bias: f64) -> Self {
        let add = |k: &Bounded| k.map(|c, error| (c + bias, error + UNIT * (c + bias).abs()));
        let cross = add(&self.cross);
        let tangent = self.tangent.plus(&cross);
        Self { plane: self.plane, tangent, cross, first: add(&self.first), second: add(&self.second) }
    }

    fn activation(&self, activation: Activation) -> Self {
        let positions = self.plane[0] * self.plane[1];
        let each = |k: &Bounded, p: &Bounded, q: &Bounded| -> [Bounded; 2] {
            let at = |k: &Bounded, index: usize| (k.values[index], k.errors[index]);
            let pairs: Vec<_> = (0..k.values.len())
                .map(|ab| {
                    let (a, b) = (ab / positions, ab % positions);
                    dual(activation, [at(p, a * positions + a), at(q, b * positions + b), at(k, ab)])
                })
                .collect();
            [0, 1].map(|which| {
                let (values, errors) = pairs.iter().map(|pair| pair[which]).unzip();
                Bounded { values, errors }
            })
        };
        let [cross, slopes] = each(&self.cross, &self.first, &self.second);
        let mut tangent = self.tangent.clone();
        for (k, (value, error)) in tangent.values.iter_mut().zip(&mut tangent.errors).enumerate() {
            *error = (*error + UNIT * value.abs()) * slopes.values[k] + value.abs() * slopes.errors[k];
            *value *= slopes.values[k];
        }
        let [first, _] = each(&self.first, &self.first, &self.first);
        let [second, _] = each(&self.second, &self.second, &self.second);
        Self { plane: self.plane, tangent, cross, first, second }
    }

    /// Sums over window entries of both positions: paired (convolution) or each with each (pooling).
    fn windows(
        &self,
        size: [usize; 2],
        stride: [usize; 2],
        before: [usize; 2],
        output: [usize; 2],
        paired: bool,
    ) -> impl Fn(&Bounded) -> Bounded {
        let [height, width] = self.plane;
        move |k: &Bounded| {
            let positions = output[0] * output[1];
            let mut out = Bounded::zeros(positions * positions);
            let taps: Vec<[usize; 2]> = (0..size[0] * size[1]).map(|t| [t / size[1], t % size[1]]).collect();
            let source = |position: usize, tap: [usize; 2]| {
                let y = (position / output[1] * stride[0] + tap[0]).checked_sub(before[0])?;
                let x = (position % output[1] * stride[1] + tap[1]).checked_sub(before[1])?;
                (y < height && x < width).then_some(y * width + x)
            };
            let roundings = UNIT * if paired { taps.len() } else { taps.len() * taps.len() } as f64;
            for (ab, (value, error)) in out.values.iter_mut().zip(&mut out.errors).enumerate() {
                for (index, tap) in taps.iter().enumerate() {
                    for (other_index, other) in taps.iter().enumerate() {
                        if paired && index != other_index {
                            continue;
                        }
                        if let (Some(a), Some(b)) = (source(ab / positions, *tap), source(ab % positions, *other)) {
                            let from = a * height * width + b;
                            *value += k.values[from];
                            *error += k.errors[from] + roundings * k.values[from].abs();
                        }
                    }
                }
            }
            out
        }
    }

    fn scaled(&self, factor: f64) -> Self {
        self.map(self.plane, |k| k.scaled(factor))
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
                        other => panic!("{other:?} is not drawn"),
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
                let through = self.chain(branch, weight, bias);
                let around = self.chain(shortcut, weight, bias);
                Self {
                    plane: through.plane,
                    cross: through.cross.plus(&around.cross),
                    tangent: through.tangent.plus(&around.tangent),
                    first: through.first.plus(&around.first),
                    second: through.second.plus(&around.second),
                }
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
    // A fixed seed, so that a failure comes back; PROPTEST_RNG_SEED and PROPTEST_CASES explore further.
    #![proptest_config(ProptestConfig { cases: 200, rng_seed: RngSeed::Fixed(20261127), failure_persistence: None, max_global_rejects: 50_000, ..ProptestConfig::default() })]

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
    for (i, j) in [(0, 0), (1, 0), (n - 1, n - 1), (n - 1, 1), (n / 2, n / 2 - 1)] {
        let slow =
            Slow::data(&architecture.input, inputs.row(i), inputs.row(j)).chain(&architecture.layers, weight, bias);
        let scale = (nngp[[i, i]] * nngp[[j, j]]).sqrt();
        // The plain recursion says what its roundings may cost it: where pooled positions cancel, and in angles,
        // which it takes from covariances. Sums that cancel cost the fast one as much.
        let value = slow.cross.values[0];
        let allowed = NNGP_AGREEMENT * scale + 2.0 * slow.cross.errors[0];
        prop_assert!((nngp[[i, j]] - value).abs() <= allowed, "nngp ({i}, {j}): {} {value}", nngp[[i, j]]);
        let scale = (ntk[[i, i]] * ntk[[j, j]]).sqrt();
        let value = slow.tangent.values[0];
        let allowed = NTK_SPATIAL_AGREEMENT * scale + 2.0 * slow.tangent.errors[0];
        prop_assert!((ntk[[i, j]] - value).abs() <= allowed, "ntk ({i}, {j}): {} {value}", ntk[[i, j]]);
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
