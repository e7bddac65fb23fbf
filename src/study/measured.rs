//! Everything that is measured on a network: flatness measures and readings of log P(f).

use crate::flatness::{self, Options, Point};
use crate::model::{Loss, Network};
use crate::prior::{self, Labels};
use crate::study::networks::Trained;
use crate::study::reading::{LOG_PROB, Number, Quantity, readings};
use crate::study::rescaled::rescaling;
use crate::study::{Cache, Progress, Request, StudyError, Workspace};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Perturbations of the measures by noise, a quarter of their default: a standard error of some 10% is far below the
/// differences between networks.
const DRAWS: usize = 32;
/// Operator products of the stochastic traces, half of their default, for the same reason.
const PRODUCTS: usize = 128;

/// Measures left out unless asked for, each with the reason.
pub(super) const UNASKED: [(&str, &str); 2] = [
    ("local_learning_coefficient", "it takes longer than all others together"),
    ("hessian_log_det", "it does not exist where the Hessian has eigenvalues below -c, as at most ends of training"),
];

/// What is to be measured.
#[derive(Debug, Clone)]
pub(super) struct Choices {
    /// Flatness measures.
    pub measures: Vec<&'static dyn flatness::Measure>,
    /// Readings of log P(f).
    pub readings: Vec<Quantity>,
    /// Settings of the measures.
    pub options: Options,
}

impl std::fmt::Debug for dyn flatness::Measure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id())
    }
}

impl Choices {
    /// The measures and readings asked for; `defaults` if no measures are, all that are affordable if neither says any. Of
    /// the defaults those count that there are.
    ///
    /// # Errors
    /// [`StudyError::Request`] for a measure or reading there is not.
    pub fn new(request: &Request, defaults: Option<&[&str]>) -> Result<Self, StudyError> {
        let asked = request.measures.as_deref();
        let known = || flatness::registry().iter().copied();
        let measures = match (asked, defaults) {
            (Some([all]), _) if all == "all" => known().collect(),
            (Some(asked), _) => asked
                .iter()
                .map(|id| {
                    flatness::find(id).ok_or_else(|| StudyError::Request {
                        name: "measures",
                        found: format!("'{id}'"),
                        expected: format!(
                            "all, or names among {}",
                            known().map(|m| m.id()).collect::<Vec<_>>().join(", ")
                        ),
                    })
                })
                .collect::<Result<_, _>>()?,
            (None, Some(defaults)) => known().filter(|measure| defaults.contains(&measure.id())).collect(),
            (None, None) => {
                known().filter(|measure| UNASKED.iter().all(|(unasked, _)| *unasked != measure.id())).collect()
            }
        };
        let options = Options { perturbation_count: DRAWS, product_budget: PRODUCTS, ..Options::default() };
        Ok(Self { measures, readings: readings(request.readings.as_deref())?, options })
    }

    /// The reading that stands for log P(f) in claims: EP with the step link where it is read, else the first.
    pub fn log_prob(&self) -> &'static str {
        let step = self.readings.iter().find(|reading| reading.name == LOG_PROB);
        step.unwrap_or(&self.readings[0]).name
    }

    /// Names of everything measured, measures first.
    pub fn names(&self) -> Vec<&'static str> {
        self.measures
            .iter()
            .map(|measure| measure.id())
            .chain(self.readings.iter().map(|reading| reading.name))
            .collect()
    }
}

/// What was measured on a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Name of the network.
    pub network: String,
    /// Optimiser.
    pub optimizer: String,
    /// Rows of its attack set.
    pub attack: usize,
    /// Its seed.
    pub seed: u64,
    /// The factor by which its first layer was divided after training; 1 for the network as trained.
    pub alpha: f64,
    /// Epochs to zero error.
    pub epochs: usize,
    /// Accuracy on E.
    pub accuracy: f64,
    /// Labels on S and E that rescaling flipped, by rounding.
    pub labels_flipped: usize,
    /// Measures and readings by name.
    pub(super) numbers: BTreeMap<String, Number>,
    /// Why there is no number, by name.
    pub skipped: BTreeMap<String, String>,
}

impl Measured {
    /// A measure or reading; `None` where there is none.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.numbers.get(name).map(Number::real)
    }

    /// Standard error of a measure or reading, of stochastic methods.
    pub fn std_error(&self, name: &str) -> Option<f64> {
        self.numbers.get(name)?.std_error
    }
}

/// Measures networks, each as trained and then rescaled by its `alphas`, one network per core. What is in the cache is
/// not measured again.
///
/// # Errors
/// [`StudyError::Network`] naming the network.
pub(super) fn measure_all(
    networks: &[Trained],
    alphas: &(dyn Fn(&Trained) -> Vec<f64> + Sync),
    choices: &Choices,
    workspace: &Workspace,
) -> Result<Vec<Measured>, StudyError> {
    let done = AtomicUsize::new(0);
    let all: Result<Vec<Vec<Measured>>, StudyError> = networks
        .par_iter()
        .map(|trained| {
            let measured = measure(trained, &alphas(trained), choices, &workspace.cache)?;
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            (workspace.progress)(Progress { phase: "measuring", done, total: networks.len() });
            Ok(measured)
        })
        .collect();
    Ok(all?.into_iter().flatten().collect())
}

fn measure(trained: &Trained, alphas: &[f64], choices: &Choices, cache: &Cache) -> Result<Vec<Measured>, StudyError> {
    let key = json!({
        "settings": trained.settings,
        "kernel": trained.ground.kernel,
        "alphas": alphas,
        "names": choices.names(),
        "options": choices.options,
    });
    cache.get(&trained.name, &key, || {
        let labels = trained.labels(&trained.network);
        let readings = read_all(trained, &labels, choices)?;
        std::iter::once(1.0)
            .chain(alphas.iter().copied())
            .map(|alpha| {
                let rescaled;
                let network = if alpha == 1.0 {
                    &trained.network
                } else {
                    rescaled = rescaling(&trained.network.model, alpha)?.apply(&trained.network)?;
                    &rescaled
                };
                let recomputed = trained.labels(network);
                let flipped = labels.signs().iter().zip(recomputed.signs()).filter(|(a, b)| a != b).count();
                // The same function has the same probability, and the methods are deterministic in their seed.
                let readings = if flipped == 0 { readings.clone() } else { read_all(trained, &recomputed, choices)? };
                let (mut numbers, skipped) = flatness_of(network, trained, choices)?;
                numbers.extend(readings);
                Ok(Measured {
                    network: trained.name.clone(),
                    optimizer: trained.summary.optimizer.clone(),
                    attack: trained.summary.attack,
                    seed: trained.settings.seed,
                    alpha,
                    epochs: trained.summary.epochs,
                    accuracy: trained.accuracy(),
                    labels_flipped: flipped,
                    numbers,
                    skipped,
                })
            })
            .collect()
    })
}

type Numbers = BTreeMap<String, Number>;

fn flatness_of(
    network: &Network,
    trained: &Trained,
    choices: &Choices,
) -> Result<(Numbers, BTreeMap<String, String>), StudyError> {
    let (mut numbers, mut skipped) = (Numbers::new(), BTreeMap::new());
    if choices.measures.is_empty() {
        return Ok((numbers, skipped));
    }
    let clean = &trained.ground.clean;
    let point = Point::of(network, Loss::Bce, clean.inputs.view(), clean.targets.view())?;
    for measure in &choices.measures {
        match measure.evaluate(&point, &choices.options) {
            Ok(estimate) => {
                numbers.insert(measure.id().to_owned(), Number::from(&estimate));
            }
            Err(error) => {
                skipped.insert(measure.id().to_owned(), error.to_string());
            }
        }
    }
    Ok((numbers, skipped))
}

fn read_all(trained: &Trained, labels: &Labels, choices: &Choices) -> Result<Numbers, StudyError> {
    let fault =
        |error: prior::PriorError| StudyError::Network { network: trained.name.clone(), reason: error.to_string() };
    choices
        .readings
        .iter()
        .map(|reading| Ok((reading.name.to_owned(), trained.ground.read(reading, labels).map_err(fault)?)))
        .collect()
}
