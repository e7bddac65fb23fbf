//! What is taken from a source for a training: rows, labels, wrong labels, normalisation, all by seed.

use crate::data::attack::{classes, corrupt, mislabel};
use crate::data::{DataError, Dataset, LabelRule, Normalisation, Source, load_source};
use crate::numeric::Streams;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

/// How the data of a training are made from a source.
///
/// The rows of the source are shuffled by seed and dealt: first the training set S, then (unless the source has test
/// rows of its own, which are then shuffled and taken from) the test rows E, then the attack set. So S and E are the
/// same for every size of the attack set, and a smaller attack set is the beginning of a larger one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// Data source, as `mnist:DIR`.
    pub source: String,
    /// How classes become labels.
    pub labels: LabelRule,
    /// How inputs are shifted and scaled.
    pub normalisation: Normalisation,
    /// Rows of the clean training set S.
    pub train: usize,
    /// Rows of the test set E.
    pub test: usize,
    /// Rows of the attack set, with wrong labels.
    pub attack: usize,
    /// Fraction of S that is given wrong labels.
    pub corruption: f64,
    /// Seed of all choices.
    pub seed: u64,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            source: "digits".to_owned(),
            labels: LabelRule::Source,
            normalisation: Normalisation::AsLoaded,
            train: 500,
            test: 200,
            attack: 0,
            corruption: 0.0,
            seed: 0,
        }
    }
}

/// Data made by a [`Recipe`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Splits {
    /// The training set S, then the attack set.
    pub training: Dataset,
    /// Rows of S.
    pub clean: usize,
    /// The test set E, with right labels.
    pub test: Dataset,
    /// Rows of S with wrong labels, in ascending order.
    pub corrupted: Vec<usize>,
}

impl Splits {
    /// The training set S without the attack set.
    pub fn clean_set(&self) -> Dataset {
        self.training.rows(&(0..self.clean).collect::<Vec<_>>())
    }
}

impl Recipe {
    /// Loads the source and takes from it what the recipe says.
    ///
    /// # Errors
    /// The loader's, or those of [`Recipe::take`].
    pub fn prepare(&self) -> Result<Splits, DataError> {
        self.take(&load_source(&self.source)?)
    }

    /// Takes what the recipe says from a source that is loaded.
    ///
    /// # Errors
    /// [`DataError`]: too few rows, labels that are no classes where wrong ones are asked for, a fraction outside
    /// [0, 1], inputs that cannot be normalised.
    pub fn take(&self, source: &Source) -> Result<Splits, DataError> {
        if self.train == 0 {
            let expected = "at least 1 training row".to_owned();
            return Err(DataError::Argument { source_name: self.source.clone(), expected });
        }
        if !(0.0..=1.0).contains(&self.corruption) {
            let expected = format!("a corrupted fraction from 0 to 1, found {}", self.corruption);
            return Err(DataError::Argument { source_name: self.source.clone(), expected });
        }
        let rule = source.resolve(&self.labels);
        let streams = Streams::new(self.seed);
        let shuffled = |rows, index| {
            let mut order = source.labelled(rows, rule)?;
            order.shuffle(&mut streams.stream("split", index));
            Ok::<_, DataError>(order)
        };
        let order = shuffled(&source.training, 0)?;
        let tests_from_training = if source.test.is_some() { 0 } else { self.test };
        let dealt = self.train.saturating_add(tests_from_training).saturating_add(self.attack);
        check_enough(source, "training, attack and test rows", dealt, order.len())?;
        let (genuine_rows, rest) = order.split_at(self.train);
        let (test_rows, rest) = rest.split_at(tests_from_training);
        let mut clean = source.select(&source.training, genuine_rows, rule);
        let mut attack = source.select(&source.training, &rest[..self.attack], rule);
        let mut test = match &source.test {
            None => source.select(&source.training, test_rows, rule),
            Some(rows) => {
                let order = shuffled(rows, 1)?;
                check_enough(source, "test rows", self.test, order.len())?;
                source.select(rows, &order[..self.test], rule)
            }
        };
        let mut corrupted = Vec::new();
        if self.attack > 0 || self.corruption > 0.0 {
            let classes = classes(&source.name, source.labels(&source.training, &order, rule)?)?;
            mislabel(&mut attack, &(0..self.attack).collect::<Vec<_>>(), &classes, streams.child("attack set", 0));
            corrupted = corrupt(&mut clean, self.corruption, &classes, streams.child("label corruption", 0));
        }
        let fitted = self.normalisation.fit(&clean)?;
        for portion in [&mut clean, &mut attack, &mut test] {
            fitted.apply(portion)?;
        }
        let genuine_count = clean.len();
        let targets = ndarray::concatenate(ndarray::Axis(0), &[clean.targets.view(), attack.targets.view()]);
        let training = Dataset {
            name: source.name.clone(),
            inputs: Dataset::stacked_inputs(&[&clean, &attack]),
            shape: source.shape.clone(),
            targets: targets.expect("targets of equal width"),
        };
        Ok(Splits { training, clean: genuine_count, test, corrupted })
    }
}

fn check_enough(source: &Source, what: &'static str, wanted: usize, available: usize) -> Result<(), DataError> {
    if wanted > available {
        return Err(DataError::TooFew { source_name: source.name.clone(), what, wanted, available });
    }
    Ok(())
}
