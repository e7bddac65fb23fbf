//! An architecture as operations on kernels.

use super::dual::{Dual, GROUP};
use super::plane::{HERE, Offset, Region, all_offsets};
use super::{KernelError, Kind};
use crate::model::{Architecture, LayerSpec, Padding, Window, chain};
use std::collections::BTreeSet;

/// Most offsets that a pooling collects images for; those of a plane of 1024 x 1024 positions, whose images would take
/// terabytes.
const MOST_OFFSETS: usize = 1 << 22;

/// A place in a sample's table of variances.
pub(super) type Slot = usize;

/// One operation on kernels.
#[derive(Debug)]
pub(super) enum Op {
    /// `c(a, b) -> weight mean over taps i of c(a + i, b + i) + bias`: an affine layer, or a flatten layer, a mean
    /// over all positions without parameters.
    Linear(Linear),
    /// `c -> E[phi phi']`.
    Activation { dual: Dual, input: Slot },
    /// `c(a, b) -> mean over taps i, j of c(a + i, b + j)`: average pooling, global or not.
    Pool { window: Window, output: Slot },
    /// The sum of two kernels whose processes are independent.
    Residual { branch: Vec<Op>, shortcut: Vec<Op>, slots: [Slot; 3], plane: [usize; 2] },
}

/// See [`Op::Linear`].
#[derive(Debug)]
pub(super) struct Linear {
    pub window: Window,
    /// Variance of the weights times the fan-in.
    pub weight: f64,
    /// Variance of the biases.
    pub bias: f64,
    /// Whether it has parameters.
    pub trainable: bool,
    /// Standard deviations of the input on [`Linear::padded`] (NTK only).
    pub input: Slot,
    /// Standard deviations of the output (NTK only).
    pub output: Slot,
}

impl Linear {
    /// See [`Window::padded`].
    pub fn padded(&self) -> [usize; 2] {
        self.window.padded()
    }

    /// The factor on a sum over taps.
    pub fn share(&self) -> f64 {
        self.weight / (self.window.size[0] * self.window.size[1]) as f64
    }

    /// Whether it maps every position by itself.
    pub fn is_pointwise(&self) -> bool {
        self.window.is_pointwise() && self.window.before == [0, 0]
    }
}

/// What the values at a point of the network are, in the limit of infinite width.
#[derive(Debug, Clone, Copy)]
struct Nature {
    /// Gaussian and centred.
    gaussian: bool,
    /// Some layer with random weights of this chain lies before.
    fresh: bool,
}

/// An architecture compiled for one kind of kernel.
#[derive(Debug)]
pub(super) struct Plan {
    pub kind: Kind,
    /// Layers before the first one with parameters: they map the data, whatever the width.
    pub prefix: usize,
    /// Shape of the data after them.
    pub features: Vec<usize>,
    pub ops: Vec<Op>,
    /// Numbers in a sample's table of variances.
    pub table: usize,
    /// Where each layer's part of the table begins.
    labels: Vec<(Slot, String)>,
}

impl Plan {
    pub fn new(architecture: &Architecture, kind: Kind) -> Result<Self, KernelError> {
        let begins = |layer: &LayerSpec| {
            matches!(
                layer,
                LayerSpec::Dense { .. } | LayerSpec::Conv { .. } | LayerSpec::Residual { .. } | LayerSpec::BatchNorm
            )
        };
        let prefix = architecture.layers.iter().position(begins).unwrap_or(architecture.layers.len());
        let features = match prefix {
            0 => architecture.input.clone(),
            _ => chain(&architecture.layers[..prefix], &architecture.input, "")?.output_shape().to_vec(),
        };
        let mut writer = Writer {
            kind,
            weight: architecture.weight_std * architecture.weight_std,
            bias: architecture.bias_std * architecture.bias_std,
            table: 0,
            labels: Vec::new(),
        };
        let data = Nature { gaussian: false, fresh: false };
        let (ops, nature) = writer.chain(&architecture.layers[prefix..], prefix, "", features.clone(), data)?;
        match architecture.layers.last() {
            Some(last) if !nature.gaussian => Err(KernelError::NoClosedForm {
                index: (architecture.layers.len() - 1).to_string(),
                kind: last.kind(),
                reason: "the network's output is not Gaussian; end with a dense layer",
            }),
            _ => Ok(Self { kind, prefix, features, ops, table: writer.table, labels: writer.labels }),
        }
    }

    /// Rows and columns of the data's positions.
    pub fn plane(&self) -> [usize; 2] {
        plane_of(&self.features)
    }

    /// Entries of the data at one position.
    pub fn channels(&self) -> usize {
        self.features[0]
    }

    /// The layer that a place of the table belongs to.
    pub fn layer_of(&self, place: Slot) -> &str {
        let next = self.labels.partition_point(|(slot, _)| *slot <= place);
        &self.labels[next - 1].1
    }

    /// Whether depth can make a small angle between two inputs large, as erf does where weights are large (Poole et al. 2016):
    /// covariances lose what makes nearly parallel inputs differ. Vectors only; images take three times the memory.
    pub fn amplifies_angles(&self) -> bool {
        self.plane() == [1, 1] && has_erf(&self.ops)
    }

    /// Most numbers a lane keeps between operations while the plan runs: the images that poolings collect.
    pub fn stored(&self) -> usize {
        stored(&self.ops, self.plane(), &[HERE]) * self.kind.fields()
    }
}

fn has_erf(ops: &[Op]) -> bool {
    ops.iter().any(|op| match op {
        Op::Activation { dual, .. } => *dual == Dual::Erf,
        Op::Residual { branch, shortcut, .. } => has_erf(branch) || has_erf(shortcut),
        Op::Linear(_) | Op::Pool { .. } => false,
    })
}

fn plane_of(shape: &[usize]) -> [usize; 2] {
    match *shape {
        [_, height, width] => [height, width],
        _ => [1, 1],
    }
}

fn too_many_offsets(plane: [usize; 2]) -> bool {
    4 * plane[0] * plane[1] > MOST_OFFSETS
}

struct Writer {
    kind: Kind,
    weight: f64,
    bias: f64,
    table: usize,
    labels: Vec<(Slot, String)>,
}

impl Writer {
    fn slot(&mut self, size: [usize; 2], wanted: bool) -> Slot {
        let slot = self.table;
        self.table += if wanted { size[0] * size[1] } else { 0 };
        slot
    }

    fn linear(&mut self, window: Window, trainable: bool, bias: bool) -> Op {
        let mut linear = Linear {
            weight: if trainable { self.weight } else { 1.0 },
            bias: if trainable && bias { self.bias } else { 0.0 },
            trainable,
            input: 0,
            output: 0,
            window,
        };
        linear.input = self.slot(linear.padded(), self.kind == Kind::Ntk);
        linear.output = self.slot(linear.window.output, self.kind == Kind::Ntk);
        Op::Linear(linear)
    }

    fn chain(
        &mut self,
        layers: &[LayerSpec],
        first: usize,
        place: &str,
        mut shape: Vec<usize>,
        mut nature: Nature,
    ) -> Result<(Vec<Op>, Nature), KernelError> {
        let mut ops = Vec::new();
        for (index, layer) in layers.iter().enumerate() {
            let index = format!("{place}{}", first + index);
            self.labels.push((self.table, index.clone()));
            let one = chain(std::slice::from_ref(layer), &shape, "").expect("the model was compiled");
            let after = one.output_shape().to_vec();
            let (op, next) = self.layer(layer, &index, &shape, &after, nature)?;
            ops.push(op);
            (shape, nature) = (after, next);
        }
        Ok((ops, nature))
    }

    fn layer(
        &mut self,
        layer: &LayerSpec,
        index: &str,
        before: &[usize],
        after: &[usize],
        nature: Nature,
    ) -> Result<(Op, Nature), KernelError> {
        let none = |reason| Err(KernelError::NoClosedForm { index: index.to_owned(), kind: layer.kind(), reason });
        let ntk = self.kind == Kind::Ntk;
        let plane = plane_of(before);
        let window = |size, stride, padding| {
            Window::new(&[1, plane[0], plane[1]], size, stride, padding).expect("the layer was compiled")
        };
        let affine = Nature { gaussian: true, fresh: true };
        Ok(match layer {
            LayerSpec::Dense { .. } => (self.linear(window([1, 1], [1, 1], Padding::Valid), true, true), affine),
            LayerSpec::Conv { kernel, stride, padding, bias, .. } => {
                (self.linear(window(*kernel, *stride, *padding), true, *bias), affine)
            }
            LayerSpec::Flatten => (self.linear(window(plane, [1, 1], Padding::Valid), false, false), nature),
            LayerSpec::Relu | LayerSpec::Tanh | LayerSpec::Erf => {
                let Some(dual) = layer.activation().and_then(Dual::of) else {
                    return none("its Gaussian expectation is no elementary function");
                };
                if !nature.gaussian {
                    return none(
                        "its input is not Gaussian in the limit of infinite width, as no affine layer stands directly before it",
                    );
                }
                let op = Op::Activation { dual, input: self.slot(plane, !ntk || dual == Dual::Erf) };
                (op, Nature { gaussian: false, ..nature })
            }
            LayerSpec::AvgPool { .. } | LayerSpec::GlobalAvgPool if too_many_offsets(plane) => {
                return none("its images at all pairs of positions do not fit into memory");
            }
            LayerSpec::AvgPool { size, stride } => {
                let window = window(*size, stride.unwrap_or(*size), Padding::Valid);
                (Op::Pool { output: self.slot(window.output, ntk), window }, nature)
            }
            LayerSpec::GlobalAvgPool => {
                (Op::Pool { window: window(plane, plane, Padding::Valid), output: self.slot([1, 1], ntk) }, nature)
            }
            LayerSpec::MaxPool { .. } => return none("the maximum of correlated Gaussians has no closed-form kernel"),
            LayerSpec::BatchNorm => return none("its statistics couple the samples of a batch"),
            LayerSpec::Residual { branch, shortcut } => {
                let inside = Nature { fresh: false, ..nature };
                let (branch, through) = self.chain(branch, 0, &format!("{index}.branch."), before.to_vec(), inside)?;
                let (shortcut, around) =
                    self.chain(shortcut, 0, &format!("{index}.shortcut."), before.to_vec(), inside)?;
                if !(through.fresh || around.fresh) || !(through.gaussian || around.gaussian) {
                    return none("its branch and its shortcut are correlated in the limit of infinite width");
                }
                if !(nature.fresh || through.fresh && around.fresh) {
                    return none("it adds the data itself to a layer whose width is taken to infinity");
                }
                let plane = plane_of(after);
                let slots = [(); 3].map(|()| self.slot(plane, ntk));
                let nature = Nature { gaussian: through.gaussian && around.gaussian, fresh: true };
                (Op::Residual { branch, shortcut, slots, plane }, nature)
            }
        })
    }
}

impl Op {
    /// Whether each offset of the output needs one offset of the input only.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Linear(_) | Self::Activation { .. } => true,
            Self::Pool { .. } => false,
            Self::Residual { branch, shortcut, .. } => {
                branch.iter().chain(shortcut).all(Self::is_local) && total_stride(branch) == total_stride(shortcut)
            }
        }
    }

    /// Rows and columns of the output's positions for an input on `plane`.
    pub fn output_plane(&self, plane: [usize; 2]) -> [usize; 2] {
        match self {
            Self::Linear(Linear { window, .. }) | Self::Pool { window, .. } => window.output,
            Self::Activation { .. } => plane,
            Self::Residual { plane, .. } => *plane,
        }
    }

    /// The input offsets that the given output offsets need.
    pub fn needs(&self, outputs: &[Offset]) -> Vec<Offset> {
        match self {
            Self::Activation { .. } => outputs.to_vec(),
            Self::Linear(linear) => scaled(outputs, linear.window.stride),
            Self::Pool { window, .. } => {
                let mut all = BTreeSet::new();
                for offset in scaled(outputs, window.stride) {
                    for [y, x] in all_offsets(window.size) {
                        all.insert([offset[0] + y, offset[1] + x]);
                    }
                }
                here_first(all)
            }
            Self::Residual { branch, shortcut, .. } => {
                let both = needs(branch, outputs).into_iter().chain(needs(shortcut, outputs));
                here_first(both.collect())
            }
        }
    }
}

/// The input offsets that a chain's output offsets need.
pub(super) fn needs(ops: &[Op], outputs: &[Offset]) -> Vec<Offset> {
    ops.iter().rev().fold(outputs.to_vec(), |outputs, op| op.needs(&outputs))
}

/// See [`Plan::stored`]; everything that may be alive at once is counted.
fn stored(ops: &[Op], mut plane: [usize; 2], offsets: &[Offset]) -> usize {
    let size = |plane, offsets: &[Offset]| -> usize {
        offsets.iter().map(|&offset| Region::new(plane, offset).len().next_multiple_of(GROUP)).sum()
    };
    let mut total = 0;
    for (index, op) in ops.iter().enumerate() {
        let before = plane;
        plane = op.output_plane(plane);
        if !op.is_local() {
            let wanted = needs(&ops[index + 1..], offsets);
            total += size(plane, &wanted);
            if let Op::Residual { branch, shortcut, .. } = op {
                total += size(before, &op.needs(&wanted)) + size(plane, &wanted);
                total += stored(branch, before, &wanted) + stored(shortcut, before, &wanted);
            }
        }
    }
    total
}

/// Offsets of the input per offset of the output of a chain of local operations.
pub(super) fn total_stride(ops: &[Op]) -> [usize; 2] {
    ops.iter().fold([1, 1], |total, op| {
        let stride = match op {
            Op::Linear(linear) => linear.window.stride,
            Op::Activation { .. } => [1, 1],
            Op::Pool { window, .. } => window.stride,
            Op::Residual { branch, .. } => total_stride(branch),
        };
        [total[0] * stride[0], total[1] * stride[1]]
    })
}

fn scaled(offsets: &[Offset], stride: [usize; 2]) -> Vec<Offset> {
    offsets.iter().map(|[y, x]| [y * stride[0] as isize, x * stride[1] as isize]).collect()
}

/// Sorted, but [`HERE`] first: variances are read off where both positions are the same.
fn here_first(offsets: BTreeSet<Offset>) -> Vec<Offset> {
    let rest = offsets.iter().copied().filter(|offset| *offset != HERE);
    std::iter::once(HERE).chain(rest).collect()
}
