//! Programs and files that a test needs and a machine may not have.

use std::io::Write;

/// What may be missing, by the names that `FLATGAUGE_REQUIRE` takes.
pub const NAMES: [&str; 5] = ["python", "mpi", "mnist", "chromium", "published"];

/// Whether a test that needs `name` can run: it can if `found`. Otherwise a line on stderr says why not (also of tests that
/// pass, whose captured output is not shown), and where the environment variable `FLATGAUGE_REQUIRE` (names with commas
/// between) has it, the test fails.
pub fn need(name: &str, found: bool, reason: &str) -> bool {
    let required = std::env::var("FLATGAUGE_REQUIRE").unwrap_or_default();
    decide(name, found, reason, &required)
}

fn decide(name: &str, found: bool, reason: &str, required: &str) -> bool {
    let required: Vec<&str> = required.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    for word in required.iter().chain([&name]) {
        assert!(NAMES.contains(word), "FLATGAUGE_REQUIRE: there is no '{word}', there are {}", NAMES.join(", "));
    }
    assert!(found || !required.contains(&name), "FLATGAUGE_REQUIRE has {name}, but {reason}");
    if !found {
        // Not by eprintln!, which is captured.
        writeln!(std::io::stderr(), "skipped for want of {name}: {reason}").unwrap();
    }
    found
}

#[test]
fn what_is_required_and_missing_is_a_failure() {
    assert!(decide("python", true, "", "python"));
    assert!(!decide("python", false, "this line is a test of the line", "mpi, mnist"));
    let fails = |name: &'static str, found: bool, required: &'static str| {
        std::panic::catch_unwind(move || decide(name, found, "missing", required)).is_err()
    };
    assert!(fails("python", false, "mpi, python"));
    assert!(fails("python", true, "pyhton"), "a misspelt name requires nothing");
}
