//! Programs and files that a test needs and a machine may not have.

use std::io::Write;

/// What may be missing, by the names that `FLATGAUGE_REQUIRE` takes.
pub const NAMES: [&str; 6] = ["python", "mpi", "mnist", "chromium", "published", "python-packages"];

/// Whether a test that needs `name` can run: it can if `found`. Otherwise a line on stderr says why not (also of tests that
/// pass, whose captured output is not shown), and where the environment variable `FLATGAUGE_REQUIRE` (names with commas
/// between) has it, the test fails.
pub fn need(name: &str, found: bool, reason: &str) -> bool {
    let required = std::env::var("FLATGAUGE_REQUIRE").unwrap_or_default();
    match decide(name, found, reason, &required) {
        Ok(()) => found,
        Err(complaint) => panic!("{complaint}"),
    }
}

/// Prints the line, or says what is wrong with going on without `name`.
pub fn decide(name: &str, found: bool, reason: &str, required: &str) -> Result<(), String> {
    let required: Vec<&str> = required.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    if let Some(unknown) = required.iter().chain([&name]).find(|word| !NAMES.contains(word)) {
        return Err(format!("FLATGAUGE_REQUIRE: there is no '{unknown}', there are {}", NAMES.join(", ")));
    }
    if found {
        return Ok(());
    }
    if required.contains(&name) {
        return Err(format!("FLATGAUGE_REQUIRE has {name}, but {reason}"));
    }
    // Not by eprintln!, which is captured.
    writeln!(std::io::stderr(), "skipped for want of {name}: {reason}").expect("stderr");
    Ok(())
}
