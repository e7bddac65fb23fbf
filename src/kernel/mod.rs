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
mod angle;
mod arctangent_table;
mod dual;
mod empirical;
mod erf;
mod error;
mod image;
mod kernel_fn;
mod memory;
mod moments;
mod pair;
mod partial;
mod plan;
mod plane;
#[cfg(test)]
mod quadrature;
mod source;

pub use empirical::empirical;
pub use error::KernelError;
pub use kernel_fn::{KernelFn, kernel_fn};

use crate::model::{Architecture, Model};
use crate::numeric::{Estimate, Info};
use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The covariance of the logits under the prior.
    Nngp,
    /// The neural tangent kernel.
    Ntk,
}

impl Kind {
    /// Fields that the closed-form recursion carries.
    fn fields(self) -> usize {
        match self {
            Self::Nngp => 1,
            Self::Ntk => 3,
        }
    }
}

/// Networks averaged over unless told otherwise: standard errors of about 3% of an entry's spread.
const DEFAULT_SAMPLES: usize = 1000;

/// Called with the work done and the work in all, in units of the method's own.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// What a method is asked to do beyond the architecture and the inputs.
#[derive(Clone, Copy)]
pub struct KernelOptions<'a> {
    /// Which kernel.
    pub kind: Kind,
    /// Most memory to take, in bytes; what the system has available unless given.
    pub max_bytes: Option<u64>,
    /// Called as the work goes on.
    pub progress: Option<Progress<'a>>,
    /// Networks to average over (sampling methods).
    pub samples: usize,
    /// Seed of the networks (sampling methods).
    pub seed: u64,
    /// Groups of networks to leave out in turn, for [`KernelResult::propagate`]; 0 for none.
    pub groups: usize,
    /// File that keeps unfinished work, from which the same call goes on (sampling methods). The caller removes it.
    pub partial: Option<&'a Path>,
}

impl Default for KernelOptions<'_> {
    fn default() -> Self {
        Self {
            kind: Kind::Nngp,
            max_bytes: None,
            progress: None,
            samples: DEFAULT_SAMPLES,
            seed: 0,
            groups: 0,
            partial: None,
        }
    }
}

/// The result of a method.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelResult {
    /// The Gram matrix, `n x n`, exactly symmetric, no jitter.
    pub matrix: Array2<f64>,
    /// Standard errors of its entries; `None` for deterministic methods.
    pub std_error: Option<Array2<f64>>,
    /// The same matrix without each group of networks, where [`KernelOptions::groups`] asked for it.
    pub left_out: Vec<LeftOut>,
    /// What happened on the way.
    pub info: Info,
}

/// A kernel averaged over all networks but those of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct LeftOut {
    /// Networks in the group.
    pub networks: usize,
    /// The matrix without them.
    pub matrix: Array2<f64>,
}

impl KernelResult {
    /// A number computed from the kernel, as `log P(f)`, with the standard error that the sampling of networks
    /// gives it: the jackknife over groups of unequal size (Busing, Meijer and van der Leeden 1999). The value is
    /// that of the kernel itself; `jackknife_bias` in its diagnostics estimates what the noise of the kernel adds
    /// to it on average. Deterministic if there are no groups.
    ///
    /// # Errors
    /// Those of `statistic`.
    pub fn propagate<E: Send>(
        &self,
        statistic: impl Fn(ArrayView2<f64>) -> Result<f64, E> + Sync,
    ) -> Result<Estimate, E> {
        let value = statistic(self.matrix.view())?;
        if self.left_out.is_empty() {
            return Ok(Estimate::deterministic(value, Info::new()));
        }
        let partial: Vec<f64> =
            self.left_out.iter().map(|group| statistic(group.matrix.view())).collect::<Result<_, E>>()?;
        if !value.is_finite() || partial.iter().any(|partial| !partial.is_finite()) {
            // An impossible function under every matrix is certain; under some of them, nothing is known.
            let std_error = if partial.iter().all(|partial| *partial == value) { 0.0 } else { f64::INFINITY };
            let info = Info::new().with("jackknife_groups", partial.len());
            return Ok(Estimate::stochastic(value, std_error, info));
        }
        let networks: usize = self.left_out.iter().map(|group| group.networks).sum();
        let share = |group: &LeftOut| group.networks as f64 / networks as f64;
        let pairs = || self.left_out.iter().map(share).zip(&partial);
        // sum_g (1 - share_g) (value - partial_g) = jackknifed value - value
        let correction: f64 = pairs().map(|(share, partial)| (1.0 - share) * (value - partial)).sum();
        let variance = pairs()
            .map(|(share, partial)| {
                let surplus = 1.0 / share - 1.0;
                (surplus * (value - partial) - correction).powi(2) / surplus
            })
            .sum::<f64>()
            / self.left_out.len() as f64;
        let info = Info::new().with("jackknife_bias", -correction).with("jackknife_groups", partial.len());
        Ok(Estimate::stochastic(value, variance.sqrt(), info))
    }
}

/// A method for Gram matrices.
pub trait KernelMethod: Send + Sync {
    /// Registry name.
    fn id(&self) -> &'static str;

    /// One line for lists and help.
    fn summary(&self) -> &'static str;

    /// Where the method comes from (author, year).
    fn source(&self) -> &'static str;

    /// The kernels the method offers.
    fn kinds(&self) -> &'static [Kind];

    /// The Gram matrix of `inputs` (`n x d`, one row per input, channels then height then width).
    ///
    /// # Errors
    /// [`KernelError`]: an architecture that does not compile or is not covered, inputs of another size or
    /// not finite, more memory than there is.
    fn gram(
        &self,
        architecture: &Architecture,
        inputs: ArrayView2<f64>,
        options: &KernelOptions,
    ) -> Result<KernelResult, KernelError>;
}

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

/// Every entry of a result is a number.
fn check_entries(matrix: ArrayView2<f64>) -> Result<(), KernelError> {
    let rows = matrix.axis_iter(Axis(0)).into_par_iter().enumerate();
    let bad = rows
        .find_map_first(|(row, values)| values.iter().position(|value| !value.is_finite()).map(|column| (row, column)));
    match bad {
        Some((row, column)) => Err(KernelError::Entry { row, column, value: matrix[[row, column]] }),
        None => Ok(()),
    }
}

fn check_inputs(model: &Model, inputs: ArrayView2<f64>) -> Result<(), KernelError> {
    if inputs.nrows() == 0 {
        return Err(KernelError::NoInputs);
    }
    if inputs.ncols() != model.input_count() {
        return Err(KernelError::Inputs { found: inputs.ncols(), expected: model.input_count() });
    }
    let rows = inputs.axis_iter(Axis(0)).into_par_iter().enumerate();
    let bad = rows
        .find_map_first(|(row, values)| values.iter().position(|value| !value.is_finite()).map(|column| (row, column)));
    match bad {
        Some((row, column)) => Err(KernelError::NotFinite { row, column, value: inputs[[row, column]] }),
        None => Ok(()),
    }
}
