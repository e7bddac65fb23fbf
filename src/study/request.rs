//! What a study is asked for.

use crate::id::names;
use crate::model::Architecture;
use crate::study::StudyError;
use serde::Serialize;
use std::fmt;

/// Networks over which an empirical kernel is averaged unless told otherwise, and in a quick study.
pub(super) const KERNEL_SAMPLES: usize = 1000;
pub(super) const QUICK_KERNEL_SAMPLES: usize = 100;

/// How the Gram matrix of the prior is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum KernelChoice {
    /// In closed form, in the limit of infinite width.
    #[default]
    Analytic,
    /// Averaged over this many sampled networks; the default number if `None`.
    Empirical(Option<usize>),
}

/// A setting for all optimisers, or for each its own.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct PerOptimizer<T>(pub Vec<(Option<String>, T)>);

impl<T> Default for PerOptimizer<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Clone> PerOptimizer<T> {
    /// The setting of an optimiser: its own, else that of all.
    pub fn of(&self, optimizer: &str) -> Option<T> {
        let own = self.0.iter().find(|(id, _)| id.as_deref().is_some_and(|id| names(id, optimizer)));
        own.or_else(|| self.0.iter().find(|(id, _)| id.is_none())).map(|(_, value)| value.clone())
    }

    /// Optimisers that are named.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|(id, _)| id.as_deref())
    }

    /// Reads words of the form `VALUE` or `OPTIMIZER=VALUE`.
    ///
    /// # Errors
    /// [`WordError`]: a word that is neither, or comes twice.
    pub fn parse(words: &[String], read: impl Fn(&str) -> Option<T>) -> Result<Self, WordError> {
        let mut all: Vec<(Option<String>, T)> = Vec::new();
        for word in words {
            let (id, text) = word.split_once('=').map_or((None, word.as_str()), |(id, text)| (Some(id), text));
            let value = read(text).ok_or_else(|| WordError::Unknown { word: word.clone() })?;
            if all.iter().any(|(known, _)| match (known.as_deref(), id) {
                (Some(known), Some(id)) => names(id, known),
                (known, id) => known == id,
            }) {
                return Err(WordError::Twice { word: word.clone(), optimizer: id.unwrap_or("all").to_owned() });
            }
            all.push((id.map(str::to_owned), value));
        }
        Ok(Self(all))
    }
}

impl<T: fmt::Display> fmt::Display for PerOptimizer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (id, value)) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match id {
                Some(id) => write!(f, "{comma}{id}={value}")?,
                None => write!(f, "{comma}{value}")?,
            }
        }
        Ok(())
    }
}

/// A word that sets nothing of an optimiser.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WordError {
    /// It is no value.
    #[error("'{word}'")]
    Unknown {
        /// The word.
        word: String,
    },
    /// It sets what another one has set.
    #[error("'{word}' beside another value for {optimizer}")]
    Twice {
        /// The word.
        word: String,
        /// The optimiser, or `all`.
        optimizer: String,
    },
}

/// What is asked of a study; what is not given, the study decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Data source, as `mnist:DIR`.
    pub data: String,
    /// Small enough for a minute.
    pub quick: bool,
    /// Seed of S, E and the attack set, and the first of the seeds of initial parameters and order of the rows.
    pub seed: u64,
    /// Number of seeds.
    pub seeds: Option<u64>,
    /// Rows of the training set.
    pub train: Option<usize>,
    /// Rows of the test set.
    pub test: Option<usize>,
    /// Sizes of the attack set.
    pub attacks: Option<Vec<usize>>,
    /// Optimisers by registry name.
    pub optimizers: Option<Vec<String>>,
    /// Flatness measures by registry name.
    pub measures: Option<Vec<String>>,
    /// Readings of log P(f) by name.
    pub readings: Option<Vec<String>>,
    /// The network.
    pub architecture: Option<Architecture>,
    /// How the Gram matrix is found.
    pub kernel: KernelChoice,
    /// Presets of the optimisers' hyper-parameters.
    pub presets: PerOptimizer<String>,
    /// Learning rates.
    pub rates: PerOptimizer<f64>,
    /// Rows of a mini-batch.
    pub batch: Option<usize>,
    /// Epochs to go on for past zero error.
    pub extra_epochs: Option<usize>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            data: "digits".to_owned(),
            quick: false,
            seed: 0,
            seeds: None,
            train: None,
            test: None,
            attacks: None,
            optimizers: None,
            measures: None,
            readings: None,
            architecture: None,
            kernel: KernelChoice::Analytic,
            presets: PerOptimizer::default(),
            rates: PerOptimizer::default(),
            batch: None,
            extra_epochs: None,
        }
    }
}

impl Request {
    /// For a study with networks of its own: nothing, unless another one is asked for.
    ///
    /// # Errors
    /// [`StudyError::Request`] naming the architecture, and the study's `own` networks.
    pub(super) fn refuse_architecture(&self, own: &str) -> Result<(), StudyError> {
        match &self.architecture {
            None => Ok(()),
            Some(architecture) => Err(StudyError::Request {
                name: "architecture",
                found: architecture.to_string(),
                expected: format!("no architecture: the networks of this study are {own}"),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_for_all_optimisers_or_for_one() {
        let words = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let read = |text: &str| PerOptimizer::parse(&words(text), |text| text.parse::<f64>().ok());
        let rates = read("0.1,adam=0.001").unwrap();
        assert_eq!((rates.of("sgd"), rates.of("adam")), (Some(0.1), Some(0.001)));
        assert_eq!(rates.to_string(), "0.1,adam=0.001");
        assert_eq!(read("adam=0.5").unwrap().of("sgd"), None);
        for (bad, word) in [("fast", "fast"), ("adam=", "adam="), ("1,2", "2"), ("adam=1,adam=2", "adam=2")] {
            assert!(read(bad).unwrap_err().to_string().contains(word), "{bad}");
        }
    }
}
