//! Curvature of trained networks.

use super::{Certified, golden, json, record};
use crate::data::parse_npz;
use crate::model::{Activation, Architecture, LayerSpec, Loss, Model, Network, Padding, parse_network};
use ndarray::Array2;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// A trained network with its data, and measures of its flatness by PyTorch's dense autograd in float64.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Curvature {
    /// Name of the record.
    pub name: &'static str,
    /// The network.
    pub network: Network,
    /// The loss, a mean over samples.
    pub loss: Loss,
    /// Inputs, `n x features`.
    pub inputs: Array2<f64>,
    /// Targets for the loss.
    pub targets: Array2<f64>,
    program: String,
    record: Value,
}

impl Curvature {
    /// The certified value of a measure, by its id, under default options but for [`Curvature::log_det_shift`]; `None` where
    /// there is none.
    pub fn value(&self, measure: &str) -> Option<Certified> {
        self.number(match measure {
            "hessian_log_det" => "log_det_shifted",
            "relative_flatness" => "relative_flatness_output_layer",
            other => other,
        })
    }

    /// The shift `c` of `log det(H + c I)` in its certified value.
    pub fn log_det_shift(&self) -> Option<f64> {
        self.record["log_det_shift"].as_f64()
    }

    /// The certified value after layer 0 is scaled by [`Curvature::alpha`].
    pub fn rescaled_value(&self, measure: &str) -> Option<Certified> {
        self.number(&format!("rescaled_{measure}"))
    }

    /// The factor of the rescaled values: layer 0 is divided by it, layer 1 multiplied.
    pub fn alpha(&self) -> Option<f64> {
        self.record["rescaled_alpha"].as_f64()
    }

    fn number(&self, key: &str) -> Option<Certified> {
        Some(Certified::by_one(self.record[key].as_f64()?, &self.program))
    }
}

/// The cases of `golden/flatness`: fully connected networks, and a convolutional one.
pub fn curvatures() -> Vec<Curvature> {
    let file = json(golden!("flatness/flatness.json"));
    let program = file["made_by"].as_str().expect("a program");
    let case = |name: &'static str, network: &[u8], data: &[u8]| {
        let record = record(&file, name).clone();
        let loss: Loss = serde_json::from_value(record["loss"].clone()).expect("a loss");
        let model = Arc::new(Model::new(architecture(&record)).expect("a sound architecture"));
        let network = parse_network(network, Path::new(name), &model).expect("a sound network").network;
        let array = |key| parse_npz(data, key).expect("golden arrays are sound");
        let x = array("x");
        let shape = (x.shape()[0], model.input_count());
        let inputs = x.into_shape_with_order(shape).expect("one row a sample");
        let targets = array("y").into_shape_with_order((inputs.nrows(), 1)).expect("one target a sample");
        Curvature { name, network, loss, inputs, targets, program: program.to_owned(), record }
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
    cases!["fcn_relu_bce_1", "fcn_tanh_bce_1", "fcn_erf_mse_1", "fcn_relu_ce10_1", "fcn_relu_deep_1", "cnn_relu_bce_1"]
}

/// The architecture of a record: of fully connected layers by their widths, or of convolutions 3 x 3 on images of 8 x 8 by their
/// channels, and a read-out.
fn architecture(record: &Value) -> Architecture {
    let activation: Activation = serde_json::from_value(record["activation"].clone()).expect("an activation");
    if record["arch"] == "fcn" {
        let widths: Vec<usize> = serde_json::from_value(record["widths"].clone()).expect("widths");
        return Architecture::fully_connected(&widths, activation, 1.0, 1.0);
    }
    let channels: Vec<usize> = serde_json::from_value(record["channels"].clone()).expect("channels");
    let convolution =
        |channels| LayerSpec::Conv { channels, kernel: [3; 2], stride: [1; 2], padding: Padding::Same, bias: true };
    let mut layers: Vec<LayerSpec> =
        channels.into_iter().flat_map(|channels| [convolution(channels), activation.layer()]).collect();
    layers.extend([LayerSpec::Flatten, LayerSpec::Dense { units: 1 }]);
    Architecture { input: vec![1, 8, 8], weight_std: 1.0, bias_std: 1.0, layers }
}
