//! Where the estimators under test come from, and so what runs one check of theirs alone.

use crate::gate::tier::Tier;

/// Who holds the estimators to the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// A command line, to which `--tier`, `--seed` and `--only` can be added.
    CommandLine(String),
    /// A test in Rust whose gate judges the cases of this file.
    RustFile(String),
    /// A test in Rust that builds a [`Gate`](crate::gate::Gate); with how many generated cases.
    RustTest {
        /// The argument of [`Gate::cases`](crate::gate::Gate::cases).
        cases: usize,
    },
}

impl Origin {
    /// What a reader types to run the check `address` alone: a command line, or the calls that narrow a test's own gate,
    /// which has the estimators already.
    pub fn alone(&self, tier: Tier, seed: u64, address: &str) -> String {
        match self {
            Self::CommandLine(command) => {
                let tier = tier.name();
                format!("{command} --tier {tier} --seed {seed} --only '{address}'")
            }
            Self::RustFile(path) => {
                let tier = tier.name();
                format!("Gate::{tier}().case({path:?}).only({address:?}).seed({seed})")
            }
            Self::RustTest { cases } => {
                let generated = if *cases == 0 { String::new() } else { format!(".cases({cases})") };
                let tier = tier.name();
                format!("Gate::{tier}().only({address:?}).seed({seed}){generated}")
            }
        }
    }

    /// The same with so many generated cases.
    pub(super) fn with_cases(&self, cases: usize) -> Self {
        match self {
            Self::CommandLine(command) => Self::CommandLine(format!("{command} --cases {cases}")),
            Self::RustFile(path) => Self::RustFile(path.clone()),
            Self::RustTest { .. } => Self::RustTest { cases },
        }
    }
}

impl From<&str> for Origin {
    fn from(command: &str) -> Self {
        Self::CommandLine(command.to_owned())
    }
}

impl From<&String> for Origin {
    fn from(command: &String) -> Self {
        Self::CommandLine(command.clone())
    }
}

impl From<&Origin> for Origin {
    fn from(origin: &Origin) -> Self {
        origin.clone()
    }
}
