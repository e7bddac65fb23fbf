//! The gate: laws, the cases they are checked on, the runner, and verdicts.

mod averaged;
mod bench;
mod builder;
mod calibration;
mod cases;
mod cause;
mod corpus;
mod corpus_error;
mod counterexample;
mod drawn;
mod effort;
mod estimator_score;
#[doc(hidden)]
pub mod external;
mod failure_group;
mod false_alarms;
mod features;
mod finding;
mod float32;
mod generated;
mod honesty;
mod known;
mod law;
mod laws;
mod map;
mod no_parameters;
mod origin;
mod outcome;
mod pattern;
mod printable;
mod remembered;
mod report;
mod runner;
mod score;
mod sequential;
mod tier;
mod tolerance;
#[cfg(feature = "studies")]
mod trajectory;

pub use bench::{Bench, BenchRow, Timing};
pub use builder::Gate;
#[cfg(feature = "report")]
pub(crate) use calibration::median;
#[doc(hidden)]
pub use calibration::{Calibration, CalibrationRow, calibrate};
#[doc(hidden)]
pub use cases::{FlatnessCase, PriorCase};
pub use cause::Cause;
#[doc(hidden)]
pub use corpus::Corpus;
pub use corpus_error::CorpusError;
pub use counterexample::{Content, Counterexample};
pub use effort::Effort;
pub use estimator_score::EstimatorScore;
pub use external::Hello;
pub use failure_group::FailureGroup;
pub use false_alarms::FalseAlarms;
pub use finding::{Finding, Verdict};
#[doc(hidden)]
pub use generated::{generated_cases, run_generated};
pub use known::{Known, KnownError};
#[doc(hidden)]
pub use law::{Check, Context};
pub use law::{Law, Scope};
pub use laws::registry;
#[doc(hidden)]
pub use map::{FunctionMap, Rescaled};
#[doc(hidden)]
pub use no_parameters::NoParameters;
#[doc(hidden)]
pub use origin::Origin;
pub use outcome::{Counts, Outcome};
#[doc(hidden)]
pub use printable::printable;
pub use report::Report;
#[doc(hidden)]
pub use runner::{Progress, count, run};
pub use score::Score;
pub use tier::Tier;
#[cfg(feature = "studies")]
#[doc(hidden)]
pub use trajectory::{Course, TrajectoryMethod};
