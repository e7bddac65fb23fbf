//! Numerical ground: normal tails, linear algebra, seeded streams, estimates, correlations.

pub mod correlation;
mod estimate;
mod file;
pub mod linalg;
mod mills_table;
pub mod normal;
mod stream;
pub mod tolerance;

pub use estimate::{Estimate, Info, InfoValue, serialize_optional_real, serialize_real};
pub use file::write_atomically;
pub use stream::Streams;
