//! The data and networks that follow from a request.

use crate::data::{LabelRule, Source, load_source};
use crate::model::architecture::{DEFAULT_BIAS_STD, DEFAULT_WEIGHT_STD};
use crate::model::{Activation, Architecture, Model};
use crate::study::request::{KERNEL_SAMPLES, QUICK_KERNEL_SAMPLES};
use crate::study::{KernelChoice, PerOptimizer, Request, StudyError, sizes};
use crate::train::{self, OptimizerSettings, Settings, Trainer};
use serde::Serialize;

/// Hidden units of the two hidden layers.
pub(super) const WIDTH: usize = 40;
/// Most networks that one study is planned for: far beyond any machine, and little enough to list.
const MOST_SEEDS: u64 = 100_000;

/// What a study does where nothing is asked.
#[derive(Debug, Clone, Copy)]
pub struct Defaults<'d> {
    /// Number of seeds.
    pub seeds: u64,
    /// Rows of the training set; those of the source's published experiment if `None`.
    pub train: Option<usize>,
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
    /// Presets of their hyper-parameters; the default one where none is given.
    #[serde(skip_serializing_if = "is_empty")]
    pub presets: PerOptimizer<String>,
    /// Their learning rates; the preset's where none is given.
    #[serde(skip_serializing_if = "is_empty")]
    pub rates: PerOptimizer<f64>,
    /// Rows of a mini-batch.
    pub batch: usize,
    /// Epochs past zero error.
    pub extra_epochs: usize,
    /// How the Gram matrix of the prior is found.
    pub kernel: KernelChoice,
    /// The network asked for, if one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_architecture: Option<Architecture>,
}

fn is_empty<T>(settings: &PerOptimizer<T>) -> bool {
    settings.0.is_empty()
}

fn refuse<T>(name: &'static str, found: impl ToString, expected: impl ToString) -> Result<T, StudyError> {
    Err(StudyError::Request { name, found: found.to_string(), expected: expected.to_string() })
}

impl Setting {
    /// What follows from a request; the source is loaded to see how many rows it has.
    ///
    /// # Errors
    /// [`StudyError::Request`] if something asked for is not usable; [`StudyError::Data`] if the source is not.
    pub fn resolve(request: &Request, defaults: &Defaults) -> Result<Self, StudyError> {
        let source = load_source(&request.data)?;
        for (name, zero) in [
            ("seeds", request.seeds == Some(0)),
            ("train", request.train == Some(0)),
            ("test", request.test == Some(0)),
            ("batch", request.batch == Some(0)),
        ] {
            if zero {
                return refuse(name, 0, "at least 1");
            }
        }
        let optimizers: Vec<String> = match &request.optimizers {
            Some(asked) => asked.clone(),
            None => defaults.optimizers.iter().map(|&id| id.to_owned()).collect(),
        };
        check_optimizers(&optimizers, request)?;
        let features = source.shape.iter().product();
        if let Some(architecture) = &request.architecture {
            let model = Model::new(architecture.clone())?;
            if (model.input_count(), model.output_count()) != (features, 1) {
                let found =
                    format!("{architecture} with {} inputs and {} outputs", model.input_count(), model.output_count());
                return refuse(
                    "architecture",
                    found,
                    format!("{features} inputs, those of '{}', and one output", request.data),
                );
            }
        }
        let sizes = if request.quick { sizes::quick() } else { sizes::published(&request.data) };
        let (training, testing) = rows(&source)?;
        let train = request.train.unwrap_or_else(|| defaults.train.unwrap_or(sizes.train).min(training / 2).max(1));
        let spare = training.saturating_sub(train);
        let (test, largest) =
            sizes.split(spare, testing, request.test, request.attacks.as_ref().and_then(|a| a.last().copied()));
        let attacks = request.attacks.clone().unwrap_or_else(|| sizes.attacks(largest, defaults.attacks));
        if attacks.is_empty() {
            return refuse("attacks", "nothing", "at least one size");
        }
        let most = attacks.iter().copied().max().unwrap_or(0);
        let needed = train.saturating_add(most).saturating_add(if testing.is_none() { test } else { 0 });
        if needed > training || test == 0 {
            let expected = format!("at most the {training} rows of '{}'", request.data);
            return refuse("train, test and attacks", format!("{needed} rows together"), expected);
        }
        let seeds = request.seeds.unwrap_or(defaults.seeds);
        if seeds > MOST_SEEDS {
            return refuse("seeds", seeds, format!("at most {MOST_SEEDS}"));
        }
        let kernel = match request.kernel {
            KernelChoice::Analytic => KernelChoice::Analytic,
            KernelChoice::Empirical(samples) => KernelChoice::Empirical(Some(samples.unwrap_or(if request.quick {
                QUICK_KERNEL_SAMPLES
            } else {
                KERNEL_SAMPLES
            }))),
        };
        Ok(Self {
            data: request.data.clone(),
            features,
            train,
            test,
            attacks,
            seeds: (request.seed..request.seed.saturating_add(seeds)).collect(),
            optimizers,
            presets: request.presets.clone(),
            rates: request.rates.clone(),
            batch: request.batch.unwrap_or(Trainer::default().batch_size),
            extra_epochs: request.extra_epochs.unwrap_or(0),
            kernel,
            asked_architecture: request.architecture.clone(),
        })
    }

    /// The paper's network: two hidden layers of `width` ReLU units and one logit.
    pub fn fully_connected(&self, width: usize) -> Architecture {
        let widths = [self.features, width, width, 1];
        Architecture::fully_connected(&widths, Activation::Relu, DEFAULT_WEIGHT_STD, DEFAULT_BIAS_STD)
    }

    /// The network asked for, else the paper's.
    pub fn architecture(&self) -> Architecture {
        self.asked_architecture.clone().unwrap_or_else(|| self.fully_connected(WIDTH))
    }

    /// The update rule of an optimiser with what was asked of it.
    pub fn optimizer(&self, id: &str) -> OptimizerSettings {
        OptimizerSettings { preset: self.presets.of(id), ..OptimizerSettings::named(id) }
    }

    /// The training of one network.
    ///
    /// S, E and the attack set are those of the first seed for every seed: probabilities compare functions on the same
    /// inputs, and those of functions on other inputs differ by nats that say nothing of generalisation.
    pub fn training(&self, optimizer: &str, attack: usize, seed: u64) -> Settings {
        let mut settings = Settings::new(self.architecture(), seed);
        settings.data.source.clone_from(&self.data);
        settings.data.seed = self.seeds[0];
        (settings.data.train, settings.data.test, settings.data.attack) = (self.train, self.test, attack);
        settings.trainer.optimizer = self.optimizer(optimizer);
        settings.trainer.learning_rate = self.rates.of(optimizer);
        settings.trainer.batch_size = self.batch;
        settings.trainer.extra_epochs = self.extra_epochs;
        settings
    }

    /// The trainings of a sweep: every optimiser, attack set and seed.
    pub fn trainings(&self) -> Vec<Settings> {
        let mut jobs = Vec::new();
        for optimizer in &self.optimizers {
            for &attack in &self.attacks {
                jobs.extend(self.seeds.iter().map(|&seed| self.training(optimizer, attack, seed)));
            }
        }
        jobs
    }

    /// The setting in a sentence.
    pub fn sentence(&self) -> String {
        let attacks = match self.attacks.as_slice() {
            [one] => one.to_string(),
            [first, second, .., last] => format!("{first} to {last} by {}", second.abs_diff(*first)),
            all => all.iter().map(usize::to_string).collect::<Vec<_>>().join(" and "),
        };
        let plural = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
        let network = match &self.asked_architecture {
            Some(architecture) => architecture.to_string(),
            None => format!("fcn:{}-{WIDTH}-{WIDTH}-1 (ReLU, one logit)", self.features),
        };
        let kernel = match self.kernel {
            KernelChoice::Empirical(Some(samples)) => format!(", Gram matrix averaged over {samples} sampled networks"),
            _ => String::new(),
        };
        let optimizers: Vec<String> = self.optimizers.iter().map(|id| self.described(id)).collect();
        let extra = match self.extra_epochs {
            0 => String::new(),
            epochs => format!(" and {} past it", plural(epochs, "epoch")),
        };
        format!(
            "{network} on {}: |S| = {}, |E| = {}, attack set {attacks}, {}, {}, mini-batches of {}, binary cross-entropy, \
             to zero training error{extra}{kernel}",
            source_name(&self.data),
            self.train,
            self.test,
            plural(self.seeds.len(), "seed"),
            optimizers.join(", "),
            self.batch,
        )
    }

    /// An optimiser with what was asked of it.
    fn described(&self, id: &str) -> String {
        let preset = self.presets.of(id).map(|preset| format!("preset {preset}"));
        let rate = self.rates.of(id).map(|rate| format!("rate {rate}"));
        let asked: Vec<String> = preset.into_iter().chain(rate).collect();
        if asked.is_empty() { id.to_owned() } else { format!("{id} ({})", asked.join(", ")) }
    }
}

/// Every optimiser is known, has its preset, and its rate is one; presets and rates are of optimisers that take part.
fn check_optimizers(optimizers: &[String], request: &Request) -> Result<(), StudyError> {
    if optimizers.is_empty() {
        return refuse("optimizers", "nothing", "at least one optimiser");
    }
    for id in optimizers {
        if !train::registry().iter().any(|known| crate::id::names(id, known.id())) {
            let known: Vec<&str> = train::registry().iter().map(|known| known.id()).collect();
            return refuse("optimizers", format!("'{id}'"), format!("names among {}", known.join(", ")));
        }
        OptimizerSettings { preset: request.presets.of(id), ..OptimizerSettings::named(id) }.build()?;
        if let Some(rate) = request.rates.of(id).filter(|rate| !(*rate > 0.0 && rate.is_finite())) {
            return refuse("rates", rate, "a finite number above 0");
        }
    }
    for (name, mut named) in [
        ("presets", Box::new(request.presets.named()) as Box<dyn Iterator<Item = &str>>),
        ("rates", Box::new(request.rates.named())),
    ] {
        if let Some(id) = named.find(|id| !optimizers.iter().any(|known| crate::id::names(id, known))) {
            return refuse(name, format!("'{id}'"), format!("optimisers of this study: {}", optimizers.join(", ")));
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: Defaults = Defaults { seeds: 3, train: None, attacks: 11, optimizers: &["sgd", "adam"] };

    fn resolve(request: Request) -> Result<Setting, StudyError> {
        Setting::resolve(&request, &DEFAULTS)
    }

    #[test]
    fn defaults_are_the_papers_where_there_is_room() {
        let setting = resolve(Request::default()).unwrap();
        assert_eq!((setting.train, setting.test, setting.attacks.len()), (500, 500, 11));
        assert_eq!(setting.attacks.last(), Some(&500));
        assert_eq!(setting.training("sgd", 0, 1).trainer.learning_rate, None);
    }

    #[test]
    fn what_is_asked_of_optimisers_reaches_their_trainings() {
        let presets = PerOptimizer(vec![(Some("adam".to_owned()), "pytorch".to_owned())]);
        let rates = PerOptimizer(vec![(None, 0.5), (Some("adam".to_owned()), 0.25)]);
        let request = Request { presets, rates, batch: Some(7), extra_epochs: Some(9), ..Request::default() };
        let setting = resolve(request).unwrap();
        let (sgd, adam) = (setting.training("sgd", 0, 0).trainer, setting.training("adam", 0, 0).trainer);
        assert_eq!((sgd.learning_rate, adam.learning_rate), (Some(0.5), Some(0.25)));
        assert_eq!((sgd.optimizer.preset, adam.optimizer.preset), (None, Some("pytorch".to_owned())));
        assert_eq!((sgd.batch_size, sgd.extra_epochs), (7, 9));
        let sentence = setting.sentence();
        for words in ["adam (preset pytorch, rate 0.25)", "mini-batches of 7", "and 9 epochs past it"] {
            assert!(sentence.contains(words), "{sentence}");
        }
    }

    #[test]
    fn requests_that_cannot_be_met_are_refused() {
        let error = |request: Request| resolve(request).unwrap_err().to_string();
        let base = Request::default;
        let one = |id: &str, preset: &str| PerOptimizer(vec![(Some(id.to_owned()), preset.to_owned())]);
        let rows = error(Request { train: Some(1500), test: Some(1000), ..base() });
        assert!(rows.contains("1797"), "{rows}");
        let unknown = error(Request { optimizers: Some(vec!["sdg".to_owned()]), ..base() });
        assert!(unknown.contains("'sdg'") && unknown.contains("entropy_sgd"), "{unknown}");
        assert!(error(Request { seeds: Some(0), ..base() }).contains("seeds"));
        assert!(error(Request { seeds: Some(u64::MAX), ..base() }).contains("at most 100000"));
        assert!(error(Request { batch: Some(0), ..base() }).contains("batch"));
        assert!(error(Request { train: Some(usize::MAX), ..base() }).contains("1797"));
        assert!(error(Request { data: "digit".to_owned(), ..base() }).contains("digit"));
        assert!(error(Request { presets: one("adam", "none"), ..base() }).contains("'none'"));
        assert!(error(Request { presets: one("sam", "customary"), ..base() }).contains("presets"));
        assert!(error(Request { rates: PerOptimizer(vec![(None, f64::NAN)]), ..base() }).contains("rates"));
        let wide = Architecture::fully_connected(&[9, 1], Activation::Relu, 1.0, 1.0);
        let fits = error(Request { architecture: Some(wide), ..base() });
        assert!(fits.contains("architecture") && fits.contains("64 inputs"), "{fits}");
    }
}
