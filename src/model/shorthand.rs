//! What people type for an architecture: `fcn:64-40-40-1`, a preset's name, or the path of a file.

use crate::io::read_text;
use crate::model::architecture::{DEFAULT_BIAS_STD, DEFAULT_WEIGHT_STD};
use crate::model::{Activation, Architecture, ModelError, preset};
use std::path::Path;

/// Longest file that is read: a hundred thousand layers, one a line.
const MOST_BYTES: u64 = 1 << 22;
impl Architecture {
    /// Reads `fcn:64-40-40-1`, a [preset](crate::model::presets) as `resnet20:3x32x32-10`, or the path of a
    /// TOML file.
    ///
    /// `activation`, `weight_std` and `bias_std` complete the shorthand; a file states its own, and
    /// giving them beside a file is an error.
    ///
    /// # Errors
    /// [`ModelError::Architecture`] naming the text or file and what is wrong with it.
    pub fn read(
        text: &str,
        activation: Option<Activation>,
        weight_std: Option<f64>,
        bias_std: Option<f64>,
    ) -> Result<Self, ModelError> {
        let fault = |reason: String| ModelError::Architecture { origin: text.to_owned(), reason };
        let architecture = if let Some(widths) = text.strip_prefix("fcn:") {
            let widths: Vec<usize> = widths
                .split('-')
                .map(|width| match width.parse() {
                    Ok(width) if width > 0 => Ok(width),
                    _ => {
                        Err(fault(format!("'{width}' is not a width; expected positive integers as in fcn:64-40-40-1")))
                    }
                })
                .collect::<Result<_, _>>()?;
            if widths.len() < 2 {
                return Err(fault("expected at least an input and an output width as in fcn:64-1".to_owned()));
            }
            Self::fully_connected(
                &widths,
                activation.unwrap_or(Activation::Relu),
                weight_std.unwrap_or(DEFAULT_WEIGHT_STD),
                bias_std.unwrap_or(DEFAULT_BIAS_STD),
            )
        } else if let Some(preset) = preset::read(text, weight_std, bias_std) {
            if activation.is_some() {
                return Err(fault("an activation completes the fcn: shorthand; a preset states its own".to_owned()));
            }
            preset.map_err(fault)?
        } else {
            if activation.is_some() || weight_std.is_some() || bias_std.is_some() {
                return Err(fault(
                    "activation, weight_std and bias_std complete the fcn: shorthand; a file states its own".to_owned(),
                ));
            }
            let content = read_text(Path::new(text), MOST_BYTES).map_err(|error| {
                fault(format!("cannot read the file ({error}); expected a TOML file or a shorthand as fcn:64-40-40-1"))
            })?;
            Self::from_toml(&content).map_err(|error| fault(error.to_string()))?
        };
        for (name, value) in [("weight_std", architecture.weight_std), ("bias_std", architecture.bias_std)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(fault(format!("{name} is {value}, expected a finite number of at least 0")));
            }
        }
        Ok(architecture)
    }
}
