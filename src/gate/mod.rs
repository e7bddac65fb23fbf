//! The gate: laws, the cases they are checked on, the runner, and verdicts.

mod builder;
mod cases;
mod certified;
mod demonstration;
pub mod external;
mod law;
mod laws;
mod runner;
mod score;
mod verdict;

pub use builder::Gate;
pub use cases::{FlatnessCase, PriorCase};
pub use demonstration::{Demonstration, Row, TrainedNetwork, demonstrate};
pub use law::{Check, Context, Law, Tier};
pub use laws::registry;
pub use runner::{Progress, run, verify};
pub use score::{EstimatorScore, Score};
pub use verdict::{Counts, Finding, Outcome, Report, Verdict};
