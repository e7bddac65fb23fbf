//! Numbers: fixed points, angles, normal tails, linear algebra, seeded streams, estimates, correlations, bootstrap intervals.

pub(crate) mod anderson;
pub(crate) mod angle;
mod arctangent_table;
pub(crate) mod bootstrap;
#[cfg(feature = "studies")]
pub(crate) mod correlation;
mod double_double;
mod dtype;
mod estimate;
mod fnv;
#[cfg(feature = "studies")]
mod gaussian;
pub(crate) mod instructions;
#[doc(hidden)]
pub mod linalg;
mod mills_table;
pub mod normal;
mod stream;
#[doc(hidden)]
pub mod tolerance;
pub(crate) mod truncated;
#[cfg(feature = "studies")]
mod wide_chacha;

pub(crate) use double_double::DoubleDouble;
pub use dtype::Dtype;
pub(crate) use estimate::serialize_optional_real;
#[cfg(feature = "studies")]
pub(crate) use estimate::serialize_real;
pub use estimate::{Estimate, Info, InfoValue};
#[cfg(feature = "studies")]
pub(crate) use fnv::fnv1a;
#[cfg(feature = "studies")]
pub(crate) use gaussian::fill_normals;
pub use stream::Streams;
#[cfg(feature = "studies")]
pub(crate) use wide_chacha::{Numbers, WideChaCha};
