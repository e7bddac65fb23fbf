//! The certified values of `golden/`, embedded so that `flatgauge verify` needs no files.

use crate::data::{parse_npy, parse_npz};
use crate::gate::cases::FlatnessCase;
use crate::kernel::Kind;
use crate::model::{Activation, Architecture, Loss, Model, parse_network};
use crate::numeric::tolerance::COVARIANCE_ANGLE_ERROR;
use crate::prior::{Gram, Labels, Link};
use ndarray::{Array2, Ix2};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

macro_rules! golden {
    ($name:expr) => {
        include_bytes!(concat!("../../golden/", $name)).as_slice()
    };
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("golden records are JSON")
}

fn matrix(bytes: &[u8]) -> Array2<f64> {
    parse_npy(bytes).expect("golden arrays are sound").into_dimensionality::<Ix2>().expect("golden matrices")
}

/// log Phi and the hazard at one argument.
pub(super) struct NormalRow {
    pub z: f64,
    pub log_ndtr: f64,
    pub hazard: f64,
}

/// The rows of `golden/normal`.
pub(super) fn normal() -> Vec<NormalRow> {
    let record = json(golden!("normal/log_ndtr.json"));
    let rows = record["rows"].as_array().expect("a list of rows");
    let number = |row: &Value, key: &str| row[key].as_f64().expect("a number");
    rows.iter()
        .map(|row| NormalRow { z: number(row, "z"), log_ndtr: number(row, "log_ndtr"), hazard: number(row, "hazard") })
        .collect()
}

/// A Gram matrix by neural-tangents.
pub(super) struct KernelRow {
    pub name: &'static str,
    pub architecture: Architecture,
    pub inputs: Array2<f64>,
    nngp: Array2<f64>,
    ntk: Array2<f64>,
    depth: usize,
}

impl KernelRow {
    /// What the certified matrix itself is good to. Tangent kernels of nearly parallel inputs come from covariances there,
    /// which hold half the digits of an angle, layer by layer.
    pub fn own_error(&self, kind: Kind) -> f64 {
        match kind {
            Kind::Nngp => 0.0,
            Kind::Ntk => COVARIANCE_ANGLE_ERROR * self.depth as f64,
        }
    }

    /// The certified matrix of a kernel.
    pub fn matrix(&self, kind: Kind) -> &Array2<f64> {
        match kind {
            Kind::Nngp => &self.nngp,
            Kind::Ntk => &self.ntk,
        }
    }
}

/// The fully connected cases of `golden/kernel`.
pub(super) fn kernels() -> Vec<KernelRow> {
    let record = json(golden!("kernel/kernel.json"));
    let case = |name: &'static str, x: &[u8], nngp: &[u8], ntk: &[u8]| {
        let case = record["cases"].as_array().expect("a list").iter().find(|case| case["name"] == name);
        let case = case.expect("a record for every case");
        let number = |key: &str| case[key].as_f64().expect("a number");
        let activation: Activation = serde_json::from_value(case["activation"].clone()).expect("an activation");
        let inputs = matrix(x);
        let mut widths = vec![1; number("depth") as usize + 2];
        widths[0] = inputs.ncols();
        let architecture = Architecture::fully_connected(&widths, activation, number("weight_std"), number("bias_std"));
        KernelRow { name, architecture, inputs, nngp: matrix(nngp), ntk: matrix(ntk), depth: number("depth") as usize }
    };
    macro_rules! cases {
        ($($name:literal),*) => {
            vec![$(case(
                $name,
                golden!(concat!("kernel/", $name, ".x.npy")),
                golden!(concat!("kernel/", $name, ".nngp.npy")),
                golden!(concat!("kernel/", $name, ".ntk.npy")),
            )),*]
        };
    }
    cases!["fcn1_relu_1", "fcn2_relu_1", "fcn5_relu_1", "fcn2_erf_1", "fcn10_relu_1"]
}

/// A trained network with curvature by PyTorch.
pub(super) struct FlatnessRow {
    pub case: FlatnessCase,
    record: Value,
}

impl FlatnessRow {
    /// The certified value of a measure with the shift `c` it was taken at, if there is one.
    pub fn value(&self, measure: &str) -> Option<(f64, Option<f64>)> {
        let key = match measure {
            "hessian_log_det" => "log_det_shifted",
            "relative_flatness" => "relative_flatness_output_layer",
            other => other,
        };
        let shift = (measure == "hessian_log_det").then(|| self.record["log_det_shift"].as_f64()).flatten();
        Some((self.record[key].as_f64()?, shift))
    }

    /// The certified value after layer 0 is scaled by [`FlatnessRow::alpha`].
    pub fn rescaled_value(&self, measure: &str) -> Option<f64> {
        self.record[format!("rescaled_{measure}")].as_f64()
    }

    /// The factor of the rescaled values.
    pub fn alpha(&self) -> Option<f64> {
        self.record["rescaled_alpha"].as_f64()
    }
}

/// The fully connected cases of `golden/flatness`.
pub(super) fn networks() -> Vec<FlatnessRow> {
    let records = json(golden!("flatness/flatness.json"));
    let case = |name: &'static str, network: &[u8], data: &[u8]| {
        let record = records["cases"].as_array().expect("a list").iter().find(|case| case["name"] == name);
        let record = record.expect("a record for every case").clone();
        let widths: Vec<usize> = serde_json::from_value(record["widths"].clone()).expect("widths");
        let activation: Activation = serde_json::from_value(record["activation"].clone()).expect("an activation");
        let loss: Loss = serde_json::from_value(record["loss"].clone()).expect("a loss");
        let architecture = Architecture::fully_connected(&widths, activation, 1.0, 1.0);
        let model = Arc::new(Model::new(architecture).expect("a sound architecture"));
        let network = parse_network(network, Path::new(name), &model).expect("a sound network").network;
        let array = |key| parse_npz(data, key).expect("golden arrays are sound");
        let inputs = array("x").into_dimensionality::<Ix2>().expect("one row a sample");
        let targets = array("y");
        let rows = inputs.nrows();
        let targets = targets.into_shape_with_order((rows, 1)).expect("one target a sample");
        FlatnessRow { case: FlatnessCase::new(name.to_owned(), network, loss, inputs, targets), record }
    };
    macro_rules! cases {
        ($($name:literal),*) => {
            vec![$(case(
                $name,
                golden!(concat!("flatness/", $name, ".safetensors")),
                golden!(concat!("flatness/", $name, ".npz")),
            )),*]
        };
    }
    cases!["fcn_relu_bce_1", "fcn_tanh_bce_1", "fcn_erf_mse_1", "fcn_relu_ce10_1", "fcn_relu_deep_1"]
}

/// A Gram matrix of real images with values of log P(f).
pub(super) struct PriorRow {
    pub name: &'static str,
    pub gram: Gram,
    pub labels: Labels,
    values: Vec<Value>,
}

/// One certified value of log P(f).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PriorValue {
    pub value: f64,
    pub std_error: f64,
    /// Largest difference between the programs that vouch for it.
    pub agreed_to: f64,
}

impl PriorRow {
    /// The certified `quantity` (`true`, or a method whose fixed point it is) under a link.
    pub fn value(&self, quantity: &str, link: Link) -> Option<PriorValue> {
        let link = serde_json::to_value(link).expect("links are words");
        let record = self.values.iter().find(|record| record["quantity"] == quantity && record["link"] == link)?;
        let number = |key: &str| record[key].as_f64();
        Some(PriorValue {
            value: number("value")?,
            std_error: number("std_error").unwrap_or(0.0),
            agreed_to: number("agreed_to").unwrap_or(0.0),
        })
    }
}

/// The cases of `golden/prior` on images.
pub(super) fn priors() -> Vec<PriorRow> {
    let records = json(golden!("prior/prior.json"));
    let case = |name: &'static str, gram: &[u8], labels: &[u8]| {
        let record = records["cases"].as_array().expect("a list").iter().find(|case| case["name"] == name);
        let labels = parse_npy(labels).expect("golden arrays are sound");
        PriorRow {
            name,
            gram: Gram::new(matrix(gram)).expect("a Gram matrix"),
            labels: Labels::from_values(&labels.iter().copied().collect::<Vec<_>>()).expect("labels"),
            values: record.expect("a record for every case")["values"].as_array().expect("a list").clone(),
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

/// An equicorrelated Gram matrix, all labels +1.
pub(super) struct ClosedForm {
    pub n: usize,
    pub rho: f64,
    pub log_prob: f64,
}

/// The closed forms of `golden/prior`.
pub(super) fn closed_forms() -> Vec<ClosedForm> {
    let record = json(golden!("prior/prior.json"));
    let rows = record["closed_forms"]["records"].as_array().expect("a list");
    let number = |row: &Value, key: &str| row[key].as_f64().expect("a number");
    rows.iter()
        .filter(|row| row["form"] == "equicorrelated")
        .map(|row| ClosedForm { n: number(row, "n") as usize, rho: number(row, "rho"), log_prob: number(row, "value") })
        .collect()
}
