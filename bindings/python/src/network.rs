//! Architectures, networks and rescalings.

use crate::arrays::vector;
use crate::errors::{OrRaise, raised, unusable};
use flatgauge::gate::{Corpus, Tier};
use flatgauge::model::{self, Activation, Architecture, Loss, Model, ModelError, Network, Tensor};
use flatgauge::numeric::Streams;
use flatgauge::rescale::{self, LayerAlpha, NeuronScaling, Permutation, Rescaling};
use numpy::{PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// The architecture of a JSON document.
pub fn architecture(py: Python, document: &str) -> PyResult<Architecture> {
    serde_json::from_str(document).map_err(|error| {
        let reason = error.to_string();
        raised(py, &ModelError::Architecture { origin: "the architecture".to_owned(), reason })
    })
}

/// The model of a JSON document.
pub fn compiled(py: Python, document: &str) -> PyResult<Arc<Model>> {
    Ok(Arc::new(Model::new(architecture(py, document)?).or_raise(py)?))
}

/// Numbers one after the other, whatever the layout of the array.
pub fn numbers(array: &PyReadonlyArray1<f64>) -> Vec<f64> {
    array.as_array().iter().copied().collect()
}

/// A network of an architecture; numbers that do not fit are refused.
pub fn network(
    py: Python,
    document: &str,
    theta: &PyReadonlyArray1<f64>,
    buffers: &PyReadonlyArray1<f64>,
) -> PyResult<Network> {
    let model = compiled(py, document)?;
    let (theta, buffers) = (numbers(theta), numbers(buffers));
    let mismatch = |what: &str, found: usize, expected: usize| {
        let (what, found, expected) = (what.to_owned(), found.to_string(), expected.to_string());
        Err(raised(py, &ModelError::Mismatch { what, found, expected }))
    };
    if theta.len() != model.parameter_count() {
        return mismatch("number of parameters", theta.len(), model.parameter_count());
    }
    if buffers.len() != model.buffer_count() {
        return mismatch("number of stored statistics", buffers.len(), model.buffer_count());
    }
    Ok(Network::new(model, theta).with_buffers(buffers))
}

/// A loss by its name.
pub fn loss(name: &str) -> PyResult<Loss> {
    Loss::ALL
        .into_iter()
        .find(|loss| loss.to_string() == name)
        .ok_or_else(|| unusable(format!("'{name}' is no loss, expected bce, ce or mse")))
}

/// Reads a shorthand, a preset or a TOML file.
#[pyfunction]
#[pyo3(signature = (text, activation=None, weight_std=None, bias_std=None))]
pub fn read_architecture(
    py: Python,
    text: &str,
    activation: Option<&str>,
    weight_std: Option<f64>,
    bias_std: Option<f64>,
) -> PyResult<String> {
    let activation = match activation {
        None => None,
        Some("relu") => Some(Activation::Relu),
        Some("tanh") => Some(Activation::Tanh),
        Some("erf") => Some(Activation::Erf),
        Some(other) => return Err(unusable(format!("'{other}' is no activation, expected relu, tanh or erf"))),
    };
    let architecture = Architecture::read(text, activation, weight_std, bias_std).or_raise(py)?;
    Ok(json!(architecture).to_string())
}

fn rows(tensors: &[Tensor]) -> Vec<serde_json::Value> {
    let row = |tensor: &Tensor| {
        json!({
            "name": tensor.name, "shape": tensor.shape, "layer": tensor.layer,
            "start": tensor.range.start, "stop": tensor.range.end,
        })
    };
    tensors.iter().map(row).collect()
}

/// Where the tensors of an architecture lie in its flat vectors.
#[pyfunction]
pub fn layout(py: Python, architecture: &str) -> PyResult<String> {
    let model = compiled(py, architecture)?;
    let document = json!({
        "architecture": model.architecture(),
        "tensors": rows(model.tensors()),
        "buffers": rows(model.buffers()),
        "inputs": model.input_count(),
        "outputs": model.output_count(),
    });
    Ok(document.to_string())
}

type Parameters<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>);

fn parameters<'py>(py: Python<'py>, network: &Network) -> Parameters<'py> {
    (vector(py, network.theta().to_vec()), vector(py, network.buffers().to_vec()))
}

/// A network drawn from the prior.
#[pyfunction]
pub fn sample_network<'py>(py: Python<'py>, architecture: &str, seed: u64) -> PyResult<Parameters<'py>> {
    Ok(parameters(py, &Network::sample(compiled(py, architecture)?, Streams::new(seed))))
}

/// A network of a safetensors file.
#[pyfunction]
pub fn load_network<'py>(py: Python<'py>, path: PathBuf, architecture: &str) -> PyResult<Parameters<'py>> {
    let model = compiled(py, architecture)?;
    Ok(parameters(py, &model::load_network(&path, &model).or_raise(py)?.network))
}

/// Writes a network as safetensors.
#[pyfunction]
pub fn save_network(
    py: Python,
    path: PathBuf,
    architecture: &str,
    theta: PyReadonlyArray1<f64>,
    buffers: PyReadonlyArray1<f64>,
) -> PyResult<()> {
    let network = network(py, architecture, &theta, &buffers)?;
    model::save_network(&path, &network, &BTreeMap::new()).or_raise(py)
}

/// Logits of a batch.
#[pyfunction]
pub fn logits<'py>(
    py: Python<'py>,
    architecture: &str,
    theta: PyReadonlyArray1<f64>,
    buffers: PyReadonlyArray1<f64>,
    x: PyReadonlyArray2<f64>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let network = network(py, architecture, &theta, &buffers)?;
    if x.as_array().ncols() != network.model().input_count() {
        let (found, expected) = (x.as_array().ncols(), network.model().input_count());
        return Err(unusable(format!("the inputs have {found} features a row, the architecture takes {expected}")));
    }
    let inputs = x.as_array();
    Ok(crate::arrays::matrix(py, py.detach(|| network.logits(inputs))))
}

/// Another network with the same function, and the map in words. `kind` is `layer`, `neurons`, `permute` or one of the
/// registry, which is drawn with factors up to `spread`.
#[pyfunction]
#[pyo3(signature = (architecture, theta, buffers, kind, seed, layer, alpha, low, high))]
#[expect(clippy::too_many_arguments, reason = "called from one place in Python, by name")]
pub fn rescaled<'py>(
    py: Python<'py>,
    architecture: &str,
    theta: PyReadonlyArray1<f64>,
    buffers: PyReadonlyArray1<f64>,
    kind: &str,
    seed: u64,
    layer: usize,
    alpha: f64,
    low: f64,
    high: f64,
) -> PyResult<(Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>, String)> {
    let network = network(py, architecture, &theta, &buffers)?;
    let streams = Streams::new(seed);
    let map: Box<dyn Rescaling> = match kind {
        "layer" => Box::new(LayerAlpha { layer, alpha }),
        "neurons" => Box::new(NeuronScaling::draw(network.model(), low, high, streams).or_raise(py)?),
        "permute" => Box::new(Permutation::draw(network.model(), streams).or_raise(py)?),
        other => {
            let known = || rescale::registry().iter().map(|kind| kind.id()).collect::<Vec<_>>().join(", ");
            let kind = rescale::find(other)
                .ok_or_else(|| unusable(format!("there is no rescaling '{other}', expected one of {}", known())))?;
            kind.draw(network.model(), high, streams).or_raise(py)?
        }
    };
    let moved = map.apply(&network).or_raise(py)?;
    if let Some(value) = moved.theta().iter().find(|value| !value.is_finite()) {
        return Err(unusable(format!("{} makes a parameter {value}, expected finite ones", map.describe())));
    }
    let (theta, buffers) = parameters(py, &moved);
    Ok((theta, buffers, map.describe()))
}

type CorpusNetwork<'py> = (
    String,
    String,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray2<f64>>,
    String,
);

/// The networks of the corpus: name, architecture, parameters, statistics, inputs, targets, loss.
#[pyfunction]
pub fn corpus_networks(py: Python<'_>, full: bool, seed: u64) -> PyResult<Vec<CorpusNetwork<'_>>> {
    let tier = if full { Tier::Full } else { Tier::Quick };
    let cases = Corpus::built_in().networks(tier, seed).map_err(unusable)?;
    let rows = cases.into_iter().map(|case| {
        let architecture = json!(case.network.model().architecture()).to_string();
        let (theta, buffers) = parameters(py, &case.network);
        let [inputs, targets] = [case.inputs, case.targets].map(|array| crate::arrays::matrix(py, array));
        (case.name, architecture, theta, buffers, inputs, targets, case.loss.to_string())
    });
    Ok(rows.collect())
}
