//! log P(f).

use super::{Certified, Program, golden, json, matrix, number, record};
use crate::data::parse_npy;
use crate::prior::{Gram, Labels, Link};
use serde::Deserialize;
use serde_json::Value;

/// A Gram matrix of real images and a function on them, with values of log P(f) in nats.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LogProbs {
    /// Name of the record.
    pub name: &'static str,
    /// Images, labels and network in words.
    pub what: String,
    /// The matrix.
    pub gram: Gram,
    /// The function.
    pub labels: Labels,
    values: Vec<Row>,
}

#[derive(Debug, Clone, Deserialize)]
struct Row {
    quantity: String,
    link: Link,
    value: f64,
    std_error: Option<f64>,
    #[serde(default)]
    agreed_to: f64,
    by: Vec<Program>,
}

impl LogProbs {
    /// The certified `quantity` under a link: `true`, or the id of an approximate method, of which it is the fixed point.
    pub fn value(&self, quantity: &str, link: Link) -> Option<Certified> {
        let row = self.values.iter().find(|row| row.quantity == quantity && row.link == link)?;
        let Row { value, std_error, agreed_to, .. } = *row;
        Some(Certified { value, std_error, agreed_to, by: row.by.clone() })
    }

    /// The quantities that are certified, with their links.
    pub fn quantities(&self) -> impl Iterator<Item = (&str, Link)> {
        self.values.iter().map(|row| (row.quantity.as_str(), row.link))
    }
}

/// The cases of `golden/prior` on images.
pub fn log_probs() -> Vec<LogProbs> {
    let file = json(golden!("prior/prior.json"));
    let case = |name: &'static str, gram: &[u8], labels: &[u8]| {
        let record = record(&file, name);
        let labels = parse_npy(labels).expect("golden arrays are sound");
        LogProbs {
            name,
            what: record["what"].as_str().expect("a sentence").to_owned(),
            gram: Gram::new(matrix(gram)).expect("a Gram matrix"),
            labels: Labels::from_values(&labels.iter().copied().collect::<Vec<_>>()).expect("labels"),
            values: serde_json::from_value(record["values"].clone()).expect("rows of values"),
        }
    };
    macro_rules! cases {
        ($($name:literal),*) => {
            vec![$(case(
                $name,
                golden!(concat!("prior/", $name, ".gram.npy")),
                golden!(concat!("prior/", $name, ".labels.npy")),
            )),*]
        };
    }
    cases![
        "mnist_true_20_1",
        "mnist_true_60_1",
        "mnist_true_150_1",
        "mnist_true_400_1",
        "mnist_random_100_1",
        "mnist_const_100_1",
        "mnist_deep_100_1"
    ]
}

/// log P(f) of an equicorrelated Gram matrix (`K_ij = rho`, `K_ii = 1`), all labels +1, by mpmath in 40 digits.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ClosedForm {
    /// Number of points.
    pub n: usize,
    /// Their correlation.
    pub rho: f64,
    /// log P(f) in nats.
    pub log_prob: f64,
}

/// The equicorrelated closed forms of `golden/prior`.
pub fn closed_forms() -> Vec<ClosedForm> {
    let file = json(golden!("prior/prior.json"));
    let rows: &Vec<Value> = file["closed_forms"]["records"].as_array().expect("a list");
    let equicorrelated = rows.iter().filter(|row| row["form"] == "equicorrelated");
    let form =
        |row| ClosedForm { n: number(row, "n") as usize, rho: number(row, "rho"), log_prob: number(row, "value") };
    equicorrelated.map(form).collect()
}
