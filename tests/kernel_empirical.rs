//! Kernels averaged over sampled networks: against the analytic ones, by any number of threads, after a kill.

use flatgauge::data::read_npy;
use flatgauge::kernel::{self, KernelError, KernelOptions, KernelResult, Kind};
use flatgauge::model::{Activation, Architecture, LayerSpec, Padding};
use flatgauge::numeric::Streams;
use ndarray::{Array2, ArrayView2};
use rand::RngExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Standard errors allowed. 80 comparisons with normal deviates (averages of 2000 networks) exceed it with
/// probability below `80 * 5.8e-7 = 5e-5`, for the fixed seed once and for all.
const Z: f64 = 5.0;
const NETWORKS: usize = 2000;

fn fully_connected(width: usize) -> Architecture {
    Architecture::fully_connected(&[5, width, 1], Activation::Relu, 1.3, 0.7)
}

fn convolutional(channels: usize) -> Architecture {
    Architecture {
        input: vec![1, 3, 4],
        weight_std: 1.3,
        bias_std: 0.7,
        layers: vec![
            LayerSpec::Conv { channels, kernel: [3, 3], stride: [1, 1], padding: Padding::Same, bias: true },
            LayerSpec::Relu,
            LayerSpec::Flatten,
            LayerSpec::Dense { units: 1 },
        ],
    }
}

fn inputs(n: usize, features: usize) -> Array2<f64> {
    let mut generator = Streams::new(3).stream("inputs", 0);
    Array2::from_shape_simple_fn((n, features), || generator.random::<f64>() * 2.0 - 1.0)
}

fn empirical(architecture: &Architecture, x: ArrayView2<f64>, options: &KernelOptions) -> KernelResult {
    kernel::find("empirical").unwrap().gram(architecture, x, options).unwrap()
}

/// Largest deviation from the analytic kernel of `expected`, in standard errors.
fn largest_z(result: &KernelResult, expected: &Architecture, x: ArrayView2<f64>) -> f64 {
    let analytic = kernel::nngp(expected, x).unwrap();
    let std_error = result.std_error.as_ref().unwrap();
    let deviations = (&result.matrix - &analytic) / std_error;
    deviations.iter().map(|z| z.abs()).fold(0.0, f64::max)
}

/// With one hidden layer the average is unbiased at every width; an error of 10% in the weights' standard
/// deviation, planted in what is expected, must show.
#[test]
fn averages_agree_with_the_analytic_kernel_at_two_widths() {
    for (build, features) in [(fully_connected as fn(usize) -> Architecture, 5), (convolutional, 12)] {
        let x = inputs(4, features);
        let mut errors = Vec::new();
        for width in [4, 32] {
            let architecture = build(width);
            let options = KernelOptions { samples: NETWORKS, seed: 11, ..KernelOptions::default() };
            let result = empirical(&architecture, x.view(), &options);
            let z = largest_z(&result, &architecture, x.view());
            assert!(z < Z, "{architecture}: {z} standard errors from the analytic kernel");
            let wrong = Architecture { weight_std: 1.1 * architecture.weight_std, ..architecture.clone() };
            let z = largest_z(&result, &wrong, x.view());
            assert!(z > Z, "{architecture}: a planted error of 10% is only {z} standard errors away");
            errors.push(result.std_error.unwrap().mean().unwrap());
        }
        // Eight times the width: standard errors fall by the root of 8, if the features are independent.
        let ratio = errors[0] / errors[1];
        assert!((2.3..3.4).contains(&ratio), "standard errors fall by {ratio}");
    }
}

/// With two hidden layers the average is off by a term in `1 / width`, the same for every number of networks. Widths 8 and
/// 64 extrapolated to an infinite one, `(8 K_64 - K_8) / 7`, leave a term in `1 / (8 * 64)`, a tenth of the standard errors.
#[test]
fn deep_networks_converge_to_the_analytic_kernel_as_they_widen() {
    let dense = |width: usize| Architecture::fully_connected(&[5, width, width, 1], Activation::Relu, 1.3, 0.7);
    let conv = |width: usize| {
        let mut architecture = convolutional(width);
        let first_two = architecture.layers[..2].to_vec();
        architecture.layers.splice(0..0, first_two);
        architecture
    };
    for (build, features) in [(&dense as &dyn Fn(usize) -> Architecture, 5), (&conv, 12)] {
        let x = inputs(4, features);
        let average = |width: usize| {
            let options = KernelOptions { samples: NETWORKS / 2, seed: 13, ..KernelOptions::default() };
            empirical(&build(width), x.view(), &options)
        };
        let (narrow, wide) = (average(8), average(64));
        let matrix = (&wide.matrix * 8.0 - &narrow.matrix) / 7.0;
        let errors = (narrow.std_error.as_ref().unwrap(), wide.std_error.as_ref().unwrap());
        let std_error = Some((errors.1 * 8.0 / 7.0).powi(2) + (errors.0 / 7.0).powi(2)).map(|v| v.sqrt());
        let limit = KernelResult { matrix, std_error, ..wide };
        let z = largest_z(&limit, &build(8), x.view());
        assert!(z < Z, "{}: {z} standard errors from the analytic kernel", build(8));
        // Power: the same network without its second hidden layer is told apart.
        let mut shallow = build(8);
        shallow.layers.drain(..2);
        let z = largest_z(&limit, &shallow, x.view());
        assert!(z > Z, "{}: a missing layer is only {z} standard errors away", build(8));
    }
}

#[test]
fn threads_do_not_change_a_bit_and_saved_work_goes_on() {
    let (architecture, x) = (convolutional(3), inputs(5, 12));
    let run = |threads: usize, partial: Option<&Path>| {
        let options = KernelOptions { samples: 23, seed: 5, groups: 4, partial, ..KernelOptions::default() };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| empirical(&architecture, x.view(), &options))
    };
    let one = run(1, None);
    let same = |other: &KernelResult| {
        assert_eq!(one.matrix, other.matrix);
        assert_eq!(one.std_error, other.std_error);
        assert_eq!(one.left_out, other.left_out);
    };
    same(&run(3, None));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("k.partial");
    same(&run(2, Some(&path)));
    let resumed = run(3, Some(&path));
    assert_eq!(resumed.info.number("networks_resumed"), Some(2.0));
    same(&resumed);
    let options = KernelOptions { samples: 23, seed: 6, groups: 4, partial: Some(&path), ..KernelOptions::default() };
    let error = kernel::find("empirical").unwrap().gram(&architecture, x.view(), &options).unwrap_err();
    assert!(error.to_string().contains("belongs to another kernel"), "{error}");
}

/// For a number linear in the kernel the jackknife has no bias, and its standard error is the entry's own, with
/// 19 degrees of freedom: the ratio leaves 0.45 to 1.7 with probability below 1e-4.
#[test]
fn the_error_of_the_kernel_is_propagated() {
    let (architecture, x) = (fully_connected(8), inputs(4, 5));
    let options = KernelOptions { samples: 410, seed: 7, groups: 20, ..KernelOptions::default() };
    let result = empirical(&architecture, x.view(), &options);
    let estimate = result.propagate(|matrix| Ok::<f64, KernelError>(matrix[[0, 1]])).unwrap();
    assert_eq!(estimate.value, result.matrix[[0, 1]]);
    assert!(estimate.info.number("jackknife_bias").unwrap().abs() < 1e-12);
    let ratio = estimate.std_error.unwrap() / result.std_error.as_ref().unwrap()[[0, 1]];
    assert!((0.45..1.7).contains(&ratio), "{ratio}");
    // The square of an average is off by the average's variance.
    let square = result.propagate(|matrix| Ok::<f64, KernelError>(matrix[[0, 1]].powi(2))).unwrap();
    let bias = square.info.number("jackknife_bias").unwrap() / estimate.std_error.unwrap().powi(2);
    assert!((bias - 1.0).abs() < 0.1, "{bias}");
    let impossible = result.propagate(|_| Ok::<f64, KernelError>(f64::NEG_INFINITY)).unwrap();
    assert_eq!((impossible.value, impossible.std_error), (f64::NEG_INFINITY, Some(0.0)));
    let unsure = |matrix: ArrayView2<f64>| if matrix == result.matrix { f64::NEG_INFINITY } else { -1.0 };
    let unsure = result.propagate(|matrix| Ok::<f64, KernelError>(unsure(matrix))).unwrap();
    assert_eq!(unsure.std_error, Some(f64::INFINITY));
}

#[test]
fn a_residual_network_with_batch_norm_has_a_kernel() {
    let architecture = Architecture::read("resnet8:3x8x8-1", None, None, None).unwrap();
    let x = inputs(3, 192);
    let options = KernelOptions { samples: 2, ..KernelOptions::default() };
    let result = empirical(&architecture, x.view(), &options);
    assert!(result.matrix.iter().all(|value| value.is_finite() && *value > 0.0));
    assert_eq!(result.info.number("feature_width"), Some(64.0));
}

/// Entries that overflow where features do not.
#[test]
fn an_average_that_overflows_is_an_error() {
    let architecture = Architecture::fully_connected(&[5, 8, 1], Activation::Tanh, 1e155, 1.0);
    let x = inputs(3, 5);
    let options = KernelOptions { samples: 4, ..KernelOptions::default() };
    let error = kernel::find("empirical").unwrap().gram(&architecture, x.view(), &options).unwrap_err();
    assert!(matches!(error, KernelError::Entry { .. }), "{error}");
}

#[test]
fn what_cannot_be_is_refused() {
    let x = inputs(30, 5);
    let refusal = |architecture: &Architecture, options: KernelOptions| {
        kernel::find("empirical").unwrap().gram(architecture, x.view(), &options).unwrap_err()
    };
    let narrow = fully_connected(4);
    let few = KernelOptions { samples: 7, ..KernelOptions::default() };
    assert_eq!(refusal(&narrow, few), KernelError::Rank { samples: 7, width: 4, points: 30, needed: 8 });
    let one = refusal(&narrow, KernelOptions { samples: 1, ..few });
    assert!(matches!(one, KernelError::Samples { found: 1, .. }), "{one}");
    let ntk = refusal(&narrow, KernelOptions { kind: Kind::Ntk, ..few });
    assert_eq!(ntk, KernelError::Kind { method: "empirical" });
    let small = refusal(&narrow, KernelOptions { samples: 100, max_bytes: Some(1000), ..few });
    assert!(matches!(small, KernelError::TooLarge { limit: 1000, .. }), "{small}");
    let mut headless = narrow.clone();
    headless.layers.push(LayerSpec::Relu);
    assert_eq!(refusal(&headless, few), KernelError::NoReadout);
}

#[cfg(unix)]
#[test]
fn a_killed_run_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = format!("{}/golden/kernel/fcn2_relu_1.x.npy", env!("CARGO_MANIFEST_DIR"));
    let command = |out: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flatgauge"));
        command.args(["kernel", "--arch", "fcn:64-200-200-1", "--inputs", &inputs, "--method", "empirical"]);
        command.args(["--samples", "2000", "--seed", "3", "--out"]).arg(out);
        command
    };
    let (clean, broken) = (folder.path().join("clean.npy"), folder.path().join("broken.npy"));
    assert!(command(&clean).status().unwrap().success());
    let partial = flatgauge::io::with_appended(&broken, "partial");
    let mut child = command(&broken).spawn().unwrap();
    while !partial.exists() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it was killed");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(partial.exists() && !broken.exists(), "killed in time, and no result yet");
    assert!(command(&broken).status().unwrap().success());
    assert!(!partial.exists());
    for ending in ["npy", "std_error.npy"] {
        let [clean, broken] = [&clean, &broken].map(|path| path.with_extension(ending));
        assert_eq!(std::fs::read(&clean).unwrap(), std::fs::read(&broken).unwrap());
    }
    assert_eq!(read_npy(&clean).unwrap().shape().len(), 2);
}
