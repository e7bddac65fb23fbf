//! The corpus: cases as data. A case is one block of a TOML file in `fixtures/cases/`, drawn from the seed of the run
//! or read from files beside it; reports keep counterexamples in the same format.

use crate::data::{read_npy, read_npz, write_npy, write_npy_vector, write_npz};
use crate::gate::cases::{FlatnessCase, PriorCase, draw_flatness_case, draw_prior_case, drawn_architecture};
use crate::gate::corpus_error::CorpusError;

use crate::gate::tier::Tier;
use crate::io::{read_text, write_atomically};
use crate::model::{
    Activation, Architecture, LayerSpec, Loss, Model, Network, Objective, Role, load_network, save_network,
};
use crate::numeric::Streams;
use crate::prior::{Gram, Labels};
use ndarray::{ArrayView1, Ix2};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files of `fixtures/cases/`.
const EMBEDDED: [(&str, &str); 4] = [
    ("networks.toml", include_str!("../../fixtures/cases/networks.toml")),
    ("edges.toml", include_str!("../../fixtures/cases/edges.toml")),
    ("grams.toml", include_str!("../../fixtures/cases/grams.toml")),
    ("rank.toml", include_str!("../../fixtures/cases/rank.toml")),
];

/// Longest file of cases that is read.
const MOST_BYTES: u64 = 16 << 20;
/// Parameters of the largest network whose dense Hessian and its eigenvalues the laws can do: 0.8 GB and some minutes.
const MOST_PARAMETERS: usize = 10_000;
/// Entries of the largest array of data that is drawn: 128 MiB.
const MOST_ENTRIES: usize = 1 << 24;
/// Points of the largest Gram matrix that is drawn.
const MOST_POINTS: usize = 4096;

/// Sizes that the diagonal of a Gram matrix may have, but for 0: the laws scale matrices by up to 1e8 either way.
const GRAM_SCALES: std::ops::RangeInclusive<f64> = 1e-150..=1e150;

/// Blocks of cases.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Corpus {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    network: Vec<NetworkBlock>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    gram: Vec<GramBlock>,
    /// Folder against which the files of blocks are found.
    #[serde(skip)]
    folder: PathBuf,
}

/// A network with data, and the rescalings it is put through. Exactly one of `drawn`, `given` and `files` says what it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkBlock {
    name: String,
    #[serde(default = "quick")]
    tier: Tier,
    loss: Loss,
    /// Factors by which layer 0 is divided and layer 1 multiplied.
    alphas: Vec<f64>,
    /// Whether one map of every kind is drawn too.
    #[serde(default)]
    rescalings: bool,
    /// Where a regression comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drawn: Option<DrawnNetwork>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    given: Option<GivenNetwork>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    files: Option<NetworkFiles>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DrawnNetwork {
    widths: Vec<usize>,
    activation: Activation,
    samples: usize,
    /// Whether every third weight is 0.
    #[serde(default)]
    pruned: bool,
    /// Whether a batch norm follows the first layer.
    #[serde(default)]
    batch_norm: bool,
}

/// A network and its data, number by number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenNetwork {
    /// A shorthand.
    arch: String,
    /// ReLU unless given.
    #[serde(default)]
    activation: Option<Activation>,
    /// Parameters, tensor after tensor.
    theta: Vec<f64>,
    inputs: Vec<Vec<f64>>,
    targets: Vec<Vec<f64>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkFiles {
    /// A shorthand, or a file.
    arch: String,
    net: PathBuf,
    data: PathBuf,
}

/// A Gram matrix with labels. Exactly one of `drawn`, `given` and `files` says what it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GramBlock {
    name: String,
    #[serde(default = "quick")]
    tier: Tier,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drawn: Option<DrawnGram>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    given: Option<GivenGram>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    files: Option<GramFiles>,
}

/// `F F^T + diagonal I` with `F` of `rank` columns of normal numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DrawnGram {
    points: usize,
    rank: usize,
    diagonal: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenGram {
    matrix: Vec<Vec<f64>>,
    labels: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GramFiles {
    gram: PathBuf,
    labels: PathBuf,
}

impl DrawnNetwork {
    /// Sizes are looked at before anything is drawn: no number of a file may overflow, or take the machine's memory.
    fn check(&self) -> Result<(), String> {
        let (widths, samples) = (&self.widths, self.samples);
        if widths.len() < 2 || widths.contains(&0) {
            return Err(format!("widths are {widths:?}, expected two or more, each at least 1"));
        }
        let parameters = widths.windows(2).try_fold(0_usize, |sum, pair| {
            let weights = pair[0].checked_mul(pair[1])?.checked_add(pair[1])?;
            sum.checked_add(weights).filter(|sum| *sum <= MOST_PARAMETERS)
        });
        if parameters.is_none() {
            return Err(format!(
                "widths {widths:?} make more than {MOST_PARAMETERS} parameters, the most whose dense Hessian is taken"
            ));
        }
        let largest = widths.iter().copied().max().unwrap_or(1);
        if samples == 0 || samples.checked_mul(largest).is_none_or(|entries| entries > MOST_ENTRIES) {
            let most = MOST_ENTRIES / largest;
            return Err(format!("samples are {samples}, expected 1 to {most} for layers of width {largest}"));
        }
        Ok(())
    }
}

impl DrawnGram {
    fn check(&self) -> Result<(), String> {
        let Self { points, rank, diagonal } = *self;
        if !(2..=MOST_POINTS).contains(&points) {
            return Err(format!("points are {points}, expected 2 to {MOST_POINTS}"));
        }
        if rank > MOST_POINTS {
            return Err(format!("rank is {rank}, expected at most {MOST_POINTS}"));
        }
        if !GRAM_SCALES.contains(&diagonal) {
            return Err(format!("diagonal is {diagonal}, expected a number from 1e-150 to 1e150"));
        }
        Ok(())
    }
}

fn quick() -> Tier {
    Tier::Quick
}

impl Corpus {
    /// The corpus of this crate.
    pub fn built_in() -> Self {
        let mut all = Self::default();
        for (name, text) in EMBEDDED {
            let part = Self::parse(text, Path::new("")).unwrap_or_else(|error| panic!("{name}: {error}"));
            all.network.extend(part.network);
            all.gram.extend(part.gram);
        }
        all.check_names().unwrap_or_else(|error| panic!("fixtures/cases: {error}"));
        all
    }

    /// Reads a file of cases.
    ///
    /// # Errors
    /// [`CorpusError`], which names the file and what is wrong in it: an unknown key, a name that comes twice, a missing part.
    pub fn read(path: &Path) -> Result<Self, CorpusError> {
        let fault = |error: String| CorpusError::new(format!("file '{}': {error}", path.display()));
        let text = read_text(path, MOST_BYTES).map_err(|error| fault(error.to_string()))?;
        let corpus = Self::parse(&text, path.parent().unwrap_or(Path::new(""))).map_err(fault)?;
        corpus.check_names().map_err(fault)?;
        Ok(corpus)
    }

    fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let corpus: Self = toml::from_str(text).map_err(|error| {
            // One line: where, and what.
            let line = error.span().map_or(0, |span| text[..span.start].lines().count().max(1));
            format!("line {line}: {}", error.message())
        })?;
        Ok(Self { folder: folder.to_owned(), ..corpus })
    }

    fn check_names(&self) -> Result<(), String> {
        let names = self.network.iter().map(|block| &block.name).chain(self.gram.iter().map(|block| &block.name));
        let mut seen = HashSet::new();
        let mut count = 0;
        for name in names {
            count += 1;
            if name.is_empty() || name.contains(['/', '\'']) || name.contains(char::is_control) {
                return Err(format!(
                    "a case is called '{name}', expected a name without /, quotes and control characters"
                ));
            }
            if !seen.insert(name) {
                return Err(format!("two cases are called '{name}'"));
            }
        }
        if count == 0 { Err("it has neither a [[network]] nor a [[gram]]".to_owned()) } else { Ok(()) }
    }

    /// The networks of a tier.
    ///
    /// # Errors
    /// [`CorpusError`], which names the case.
    pub fn networks(&self, tier: Tier, seed: u64) -> Result<Vec<FlatnessCase>, CorpusError> {
        let blocks = self.network.iter().filter(|block| block.tier <= tier);
        let cases = blocks.map(|block| {
            self.network_case(block, seed).map_err(|error| CorpusError::new(format!("case '{}': {error}", block.name)))
        });
        cases.collect()
    }

    /// The Gram matrices of a tier.
    ///
    /// # Errors
    /// [`CorpusError`], which names the case.
    pub fn grams(&self, tier: Tier, seed: u64) -> Result<Vec<PriorCase>, CorpusError> {
        let blocks = self.gram.iter().filter(|block| block.tier <= tier);
        let cases = blocks.map(|block| {
            self.gram_case(block, seed).map_err(|error| CorpusError::new(format!("case '{}': {error}", block.name)))
        });
        cases.collect()
    }

    fn network_case(&self, block: &NetworkBlock, seed: u64) -> Result<FlatnessCase, String> {
        if let Some(alpha) = block.alphas.iter().find(|alpha| !(**alpha > 0.0 && alpha.is_finite())) {
            return Err(format!("alphas has {alpha}, expected finite numbers above 0"));
        }
        let name = block.name.clone();
        let mut case = match (&block.drawn, &block.given, &block.files) {
            (Some(drawn), None, None) => {
                drawn.check().map_err(|error| format!("drawn: {error}"))?;
                let streams = Streams::new(seed).child(&name, 0);
                let mut architecture = drawn_architecture(&drawn.widths, drawn.activation);
                if drawn.batch_norm {
                    architecture.layers.insert(1, LayerSpec::BatchNorm);
                }
                let case = draw_flatness_case(name, architecture, block.loss, drawn.samples, streams);
                let mut case = case.map_err(|error| format!("drawn: {error}"))?;
                if drawn.pruned {
                    let model = Arc::clone(&case.network.model);
                    for tensor in model.tensors().iter().filter(|tensor| tensor.role == Role::Weight) {
                        case.network.theta[tensor.range.clone()].iter_mut().step_by(3).for_each(|weight| *weight = 0.0);
                    }
                }
                case
            }
            (None, Some(given), None) => {
                let architecture = Architecture::read(&given.arch, given.activation, None, None)
                    .map_err(|error| format!("given: {error}"))?;
                let model = Arc::new(Model::new(architecture).map_err(|error| format!("given: {error}"))?);
                if given.theta.len() != model.parameter_count() {
                    let (found, expected) = (given.theta.len(), model.parameter_count());
                    return Err(format!("given: theta has {found} numbers, expected {expected}"));
                }
                let matrix = |rows: &[Vec<f64>], what: &str| {
                    let shape = (rows.len(), rows.first().map_or(0, Vec::len));
                    ndarray::Array2::from_shape_vec(shape, rows.concat())
                        .map_err(|_| format!("given: the rows of {what} differ in length"))
                };
                let (inputs, targets) = (matrix(&given.inputs, "inputs")?, matrix(&given.targets, "targets")?);
                let network = Network::new(model, given.theta.clone());
                checked(FlatnessCase::new(name, network, block.loss, inputs, targets), "given")?
            }
            (None, None, Some(files)) => {
                let [net, data] = [&files.net, &files.data].map(|file| self.folder.join(file));
                let shorthand = files.arch.starts_with("fcn:");
                let arch =
                    if shorthand { files.arch.clone() } else { self.folder.join(&files.arch).display().to_string() };
                let architecture =
                    Architecture::read(&arch, None, None, None).map_err(|error| format!("arch: {error}"))?;
                let model = Arc::new(Model::new(architecture).map_err(|error| format!("arch: {error}"))?);
                let parameters = model.parameter_count();
                if parameters > MOST_PARAMETERS {
                    return Err(format!("arch: {parameters} parameters, expected at most {MOST_PARAMETERS}"));
                }
                let network = load_network(&net, &model).map_err(|error| format!("net: {error}"))?.network;
                let array = |key| read_npz(&data, key).map_err(|error| format!("data: {error}"));
                let (x, y) = (array("x")?, array("y")?);
                let rows = x.shape().first().copied().unwrap_or(0);
                let matrix = |array: ndarray::ArrayD<f64>| {
                    let columns = array.len().checked_div(rows).unwrap_or(0);
                    let values: Vec<f64> = array.iter().copied().collect();
                    ndarray::Array2::from_shape_vec((rows, columns), values).map_err(|error| format!("data: {error}"))
                };
                checked(FlatnessCase::new(name, network, block.loss, matrix(x)?, matrix(y)?), "data")?
            }
            _ => return Err("expected exactly one of drawn, given and files".to_owned()),
        };
        case.alphas.clone_from(&block.alphas);
        case.rescalings = block.rescalings;
        Ok(case)
    }

    fn gram_case(&self, block: &GramBlock, seed: u64) -> Result<PriorCase, String> {
        let name = block.name.clone();
        let case = |matrix, labels: &[f64]| -> Result<PriorCase, String> {
            let gram = Gram::new(matrix).map_err(|error| format!("gram: {error}"))?;
            let labels = Labels::from_values(labels).map_err(|error| format!("labels: {error}"))?;
            if gram.point_count() < 2 {
                return Err(format!("{} points, expected at least 2", gram.point_count()));
            }
            let diagonal = (0..gram.point_count()).map(|index| (index, gram.matrix()[[index, index]]));
            let mut beyond = diagonal.filter(|(_, entry)| *entry != 0.0 && !GRAM_SCALES.contains(entry));
            if let Some((index, entry)) = beyond.next() {
                return Err(format!("gram: entry ({index}, {index}) is {entry}, expected 0 or 1e-150 to 1e150"));
            }
            if labels.len() != gram.point_count() {
                return Err(format!("{} labels for {} points", labels.len(), gram.point_count()));
            }
            Ok(PriorCase { name: block.name.clone(), gram, labels })
        };
        match (&block.drawn, &block.given, &block.files) {
            (Some(drawn), None, None) => {
                drawn.check().map_err(|error| format!("drawn: {error}"))?;
                let case = draw_prior_case(name, drawn.points, drawn.rank, drawn.diagonal, Streams::new(seed));
                case.map_err(|error| format!("drawn: {error}"))
            }
            (None, Some(given), None) => {
                let columns = given.matrix.first().map_or(0, Vec::len);
                let shape = (given.matrix.len(), columns);
                let matrix = ndarray::Array2::from_shape_vec(shape, given.matrix.concat())
                    .map_err(|_| "given: the rows of the matrix differ in length".to_owned())?;
                case(matrix, &given.labels)
            }
            (None, None, Some(files)) => {
                let read = |file: &PathBuf| read_npy(&self.folder.join(file)).map_err(|error| error.to_string());
                let matrix = read(&files.gram)?.into_dimensionality::<Ix2>().map_err(|error| error.to_string())?;
                let labels: Vec<f64> = read(&files.labels)?.iter().copied().collect();
                case(matrix, &labels)
            }
            _ => Err("expected exactly one of drawn, given and files".to_owned()),
        }
    }
}

/// The case, if its network, loss and data fit together.
fn checked(case: FlatnessCase, what: &str) -> Result<FlatnessCase, String> {
    match Objective::new(&case.network, case.loss, case.inputs.view(), case.targets.view()) {
        Ok(_) => Ok(case),
        Err(error) => Err(format!("{what}: {error}")),
    }
}

fn write_toml(path: &Path, document: &impl Serialize) -> Result<(), CorpusError> {
    let text = toml::to_string(document).expect("cases serialise");
    write_atomically(path, text.as_bytes()).map_err(|error| CorpusError::new(format!("{}: {error}", path.display())))
}

impl FlatnessCase {
    /// Writes the case into `folder` as `NAME.toml` with its architecture, network and data, and gives the path of
    /// that file.
    ///
    /// # Errors
    /// [`CorpusError`], which names the file that could not be written.
    pub fn save(&self, folder: &Path, source: &str) -> Result<PathBuf, CorpusError> {
        let name = |ending: &str| PathBuf::from(format!("{}.{ending}", self.name));
        let files =
            NetworkFiles { arch: format!("{}.arch.toml", self.name), net: name("safetensors"), data: name("npz") };
        let architecture = self.network.model.architecture();
        write_toml(&folder.join(&files.arch), architecture)?;
        save_network(&folder.join(&files.net), &self.network, &BTreeMap::new())
            .map_err(|error| CorpusError::new(error.to_string()))?;
        write_npz(&folder.join(&files.data), self.inputs.view(), &architecture.input, self.targets.view())
            .map_err(|error| CorpusError::new(error.to_string()))?;
        let block = NetworkBlock {
            name: self.name.clone(),
            tier: Tier::Quick,
            loss: self.loss,
            alphas: self.alphas.clone(),
            rescalings: self.rescalings,
            source: Some(source.to_owned()),
            drawn: None,
            given: None,
            files: Some(files),
        };
        let path = folder.join(name("toml"));
        write_toml(&path, &Corpus { network: vec![block], ..Corpus::default() })?;
        Ok(path)
    }
}

impl PriorCase {
    /// Writes the case into `folder` as `NAME.toml` with its matrix and labels, and gives the path of that file.
    ///
    /// # Errors
    /// [`CorpusError`], which names the file that could not be written.
    pub fn save(&self, folder: &Path, source: &str) -> Result<PathBuf, CorpusError> {
        let name = |ending: &str| PathBuf::from(format!("{}.{ending}", self.name));
        let files = GramFiles { gram: name("gram.npy"), labels: name("labels.npy") };
        let signs: Vec<f64> = self.labels.signs().iter().map(|sign| f64::from(*sign)).collect();
        write_npy(&folder.join(&files.gram), self.gram.matrix())
            .map_err(|error| CorpusError::new(error.to_string()))?;
        write_npy_vector(&folder.join(&files.labels), ArrayView1::from(&signs))
            .map_err(|error| CorpusError::new(error.to_string()))?;
        let block = GramBlock {
            name: self.name.clone(),
            tier: Tier::Quick,
            source: Some(source.to_owned()),
            drawn: None,
            given: None,
            files: Some(files),
        };
        let path = folder.join(name("toml"));
        write_toml(&path, &Corpus { gram: vec![block], ..Corpus::default() })?;
        Ok(path)
    }
}
