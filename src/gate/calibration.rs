//! Calibration: the stochastic laws held against the built-in estimators over many seeds. Correct estimators must raise
//! no alarm, and their z-scores show whether standard errors are honest.

use crate::flatness;
use crate::gate::corpus::Corpus;
use crate::gate::false_alarms::FalseAlarms;
use crate::gate::finding::Verdict;
use crate::gate::law::{Context, Law, Scope};
use crate::gate::outcome::{Counts, Outcome};
use crate::gate::runner::{Progress, run};
use crate::gate::tier::Tier;
use crate::gate::tolerance::POWER_Z;
use crate::prior::{self, Exactness};
use serde::Serialize;
use std::collections::BTreeMap;

/// Which Gram matrix of the corpus a seed takes, in turn: the small ones more often, since one of five points costs as
/// much as all others.
const GRAM_OF_SEED: [usize; 6] = [0, 1, 0, 1, 0, 2];

/// What one law said of one estimator over all seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CalibrationRow {
    /// Id of the law.
    pub law: String,
    /// The estimator.
    pub estimator: String,
    /// Stochastic decisions.
    pub decisions: usize,
    /// Root mean square of the z-scores: near 1 where the two sides are independent and standard errors honest, less
    /// where both draw the same numbers.
    pub root_mean_square_z: f64,
    /// Largest |z|.
    pub largest_z: f64,
    /// Decisions with |z| above 3; a normal deviate has 0.0027 of them.
    pub beyond_three: usize,
    /// Median of the smallest biases that would be caught with probability 0.99, in the law's units.
    pub catches: f64,
}

/// The result of [`calibrate`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Calibration {
    /// Seeds `0..seeds`.
    pub seeds: u64,
    /// Checks that held, failed, were skipped.
    pub counts: Counts,
    /// Decisions and how often they may fail.
    pub false_alarms: FalseAlarms,
    /// Standard errors added to `z` for a bias that is caught with probability 0.99.
    pub power_z: f64,
    /// One row a law and estimator.
    pub rows: Vec<CalibrationRow>,
    /// The false alarms themselves, with the command lines that reproduce them.
    pub alarms: Vec<Outcome>,
    /// Version of this crate.
    pub version: &'static str,
}

impl Calibration {
    /// Pass iff decisions were made and none was a false alarm.
    pub fn verdict(&self) -> Verdict {
        if self.alarms.is_empty() && self.false_alarms.decisions > 0 { Verdict::Pass } else { Verdict::Fail }
    }
}

#[derive(Default)]
struct Tally {
    decisions: usize,
    z: Vec<f64>,
    catches: Vec<f64>,
}

/// Runs every law that holds on all cases against the built-in stochastic estimators, once a seed, each seed on one
/// network and one Gram matrix of the corpus.
pub fn calibrate(seeds: u64, progress: &(dyn Fn(u64) + Sync)) -> Calibration {
    let measures: Vec<_> = flatness::registry().iter().copied().filter(|measure| measure.is_stochastic()).collect();
    let methods = prior::registry().iter().copied();
    let priors: Vec<_> = methods.filter(|method| method.exactness() == Exactness::Unbiased).collect();
    let laws: Vec<&dyn Law> =
        crate::gate::registry().iter().copied().filter(|law| law.scope() == Scope::Every).collect();
    let corpus = Corpus::built_in();
    let mut tallies: BTreeMap<(String, String), Tally> = BTreeMap::new();
    let (mut counts, mut alarms) = (Counts::default(), Vec::new());
    for seed in 0..seeds {
        let context = Context::new(measures.clone(), priors.clone(), false, Tier::Quick, seed);
        let sound = "the corpus of the crate is sound";
        let mut networks = corpus.networks(Tier::Quick, seed).expect(sound);
        let mut grams = corpus.grams(Tier::Quick, seed).expect(sound);
        let network = networks.swap_remove(seed as usize % networks.len());
        let gram = grams.swap_remove(GRAM_OF_SEED[seed as usize % GRAM_OF_SEED.len()]);
        let quiet: Progress = &|_, _, _| ();
        let context = context.on_cases(vec![network], vec![gram]);
        for outcome in run(&laws, &context, None, "flatgauge verify", quiet) {
            counts.add(outcome.verdict);
            if outcome.verdict == Verdict::Fail {
                alarms.push(outcome.clone());
            }
            if outcome.decisions > 0 {
                let tally = tallies.entry((outcome.law, outcome.estimator)).or_default();
                tally.decisions += outcome.decisions;
                tally.z.extend(outcome.z_scores);
                tally.catches.extend(outcome.catches);
            }
        }
        progress(seed + 1);
    }
    let rows: Vec<CalibrationRow> = tallies.into_iter().map(|(key, tally)| row(key, tally)).collect();
    let decisions = rows.iter().map(|row| row.decisions).sum();
    let (false_alarms, version) = (FalseAlarms::of(decisions), env!("CARGO_PKG_VERSION"));
    Calibration { seeds, counts, false_alarms, power_z: POWER_Z, rows, alarms, version }
}

fn row((law, estimator): (String, String), mut tally: Tally) -> CalibrationRow {
    let squares: f64 = tally.z.iter().map(|z| z * z).sum();
    CalibrationRow {
        law,
        estimator,
        decisions: tally.decisions,
        root_mean_square_z: (squares / tally.z.len().max(1) as f64).sqrt(),
        largest_z: tally.z.iter().fold(0.0, |top: f64, z| top.max(z.abs())),
        beyond_three: tally.z.iter().filter(|z| z.abs() > 3.0).count(),
        catches: median(&mut tally.catches).unwrap_or(f64::NAN),
    }
}

/// The median, the lower of two; `None` of nothing.
pub(crate) fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}
