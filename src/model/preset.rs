//! Architectures with names.
//!
//! `NAME` or `NAME:CHANNELSxHEIGHTxWIDTH-OUTPUTS`, as `resnet20` or `resnet20:1x8x8-1`.

use crate::model::architecture::{DEFAULT_BIAS_STD, DEFAULT_WEIGHT_STD};
use crate::model::{Architecture, LayerSpec, Padding};

/// A named architecture.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// The name that `--arch` takes.
    pub name: &'static str,
    /// One line for lists and help.
    pub summary: &'static str,
    /// Where it comes from (author, year).
    pub source: &'static str,
    /// Channels, height and width where none are given.
    pub input: [usize; 3],
    /// Outputs where none are given.
    pub outputs: usize,
    layers: fn(usize) -> Vec<LayerSpec>,
}

/// All presets, in the order users see them. A new one is a line here.
pub fn presets() -> &'static [Preset] {
    const SMALL: [usize; 3] = [3, 32, 32];
    &[
        Preset {
            name: "lenet",
            summary: "two 5x5 convolutions with ReLU and average pooling, three dense layers",
            source: "LeCun 1998 (ReLU for its sigmoids)",
            input: [1, 28, 28],
            outputs: 10,
            layers: lenet,
        },
        Preset {
            name: "resnet8",
            summary: "residual network with batch norm for small images (3x3 stem, no pooling), 3 x 1 blocks",
            source: "He 2015 (projection shortcuts)",
            input: SMALL,
            outputs: 10,
            layers: |outputs| small_resnet(1, outputs),
        },
        Preset {
            name: "resnet14",
            summary: "residual network with batch norm for small images (3x3 stem, no pooling), 3 x 2 blocks",
            source: "He 2015 (projection shortcuts)",
            input: SMALL,
            outputs: 10,
            layers: |outputs| small_resnet(2, outputs),
        },
        Preset {
            name: "resnet20",
            summary: "residual network with batch norm for small images (3x3 stem, no pooling), 3 x 3 blocks",
            source: "He 2015 (projection shortcuts)",
            input: SMALL,
            outputs: 10,
            layers: |outputs| small_resnet(3, outputs),
        },
        Preset {
            name: "resnet50",
            summary: "residual network with batch norm and bottlenecks, PyTorch's layout",
            source: "He 2015 (stride in the 3x3 convolutions)",
            input: [3, 224, 224],
            outputs: 1000,
            layers: resnet50,
        },
        Preset {
            name: "resnet50_cifar",
            summary: "the same for small images: 3x3 stem of stride 1, no max pooling",
            source: "Zhang 2021 (after github.com/kuangliu/pytorch-cifar)",
            input: SMALL,
            outputs: 10,
            layers: resnet50_cifar,
        },
    ]
}

/// Reads a preset's shorthand; `None` if the text names none.
pub(super) fn read(text: &str, weight_std: Option<f64>, bias_std: Option<f64>) -> Option<Result<Architecture, String>> {
    let (name, shape) = text.split_once(':').map_or((text, None), |(name, shape)| (name, Some(shape)));
    let preset = presets().iter().find(|preset| crate::id::names(name, preset.name))?;
    let sizes = match shape {
        None => Some((preset.input.to_vec(), preset.outputs)),
        Some(shape) => parse(shape),
    };
    let example = preset.input.map(|size| size.to_string()).join("x");
    Some(match sizes {
        None => Err(format!(
            "'{}' is not CHANNELSxHEIGHTxWIDTH-OUTPUTS with positive integers as in {name}:{example}-{}",
            shape.unwrap_or_default(),
            preset.outputs
        )),
        Some((input, outputs)) => Ok(Architecture {
            input,
            weight_std: weight_std.unwrap_or(DEFAULT_WEIGHT_STD),
            bias_std: bias_std.unwrap_or(DEFAULT_BIAS_STD),
            layers: (preset.layers)(outputs),
        }),
    })
}

fn parse(shape: &str) -> Option<(Vec<usize>, usize)> {
    let (input, outputs) = shape.split_once('-')?;
    let positive = |text: &str| text.parse::<usize>().ok().filter(|&number| number > 0);
    let input: Vec<usize> = input.split('x').map(positive).collect::<Option<_>>()?;
    (input.len() == 3).then_some((input, positive(outputs)?))
}

fn lenet(outputs: usize) -> Vec<LayerSpec> {
    let conv = |channels, padding| LayerSpec::Conv { channels, kernel: [5, 5], stride: [1, 1], padding, bias: true };
    let pool = || LayerSpec::AvgPool { size: [2, 2], stride: None };
    vec![
        conv(6, Padding::Same),
        LayerSpec::Relu,
        pool(),
        conv(16, Padding::Valid),
        LayerSpec::Relu,
        pool(),
        LayerSpec::Flatten,
        LayerSpec::Dense { units: 120 },
        LayerSpec::Relu,
        LayerSpec::Dense { units: 84 },
        LayerSpec::Relu,
        LayerSpec::Dense { units: outputs },
    ]
}

/// A convolution with zeros for half its kernel on each side and no bias, and a batch norm.
fn normed(channels: usize, kernel: usize, stride: usize) -> [LayerSpec; 2] {
    let padding = Padding::Zeros([kernel / 2; 2]);
    let conv = LayerSpec::Conv { channels, kernel: [kernel; 2], stride: [stride; 2], padding, bias: false };
    [conv, LayerSpec::BatchNorm]
}

fn head(outputs: usize) -> [LayerSpec; 2] {
    [LayerSpec::GlobalAvgPool, LayerSpec::Dense { units: outputs }]
}

/// A residual block and the ReLU behind it; the shortcut projects where the shape changes.
fn block(branch: Vec<LayerSpec>, projection: Option<(usize, usize)>) -> [LayerSpec; 2] {
    let shortcut = projection.map_or_else(Vec::new, |(channels, stride)| normed(channels, 1, stride).to_vec());
    [LayerSpec::Residual { branch, shortcut }, LayerSpec::Relu]
}

fn small_resnet(blocks: usize, outputs: usize) -> Vec<LayerSpec> {
    let mut layers = normed(16, 3, 1).to_vec();
    layers.push(LayerSpec::Relu);
    for (stage, channels) in [16, 32, 64].into_iter().enumerate() {
        for index in 0..blocks {
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            let mut branch = normed(channels, 3, stride).to_vec();
            branch.push(LayerSpec::Relu);
            branch.extend(normed(channels, 3, 1));
            layers.extend(block(branch, (stride > 1).then_some((channels, stride))));
        }
    }
    layers.extend(head(outputs));
    layers
}

fn resnet50(outputs: usize) -> Vec<LayerSpec> {
    let mut layers = normed(64, 7, 2).to_vec();
    layers.push(LayerSpec::Relu);
    layers.push(LayerSpec::MaxPool { size: [3, 3], stride: Some([2, 2]), padding: [1, 1] });
    layers.extend(bottlenecks(outputs));
    layers
}

/// The authors of the source pool over 4 x 4 positions, which are all there are of 32 x 32 images.
fn resnet50_cifar(outputs: usize) -> Vec<LayerSpec> {
    let mut layers = normed(64, 3, 1).to_vec();
    layers.push(LayerSpec::Relu);
    layers.extend(bottlenecks(outputs));
    layers
}

/// The four stages of ResNet-50 and its head.
fn bottlenecks(outputs: usize) -> Vec<LayerSpec> {
    let mut layers = Vec::new();
    for (stage, blocks) in [3, 4, 6, 3].into_iter().enumerate() {
        let width = 64 << stage;
        for index in 0..blocks {
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            let mut branch = normed(width, 1, 1).to_vec();
            branch.push(LayerSpec::Relu);
            branch.extend(normed(width, 3, stride));
            branch.push(LayerSpec::Relu);
            branch.extend(normed(4 * width, 1, 1));
            layers.extend(block(branch, (index == 0).then_some((4 * width, stride))));
        }
    }
    layers.extend(head(outputs));
    layers
}
