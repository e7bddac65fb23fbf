//! The number formats in which estimators compute.

use crate::numeric::tolerance::UNIT_ROUNDOFF;
use serde::{Deserialize, Serialize};

/// A number format of IEEE 754.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Dtype {
    /// Double precision, the format of this crate.
    #[default]
    Float64,
    /// Single precision.
    Float32,
}

impl Dtype {
    /// Its name on the command line and in requests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float64 => "float64",
            Self::Float32 => "float32",
        }
    }

    /// The relative error of one rounded operation: `2^-53` or `2^-24`.
    pub fn unit_roundoff(self) -> f64 {
        match self {
            Self::Float64 => UNIT_ROUNDOFF,
            Self::Float32 => f64::from(f32::EPSILON) / 2.0,
        }
    }

    /// The nearest number of the format; `None` where that is infinite, or below the normal numbers without being 0, so that
    /// it has lost digits. NaN has none.
    ///
    /// ```
    /// use flatgauge::numeric::Dtype;
    ///
    /// assert_eq!(Dtype::Float32.round(0.1), Some(f64::from(0.1_f32)));
    /// assert_eq!(Dtype::Float32.round(1e40), None);
    /// assert_eq!(Dtype::Float32.round(1e-40), None);
    /// ```
    pub fn round(self, value: f64) -> Option<f64> {
        let rounded = match self {
            Self::Float64 => value,
            Self::Float32 => f64::from(value as f32),
        };
        let least = match self {
            Self::Float64 => f64::MIN_POSITIVE,
            Self::Float32 => f64::from(f32::MIN_POSITIVE),
        };
        (rounded.is_finite() && (value == 0.0 || rounded.abs() >= least)).then_some(rounded)
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_format_cannot_hold_is_no_number_of_it() {
        for dtype in [Dtype::Float64, Dtype::Float32] {
            assert_eq!(dtype.round(f64::NAN), None);
            assert_eq!(dtype.round(f64::INFINITY), None);
            assert_eq!(dtype.round(-0.0).map(f64::to_bits), Some((-0.0_f64).to_bits()));
            assert_eq!(dtype.round(-0.75), Some(-0.75));
            let next = 1.0 + 2.0 * dtype.unit_roundoff();
            assert_eq!(dtype.round(next), Some(next));
        }
        assert_eq!(Dtype::Float32.round(1.0 + f64::EPSILON), Some(1.0));
        assert_eq!(Dtype::Float64.round(f64::MIN_POSITIVE / 2.0), None);
    }
}
