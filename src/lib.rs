//! Reference and conformance suite for flatness measures and the Bayesian prior probability
//! `log P(f)` of trained neural networks.

#[cfg(feature = "cli")]
pub mod cli;
pub mod data;
pub mod flatness;
pub mod function;
pub mod gate;
pub mod kernel;
pub mod model;
pub mod numeric;
pub mod prior;
#[cfg(feature = "report")]
pub mod report;
pub mod rescale;
pub mod study;
pub mod train;

/// The README's examples run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
