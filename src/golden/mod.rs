//! Certified values: numbers by programs that share no code with this crate, with what they are values of, how sure they are and
//! who vouches for them. They are the records of the repository's `golden/`, embedded.
//!
//! ```
//! use flatgauge::golden;
//! use flatgauge::prior::{self, Link, PriorOptions};
//!
//! for case in golden::log_probs().iter().filter(|case| case.labels.len() <= 20) {
//!     let certified = case.value("ep", Link::Step).expect("every case has one");
//!     let options = PriorOptions { link: Link::Step, ..PriorOptions::default() };
//!     let found = prior::find("ep").unwrap().log_prob(&case.gram, &case.labels, &options)?;
//!     assert!((found.estimate.value - certified.value).abs() < 1e-7, "{}: {:?}", case.name, certified.by);
//! }
//! # Ok::<(), prior::PriorError>(())
//! ```

mod curvature;
mod kernel;
mod log_prob;
mod normal;

pub use curvature::{Curvature, curvatures};
pub use kernel::{Kernels, kernels};
pub use log_prob::{ClosedForm, LogProbs, closed_forms, log_probs};
pub use normal::{NormalTail, normal_tails};

use crate::data::parse_npy;
use ndarray::{Array2, Ix2};
use serde::Deserialize;
use serde_json::Value;

/// A certified number.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Certified {
    /// The number.
    pub value: f64,
    /// Its standard error, where sampling gave it.
    pub std_error: Option<f64>,
    /// The largest difference between the programs that vouch for it, where they are deterministic; 0 of a single one.
    pub agreed_to: f64,
    /// The programs, each with the number that it gave.
    pub by: Vec<Program>,
}

/// A program that vouches for a number.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Program {
    /// Its name and version, and the script of `golden/generate`.
    pub program: String,
    /// What it gave.
    pub value: f64,
    /// The standard error of that, where it samples.
    #[serde(default)]
    pub std_error: Option<f64>,
}

impl Certified {
    /// A number of one deterministic program.
    fn by_one(value: f64, program: &str) -> Self {
        let by = vec![Program { program: program.to_owned(), value, std_error: None }];
        Self { value, std_error: None, agreed_to: 0.0, by }
    }
}

macro_rules! golden {
    ($name:expr) => {
        include_bytes!(concat!("../../golden/", $name)).as_slice()
    };
}
use golden;

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("golden records are JSON")
}

fn matrix(bytes: &[u8]) -> Array2<f64> {
    parse_npy(bytes).expect("golden arrays are sound").into_dimensionality::<Ix2>().expect("golden matrices")
}

fn number(row: &Value, key: &str) -> f64 {
    row[key].as_f64().expect("a number")
}

/// The record of a case.
fn record<'r>(file: &'r Value, name: &str) -> &'r Value {
    let cases = file["cases"].as_array().expect("a list");
    cases.iter().find(|case| case["name"] == name).expect("a record for every case")
}
