//! Functions of networks: drawn from the prior and counted, with their complexity.

mod bits;
mod chain;
mod checkpoint;
mod complexity;
mod count;
mod counts;
mod error;
mod exact;
// Its arithmetic is that of one kind of machine.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
mod fixed_point;
mod forward;
mod interval;
mod panel;
mod sampler;
mod table;

pub use bits::Function;
pub use complexity::{critical_sample_ratio, entropy, lempel_ziv_complexity, lempel_ziv_words};
pub use count::{CountOptions, count};
pub use counts::{Counts, Dropped};
pub use error::FunctionError;
pub use interval::clopper_pearson;
pub use sampler::{Functions, Sampler};
#[doc(hidden)]
pub use table::write_table;
