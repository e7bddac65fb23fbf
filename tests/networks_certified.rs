//! Networks and their dense derivatives against values from PyTorch's autograd (`golden/flatness`).

mod common;

use approx::assert_relative_eq;
use common::golden::{Trained, golden};
use common::tier::by_tier;
use flatgauge::model::oracle;
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// Two float64 programs that add the same few hundred products in different orders.
const AGREEMENT: f64 = 1e-11;

#[test]
fn logits_loss_and_gradient() {
    for case in Trained::fully_connected() {
        let objective = case.objective(&case.network);
        let logits = objective.logits(case.network.theta());
        let first: Vec<Vec<f64>> = serde_json::from_value(case.record["outputs_first5"].clone()).unwrap();
        for (row, expected) in logits.outer_iter().zip(&first) {
            for (logit, expected) in row.iter().zip(expected) {
                assert_relative_eq!(logit, expected, max_relative = 1e-12);
            }
        }
        let (value, gradient) = objective.gradient(case.network.theta());
        assert_relative_eq!(value, case.number("loss_value"), max_relative = AGREEMENT);
        assert_relative_eq!(value, objective.value(case.network.theta()), max_relative = 1e-14);
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        assert_relative_eq!(norm, case.number("gradient_norm"), max_relative = AGREEMENT);
    }
}

#[test]
fn hessian_vector_products() {
    for case in Trained::fully_connected() {
        let objective = case.objective(&case.network);
        let name = case.record["name"].as_str().unwrap();
        let bytes = std::fs::read(golden(&format!("flatness/{name}.safetensors"))).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let read = |key: &str| -> Vec<f64> {
            let tensor = file.tensor(key).unwrap();
            tensor.data().chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap())).collect()
        };
        let (probe, expected) = (read("probe_vector"), read("hessian_probe"));
        let linearisation = objective.linearise(case.network.theta());
        let product = linearisation.hessian_products(ArrayView2::from_shape((1, probe.len()), &probe).unwrap());
        let scale = expected.iter().fold(0.0, |top: f64, x| top.max(x.abs()));
        for (value, expected) in product.row(0).iter().zip(&expected) {
            assert_relative_eq!(value, expected, max_relative = 1e-9, epsilon = 1e-12 * scale);
        }
    }
}

#[test]
fn the_dense_oracle_and_the_batched_passes_agree_with_each_other_and_with_pytorch() {
    // Every second network at the quick tier of the tests.
    let trained: Vec<Trained> = Trained::fully_connected().into_iter().step_by(by_tier(2, 1)).collect();
    trained.into_par_iter().for_each(|case| {
        let objective = case.objective(&case.network);
        let theta = case.network.theta();
        let dense = oracle::dense(&objective, theta);
        assert_relative_eq!(dense.value, case.number("loss_value"), max_relative = AGREEMENT);
        assert_relative_eq!(dense.hessian.diag().sum(), case.number("hessian_trace"), max_relative = 1e-10);
        assert_relative_eq!(dense.gauss_newton.diag().sum(), case.number("ggn_trace"), max_relative = 1e-10);
        let frobenius = dense.hessian.iter().map(|h| h * h).sum::<f64>().sqrt();
        assert_relative_eq!(frobenius, case.number("hessian_frobenius"), max_relative = 1e-10);

        let linearisation = objective.linearise(theta);
        let scale = dense.hessian.iter().fold(0.0, |top: f64, h| top.max(h.abs()));
        let identity = Array2::<f64>::eye(theta.len());
        for (first, directions) in identity.axis_chunks_iter(Axis(0), 7).enumerate() {
            let rows = first * 7..(first * 7 + directions.nrows());
            let hessian = linearisation.hessian_products(directions);
            let gauss_newton = linearisation.gauss_newton_products(directions);
            let expected = dense.hessian.slice(ndarray::s![rows.clone(), ..]);
            assert_relative_eq!(hessian, expected, max_relative = 1e-9, epsilon = 1e-13 * scale);
            let expected = dense.gauss_newton.slice(ndarray::s![rows, ..]);
            assert_relative_eq!(gauss_newton, expected, max_relative = 1e-9, epsilon = 1e-13 * scale);
        }
        let diagonal = linearisation.gauss_newton_diagonal();
        for (value, expected) in diagonal.iter().zip(dense.gauss_newton.diag()) {
            assert_relative_eq!(value, expected, max_relative = 1e-10, epsilon = 1e-14 * scale);
        }
        for (index, trace) in linearisation.gauss_newton_block_traces().iter().enumerate() {
            let range = case.network.model().tensors()[index].range.clone();
            let expected: f64 = range.map(|j| dense.gauss_newton[[j, j]]).sum();
            assert_relative_eq!(*trace, expected, max_relative = 1e-11);
        }
    });
}
