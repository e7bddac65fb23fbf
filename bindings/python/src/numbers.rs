//! The numbers as a library.

use crate::arrays::{Lent, matrix};
use crate::errors::{OrRaise, raised, unusable};
use crate::interrupt::interruptible;
use crate::network;
use flatgauge::flatness::{self, FlatnessError, Options, Point};
use flatgauge::kernel::{self, KernelOptions, Kind};
use flatgauge::model::Objective;
use flatgauge::numeric::Estimate;
use flatgauge::prior::{self, Gram, Labels, Link, LogProb, LogProbMethod, PriorError, PriorOptions, ProgressSink};
use numpy::{PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A value, its standard error, a bound on it, and diagnostics as JSON.
type Answer = (f64, Option<f64>, Option<f64>, String);

fn answer(estimate: Estimate, bound: Option<f64>) -> Answer {
    (estimate.value, estimate.std_error, bound, json!(estimate.info).to_string())
}

/// A link by its name.
pub fn link(name: &str) -> PyResult<Link> {
    [Link::Step, Link::Probit, Link::Logistic]
        .into_iter()
        .find(|link| link.to_string() == name)
        .ok_or_else(|| unusable(format!("'{name}' is no link, expected step, probit or logistic")))
}

fn method(id: &str) -> PyResult<&'static dyn LogProbMethod> {
    prior::find(id).ok_or_else(|| {
        let known: Vec<&str> = prior::registry().iter().map(|method| method.id()).collect();
        unusable(format!("'{id}' is no method of log P(f), expected one of {}", known.join(", ")))
    })
}

/// Everything that log P(f) is asked with.
struct Question {
    method: &'static dyn LogProbMethod,
    matrix: Arc<Lent>,
    labels: Vec<f64>,
    options: PriorOptions,
    jitter: f64,
}

/// What was given, seen to be in range.
fn question(
    gram: &PyReadonlyArray2<f64>,
    labels: &PyReadonlyArray1<f64>,
    id: &str,
    link_name: Option<&str>,
    limits: [Option<f64>; 2],
    seed: u64,
    jitter: f64,
) -> PyResult<(Question, Arc<AtomicBool>)> {
    for (name, value) in ["target_std_error", "max_seconds"].into_iter().zip(limits) {
        if let Some(value) = value.filter(|value| !(*value > 0.0 && value.is_finite())) {
            return Err(unusable(format!("{name} is {value}, expected a finite number above 0")));
        }
    }
    if !(jitter >= 0.0 && jitter.is_finite()) {
        return Err(unusable(format!("jitter is {jitter}, expected a finite number from 0")));
    }
    let method = method(id)?;
    let link = link_name.map_or(Ok(method.links()[0]), link)?;
    let cancelled = Arc::new(AtomicBool::new(false));
    let heard = Arc::clone(&cancelled);
    let progress = ProgressSink::new(move |_| {
        // The only way out of a method from outside: its thread ends here.
        if heard.load(Ordering::Relaxed) {
            std::panic::resume_unwind(Box::new("cancelled"));
        }
    });
    let [target_std_error, max_seconds] = limits;
    let options = PriorOptions { link, seed, target_std_error, max_seconds, progress };
    let matrix = Arc::new(Lent::new(gram));
    Ok((Question { method, matrix, labels: network::numbers(labels), options, jitter }, cancelled))
}

impl Question {
    fn inputs(&self) -> Result<(Gram, Labels), PriorError> {
        let gram = Gram::shared(Arc::<Lent>::clone(&self.matrix))?;
        let gram = if self.jitter > 0.0 { gram.with_jitter(self.jitter) } else { gram };
        let labels = Labels::from_values(&self.labels)?;
        match (labels.len(), gram.point_count()) {
            (labels, points) if labels != points => Err(PriorError::LabelCount { labels, points }),
            _ if !self.method.links().contains(&self.options.link) => {
                Err(PriorError::UnsupportedLink { method: self.method.id(), link: self.options.link })
            }
            _ => Ok((gram, labels)),
        }
    }

    fn ask(self) -> Result<LogProb, PriorError> {
        let (gram, labels) = self.inputs()?;
        self.method.log_prob(&gram, &labels, &self.options)
    }

    fn ask_posterior(self, train: usize) -> Result<(LogProb, Estimate, Estimate), PriorError> {
        let (gram, labels) = self.inputs()?;
        let answer = self.method.log_prob(&gram, &labels, &self.options)?;
        let (training, posterior) =
            prior::posterior(self.method, &gram, &labels, &answer.estimate, train, &self.options)?;
        Ok((answer, training, posterior))
    }
}

/// log P(f) of labels under a Gram matrix.
#[pyfunction]
#[pyo3(signature = (gram, labels, method, link, target_std_error, max_seconds, seed, jitter))]
#[expect(clippy::too_many_arguments, reason = "called from one place in Python, by name")]
pub fn log_prob(
    py: Python,
    gram: PyReadonlyArray2<f64>,
    labels: PyReadonlyArray1<f64>,
    method: &str,
    link: Option<&str>,
    target_std_error: Option<f64>,
    max_seconds: Option<f64>,
    seed: u64,
    jitter: f64,
) -> PyResult<(Answer, String)> {
    let limits = [target_std_error, max_seconds];
    let (question, cancelled) = question(&gram, &labels, method, link, limits, seed, jitter)?;
    let link = question.options.link.to_string();
    drop((gram, labels));
    let result = interruptible(py, || question.ask(), || cancelled.store(true, Ordering::Relaxed))?;
    let LogProb { estimate, upper_bound } = result.or_raise(py)?;
    Ok((answer(estimate, upper_bound), link))
}

/// log P(f), log P(S) and log P(f|S), `S` the first `train` points.
#[pyfunction]
#[pyo3(signature = (gram, labels, train, method, link, target_std_error, max_seconds, seed, jitter))]
#[expect(clippy::too_many_arguments, reason = "called from one place in Python, by name")]
pub fn log_prob_posterior(
    py: Python,
    gram: PyReadonlyArray2<f64>,
    labels: PyReadonlyArray1<f64>,
    train: usize,
    method: &str,
    link: Option<&str>,
    target_std_error: Option<f64>,
    max_seconds: Option<f64>,
    seed: u64,
    jitter: f64,
) -> PyResult<(Answer, Answer, Answer, String)> {
    let limits = [target_std_error, max_seconds];
    let (question, cancelled) = question(&gram, &labels, method, link, limits, seed, jitter)?;
    let link = question.options.link.to_string();
    drop((gram, labels));
    let result = interruptible(py, move || question.ask_posterior(train), || cancelled.store(true, Ordering::Relaxed))?;
    let (function, training, posterior) = result.or_raise(py)?;
    let function = answer(function.estimate, function.upper_bound);
    Ok((function, answer(training, None), answer(posterior, None), link))
}

/// The PAC-Bayes bound on the error of a function drawn from the posterior.
#[pyfunction]
pub fn pac_bayes_bound(log_prob_training: f64, training_points: usize, delta: f64) -> PyResult<Option<f64>> {
    if !(delta > 0.0 && delta < 1.0) {
        return Err(unusable(format!("delta is {delta}, expected a number between 0 and 1")));
    }
    if log_prob_training.is_nan() {
        return Err(unusable("log P(S) is NaN"));
    }
    Ok(prior::pac_bayes_bound(log_prob_training, training_points, delta))
}

/// A kind of kernel by its name.
pub fn kind(name: &str) -> PyResult<Kind> {
    match name {
        "nngp" => Ok(Kind::Nngp),
        "ntk" => Ok(Kind::Ntk),
        other => Err(unusable(format!("'{other}' is no kind of kernel, expected nngp or ntk"))),
    }
}

type Matrices<'py> = (Bound<'py, PyArray2<f64>>, Option<Bound<'py, PyArray2<f64>>>, String);

/// The Gram matrix of an architecture's prior, and standard errors of its entries where there are any.
#[pyfunction]
#[pyo3(signature = (architecture, x, kind, method, samples, seed))]
pub fn kernel_matrix<'py>(
    py: Python<'py>,
    architecture: &str,
    x: PyReadonlyArray2<f64>,
    kind: &str,
    method: &str,
    samples: usize,
    seed: u64,
) -> PyResult<Matrices<'py>> {
    let found = kernel::find(method).ok_or_else(|| {
        let known: Vec<&str> = kernel::registry().iter().map(|method| method.id()).collect();
        unusable(format!("'{method}' is no method for kernels, expected one of {}", known.join(", ")))
    })?;
    let kind = self::kind(kind)?;
    let architecture = network::architecture(py, architecture)?;
    let inputs = x.as_array().to_owned();
    drop(x);
    let work = move || {
        let options = KernelOptions { kind, samples, seed, ..KernelOptions::default() };
        found.gram(&architecture, inputs.view(), &options)
    };
    let result = interruptible(py, work, || ())?.or_raise(py)?;
    let info = json!(result.info).to_string();
    Ok((matrix(py, result.matrix), result.std_error.map(|errors| matrix(py, errors)), info))
}

/// Measures of a network on data: name, value, standard error and diagnostics of each, or why it was left out (where
/// `all` were asked for), and the loss.
#[pyfunction]
#[pyo3(signature = (architecture, theta, buffers, x, y, loss, measures, all, options))]
#[expect(clippy::too_many_arguments, reason = "called from one place in Python, by name")]
pub fn measured(
    py: Python,
    architecture: &str,
    theta: PyReadonlyArray1<f64>,
    buffers: PyReadonlyArray1<f64>,
    x: PyReadonlyArray2<f64>,
    y: PyReadonlyArray2<f64>,
    loss: &str,
    measures: Vec<String>,
    all: bool,
    options: &str,
) -> PyResult<(Vec<(String, Answer)>, Vec<(String, String)>, f64)> {
    let network = network::network(py, architecture, &theta, &buffers)?;
    let loss = network::loss(loss)?;
    let options: Options = serde_json::from_str(options).map_err(|error| unusable(format!("options: {error}")))?;
    let measures: Vec<&'static dyn flatness::Measure> = if all {
        flatness::registry().to_vec()
    } else {
        let known = || flatness::registry().iter().map(|measure| measure.id()).collect::<Vec<_>>().join(", ");
        let find = |id: &String| {
            flatness::find(id)
                .ok_or_else(|| unusable(format!("there is no measure '{id}', expected one of {}", known())))
        };
        measures.iter().map(find).collect::<PyResult<_>>()?
    };
    let (inputs, targets) = (x.as_array().to_owned(), y.as_array().to_owned());
    drop((theta, buffers, x, y));
    // What fits is found out before the long part, so that it is refused under its own name.
    Objective::new(&network, loss, inputs.view(), targets.view()).or_raise(py)?;
    let work = move || -> Result<_, FlatnessError> {
        let objective = Objective::new(&network, loss, inputs.view(), targets.view()).expect("seen above");
        let point = Point::new(objective, network.theta());
        let (mut results, mut left_out) = (Vec::new(), Vec::new());
        for measure in measures {
            match measure.evaluate(&point, &options) {
                Ok(estimate) => results.push((measure.id().to_owned(), answer(estimate, None))),
                Err(error @ (FlatnessError::NotApplicable { .. } | FlatnessError::TooLarge { .. })) if all => {
                    left_out.push((measure.id().to_owned(), error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok((results, left_out, point.linearisation.value()))
    };
    interruptible(py, work, || ())?.map_err(|error| raised(py, &error))
}
