//! Estimators in any language: a command that answers requests line by line stands in for a measure or a
//! method, and owes the same laws and certified values.

mod answer;
mod conformance;
mod descendants;
mod hello;
mod kernel;
mod numbers;
#[cfg(feature = "studies")]
mod optimizer;
mod process;
mod request;
mod rescaling;
mod schema;
mod stream;
mod template;

pub use conformance::{Conformance, JudgedLine, conformance};
pub use descendants::adopt_orphans;
pub use hello::Hello;
pub use kernel::ExternalKernel;
#[cfg(feature = "studies")]
pub use optimizer::ExternalOptimizer;
pub use request::{Opening, RequestKind};
pub use rescaling::ExternalRescaling;
pub use schema::{line_violations, violations};
pub use stream::Fault;
pub use template::{Language, template};

use crate::data::{write_npy, write_npy_vector, write_npz};
use crate::flatness::{FlatnessError, Measure, Options, Point, Responses};
use crate::gate::finding::Finding;
use crate::gate::law::Context;
use crate::gate::outcome::Outcome;
use crate::gate::printable::printable;
use crate::gate::report::PROTOCOL;
use crate::model::{Network, save_network};
use crate::numeric::{Dtype, Estimate};
use crate::prior::{Exactness, Gram, Labels, Link, LogProb, LogProbMethod, PriorError, PriorOptions};
use answer::Answer;
use ndarray::ArrayView1;
use process::Process;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use stream::NoAnswer;

/// A command that answers requests, with the folder its files lie in.
#[derive(Debug)]
pub struct External {
    process: Process,
    folder: tempfile::TempDir,
    asked: AtomicU64,
    /// Relative error up to which all its answers are vouched for, unless they say otherwise.
    accuracy: f64,
    /// The format in which it computes.
    dtype: Dtype,
    /// Why the files of a request could not be written.
    host_fault: OnceLock<String>,
}

/// Why a command was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no folder for the files of requests.
    #[error("no folder for the files of requests can be made in '{}': {reason}", folder.display())]
    Folder {
        /// Where it was to be, as the environment says (`TMPDIR`).
        folder: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The shell cannot be started.
    #[error("the shell cannot be started: {0}")]
    Shell(std::io::Error),
}

/// A folder of absolute name for the files of requests, in the one that the environment names.
fn folder() -> Result<tempfile::TempDir, StartError> {
    let place = std::env::temp_dir();
    let fault = |reason: String| StartError::Folder { folder: place.clone(), reason };
    let absolute = std::path::absolute(&place).map_err(|error| fault(error.to_string()))?;
    if absolute.to_str().is_none() {
        return Err(fault("its name is not UTF-8, as requests need it".to_owned()));
    }
    let made = tempfile::Builder::new().prefix("flatgauge-check-").tempdir_in(absolute);
    // The error of `tempfile` repeats the path.
    made.map_err(|error| fault(error.get_ref().map_or(error.to_string(), |_| error.kind().to_string())))
}

impl External {
    /// Starts the command, through the shell.
    ///
    /// # Errors
    /// The temporary folder cannot be made, or the shell not be started.
    pub fn start(command: &str, timeout: Duration) -> Result<Self, StartError> {
        Self::start_with(command, timeout, &Opening::default())
    }

    /// The same with what a command of protocol 1.0 is told of the run.
    ///
    /// # Errors
    /// As [`External::start`].
    pub fn start_with(command: &str, timeout: Duration, opening: &Opening) -> Result<Self, StartError> {
        let folder = folder()?;
        let started = Process::start(command, timeout, request::start(opening), opening.keeps_lines);
        let process = started.map_err(StartError::Shell)?;
        Ok(Self {
            process,
            folder,
            asked: AtomicU64::new(0),
            accuracy: 0.0,
            dtype: opening.dtype,
            host_fault: OnceLock::new(),
        })
    }

    /// The same, vouching for a relative error of all answers that declare none.
    pub fn vouching(self, accuracy: f64) -> Self {
        Self { accuracy, ..self }
    }

    /// What the command has said of itself so far; `None` of one that speaks no version of the protocol.
    pub fn hello(&self) -> Option<Hello> {
        self.process.hello()
    }

    fn with_accuracy(&self, estimate: Estimate) -> Estimate {
        if estimate.error_bound == 0.0 { estimate.within_relative(self.accuracy) } else { estimate }
    }

    /// Closes the command's stdin, waits for it to exit, and judges its stream of answers.
    pub fn finish(&self, estimator: &str, context: &Context, reproduce: &str) -> Vec<Outcome> {
        let reproduce = format!("{reproduce} --tier {} --seed {}", context.tier.name(), context.seed);
        let outcome = |case: &str, finding| Outcome::new(PROTOCOL, estimator, case, finding, reproduce.clone());
        let faults = self.process.finish();
        if faults.is_empty() {
            return vec![outcome("stream", Finding::compare(0.0, 0.0, 0.0))];
        }
        faults.into_iter().map(|fault| outcome(fault.kind, Finding::fail(fault.detail))).collect()
    }

    /// Why the command was not asked everything, where that is no fault of its own: the files of a request could not be
    /// written. What it was not asked is not tried.
    pub fn host_fault(&self) -> Option<&str> {
        self.host_fault.get().map(String::as_str)
    }

    /// Ends the command with everything it started and removes its folder, whatever else goes on: for a program that is
    /// about to be ended by a signal.
    pub fn abort(&self) {
        self.process.abort("the gate was interrupted");
        // A request may be writing its files just now.
        for _ in 0..20 {
            if std::fs::remove_dir_all(self.folder.path()).is_ok() || !self.folder.path().exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn path(&self, id: &str, ending: &str) -> PathBuf {
        self.folder.path().join(format!("{id}.{ending}"))
    }

    /// Asks a request with files: they are written by `request`, and removed afterwards, since a long run must not fill the
    /// disk.
    fn ask<const FILES: usize>(
        &self,
        prefix: &str,
        endings: [&str; FILES],
        request: impl FnOnce(&str, [&Path; FILES]) -> Result<Value, String>,
    ) -> Result<Answer, NoAnswer> {
        let unasked = || NoAnswer::NotAsked("not asked: the files of a request could not be written".to_owned());
        if self.host_fault().is_some() {
            return Err(unasked());
        }
        let id = format!("{prefix}{}", self.asked.fetch_add(1, Ordering::Relaxed));
        let files = endings.map(|ending| self.path(&id, ending));
        let answer = match request(&id, std::array::from_fn(|index| files[index].as_path())) {
            Ok(request) => self.process.ask(&id, &request),
            Err(reason) => {
                let _ = self.host_fault.set(printable(&reason));
                Err(unasked())
            }
        };
        for file in files {
            let _ = std::fs::remove_file(file);
        }
        answer
    }
}

/// A command in the place of a registered measure: its laws and definition are those of the registry.
pub struct ExternalMeasure {
    definition: &'static dyn Measure,
    external: Arc<External>,
}

impl ExternalMeasure {
    /// Puts `external` in the place of `definition`.
    pub fn new(definition: &'static dyn Measure, external: Arc<External>) -> Self {
        Self { definition, external }
    }

    fn request(&self, id: &str, [net, data]: [&Path; 2], point: &Point, options: &Options) -> Result<Value, String> {
        let objective = point.objective();
        let model = Arc::new(
            crate::model::Model::new(objective.model.architecture().clone()).map_err(|error| error.to_string())?,
        );
        let mut network = Network::new(model, point.theta().to_vec());
        network.buffers = objective.buffers.to_vec();
        save_network(net, &network, &BTreeMap::new()).map_err(|error| error.to_string())?;
        let shape = &objective.model.architecture().input;
        write_npz(data, objective.inputs, shape, objective.targets).map_err(|error| error.to_string())?;
        Ok(request::flatness(id, self.definition.id(), [net, data], objective, options, self.dtype()))
    }
}

impl Measure for ExternalMeasure {
    fn id(&self) -> &'static str {
        self.definition.id()
    }

    fn summary(&self) -> &'static str {
        "a command under test"
    }

    fn source(&self) -> &'static str {
        "external"
    }

    fn responses(&self) -> Responses {
        self.definition.responses()
    }

    fn is_stochastic(&self) -> bool {
        self.definition.is_stochastic()
    }

    fn knows_loss_scale(&self) -> bool {
        false
    }

    fn dtype(&self) -> Dtype {
        self.external.dtype
    }

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        let measure = self.definition.id();
        let request = |id: &str, files: [&Path; 2]| self.request(id, files, point, options);
        match self.external.ask("c", ["safetensors", "npz"], request) {
            Ok(Answer::Value(estimate)) => Ok(self.external.with_accuracy(estimate)),
            Ok(other @ (Answer::Gram { .. } | Answer::Parameters(_))) => {
                Err(FlatnessError::External { measure, reason: other.misplaced("value") })
            }
            Ok(Answer::Skip(reason)) | Err(NoAnswer::NotAsked(reason)) => {
                Err(FlatnessError::NotApplicable { measure, reason })
            }
            Err(NoAnswer::Fault(reason)) => Err(FlatnessError::External { measure, reason }),
        }
    }
}

/// A command in the place of a registered method for log P(f).
pub struct ExternalPrior {
    definition: &'static dyn LogProbMethod,
    links: &'static [Link],
    external: Arc<External>,
}

impl ExternalPrior {
    /// Puts `external` in the place of `definition`.
    pub fn new(definition: &'static dyn LogProbMethod, external: Arc<External>) -> Self {
        Self { definition, links: definition.links(), external }
    }

    /// The same, asked for these links alone.
    pub fn with_links(self, links: &'static [Link]) -> Self {
        Self { links, ..self }
    }

    fn request(
        &self,
        id: &str,
        [gram_path, labels_path]: [&Path; 2],
        gram: &Gram,
        labels: &Labels,
        options: &PriorOptions,
    ) -> Result<Value, String> {
        let signs: Vec<f64> = labels.signs().iter().map(|sign| f64::from(*sign)).collect();
        write_npy(gram_path, gram.matrix()).map_err(|error| error.to_string())?;
        write_npy_vector(labels_path, ArrayView1::from(&signs)).map_err(|error| error.to_string())?;
        // Approximate methods owe the fixed point of their own method; of the others any way to the truth will do.
        let method = match self.definition.exactness() {
            Exactness::Approximate => self.definition.id(),
            Exactness::Exact | Exactness::Unbiased => "any",
        };
        Ok(request::prior(id, method, [gram_path, labels_path], options))
    }
}

impl LogProbMethod for ExternalPrior {
    fn id(&self) -> &'static str {
        self.definition.id()
    }

    fn summary(&self) -> &'static str {
        "a command under test"
    }

    fn source(&self) -> &'static str {
        "external"
    }

    fn links(&self) -> &'static [Link] {
        self.links
    }

    fn exactness(&self) -> Exactness {
        self.definition.exactness()
    }

    fn log_prob(&self, gram: &Gram, labels: &Labels, options: &PriorOptions) -> Result<LogProb, PriorError> {
        let method = self.definition.id();
        let request = |id: &str, files: [&Path; 2]| self.request(id, files, gram, labels, options);
        match self.external.ask("p", ["gram.npy", "labels.npy"], request) {
            Ok(Answer::Value(estimate)) => {
                Ok(LogProb { estimate: self.external.with_accuracy(estimate), upper_bound: None })
            }
            Ok(other @ (Answer::Gram { .. } | Answer::Parameters(_))) => {
                Err(PriorError::External { method, reason: other.misplaced("value") })
            }
            Ok(Answer::Skip(reason)) | Err(NoAnswer::NotAsked(reason)) => {
                Err(PriorError::NotApplicable { method, reason })
            }
            Err(NoAnswer::Fault(reason)) => Err(PriorError::External { method, reason }),
        }
    }
}
