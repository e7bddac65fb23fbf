//! Holds an estimator of the Hessian trace to the laws: one that is right, and one with a common error.
//!
//!     cargo run --example hold_an_estimator
//!
//! The right one adds up the diagonal of the Hessian from its products with the basis vectors. The wrong one takes the
//! squared gradient of the mean loss for the curvature.

use flatgauge::flatness::measure_fn;
use flatgauge::gate::{Gate, Verdict};
use flatgauge::numeric::{Estimate, Info};

fn main() {
    let right = measure_fn("hessian_trace", |point, _options| {
        let basis = ndarray::Array2::eye(point.theta().len());
        let hessian = point.linearisation.hessian_products(basis.view());
        Ok(Estimate::deterministic(hessian.diag().sum(), Info::new()))
    });
    let wrong = measure_fn("hessian_trace", |point, _options| {
        let squares = point.linearisation.gradient().iter().map(|g| g * g);
        Ok(Estimate::deterministic(squares.sum(), Info::new()))
    });

    let report = Gate::quick().measure(&right).report();
    println!("right: {} checks hold, {} fail", report.counts.pass, report.counts.fail);
    assert_eq!(report.verdict, Verdict::Pass);

    let report = Gate::quick().measure(&wrong).report();
    println!("wrong: {} checks hold, {} fail, the first of them", report.counts.pass, report.counts.fail);
    let first = report.laws.iter().find(|outcome| outcome.verdict == Verdict::Fail).expect("it is wrong");
    println!("  {} on {}: {}", first.law, first.case, first.reason);
    println!("  alone: {}", first.reproduce);
    assert_eq!(report.verdict, Verdict::Fail);
}
