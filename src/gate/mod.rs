//! The gate: laws, the cases they are checked on, the runner, and verdicts.

mod base_answers;
mod builder;
mod calibration;
mod cases;
mod certified;
mod corpus;
mod counterexample;
mod estimator_score;
pub mod external;
mod false_alarms;
mod finding;
mod generated;
mod law;
mod laws;
mod origin;
mod outcome;
mod printable;
mod report;
mod runner;
mod score;
mod tier;

pub use builder::Gate;
#[cfg(feature = "report")]
pub(crate) use calibration::median;
pub use calibration::{Calibration, CalibrationRow, calibrate};
pub use cases::{FlatnessCase, PriorCase};
pub use corpus::Corpus;
pub use counterexample::{Content, Counterexample};
pub use estimator_score::EstimatorScore;
pub use false_alarms::FalseAlarms;
pub use finding::{Finding, Verdict};
pub use generated::run_generated;
pub use law::{Check, Context, Law, Scope};
pub use laws::registry;
pub use origin::Origin;
pub use outcome::{Counts, Outcome};
pub use printable::printable;
pub use report::Report;
pub use runner::{Progress, count, run};
pub use score::Score;
pub use tier::Tier;
