//! Kernels of finite networks, averaged over networks drawn from the prior.

use super::moments::Moments;
use super::{KernelError, KernelMethod, KernelOptions, KernelResult, Kind, memory, partial};
use crate::model::{Architecture, LayerSpec, Model, Network};
use crate::numeric::linalg::par_gram;
use crate::numeric::{Info, Streams};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time between saves of unfinished work; the first follows the first networks.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// The method `empirical`: `K = bias_std^2 + weight_std^2 / width E[phi phi^T]`, `phi` (`n x width`) the inputs of
/// the last dense layer, batch norms in eval mode with untouched statistics (mean 0, variance 1).
///
/// Each network gives the exact covariance of the logits given its features, so the average is an unbiased
/// estimate of the covariance of the logits of networks *of these widths*; it is the infinitely wide network's
/// too where there is one hidden layer, and up to `O(1 / width)` elsewhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct Empirical;

impl KernelMethod for Empirical {
    fn id(&self) -> &'static str {
        "empirical"
    }

    fn summary(&self) -> &'static str {
        "average over sampled networks of any architecture, with standard errors"
    }

    fn source(&self) -> &'static str {
        "Novak et al. 2019; Mingard et al. 2021"
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::Nngp]
    }

    fn gram(
        &self,
        architecture: &Architecture,
        inputs: ArrayView2<f64>,
        options: &KernelOptions,
    ) -> Result<KernelResult, KernelError> {
        if options.kind != Kind::Nngp {
            return Err(KernelError::Kind { method: self.id() });
        }
        let Some(LayerSpec::Dense { .. }) = architecture.layers.last() else {
            return Err(KernelError::NoReadout);
        };
        let model = Arc::new(Model::new(architecture.clone())?);
        super::check_inputs(&model, inputs)?;
        let run = Run { model, inputs, options };
        let threads = run.check()?;
        run.solve(threads)
    }
}

/// What is asked, once it is seen to make sense.
struct Run<'a> {
    model: Arc<Model>,
    inputs: ArrayView2<'a, f64>,
    options: &'a KernelOptions<'a>,
}

impl Run<'_> {
    fn architecture(&self) -> &Architecture {
        self.model.architecture()
    }

    /// Largest rank the average can have: each network adds `width`, the bias one.
    fn rank_bound(&self) -> usize {
        let bias = usize::from(self.architecture().bias_std != 0.0);
        self.options.samples.saturating_mul(self.model.feature_width()).saturating_add(bias)
    }

    /// Bytes taken with so many networks at a time.
    fn bytes(&self, networks: usize) -> u64 {
        let [n, groups, networks] = [self.inputs.nrows(), self.options.groups, networks].map(|size| size as u64);
        let each = 2 * n * n
            + n * self.model.feature_width() as u64
            + self.model.parameters() as u64
            + (self.model.chunk_rows() * (self.model.inputs() + self.model.body().footprint())) as u64;
        8 * ((2 + groups) * n * n + networks * each)
    }

    /// Networks to run at a time.
    fn check(&self) -> Result<usize, KernelError> {
        let (samples, groups) = (self.options.samples, self.options.groups);
        if samples < 2 {
            return Err(KernelError::Samples { found: samples, expected: 2, purpose: "a standard error" });
        }
        if groups == 1 || groups > samples {
            let expected = groups.max(2);
            return Err(KernelError::Samples { found: samples, expected, purpose: "the groups of the jackknife" });
        }
        // Matrices with a group left out must have full rank too.
        let kept = if groups == 0 { samples } else { samples - samples.div_ceil(groups) };
        let bias = usize::from(self.architecture().bias_std != 0.0);
        let (n, width) = (self.inputs.nrows(), self.model.feature_width());
        if kept.saturating_mul(width).saturating_add(bias) < n {
            let least = (n - bias).div_ceil(width);
            let needed = if groups == 0 { least } else { (least * groups).div_ceil(groups - 1) + 1 };
            return Err(KernelError::Rank { samples, width, points: n, needed });
        }
        let limit = self.options.max_bytes.or_else(memory::available).unwrap_or(u64::MAX);
        let threads = rayon::current_num_threads().min(samples);
        let fitting = (1..=threads).rev().find(|networks| self.bytes(*networks) <= limit);
        fitting.ok_or_else(|| KernelError::TooLarge { needed: self.bytes(1), limit })
    }

    /// `phi phi^T` of network `index`.
    fn network(&self, index: usize) -> Result<Array2<f64>, KernelError> {
        let streams = Streams::new(self.options.seed).child("network of an empirical kernel", index as u64);
        let network = Network::sample(Arc::clone(&self.model), streams);
        let products = par_gram(network.features(self.inputs).view());
        match products.iter().all(|value| value.is_finite()) {
            true => Ok(products),
            false => Err(KernelError::Overflow { network: index }),
        }
    }

    fn solve(&self, threads: usize) -> Result<KernelResult, KernelError> {
        let (samples, n) = (self.options.samples, self.inputs.nrows());
        let key = partial::key(self.architecture(), self.inputs, self.options);
        let mut moments = match self.options.partial {
            Some(path) => partial::load(path, &key, n, self.options.groups)?,
            None => None,
        }
        .filter(|moments| moments.count() <= samples)
        .unwrap_or_else(|| Moments::new(n, self.options.groups));
        let resumed = moments.count();
        let tell = |done| self.options.progress.iter().for_each(|progress| progress(done, samples));
        tell(resumed);
        let mut saved: Option<Instant> = None;
        while moments.count() < samples {
            let first = moments.count();
            let batch: Vec<Result<Array2<f64>, KernelError>> =
                (first..(first + threads).min(samples)).into_par_iter().map(|index| self.network(index)).collect();
            // In the order of the networks, whatever ran beside what.
            for products in batch {
                moments.add(products?.view());
            }
            tell(moments.count());
            if let Some(path) = self.options.partial
                && moments.count() < samples
                && saved.is_none_or(|saved| saved.elapsed() >= SAVE_EVERY)
            {
                partial::save(path, &key, &moments)?;
                saved = Some(Instant::now());
            }
        }
        let width = self.model.feature_width();
        let info = Info::new()
            .with("networks", samples)
            .with("networks_resumed", resumed)
            .with("feature_width", width)
            .with("rank_bound", self.rank_bound().min(n))
            .with("bytes_needed", self.bytes(threads));
        let (bias, weight) = (self.architecture().bias_std.powi(2), self.architecture().weight_std.powi(2));
        Ok(moments.into_result(bias, weight / width as f64, info))
    }
}
