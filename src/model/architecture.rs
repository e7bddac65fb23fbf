//! Architectures as data: what a network is made of, in TOML or JSON.

use crate::model::{Padding, TomlError};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Standard deviation of weights (times the root of the fan-in) in the paper, `sqrt 2`.
pub const DEFAULT_WEIGHT_STD: f64 = std::f64::consts::SQRT_2;
/// Standard deviation of biases in the paper.
pub const DEFAULT_BIAS_STD: f64 = 1.0;

/// Most layers that a line for people names; of more it says how many there are.
const MOST_NAMED: usize = 64;

/// A network up to its parameters: input shape, layers, and the prior over parameters.
///
/// Prior: weights `N(0, weight_std^2 / fan_in)`, biases `N(0, bias_std^2)`, independent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// Shape of one input: `[features]` or `[channels, height, width]`.
    pub input: Vec<usize>,
    /// Standard deviation of a weight times the root of its fan-in.
    #[serde(default = "default_weight_std")]
    pub weight_std: f64,
    /// Standard deviation of a bias.
    #[serde(default = "default_bias_std")]
    pub bias_std: f64,
    /// The layers in forward order.
    pub layers: Vec<LayerSpec>,
}

fn default_weight_std() -> f64 {
    DEFAULT_WEIGHT_STD
}

fn default_bias_std() -> f64 {
    DEFAULT_BIAS_STD
}

fn unit_stride() -> [usize; 2] {
    [1, 1]
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

fn is_zero(value: &[usize; 2]) -> bool {
    *value == [0, 0]
}

/// One layer of an [`Architecture`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum LayerSpec {
    /// Affine map to `units` outputs.
    Dense {
        /// Number of outputs.
        units: usize,
    },
    /// Two-dimensional convolution with zero padding.
    Conv {
        /// Output channels.
        channels: usize,
        /// Height and width of the kernel.
        kernel: [usize; 2],
        /// Vertical and horizontal stride.
        #[serde(default = "unit_stride")]
        stride: [usize; 2],
        /// Padding.
        padding: Padding,
        /// Whether each output channel has a bias; the default. PyTorch's residual networks have none.
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        bias: bool,
    },
    /// `max(x, 0)`.
    Relu,
    /// Hyperbolic tangent.
    Tanh,
    /// Gauss error function.
    Erf,
    /// Mean over windows.
    AvgPool {
        /// Height and width of the window.
        size: [usize; 2],
        /// Stride; the window's size by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<[usize; 2]>,
    },
    /// Maximum over windows.
    MaxPool {
        /// Height and width of the window.
        size: [usize; 2],
        /// Stride; the window's size by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<[usize; 2]>,
        /// Rows and columns added on each side, which no maximum picks; none by default.
        #[serde(default, skip_serializing_if = "is_zero")]
        padding: [usize; 2],
    },
    /// Mean over all positions of each channel.
    GlobalAvgPool,
    /// Channels, height and width to one vector, in that order.
    Flatten,
    /// Normalisation of each channel.
    BatchNorm,
    /// `shortcut(input) + branch(input)`; the shortcut is the identity unless layers are given.
    Residual {
        /// Layers of the branch.
        branch: Vec<LayerSpec>,
        /// Layers of the shortcut.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        shortcut: Vec<LayerSpec>,
    },
}

/// An elementwise nonlinearity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Activation {
    /// `max(x, 0)`, derivative 0 at 0.
    Relu,
    /// Hyperbolic tangent.
    Tanh,
    /// Gauss error function.
    Erf,
}

impl Activation {
    /// The layer that applies it.
    pub fn layer(self) -> LayerSpec {
        match self {
            Self::Relu => LayerSpec::Relu,
            Self::Tanh => LayerSpec::Tanh,
            Self::Erf => LayerSpec::Erf,
        }
    }

    /// `max(c x, 0) = c max(x, 0)` for `c > 0`.
    pub fn is_positively_homogeneous(self) -> bool {
        self == Self::Relu
    }

    /// `phi(-x) = -phi(x)`.
    pub fn is_odd(self) -> bool {
        self != Self::Relu
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Relu => "relu",
            Self::Tanh => "tanh",
            Self::Erf => "erf",
        })
    }
}

impl LayerSpec {
    /// The word that names the layer's type in files.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Dense { .. } => "dense",
            Self::Conv { .. } => "conv",
            Self::Relu => "relu",
            Self::Tanh => "tanh",
            Self::Erf => "erf",
            Self::AvgPool { .. } => "avg_pool",
            Self::MaxPool { .. } => "max_pool",
            Self::GlobalAvgPool => "global_avg_pool",
            Self::Flatten => "flatten",
            Self::BatchNorm => "batch_norm",
            Self::Residual { .. } => "residual",
        }
    }

    /// The nonlinearity, if the layer is one.
    pub fn activation(&self) -> Option<Activation> {
        match self {
            Self::Relu => Some(Activation::Relu),
            Self::Tanh => Some(Activation::Tanh),
            Self::Erf => Some(Activation::Erf),
            _ => None,
        }
    }
}

impl Architecture {
    /// A fully connected network: `widths` from input to output, the activation between dense layers.
    ///
    /// # Panics
    /// If there are fewer than two widths.
    pub fn fully_connected(widths: &[usize], activation: Activation, weight_std: f64, bias_std: f64) -> Self {
        assert!(widths.len() >= 2, "a network needs an input and an output width, got {widths:?}");
        let mut layers = Vec::new();
        for (index, &units) in widths[1..].iter().enumerate() {
            if index > 0 {
                layers.push(activation.layer());
            }
            layers.push(LayerSpec::Dense { units });
        }
        Self { input: vec![widths[0]], weight_std, bias_std, layers }
    }

    /// Reads the TOML form; unknown keys are errors that name the key.
    ///
    /// # Errors
    /// [`TomlError`]: what is wrong, with line and key, in one sentence.
    pub fn from_toml(text: &str) -> Result<Self, TomlError> {
        toml::from_str(text).map_err(|source| TomlError::new(text, source))
    }

    /// The widths and the activation if this is a plain fully connected network.
    pub fn as_fully_connected(&self) -> Option<(Vec<usize>, Option<Activation>)> {
        let [input] = self.input[..] else { return None };
        let mut widths = vec![input];
        let mut activation = None;
        for (index, layer) in self.layers.iter().enumerate() {
            match (index % 2, layer) {
                (0, LayerSpec::Dense { units }) => widths.push(*units),
                (1, layer) if layer.activation().is_some() => {
                    if activation.is_some() && activation != layer.activation() {
                        return None;
                    }
                    activation = layer.activation();
                }
                _ => return None,
            }
        }
        (self.layers.len() % 2 == 1).then_some((widths, activation))
    }
}

impl fmt::Display for Architecture {
    /// The shorthand where there is one, else a chain of layer names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |numbers: &[usize], with: &str| {
            numbers.iter().map(|number| number.to_string()).collect::<Vec<_>>().join(with)
        };
        match self.as_fully_connected() {
            Some((widths, activation)) if widths.len() <= MOST_NAMED => {
                write!(f, "fcn:{}", join(&widths, "-"))?;
                match activation {
                    None | Some(Activation::Relu) => Ok(()),
                    Some(other) => write!(f, " ({other})"),
                }
            }
            _ => {
                let layers: Vec<_> = self.layers.iter().take(MOST_NAMED).map(|layer| layer.kind()).collect();
                write!(f, "{} -> {}", join(&self.input, "x"), layers.join(" -> "))?;
                match self.layers.len() {
                    ..=MOST_NAMED => Ok(()),
                    more => write!(f, " -> ... ({more} layers)"),
                }
            }
        }
    }
}
