//! Analytic Gram matrices against values by an independent program (`golden/kernel`), and their own laws.

mod common;

use approx::assert_abs_diff_eq;
use common::golden::{golden, record};
use flatgauge::data::read_npy;
use flatgauge::kernel::{self, KernelError};
use flatgauge::model::{Activation, Architecture, LayerSpec, Padding};
use flatgauge::numeric::tolerance::{
    COVARIANCE_ANGLE_ERROR, NEAR_DUPLICATE_AGREEMENT, NNGP_AGREEMENT, NTK_AGREEMENT, NTK_SPATIAL_AGREEMENT,
};
use ndarray::{Array2, ArrayView2, Ix2, Ix4, array, s};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::Value;

fn records() -> Vec<Value> {
    record::<Value>("kernel/kernel.json")["cases"].as_array().unwrap().clone()
}

fn matrix(record: &Value, what: &str) -> Array2<f64> {
    let path = golden(&format!("kernel/{}.{what}.npy", record["name"].as_str().unwrap()));
    read_npy(&path).unwrap().into_dimensionality::<Ix2>().unwrap()
}

/// Entries agree relative to `sqrt(K_ii K_jj)`.
fn assert_agrees(found: ArrayView2<f64>, expected: ArrayView2<f64>, tolerance: f64, name: &str) {
    assert_eq!(found.dim(), expected.dim());
    for ((i, j), value) in found.indexed_iter() {
        let scale = (expected[[i, i]] * expected[[j, j]]).sqrt();
        let error = (value - expected[[i, j]]).abs() / scale;
        // Written so that NaN fails.
        assert!(error <= tolerance, "{name} ({i}, {j}): {value} and {} differ by {error:e}", expected[[i, j]]);
    }
}

/// The case's architecture, and its inputs as rows of channels, height, width.
fn case(record: &Value) -> (Architecture, Array2<f64>) {
    let path = golden(&format!("kernel/{}.x.npy", record["name"].as_str().unwrap()));
    let inputs = read_npy(&path).unwrap();
    let [weight_std, bias_std] = ["weight_std", "bias_std"].map(|key| record[key].as_f64().unwrap());
    if record["arch"] == "fcn" {
        let inputs = inputs.into_dimensionality::<Ix2>().unwrap();
        let mut widths = vec![inputs.ncols()];
        widths.extend(vec![1; record["depth"].as_u64().unwrap() as usize]);
        widths.push(1);
        let activation: Activation = serde_json::from_value(record["activation"].clone()).unwrap();
        return (Architecture::fully_connected(&widths, activation, weight_std, bias_std), inputs);
    }
    // Stored as n, height, width, channels.
    let volumes = inputs.into_dimensionality::<Ix4>().unwrap().permuted_axes([0, 3, 1, 2]);
    let (n, channels, height, width) = volumes.dim();
    let volumes = volumes.as_standard_layout().into_owned().into_shape_with_order((n, channels * height * width));
    let conv = || LayerSpec::Conv { channels: 5, kernel: [3, 3], stride: [1, 1], padding: Padding::Same, bias: true };
    let relu = || LayerSpec::Relu;
    let mut layers = match record["name"].as_str().unwrap() {
        "cnn_flatten_1" => vec![conv(), relu(), conv(), relu(), LayerSpec::Flatten],
        "cnn_gap_1" => vec![conv(), relu(), conv(), relu(), LayerSpec::GlobalAvgPool],
        "cnn_avgpool_1" => {
            let pool = LayerSpec::AvgPool { size: [2, 2], stride: None };
            vec![conv(), relu(), pool, conv(), relu(), LayerSpec::Flatten]
        }
        "resnet_gap_1" => {
            let branch = vec![relu(), conv(), relu(), conv()];
            let block = LayerSpec::Residual { branch, shortcut: vec![] };
            vec![conv(), block, relu(), LayerSpec::GlobalAvgPool]
        }
        other => panic!("an unknown case {other}"),
    };
    layers.push(LayerSpec::Dense { units: 1 });
    (Architecture { input: vec![channels, height, width], weight_std, bias_std, layers }, volumes.unwrap())
}

#[test]
fn nngp_of_every_case() {
    let records = records();
    for record in &records {
        let (architecture, inputs) = case(record);
        let gram = kernel::nngp(&architecture, inputs.view()).unwrap();
        let name = record["name"].as_str().unwrap();
        assert_agrees(gram.view(), matrix(record, "nngp").view(), NNGP_AGREEMENT, name);
        assert_eq!(gram, gram.t());
        if record["arch"] == "fcn" {
            // Row 1 repeats row 0.
            assert_eq!(gram.row(0), gram.row(1));
        }
    }
    assert_eq!(records.len(), 9);
}

#[test]
fn ntk_of_every_case() {
    for record in records() {
        let (architecture, inputs) = case(&record);
        let gram = kernel::ntk(&architecture, inputs.view()).unwrap();
        assert_eq!(gram, gram.t());
        let name = record["name"].as_str().unwrap();
        let expected = matrix(&record, "ntk");
        if record["arch"] != "fcn" {
            assert_agrees(gram.view(), expected.view(), NTK_SPATIAL_AGREEMENT, name);
            continue;
        }
        assert_eq!(gram.row(0), gram.row(1));
        // Row 2 is nearly parallel to rows 0, 1, 3 and 4: there the certified values, which come from
        // covariances, hold half the digits, and `edge_rows_to_all_digits` is the test. All others in full.
        let rounded = |i: usize, j: usize| i.max(j) <= 4 && (i == 2 || j == 2);
        let allowance = COVARIANCE_ANGLE_ERROR * record["depth"].as_f64().unwrap();
        for ((i, j), value) in gram.indexed_iter() {
            let scale = (expected[[i, i]] * expected[[j, j]]).sqrt();
            let error = (value - expected[[i, j]]).abs() / scale;
            let tolerance = if rounded(i, j) { allowance } else { NTK_AGREEMENT };
            assert!(error <= tolerance, "{name} ({i}, {j}): {value} and {} differ by {error:e}", expected[[i, j]]);
        }
    }
}

fn rows_of(value: &Value) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = serde_json::from_value(value.clone()).unwrap();
    Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
}

#[test]
fn edge_rows_to_all_digits() {
    let edges: Value = record("kernel/edge_rows.json");
    let mut cases = 0;
    for (record, edge) in records().iter().zip(edges["cases"].as_array().unwrap()) {
        cases += 1;
        assert_eq!(record["name"], edge["name"]);
        let (architecture, inputs) = case(record);
        let name = record["name"].as_str().unwrap();
        let few = inputs.slice(s![..8, ..]);
        let nngp = kernel::nngp(&architecture, few).unwrap();
        assert_agrees(nngp.view(), rows_of(&edge["nngp"]).view(), NNGP_AGREEMENT, name);
        let ntk = kernel::ntk(&architecture, few).unwrap();
        assert_agrees(ntk.view(), rows_of(&edge["ntk"]).view(), NTK_AGREEMENT, name);
        // The same among others, in groups of another width.
        let all = kernel::ntk(&architecture, inputs.view()).unwrap();
        assert_agrees(all.slice(s![..8, ..8]), ntk.view(), 1e-15, name);
    }
    assert_eq!(cases, 5);
}

#[test]
fn edge_images_to_all_digits() {
    let edges: Value = record("kernel/edge_images.json");
    let inputs = rows_of(&edges["inputs"]);
    let conv = |stride| LayerSpec::Conv {
        channels: 3,
        kernel: [3, 3],
        stride: [stride; 2],
        padding: Padding::Same,
        bias: true,
    };
    let relu = || LayerSpec::Relu;
    let cases = edges["cases"].as_array().unwrap();
    for edge in cases {
        let name = edge["name"].as_str().unwrap();
        let mut layers = match name {
            "flatten" => vec![conv(1), relu(), conv(1), relu(), LayerSpec::Flatten],
            "strided_average" => vec![conv(1), relu(), conv(2), relu(), LayerSpec::GlobalAvgPool],
            "residual_flatten" => {
                let block = LayerSpec::Residual { branch: vec![relu(), conv(1)], shortcut: vec![] };
                vec![conv(1), block, relu(), LayerSpec::Flatten]
            }
            other => panic!("an unknown case {other}"),
        };
        layers.push(LayerSpec::Dense { units: 1 });
        let [weight_std, bias_std] = ["weight_std", "bias_std"].map(|key| edge[key].as_f64().unwrap());
        let architecture = Architecture { input: vec![2, 3, 3], weight_std, bias_std, layers };
        // With and without the zero image, whose kernel is 0 where there are no biases.
        let nngp = kernel::nngp(&architecture, inputs.view()).unwrap();
        let ntk = kernel::ntk(&architecture, inputs.view()).unwrap();
        for (found, key, tolerance) in [(nngp, "nngp", NNGP_AGREEMENT), (ntk, "ntk", NTK_SPATIAL_AGREEMENT)] {
            let expected = rows_of(&edge[key]);
            let scale = expected[[0, 0]];
            for ((i, j), value) in found.indexed_iter() {
                let error = (value - expected[[i, j]]).abs() / scale;
                assert!(error <= tolerance, "{name} {key} ({i}, {j}): {value} {} {error:e}", expected[[i, j]]);
            }
            assert_eq!(found.row(0), found.row(1), "{name} {key}");
        }
    }
    assert_eq!(cases.len(), 6);
}

/// A tangent kernel that carries an angle twice must not let rounding part the two: each layer would double the gap.
#[test]
fn deep_erf_networks_keep_their_digits() {
    let deep: Value = record("kernel/deep_erf.json");
    let inputs = rows_of(&deep["inputs"]);
    let cases = deep["cases"].as_array().unwrap();
    for case in cases {
        let [weight_std, bias_std] = ["weight_std", "bias_std"].map(|key| case[key].as_f64().unwrap());
        let depth = case["depth"].as_u64().unwrap() as usize;
        let widths: Vec<usize> = [4].into_iter().chain(vec![1; depth + 1]).collect();
        let architecture = Architecture::fully_connected(&widths, Activation::Erf, weight_std, bias_std);
        let name = format!("depth {depth}, weight_std {weight_std}, bias_std {bias_std}");
        let nngp = kernel::nngp(&architecture, inputs.view()).unwrap();
        let ntk = kernel::ntk(&architecture, inputs.view()).unwrap();
        for (found, key, tolerance) in [(nngp, "nngp", NNGP_AGREEMENT), (ntk, "ntk", NTK_AGREEMENT)] {
            let mut expected = rows_of(&case[key]);
            // Row 1 is nearly row 0, whose mirror image row 3 is.
            for (i, j) in [(0, 1), (1, 0), (1, 3), (3, 1)] {
                let error = (found[[i, j]] - expected[[i, j]]).abs() / (expected[[i, i]] * expected[[j, j]]).sqrt();
                assert!(error <= NEAR_DUPLICATE_AGREEMENT, "{name} {key} ({i}, {j}): {error:e}");
                expected[[i, j]] = found[[i, j]];
            }
            assert_agrees(found.view(), expected.view(), tolerance, &format!("{name} {key}"));
        }
    }
    assert_eq!(cases.len(), 40);
}

/// Inputs, variances and depths beyond what numbers hold: a matrix of finite numbers or a typed error, never infinity, NaN or a
/// panic.
#[test]
fn what_overflows_or_vanishes_is_an_error() {
    let ordinary = array![[0.5, -1.25], [1.0, 0.25], [0.75, 2.0]];
    for activation in [Activation::Relu, Activation::Erf] {
        for depth in [0, 1, 2, 3, 100] {
            for input_scale in [0.0, 1e-320, 1e-300, 1e-160, 1e-60, 1.0, 1e60, 1e77, 1e150, 1e160, 1e300, 1.7e308] {
                for weight_std in [0.0, 1e-200, 1e-100, 1.0, 1e10, 1e80, 1e150, 1e200, 1e300] {
                    for bias_std in [0.0, 1.0, 1e155, 1e300] {
                        let widths: Vec<usize> = [2].into_iter().chain(vec![1; depth + 1]).collect();
                        let architecture = Architecture::fully_connected(&widths, activation, weight_std, bias_std);
                        let inputs = ordinary
                            .mapv(|value| value * input_scale)
                            .mapv(|value: f64| value.clamp(-1.7e308, 1.7e308));
                        for kernel in [kernel::nngp, kernel::ntk] {
                            let name = format!("{activation} {depth} {input_scale:e} {weight_std:e} {bias_std:e}");
                            match kernel(&architecture, inputs.view()) {
                                Ok(gram) => assert!(gram.iter().all(|value| value.is_finite()), "{name}: {gram}"),
                                Err(
                                    KernelError::Variance { .. }
                                    | KernelError::Magnitude { .. }
                                    | KernelError::Entry { .. },
                                ) => {}
                                Err(other) => panic!("{name}: {other}"),
                            }
                        }
                    }
                }
            }
        }
    }
    // What is ordinary is not refused.
    let architecture = Architecture::fully_connected(&[2, 1, 1, 1], Activation::Erf, 1.0, 1.0);
    for scale in [0.0, 1e-300, 1e-60, 1.0, 1e60] {
        assert!(kernel::nngp(&architecture, ordinary.mapv(|value| value * scale).view()).is_ok(), "{scale:e}");
    }
    let linear = Architecture::fully_connected(&[2, 1], Activation::Relu, 1.0, 0.0);
    let error = kernel::nngp(&linear, ordinary.mapv(|value| value * 1e300).view()).unwrap_err();
    assert!(matches!(error, KernelError::Magnitude { row: 0, .. }), "{error}");
}

#[test]
fn no_inputs_are_an_error() {
    let architecture = Architecture::fully_connected(&[2, 5, 1], Activation::Relu, 1.0, 1.0);
    let none = Array2::zeros((0, 2));
    for method in kernel::registry() {
        let error = method.gram(&architecture, none.view(), &kernel::KernelOptions::default()).unwrap_err();
        assert_eq!(error, KernelError::NoInputs);
    }
}

#[test]
fn one_layer_by_hand() {
    // Orthogonal inputs of length sqrt 2: variances 2, covariance 1, theta = pi / 3.
    let inputs = array![[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]];
    let architecture = Architecture::fully_connected(&[4, 9, 1], Activation::Relu, f64::sqrt(2.0), 1.0);
    let gram = kernel::nngp(&architecture, inputs.view()).unwrap();
    let theta = std::f64::consts::FRAC_PI_3;
    let dual = 2.0 / std::f64::consts::TAU * (theta.sin() + (std::f64::consts::PI - theta) * theta.cos());
    let expected = array![[3.0, 2.0 * dual + 1.0], [2.0 * dual + 1.0, 3.0]];
    assert_abs_diff_eq!(gram, expected, epsilon = 1e-14);
}

#[test]
fn no_depth_breaks_it() {
    // Duplicate, near-duplicate, parallel, antipodal, zero.
    let inputs = array![[1.0, 2.0], [1.0, 2.0], [1.0 + 1e-9, 2.0], [3.0, 6.0], [-1.0, -2.0], [0.0, 0.0], [2.0, -1.0]];
    for activation in [Activation::Relu, Activation::Erf] {
        for (weight_std, bias_std) in [(f64::sqrt(2.0), 0.0), (f64::sqrt(2.0), 1.0), (1.0, 0.1), (3.0, 0.0)] {
            for depth in 1..=100 {
                let widths: Vec<usize> = [2].into_iter().chain(vec![1; depth + 1]).collect();
                let architecture = Architecture::fully_connected(&widths, activation, weight_std, bias_std);
                let gram = kernel::nngp(&architecture, inputs.view()).unwrap();
                assert!(gram.iter().all(|value| value.is_finite()), "{architecture} at depth {depth}: {gram}");
                assert_eq!(gram.row(0), gram.row(1));
                for ((i, j), value) in gram.indexed_iter() {
                    let bound = (gram[[i, i]] * gram[[j, j]]).sqrt();
                    assert!(value.abs() <= bound * (1.0 + NNGP_AGREEMENT), "({i}, {j}) at depth {depth}");
                }
            }
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let inputs = Array2::from_shape_fn((150, 31), |(i, j)| ((i * 31 + j) as f64).sin());
    let architecture = Architecture::fully_connected(&[31, 5, 5, 1], Activation::Relu, 1.3, 0.2);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| kernel::nngp(&architecture, inputs.view()).unwrap())
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn bad_inputs_are_named() {
    let architecture = Architecture::fully_connected(&[2, 5, 1], Activation::Relu, 1.0, 1.0);
    let error = kernel::nngp(&architecture, array![[1.0]].view()).unwrap_err();
    assert_eq!(error, KernelError::Inputs { found: 1, expected: 2 });
    let error = kernel::nngp(&architecture, array![[1.0, 2.0], [3.0, f64::INFINITY]].view()).unwrap_err();
    assert_eq!(error, KernelError::NotFinite { row: 1, column: 1, value: f64::INFINITY });
    let tanh = Architecture::fully_connected(&[2, 5, 1], Activation::Tanh, 1.0, 1.0);
    let error = kernel::nngp(&tanh, array![[1.0, 2.0]].view()).unwrap_err().to_string();
    assert!(error.contains("layer 1 (tanh)") && error.contains("empirical kernel"), "{error}");
    let wild = Architecture::fully_connected(&[&[2][..], &[1; 80]].concat(), Activation::Relu, 1e3, 1.0);
    let error = kernel::nngp(&wild, array![[1.0, 2.0]].view()).unwrap_err();
    assert!(matches!(error, KernelError::Variance { sample: 0, .. }), "{error}");
}

/// Columns go together in groups, two of images of this size, and memory is kept from row to row: an entry is that of its two
/// images alone, to the bit.
#[test]
fn an_entry_depends_on_its_two_images_alone() {
    let architecture: Architecture = serde_json::from_value(serde_json::json!({
        "input": [1, 40, 40], "weight_std": 1.3, "bias_std": 0.4,
        "layers": [
            { "type": "conv", "channels": 1, "kernel": [3, 3], "padding": "same" }, { "type": "relu" },
            { "type": "conv", "channels": 1, "kernel": [2, 2], "padding": "valid" }, { "type": "relu" },
            { "type": "flatten" }, { "type": "dense", "units": 1 },
        ],
    }))
    .unwrap();
    let images = Array2::from_shape_fn((9, 1600), |(i, j)| ((i + 2) as f64 * j as f64).sin());
    for gram in [kernel::nngp, kernel::ntk] {
        let together = gram(&architecture, images.view()).unwrap();
        for ((i, j), entry) in together.indexed_iter().filter(|((i, j), _)| i > j) {
            let alone = gram(&architecture, images.select(ndarray::Axis(0), &[j, i]).view()).unwrap();
            assert_eq!(*entry, alone[[1, 0]], "({i}, {j})");
        }
    }
}

proptest! {
    // A fixed seed, so that a failure comes back; PROPTEST_RNG_SEED and PROPTEST_CASES explore further.
    #![proptest_config(ProptestConfig { cases: 64, rng_seed: RngSeed::Fixed(20261128), failure_persistence: None, ..ProptestConfig::default() })]

    /// `K` is positive semi-definite up to rounding, and follows a permutation of its points.
    #[test]
    fn semidefinite_and_equivariant(
        points in proptest::collection::vec(proptest::collection::vec(-3.0..3.0, 4), 2..12),
        depth in 1_usize..6,
        weight_std in 0.5..2.0,
        bias_std in 0.0..1.5,
        erf in any::<bool>(),
    ) {
        let n = points.len();
        let inputs = Array2::from_shape_fn((n, 4), |(i, j)| points[i][j]);
        let activation = if erf { Activation::Erf } else { Activation::Relu };
        let widths: Vec<usize> = [4].into_iter().chain(vec![1; depth + 1]).collect();
        let architecture = Architecture::fully_connected(&widths, activation, weight_std, bias_std);
        let gram = kernel::nngp(&architecture, inputs.view()).unwrap();
        let lowest = flatgauge::numeric::linalg::symmetric_eigenvalues(gram.view())[0];
        prop_assert!(lowest >= -NNGP_AGREEMENT * gram.diag().sum(), "lowest eigenvalue {lowest:e}");
        let reversed = inputs.slice(ndarray::s![..;-1, ..]).to_owned();
        let other = kernel::nngp(&architecture, reversed.view()).unwrap();
        assert_agrees(other.slice(ndarray::s![..;-1, ..;-1]), gram.view(), NNGP_AGREEMENT, "reversed");
    }
}
