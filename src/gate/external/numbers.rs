//! Numbers of an answer: its parameters, and arrays as lists or as the paths of `.npy` files.

use super::answer::{Answer, Parameters};
use super::stream::NoAnswer;
use crate::data::read_npy;
use crate::gate::no_parameters::NoParameters;
use ndarray::{Array2, Ix1, Ix2};
use serde_json::Value;
use std::path::Path;

/// The parameters of an answer, or why there are none.
pub(super) fn parameters(answer: Result<Answer, NoAnswer>) -> Result<Parameters, NoParameters> {
    match answer {
        Ok(Answer::Parameters(parameters)) => Ok(parameters),
        Ok(Answer::Skip(reason)) | Err(NoAnswer::NotAsked(reason)) => Err(NoParameters::NotApplicable(reason)),
        Ok(other) => Err(NoParameters::Fault(other.misplaced("theta"))),
        Err(NoAnswer::Fault(reason)) => Err(NoParameters::Fault(reason)),
    }
}

/// A matrix of an answer: rows as lists, or the path of a `.npy` file.
pub(super) fn matrix(value: &Value, what: &str) -> Result<Array2<f64>, String> {
    if let Value::String(path) = value {
        let array = read_npy(Path::new(path)).map_err(|error| format!("{what}: {error}"))?;
        let shape = array.shape().to_vec();
        return array.into_dimensionality::<Ix2>().map_err(|_| format!("{what} has shape {shape:?}, expected n x n"));
    }
    let rows: Vec<Vec<f64>> = serde_json::from_value(value.clone())
        .map_err(|_| format!("{what} is neither a path of a .npy file nor a list of rows of numbers"))?;
    let columns = rows.first().map_or(0, Vec::len);
    let count = rows.len();
    Array2::from_shape_vec((count, columns), rows.concat()).map_err(|_| format!("{what} has rows of different lengths"))
}

/// A vector of an answer.
pub(super) fn vector(value: &Value, what: &str) -> Result<Vec<f64>, String> {
    if let Value::String(path) = value {
        let array = read_npy(Path::new(path)).map_err(|error| format!("{what}: {error}"))?;
        let shape = array.shape().to_vec();
        let flat = array.into_dimensionality::<Ix1>();
        return flat.map(|array| array.to_vec()).map_err(|_| format!("{what} has shape {shape:?}, expected a vector"));
    }
    serde_json::from_value(value.clone())
        .map_err(|_| format!("{what} is neither a path of a .npy file nor a list of numbers"))
}
