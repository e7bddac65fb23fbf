//! The gate's laws on cases beyond its corpus: every measure, method and kernel of the registry on drawn networks and Gram
//! matrices, by the statements and tolerances that users are judged by, so that there is one of each.
//!
//! False alarms are bounded as in any run of the gate: below 1e-6 for each test here. That a law sees what it should is shown
//! by the estimators of `faulty` and by `broken_estimators`.

mod common;

use common::drawn::networks;
use common::tier::by_tier;
use flatgauge::gate::{Context, Tier, Verdict, run_generated};
use flatgauge::numeric::Streams;
use flatgauge::rescale;
use std::collections::BTreeMap;

/// Runs what `only` names on `count` drawn cases; how many held, by law and estimator.
fn held(only: &str, count: usize, seed: u64) -> BTreeMap<(String, String), usize> {
    let context = Context::built_in(Tier::Quick, seed);
    let (outcomes, _) = run_generated(&context, count, Some(only), "cargo test --test laws", true, &|_, _, _| {});
    let mut passes = BTreeMap::new();
    for outcome in outcomes {
        assert_ne!(outcome.verdict, Verdict::Fail, "{outcome:?}");
        let entry = passes.entry((outcome.law, outcome.estimator)).or_insert(0);
        *entry += usize::from(outcome.verdict == Verdict::Pass);
    }
    passes
}

/// Every pair of a law and an estimator was decided on at least `least` cases, those of `fewer` on their own number.
fn assert_decided(passes: &BTreeMap<(String, String), usize>, least: usize, fewer: &[(&str, usize)]) {
    for ((law, estimator), count) in passes {
        let least = fewer.iter().find(|(id, _)| id == estimator).map_or(least, |(_, least)| *least);
        assert!(*count >= least, "{law}/{estimator}: {count} decisions, expected at least {least}");
    }
}

#[test]
fn rescalings_leave_drawn_functions_as_they_are() {
    let passes = held("function.", 150, 3);
    assert_eq!(passes.len(), 2, "{passes:?}");
    assert_decided(&passes, 40, &[]);
}

/// The seed of the networks drawn for the laws of curvature.
const SEED: u64 = 1;

#[test]
fn every_measure_has_its_definition_and_follows_every_rescaling() {
    let (count, least, for_relu, of_a_kind) = by_tier((24, 11, 4, 2), (48, 24, 8, 5));
    let passes = held("curvature.", count, SEED);
    for ((law, estimator), count) in &passes {
        println!("{law}/{estimator}: {count}");
    }
    // The definition of the path norm is that of ReLU networks.
    assert_decided(&passes, least, &[("path_norm", for_relu)]);
    // No kind of rescaling went untested: the law draws one of every kind for these networks. Batch norms have their own test.
    let cases = networks(SEED, count);
    let drawing: Vec<_> = cases.iter().filter(|case| case.rescalings).collect();
    for kind in rescale::registry().iter().filter(|kind| kind.id() != "batch_norm_scale") {
        let drawn = drawing.iter().filter(|case| kind.draw(case.network.model(), 1e3, Streams::new(SEED)).is_ok());
        let drawn = drawn.count();
        assert!(drawn >= of_a_kind, "{}: {drawn} networks of {}", kind.id(), drawing.len());
    }
}

#[test]
fn methods_of_log_prob_keep_their_laws() {
    let (count, least, exact) = by_tier((12, 7, 4), (24, 15, 10));
    let passes = held("prior.", count, 2);
    for ((law, estimator), count) in &passes {
        println!("{law}/{estimator}: {count}");
    }
    // The exact method answers up to three points, and any number at rank 3.
    assert_decided(&passes, least, &[("exact-step", exact), ("exact-probit", exact)]);
}
