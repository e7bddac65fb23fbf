//! Layers and chains of them, built as an architecture says.

use super::{
    ActivationLayer, AveragePool, BatchNorm, Conv, Dense, Flatten, GlobalAveragePool, Layer, LinearLayer, MaxPool,
    Residual, Sequence, Window,
};
use crate::model::architecture::LayerSpec;
use crate::model::size::{self, MOST_NESTED};
use crate::model::{ModelError, Padding};

/// Builds a chain for inputs of `shape`; `place` prefixes layer positions in error messages.
pub(crate) fn chain(specs: &[LayerSpec], shape: &[usize], place: &str) -> Result<Sequence, ModelError> {
    let mut layers = Vec::new();
    let mut through = shape.to_vec();
    for (index, spec) in specs.iter().enumerate() {
        let layer = build(spec, &through, &format!("{place}{index}"))?;
        through = layer.output_shape();
        layers.push(layer);
    }
    Ok(Sequence::of(layers, shape))
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
            let branch = chain(branch, shape, &format!("{index}.branch."))?;
            let shortcut = match shortcut.is_empty() {
                true => None,
                false => Some(chain(shortcut, shape, &format!("{index}.shortcut."))?),
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
