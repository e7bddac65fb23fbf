//! An optimiser by name.

use super::{Preset, registry};
use crate::train::TrainError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt::Debug;

/// An optimiser by name, with hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerSettings {
    /// Registry name.
    pub id: String,
    /// Preset the other values come from; the optimiser's first one by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Hyper-parameters that differ from the preset's.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub hyperparameters: Map<String, Value>,
}

impl OptimizerSettings {
    /// The optimiser called `id` with its default preset.
    pub fn named(id: &str) -> Self {
        Self { id: id.to_owned(), preset: None, hyperparameters: Map::new() }
    }

    /// The optimiser, and the learning rate of its preset.
    ///
    /// # Errors
    /// [`TrainError::Setting`]: an unknown optimiser, preset or hyper-parameter, or a value out of range.
    pub fn build(&self) -> Result<Preset, TrainError> {
        let fault = |name: &str, found: &str, expected: String| TrainError::Setting {
            name: name.to_owned(),
            found: format!("'{found}'"),
            expected,
        };
        let Some(rule) = registry().iter().find(|optimizer| crate::id::names(&self.id, optimizer.id())) else {
            let known: Vec<_> = registry().iter().map(|optimizer| optimizer.id()).collect();
            return Err(fault("optimizer", &self.id, format!("one of {}", known.join(", "))));
        };
        let mut presets = rule.presets();
        let names: Vec<_> = presets.iter().map(|preset| preset.name).collect();
        let index = match &self.preset {
            None => 0,
            Some(name) => presets.iter().position(|preset| preset.is_called(name)).ok_or_else(|| {
                fault(&format!("preset of {}", self.id), name, format!("one of {}", names.join(", ")))
            })?,
        };
        let mut preset = presets.swap_remove(index);
        if !self.hyperparameters.is_empty() {
            let mut all = preset.optimizer.hyperparameters();
            all.extend(self.hyperparameters.clone());
            preset.optimizer = rule.configured(all).map_err(|error| TrainError::Setting {
                name: format!("hyperparameters of {}", self.id),
                found: Value::Object(self.hyperparameters.clone()).to_string(),
                expected: error.expected,
            })?;
        }
        Ok(preset)
    }
}
