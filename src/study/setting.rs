//! What a study is asked for, and the data and networks that follow from it.

use crate::data::{LabelRule, Source, load_source};
use crate::model::architecture::{DEFAULT_BIAS_STD, DEFAULT_WEIGHT_STD};
use crate::model::{Activation, Architecture};
use crate::study::StudyError;
use crate::train::{self, OptimizerSettings, Settings};
use serde::Serialize;

/// Largest defaults, those of the paper but for the test set, which it takes from 100 to 1000 rows.
const MOST_ATTACK: usize = 500;
const MOST_TEST: usize = 500;
/// Of rows that serve as attack set or test set, this share may be the attack set.
const ATTACK_SHARE: f64 = 0.6;
/// Step between sizes of the attack set.
const ATTACK_STEP: usize = 50;
/// Hidden units of the two hidden layers.
pub(super) const WIDTH: usize = 40;

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
        }
    }
}

/// What a study does where nothing is asked.
#[derive(Debug, Clone, Copy)]
pub struct Defaults<'d> {
    /// Number of seeds.
    pub seeds: u64,
    /// Rows of the training set.
    pub train: usize,
    /// Most sizes of the attack set, evenly spaced; 1 is no attack set at all.
    pub attacks: usize,
    /// Optimisers.
    pub optimizers: &'d [&'d str],
}

/// What is trained on what.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// Data source.
    pub data: String,
    /// Input features.
    pub features: usize,
    /// Rows of the training set S.
    pub train: usize,
    /// Rows of the test set E.
    pub test: usize,
    /// Sizes of the attack set.
    pub attacks: Vec<usize>,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// Optimisers.
    pub optimizers: Vec<String>,
}

impl Setting {
    /// What follows from a request; the source is loaded to see how many rows it has.
    ///
    /// # Errors
    /// [`StudyError::Request`] if something asked for is not usable; [`StudyError::Data`] if the source is not.
    pub fn resolve(request: &Request, defaults: &Defaults) -> Result<Self, StudyError> {
        let source = load_source(&request.data)?;
        let refuse = |name, found: String, expected: &str| {
            Err(StudyError::Request { name, found, expected: expected.to_owned() })
        };
        for (name, zero) in [
            ("--seeds", request.seeds == Some(0)),
            ("--train", request.train == Some(0)),
            ("--test", request.test == Some(0)),
        ] {
            if zero {
                return refuse(name, "0".to_owned(), "at least 1");
            }
        }
        let optimizers: Vec<String> = match &request.optimizers {
            Some(asked) => asked.clone(),
            None => defaults.optimizers.iter().map(|&id| id.to_owned()).collect(),
        };
        for id in &optimizers {
            if !train::registry().iter().any(|known| known.id() == id) {
                let known: Vec<&str> = train::registry().iter().map(|known| known.id()).collect();
                return refuse("--optimizers", format!("'{id}'"), &format!("names among {}", known.join(", ")));
            }
        }
        let (training, testing) = rows(&source)?;
        let train = request.train.unwrap_or_else(|| defaults.train.min(training / 2).max(1));
        let spare = training.saturating_sub(train);
        let (test, largest) =
            split(spare, testing, request.test, request.attacks.as_ref().and_then(|a| a.last().copied()));
        let attacks = request.attacks.clone().unwrap_or_else(|| even(largest, defaults.attacks));
        if attacks.is_empty() {
            return refuse("--attack", "nothing".to_owned(), "at least one size");
        }
        let needed = train.saturating_add(*attacks.iter().max().unwrap_or(&0)).saturating_add(if testing.is_none() {
            test
        } else {
            0
        });
        if needed > training || test == 0 {
            return refuse(
                "--train, --test and --attack",
                format!("{needed} rows together"),
                &format!("at most the {training} rows of '{}'", request.data),
            );
        }
        let seeds = request.seeds.unwrap_or(defaults.seeds);
        let seeds = (request.seed..request.seed.saturating_add(seeds)).collect();
        let features = source.shape.iter().product();
        Ok(Self { data: request.data.clone(), features, train, test, attacks, seeds, optimizers })
    }

    /// The paper's network: two hidden layers of `width` ReLU units and one logit.
    pub fn architecture(&self, width: usize) -> Architecture {
        let widths = [self.features, width, width, 1];
        Architecture::fully_connected(&widths, Activation::Relu, DEFAULT_WEIGHT_STD, DEFAULT_BIAS_STD)
    }

    /// The training of one network, with mini-batches of 32 and the optimiser's default rate.
    ///
    /// S, E and the attack set are those of the first seed for every seed: probabilities compare functions on the same
    /// inputs, and those of functions on other inputs differ by nats that say nothing of generalisation.
    pub fn training(&self, optimizer: &str, attack: usize, seed: u64) -> Settings {
        let mut settings = Settings::new(self.architecture(WIDTH), seed);
        settings.data.source.clone_from(&self.data);
        settings.data.seed = self.seeds[0];
        (settings.data.train, settings.data.test, settings.data.attack) = (self.train, self.test, attack);
        settings.trainer.optimizer = OptimizerSettings::named(optimizer);
        settings
    }

    /// The setting in a sentence.
    pub fn sentence(&self) -> String {
        let attacks = match self.attacks.as_slice() {
            [one] => one.to_string(),
            [first, second, .., last] => format!("{first} to {last} by {}", second.abs_diff(*first)),
            all => all.iter().map(usize::to_string).collect::<Vec<_>>().join(" and "),
        };
        let plural = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
        format!(
            "fcn:{}-{WIDTH}-{WIDTH}-1 (ReLU, one logit) on {}: |S| = {}, |E| = {}, attack set {attacks}, {}, {}, mini-batches \
             of 32, binary cross-entropy, to zero training error",
            self.features,
            source_name(&self.data),
            self.train,
            self.test,
            plural(self.seeds.len(), "seed"),
            self.optimizers.join(", "),
        )
    }
}

/// A source without the folder it happens to be in, for texts that must not depend on the machine.
pub(super) fn source_name(data: &str) -> &str {
    data.split_once(':').map_or(data, |(id, argument)| if id == "boolean" { argument } else { id })
}

/// Rows with a label, for training and, where the source sets them aside, for testing.
fn rows(source: &Source) -> Result<(usize, Option<usize>), StudyError> {
    let rule = source.resolve(&LabelRule::Source);
    let count = |rows| source.labelled(rows, rule).map(|rows| rows.len());
    Ok((count(&source.training)?, source.test.as_ref().map(count).transpose()?))
}

/// Test rows and the largest attack set, as large as the paper's where there is room.
fn split(spare: usize, testing: Option<usize>, test: Option<usize>, attack: Option<usize>) -> (usize, usize) {
    if let Some(testing) = testing {
        return (test.unwrap_or(MOST_TEST.min(testing)), attack.unwrap_or(MOST_ATTACK.min(spare)));
    }
    let attack = attack.unwrap_or_else(|| match test {
        Some(test) => MOST_ATTACK.min(spare.saturating_sub(test)),
        None => MOST_ATTACK.min((ATTACK_SHARE * spare as f64) as usize),
    });
    (test.unwrap_or_else(|| MOST_TEST.min(spare.saturating_sub(attack))), attack)
}

/// At most `count` sizes from 0 to `largest`, in steps that are a multiple of [`ATTACK_STEP`] where there is room.
fn even(largest: usize, count: usize) -> Vec<usize> {
    if count <= 1 || largest == 0 {
        return vec![0];
    }
    let unit = if largest >= ATTACK_STEP { ATTACK_STEP } else { 1 };
    let step = (largest / (count - 1) / unit * unit).max(unit);
    (0..=largest).step_by(step).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: Defaults = Defaults { seeds: 3, train: 500, attacks: 11, optimizers: &["sgd"] };

    #[test]
    fn defaults_are_the_papers_where_there_is_room() {
        let setting = Setting::resolve(&Request::default(), &DEFAULTS).unwrap();
        assert_eq!((setting.train, setting.test, setting.attacks.len()), (500, 500, 11));
        assert_eq!(setting.attacks.last(), Some(&500));
        // A set of 1000 rows without test rows.
        assert_eq!(split(500, None, None, None), (200, 300));
        assert_eq!(even(300, 11), [0, 50, 100, 150, 200, 250, 300]);
        assert_eq!(even(300, 3), [0, 150, 300]);
        assert_eq!(even(30, 4), [0, 10, 20, 30]);
        assert_eq!(even(300, 1), [0]);
        // A set with test rows of its own.
        assert_eq!(split(59_500, Some(10_000), None, None), (500, 500));
    }

    #[test]
    fn requests_that_cannot_be_met_are_refused() {
        let resolve = |request: Request| Setting::resolve(&request, &DEFAULTS).unwrap_err().to_string();
        let base = Request::default;
        let error = resolve(Request { train: Some(1500), test: Some(1000), ..base() });
        assert!(error.contains("1797"), "{error}");
        let error = resolve(Request { optimizers: Some(vec!["sdg".to_owned()]), ..base() });
        assert!(error.contains("'sdg'") && error.contains("entropy-sgd"), "{error}");
        assert!(resolve(Request { seeds: Some(0), ..base() }).contains("--seeds"));
        assert!(resolve(Request { data: "digit".to_owned(), ..base() }).contains("digit"));
    }
}
