//! A graph of scalar operations with forward-over-reverse differentiation, and networks written as one.

use crate::model::architecture::{Architecture, LayerSpec};
use crate::model::{Padding, sigmoid};

/// One scalar operation; operands are positions of earlier nodes.
#[derive(Debug, Clone, Copy)]
enum Node {
    Constant(f64),
    Input(usize),
    Parameter(usize),
    Add(usize, usize),
    /// `a b + c`.
    MultiplyAdd(usize, usize, usize),
    Max(usize, usize),
    /// `log(e^a + e^b)`.
    LogAddExp(usize, usize),
    Unary(Function, usize),
}

/// A function of one scalar.
#[derive(Debug, Clone, Copy)]
enum Function {
    Relu,
    Tanh,
    Erf,
    Softplus,
}

impl Function {
    /// Value, first and second derivative at `x`.
    fn derivatives(self, x: f64) -> (f64, f64, f64) {
        match self {
            Self::Relu if x > 0.0 => (x, 1.0, 0.0),
            Self::Relu => (0.0, 0.0, 0.0),
            Self::Tanh => {
                let (y, sech) = (x.tanh(), 1.0 / x.cosh());
                (y, sech * sech, -2.0 * y * sech * sech)
            }
            Self::Erf => {
                let slope = std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp();
                (libm::erf(x), slope, -2.0 * x * slope)
            }
            Self::Softplus => (x.max(0.0) + (-x.abs()).exp().ln_1p(), sigmoid(x), sigmoid(x) * sigmoid(-x)),
        }
    }
}

/// A graph of scalar operations.
#[derive(Debug, Clone, Default)]
pub(super) struct Graph {
    nodes: Vec<Node>,
}

impl Graph {
    fn push(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    pub fn constant(&mut self, value: f64) -> usize {
        self.push(Node::Constant(value))
    }

    pub fn parameter(&mut self, index: usize) -> usize {
        self.push(Node::Parameter(index))
    }

    pub fn add(&mut self, a: usize, b: usize) -> usize {
        self.push(Node::Add(a, b))
    }

    pub fn multiply_add(&mut self, a: usize, b: usize, c: usize) -> usize {
        self.push(Node::MultiplyAdd(a, b, c))
    }

    pub fn log_add_exp(&mut self, a: usize, b: usize) -> usize {
        self.push(Node::LogAddExp(a, b))
    }

    pub fn softplus(&mut self, a: usize) -> usize {
        self.push(Node::Unary(Function::Softplus, a))
    }

    /// Values of all nodes.
    pub fn values(&self, theta: &[f64], inputs: &[f64]) -> Vec<f64> {
        let mut values = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            values.push(match *node {
                Node::Constant(value) => value,
                Node::Input(index) => inputs[index],
                Node::Parameter(index) => theta[index],
                Node::Add(a, b) => values[a] + values[b],
                Node::MultiplyAdd(a, b, c) => values[a] * values[b] + values[c],
                Node::Max(a, b) => f64::max(values[a], values[b]),
                Node::LogAddExp(a, b) => {
                    f64::max(values[a], values[b]) + (-(values[a] - values[b]).abs()).exp().ln_1p()
                }
                Node::Unary(function, a) => function.derivatives(values[a]).0,
            });
        }
        values
    }

    /// Derivatives of node `output` with respect to all nodes (reverse mode).
    pub fn adjoints(&self, values: &[f64], output: usize) -> Vec<f64> {
        let mut adjoints = vec![0.0; self.nodes.len()];
        adjoints[output] = 1.0;
        for (index, node) in self.nodes.iter().enumerate().rev() {
            let adjoint = adjoints[index];
            match *node {
                Node::Constant(_) | Node::Input(_) | Node::Parameter(_) => {}
                Node::Add(a, b) => {
                    adjoints[a] += adjoint;
                    adjoints[b] += adjoint;
                }
                Node::MultiplyAdd(a, b, c) => {
                    adjoints[a] += adjoint * values[b];
                    adjoints[b] += adjoint * values[a];
                    adjoints[c] += adjoint;
                }
                Node::Max(a, b) => adjoints[if values[a] >= values[b] { a } else { b }] += adjoint,
                Node::LogAddExp(a, b) => {
                    adjoints[a] += adjoint * sigmoid(values[a] - values[b]);
                    adjoints[b] += adjoint * sigmoid(values[b] - values[a]);
                }
                Node::Unary(function, a) => adjoints[a] += adjoint * function.derivatives(values[a]).1,
            }
        }
        adjoints
    }

    /// Derivatives of all nodes with respect to parameter `parameter` (forward mode).
    pub fn tangents(&self, values: &[f64], parameter: usize) -> Vec<f64> {
        let mut tangents: Vec<f64> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            tangents.push(match *node {
                Node::Constant(_) | Node::Input(_) => 0.0,
                Node::Parameter(index) => f64::from(u8::from(index == parameter)),
                Node::Add(a, b) => tangents[a] + tangents[b],
                Node::MultiplyAdd(a, b, c) => tangents[a] * values[b] + values[a] * tangents[b] + tangents[c],
                Node::Max(a, b) => tangents[if values[a] >= values[b] { a } else { b }],
                Node::LogAddExp(a, b) => {
                    let difference = values[a] - values[b];
                    sigmoid(difference) * tangents[a] + sigmoid(-difference) * tangents[b]
                }
                Node::Unary(_, a) if tangents[a] == 0.0 => 0.0,
                Node::Unary(function, a) => function.derivatives(values[a]).1 * tangents[a],
            });
        }
        tangents
    }

    /// Directional derivatives of `adjoints` along `tangents` (forward over reverse).
    pub fn adjoint_tangents(&self, values: &[f64], adjoints: &[f64], tangents: &[f64]) -> Vec<f64> {
        let mut second = vec![0.0; self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate().rev() {
            let (adjoint, dot) = (adjoints[index], second[index]);
            match *node {
                Node::Constant(_) | Node::Input(_) | Node::Parameter(_) => {}
                Node::Add(a, b) => {
                    second[a] += dot;
                    second[b] += dot;
                }
                Node::MultiplyAdd(a, b, c) => {
                    second[a] += dot * values[b] + adjoint * tangents[b];
                    second[b] += dot * values[a] + adjoint * tangents[a];
                    second[c] += dot;
                }
                Node::Max(a, b) => second[if values[a] >= values[b] { a } else { b }] += dot,
                Node::LogAddExp(a, b) => {
                    let (to_a, to_b) = (sigmoid(values[a] - values[b]), sigmoid(values[b] - values[a]));
                    let turn = adjoint * to_a * to_b * (tangents[a] - tangents[b]);
                    second[a] += dot * to_a + turn;
                    second[b] += dot * to_b - turn;
                }
                Node::Unary(function, a) => {
                    let (_, first, curvature) = function.derivatives(values[a]);
                    second[a] += dot * first + adjoint * curvature * tangents[a];
                }
            }
        }
        second
    }

    /// The entries of `derivatives` that belong to parameters, by parameter.
    pub fn parameter_part(&self, derivatives: &[f64], parameters: usize) -> Vec<f64> {
        let mut out = vec![0.0; parameters];
        for (node, derivative) in self.nodes.iter().zip(derivatives) {
            if let Node::Parameter(index) = *node {
                out[index] += derivative;
            }
        }
        out
    }
}

/// Values in flight: a node for each feature, channels outermost.
struct Volume {
    nodes: Vec<usize>,
    shape: Vec<usize>,
}

impl Volume {
    fn at(&self, channel: usize, row: usize, column: usize) -> usize {
        self.nodes[(channel * self.shape[1] + row) * self.shape[2] + column]
    }
}

/// Writes networks as graphs: counts the parameters and buffers it has handed out.
struct Writer<'a> {
    graph: Graph,
    parameters: usize,
    buffers: &'a [f64],
}

/// The graph of a network and its logit nodes; `None` for an empty chain or shapes that do not fit.
pub(super) fn network_graph(architecture: &Architecture, buffers: &[f64]) -> Option<(Graph, Vec<usize>)> {
    let mut writer = Writer { graph: Graph::default(), parameters: 0, buffers };
    let inputs: usize = architecture.input.iter().product();
    let nodes = (0..inputs).map(|index| writer.graph.push(Node::Input(index))).collect();
    let input = Volume { nodes, shape: architecture.input.clone() };
    let output = writer.chain(&architecture.layers, input)?;
    Some((writer.graph, output.nodes))
}

impl Writer<'_> {
    fn chain(&mut self, layers: &[LayerSpec], input: Volume) -> Option<Volume> {
        layers.iter().try_fold(input, |volume, layer| self.layer(layer, volume))
    }

    fn fresh(&mut self, count: usize) -> Vec<usize> {
        let first = self.parameters;
        self.parameters += count;
        (first..first + count).map(|index| self.graph.parameter(index)).collect()
    }

    fn stored(&mut self, count: usize) -> Vec<f64> {
        let (taken, rest) = self.buffers.split_at(count);
        self.buffers = rest;
        taken.to_vec()
    }

    fn layer(&mut self, layer: &LayerSpec, input: Volume) -> Option<Volume> {
        match layer {
            LayerSpec::Dense { units } => {
                let weights = self.fresh(units * input.nodes.len());
                let biases = self.fresh(*units);
                let nodes = (0..*units)
                    .map(|unit| {
                        let row = &weights[unit * input.nodes.len()..];
                        input
                            .nodes
                            .iter()
                            .zip(row)
                            .fold(biases[unit], |sum, (&x, &w)| self.graph.multiply_add(x, w, sum))
                    })
                    .collect();
                Some(Volume { nodes, shape: vec![*units] })
            }
            LayerSpec::Conv { channels, kernel, stride, padding, bias } => {
                let weights = self.fresh(channels * input.shape[0] * kernel[0] * kernel[1]);
                let biases = if *bias {
                    self.fresh(*channels)
                } else {
                    (0..*channels).map(|_| self.graph.constant(0.0)).collect()
                };
                self.convolve(&input, *channels, *kernel, *stride, *padding, &weights, &biases)
            }
            LayerSpec::Relu => Some(self.unary(Function::Relu, input)),
            LayerSpec::Tanh => Some(self.unary(Function::Tanh, input)),
            LayerSpec::Erf => Some(self.unary(Function::Erf, input)),
            LayerSpec::AvgPool { size, stride } => self.pool(&input, *size, stride.unwrap_or(*size), [0, 0], false),
            LayerSpec::MaxPool { size, stride, padding } => {
                self.pool(&input, *size, stride.unwrap_or(*size), *padding, true)
            }
            LayerSpec::GlobalAvgPool => {
                let pooled = self.pool(&input, [input.shape[1], input.shape[2]], [1, 1], [0, 0], false)?;
                Some(Volume { shape: vec![pooled.nodes.len()], nodes: pooled.nodes })
            }
            LayerSpec::Flatten => Some(Volume { shape: vec![input.nodes.len()], nodes: input.nodes }),
            LayerSpec::BatchNorm => {
                let channels = input.shape[0];
                let (scale, shift) = (self.fresh(channels), self.fresh(channels));
                let (mean, variance) = (self.stored(channels), self.stored(channels));
                let positions = input.nodes.len() / channels;
                let nodes = input
                    .nodes
                    .iter()
                    .enumerate()
                    .map(|(index, &x)| {
                        let c = index / positions;
                        let slope = self.graph.constant(1.0 / (variance[c] + 1e-5).sqrt());
                        let offset = self.graph.constant(-mean[c] / (variance[c] + 1e-5).sqrt());
                        let normalised = self.graph.multiply_add(x, slope, offset);
                        self.graph.multiply_add(normalised, scale[c], shift[c])
                    })
                    .collect();
                Some(Volume { nodes, shape: input.shape })
            }
            LayerSpec::Residual { branch, shortcut } => {
                let copy = Volume { nodes: input.nodes.clone(), shape: input.shape.clone() };
                let branch = self.chain(branch, copy)?;
                let shortcut = self.chain(shortcut, input)?;
                let nodes = branch.nodes.iter().zip(&shortcut.nodes).map(|(&a, &b)| self.graph.add(a, b)).collect();
                (branch.shape == shortcut.shape).then_some(Volume { nodes, shape: branch.shape })
            }
        }
    }

    fn unary(&mut self, function: Function, mut input: Volume) -> Volume {
        for node in &mut input.nodes {
            *node = self.graph.push(Node::Unary(function, *node));
        }
        input
    }

    #[allow(clippy::too_many_arguments)] // the plain statement of a convolution
    fn convolve(
        &mut self,
        input: &Volume,
        channels: usize,
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: Padding,
        weights: &[usize],
        biases: &[usize],
    ) -> Option<Volume> {
        let mut size = [0; 2];
        let mut before = [0; 2];
        for axis in 0..2 {
            let extent = input.shape[axis + 1];
            match padding {
                Padding::Same => {
                    size[axis] = extent.div_ceil(stride[axis]);
                    before[axis] = ((size[axis] - 1) * stride[axis] + kernel[axis]).saturating_sub(extent) / 2;
                }
                Padding::Valid => size[axis] = (extent.checked_sub(kernel[axis])?) / stride[axis] + 1,
                Padding::Zeros(zeros) => {
                    before[axis] = zeros[axis];
                    size[axis] = (extent + 2 * zeros[axis]).checked_sub(kernel[axis])? / stride[axis] + 1;
                }
            }
        }
        let mut nodes = Vec::new();
        for output in 0..channels {
            for row in 0..size[0] {
                for column in 0..size[1] {
                    let mut sum = biases[output];
                    for channel in 0..input.shape[0] {
                        for i in 0..kernel[0] {
                            for j in 0..kernel[1] {
                                let y = (row * stride[0] + i).checked_sub(before[0]);
                                let x = (column * stride[1] + j).checked_sub(before[1]);
                                let (Some(y), Some(x)) = (y, x) else { continue };
                                if y < input.shape[1] && x < input.shape[2] {
                                    let weight =
                                        weights[((output * input.shape[0] + channel) * kernel[0] + i) * kernel[1] + j];
                                    sum = self.graph.multiply_add(input.at(channel, y, x), weight, sum);
                                }
                            }
                        }
                    }
                    nodes.push(sum);
                }
            }
        }
        Some(Volume { nodes, shape: vec![channels, size[0], size[1]] })
    }

    fn pool(
        &mut self,
        input: &Volume,
        size: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
        maximum: bool,
    ) -> Option<Volume> {
        let rows = (input.shape[1] + 2 * padding[0]).checked_sub(size[0])? / stride[0] + 1;
        let columns = (input.shape[2] + 2 * padding[1]).checked_sub(size[1])? / stride[1] + 1;
        let share = self.graph.constant(1.0 / (size[0] * size[1]) as f64);
        let zero = self.graph.constant(0.0);
        let mut nodes = Vec::new();
        for channel in 0..input.shape[0] {
            for row in 0..rows {
                for column in 0..columns {
                    let mut window = Vec::new();
                    for i in 0..size[0] {
                        for j in 0..size[1] {
                            let y = (row * stride[0] + i).checked_sub(padding[0]);
                            let x = (column * stride[1] + j).checked_sub(padding[1]);
                            let (Some(y), Some(x)) = (y, x) else { continue };
                            if y < input.shape[1] && x < input.shape[2] {
                                window.push(input.at(channel, y, x));
                            }
                        }
                    }
                    nodes.push(if maximum {
                        window[1..].iter().fold(window[0], |top, &x| self.graph.push(Node::Max(top, x)))
                    } else {
                        window.iter().fold(zero, |sum, &x| self.graph.multiply_add(x, share, sum))
                    });
                }
            }
        }
        Some(Volume { nodes, shape: vec![input.shape[0], rows, columns] })
    }
}
