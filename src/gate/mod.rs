//! The gate: laws, the cases they are checked on, the runner, and verdicts.

mod builder;
mod calibration;
mod cases;
mod certified;
mod corpus;
mod demonstration;
pub mod external;
mod generated;
mod law;
mod laws;
mod origin;
mod printable;
mod runner;
mod score;
mod verdict;

pub use builder::Gate;
#[cfg(feature = "report")]
pub(crate) use calibration::median;
pub use calibration::{Calibration, CalibrationRow, FalseAlarms, calibrate};
pub use cases::{FlatnessCase, PriorCase};
pub use corpus::Corpus;
pub use demonstration::{Demonstration, Row, TrainedNetwork, demonstrate};
pub use generated::{Body, Counterexample, run_generated};
pub use law::{Check, Context, Law, Scope, Tier};
pub use laws::registry;
pub use origin::Origin;
pub use printable::printable;
pub use runner::{Progress, count, run, verify};
pub use score::{EstimatorScore, Score};
pub use verdict::{Counts, Finding, Outcome, Report, Verdict};
