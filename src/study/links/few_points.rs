//! Labels of a few points, whose probability is known in every reading.

use crate::study::reading::Number;
use crate::study::real;

use serde::{Deserialize, Serialize};
use serde_json::json;

/// Fewest networks with the labels of which a logarithm is taken.
pub(super) const FEWEST: u64 = 20;

/// The labels of a few points, in each reading.
#[derive(Serialize, Deserialize)]
pub(super) struct FewPoints {
    pub(super) network: String,
    pub(super) points: usize,
    pub(super) step: Number,
    pub(super) ep_step: Number,
    pub(super) ep_probit: Number,
    /// Networks of finite width with these labels, of `drawn`.
    pub(super) counted: u64,
    pub(super) drawn: u64,
}

impl FewPoints {
    pub(super) fn finite(&self) -> Option<f64> {
        (self.counted >= FEWEST).then(|| (self.counted as f64 / self.drawn as f64).ln())
    }

    /// Sampling error of the logarithm.
    pub(super) fn std_error(&self) -> f64 {
        (1.0 / self.counted as f64 - 1.0 / self.drawn as f64).sqrt()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        json!({
            "network": self.network,
            "points": self.points,
            "step": real(Some(self.step.real())),
            "ep_step": real(Some(self.ep_step.real())),
            "ep_probit": real(Some(self.ep_probit.real())),
            "finite_width": real(self.finite()),
            "counted": self.counted,
            "drawn": self.drawn,
        })
    }
}
