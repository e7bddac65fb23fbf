//! Numerical ground: normal tails, linear algebra, seeded streams, estimates, correlations, bootstrap intervals.

pub mod bootstrap;
mod checksum;
pub mod correlation;
mod double_double;
mod estimate;
mod file;
mod gaussian;
pub mod linalg;
mod mills_table;
#[cfg(feature = "mpi")]
mod mpi;
pub mod normal;
mod ranks;
mod stream;
pub mod tolerance;
mod wide_chacha;

pub use checksum::Checksum;
pub use double_double::DoubleDouble;
pub use estimate::{Estimate, Info, InfoValue, serialize_optional_real, serialize_real};
pub use file::{
    check_writable, open_file, read_file, read_text, with_appended, write_atomically, write_atomically_with,
};
pub use gaussian::fill_normals;
#[cfg(feature = "mpi")]
pub use mpi::World;
pub use ranks::{Alone, Ranks, together};
pub use stream::Streams;
pub use wide_chacha::{Numbers, WideChaCha};
