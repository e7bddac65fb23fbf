//! A command in the place of a method for Gram matrices.

use super::External;
use super::answer::Answer;
use super::numbers::matrix;
use super::request;
use super::stream::NoAnswer;
use crate::data::write_npy;
use crate::kernel::{KernelError, KernelMethod, KernelOptions, KernelResult, Kind};
use crate::model::Architecture;
use crate::numeric::{Dtype, Info};
use ndarray::ArrayView2;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// A command in the place of a method for Gram matrices, held to one kernel.
pub struct ExternalKernel {
    kind: Kind,
    external: Arc<External>,
}

impl ExternalKernel {
    /// A command that answers with Gram matrices of `kind`.
    pub fn new(kind: Kind, external: Arc<External>) -> Self {
        Self { kind, external }
    }

    fn request(
        &self,
        id: &str,
        inputs_path: &Path,
        architecture: &Architecture,
        inputs: ArrayView2<f64>,
        options: &KernelOptions,
    ) -> Result<Value, String> {
        write_npy(inputs_path, inputs).map_err(|error| error.to_string())?;
        Ok(request::kernel(id, self.kind, architecture, inputs_path, options, self.dtype()))
    }

    fn fault(reason: String) -> KernelError {
        KernelError::External { method: "kernel", reason }
    }
}

impl KernelMethod for ExternalKernel {
    fn id(&self) -> &'static str {
        "command"
    }

    fn summary(&self) -> &'static str {
        "a command under test"
    }

    fn source(&self) -> &'static str {
        "external"
    }

    fn kinds(&self) -> &'static [Kind] {
        match self.kind {
            Kind::Nngp => &[Kind::Nngp],
            Kind::Ntk => &[Kind::Ntk],
        }
    }

    fn dtype(&self) -> Dtype {
        self.external.dtype
    }

    fn gram(
        &self,
        architecture: &Architecture,
        inputs: ArrayView2<f64>,
        options: &KernelOptions,
    ) -> Result<KernelResult, KernelError> {
        let request = |id: &str, [path]: [&Path; 1]| self.request(id, path, architecture, inputs, options);
        match self.external.ask("k", ["inputs.npy"], request) {
            Ok(Answer::Gram { gram, std_error }) => {
                let entries = matrix(&gram, "gram").map_err(Self::fault)?;
                let std_error = std_error.map(|value| matrix(&value, "std_error")).transpose().map_err(Self::fault)?;
                if let Some(errors) = &std_error {
                    let bad = errors.iter().find(|error| !(**error >= 0.0 && error.is_finite()));
                    if errors.dim() != entries.dim() || bad.is_some() {
                        let reason = "std_error is no matrix of finite numbers of at least 0, of the shape of gram";
                        return Err(Self::fault(reason.to_owned()));
                    }
                }
                Ok(KernelResult { matrix: entries, std_error, left_out: Vec::new(), info: Info::new() })
            }
            Ok(other @ (Answer::Value(_) | Answer::Parameters(_))) => Err(Self::fault(other.misplaced("gram"))),
            Ok(Answer::Skip(reason)) | Err(NoAnswer::NotAsked(reason)) => {
                Err(KernelError::NotApplicable { method: "kernel", reason })
            }
            Err(NoAnswer::Fault(reason)) => Err(Self::fault(reason)),
        }
    }
}
