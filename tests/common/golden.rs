//! The certified values of `golden/`.

use flatgauge::data::{self, Dataset};
use flatgauge::model::{Activation, Architecture, Loss, Model, Network, Objective, load_network};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file of `golden/`.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

/// A JSON file of `golden/`.
pub fn record<T: DeserializeOwned>(name: &str) -> T {
    let text = std::fs::read_to_string(golden(name)).unwrap_or_else(|error| panic!("golden/{name}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("golden/{name}: {error}"))
}

/// A trained network of `golden/flatness` with its data and its certified values.
pub struct Trained {
    pub record: Value,
    pub network: Network,
    pub loss: Loss,
    pub data: Dataset,
}

impl Trained {
    /// The five fully connected ones.
    pub fn fully_connected() -> Vec<Self> {
        let records: Value = record("flatness/flatness.json");
        let records = records["cases"].as_array().unwrap().iter().filter(|record| record["arch"] == "fcn");
        let trained: Vec<Self> = records.map(Self::read).collect();
        assert_eq!(trained.len(), 5);
        trained
    }

    fn read(record: &Value) -> Self {
        let name = record["name"].as_str().unwrap();
        let widths: Vec<usize> = serde_json::from_value(record["widths"].clone()).unwrap();
        let activation: Activation = serde_json::from_value(record["activation"].clone()).unwrap();
        let model = Arc::new(Model::new(Architecture::fully_connected(&widths, activation, 1.0, 1.0)).unwrap());
        let file = |ending: &str| golden(&format!("flatness/{name}.{ending}"));
        Self {
            network: load_network(&file("safetensors"), &model).unwrap().network,
            loss: serde_json::from_value(record["loss"].clone()).unwrap(),
            data: data::load(file("npz").to_str().unwrap()).unwrap(),
            record: record.clone(),
        }
    }

    /// Its name in `golden/flatness`.
    pub fn name(&self) -> &str {
        self.record["name"].as_str().unwrap()
    }

    /// A certified number.
    pub fn number(&self, key: &str) -> f64 {
        self.record[key].as_f64().unwrap_or_else(|| panic!("{key} is a number"))
    }

    /// The loss of a network of its kind on its data.
    pub fn objective<'a>(&'a self, network: &'a Network) -> Objective<'a> {
        Objective::new(network, self.loss, self.data.inputs().view(), self.data.targets().view()).unwrap()
    }
}
