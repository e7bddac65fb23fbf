//! Estimators in any language: a command that answers requests line by line stands in for a measure or a
//! method, and owes the same laws and certified values.

mod process;
mod template;

pub use process::Fault;
pub use template::{Language, template};

use crate::data::{write_npy, write_npy_vector, write_npz};
use crate::flatness::{FlatnessError, Measure, Options, Point, Responses};
use crate::gate::law::Context;
use crate::gate::verdict::{Finding, Outcome};
use crate::model::{Network, save_network};
use crate::numeric::{Estimate, Info};
use crate::prior::{Exactness, Gram, Labels, Link, LogProb, Prior, PriorError, PriorOptions};
use ndarray::ArrayView1;
use process::Process;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Law under which faults of the answer stream are reported.
const PROTOCOL: &str = "protocol.answers";

/// A command that answers requests, with the folder its files lie in.
#[derive(Debug)]
pub struct External {
    process: Process,
    folder: tempfile::TempDir,
    asked: AtomicU64,
}

/// What a command said of one request.
enum Answer {
    Value(Estimate),
    Skip(String),
}

impl External {
    /// Starts the command, through the shell.
    ///
    /// # Errors
    /// Those of starting a process and of making a temporary folder.
    pub fn start(command: &str, timeout: Duration) -> std::io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("flatgauge-check-").tempdir()?;
        Ok(Self { process: Process::start(command, timeout)?, folder, asked: AtomicU64::new(0) })
    }

    /// Closes the command's stdin, waits for it to exit, and judges its stream of answers.
    pub fn finish(&self, estimator: &str, context: &Context, reproduce: &str) -> Vec<Outcome> {
        let reproduce = format!("{reproduce} --tier {} --seed {}", context.by_tier("quick", "full"), context.seed);
        let outcome = |case: &str, finding| Outcome::new(PROTOCOL, estimator, case, finding, reproduce.clone());
        let faults = self.process.finish();
        if faults.is_empty() {
            return vec![outcome("stream", Finding::compare(0.0, 0.0, 0.0))];
        }
        faults.into_iter().map(|fault| outcome(fault.kind, Finding::fail(fault.detail))).collect()
    }

    fn path(&self, id: &str, ending: &str) -> PathBuf {
        self.folder.path().join(format!("{id}.{ending}"))
    }

    fn next_id(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.asked.fetch_add(1, Ordering::Relaxed))
    }

    fn ask(&self, id: &str, request: &Value) -> Result<Answer, String> {
        let answer = self.process.ask(id, request)?;
        if let Some(reason) = answer.get("skip") {
            return Ok(Answer::Skip(reason.as_str().unwrap_or("no reason given").to_owned()));
        }
        if let Some(error) = answer.get("error") {
            return Err(format!("error: {}", error.as_str().unwrap_or("no reason given")));
        }
        let value = answer.get("value").ok_or("missing-value: the answer has neither value, skip nor error")?;
        let value = real(value).ok_or_else(|| format!("not-a-number: value is {value}"))?;
        match answer.get("std_error") {
            None | Some(Value::Null) => Ok(Answer::Value(Estimate::deterministic(value, Info::new()))),
            Some(error) => match real(error).filter(|error| *error >= 0.0 && error.is_finite()) {
                Some(error) => Ok(Answer::Value(Estimate::stochastic(value, error, Info::new()))),
                None => Err(format!("not-a-number: std_error is {error}, expected a finite number of at least 0")),
            },
        }
    }
}

/// A number of an answer: `-inf` may come as a string; NaN in any form is none.
fn real(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(word) if word == "-inf" => f64::NEG_INFINITY,
        _ => return None,
    };
    (!number.is_nan()).then_some(number)
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

    fn request(&self, id: &str, point: &Point, options: &Options) -> Result<Value, String> {
        let objective = point.objective();
        let (net, data) = (self.external.path(id, "safetensors"), self.external.path(id, "npz"));
        let model = Arc::new(
            crate::model::Model::new(objective.model.architecture().clone()).map_err(|error| error.to_string())?,
        );
        let mut network = Network::new(model, point.theta().to_vec());
        network.buffers = objective.buffers.to_vec();
        save_network(&net, &network, &BTreeMap::new()).map_err(|error| error.to_string())?;
        let shape = &objective.model.architecture().input;
        write_npz(&data, objective.inputs, shape, objective.targets).map_err(|error| error.to_string())?;
        Ok(json!({
            "id": id,
            "kind": "flatness",
            "measure": self.definition.id(),
            "net": net,
            "architecture": objective.model.architecture(),
            "loss": objective.loss,
            "data": data,
            "options": options,
            "seed": options.seed,
        }))
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

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        let measure = self.definition.id();
        let fault = |reason| FlatnessError::External { measure, reason };
        let id = self.external.next_id("c");
        let request = self.request(&id, point, options).map_err(fault)?;
        let answer = self.external.ask(&id, &request);
        // The files have served; a long run must not fill the disk.
        for ending in ["safetensors", "npz"] {
            let _ = std::fs::remove_file(self.external.path(&id, ending));
        }
        match answer.map_err(fault)? {
            Answer::Value(estimate) => Ok(estimate),
            Answer::Skip(reason) => Err(FlatnessError::NotApplicable { measure, reason }),
        }
    }
}

/// A command in the place of a registered method for log P(f).
pub struct ExternalPrior {
    definition: &'static dyn Prior,
    external: Arc<External>,
}

impl ExternalPrior {
    /// Puts `external` in the place of `definition`.
    pub fn new(definition: &'static dyn Prior, external: Arc<External>) -> Self {
        Self { definition, external }
    }

    fn request(&self, id: &str, gram: &Gram, labels: &Labels, options: &PriorOptions) -> Result<Value, String> {
        let (gram_path, labels_path) = (self.external.path(id, "gram.npy"), self.external.path(id, "labels.npy"));
        let signs: Vec<f64> = labels.signs().iter().map(|sign| f64::from(*sign)).collect();
        write_npy(&gram_path, gram.matrix()).map_err(|error| error.to_string())?;
        write_npy_vector(&labels_path, ArrayView1::from(&signs)).map_err(|error| error.to_string())?;
        // Approximate methods owe the fixed point of their own method; of the others any way to the truth will do.
        let method = match self.definition.exactness() {
            Exactness::Approximate => self.definition.id(),
            Exactness::Exact | Exactness::Unbiased => "any",
        };
        Ok(json!({
            "id": id,
            "kind": "prior",
            "method": method,
            "link": options.link,
            "gram": gram_path,
            "labels": labels_path,
            "seed": options.seed,
        }))
    }
}

impl Prior for ExternalPrior {
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
        self.definition.links()
    }

    fn exactness(&self) -> Exactness {
        self.definition.exactness()
    }

    fn log_prob(&self, gram: &Gram, labels: &Labels, options: &PriorOptions) -> Result<LogProb, PriorError> {
        let method = self.definition.id();
        let fault = |reason| PriorError::External { method, reason };
        let id = self.external.next_id("p");
        let request = self.request(&id, gram, labels, options).map_err(fault)?;
        let answer = self.external.ask(&id, &request);
        for ending in ["gram.npy", "labels.npy"] {
            let _ = std::fs::remove_file(self.external.path(&id, ending));
        }
        match answer.map_err(fault)? {
            Answer::Value(estimate) => Ok(LogProb { estimate, upper_bound: None }),
            Answer::Skip(reason) => Err(PriorError::NotApplicable { method, reason }),
        }
    }
}
