//! What is said of a measure, a method or a law, in one place: lists, help and the generated pages of `docs/` print it.

pub mod references;

use serde::Serialize;

/// A publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Reference {
    /// Authors, shortened to the first of more than three.
    pub authors: &'static str,
    /// Year of publication.
    pub year: u16,
    /// Title.
    pub title: &'static str,
    /// `doi:...`, `arXiv:...`, or where it appeared if it has neither.
    pub locator: &'static str,
}

impl Reference {
    /// Its address on the web, if the locator is a DOI or an arXiv identifier.
    pub fn address(&self) -> Option<String> {
        let doi = self.locator.strip_prefix("doi:").map(|doi| format!("https://doi.org/{doi}"));
        doi.or_else(|| self.locator.strip_prefix("arXiv:").map(|id| format!("https://arxiv.org/abs/{id}")))
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { authors, year, title, locator } = self;
        write!(f, "{authors} {year}. {title}. {locator}")
    }
}

/// A measure or method as a reader needs to know it before use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Description {
    /// The definition as a formula.
    pub formula: &'static str,
    /// The symbols of the formula, and what else is particular about the number.
    pub notes: &'static str,
    /// Unit of the value.
    pub unit: &'static str,
    /// What it is good for.
    pub use_for: &'static str,
    /// What it is not good for.
    pub not_for: &'static str,
    /// What it costs. A product is the Hessian (or Gauss-Newton matrix) times one vector.
    pub cost: &'static str,
    /// Names of the options it reads.
    pub options: &'static [&'static str],
    /// When it gives an error and no number.
    pub refuses: &'static str,
    /// Where it comes from.
    pub sources: &'static [Reference],
}

/// An option as a description shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OptionEntry {
    /// Its name.
    pub name: &'static str,
    /// Its default; null where it is none.
    pub default: serde_json::Value,
    /// What it accepts.
    pub accepts: &'static str,
}
