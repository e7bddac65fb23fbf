//! How a latent value becomes a label.

use serde::{Deserialize, Serialize};

/// How a latent value becomes a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Link {
    /// `y = +1` iff `g > 0`: the prior probability itself.
    Step,
    /// `Pr[y = +1 | g] = Phi(g)`: unit noise on every latent value.
    Probit,
    /// `Pr[y = +1 | g] = 1 / (1 + exp(-g))`, offered by `laplace` only.
    Logistic,
}

impl std::fmt::Display for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Step => "step",
            Self::Probit => "probit",
            Self::Logistic => "logistic",
        })
    }
}
