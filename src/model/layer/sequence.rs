//! Layers one after the other, with the passes of the whole chain.

use super::{AdjointPass, Adjoints, Layer, Mode, Pass, Tape, TensorSpec, Weights};
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

impl Sequence {
    /// The chain of layers, each of which takes what the one before it gives; `shape` is that of one input.
    pub(super) fn of(layers: Vec<Box<dyn Layer>>, shape: &[usize]) -> Self {
        let mut links: Vec<Link> = Vec::new();
        let (mut theta, mut tensors, mut buffers) = (0, 0, 0);
        for layer in layers {
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
        let output_shape = links.last().map_or_else(|| shape.to_vec(), |link| link.layer.output_shape());
        Self { links, output_shape }
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
