//! How long a statistical test draws: every run does so much, and continuous integration more.

/// `quick`, or `full` where the environment variable `FLATGAUGE_TEST_TIER` is `full`: the same assertion on more draws.
pub fn by_tier<T>(quick: T, full: T) -> T {
    match std::env::var("FLATGAUGE_TEST_TIER").as_deref() {
        Ok("full") => full,
        Ok("quick") | Err(_) => quick,
        Ok(other) => panic!("FLATGAUGE_TEST_TIER is '{other}', expected quick or full"),
    }
}
