//! Networks by optimiser, as the claims and the figures take them.

use crate::study::Measured;
use crate::study::measured::Choices;
use crate::study::predictors::{Row, predictors};

/// Twins are rescaled by a factor between this and its inverse: the six decades of the study `rescaling`.
pub(super) const SPREAD: f64 = 1e3;

/// The group of all optimisers.
pub(super) const POOLED: &str = "all";

/// What was measured, by optimiser.
pub(super) struct Sweep<'m> {
    pub(super) optimizers: &'m [String],
    /// Networks as trained.
    pub(super) originals: Vec<&'m Measured>,
    /// Their rescaled twins.
    pub(super) twins: Vec<&'m Measured>,
    /// Predictors by name.
    pub(super) predictors: Vec<String>,
    /// The reading that stands for log P(f).
    pub(super) log_prob: &'static str,
    pub(super) seed: u64,
}

impl<'m> Sweep<'m> {
    pub(super) fn new(measured: &'m [Measured], choices: &Choices, optimizers: &'m [String], seed: u64) -> Self {
        let (originals, twins) = measured.iter().partition(|one| one.alpha == 1.0);
        let predictors = predictors(choices, measured);
        Self { optimizers, originals, twins, predictors, log_prob: choices.log_prob(), seed }
    }

    /// The networks of an optimiser, or of all.
    pub(super) fn of(&self, networks: &[&'m Measured], optimizer: &str) -> Vec<&'m Measured> {
        networks.iter().copied().filter(|one| optimizer == POOLED || one.optimizer == optimizer).collect()
    }

    /// The optimisers, and all of them together where there are several.
    pub(super) fn names(&self) -> Vec<String> {
        let pooled = (self.optimizers.len() > 1).then(|| POOLED.to_owned());
        self.optimizers.iter().cloned().chain(pooled).collect()
    }

    pub(super) fn groups(&self) -> Vec<(String, Vec<&'m Measured>)> {
        self.names().into_iter().map(|name| (name.clone(), self.of(&self.originals, &name))).collect()
    }

    /// The groups with the twins beside their networks.
    pub(super) fn groups_with_twins(&self) -> Vec<(String, Vec<&'m Measured>)> {
        let with_twins = |name: &str| [self.of(&self.originals, name), self.of(&self.twins, name)].concat();
        self.names().into_iter().map(|name| (name.clone(), with_twins(&name))).collect()
    }

    pub(super) fn rows(&self, groups: &[(String, Vec<&Measured>)]) -> Vec<Row> {
        let of = |(group, networks): &(String, Vec<&Measured>)| -> Vec<Row> {
            self.predictors.iter().map(|name| Row::new(group, name, networks, self.seed)).collect()
        };
        groups.iter().flat_map(of).collect()
    }
}
