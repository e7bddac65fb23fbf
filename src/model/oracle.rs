//! The slow dense definition of every derivative, in code of its own.
//!
//! A network and its loss are written out as a graph of scalar operations, sample by sample, in plain
//! loops; derivatives come from forward-over-reverse automatic differentiation of that graph, one
//! parameter at a time. Nothing here is shared with the layers' batched passes.

use crate::model::oracle_graph::{Graph, network_graph};
use crate::model::{Loss, Objective};
use ndarray::{Array2, ArrayView1};
use rayon::prelude::*;

/// Dense derivatives of an objective at one point.
#[derive(Debug, Clone)]
pub struct Dense {
    /// Logits, `n x outputs`.
    pub logits: Array2<f64>,
    /// `L(theta)`.
    pub value: f64,
    /// Its gradient.
    pub gradient: Vec<f64>,
    /// Its Hessian, `parameters x parameters`.
    pub hessian: Array2<f64>,
    /// The Gauss-Newton matrix `scale / n sum_i J_i^T B_i J_i`.
    pub gauss_newton: Array2<f64>,
    /// Entry by entry, the sum of the sizes of what the Hessian adds up: over samples, the products in the Gauss-Newton
    /// part and the rest. Rounding is relative to this, not to what is left where summands cancel.
    pub magnitude: Array2<f64>,
}

/// Computes everything densely: `O(n P^2)` operations and `3 P^2` numbers for `P` parameters.
pub fn dense(objective: &Objective, theta: &[f64]) -> Dense {
    let outputs = objective.model.output_count();
    let weight = objective.scale / objective.sample_count() as f64;
    let (network, logit_nodes) =
        network_graph(objective.model.architecture(), objective.buffers).expect("the model was compiled");
    let samples: Vec<Sample> = (0..objective.sample_count())
        .into_par_iter()
        .map(|i| {
            let (graph, loss_node) = with_loss(network.clone(), &logit_nodes, objective.loss, objective.targets.row(i));
            let inputs = objective.inputs.row(i).to_vec();
            let values = graph.values(theta, &inputs);
            let adjoints = graph.adjoints(&values, loss_node);
            Sample {
                logits: logit_nodes.iter().map(|&node| values[node]).collect(),
                jacobian: logit_nodes
                    .iter()
                    .map(|&node| graph.parameter_part(&graph.adjoints(&values, node), theta.len()))
                    .collect(),
                loss: values[loss_node],
                gradient: graph.parameter_part(&adjoints, theta.len()),
                graph,
                values,
                adjoints,
            }
        })
        .collect();

    let parameters = theta.len();
    let mut logits = Array2::zeros((samples.len(), outputs));
    let mut value = 0.0;
    let mut gradient = vec![0.0; parameters];
    for (mut row, sample) in logits.outer_iter_mut().zip(&samples) {
        row.assign(&ArrayView1::from(&sample.logits));
        value += weight * sample.loss;
        for (sum, part) in gradient.iter_mut().zip(&sample.gradient) {
            *sum += weight * part;
        }
    }

    let mut hessian = Array2::zeros((parameters, parameters));
    let mut gauss_newton = Array2::zeros((parameters, parameters));
    let mut magnitude = Array2::zeros((parameters, parameters));
    let rows = hessian.outer_iter_mut().into_par_iter().zip(gauss_newton.outer_iter_mut());
    rows.zip(magnitude.outer_iter_mut()).enumerate().for_each(
        |(j, ((mut hessian, mut gauss_newton), mut magnitude))| {
            for (i, sample) in samples.iter().enumerate() {
                let tangents = sample.graph.tangents(&sample.values, j);
                let second = sample.graph.adjoint_tangents(&sample.values, &sample.adjoints, &tangents);
                let second = sample.graph.parameter_part(&second, parameters);
                let (mut product, mut size) = (vec![0.0; parameters], vec![0.0; parameters]);
                let curvature = logit_hessian(objective.loss, &sample.logits, objective.targets.row(i));
                for a in 0..outputs {
                    let terms = || (0..outputs).map(|b| curvature[[a, b]] * sample.jacobian[b][j]);
                    let (along, size_along) = (terms().sum::<f64>(), terms().map(f64::abs).sum::<f64>());
                    for (k, derivative) in sample.jacobian[a].iter().enumerate() {
                        product[k] += along * derivative;
                        size[k] += size_along * derivative.abs();
                    }
                }
                for k in 0..parameters {
                    hessian[k] += weight * second[k];
                    gauss_newton[k] += weight * product[k];
                    magnitude[k] += weight.abs() * (size[k] + (second[k] - product[k]).abs());
                }
            }
        },
    );
    Dense { logits, value, gradient, hessian, gauss_newton, magnitude }
}

/// One sample's graph and first-order passes.
struct Sample {
    graph: Graph,
    values: Vec<f64>,
    adjoints: Vec<f64>,
    logits: Vec<f64>,
    jacobian: Vec<Vec<f64>>,
    loss: f64,
    gradient: Vec<f64>,
}

/// Appends the loss of one sample, written out in scalars.
fn with_loss(mut graph: Graph, logits: &[usize], loss: Loss, target: ArrayView1<f64>) -> (Graph, usize) {
    let node = match loss {
        Loss::Bce => {
            // softplus(z) for the label 0 and softplus(-z) for 1: as softplus(z) - y z its slope would cancel.
            let sign = graph.constant(1.0 - 2.0 * target[0]);
            let zero = graph.constant(0.0);
            let against = graph.multiply_add(sign, logits[0], zero);
            graph.softplus(against)
        }
        Loss::Ce => {
            // softplus(log sum_{k != target} exp(z_k - z_target)): the label's own term is the 1 in softplus, so that
            // neither a confident network nor a confidently wrong one leaves only rounding.
            let minus_one = graph.constant(-1.0);
            let label = target[0] as usize;
            let others: Vec<usize> = (0..logits.len()).filter(|&class| class != label).collect();
            let differences: Vec<usize> =
                others.iter().map(|&class| graph.multiply_add(minus_one, logits[label], logits[class])).collect();
            let against = differences[1..].iter().fold(differences[0], |sum, &next| graph.log_add_exp(sum, next));
            graph.softplus(against)
        }
        Loss::Mse => {
            let mut sum = graph.constant(0.0);
            for (&logit, &target) in logits.iter().zip(target) {
                let minus_target = graph.constant(-target);
                let residual = graph.add(logit, minus_target);
                sum = graph.multiply_add(residual, residual, sum);
            }
            sum
        }
    };
    (graph, node)
}

/// Second derivatives of one sample's loss with respect to its logits, by the same differentiation.
fn logit_hessian(loss: Loss, logits: &[f64], target: ArrayView1<f64>) -> Array2<f64> {
    let k = logits.len();
    let mut graph = Graph::default();
    let nodes: Vec<usize> = (0..k).map(|index| graph.parameter(index)).collect();
    let (graph, node) = with_loss(graph, &nodes, loss, target);
    let values = graph.values(logits, &[]);
    let adjoints = graph.adjoints(&values, node);
    let mut out = Array2::zeros((k, k));
    for (j, mut row) in out.outer_iter_mut().enumerate() {
        let tangents = graph.tangents(&values, j);
        let second = graph.adjoint_tangents(&values, &adjoints, &tangents);
        row.assign(&ArrayView1::from(&graph.parameter_part(&second, k)));
    }
    out
}
