//! The whole line on real data: networks trained on the embedded digits, rescaled, and measured before and after, each
//! number beside the one predicted from the network before.
//!
//! It stands above the gate, which judges estimators and trains nobody.

mod digits;
mod error;
mod verify;

pub use digits::{Demonstration, Row, TrainedNetwork, demonstrate};
pub use error::DemonstrationError;
pub use verify::verify;
