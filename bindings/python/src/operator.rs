//! Estimators on any symmetric operator that a Python callable gives.

use crate::arrays::{matrix, vector};
use crate::errors::{OrRaise, exception, unusable};
use flatgauge::flatness::curvature::{self, SymmetricOperator};
use flatgauge::flatness::lanczos::{End, Lanczos};
use flatgauge::flatness::{quadrature, trace};
use flatgauge::numeric::Streams;
use ndarray::{Array2, ArrayView2};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray2};
use pyo3::prelude::*;
use serde_json::json;
use std::sync::Mutex;

/// `products(V) -> A V` for the rows of `V`, in Python.
struct PyOperator {
    dimension: usize,
    products: Py<PyAny>,
    raised: Mutex<Option<PyErr>>,
}

impl PyOperator {
    fn new(dimension: usize, products: Py<PyAny>) -> PyResult<Self> {
        if dimension == 0 {
            return Err(unusable("the dimension is 0, expected at least 1"));
        }
        Ok(Self { dimension, products, raised: Mutex::new(None) })
    }

    fn ask(&self, vectors: ArrayView2<f64>) -> PyResult<Array2<f64>> {
        Python::attach(|py| {
            py.check_signals()?;
            let asked = vectors.to_owned().into_pyarray(py);
            let answer = self.products.call1(py, (asked,))?;
            let images: PyReadonlyArray2<f64> = answer.bind(py).extract()?;
            let (found, expected) = (images.as_array().dim(), vectors.dim());
            if found != expected {
                return Err(unusable(format!("the operator gave an array of shape {found:?}, expected {expected:?}")));
            }
            // Row by row, however the array lies in memory.
            Ok(Array2::from_shape_vec(expected, images.as_array().iter().copied().collect()).expect("its own shape"))
        })
    }

    /// Runs an estimator without holding the interpreter but for products. What a product raised is raised.
    fn run<T: Send>(&self, py: Python, estimator: impl FnOnce(&Self) -> T + Send) -> PyResult<T> {
        let result = py.detach(|| estimator(self));
        match self.raised.lock().expect("no panic while it is held").take() {
            Some(error) => Err(error),
            None => Ok(result),
        }
    }
}

impl SymmetricOperator for PyOperator {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn products(&self, vectors: ArrayView2<f64>) -> Array2<f64> {
        let undefined = || Array2::from_elem(vectors.dim(), f64::NAN);
        let mut raised = self.raised.lock().expect("no panic while it is held");
        if raised.is_some() {
            return undefined();
        }
        match self.ask(vectors) {
            Ok(images) => images,
            Err(error) => {
                *raised = Some(error);
                undefined()
            }
        }
    }
}

/// The trace: value, standard error, diagnostics.
#[pyfunction]
pub fn operator_trace(
    py: Python,
    dimension: usize,
    products: Py<PyAny>,
    method: &str,
    budget: usize,
    seed: u64,
) -> PyResult<(f64, Option<f64>, String)> {
    let operator = PyOperator::new(dimension, products)?;
    let estimator = match method {
        "hutchinson" => trace::hutchinson,
        "hutch++" => trace::hutch_plus_plus,
        "xtrace" => trace::xtrace,
        other => {
            return Err(unusable(format!("'{other}' is no method of a trace, expected hutchinson, hutch++ or xtrace")));
        }
    };
    let estimate = operator.run(py, |operator| estimator(operator, budget, Streams::new(seed)))?.or_raise(py)?;
    Ok((estimate.value, estimate.std_error, json!(estimate.info).to_string()))
}

type Pairs<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray2<f64>>, usize);

/// Outermost eigenvalues at an end, their residuals, vectors (one a row), and the products it took.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "called from one place in Python, by name")]
pub fn operator_eigenvalues<'py>(
    py: Python<'py>,
    dimension: usize,
    products: Py<PyAny>,
    end: &str,
    count: usize,
    tolerance: f64,
    max_products: usize,
    seed: u64,
) -> PyResult<Pairs<'py>> {
    let operator = PyOperator::new(dimension, products)?;
    let end = match end {
        "largest" => End::Largest,
        "smallest" => End::Smallest,
        "magnitude" => End::Magnitude,
        other => return Err(unusable(format!("'{other}' is no end, expected largest, smallest or magnitude"))),
    };
    if !(1..=dimension).contains(&count) {
        return Err(unusable(format!("{count} eigenvalues asked of {dimension}, expected 1 to {dimension}")));
    }
    if !(tolerance > 0.0 && tolerance < 1.0) {
        return Err(unusable(format!("the tolerance is {tolerance}, expected a number between 0 and 1")));
    }
    let lanczos = Lanczos { seed, tolerance, max_products, ..Lanczos::default() };
    let found = operator.run(py, |operator| lanczos.extreme(operator, end, count))?.or_raise(py)?;
    let pairs = &found.pairs[..count.min(found.pairs.len())];
    let vectors: Vec<f64> = pairs.iter().flat_map(|pair| pair.vector.iter().copied()).collect();
    let vectors = Array2::from_shape_vec((pairs.len(), dimension), vectors).expect("vectors of one length");
    Ok((
        vector(py, pairs.iter().map(|pair| pair.value).collect()),
        vector(py, pairs.iter().map(|pair| pair.residual).collect()),
        matrix(py, vectors),
        found.work.products,
    ))
}

type Spectrum<'py> = (Vec<(Vec<f64>, Vec<f64>)>, Vec<(Vec<f64>, Vec<f64>)>, usize);

/// Stochastic Lanczos quadrature: nodes and weights of every probe, the same after half the steps, and the products.
#[pyfunction]
pub fn operator_spectrum(
    py: Python<'_>,
    dimension: usize,
    products: Py<PyAny>,
    probes: usize,
    steps: usize,
    seed: u64,
) -> PyResult<Spectrum<'_>> {
    let operator = PyOperator::new(dimension, products)?;
    if probes < 2 || steps < 1 {
        return Err(unusable(format!("{probes} probes of {steps} steps, expected at least 2 of at least 1")));
    }
    let measure = operator
        .run(py, |operator| quadrature::spectral_measure(operator, probes, steps, Streams::new(seed)))?
        .or_raise(py)?;
    let split =
        |quadratures: Vec<Vec<(f64, f64)>>| quadratures.into_iter().map(|nodes| nodes.into_iter().unzip()).collect();
    let (all, halved) = (split(measure.quadratures), split(measure.halved));
    Ok((all, halved, measure.products))
}

/// The matrix, by a product with each basis vector.
#[pyfunction]
pub fn operator_dense(py: Python<'_>, dimension: usize, products: Py<PyAny>) -> PyResult<Bound<'_, PyArray2<f64>>> {
    let operator = PyOperator::new(dimension, products)?;
    let dense = operator.run(py, |operator| curvature::dense(operator))?;
    if dense.iter().any(|entry| !entry.is_finite()) {
        return Err(exception(py, "OperatorError", "NotFinite", "a product held a number that is not finite"));
    }
    Ok(matrix(py, dense))
}
