//! Numerical ground: normal tails, linear algebra, seeded streams, estimates.

mod estimate;
mod file;
mod gaussian;
pub mod linalg;
mod mills_table;
pub mod normal;
mod stream;
pub mod tolerance;

pub use estimate::{Estimate, Info, InfoValue, serialize_optional_real, serialize_real};
pub use file::{write_atomically, write_atomically_with};
pub use gaussian::fill_normals;
pub use stream::Streams;
