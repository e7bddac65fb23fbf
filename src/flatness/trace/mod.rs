//! Stochastic estimators of a trace from operator products, one file each.
//!
//! Each is unbiased and states a standard error.

mod hutch_plus_plus;
mod hutchinson;
mod probes;
mod xtrace;

use probes::{exact, info, orthonormal_rows, products, sign_probes};

pub use hutch_plus_plus::hutch_plus_plus;
pub use hutchinson::hutchinson;
pub use xtrace::xtrace;

use crate::flatness::curvature::{NotFiniteProduct, SymmetricOperator};
use crate::flatness::noise::mean_and_error;
use crate::flatness::options::{Options, TraceMethod};
use crate::numeric::{Estimate, Streams};

/// The trace by the method of the options. [`TraceMethod::Auto`] is Hutch++ here: its standard error is honest without
/// splitting the budget, as XTrace has to.
///
/// # Errors
/// [`NotFiniteProduct`].
pub fn estimate(operator: &dyn SymmetricOperator, options: &Options) -> Result<Estimate, NotFiniteProduct> {
    let streams = Streams::new(options.seed);
    match options.trace {
        TraceMethod::Hutchinson => hutchinson(operator, options.product_budget, streams),
        TraceMethod::Auto | TraceMethod::HutchPlusPlus => hutch_plus_plus(operator, options.product_budget, streams),
        TraceMethod::Xtrace => xtrace(operator, options.product_budget, streams),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flatness::curvature::Matrix;
    use crate::numeric::linalg::{product, symmetric_eigen};
    use ndarray::Array2;
    use rand_distr::{Distribution, StandardNormal};

    type Estimator = fn(&dyn SymmetricOperator, usize, Streams) -> Result<Estimate, NotFiniteProduct>;
    const ESTIMATORS: [(&str, Estimator); 3] =
        [("hutchinson", hutchinson), ("hutch++", hutch_plus_plus), ("xtrace", xtrace)];

    fn with_spectrum(values: &[f64]) -> Matrix {
        let n = values.len();
        let mut generator = Streams::new(5).stream("spectrum", 0);
        let random = Array2::from_shape_simple_fn((n, n), || StandardNormal.sample(&mut generator));
        let (_, vectors) = symmetric_eigen((&random + &random.t()).view());
        Matrix(product((&vectors * &ndarray::Array1::from(values.to_vec())).view(), vectors.t()))
    }

    /// 600 repeats, seeds 0 to 599. The mean error exceeds 4.5 of its own standard errors with probability
    /// `7e-6`. The mean of the stated variances and the variance of the errors each have a relative standard
    /// error below 0.1 here (chi-squared with some excess kurtosis), so their ratio leaves [0.6, 1.6] with
    /// probability below `1e-4` if the statement is honest; a standard error that is off by a factor 1.3
    /// (ratio 0.59 or 1.69) is caught with probability above 1/2, one off by 1.5 always.
    #[test]
    fn standard_errors_are_honest_and_there_is_no_bias() {
        let decaying: Vec<f64> = (0..80).map(|k| 100.0 * 0.8_f64.powi(k) - 0.05 * f64::from(k % 7)).collect();
        let flat: Vec<f64> = (0..80).map(|k| 1.0 + f64::from(k % 5) - f64::from(k % 2)).collect();
        for spectrum in [decaying, flat] {
            let matrix = with_spectrum(&spectrum);
            let truth: f64 = spectrum.iter().sum();
            for (name, estimator) in ESTIMATORS {
                let results: Vec<Estimate> =
                    (0..600).map(|seed| estimator(&matrix, 24, Streams::new(seed)).unwrap()).collect();
                let errors: Vec<f64> = results.iter().map(|result| result.value - truth).collect();
                let (bias, bias_error) = mean_and_error(&errors);
                assert!(bias.abs() < 4.5 * bias_error, "{name}: bias {bias} with standard error {bias_error}");
                let variance = bias_error * bias_error * 600.0;
                let stated = results.iter().map(|result| result.std_error.unwrap().powi(2)).sum::<f64>() / 600.0;
                let ratio = stated / variance;
                println!("{name}: deviation {:.4}, stated/true variance {ratio:.3}", variance.sqrt());
                assert!((0.6..1.6).contains(&ratio), "{name}: stated over true variance {ratio}");
                for result in &results {
                    assert!(result.info.number("products").unwrap() <= 24.0, "{name} overspent");
                }
            }
        }
    }

    #[test]
    fn low_rank_is_found_exactly_by_the_projecting_methods() {
        let mut spectrum = vec![0.0; 60];
        spectrum[..4].copy_from_slice(&[5.0, -3.0, 2.0, 0.5]);
        let matrix = with_spectrum(&spectrum);
        for (name, estimator) in &ESTIMATORS[1..] {
            let found = estimator(&matrix, 48, Streams::new(1)).unwrap();
            assert!((found.value - 4.5).abs() < 1e-12, "{name}: {}", found.value);
            assert!(found.std_error.unwrap() < 1e-12, "{name}");
        }
    }

    #[test]
    fn a_budget_beyond_the_dimension_gives_the_trace() {
        let matrix = with_spectrum(&[3.0, 1.0, -2.0]);
        for (name, estimator) in &ESTIMATORS[1..] {
            let found = estimator(&matrix, 40, Streams::new(0)).unwrap();
            assert!((found.value - 2.0).abs() < 1e-12, "{name}: {}", found.value);
        }
    }

    /// NaN in the second product only, as from an operator that fails now and then.
    struct Undefined(std::sync::atomic::AtomicUsize);

    impl SymmetricOperator for Undefined {
        fn dimension(&self) -> usize {
            40
        }

        fn products(&self, vectors: ndarray::ArrayView2<f64>) -> Array2<f64> {
            let call = self.0.fetch_add(vectors.nrows(), std::sync::atomic::Ordering::Relaxed);
            let mut out = vectors.to_owned();
            if call + vectors.nrows() > 1 {
                out[[vectors.nrows() - 1, 3]] = f64::NAN;
            }
            out
        }
    }

    #[test]
    fn undefined_products_are_errors_and_never_values() {
        for (name, estimator) in ESTIMATORS {
            for count in [24, 100] {
                let found = estimator(&Undefined(0.into()), count, Streams::new(0));
                assert!(found.is_err(), "{name}: {found:?}");
            }
        }
    }

    #[test]
    fn standard_errors_neither_overflow_nor_underflow() {
        let matrix = with_spectrum(&(0..60).map(|k| 1.0 + f64::from(k % 5)).collect::<Vec<_>>());
        for (name, estimator) in ESTIMATORS {
            let base = estimator(&matrix, 24, Streams::new(0)).unwrap();
            for scale in [2_f64.powi(-900), 2_f64.powi(900)] {
                let found = estimator(&Matrix(&matrix.0 * scale), 24, Streams::new(0)).unwrap();
                let share = |found: f64, base: f64| (found / scale - base).abs() <= 1e-12 * base;
                assert!(share(found.value, base.value), "{name}: {} and {}", found.value, base.value);
                assert!(share(found.std_error.unwrap(), base.std_error.unwrap()), "{name} at {scale:e}");
            }
        }
    }
}
