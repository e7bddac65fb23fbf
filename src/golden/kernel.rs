//! Gram matrices.

use super::{golden, json, matrix, number, record};
use crate::kernel::Kind;
use crate::model::{Activation, Architecture};
use crate::numeric::tolerance::COVARIANCE_ANGLE_ERROR;
use ndarray::Array2;

/// The Gram matrices of a network.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Kernels {
    /// Name of the record.
    pub name: &'static str,
    /// The network.
    pub architecture: Architecture,
    /// Inputs, `n x features`; some are repeated, parallel and opposite.
    pub inputs: Array2<f64>,
    /// The covariance of the logits.
    pub nngp: Array2<f64>,
    /// The neural tangent kernel.
    pub ntk: Array2<f64>,
    /// The program that gave them.
    pub program: String,
    depth: usize,
}

impl Kernels {
    /// What the certified matrix itself is good to, relative to `sqrt(K_ii K_jj)`. Tangent kernels of nearly parallel inputs come
    /// from covariances there, which hold half the digits of an angle, layer by layer.
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
pub fn kernels() -> Vec<Kernels> {
    let file = json(golden!("kernel/kernel.json"));
    let program = file["made_by"].as_str().expect("a program");
    let case = |name: &'static str, x: &[u8], nngp: &[u8], ntk: &[u8]| {
        let case = record(&file, name);
        let activation: Activation = serde_json::from_value(case["activation"].clone()).expect("an activation");
        let (inputs, depth) = (matrix(x), number(case, "depth") as usize);
        let mut widths = vec![1; depth + 2];
        widths[0] = inputs.ncols();
        let [weight_std, bias_std] = ["weight_std", "bias_std"].map(|key| number(case, key));
        let architecture = Architecture::fully_connected(&widths, activation, weight_std, bias_std);
        let program = program.to_owned();
        Kernels { name, architecture, inputs, nngp: matrix(nngp), ntk: matrix(ntk), program, depth }
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
