//! Gram matrices of the Gaussian processes that wide networks are: duals of activations, the analytic
//! NNGP kernel.
//!
//! With weights `N(0, weight_std^2 / fan_in)` and biases `N(0, bias_std^2)` the logit of an infinitely
//! wide network is a Gaussian process (Neal 1996; Lee et al. 2018; Matthews et al. 2018) with covariance
//! `K(x, x') = bias_std^2 + weight_std^2 E[phi phi'] `, layer by layer.

mod analytic;
mod angle;
mod arctangent_table;
mod dual;
mod error;
#[cfg(test)]
mod quadrature;

pub use analytic::nngp;
pub use error::KernelError;
