//! How often the gate fails a correct estimator by chance.

use crate::gate::tolerance::{FALSE_ALARM_RATE, GATE_FALSE_ALARM, GATE_Z};
use serde::Serialize;

/// How often a correct estimator fails by chance, as the tests are built.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FalseAlarms {
    /// Stochastic decisions that were made.
    pub decisions: usize,
    /// Standard errors, beside rounding, by which two answers may differ.
    pub z: f64,
    /// Probability of a false alarm in one decision, for standard errors of 32 replicates or more.
    pub per_decision: f64,
    /// Probability of any in this run, at most.
    pub per_run: f64,
    /// Probability in a run of up to `MOST_DECISIONS` (20 000) decisions, at most.
    pub budget: f64,
}

impl FalseAlarms {
    /// Of so many decisions.
    pub fn of(decisions: usize) -> Self {
        let per_decision = GATE_FALSE_ALARM;
        let per_run = (decisions as f64 * per_decision).min(1.0);
        Self { decisions, z: GATE_Z, per_decision, per_run, budget: FALSE_ALARM_RATE }
    }
}
