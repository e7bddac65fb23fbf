//! Layers one after the other, with the passes of the whole chain.

use super::{
    ActivationLayer, AdjointPass, AveragePool, BatchNorm, Conv, Dense, Flatten, GlobalAveragePool, Layer, LinearLayer,
    MaxPool, Mode, Pass, Residual, Saved, SavedAdjoint, TensorSpec, Weights, Window,
};
use crate::model::architecture::LayerSpec;
use crate::model::size::{self, MOST_NESTED};
use crate::model::{ModelError, Padding};
use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};
use std::ops::Range;

/// A chain of layers.
#[derive(Debug)]
pub(crate) struct Sequence {
    links: Vec<Link>,
    output_shape: Vec<usize>,
}

/// A layer and where its parameters and buffers lie within the chain's.
#[derive(Debug)]
struct Link {
    layer: Box<dyn Layer>,
    theta: Range<usize>,
    tensors: Range<usize>,
    buffers: Range<usize>,
}

/// What a chain keeps of its forward pass.
#[derive(Debug, Clone)]
pub(crate) struct Tape {
    outputs: Vec<Array2<f64>>,
    saved: Vec<Saved>,
}

impl Tape {
    /// The chain's output.
    pub fn output(&self) -> ArrayView2<'_, f64> {
        self.outputs.last().expect("a chain has at least one layer").view()
    }
}

/// What a chain keeps of its backward pass: the gradient at each layer's output, last first removed.
#[derive(Debug, Clone)]
pub(crate) struct Adjoints {
    gradients: Vec<Array2<f64>>,
    saved: Vec<SavedAdjoint>,
}

impl Sequence {
    /// Builds a chain for inputs of `shape`; `place` prefixes layer positions in error messages.
    pub fn new(specs: &[LayerSpec], shape: &[usize], place: &str) -> Result<Self, ModelError> {
        let mut shape = shape.to_vec();
        let mut links = Vec::new();
        let (mut theta, mut tensors, mut buffers) = (0, 0, 0);
        for (index, spec) in specs.iter().enumerate() {
            let layer = build(spec, &shape, &format!("{place}{index}"))?;
            shape = layer.output_shape();
            let parameter_tensors = layer.tensors();
            let parameters: usize = parameter_tensors.iter().map(TensorSpec::len).sum();
            let stored: usize = layer.buffers().iter().map(TensorSpec::len).sum();
            links.push(Link {
                layer,
                theta: theta..theta + parameters,
                tensors: tensors..tensors + parameter_tensors.len(),
                buffers: buffers..buffers + stored,
            });
            theta += parameters;
            tensors += parameter_tensors.len();
            buffers += stored;
        }
        Ok(Self { links, output_shape: shape })
    }

    /// Shape of one output.
    pub fn output_shape(&self) -> &[usize] {
        &self.output_shape
    }

    /// Features of one output.
    pub fn output_count(&self) -> usize {
        self.output_shape.iter().product()
    }

    /// Number of parameters.
    pub fn parameter_count(&self) -> usize {
        self.links.last().map_or(0, |link| link.theta.end)
    }

    /// Number of stored statistics.
    pub fn buffer_count(&self) -> usize {
        self.links.last().map_or(0, |link| link.buffers.end)
    }

    /// Number of layers with parameters, nested ones included.
    pub fn parametrised_layer_count(&self) -> usize {
        self.links.iter().map(|link| link.layer.parametrised_layers()).sum()
    }

    /// Numbers kept for each sample between passes.
    pub fn footprint(&self) -> usize {
        self.links.iter().map(|link| link.layer.footprint()).sum()
    }

    /// The layers' output shapes, in forward order.
    pub fn shapes(&self) -> Vec<Vec<usize>> {
        self.links.iter().map(|link| link.layer.output_shape()).collect()
    }

    /// Means and variances of the batch of a forward pass in train mode, in the order of the buffers.
    pub fn statistics(&self, tape: &Tape) -> Vec<f64> {
        self.links.iter().zip(&tape.saved).flat_map(|(link, saved)| link.layer.statistics(saved)).collect()
    }

    fn collect(&self, of: impl Fn(&dyn Layer) -> Vec<TensorSpec>) -> Vec<TensorSpec> {
        let mut all = Vec::new();
        let mut first = 0;
        for link in &self.links {
            all.extend(of(&*link.layer).into_iter().map(|mut tensor| {
                tensor.layer += first;
                tensor
            }));
            first += link.layer.parametrised_layers();
        }
        all
    }

    /// All parameter tensors in flattening order.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        self.collect(|layer| layer.tensors())
    }

    /// All buffers in flattening order.
    pub fn buffers(&self) -> Vec<TensorSpec> {
        self.collect(|layer| layer.buffers())
    }

    /// Whether every layer is piecewise linear.
    pub fn is_piecewise_linear(&self) -> bool {
        self.links.iter().all(|link| link.layer.is_piecewise_linear())
    }

    fn weights<'a>(link: &Link, weights: Weights<'a>) -> Weights<'a> {
        Weights { theta: &weights.theta[link.theta.clone()], buffers: &weights.buffers[link.buffers.clone()] }
    }

    /// Runs the chain, keeping what the other passes need.
    pub fn forward(&self, weights: Weights, input: ArrayView2<f64>, mode: Mode) -> Tape {
        let mut tape = Tape { outputs: Vec::with_capacity(self.links.len()), saved: Vec::new() };
        for link in &self.links {
            let input = tape.outputs.last().map_or(input, |output| output.view());
            let (output, saved) = link.layer.forward(Self::weights(link, weights), input, mode);
            tape.outputs.push(output);
            tape.saved.push(saved);
        }
        tape
    }

    /// Runs the chain where no other pass will follow: memory is that of two layers.
    pub fn infer(&self, weights: Weights, input: ArrayView2<f64>, mode: Mode) -> Array2<f64> {
        let mut links = self.links.iter();
        let first = links.next().expect("a chain has at least one layer");
        let output = first.layer.infer(Self::weights(first, weights), input, mode);
        links.fold(output, |current, link| link.layer.infer(Self::weights(link, weights), current.view(), mode))
    }

    /// The input of the last layer, by as little memory as [`Sequence::infer`].
    pub fn features(&self, weights: Weights, input: ArrayView2<f64>, mode: Mode) -> Array2<f64> {
        let mut current: Option<Array2<f64>> = None;
        for link in &self.links[..self.links.len() - 1] {
            let before = current.as_ref().map_or(input, |current| current.view());
            current = Some(link.layer.infer(Self::weights(link, weights), before, mode));
        }
        current.unwrap_or_else(|| input.to_owned())
    }

    /// Features that the last layer takes of a sample of `inputs`.
    pub fn feature_width(&self, inputs: usize) -> usize {
        let before = self.links.len().checked_sub(2).map(|index| self.links[index].layer.output_shape());
        before.map_or(inputs, |shape| shape.iter().product())
    }

    fn pass<'a>(&self, index: usize, weights: Weights<'a>, input: ArrayView2<'a, f64>, tape: &'a Tape) -> Pass<'a> {
        Pass {
            weights: Self::weights(&self.links[index], weights),
            input: if index == 0 { input } else { tape.outputs[index - 1].view() },
            output: tape.outputs[index].view(),
            saved: &tape.saved[index],
        }
    }

    /// Whether the gradient at layer `index`'s input serves anyone: a parameter before it, or the caller.
    fn wants_input(&self, index: usize, want_input: bool) -> bool {
        want_input || self.links[index].theta.start > 0
    }

    /// Adds the parameter gradient to `theta_gradient`; returns the input's gradient if wanted, and what
    /// [`Sequence::backward_tangent`] needs.
    pub fn backward(
        &self,
        weights: Weights,
        input: ArrayView2<f64>,
        tape: &Tape,
        gradient: Array2<f64>,
        theta_gradient: &mut [f64],
        want_input: bool,
    ) -> (Option<Array2<f64>>, Adjoints) {
        let mut adjoints = Adjoints { gradients: Vec::new(), saved: Vec::new() };
        let mut gradient = Some(gradient);
        for (index, link) in self.links.iter().enumerate().rev() {
            let Some(current) = gradient.take() else { break };
            let pass = self.pass(index, weights, input, tape);
            let (next, saved) = link.layer.backward(
                pass,
                current.view(),
                &mut theta_gradient[link.theta.clone()],
                self.wants_input(index, want_input),
            );
            adjoints.gradients.push(current);
            adjoints.saved.push(saved);
            gradient = next;
        }
        adjoints.gradients.reverse();
        adjoints.saved.reverse();
        (gradient, adjoints)
    }

    /// Directional derivatives of every layer's output along `k` directions.
    pub fn tangent(
        &self,
        weights: Weights,
        input: ArrayView2<f64>,
        tape: &Tape,
        input_dot: Option<ArrayView2<f64>>,
        directions: ArrayView2<f64>,
    ) -> Vec<Array2<f64>> {
        let mut dots: Vec<Array2<f64>> = Vec::with_capacity(self.links.len());
        for (index, link) in self.links.iter().enumerate() {
            let before = dots.last().map(|dot| dot.view()).or(input_dot);
            let pass = self.pass(index, weights, input, tape);
            dots.push(link.layer.tangent(pass, before, directions.slice(s![.., link.theta.clone()])));
        }
        dots
    }

    /// Directional derivatives of [`Sequence::backward`] along the directions of `dots`.
    #[allow(clippy::too_many_arguments)] // the state of three passes
    pub fn backward_tangent(
        &self,
        weights: Weights,
        input: ArrayView2<f64>,
        tape: &Tape,
        adjoints: &Adjoints,
        input_dot: Option<ArrayView2<f64>>,
        dots: &[Array2<f64>],
        directions: ArrayView2<f64>,
        gradient_dot: Array2<f64>,
        mut theta_gradient_dot: ArrayViewMut2<f64>,
        want_input: bool,
    ) -> Option<Array2<f64>> {
        let skipped = self.links.len() - adjoints.gradients.len();
        let mut gradient_dot = Some(gradient_dot);
        for (index, link) in self.links.iter().enumerate().skip(skipped).rev() {
            let current = gradient_dot.take()?;
            let adjoint = AdjointPass {
                gradient: adjoints.gradients[index - skipped].view(),
                gradient_dot: current.view(),
                input_dot: if index == 0 { input_dot } else { Some(dots[index - 1].view()) },
                directions: directions.slice(s![.., link.theta.clone()]),
                saved: &adjoints.saved[index - skipped],
                want_input: self.wants_input(index, want_input),
            };
            gradient_dot = link.layer.backward_tangent(
                self.pass(index, weights, input, tape),
                adjoint,
                theta_gradient_dot.slice_mut(s![.., link.theta.clone()]),
            );
        }
        gradient_dot
    }

    /// Adds each parameter's sum of squared per-sample gradients of `sum_o gradient_o output_o`.
    pub fn squared_gradient(
        &self,
        weights: Weights,
        input: ArrayView2<f64>,
        tape: &Tape,
        gradient: Array2<f64>,
        squares: &mut [f64],
        want_input: bool,
    ) -> Option<Array2<f64>> {
        let mut gradient = Some(gradient);
        for (index, link) in self.links.iter().enumerate().rev() {
            let current = gradient.take()?;
            gradient = link.layer.squared_gradient(
                self.pass(index, weights, input, tape),
                current.view(),
                &mut squares[link.theta.clone()],
                self.wants_input(index, want_input),
            );
        }
        gradient
    }

    /// As [`Sequence::squared_gradient`], summed over each tensor.
    pub fn squared_gradient_norms(
        &self,
        weights: Weights,
        input: ArrayView2<f64>,
        tape: &Tape,
        gradient: Array2<f64>,
        squares: &mut [f64],
        want_input: bool,
    ) -> Option<Array2<f64>> {
        let mut gradient = Some(gradient);
        for (index, link) in self.links.iter().enumerate().rev() {
            let current = gradient.take()?;
            gradient = link.layer.squared_gradient_norms(
                self.pass(index, weights, input, tape),
                current.view(),
                &mut squares[link.tensors.clone()],
                self.wants_input(index, want_input),
            );
        }
        gradient
    }
}

/// Builds the layer `spec` for inputs of `shape`.
fn build(spec: &LayerSpec, shape: &[usize], index: &str) -> Result<Box<dyn Layer>, ModelError> {
    let fault = |reason: String| ModelError::Shape {
        index: index.to_owned(),
        kind: spec.kind(),
        input: shape.to_vec(),
        reason,
    };
    if let Some(activation) = spec.activation() {
        return Ok(Box::new(ActivationLayer::new(activation, shape.to_vec())));
    }
    let place = || format!("layer {index} ({})", spec.kind());
    let check = |what, sizes: &[usize]| size::product(place, what, sizes);
    let window = |size, stride, padding| {
        let window = Window::new(shape, size, stride, padding).map_err(&fault)?;
        let [rows, columns] = window.padded();
        check("positions of one padded input", &[rows, columns])?;
        check(
            "entries in the windows of one input",
            &[shape[0], size[0], size[1], window.output[0], window.output[1]],
        )?;
        Ok::<_, ModelError>(window)
    };
    match spec {
        LayerSpec::Dense { units } => match shape {
            &[inputs] if *units > 0 => {
                check("weights", &[*units, inputs])?;
                Ok(Box::new(Dense::new(inputs, *units)))
            }
            [_] => Err(fault("it has 0 units, expected at least 1".to_owned())),
            _ => Err(fault("it takes a vector; put a flatten or global_avg_pool layer before it".to_owned())),
        },
        LayerSpec::Flatten => Ok(Box::new(Flatten::new(shape.iter().product()))),
        LayerSpec::Conv { channels: 0, .. } => Err(fault("it has 0 channels, expected at least 1".to_owned())),
        LayerSpec::Conv { channels, kernel, stride, padding, bias } => {
            check("weights", &[*channels, shape.first().copied().unwrap_or(1), kernel[0], kernel[1]])?;
            let window = window(*kernel, *stride, *padding)?;
            check("numbers of one output", &[*channels, window.output[0], window.output[1]])?;
            Ok(Box::new(Conv::new(window, *channels, *bias)))
        }
        LayerSpec::AvgPool { size, stride } => {
            let window = window(*size, stride.unwrap_or(*size), Padding::Valid)?;
            Ok(Box::new(LinearLayer(AveragePool { window })))
        }
        LayerSpec::MaxPool { size, stride, padding } => {
            let window = window(*size, stride.unwrap_or(*size), Padding::Zeros(*padding))?;
            Ok(Box::new(LinearLayer(MaxPool { window })))
        }
        LayerSpec::GlobalAvgPool => match shape {
            &[channels, height, width] => {
                Ok(Box::new(LinearLayer(GlobalAveragePool { channels, positions: height * width })))
            }
            _ => Err(fault("it takes a volume [channels, height, width], found a vector".to_owned())),
        },
        LayerSpec::BatchNorm => Ok(Box::new(BatchNorm::new(shape.to_vec()))),
        LayerSpec::Residual { branch, .. } if branch.is_empty() => {
            Err(fault("its branch has no layers, expected at least one".to_owned()))
        }
        LayerSpec::Residual { .. } if index.split('.').count() > 2 * MOST_NESTED => {
            Err(fault(format!("it is nested more than {MOST_NESTED} residual blocks deep")))
        }
        LayerSpec::Residual { branch, shortcut } => {
            let branch = Sequence::new(branch, shape, &format!("{index}.branch."))?;
            let shortcut = match shortcut.is_empty() {
                true => None,
                false => Some(Sequence::new(shortcut, shape, &format!("{index}.shortcut."))?),
            };
            let through = shortcut.as_ref().map_or(shape, |shortcut| shortcut.output_shape());
            if branch.output_shape() != through {
                return Err(fault(format!(
                    "its branch gives shape {:?}, its shortcut {through:?}; they are added and must agree",
                    branch.output_shape()
                )));
            }
            Ok(Box::new(Residual::new(branch, shortcut)))
        }
        LayerSpec::Relu | LayerSpec::Tanh | LayerSpec::Erf => unreachable!("activations are built above"),
    }
}
