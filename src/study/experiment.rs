//! The [`Study`] trait, and where studies work.

use crate::study::{Cache, Findings, Request, StudyError};
use std::path::PathBuf;

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

/// Where a study keeps its work, and who hears of it.
#[derive(Clone)]
pub struct Workspace<'d> {
    /// Folder of trained networks, which studies share.
    pub networks: PathBuf,
    /// Finished measurements.
    pub cache: Cache,
    /// Hears of progress.
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
