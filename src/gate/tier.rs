//! How much is checked.

use serde::{Deserialize, Serialize};

/// How much is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Under a minute.
    Quick,
    /// More cases of every law, and larger ones.
    Full,
}

impl Tier {
    /// Its name on the command line and in Rust.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
        }
    }
}
