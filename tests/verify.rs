//! `flatgauge verify` as a whole: its document, its counts, and that nothing depends on the machine.

use serde_json::Value;
use std::collections::BTreeMap;
use std::process::{Command, Output};

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

#[test]
fn the_quick_tier_passes_with_exactly_the_expected_counts() {
    let output = verify(&["--format", "json"], "2");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "no progress bar where there is no terminal");
    let document = document(&output);
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
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let arguments = ["--format", "json", "--seed", "7"];
    let (one, three) = (verify(&arguments, "1"), verify(&arguments, "3"));
    assert_eq!(one.status.code(), Some(0), "{}", String::from_utf8_lossy(&one.stdout));
    assert_eq!(one.stdout, three.stdout);
}

#[test]
fn a_reproduce_line_runs_that_case_alone() {
    let all = document(&verify(&["--format", "json", "--only", "curvature.covariance"], "2"));
    let outcome = &all["laws"][1];
    let line = outcome["reproduce"].as_str().unwrap();
    let pattern = line.split('\'').nth(1).unwrap();
    let alone = document(&verify(&["--format", "json", "--only", pattern], "2"));
    assert_eq!(alone["laws"].as_array().unwrap().len(), 1);
    assert_eq!(&alone["laws"][0], outcome);
}

#[test]
fn people_get_a_table_counts_and_one_line_of_verdict() {
    let output = verify(&["--only", "digits+0"], "2");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("log10 sharpness") && text.contains("predicted") && text.contains("labels flipped"));
    assert!(text.lines().filter(|line| line.starts_with("digits+0 ")).count() == 4, "{text}");
    assert!(text.trim_end().lines().last().unwrap().starts_with("PASS: 15 checks hold, 0 fail, 0 skipped"), "{text}");
}
