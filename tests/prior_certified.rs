//! Methods of `log P(f)` against the certified values of `golden/prior`.

mod common;

use common::golden::{golden, record};
use common::tier::by_tier;
use flatgauge::data::{digits, read_npy};
use flatgauge::kernel;
use flatgauge::model::{Activation, Architecture};
use flatgauge::prior::{Exactness, Gram, Labels, Link, LogProbMethod, PriorOptions, find, registry};
use ndarray::{Array2, Ix2, s};
use serde_json::Value;

/// Two converged programs for the fixed point of expectation propagation. Each stops within about `1e-10`;
/// the certified values come with their own disagreement, at most `1e-7`.
const EP_AGREEMENT: f64 = 1e-7;

/// Closed forms and quadratures in f64 against 40 digits, in nats: a few hundred roundings of `log P` of order 100.
const CLOSED_FORM_AGREEMENT: f64 = 1e-11;

fn document() -> Value {
    record("prior/prior.json")
}

/// Combined standard errors between a method and a certified value, with a fixed seed: the 118 comparisons of this file
/// would leave 4 by chance with probability 0.007 were the seed drawn anew, and a bias of 6 is caught with probability 0.98.
const SIGMAS: f64 = 4.0;

struct Case {
    name: String,
    gram: Gram,
    labels: Labels,
    values: Vec<Value>,
}

fn cases() -> Vec<Case> {
    let document = document();
    let cases: Vec<Case> = document["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| {
            let array = |key: &str| read_npy(&golden("prior").join(case[key].as_str().unwrap())).unwrap();
            Case {
                name: case["name"].as_str().unwrap().to_owned(),
                gram: Gram::new(array("gram").into_dimensionality::<Ix2>().unwrap()).unwrap(),
                labels: Labels::from_values(&array("labels").iter().copied().collect::<Vec<f64>>()).unwrap(),
                values: case["values"].as_array().unwrap().clone(),
            }
        })
        .collect();
    assert_eq!(cases.len(), 7);
    cases
}

/// The cases made from the embedded digits, in groups of one function by number of points.
fn digit_cases() -> Vec<Case> {
    let digits = digits();
    let architecture = Architecture::fully_connected(&[64, 40, 40, 1], Activation::Relu, 2.0_f64.sqrt(), 1.0);
    let inputs = digits.inputs().slice(s![..1000, ..]).to_owned();
    let whole = kernel::nngp(&architecture, inputs.view()).unwrap();
    // Numerical Recipes' linear congruential sequence from state 1; bit 16 is the label.
    let random: Vec<bool> = std::iter::successors(Some(1_u32), |state| Some(next_state(*state)))
        .skip(1)
        .take(1000)
        .map(|state| state >> 16 & 1 == 1)
        .collect();
    let document = document();
    let cases: Vec<Case> = document["digits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| {
            let n = case["n"].as_u64().unwrap() as usize;
            let label = |i: usize| match case["function"].as_str().unwrap() {
                "constant" => true,
                "zero" => digits.targets()[[i, 0]] == 0.0,
                "large" => digits.targets()[[i, 0]] >= 5.0,
                "random" => random[i],
                other => panic!("unknown function {other}"),
            };
            Case {
                name: case["name"].as_str().unwrap().to_owned(),
                gram: Gram::new(whole.slice(s![..n, ..n]).to_owned()).unwrap(),
                labels: Labels::from_signs((0..n).map(label)),
                values: case["values"].as_array().unwrap().clone(),
            }
        })
        .collect();
    assert_eq!(cases.len(), 16);
    cases
}

fn next_state(state: u32) -> u32 {
    state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)
}

fn link(record: &Value) -> Link {
    serde_json::from_value(record["link"].clone()).unwrap()
}

fn method(id: &str) -> &'static dyn LogProbMethod {
    find(id).unwrap_or_else(|| panic!("{id} is in the registry"))
}

#[test]
fn fixed_points_of_expectation_propagation() {
    let mut compared = 0;
    for case in cases() {
        for record in case.values.iter().filter(|record| record["quantity"] == "ep") {
            let options = PriorOptions { link: link(record), ..PriorOptions::default() };
            let certified = record["value"].as_f64().unwrap();
            for id in ["ep", "ep_sequential"] {
                let estimate = method(id).log_prob(&case.gram, &case.labels, &options).unwrap().estimate;
                let error = (estimate.value - certified).abs();
                assert!(
                    error <= EP_AGREEMENT,
                    "{id} on {} ({:?}): {} against {certified}",
                    case.name,
                    options.link,
                    estimate.value
                );
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 28);
}

/// The matrix of a closed-form record and its labels (all `+1`).
fn closed_form_problem(record: &Value) -> (Gram, Labels) {
    let number = |key: &str| record[key].as_f64().unwrap();
    let matrix = match record["form"].as_str().unwrap() {
        "equicorrelated" => {
            let (n, rho) = (record["n"].as_u64().unwrap() as usize, number("rho"));
            Array2::from_shape_fn((n, n), |(i, j)| if i == j { 1.0 } else { rho })
        }
        "three points" => {
            let (a, b, c) = (number("r12"), number("r13"), number("r23"));
            ndarray::array![[1.0, a, b], [a, 1.0, c], [b, c, 1.0]]
        }
        "one factor" => {
            let loadings: Vec<f64> = serde_json::from_value(record["loadings"].clone()).unwrap();
            let n = loadings.len();
            Array2::from_shape_fn((n, n), |(i, j)| if i == j { 1.0 } else { loadings[i] * loadings[j] })
        }
        other => panic!("unknown form {other}"),
    };
    let n = matrix.nrows();
    (Gram::new(matrix).unwrap(), Labels::from_signs(vec![true; n]))
}

#[test]
fn closed_forms() {
    let document = document();
    let records = document["closed_forms"]["records"].as_array().unwrap();
    assert_eq!(records.len(), 22);
    for record in records {
        let (gram, labels) = closed_form_problem(record);
        let value = method("exact").log_prob(&gram, &labels, &PriorOptions::default()).unwrap().estimate.value;
        let certified = record["value"].as_f64().unwrap();
        assert!((value - certified).abs() <= CLOSED_FORM_AGREEMENT, "{record}: {value}");
    }
}

#[test]
fn independent_blocks_add_up_to_a_thousand_points() {
    // 40 blocks of 25 points each at correlation 1/2: P = (1/26)^40, labels flipped in every other block.
    let (blocks, size) = (40, 25);
    let n = blocks * size;
    let matrix = Array2::from_shape_fn((n, n), |(i, j)| match (i == j, i % blocks == j % blocks) {
        (true, _) => 2.0,
        (false, true) => 1.0,
        (false, false) => 0.0,
    });
    let labels = Labels::from_signs((0..n).map(|i| (i % blocks) % 2 == 0));
    let value = method("exact")
        .log_prob(&Gram::new(matrix).unwrap(), &labels, &PriorOptions::default())
        .unwrap()
        .estimate
        .value;
    assert!((value + 40.0 * 26.0_f64.ln()).abs() <= CLOSED_FORM_AGREEMENT, "{value}");
}

/// How many points a method's default effort handles in about a second of this suite's time, at the quick tier of the tests and
/// at the full one.
fn affordable(method: &dyn LogProbMethod) -> usize {
    match method.id() {
        "tilting" => by_tier(60, 150),
        "splitting" => by_tier(20, 60),
        "genz" => 20,
        _ => by_tier(100, 300),
    }
}

#[test]
fn true_values() {
    let mut compared = 0;
    let mut independent = Vec::new();
    for case in cases().iter().chain(&digit_cases()) {
        for record in case.values.iter().filter(|record| record["quantity"] == "true") {
            let number = |key: &str| record[key].as_f64().unwrap();
            let (certified, certified_error) = (number("value"), number("std_error"));
            let options = PriorOptions { link: link(record), seed: 5, ..PriorOptions::default() };
            // 'auto' is one of the others.
            let unbiased =
                |method: &&&dyn LogProbMethod| method.exactness() == Exactness::Unbiased && method.id() != "auto";
            for method in registry().iter().filter(unbiased) {
                if case.labels.len() > affordable(*method) {
                    continue;
                }
                let answer = method.log_prob(&case.gram, &case.labels, &options).unwrap();
                let estimate = answer.estimate;
                let z = (estimate.value - certified) / estimate.std_error.unwrap().hypot(certified_error);
                let told = format!("{} on {} ({}): {estimate:?}", method.id(), case.name, options.link);
                assert!(z.abs() <= SIGMAS, "{told}: {z} combined standard errors from {certified}");
                if let Some(bound) = answer.upper_bound {
                    assert!(
                        bound >= certified - SIGMAS * certified_error,
                        "{told}: the bound {bound} is below the truth"
                    );
                }
                // The certified error is common to all methods; where it counts, their scores are not independent.
                if certified_error < 0.2 * estimate.std_error.unwrap() {
                    independent.push(z);
                }
                compared += 1;
            }
        }
    }
    let (comparisons, scores) = by_tier((84, 40.0), (122, 60.0));
    assert_eq!(compared, comparisons);
    // The estimates together: of 60 and more scores, a common bias of 0.8 standard errors shows with probability 0.98 (of 40,
    // 0.86).
    let count = independent.len() as f64;
    let statistic = independent.iter().sum::<f64>() / count.sqrt();
    assert!(
        count >= scores && statistic.abs() <= SIGMAS,
        "{count} scores: their mean is {statistic} standard errors from zero"
    );
}

/// Expectation propagation against the certified truth, in the form in which `golden/prior/README.md` prints it: the table at
/// the full tier of the tests, its rows of up to 300 points at every run.
#[test]
fn errors_of_expectation_propagation() {
    let head = "| function | n | true (step) | EP (step) | error | true (probit) | EP (probit) | error |\n\
                |---|---|---|---|---|---|---|---|\n";
    let most = by_tier(300, usize::MAX);
    let mut rows = Vec::new();
    for case in cases().iter().chain(&digit_cases()).filter(|case| case.labels.len() <= most) {
        let mut row = format!("| `{}` | {}", case.name, case.labels.len());
        for record in case.values.iter().filter(|record| record["quantity"].as_str().unwrap().starts_with("true")) {
            let mark = if record["quantity"] == "true" { "" } else { " (one program)" };
            let options = PriorOptions { link: link(record), ..PriorOptions::default() };
            let value = method("ep").log_prob(&case.gram, &case.labels, &options).unwrap().estimate.value;
            let (certified, error) = (record["value"].as_f64().unwrap(), record["std_error"].as_f64().unwrap());
            row += &format!(" | {certified:.4} +- {error:.4}{mark} | {value:.4} | {:+.4}", value - certified);
        }
        rows.push(row + " |\n");
    }
    let readme = std::fs::read_to_string(golden("prior/README.md")).unwrap();
    let table = head.to_owned() + &rows.concat();
    let holds = if most == usize::MAX { readme.contains(&table) } else { rows.iter().all(|row| readme.contains(row)) };
    assert!(rows.len() > 10 && holds, "golden/prior/README.md should hold\n{table}");
}
