//! The experiments of the paper (Zhang, Reid, Valle-Perez and Louis, arXiv 2103.06219): the [`Study`] trait, the
//! registry, one file per study.
//!
//! A study trains networks, measures them, and returns [`Findings`]: numbers, tables, figures as data, and for each
//! claim of the paper whether it held here.
//!
//! ```no_run
//! use flatgauge::study::{self, Cache, Request, Workspace};
//!
//! let workspace = Workspace {
//!     networks: "out/networks".into(),
//!     cache: Cache::new("out/cache".into(), true),
//!     progress: &|step| eprintln!("{} {} of {}", step.phase, step.done, step.total),
//! };
//! let request = Request { quick: true, ..Request::default() };
//! let findings = study::find("correlation").expect("a registered study").run(&request, &workspace)?;
//! for claim in &findings.claims {
//!     println!("{claim:?}");
//! }
//! # Ok::<(), study::StudyError>(())
//! ```

mod ascents;
mod batch_size;
mod boolean;
mod cache;
mod claims;
mod complexity;
mod correlation;
mod counted;
mod findings;
mod flatter;
mod ground;
mod grouped;
mod hessian;
mod links;
mod measured;
mod mingard2021;
mod networks;
mod predictors;
mod request;
mod rescaled;
mod rescaling;
mod setting;
mod sizes;
mod temporal;
mod width;

pub use cache::Cache;
pub use claims::{Claim, Effect, Test, Verdict};
pub use findings::{Axis, Cell, Figure, Findings, Panel, Series, Style, Table, real};
pub use measured::{Measured, Quantity};
pub use request::{KernelChoice, PerOptimizer, Request};
pub use setting::{Defaults, Setting};

use crate::data::DataError;
use crate::flatness::FlatnessError;
use crate::function::FunctionError;
use crate::kernel::KernelError;
use crate::model::ModelError;
use crate::prior::PriorError;
use crate::rescale::RescaleError;
use crate::train::TrainError;
use std::path::PathBuf;

/// What can go wrong in a study.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// A request that cannot be met.
    #[error("{name}: found {found}, expected {expected}")]
    Request {
        /// What of the request.
        name: &'static str,
        /// What was asked.
        found: String,
        /// What can be.
        expected: String,
    },
    /// Too few networks reached zero error.
    #[error("{trained} of {wanted} networks reached zero training error, expected at least {least}: {reason}")]
    Untrained {
        /// Networks that did.
        trained: usize,
        /// Networks that were to.
        wanted: usize,
        /// Fewest of use.
        least: usize,
        /// What became of the first that did not.
        reason: String,
    },
    /// A network cannot be measured.
    #[error("network {network}: {reason}")]
    Network {
        /// Its name.
        network: String,
        /// What went wrong.
        reason: String,
    },
    /// A file of the output folder.
    #[error("file '{path}': {reason}")]
    File {
        /// Which.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Models.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Training.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Kernels.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// `log P(f)`.
    #[error(transparent)]
    Prior(#[from] PriorError),
    /// Flatness.
    #[error(transparent)]
    Flatness(#[from] FlatnessError),
    /// Functions.
    #[error(transparent)]
    Function(#[from] FunctionError),
    /// Rescaling.
    #[error(transparent)]
    Rescale(#[from] RescaleError),
}

/// How far a phase of a study is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'p> {
    /// What is being done.
    pub phase: &'p str,
    /// Pieces done.
    pub done: usize,
    /// Pieces in all.
    pub total: usize,
}

/// Where a study keeps its work, and what is called as it goes on.
#[derive(Clone)]
pub struct Workspace<'d> {
    /// Folder of trained networks, which studies share.
    pub networks: PathBuf,
    /// Finished measurements.
    pub cache: Cache,
    /// Called as the work goes on.
    pub progress: &'d (dyn Fn(Progress) + Sync),
}

/// An experiment.
pub trait Study: Send + Sync {
    /// Registry name.
    fn id(&self) -> &'static str;

    /// One line for lists and help.
    fn summary(&self) -> &'static str;

    /// What of the paper it reproduces.
    fn source(&self) -> &'static str;

    /// Runs it. The findings are the same bits for any number of threads and interruptions.
    ///
    /// # Errors
    /// [`StudyError`]: a request that cannot be met, networks that cannot be trained or measured.
    fn run(&self, request: &Request, workspace: &Workspace) -> Result<Findings, StudyError>;
}

/// All studies, in the order users see them. A new study is a file and a line here.
pub fn registry() -> &'static [&'static dyn Study] {
    &[
        &correlation::CorrelationStudy,
        &temporal::TemporalStudy,
        &boolean::BooleanStudy,
        &mingard2021::MingardStudy,
        &rescaling::RescalingStudy,
        &complexity::ComplexityStudy,
        &hessian::HessianStudy,
        &batch_size::BatchSizeStudy,
        &width::WidthStudy,
        &links::LinksStudy,
    ]
}

/// The study called `id`.
pub fn find(id: &str) -> Option<&'static dyn Study> {
    registry().iter().copied().find(|study| crate::id::names(id, study.id()))
}
