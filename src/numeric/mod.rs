//! Numbers: normal tails, linear algebra, seeded streams, estimates, correlations, bootstrap intervals.

pub(crate) mod bootstrap;
pub(crate) mod correlation;
mod double_double;
mod estimate;
mod fnv;
mod gaussian;
#[doc(hidden)]
pub mod linalg;
mod mills_table;
pub mod normal;
mod stream;
#[doc(hidden)]
pub mod tolerance;
mod wide_chacha;

pub(crate) use double_double::DoubleDouble;
pub use estimate::{Estimate, Info, InfoValue};
pub(crate) use estimate::{serialize_optional_real, serialize_real};
pub(crate) use fnv::fnv1a;
pub(crate) use gaussian::fill_normals;
pub use stream::Streams;
pub(crate) use wide_chacha::{Numbers, WideChaCha};
