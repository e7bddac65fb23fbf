//! ResNet-20 with batch norm, on 8 x 8 and 32 x 32 images: curvature against finite differences of gradients, and
//! what scaling the weights before a batch norm does to the function.

use flatgauge::model::{Architecture, LayerSpec, Loss, Model, Network, Objective, Padding, Role};
use flatgauge::numeric::Streams;
use flatgauge::rescale::{BatchNormScale, Rescaling, registry};
use ndarray::{Array2, ArrayView2};
use rand::RngExt;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A Hessian product against a central difference of gradients with step [`STEP`], relative to the product's largest
/// entry. Gradients carry relative rounding of about `1e-14` (a hundred layers deep sum), divided by the step: `1e-7`; the
/// third derivative adds `STEP^2`. A rectifier that switches within the step would add `1e-2` or more.
const FINITE_DIFFERENCE: f64 = 1e-6;

/// Length of the difference's step, against parameters of norm about 20.
const STEP: f64 = 1e-7;

/// Two evaluations of one function whose roundings differ, over some sixty layers.
const SAME_FUNCTION: f64 = 1e-10;

/// ResNet-20 with drawn parameters, statistics as batches would leave them, and two images.
fn resnet(shape: &str) -> (Network, Array2<f64>, Array2<f64>) {
    let architecture = Architecture::read(&format!("resnet20:{shape}-1"), None, None, None).unwrap();
    let model = Arc::new(Model::new(architecture).unwrap());
    let network = Network::sample(Arc::clone(&model), Streams::new(20));
    let mut buffers = network.buffers().to_vec();
    let mut random = Streams::new(21).stream("images and statistics", 0);
    for tensor in model.buffers() {
        for index in tensor.range.clone() {
            let uniform = random.random::<f64>();
            buffers[index] = if tensor.role == Role::Scale { 0.3 + uniform } else { uniform - 0.5 };
        }
    }
    let inputs = Array2::from_shape_simple_fn((2, model.input_count()), || random.random::<f64>());
    (network.with_buffers(buffers), inputs, ndarray::array![[1.0], [0.0]])
}

fn finite_difference(objective: &Objective, theta: &[f64], direction: &[f64]) -> Vec<f64> {
    let moved = |step: f64| -> Vec<f64> { theta.iter().zip(direction).map(|(t, d)| t + step * d).collect() };
    let (_, ahead) = objective.gradient(&moved(STEP));
    let (_, behind) = objective.gradient(&moved(-STEP));
    ahead.iter().zip(&behind).map(|(a, b)| (a - b) / (2.0 * STEP)).collect()
}

#[test]
fn hessian_products_are_differences_of_gradients() {
    for shape in ["1x8x8", "3x32x32"] {
        let (network, inputs, labels) = resnet(shape);
        let objective = Objective::new(&network, Loss::Bce, inputs.view(), labels.view()).unwrap();
        let mut random = Streams::new(22).stream("direction", 0);
        let direction: Vec<f64> = network.theta().iter().map(|_| random.random::<f64>() - 0.5).collect();
        let product = objective
            .linearise(network.theta())
            .hessian_products(ArrayView2::from_shape((1, direction.len()), &direction).unwrap());
        let expected = finite_difference(&objective, network.theta(), &direction);
        let scale = expected.iter().fold(0.0, |top: f64, x| top.max(x.abs()));
        let worst = product.iter().zip(&expected).fold(0.0, |top: f64, (a, b)| top.max((a - b).abs()));
        assert!(scale > 0.0 && worst <= FINITE_DIFFERENCE * scale, "{shape}: off by {worst} of {scale}");
    }
}

#[test]
fn scaling_before_a_batch_norm_moves_the_function_within_the_bound_of_its_epsilon() {
    for shape in ["1x8x8", "3x32x32"] {
        let (network, inputs, labels) = resnet(shape);
        let model = &network.model();
        let loss = |network: &Network| {
            let objective = Objective::new(network, Loss::Bce, inputs.view(), labels.view()).unwrap();
            objective.gradient(network.theta())
        };
        let (before, gradient) = loss(&network);
        let mut scaled_layers = 0;
        for layer in 0..model.parametrised_layer_count() {
            let writer = model.tensors().iter().find(|tensor| tensor.layer == layer && tensor.shape.len() == 4);
            let Some(writer) = writer else { continue };
            let channels = writer.shape[0];
            let factors: Vec<f64> = (0..channels).map(|s| if s % 2 == 0 { 30.0 } else { 0.2 }).collect();
            let scaling = BatchNormScale { factors: BTreeMap::from([(layer, factors.clone())]) };
            let (after, _) = loss(&scaling.apply(&network).unwrap());

            // The batch norm's own weights, times what its epsilon makes of the scaling, express the same function.
            let norm = model.buffers().iter().find(|tensor| tensor.layer == layer + 1 && tensor.role == Role::Scale);
            let variances = &network.buffers()[norm.unwrap().range.clone()];
            let gains = model.tensors().iter().find(|tensor| tensor.layer == layer + 1 && tensor.role == Role::Scale);
            let gains = gains.unwrap().range.clone();
            let mut theta = network.theta().to_vec();
            for ((index, v), c) in gains.clone().zip(variances).zip(&factors) {
                theta[index] *= ((v + 1e-5) / (v + 1e-5 / (c * c))).sqrt();
            }
            let (expected, _) = loss(&network.with_theta(theta));
            assert!(
                (after - expected).abs() <= SAME_FUNCTION * expected.abs(),
                "{shape}, layer {layer}: {after} {expected}"
            );

            // To first order the loss moves by at most the relative change times what the gains' derivatives allow.
            let sensitivity: f64 = gains.map(|index| (gradient[index] * network.theta()[index]).abs()).sum();
            let change = scaling.relative_change(&network).unwrap();
            let second_order = 1.0 + 100.0 * change;
            assert!(change > 0.0 && change < 1e-3);
            assert!(
                (after - before).abs() <= change * sensitivity * second_order + SAME_FUNCTION * before.abs(),
                "{shape}, layer {layer}: moved by {} at a bound of {}",
                after - before,
                change * sensitivity
            );
            scaled_layers += 1;
        }
        assert!(scaled_layers >= 19, "{shape}: {scaled_layers} convolutions");
    }
}

#[test]
fn convolutions_without_bias_can_be_rescaled() {
    let conv =
        |channels| LayerSpec::Conv { channels, kernel: [3; 2], stride: [1; 2], padding: Padding::Same, bias: false };
    let layers =
        vec![conv(3), LayerSpec::Relu, conv(4), LayerSpec::Relu, LayerSpec::Flatten, LayerSpec::Dense { units: 1 }];
    let architecture = Architecture { input: vec![1, 6, 6], weight_std: 1.0, bias_std: 1.0, layers };
    let network = Network::sample(Arc::new(Model::new(architecture).unwrap()), Streams::new(23));
    let inputs = Array2::from_shape_fn((5, 36), |(i, j)| ((i * 36 + j) as f64).sin());
    for id in ["layer_alpha", "neuron_scaling", "permutation"] {
        let kind = registry().iter().find(|kind| kind.id() == id).unwrap();
        let rescaled = kind.draw(network.model(), 8.0, Streams::new(24)).unwrap().apply(&network).unwrap();
        assert_ne!(rescaled.theta(), network.theta(), "{id}");
        for (a, b) in rescaled.logits(inputs.view()).iter().zip(&network.logits(inputs.view())) {
            assert!((a - b).abs() <= SAME_FUNCTION * b.abs(), "{id}: {a} {b}");
        }
    }
}
