//! Networks on disk: safetensors files with PyTorch's tensor names and shapes.

use crate::io::{Checksum, read_file, write_atomically};
use crate::model::{MOST_NUMBERS, Model, ModelError, Network, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

/// The one metadata key written: a JSON object of strings. (The format keeps several keys in no
/// particular order; one key keeps the bytes of a file reproducible.)
const METADATA_KEY: &str = "flatgauge";
/// What the metadata call the checksum of tensors and metadata. Files of other programs have none.
const CHECKSUM: &str = "checksum";
/// Longest file that is read: the most parameters with three vectors of an optimiser beside them, in double precision.
pub(crate) const MOST_BYTES: u64 = 4 * 8 * MOST_NUMBERS as u64;
/// Names of tensors that a message lists.
const MOST_LISTED: usize = 20;

/// A network read from a file, and what else was in it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Checkpoint {
    /// The network.
    pub network: Network,
    /// Tensors that the architecture does not know; they were ignored.
    pub ignored: Vec<String>,
    /// What the writer recorded.
    pub metadata: BTreeMap<String, String>,
}

fn fault(path: &Path, reason: impl Into<String>) -> ModelError {
    ModelError::Checkpoint { path: path.display().to_string(), reason: reason.into() }
}

/// Reads a network of the given model; tensors in F32 or F64, named `0.weight`, `0.bias`, ...
///
/// # Errors
/// [`ModelError::Checkpoint`]: the file cannot be read, is not safetensors, lacks a tensor, or holds one
/// of another shape or type or with a NaN or infinity in it.
pub fn load_network(path: &Path, model: &Arc<Model>) -> Result<Checkpoint, ModelError> {
    let bytes = read_file(path, MOST_BYTES).map_err(|error| fault(path, format!("cannot read the file ({error})")))?;
    parse_network(&bytes, path, model)
}

/// As [`load_network`], from bytes in memory; `path` names them in errors.
///
/// # Errors
/// As [`load_network`].
pub fn parse_network(bytes: &[u8], path: &Path, model: &Arc<Model>) -> Result<Checkpoint, ModelError> {
    let file =
        SafeTensors::deserialize(bytes).map_err(|error| fault(path, format!("not a safetensors file ({error})")))?;
    let mut metadata = metadata_of(bytes).map_err(|reason| fault(path, reason))?;
    if let Some(written) = metadata.remove(CHECKSUM) {
        let mut tensors: Vec<(String, TensorView)> = file.tensors();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        let found = checksum(tensors.iter().map(|(name, view)| (name.as_str(), view.shape(), view.data())), &metadata);
        if found != written {
            return Err(fault(
                path,
                format!(
                    "its numbers are not those that were written (checksum {found}, expected {written}: the file is damaged)"
                ),
            ));
        }
    }
    let read = |tensors: &[Tensor]| {
        let mut flat = Vec::new();
        for tensor in tensors {
            flat.extend(read_tensor(path, &file, &tensor.name, &tensor.shape)?);
        }
        Ok::<_, ModelError>(flat)
    };
    let mut network = Network::new(Arc::clone(model), read(model.tensors())?);
    network.buffers = read(model.buffers())?;
    if let Some((what, found, expected)) = network.negative_variance() {
        return Err(fault(path, format!("{what} is {found}, expected {expected}")));
    }
    let known = |name: &str| model.tensors().iter().chain(model.buffers()).any(|tensor| tensor.name == name);
    let mut ignored: Vec<String> = file.names().into_iter().filter(|name| !known(name)).map(str::to_owned).collect();
    ignored.sort();
    Ok(Checkpoint { network, ignored, metadata })
}

/// What the writer recorded, if this program was the writer.
fn metadata_of(bytes: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let (_, header) = SafeTensors::read_metadata(bytes).expect("the file was read above");
    match header.metadata().as_ref().and_then(|metadata| metadata.get(METADATA_KEY)) {
        Some(text) => serde_json::from_str(text).map_err(|error| format!("its metadata are damaged ({error})")),
        None => Ok(BTreeMap::new()),
    }
}

/// Of tensors in the order of their names, and of all other metadata.
fn checksum<'a>(
    tensors: impl Iterator<Item = (&'a str, &'a [usize], &'a [u8])>,
    metadata: &BTreeMap<String, String>,
) -> String {
    let texts = metadata.iter().flat_map(|(key, value)| [key, value]);
    let sum = texts.fold(Checksum::default(), |sum, text| sum.bytes(text.as_bytes()));
    let tensors = tensors.fold(sum, |sum, (name, shape, data)| {
        sum.bytes(name.as_bytes()).words(shape.iter().map(|extent| *extent as u64)).bytes(data)
    });
    tensors.text()
}

#[cfg(feature = "studies")]
/// Reads a vector that [`save_network_with`] put beside a network; `path` names the bytes in errors.
///
/// # Errors
/// As [`load_network`].
pub fn parse_vector(bytes: &[u8], path: &Path, name: &str, length: usize) -> Result<Vec<f64>, ModelError> {
    let file =
        SafeTensors::deserialize(bytes).map_err(|error| fault(path, format!("not a safetensors file ({error})")))?;
    read_tensor(path, &file, name, &[length])
}

fn read_tensor(path: &Path, file: &SafeTensors, name: &str, shape: &[usize]) -> Result<Vec<f64>, ModelError> {
    let view = file.tensor(name).map_err(|_| {
        let mut names = file.names();
        names.sort();
        let more = names.len().saturating_sub(MOST_LISTED);
        names.truncate(MOST_LISTED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        fault(path, format!("tensor '{name}' of shape {shape:?} is missing; found {names:?}{more}"))
    })?;
    if view.shape() != shape {
        return Err(fault(
            path,
            format!("tensor '{name}' has shape {:?}, the architecture expects {shape:?}", view.shape()),
        ));
    }
    let values: Vec<f64> = match view.dtype() {
        Dtype::F64 => view
            .data()
            .chunks_exact(8)
            .map(|bytes| f64::from_le_bytes(bytes.try_into().expect("eight bytes")))
            .collect(),
        Dtype::F32 => view
            .data()
            .chunks_exact(4)
            .map(|bytes| f64::from(f32::from_le_bytes(bytes.try_into().expect("four bytes"))))
            .collect(),
        other => {
            return Err(fault(path, format!("tensor '{name}' has type {other:?}, expected F32 or F64")));
        }
    };
    if let Some((index, value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        return Err(fault(path, format!("entry {index} of tensor '{name}' is {value}, expected finite numbers")));
    }
    Ok(values)
}

/// Writes a network as F64 safetensors; the same network and metadata give the same bytes. A checksum of tensors and metadata
/// goes with them, by which [`load_network`] notices damage.
///
/// # Errors
/// [`ModelError::Checkpoint`] if the file cannot be written; then nothing is left behind.
pub fn save_network(path: &Path, network: &Network, metadata: &BTreeMap<String, String>) -> Result<(), ModelError> {
    save_network_with(path, network, &[], metadata)
}

/// [`save_network`] with further vectors beside the network's tensors, by name; readers of the network pass
/// over them.
///
/// # Errors
/// As [`save_network`].
pub fn save_network_with(
    path: &Path,
    network: &Network,
    vectors: &[(String, &[f64])],
    metadata: &BTreeMap<String, String>,
) -> Result<(), ModelError> {
    let bytes_of = |values: &[f64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let model = &network.model;
    let part = |t: &Tensor, flat: &[f64]| (t.name.clone(), t.shape.clone(), bytes_of(&flat[t.range.clone()]));
    let parts: Vec<(String, Vec<usize>, Vec<u8>)> = (model.tensors().iter().map(|t| part(t, &network.theta)))
        .chain(model.buffers().iter().map(|t| part(t, &network.buffers)))
        .chain(vectors.iter().map(|(name, values)| (name.clone(), vec![values.len()], bytes_of(values))))
        .collect();
    let views = parts.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F64, shape.clone(), bytes).expect("bytes fit the shape");
        (name.as_str(), view)
    });
    let mut sorted: Vec<_> = parts.iter().map(|(name, shape, bytes)| (name.as_str(), &shape[..], &bytes[..])).collect();
    sorted.sort_by_key(|(name, ..)| *name);
    let mut metadata = metadata.clone();
    metadata.remove(CHECKSUM);
    metadata.insert(CHECKSUM.to_owned(), checksum(sorted.into_iter(), &metadata));
    let metadata = serde_json::to_string(&metadata).expect("strings serialise");
    let header = HashMap::from([(METADATA_KEY.to_owned(), metadata)]);
    let bytes = serialize(views, Some(header)).map_err(|error| fault(path, error.to_string()))?;
    write_atomically(path, &bytes).map_err(|error| fault(path, format!("cannot write the file ({error})")))
}
