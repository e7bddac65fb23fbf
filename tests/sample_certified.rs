//! Sampled functions against the certified counts of `golden/boolean`.

use flatgauge::data::load;
use flatgauge::function::{CountOptions, Function, Sampler, clopper_pearson, count};
use flatgauge::model::Architecture;
use serde_json::Value;
use statrs::distribution::{ChiSquared, ContinuousCDF};
use std::path::PathBuf;

/// False-alarm rate of each comparison; the seeds are fixed.
const FALSE_ALARM: f64 = 1e-6;

/// Two programs for quantiles of the beta distribution, from counts of 1e4 and more: a tail is a sum of up to `1e4` terms, each
/// with a few roundings, good to `1e-11` of itself, and an end to that times the tail over the density, `0.28` standard
/// deviations of `0.9%`: `3e-14`. Roundings of the end itself are of that size.
const QUANTILE_AGREEMENT: f64 = 1e-12;

/// Least expected count of a cell of a chi-square test.
const LEAST_EXPECTED: f64 = 10.0;

struct Certified {
    function: Function,
    count: u64,
    interval: (f64, f64),
    second: u64,
    flatgauge: u64,
}

fn certified() -> (Value, Vec<Certified>) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/boolean/boolean.json");
    let document: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let functions = document["functions"].as_array().unwrap().iter().map(|record| Certified {
        function: record["function"].as_str().unwrap().parse().unwrap(),
        count: record["count"].as_u64().unwrap(),
        interval: (record["interval"][0].as_f64().unwrap(), record["interval"][1].as_f64().unwrap()),
        second: record["second_count"].as_u64().unwrap(),
        flatgauge: record["flatgauge_count"].as_u64().unwrap(),
    });
    let functions = functions.collect();
    (document, functions)
}

/// `p` of counts among `networks` under the certified frequencies, both sides Poisson: the variance of
/// `found - s count` is `s count (1 + s)`, `s` the ratio of networks.
fn agreement(certified: &[Certified], total: u64, networks: u64, found: impl Fn(&Certified) -> u64) -> f64 {
    let scale = networks as f64 / total as f64;
    let cells = certified.iter().filter(|record| scale * record.count as f64 >= LEAST_EXPECTED);
    let terms = cells.map(|record| {
        let expected = scale * record.count as f64;
        (found(record) as f64 - expected).powi(2) / (expected * (1.0 + scale))
    });
    let terms: Vec<f64> = terms.collect();
    assert!(terms.len() >= 20, "{} functions are frequent enough", terms.len());
    1.0 - ChiSquared::new(terms.len() as f64).unwrap().cdf(terms.iter().sum())
}

/// The certified counts beside those of a second independent program and of this crate, from other seeds.
#[test]
fn three_programs_agree_on_the_certified_counts() {
    let (document, certified) = certified();
    let total = document["networks"].as_u64().unwrap();
    let networks = |program: &str| document[program]["networks"].as_u64().unwrap();
    let second = agreement(&certified, total, networks("second"), |record| record.second);
    assert!(second > FALSE_ALARM, "{second}");
    let flatgauge = agreement(&certified, total, networks("flatgauge"), |record| record.flatgauge);
    assert!(flatgauge > FALSE_ALARM, "{flatgauge}");
    // Seen: counts that are 5% off in all functions (10^6 networks), and 1% (10^8).
    let shifted = |record: &Certified| (record.second as f64 * 1.05) as u64;
    assert!(agreement(&certified, total, networks("second"), shifted) < FALSE_ALARM);
    let shifted = |record: &Certified| (record.flatgauge as f64 * 1.01) as u64;
    assert!(agreement(&certified, total, networks("flatgauge"), shifted) < FALSE_ALARM);
}

/// n = 100,000 networks of another seed than the certified ones.
#[test]
fn sampled_networks_agree_with_the_certified_counts() {
    const NETWORKS: u64 = 100_000;
    let (document, certified) = certified();
    let architecture: Architecture = serde_json::from_value(document["architecture"].clone()).unwrap();
    let sample = |architecture| {
        let sampler = Sampler::new(architecture, load("boolean:7").unwrap().inputs().clone(), 77).unwrap();
        let counts = count(&sampler, NETWORKS, &CountOptions::new(&sampler)).unwrap();
        agreement(&certified, document["networks"].as_u64().unwrap(), NETWORKS, |record| counts.count(&record.function))
    };
    let p = sample(architecture.clone());
    assert!(p > FALSE_ALARM, "{p}");
    // Seen: biases a tenth as large as the weights.
    assert!(sample(Architecture { bias_std: 0.1, ..architecture }) < FALSE_ALARM);
}

#[test]
fn certified_intervals_are_those_of_clopper_and_pearson() {
    let (document, certified) = certified();
    let (networks, confidence) = (document["networks"].as_u64().unwrap(), document["confidence"].as_f64().unwrap());
    for record in certified {
        let (lower, upper) = clopper_pearson(record.count, networks, confidence);
        for (found, expected) in [(lower, record.interval.0), (upper, record.interval.1)] {
            assert!((found - expected).abs() <= QUANTILE_AGREEMENT * expected, "{}: {found}", record.function);
        }
    }
}
