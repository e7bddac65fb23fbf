//! Functions of networks: drawn from the prior and counted, with their complexity.
//!
//! ```
//! use flatgauge::function::{CountOptions, Function, Sampler, clopper_pearson, count};
//! use flatgauge::model::{Activation, Architecture};
//!
//! // All inputs of two bits.
//! let inputs = ndarray::array![[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]];
//! let architecture = Architecture::fully_connected(&[2, 8, 1], Activation::Relu, 1.0, 0.1);
//! let sampler = Sampler::new(architecture, inputs, 1)?;
//! let counts = count(&sampler, 1000, &CountOptions::new(&sampler))?;
//! let constant: Function = "0000".parse()?;
//! let (low, high) = clopper_pearson(counts.count(&constant), 1000, 0.95);
//! assert!(0.0 < low && low < high && high < 1.0);
//! # Ok::<(), flatgauge::function::FunctionError>(())
//! ```

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
