//! What can go wrong with the files of a report.

#[cfg(feature = "plots")]
use super::figure::FigureError;
use std::io;
use std::path::{Path, PathBuf};

/// A report that cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file or folder that cannot be written.
    #[error("{}: {source}", path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder where a file belongs.
    #[error("{}: it is a folder, expected a file or nothing", path.display())]
    Folder {
        /// Where.
        path: PathBuf,
    },
    /// A figure that cannot be drawn.
    #[cfg(feature = "plots")]
    #[error(transparent)]
    Figure(#[from] FigureError),
}

impl ReportError {
    /// Names the path that an error met.
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}
