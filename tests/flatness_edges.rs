//! Flatness measures at the edges: saturated losses, numbers near the ends of f64, places where nothing moves, kinks, and
//! parameters for which no measure has a value. Every test is named after a kind of fault, and takes inputs of that
//! kind; expected values are closed forms.

use flatgauge::flatness::options::{AscentKind, Norm, TraceMethod};
use flatgauge::flatness::{self, FlatnessError, Options, Point};
use flatgauge::model::{Activation, Architecture, LayerSpec, Loss, Model, Network, Objective, save_network};
use flatgauge::numeric::{Estimate, InfoValue};
use flatgauge::rescale::{LayerAlpha, Rescaling};
use ndarray::{Array2, array};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

/// Relative error of sums of a few products, with room for an eigenvalue iterated to `1e-10`.
const CLOSE: f64 = 1e-9;

fn dense_network(widths: &[usize], activation: Activation, theta: &[f64]) -> Network {
    let architecture = Architecture::fully_connected(widths, activation, 1.0, 1.0);
    Network::new(Arc::new(Model::new(architecture).unwrap()), theta.to_vec())
}

fn relu(widths: &[usize], theta: &[f64]) -> Network {
    dense_network(widths, Activation::Relu, theta)
}

/// A network, its loss and its data.
struct Case(Network, Loss, Array2<f64>, Array2<f64>);

impl Case {
    fn measure(&self, id: &str, options: &Options) -> Result<Estimate, FlatnessError> {
        let objective = Objective::new(&self.0, self.1, self.2.view(), self.3.view()).unwrap();
        flatness::find(id).unwrap().evaluate(&Point::new(objective, self.0.theta()), options)
    }

    fn estimate(&self, id: &str) -> Estimate {
        self.measure(id, &Options::default()).unwrap_or_else(|error| panic!("{id}: {error}"))
    }

    fn value(&self, id: &str) -> f64 {
        self.estimate(id).value
    }

    #[track_caller]
    fn expect(&self, id: &str, expected: f64) {
        let found = self.value(id);
        assert!((found - expected).abs() <= CLOSE * expected.abs(), "{id}: {found:e} for {expected:e}");
    }
}

fn sigmoid(z: f64) -> f64 {
    if z > 0.0 { 1.0 / (1.0 + (-z).exp()) } else { z.exp() / (1.0 + z.exp()) }
}

/// `fcn:1-2` with weights 0 and biases `(z, 0)` at x = 1: with `c = s(z) s(-z)` the Hessian is `2 c` along
/// `(1, -1) x (1, 1) / 2` times 2, and 0 across it.
fn two_classes(z: f64, label: f64) -> Case {
    Case(relu(&[1, 2], &[0.0, 0.0, z, 0.0]), Loss::Ce, array![[1.0]], array![[label]])
}

#[test]
fn saturated_cross_entropy_is_right_at_every_margin() {
    for z in [0.0, 3.0, 10.0, 15.0, 20.0, 25.0, 30.0, 36.0, 38.0, 40.0, 100.0, 300.0, 400.0, 600.0, 690.0] {
        for label in [0.0, 1.0] {
            let case = two_classes(z, label);
            let curvature = sigmoid(z) * sigmoid(-z);
            for id in ["hessian_trace", "hessian_max_eigenvalue", "hessian_spectral_norm", "hessian_frobenius"] {
                case.expect(id, 4.0 * curvature);
            }
            case.expect("spectral_density", curvature);
            case.expect("fisher_rao", curvature * z * z);
            let info = case.estimate("hessian_trace").info;
            let margin = if label == 0.0 { z } else { -z };
            let loss = if margin > 0.0 { (-margin).exp().ln_1p() } else { -margin + margin.exp().ln_1p() };
            assert!((info.number("loss").unwrap() - loss).abs() <= 1e-13 * loss, "loss at {z}");
            let slope = 2.0 * sigmoid(-margin);
            assert!((info.number("gradient_norm").unwrap() - slope).abs() <= 1e-13 * slope, "gradient at {z}");
        }
    }
}

/// Beyond a margin of 708 curvatures are subnormal numbers and then 0: values to the digits these have, and no panic.
#[test]
fn subnormal_curvature_of_cross_entropy_is_a_value_and_no_panic() {
    for z in [705.0, 708.0, 709.0, 710.0, 712.0, 720.0, 740.0, 744.0, 745.0, 746.0, 800.0, 1e6] {
        for (case, count) in [
            (two_classes(z, 0.0), 4.0),
            (Case(relu(&[1, 3], &[0.0, 0.0, 0.0, z, 0.0, -z]), Loss::Ce, array![[1.0]], array![[0.0]]), 4.0),
            (Case(relu(&[1, 1], &[0.0, z]), Loss::Bce, array![[1.0]], array![[1.0]]), 2.0),
        ] {
            let trace = count * (-z).exp();
            for id in ["hessian_trace", "hessian_max_eigenvalue", "hessian_spectral_norm", "hessian_frobenius"] {
                let value = case.value(id);
                assert!((value - trace).abs() <= 1e-9 * trace + 1e-322, "{id} at {z}: {value:e} for {trace:e}");
            }
            let density = case.estimate("spectral_density");
            let Some(InfoValue::Reals(density)) = density.info.get("density") else { panic!("no density") };
            assert!(density.iter().all(|value| value.is_finite()), "density at {z}");
        }
    }
}

/// Three classes and two samples through a hidden tanh layer: tr H against the sum over all second differences of an
/// expression of the loss that does not cancel.
#[test]
fn saturated_tanh_units_keep_their_slope() {
    for depth in [2.0, 8.0, 15.0, 18.5, 20.0, 25.0] {
        // f = v tanh(w x + b) at w x + b = depth: with s = sech^2, H = 2 (g g^T + (f - y) f'').
        let (v, y) = (1.5, 0.25);
        let theta = [depth - 0.5, 0.5, v, 0.0];
        let case = Case(dense_network(&[1, 1, 1], Activation::Tanh, &theta), Loss::Mse, array![[1.0]], array![[y]]);
        let (t, s) = (f64::tanh(depth), 1.0 / (depth.cosh() * depth.cosh()));
        let diagonal = |residual: f64| 2.0 * (v * s * v * s + residual * v * -2.0 * t * s);
        let expected =
            2.0 * theta[0] * theta[0] * diagonal(v * t - y) / 2.0 + 0.25 * diagonal(v * t - y) + v * v * 2.0 * t * t;
        case.expect("filter_weighted_trace", expected);
        // The hidden layer's own curvature, which is nothing but the slope.
        let Some(InfoValue::Reals(traces)) = case.estimate("hessian_trace").info.get("tensor_traces").cloned() else {
            panic!("no traces of tensors")
        };
        let hidden = diagonal(v * t - y);
        assert!((traces[0] - hidden).abs() <= CLOSE * hidden.abs(), "{:e} for {hidden:e} at {depth}", traces[0]);
    }
}

/// `fcn:1-1` with bce at logit `w`: H = s(w) s(-w) (1 1; 1 1).
#[test]
fn tiny_curvature_has_its_eigenvalue_and_norms() {
    for w in [300.0, 360.0, 370.0, 380.0, 400.0, 500.0, 600.0, 680.0] {
        let case = Case(relu(&[1, 1], &[w, 0.0]), Loss::Bce, array![[1.0]], array![[1.0]]);
        let expected = 2.0 * sigmoid(w) * sigmoid(-w);
        for id in ["hessian_trace", "hessian_max_eigenvalue", "hessian_spectral_norm", "hessian_frobenius"] {
            case.expect(id, expected);
        }
        case.expect("spectral_density", expected / 2.0);
        let stochastic = Options { dense_limit: 0, ..Options::default() };
        let frobenius = case.measure("hessian_frobenius", &stochastic).unwrap();
        assert!((frobenius.value - expected).abs() <= CLOSE * expected, "{:e} for {expected:e}", frobenius.value);
        // The same size from a softmax, whose Hessian maps ones to 0.
        let frobenius = two_classes(w, 0.0).measure("hessian_frobenius", &stochastic).unwrap();
        assert!((frobenius.value / expected / 2.0 - 1.0).abs() <= CLOSE, "{:e} for {expected:e}", frobenius.value);
    }
}

/// mse with input x: H = 2 (x^2 x; x 1), whose eigenvalues are 0 and 2 (x^2 + 1).
#[test]
fn huge_curvature_has_its_eigenvalue_and_norms_or_a_named_error() {
    for x in [1e70, 1e77, 1e100, 1e120, 1e150] {
        let case = Case(relu(&[1, 1], &[0.0, 0.5]), Loss::Mse, array![[x]], array![[0.25]]);
        for id in ["hessian_trace", "hessian_max_eigenvalue", "hessian_spectral_norm", "hessian_frobenius"] {
            case.expect(id, 2.0 * x * x);
        }
        let stochastic = Options { dense_limit: 0, ..Options::default() };
        let frobenius = case.measure("hessian_frobenius", &stochastic).unwrap();
        assert!((frobenius.value / x / x / 2.0 - 1.0).abs() <= CLOSE, "{:e}", frobenius.value);
    }
    // 2 x^2 is beyond f64: nobody says a number.
    let case = Case(relu(&[1, 1], &[0.0, 0.5]), Loss::Mse, array![[1e155]], array![[0.25]]);
    for id in
        ["hessian_trace", "hessian_max_eigenvalue", "hessian_spectral_norm", "hessian_frobenius", "hessian_log_det"]
    {
        let error = case.measure(id, &Options::default()).unwrap_err().to_string();
        assert!(error.contains(id) && error.contains("expected a finite number"), "{error}");
    }
}

#[test]
fn norms_of_huge_and_tiny_parameters_are_neither_infinite_nor_zero() {
    for scale in [1e-300, 1e-200, 1e-170, 1e-162, 1.0, 1e155, 1e160, 1e200, 1e300] {
        let theta = [3.0 * scale, 4.0 * scale, 2.0 / scale, 0.0];
        let case = Case(relu(&[1, 1, 1], &theta), Loss::Bce, array![[1.0]], array![[1.0]]);
        case.expect("path_norm", 10.0);
        let expected = if scale < 1.0 { 2.0 / scale } else { 5.0 * scale };
        if scale != 1.0 {
            case.expect("parameter_norm", expected);
        }
        let only = Case(relu(&[1, 1], &[3.0 * scale, -4.0 * scale]), Loss::Bce, array![[1.0]], array![[0.0]]);
        only.expect("parameter_norm", 5.0 * scale);
        only.expect("path_norm", 5.0 * scale);
    }
    let case = Case(relu(&[1, 1], &[1.7e308, 1.7e308]), Loss::Bce, array![[1.0]], array![[1.0]]);
    let error = case.measure("parameter_norm", &Options::default()).unwrap_err().to_string();
    assert!(error.contains("parameter_norm: the norm is inf"), "{error}");
}

/// Weights `w` behind the curvature of a loss at scale `1 / w`: relative measures do not see `w`.
#[test]
fn relative_measures_do_not_depend_on_the_scale_of_weights() {
    let at = |scale: f64| {
        let theta = [1.0 * scale, -2.0 * scale, 0.5 * scale, 1.0 * scale, 0.3 / scale, -0.2 / scale, 0.2];
        Case(relu(&[1, 2, 1], &theta), Loss::Bce, array![[1.0], [0.3]], array![[1.0], [0.0]])
    };
    let plain = at(1.0);
    for exponent in [-900, -500, 500, 900] {
        let scaled = at(2_f64.powi(exponent));
        for id in
            ["filter_weighted_trace", "layer_normalised_trace", "fisher_rao", "relative_flatness", "adaptive_sharpness"]
        {
            if exponent.abs() > 600 && id != "fisher_rao" {
                continue;
            }
            scaled.expect(id, plain.value(id));
        }
    }
}

/// The right answers: a convex parabola over a box has its maximum at a corner.
#[test]
fn sharpness_at_stationary_points_and_flat_corners() {
    let keskar = |case: &Case, eps: f64| {
        case.measure("keskar_sharpness", &Options { box_radius: eps, ..Options::default() }).unwrap()
    };
    // (w x + b)^2 at a root: the corner moves the output by eps ((|w| + 1) |x| + |b| + 1).
    for (w, b, x) in
        [(0.0, 0.0, 1.0), (1.0, -1.0, 1.0), (-2.0, 2.0, 1.0), (0.5, -1.0, 2.0), (0.0, 0.0, -3.0), (3.0, 0.0, 0.0)]
    {
        let case = Case(relu(&[1, 1], &[w, b]), Loss::Mse, array![[x]], array![[0.0]]);
        for eps in [1e-4, 1e-2] {
            let moved: f64 = eps * ((w.abs() + 1.0) * f64::abs(x) + b.abs() + 1.0);
            let found = keskar(&case, eps);
            let expected = 100.0 * moved * moved;
            assert!(
                (found.value - expected).abs() <= CLOSE * expected,
                "{} for {expected} at ({w}, {b}), {x}",
                found.value
            );
            for ascent in ["sign_converged", "lbfgsb_converged"] {
                assert_eq!(found.info.get(ascent), Some(&InfoValue::Flag(true)), "{ascent}");
            }
            // SGD has not moved, and does not call that a maximum.
            assert_eq!(
                found.info.get("sgd_converged"),
                Some(&InfoValue::Flag(found.info.number("sgd_value") > Some(0.0)))
            );
        }
        if w != 0.0 && b != 0.0 {
            let adaptive = |p| case.measure("adaptive_sharpness", &Options { norm: p, ..Options::default() }).unwrap();
            // Along the gradient in relative units: rho |(w x, b)|; at the corner rho (|w x| + |b|).
            let (two, infinity) = (0.05 * f64::hypot(w * x, b), 0.05 * (f64::abs(w * x) + b.abs()));
            for (found, moved) in [(adaptive(Norm::Two), two), (adaptive(Norm::Infinity), infinity)] {
                let expected = moved * moved;
                assert!((found.value - expected).abs() <= 1e-8 * expected, "{} for {expected}", found.value);
                assert_eq!(found.info.get("converged"), Some(&InfoValue::Flag(true)));
            }
        }
    }
    assert!(
        (keskar(&Case(relu(&[1, 1], &[0.0, 0.0]), Loss::Mse, array![[1.0]], array![[0.0]]), 1e-2).value - 0.04).abs()
            < 1e-10
    );
    assert!(
        (keskar(&Case(relu(&[1, 1], &[1.0, -1.0]), Loss::Mse, array![[1.0]], array![[0.0]]), 1e-2).value - 0.16).abs()
            < 1e-10
    );
}

/// Two outputs at a minimum, one of whose parameters are all 0: the outward corner moves the other one alone.
#[test]
fn coordinates_that_no_start_moves_are_moved_by_curvature() {
    for inputs in [1, 2, 6] {
        let mut theta = vec![0.0; 2 * inputs + 2];
        theta[0] = 1.0;
        let mut x = Array2::zeros((1, inputs));
        x.fill(1.0);
        let case = Case(relu(&[inputs, 2], &theta), Loss::Mse, x, array![[1.0, 0.0]]);
        let eps = 1e-3;
        let (first, second) = (eps * (2.0 + inputs as f64), eps * (inputs as f64 + 1.0));
        let expected = 100.0 * (first * first + second * second);
        for ascents in [vec![AscentKind::Sign], vec![AscentKind::Lbfgsb]] {
            let options = Options { box_radius: eps, ascents, ..Options::default() };
            let found = case.measure("keskar_sharpness", &options).unwrap().value;
            assert!((found - expected).abs() <= CLOSE * expected, "{found} for {expected} with {inputs} inputs");
        }
    }
}

/// Parameters that are all 0 in a smooth network: curvature lies off the diagonal, and each hidden unit has a direction
/// of its own. The best of all 8192 corners is known by trying them.
#[test]
fn every_direction_of_curvature_at_the_origin_is_taken() {
    for activation in [Activation::Tanh, Activation::Erf] {
        let network = dense_network(&[2, 3, 1], activation, &[0.0; 13]);
        let inputs = array![[1.0, -0.4], [-0.7, 0.9], [0.3, 1.2], [-0.2, -1.1]];
        let case = Case(network, Loss::Bce, inputs, array![[1.0], [0.0], [1.0], [0.0]]);
        let eps = 0.05;
        let objective = Objective::new(&case.0, case.1, case.2.view(), case.3.view()).unwrap();
        let loss = objective.value(case.0.theta());
        let corner = |number: u32| -> Vec<f64> {
            (0..13).map(|index| if number >> index & 1 == 1 { eps } else { -eps }).collect()
        };
        let best = (0..1 << 13).map(|number| objective.value(&corner(number))).fold(loss, f64::max);
        let expected = 100.0 * (best - loss) / (1.0 + loss);
        let found = case.measure("keskar_sharpness", &Options { box_radius: eps, ..Options::default() }).unwrap().value;
        println!("{activation}: {found} of {expected}");
        assert!(found >= 0.99 * expected, "{activation}: {found} of {expected}");
    }
}

/// All units dead: the loss sees the output bias alone, where both labels balance it.
#[test]
fn sharpness_of_a_dead_network_is_that_of_its_output_bias() {
    let mut theta = vec![0.3; 6];
    theta.extend([-9.0; 3]);
    theta.extend([0.2; 9]);
    theta.extend([-3.0; 3]);
    theta.extend([0.7; 3]);
    theta.push(0.0);
    let case = Case(relu(&[2, 3, 3, 1], &theta), Loss::Bce, array![[1.0, 0.5], [-0.5, 0.2]], array![[1.0], [0.0]]);
    let loss = std::f64::consts::LN_2;
    for eps in [1e-4, 1e-2] {
        let rise = 0.5 * (f64::exp(eps).ln_1p() + f64::exp(-eps).ln_1p()) - loss;
        let found = case.measure("keskar_sharpness", &Options { box_radius: eps, ..Options::default() }).unwrap().value;
        // A difference of two losses of order one.
        assert!((found - 100.0 * rise / (1.0 + loss)).abs() < 1e-13, "{found:e} for {rise:e}");
    }
}

#[test]
fn pre_activations_that_cancel_are_reported() {
    for (w, x) in [(2.6, 5.6), (0.7, 1.3), (-1.1, 0.9)] {
        let network = relu(&[1, 1, 1], &[w, -w * x, 1.5, 0.2]);
        let case = Case(network.clone(), Loss::Mse, array![[x], [2.0 * x]], array![[0.7], [0.1]]);
        let rescaled = LayerAlpha { layer: 0, alpha: 0.3 }.apply(&network).unwrap();
        let moved = Case(rescaled, Loss::Mse, case.2.clone(), case.3.clone());
        for case in [&case, &moved] {
            for id in ["hessian_trace", "hessian_max_eigenvalue", "keskar_sharpness"] {
                let info = case.estimate(id).info;
                assert_eq!(info.number("near_kinks"), Some(1.0), "{id}");
            }
        }
    }
    // Zeros that no arithmetic moves are no kinks.
    let zero = Case(relu(&[1, 2, 1], &[0.0; 7]), Loss::Mse, array![[1.0]], array![[0.7]]);
    assert_eq!(zero.estimate("hessian_trace").info.number("near_kinks"), None);
}

#[test]
fn a_hessian_of_zero_has_a_density_and_standard_errors_that_are_numbers() {
    let theta = [0.3, -9.0, 1.0, 800.0];
    let dead = Case(relu(&[1, 1, 1], &theta), Loss::Bce, array![[1.0]], array![[1.0]]);
    let confident = Case(relu(&[1, 2], &[0.0, 0.0, 800.0, 0.0]), Loss::Ce, array![[1.0]], array![[0.0]]);
    for case in [dead, confident] {
        for dense_limit in [0, 3000] {
            for trace in [TraceMethod::Auto, TraceMethod::Hutchinson, TraceMethod::HutchPlusPlus, TraceMethod::Xtrace] {
                let options = Options { dense_limit, trace, ..Options::default() };
                for id in ["hessian_trace", "hessian_frobenius", "spectral_density", "hessian_max_eigenvalue"] {
                    let found = case.measure(id, &options).unwrap();
                    assert_eq!(found.value, 0.0, "{id}");
                    assert!(found.std_error.is_none_or(|error| error == 0.0), "{id}: {:?}", found.std_error);
                    for (name, value) in found.info.iter() {
                        let finite = match value {
                            InfoValue::Real(real) => real.is_finite(),
                            InfoValue::Reals(reals) => reals.iter().all(|real| real.is_finite()),
                            _ => true,
                        };
                        assert!(finite, "{id}: {name} is {value:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn losses_that_overflow_are_named_by_every_measure_that_needs_them() {
    // The logit overflows on the side of the label, where the loss is 0 and its derivatives are 0 times infinity.
    let cases = [
        Case(relu(&[1, 1], &[1e300, 1.0]), Loss::Bce, array![[1e200]], array![[1.0]]),
        Case(relu(&[1, 1], &[1e300, 1.0]), Loss::Bce, array![[1e200]], array![[0.0]]),
        Case(relu(&[1, 1], &[1e200, 1.0]), Loss::Mse, array![[1.0]], array![[1.0]]),
        Case(relu(&[1, 1, 2], &[1e200, 1.0, 1e200, -1e200, 0.0, 0.0]), Loss::Ce, array![[1.0]], array![[1.0]]),
    ];
    for case in &cases {
        for measure in flatness::registry() {
            if let Ok(estimate) = case.measure(measure.id(), &Options::default()) {
                assert!(estimate.value.is_finite(), "{} is {}", measure.id(), estimate.value);
                assert!(estimate.std_error.is_none_or(f64::is_finite), "{}: {:?}", measure.id(), estimate.std_error);
            }
        }
    }
}

/// A folder of its own for files, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("flatgauge-edges-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn flatness(&self, case: &Case, loss: &str, rest: &[&str]) -> Output {
        let [net, arch, data] = ["n.safetensors", "a.toml", "d.npz"].map(|name| self.0.join(name));
        let architecture = case.0.model().architecture();
        save_network(&net, &case.0, &BTreeMap::new()).unwrap();
        std::fs::write(&arch, toml::to_string(architecture).unwrap()).unwrap();
        flatgauge::data::write_npz(&data, case.2.view(), &architecture.input, case.3.view()).unwrap();
        let text = |path: &Path| path.display().to_string();
        Command::new(env!("CARGO_BIN_EXE_flatgauge"))
            .args(["flatness", "--net", &text(&net), "--arch", &text(&arch), "--loss", loss, "--data", &text(&data)])
            .args(rest)
            .output()
            .unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One sentence on stderr that holds the words, nothing on stdout, exit code 2.
#[track_caller]
fn refused(output: &Output, words: &[&str]) {
    let sentence = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{sentence}");
    assert!(output.stdout.is_empty() && sentence.lines().count() == 1, "{sentence}");
    for word in words {
        assert!(sentence.contains(word), "{sentence} lacks {word}");
    }
}

#[test]
fn the_command_never_prints_an_undefined_loss_or_value() {
    let folder = Folder::new("undefined");
    let overflow = Case(relu(&[1, 1], &[1e200, 1.0]), Loss::Mse, array![[1.0]], array![[1.0]]);
    for measure in ["hessian_trace", "parameter_norm", "all"] {
        let output = folder.flatness(&overflow, "mse", &["--format", "json", "--measure", measure]);
        refused(&output, &["the loss is inf", "expected a finite number"]);
    }
    let undefined = Case(relu(&[1, 1], &[1e300, 1.0]), Loss::Bce, array![[1e200]], array![[1.0]]);
    refused(&folder.flatness(&undefined, "bce", &["--measure", "hessian_trace"]), &["hessian_trace: the trace is"]);
}

#[test]
fn one_row_of_data_leaves_out_what_needs_two() {
    let folder = Folder::new("one-row");
    let theta: Vec<f64> = (0..13).map(|k| f64::from(k).cos()).collect();
    let case = Case(relu(&[2, 3, 1], &theta), Loss::Bce, array![[0.6, -1.1]], array![[1.0]]);
    let output = folder.flatness(&case, "bce", &["--format", "json"]);
    let notes = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{notes}");
    assert!(notes.contains("local_learning_coefficient does not apply") && notes.contains("left out"), "{notes}");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document["measures"].as_object().unwrap().len() >= flatness::registry().len() - 4, "{document}");
}

#[test]
fn the_command_notes_kinks() {
    let folder = Folder::new("kink");
    let network = relu(&[1, 1, 1], &[2.6, -2.6 * 5.6, 1.5, 0.2]);
    let case = Case(network, Loss::Mse, array![[1.0], [5.6]], array![[0.7], [0.1]]);
    let output = folder.flatness(&case, "mse", &["--measure", "hessian_trace"]);
    let notes = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{notes}");
    assert!(notes.contains("1 pre-activation is 0 within rounding") && notes.contains("sample 1"), "{notes}");
}

#[test]
fn negative_running_variances_are_refused_by_name() {
    let folder = Folder::new("variance");
    let mut architecture = Architecture::fully_connected(&[2, 3, 1], Activation::Relu, 1.0, 1.0);
    architecture.layers.insert(1, LayerSpec::BatchNorm);
    let model = Arc::new(Model::new(architecture).unwrap());
    for (variance, accepted) in
        [(0.0, true), (1e-300, true), (-1e-300, false), (-1e-6, false), (-1e-5, false), (-1.0, false)]
    {
        let network =
            Network::new(Arc::clone(&model), (0..model.parameter_count()).map(|k| (k as f64).sin()).collect());
        let mut buffers = network.buffers().to_vec();
        buffers[4] = variance;
        let case =
            Case(network.with_buffers(buffers), Loss::Bce, array![[0.6, -1.1], [0.2, 0.4]], array![[1.0], [0.0]]);
        let output = folder.flatness(&case, "bce", &["--measure", "hessian_trace,parameter_norm"]);
        if accepted {
            assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        } else {
            refused(&output, &["entry 1 of tensor '1.running_var'", "expected variances of at least 0"]);
        }
    }
}
