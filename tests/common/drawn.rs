//! Cases drawn as a gate draws them: there is one way to draw.

use flatgauge::gate::{FlatnessCase, generated_cases};

/// The first networks that a gate of this seed generates.
pub fn networks(seed: u64, count: usize) -> Vec<FlatnessCase> {
    generated_cases(seed, count).0
}
