//! Numbers: normal tails, linear algebra, seeded streams, estimates, correlations, bootstrap intervals.

pub mod bootstrap;
pub mod correlation;
mod double_double;
mod estimate;
mod fnv;
mod gaussian;
pub mod linalg;
mod mills_table;
pub mod normal;
mod stream;
pub mod tolerance;
mod wide_chacha;

pub use double_double::DoubleDouble;
pub use estimate::{Estimate, Info, InfoValue, serialize_optional_real, serialize_real};
pub(crate) use fnv::fnv1a;
pub use gaussian::fill_normals;
pub use stream::Streams;
pub use wide_chacha::{Numbers, WideChaCha};
