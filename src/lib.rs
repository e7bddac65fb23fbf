//! Reference and conformance suite for flatness measures and the Bayesian prior probability
//! `log P(f)` of trained neural networks.

pub mod data;
pub mod flatness;
pub mod kernel;
pub mod model;
pub mod numeric;
pub mod prior;
pub mod rescale;
