//! `flatgauge verify` as a whole: its document, its counts, and that nothing depends on the machine.

use serde_json::Value;
use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::sync::OnceLock;

fn verify(arguments: &[&str], threads: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_flatgauge"))
        .arg("verify")
        .args(arguments)
        .env("RAYON_NUM_THREADS", threads)
        .output()
        .expect("the program starts")
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("one JSON document on stdout and nothing else")
}

/// The whole quick tier, run once for all tests.
fn quick_tier() -> &'static Output {
    static OUTPUT: OnceLock<Output> = OnceLock::new();
    OUTPUT.get_or_init(|| verify(&["--format", "json"], "2"))
}

#[test]
fn the_quick_tier_passes_with_exactly_the_expected_counts() {
    let output = quick_tier();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "no progress bar where there is no terminal");
    let document = document(output);
    assert_eq!(document["verdict"], "pass");
    assert_eq!(document["seed"], 0);
    assert_eq!(document["version"], env!("CARGO_PKG_VERSION"));
    let mut counts: BTreeMap<(&str, &str), [usize; 3]> = BTreeMap::new();
    let laws = document["laws"].as_array().unwrap();
    for outcome in laws {
        let word = |key: &str| outcome[key].as_str().unwrap();
        let count = counts.entry((word("estimator"), word("law"))).or_default();
        match word("verdict") {
            "pass" => count[0] += 1,
            "fail" => count[1] += 1,
            "skip" => {
                count[2] += 1;
                assert!(!word("reason").is_empty(), "nothing is skipped without a reason");
            }
            other => panic!("verdict {other}"),
        }
        for key in ["measured", "expected", "tolerance"] {
            assert!(outcome[key].is_number() || outcome[key].is_null() || outcome[key].is_string(), "{key}");
        }
        assert!(word("reproduce").starts_with("flatgauge verify --tier quick --seed 0 --only '"));
    }
    let mut table = "estimator: law: pass/fail/skip\n".to_owned();
    for ((estimator, law), [pass, fail, skip]) in &counts {
        table += &format!("{estimator}: {law}: {pass}/{fail}/{skip}\n");
    }
    let total: usize = counts.values().flatten().sum();
    assert_eq!(total, laws.len());
    for (index, key) in ["pass", "fail", "skip"].iter().enumerate() {
        let sum: usize = counts.values().map(|count| count[index]).sum();
        assert_eq!(document["counts"][key], sum);
    }
    insta::with_settings!({snapshot_path => "../golden/snapshots", prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("verify_counts", table);
    });
}

#[test]
fn every_part_of_the_tier_is_the_same_alone_and_on_any_number_of_threads() {
    let whole = document(quick_tier());
    let laws = whole["laws"].as_array().unwrap();
    // Every method on one matrix, every measure on one network, certified values, and a trained network.
    for (part, threads) in [("gram-3-1", "1"), ("gram-2-0", "3"), ("fcn-4-5-3-relu-ce-0", "1"), ("rho-0.5", "3")] {
        let alone = verify(&["--format", "json", "--only", part], threads);
        assert_eq!(alone.status.code(), Some(0), "{}", String::from_utf8_lossy(&alone.stdout));
        let expected: Vec<&Value> =
            laws.iter().filter(|outcome| outcome["case"].as_str().unwrap().contains(part)).collect();
        assert!(expected.len() > 20, "{part}");
        let alone = document(&alone);
        let alone = alone["laws"].as_array().unwrap();
        assert_eq!(alone.len(), expected.len(), "{part}");
        for (alone, expected) in alone.iter().zip(expected) {
            // A law that has decided nothing of an estimator asks once more, with more effort: alone it may decide what it left open.
            if expected["cause"] == "undecided" && alone["verdict"] == "pass" {
                continue;
            }
            assert_eq!(alone, expected, "{part}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let arguments = ["--format", "json", "--seed", "7", "--only", "3-1"];
    let (one, three) = (verify(&arguments, "1"), verify(&arguments, "3"));
    assert_eq!(one.status.code(), Some(0), "{}", String::from_utf8_lossy(&one.stdout));
    assert_eq!(one.stdout, three.stdout);
}

#[test]
fn a_reproduce_line_runs_that_case_alone() {
    let whole = document(quick_tier());
    let laws = whole["laws"].as_array().unwrap();
    for law in ["curvature.covariance", "prior.marginalisation", "certified.flatness"] {
        let outcome = laws.iter().find(|outcome| outcome["law"] == law).unwrap();
        let line = outcome["reproduce"].as_str().unwrap();
        let pattern = line.split('\'').nth(1).unwrap();
        let alone = document(&verify(&["--format", "json", "--only", pattern], "2"));
        assert_eq!(alone["laws"].as_array().unwrap().len(), 1);
        assert_eq!(&alone["laws"][0], outcome);
    }
}

#[test]
fn people_get_a_table_counts_and_one_line_of_verdict() {
    let output = verify(&["--only", "digits+0"], "1");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("log10 sharpness") && text.contains("predicted") && text.contains("labels flipped"));
    let networks: Vec<&str> = text.lines().filter(|line| line.starts_with("digits+")).collect();
    assert!(networks.len() == 4 && networks.iter().all(|line| line.starts_with("digits+0 ")), "{text}");
    assert!(text.trim_end().lines().last().unwrap().starts_with("PASS: 15 checks hold, 0 fail, 0 skipped"), "{text}");
    // Training on one thread gives the bits it gave on two.
    let log_prob = document(quick_tier())["demonstration"]["networks"][0]["rows"][0]["log_prob"].as_f64().unwrap();
    assert!(text.contains(&format!("{log_prob:.6}")), "{text}");
}
