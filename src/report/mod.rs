//! Verdicts and tables in, text and JSON out.

#[doc(hidden)]
pub mod conformance;
mod error;
mod escape;
mod failures;
#[doc(hidden)]
#[cfg(feature = "plots")]
pub mod figure;
pub mod folder;
pub mod html;
#[doc(hidden)]
pub mod json;
pub mod junit;
pub mod markdown;
mod matrix;
mod plot;
pub mod reference;
#[doc(hidden)]
#[cfg(feature = "plots")]
pub mod study;
mod table;
pub mod text;

pub use error::ReportError;

use serde::Serialize;
use serde_json::{Map, Value};

#[doc(hidden)]
/// One line of a list: what `flatgauge list` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Registry name.
    pub id: String,
    /// What it is.
    pub summary: String,
    /// Where it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Its sets of settings with names, where it has any; the first is the default.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub presets: Vec<EntryPreset>,
}

#[doc(hidden)]
/// A set of settings with a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntryPreset {
    /// Its name.
    pub name: String,
    /// The settings by name.
    pub settings: Map<String, Value>,
}

impl Entry {
    /// An entry without a source.
    pub fn new(id: &str, summary: &str) -> Self {
        Self { id: id.to_owned(), summary: summary.to_owned(), source: None, presets: Vec::new() }
    }

    /// The same with its source.
    pub fn from(mut self, source: &str) -> Self {
        self.source = Some(source.to_owned());
        self
    }
}
