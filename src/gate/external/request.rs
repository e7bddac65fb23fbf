//! What the gate writes to a command: the lines of the protocol.

use super::hello::PROTOCOL_VERSION;
use super::stream::START;
use crate::flatness::Options;
use crate::kernel::{KernelOptions, Kind};
use crate::model::{Architecture, Loss, Objective};
use crate::numeric::Dtype;
use crate::prior::{Link, PriorOptions};
use serde_json::{Value, json};
use std::path::Path;

/// Kinds of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestKind {
    /// A measure of a network.
    Flatness,
    /// log P(f) of labels.
    Prior,
    /// A Gram matrix.
    Kernel,
    /// A map of parameters that leaves the function as it is.
    Rescaling,
    /// Steps of an optimiser.
    Optimizer,
}

impl RequestKind {
    /// Those that every command may be asked, whatever it says it can do.
    pub const ESTIMATORS: [Self; 3] = [Self::Flatness, Self::Prior, Self::Kernel];

    /// Its name in lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flatness => "flatness",
            Self::Prior => "prior",
            Self::Kernel => "kernel",
            Self::Rescaling => "rescaling",
            Self::Optimizer => "optimizer",
        }
    }
}

/// What a run will ask of a command.
#[derive(Debug, Clone)]
pub struct Opening {
    /// Kinds of requests.
    pub kinds: Vec<RequestKind>,
    /// Seed of the run.
    pub seed: u64,
    /// The format in which the command is to compute.
    pub dtype: Dtype,
    /// Whether the command's lines are kept, to be looked at one by one.
    pub keeps_lines: bool,
}

impl Default for Opening {
    fn default() -> Self {
        Self { kinds: RequestKind::ESTIMATORS.to_vec(), seed: 0, dtype: Dtype::Float64, keeps_lines: false }
    }
}

/// The line that opens protocol 1.0.
pub(super) fn start(opening: &Opening) -> String {
    let kinds: Vec<&str> = opening.kinds.iter().map(|kind| kind.name()).collect();
    json!({
        "id": START,
        "kind": "start",
        "protocol": PROTOCOL_VERSION,
        "kinds": kinds,
        "dtypes": [opening.dtype],
        "seed": opening.seed,
    })
    .to_string()
}

/// The loss as a formula, since programs of the same name differ by factors.
fn formula(loss: Loss) -> &'static str {
    match loss {
        Loss::Bce => "mean over samples of log(1 + exp(-(2 y - 1) z)), z the one logit, y 0 or 1",
        Loss::Ce => "mean over samples of log(sum_j exp(z_j)) - z_y, z the logits, y the index of the class",
        Loss::Mse => "mean over samples of sum_j (z_j - y_j)^2, z the outputs, without a factor 1/2",
    }
}

/// A measure of a network.
pub(super) fn flatness(
    id: &str,
    measure: &str,
    [net, data]: [&Path; 2],
    objective: &Objective,
    options: &Options,
    dtype: Dtype,
) -> Value {
    json!({
        "id": id,
        "kind": RequestKind::Flatness.name(),
        "measure": measure,
        "net": net,
        "architecture": objective.model.architecture(),
        "batch_norm": { "mode": "eval", "epsilon": crate::model::BATCH_NORM_EPSILON },
        "loss": objective.loss,
        "loss_formula": formula(objective.loss),
        "data": data,
        "options": options.with_former_names(),
        "dtype": dtype,
        "seed": options.seed,
    })
}

/// log P(f) of labels.
pub(super) fn prior(id: &str, method: &str, [gram, labels]: [&Path; 2], options: &PriorOptions) -> Value {
    let event = match options.link {
        Link::Step => "Pr[y_i g_i > 0 for all i], g ~ N(0, K)",
        Link::Probit => "Pr[y_i g_i > 0 for all i], g ~ N(0, K + I)",
        Link::Logistic => "E[prod_i 1 / (1 + exp(-y_i g_i))], g ~ N(0, K)",
    };
    json!({
        "id": id,
        "kind": RequestKind::Prior.name(),
        "method": method,
        "link": options.link,
        "link_formula": event,
        "gram": gram,
        "labels": labels,
        "dtype": Dtype::Float64,
        "seed": options.seed,
    })
}

/// A Gram matrix.
pub(super) fn kernel(
    id: &str,
    kind: Kind,
    architecture: &Architecture,
    inputs: &Path,
    options: &KernelOptions,
    dtype: Dtype,
) -> Value {
    json!({
        "id": id,
        "kind": RequestKind::Kernel.name(),
        "kernel": kind.name(),
        "architecture": architecture,
        "inputs": inputs,
        "samples": options.samples,
        "dtype": dtype,
        "seed": options.seed,
    })
}

/// A map of a network's parameters.
pub(super) fn rescaling(id: &str, name: &str, net: &Path, architecture: &Architecture, seed: u64) -> Value {
    json!({
        "id": id,
        "kind": RequestKind::Rescaling.name(),
        "rescaling": name,
        "net": net,
        "architecture": architecture,
        "batch_norm": { "mode": "eval", "epsilon": crate::model::BATCH_NORM_EPSILON },
        "dtype": Dtype::Float64,
        "seed": seed,
    })
}

/// Steps of an optimiser, whose mini-batches are rows of the data in the order in which they are used, and whose normal draws,
/// if it has any, are the numbers of a file.
#[cfg(feature = "studies")]
pub(super) fn optimizer(
    id: &str,
    [net, data, noise]: [&Path; 3],
    course: &crate::gate::trajectory::Course,
    steps: usize,
    batches: &[Vec<usize>],
) -> Value {
    json!({
        "id": id,
        "kind": RequestKind::Optimizer.name(),
        "optimizer": course.optimizer.id(),
        "preset": course.preset,
        "hyperparameters": course.optimizer.hyperparameters(),
        "learning_rate": course.learning_rate,
        "steps": steps,
        "net": net,
        "architecture": course.network.model.architecture(),
        "loss": course.loss,
        "loss_formula": formula(course.loss),
        "data": data,
        "batches": batches,
        "noise": crate::gate::trajectory::has_noise(&*course.optimizer).then_some(noise),
        "dtype": Dtype::Float64,
        "seed": 0,
    })
}
