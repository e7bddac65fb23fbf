//! Gram matrices of the Gaussian processes that wide networks are: the [`KernelMethod`] trait, the registry,
//! one file per method.
//!
//! With weights `N(0, weight_std^2 / fan_in)` and biases `N(0, bias_std^2)` the logit of an infinitely
//! wide network is a Gaussian process (Neal 1996; Lee et al. 2018; Matthews et al. 2018) with covariance
//! `K(x, x') = bias_std^2 + weight_std^2 E[phi phi']`, layer by layer: the NNGP kernel. The neural tangent
//! kernel (Jacot et al. 2018) is `sum over parameters of df(x)/dw df(x')/dw`, every parameter counted as a
//! standard normal times its standard deviation.
//!
//! ```
//! use flatgauge::kernel;
//! use flatgauge::model::{Activation, Architecture};
//!
//! // Only the depth counts: widths are taken to infinity.
//! let architecture = Architecture::fully_connected(&[2, 1, 1], Activation::Relu, 2.0_f64.sqrt(), 0.0);
//! let gram = kernel::nngp(&architecture, ndarray::array![[1.0, 0.0], [0.0, 1.0]].view())?;
//! // K(x, x) = weight_std^4 |x|^2 / 4, and of inputs at a right angle 1 / pi of that.
//! assert!((gram[[0, 0]] - 1.0).abs() < 1e-14);
//! assert!((gram[[0, 1]] - std::f64::consts::FRAC_1_PI).abs() < 1e-14);
//! # Ok::<(), kernel::KernelError>(())
//! ```

mod analytic;
mod check;
mod dual;
mod empirical;
mod erf;
mod error;
mod image;
mod kernel_fn;
mod memory;
mod method;
mod moments;
mod pair;
mod partial;
mod plan;
mod plane;
#[cfg(test)]
mod quadrature;
mod source;

use check::{check_entries, check_inputs};

pub use method::{KernelMethod, KernelOptions, KernelResult, Kind, LeftOut, Progress};

pub use empirical::empirical;
pub use error::KernelError;
pub use kernel_fn::{KernelFn, kernel_fn};

use crate::model::Architecture;
use ndarray::{Array2, ArrayView2};

/// All methods, in the order users see them. A new method is a file and a line here.
pub fn registry() -> &'static [&'static dyn KernelMethod] {
    &[&analytic::Analytic, &empirical::Empirical]
}

/// The method called `id`.
pub fn find(id: &str) -> Option<&'static dyn KernelMethod> {
    registry().iter().copied().find(|method| crate::id::names(id, method.id()))
}

/// The analytic NNGP Gram matrix `K` (`n x n`) at `inputs` (`n x d`).
///
/// Fully connected: `O(n^2 d)` for the inputs' products and `O(n^2)` a layer; memory is the result itself.
/// Convolutional: `O(n^2 h w)` a layer before a flatten layer, `O(n^2 (h w)^2)` before a global average; memory
/// is the result, `h w` numbers per layer and image, and for every thread the images that poolings collect.
///
/// # Errors
/// As [`KernelMethod::gram`].
pub fn nngp(architecture: &Architecture, inputs: ArrayView2<f64>) -> Result<Array2<f64>, KernelError> {
    Ok(analytic::Analytic.gram(architecture, inputs, &KernelOptions::default())?.matrix)
}

/// The analytic neural tangent kernel (`n x n`) at `inputs` (`n x d`); cost as [`nngp`], with three numbers in
/// place of one.
///
/// # Errors
/// As [`KernelMethod::gram`].
pub fn ntk(architecture: &Architecture, inputs: ArrayView2<f64>) -> Result<Array2<f64>, KernelError> {
    let options = KernelOptions { kind: Kind::Ntk, ..KernelOptions::default() };
    Ok(analytic::Analytic.gram(architecture, inputs, &options)?.matrix)
}
