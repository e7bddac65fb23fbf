//! The [`KernelMethod`] trait, what its methods are asked, and what they answer.

use crate::kernel::KernelError;
use crate::model::Architecture;
use crate::numeric::{Dtype, Estimate, Info};
use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// The covariance of the logits under the prior.
    Nngp,
    /// The neural tangent kernel.
    Ntk,
}

impl Kind {
    /// Its name on the command line and in requests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nngp => "nngp",
            Self::Ntk => "ntk",
        }
    }

    /// Fields that the closed-form recursion carries.
    pub(super) fn fields(self) -> usize {
        match self {
            Self::Nngp => 1,
            Self::Ntk => 3,
        }
    }
}

/// Networks averaged over unless told otherwise: standard errors of about 3% of an entry's spread.
pub(super) const DEFAULT_SAMPLES: usize = 1000;

/// Hears of work done and of work in all, in units of the method's own.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// What a method is asked to do beyond the architecture and the inputs.
#[derive(Clone, Copy)]
pub struct KernelOptions<'a> {
    /// Which kernel.
    pub kind: Kind,
    /// Most memory to take, in bytes; what the system has available unless given.
    pub max_bytes: Option<u64>,
    /// Hears of progress.
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

    /// The format it computes in. One of [`Dtype::Float32`] is asked on inputs of that format, and judged by tolerances that
    /// follow from it.
    fn dtype(&self) -> Dtype {
        Dtype::Float64
    }

    /// The Gram matrix of `inputs` (`n x d`, one row an input, channels then height then width).
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
