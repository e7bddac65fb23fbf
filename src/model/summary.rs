//! A network in one line.

use crate::model::{LayerSpec, Model};

fn shape_text(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

/// `1234567` as `1,234,567`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A layer's type with what distinguishes it from others of its type.
fn label(spec: &LayerSpec) -> String {
    let pair = |[a, b]: [usize; 2]| format!("{a}x{b}");
    match spec {
        LayerSpec::Conv { kernel, stride, .. } if *stride == [1, 1] => format!("conv {}", pair(*kernel)),
        LayerSpec::Conv { kernel, stride, .. } => format!("conv {}/{}", pair(*kernel), pair(*stride)),
        LayerSpec::AvgPool { size, .. } | LayerSpec::MaxPool { size, .. } => format!("{} {}", spec.kind(), pair(*size)),
        LayerSpec::Residual { branch, .. } => {
            format!("residual[{}]", branch.iter().map(LayerSpec::kind).collect::<Vec<_>>().join(" "))
        }
        other => other.kind().to_owned(),
    }
}

impl Model {
    /// Layers with their output shapes where these change, and the number of parameters, in one line.
    ///
    /// ```
    /// use flatgauge::model::{Architecture, Model};
    /// let architecture = Architecture::read("lenet:1x28x28-1", None, None, None)?;
    /// let summary = Model::new(architecture)?.summary();
    /// assert!(summary.starts_with("1x28x28 -> conv 5x5 6x28x28 -> relu -> avg_pool 2x2 6x14x14 -> "));
    /// assert!(summary.ends_with(" -> relu -> dense 1; 60,941 parameters"), "{summary}");
    /// # Ok::<(), flatgauge::model::ModelError>(())
    /// ```
    pub fn summary(&self) -> String {
        let mut text = shape_text(&self.architecture().input);
        let mut before = self.architecture().input.clone();
        for (spec, shape) in self.architecture().layers.iter().zip(self.body().shapes()) {
            text += &format!(" -> {}", label(spec));
            if shape != before {
                text += &format!(" {}", shape_text(&shape));
            }
            before = shape;
        }
        text + &format!("; {} parameters", grouped(self.parameter_count()))
    }
}
