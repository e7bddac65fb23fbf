//! Estimators that compute in single precision: right ones pass as such and not as float64 ones, wrong ones fail as either.

use flatgauge::flatness::{self, measure_fn};
use flatgauge::gate::{Context, Gate, Report, Tier, Verdict};
use flatgauge::kernel::{self, Kind, kernel_fn};
use flatgauge::numeric::{Dtype, Estimate, Info};
use ndarray::Array2;

/// The verdict on a registered measure whose answers are off by this share of themselves, up or down as their bits say.
fn judge(id: &str, dtype: Dtype, error: f64) -> Report {
    let registered = flatness::find(id).unwrap();
    let off = measure_fn(id, move |point, options| {
        let answer = registered.evaluate(point, options)?;
        let sign = if answer.value.to_bits().count_ones() % 2 == 0 { 1.0 } else { -1.0 };
        Ok(Estimate { value: answer.value * (1.0 + sign * error), ..answer })
    });
    Gate::quick().measure(&off.in_dtype(dtype)).report()
}

fn reasons(report: &Report) -> String {
    let failed = report.laws.iter().filter(|outcome| outcome.verdict == Verdict::Fail);
    let lines = failed.map(|o| format!("{}/{}/{}: {}", o.law, o.estimator, o.case, o.reason));
    lines.take(5).collect::<Vec<_>>().join("\n")
}

/// Numbers that single precision holds, and most of the corpus in it.
#[test]
fn cases_are_rounded_to_the_format() {
    let context = Context::new(Vec::new(), Vec::new(), false, Tier::Quick, 0);
    let (all, held) = (context.networks(Dtype::Float64), context.networks(Dtype::Float32));
    let left_out: Vec<_> =
        all.iter().map(|case| &case.name).filter(|name| held.iter().all(|case| case.name != **name)).collect();
    println!("left out, of {}: {left_out:?}", all.len());
    assert!(held.len() >= 15 && 2 * held.len() >= all.len(), "{} of {}", held.len(), all.len());
    for case in held.iter() {
        let network = &case.network;
        let numbers = network.theta().iter().chain(network.buffers()).chain(&case.inputs).chain(&case.targets);
        for number in numbers {
            assert_eq!(f64::from(*number as f32).to_bits(), number.to_bits(), "{}: {number:e}", case.name);
        }
        assert!(case.alphas.iter().all(|alpha| alpha.log2().fract() == 0.0), "{}: {:?}", case.name, case.alphas);
    }
    assert!(held.iter().any(|case| !case.alphas.is_empty()) && held.iter().any(|case| case.rescalings));
}

/// An error of 1e-4, a thousand roundings of single precision, is none in float32 and a fault in float64; one of 3% is a
/// fault in either. Measures whose answers are draws have errors of that size themselves.
#[test]
fn every_measure_is_judged_by_its_format() {
    for measure in flatness::registry().iter().filter(|measure| !measure.is_stochastic()) {
        let id = measure.id();
        let right = judge(id, Dtype::Float32, 1e-4);
        assert_eq!(right.verdict, Verdict::Pass, "{id}: {}", reasons(&right));
        assert_eq!(judge(id, Dtype::Float64, 1e-4).verdict, Verdict::Fail, "{id} in float64");
        assert_eq!(judge(id, Dtype::Float32, 0.03).verdict, Verdict::Fail, "{id} off by 3%");
    }
}

#[test]
fn answers_without_content_fail_in_single_precision_too() {
    for value in [0.0, 1.0, 1e30] {
        let constant = measure_fn("hessian_trace", |_, _| Ok(Estimate::deterministic(value, Info::new())));
        let report = Gate::quick().measure(&constant.in_dtype(Dtype::Float32)).report();
        assert_eq!(report.verdict, Verdict::Fail, "the constant {value}");
    }
}

#[test]
fn kernels_are_judged_by_their_format() {
    let built_in = kernel::find("analytic").unwrap();
    let gram = |power: f64| {
        kernel_fn("mine", &[Kind::Nngp, Kind::Ntk], move |architecture, inputs, options| {
            let mut result = built_in.gram(architecture, inputs, options)?;
            // A share of every entry is lost, and single precision keeps the rest.
            result.matrix = result.matrix.mapv(|entry| f64::from((entry * power) as f32));
            Ok(result)
        })
    };
    let judge = |power: f64, dtype: Dtype| Gate::quick().kernel(&gram(power).in_dtype(dtype)).report();
    let right = judge(1.0, Dtype::Float32);
    assert_eq!(right.verdict, Verdict::Pass, "{}", reasons(&right));
    assert_eq!(judge(1.0, Dtype::Float64).verdict, Verdict::Fail);
    // A common factor breaks no symmetry, but certified values see it.
    assert_eq!(judge(0.98, Dtype::Float32).verdict, Verdict::Fail);
}

/// Products of float32, added in float32: the Hessian of a scalar oracle kept to eight digits, its trace summed so.
#[test]
fn a_trace_added_in_single_precision_passes() {
    let trace = measure_fn("hessian_trace", |point, _| {
        let basis = Array2::eye(point.theta().len());
        let products = point.linearisation.hessian_products(basis.view());
        let sum: f32 = products.diag().iter().map(|entry| *entry as f32).sum();
        Ok(Estimate::deterministic(f64::from(sum), Info::new()))
    });
    assert_eq!(Gate::quick().measure(&trace).report().verdict, Verdict::Fail);
    let report = Gate::quick().measure(&trace.in_dtype(Dtype::Float32)).report();
    assert_eq!(report.verdict, Verdict::Pass, "{}", reasons(&report));
}
