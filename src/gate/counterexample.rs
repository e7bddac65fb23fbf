//! A failure shrunk to the smallest case that still fails.

use crate::gate::cases::{FlatnessCase, PriorCase};
use crate::gate::corpus_error::CorpusError;
use crate::gate::outcome::Outcome;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The smallest case found on which a law fails for an estimator.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Counterexample {
    /// Id of the law.
    pub law: String,
    /// What was held to it.
    pub estimator: String,
    /// Name of the generated case that failed.
    pub case: String,
    /// The smallest case in words.
    pub smallest: String,
    /// What the law found there.
    pub reason: String,
    #[serde(skip)]
    pub(super) body: Content,
}

/// A case of either kind.
#[derive(Clone)]
#[non_exhaustive]
pub enum Content {
    /// A network with data.
    Network(Arc<FlatnessCase>),
    /// A Gram matrix with labels.
    Gram(Arc<PriorCase>),
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Network(case) => write!(f, "Network({})", case.name),
            Self::Gram(case) => write!(f, "Gram({})", case.name),
        }
    }
}

/// Equal if they are the same case.
impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Network(a), Self::Network(b)) => Arc::ptr_eq(a, b),
            (Self::Gram(a), Self::Gram(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Counterexample {
    /// The case itself.
    pub fn content(&self) -> &Content {
        &self.body
    }

    /// Writes the case into `folder` (see the formats of the corpus) and gives the path of its TOML file.
    ///
    /// # Errors
    /// [`CorpusError`], which names the file that could not be written.
    pub fn save(&self, folder: &Path) -> Result<PathBuf, CorpusError> {
        std::fs::create_dir_all(folder)
            .map_err(|error| CorpusError::new(format!("folder '{}': {error}", folder.display())))?;
        let source = format!("{} under {}, shrunk from {}", self.estimator, self.law, self.case);
        match &self.body {
            Content::Network(case) => case.save(folder, &source),
            Content::Gram(case) => case.save(folder, &source),
        }
    }

    /// Whether an outcome is that of the generated case this one was shrunk from.
    pub fn explains(&self, outcome: &Outcome) -> bool {
        self.law == outcome.law && self.estimator == outcome.estimator && self.case == outcome.case
    }
}
