//! A report as a folder of files, one for each reader.

use super::{ReportError, html, junit, markdown, text};
use crate::demonstration::Demonstration;
use crate::gate::{FailureGroup, Report};
use crate::io::write_atomically;
use serde::Serialize;
use std::path::Path;

/// The JSON document of a gate: its report, and the demonstration where there is one.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct GateDocument<'a> {
    /// Verdict, outcomes, counts, seed, version.
    #[serde(flatten)]
    pub report: &'a Report,
    /// The failures, those of one law, estimator and cause together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<FailureGroup>,
    /// Networks trained on digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub demonstration: Option<&'a Demonstration>,
}

impl<'a> GateDocument<'a> {
    /// The document of a report.
    pub fn new(report: &'a Report, demonstration: Option<&'a Demonstration>) -> Self {
        Self { report, failures: report.failure_groups(), demonstration }
    }
}

/// The files of a report.
const FILES: [&str; 5] = ["report.txt", "report.json", "junit.xml", "report.md", "index.html"];

/// Makes the folder and sees that files can be written there, before hours are spent on what goes into it.
///
/// # Errors
/// [`ReportError`], which names the path.
pub fn prepare(folder: &Path) -> Result<(), ReportError> {
    std::fs::create_dir_all(folder)
        .and_then(|()| tempfile::tempfile_in(folder))
        .map(drop)
        .map_err(ReportError::at(folder))?;
    match FILES.map(|name| folder.join(name)).iter().find(|path| path.is_dir()) {
        Some(path) => Err(ReportError::Folder { path: path.clone() }),
        None => Ok(()),
    }
}

/// Writes `report.txt`, `report.json`, `junit.xml`, `report.md` and `index.html` into `folder`, which is made if it
/// is missing; each file appears whole or not at all.
///
/// # Errors
/// [`ReportError`], which names the path.
pub fn write(folder: &Path, demonstration: Option<&Demonstration>, report: &Report) -> Result<(), ReportError> {
    prepare(folder)?;
    let document = GateDocument::new(report, demonstration);
    let json = serde_json::to_string_pretty(&document).expect("results serialise") + "\n";
    let contents = [
        text::verify(demonstration, report),
        json,
        junit::junit(report),
        markdown::markdown(report),
        html::html(demonstration, report),
    ];
    for (name, content) in FILES.into_iter().zip(contents) {
        let path = folder.join(name);
        write_atomically(&path, content.as_bytes()).map_err(ReportError::at(&path))?;
    }
    Ok(())
}
