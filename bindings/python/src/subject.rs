//! Python callables in the place of a measure, a method for log P(f), and a method for kernels.

use crate::arrays::{matrix, vector};
use flatgauge::flatness::{FlatnessError, Measure, Options, Point, Responses};
use flatgauge::kernel::{KernelError, KernelMethod, KernelOptions, KernelResult, Kind};
use flatgauge::model::Architecture;
use flatgauge::numeric::{Dtype, Estimate, Info};
use flatgauge::prior::{Exactness, Gram, Labels, Link, LogProb, LogProbMethod, PriorError, PriorOptions};
use ndarray::{Array2, ArrayView2};
use numpy::{IntoPyArray, PyReadonlyArray2};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Why a callable gave no number.
enum NoNumber {
    /// It said that it does not cover the case.
    Skip(String),
    /// It raised.
    Fault(String),
}

/// A callable, and what it raised.
pub struct Callable {
    estimate: Py<PyAny>,
    raised: Mutex<Option<PyErr>>,
    cancelled: AtomicBool,
}

impl Callable {
    /// A callable that has raised nothing yet.
    pub fn new(estimate: Py<PyAny>) -> Self {
        Self { estimate, raised: Mutex::new(None), cancelled: AtomicBool::new(false) }
    }

    fn raised(&self) -> MutexGuard<'_, Option<PyErr>> {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it raised since this was last asked: the first exception, or what ended it (Ctrl-C).
    pub fn take(&self) -> Option<PyErr> {
        self.raised().take()
    }

    /// From now on it is not called any more.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether something that is no `Exception` asks to end the run: `KeyboardInterrupt`, `SystemExit`, pytest's own.
    fn ended(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
            || Python::attach(|py| self.raised().as_ref().is_some_and(|error| !error.is_instance_of::<PyException>(py)))
    }

    /// Calls `flatgauge._gate.NAME(estimate, **case)`, which makes a case of its words, calls the estimator and reads
    /// its answer.
    fn ask<T>(
        &self,
        name: &str,
        case: impl FnOnce(&Bound<PyDict>) -> PyResult<()>,
        read: impl FnOnce(&Bound<PyAny>) -> PyResult<T>,
    ) -> Result<T, NoNumber> {
        if self.ended() {
            return Err(NoNumber::Fault("not asked: the run was ended".to_owned()));
        }
        Python::attach(|py| {
            let answer = (|| {
                let words = PyDict::new(py);
                case(&words)?;
                let function = py.import("flatgauge._gate")?.getattr(name)?;
                read(&function.call(PyTuple::new(py, [&self.estimate])?, Some(&words))?)
            })();
            answer.map_err(|error| self.note(py, error))
        })
    }

    fn note(&self, py: Python, error: PyErr) -> NoNumber {
        let skipped = py.import("flatgauge.errors").and_then(|module| module.getattr("Skipped"));
        if skipped.is_ok_and(|class| error.is_instance(py, &class)) {
            return NoNumber::Skip(error.value(py).to_string());
        }
        let name = error.get_type(py).name().map_or_else(|_| "an exception".to_owned(), |name| name.to_string());
        let text = error.value(py).to_string();
        let reason = if text.is_empty() { name } else { format!("{name}: {text}") };
        let mut raised = self.raised();
        // What ends the run counts more than what failed before.
        if raised.is_none() || !error.is_instance_of::<PyException>(py) {
            *raised = Some(error);
        }
        NoNumber::Fault(reason)
    }
}

fn estimate(value: f64, std_error: Option<f64>, error_bound: f64) -> Estimate {
    let estimate = match std_error {
        None => Estimate::deterministic(value, Info::new()),
        Some(std_error) => Estimate::stochastic(value, std_error, Info::new()),
    };
    estimate.within(error_bound)
}

/// In the place of a registered measure.
pub struct PyMeasure {
    /// The measure it claims to be.
    pub definition: &'static dyn Measure,
    /// The format it computes in.
    pub dtype: Dtype,
    /// The estimator.
    pub callable: &'static Callable,
}

impl Measure for PyMeasure {
    fn id(&self) -> &'static str {
        self.definition.id()
    }

    fn summary(&self) -> &'static str {
        "a Python callable under test"
    }

    fn source(&self) -> &'static str {
        "Python"
    }

    fn responses(&self) -> Responses {
        self.definition.responses()
    }

    fn knows_loss_scale(&self) -> bool {
        false
    }

    fn is_stochastic(&self) -> bool {
        self.definition.is_stochastic()
    }

    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        let measure = self.definition.id();
        let objective = point.objective();
        let case = |words: &Bound<PyDict>| {
            let py = words.py();
            words.set_item("measure", measure)?;
            words.set_item("architecture", json!(objective.model().architecture()).to_string())?;
            words.set_item("theta", vector(py, point.theta().to_vec()))?;
            words.set_item("buffers", vector(py, objective.buffers().to_vec()))?;
            words.set_item("inputs", matrix(py, objective.inputs().to_owned()))?;
            words.set_item("targets", matrix(py, objective.targets().to_owned()))?;
            words.set_item("loss", objective.loss().to_string())?;
            words.set_item("loss_scale", objective.scale())?;
            words.set_item("options", json!(options).to_string())?;
            words.set_item("dtype", self.dtype.name())?;
            words.set_item("seed", options.seed)
        };
        match self.callable.ask("ask_measure", case, |answer| answer.extract()) {
            Ok((value, std_error, error_bound)) => Ok(estimate(value, std_error, error_bound)),
            Err(NoNumber::Skip(reason)) => Err(FlatnessError::NotApplicable { measure, reason }),
            Err(NoNumber::Fault(reason)) => Err(FlatnessError::External { measure, reason }),
        }
    }
}

/// In the place of a method for log P(f).
pub struct PyMethod {
    /// Its name.
    pub id: &'static str,
    /// The links it offers.
    pub links: &'static [Link],
    /// What it claims to be.
    pub exactness: Exactness,
    /// The estimator.
    pub callable: &'static Callable,
}

impl LogProbMethod for PyMethod {
    fn id(&self) -> &'static str {
        self.id
    }

    fn summary(&self) -> &'static str {
        "a Python callable under test"
    }

    fn source(&self) -> &'static str {
        "Python"
    }

    fn links(&self) -> &'static [Link] {
        self.links
    }

    fn exactness(&self) -> Exactness {
        self.exactness
    }

    fn log_prob(&self, gram: &Gram, labels: &Labels, options: &PriorOptions) -> Result<LogProb, PriorError> {
        let method = self.id;
        let case = |words: &Bound<PyDict>| {
            let py = words.py();
            words.set_item("method", method)?;
            words.set_item("gram", matrix(py, gram.matrix().to_owned()))?;
            words.set_item("labels", labels.signs().to_vec().into_pyarray(py))?;
            words.set_item("link", options.link.to_string())?;
            words.set_item("seed", options.seed)
        };
        match self.callable.ask("ask_method", case, |answer| answer.extract()) {
            Ok((value, std_error, error_bound, upper_bound)) => {
                Ok(LogProb { estimate: estimate(value, std_error, error_bound), upper_bound })
            }
            Err(NoNumber::Skip(reason)) => Err(PriorError::NotApplicable { method, reason }),
            Err(NoNumber::Fault(reason)) => Err(PriorError::External { method, reason }),
        }
    }
}

/// In the place of a method for kernels.
pub struct PyKernel {
    /// Its name.
    pub id: &'static str,
    /// The kernels it offers.
    pub kinds: &'static [Kind],
    /// The format it computes in.
    pub dtype: Dtype,
    /// The estimator.
    pub callable: &'static Callable,
}

impl KernelMethod for PyKernel {
    fn id(&self) -> &'static str {
        self.id
    }

    fn summary(&self) -> &'static str {
        "a Python callable under test"
    }

    fn source(&self) -> &'static str {
        "Python"
    }

    fn kinds(&self) -> &'static [Kind] {
        self.kinds
    }

    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn gram(
        &self,
        architecture: &Architecture,
        inputs: ArrayView2<f64>,
        options: &KernelOptions,
    ) -> Result<KernelResult, KernelError> {
        let method = self.id;
        let case = |words: &Bound<PyDict>| {
            let py = words.py();
            words.set_item("architecture", json!(architecture).to_string())?;
            words.set_item("inputs", matrix(py, inputs.to_owned()))?;
            words.set_item("kind", if options.kind == Kind::Nngp { "nngp" } else { "ntk" })?;
            words.set_item("samples", options.samples)?;
            words.set_item("dtype", self.dtype.name())?;
            words.set_item("seed", options.seed)
        };
        let own = |array: PyReadonlyArray2<f64>| -> Array2<f64> {
            Array2::from_shape_vec(array.as_array().dim(), array.as_array().iter().copied().collect())
                .expect("its shape")
        };
        let read = |answer: &Bound<PyAny>| {
            let (matrix, std_error): (PyReadonlyArray2<f64>, Option<PyReadonlyArray2<f64>>) = answer.extract()?;
            Ok((own(matrix), std_error.map(own)))
        };
        match self.callable.ask("ask_kernel", case, read) {
            Ok((matrix, std_error)) => Ok(KernelResult { matrix, std_error, left_out: Vec::new(), info: Info::new() }),
            Err(NoNumber::Skip(reason)) => Err(KernelError::NotApplicable { method, reason }),
            Err(NoNumber::Fault(reason)) => Err(KernelError::External { method, reason }),
        }
    }
}
