//! A measure from a closure: what an estimator needs to be held to the laws, in one call.

use crate::description::Description;
use crate::flatness::{self, FlatnessError, Measure, Options, Point, Responses};
use crate::numeric::{Dtype, Estimate};

/// A closure in the place of a registered measure; see [`measure_fn`].
#[derive(Clone, Copy)]
pub struct MeasureFn<F> {
    registered: &'static dyn Measure,
    evaluate: F,
    dtype: Dtype,
}

impl<F> MeasureFn<F> {
    /// The same, held to the laws as an estimator that computes in this format.
    pub fn in_dtype(self, dtype: Dtype) -> Self {
        Self { dtype, ..self }
    }
}

/// The closure `evaluate` as an estimator of the registered measure `id`. It is held to that measure's laws, definition and
/// certified values, and takes its description and its responses to rescalings from the registry.
///
/// ```
/// use flatgauge::flatness::measure_fn;
/// use flatgauge::gate::Gate;
/// use flatgauge::numeric::{Estimate, Info};
///
/// let my_trace = measure_fn("hessian_trace", |point, _| {
///     let basis = ndarray::Array2::eye(point.theta().len());
///     let hessian = point.linearisation.hessian_products(basis.view());
///     Ok(Estimate::deterministic(hessian.diag().sum(), Info::new()))
/// });
/// Gate::quick().measure(&my_trace).assert();
/// ```
///
/// # Panics
/// If no measure is called `id` ([`flatness::registry`] lists them): a measure of one's own implements [`Measure`].
#[track_caller]
pub fn measure_fn<F>(id: &str, evaluate: F) -> MeasureFn<F>
where
    F: Fn(&Point, &Options) -> Result<Estimate, FlatnessError> + Send + Sync,
{
    let known = || flatness::registry().iter().map(|measure| measure.id()).collect::<Vec<_>>().join(", ");
    match flatness::find(id) {
        Some(registered) => MeasureFn { registered, evaluate, dtype: Dtype::Float64 },
        None => panic!("there is no measure '{id}', expected one of {}", known()),
    }
}

impl<F> Measure for MeasureFn<F>
where
    F: Fn(&Point, &Options) -> Result<Estimate, FlatnessError> + Send + Sync,
{
    fn id(&self) -> &'static str {
        self.registered.id()
    }

    fn summary(&self) -> &'static str {
        self.registered.summary()
    }

    fn source(&self) -> &'static str {
        self.registered.source()
    }

    fn description(&self) -> Option<&'static Description> {
        self.registered.description()
    }

    fn responses(&self) -> Responses {
        self.registered.responses()
    }

    fn is_stochastic(&self) -> bool {
        self.registered.is_stochastic()
    }

    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        (self.evaluate)(point, options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::Info;

    #[test]
    fn the_registry_describes_it() {
        let constant = measure_fn("path_norm", |_, _| Ok(Estimate::deterministic(1.0, Info::new())));
        let registered = flatness::find("path_norm").unwrap();
        assert_eq!(constant.responses(), registered.responses());
        assert_eq!((constant.id(), constant.source()), ("path_norm", registered.source()));
    }

    #[test]
    #[should_panic(expected = "there is no measure 'hessian_tracee', expected one of keskar_sharpness")]
    fn an_unknown_id_is_named() {
        measure_fn("hessian_tracee", |_, _| Ok(Estimate::deterministic(1.0, Info::new())));
    }
}
