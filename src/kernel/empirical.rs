//! Kernels of finite networks, averaged over networks drawn from the prior.

use super::moments::Moments;
use super::{KernelError, KernelMethod, KernelOptions, KernelResult, Kind, memory, partial};
use crate::model::{Architecture, LayerSpec, Model, Network};
use crate::numeric::linalg::par_gram;
use crate::numeric::{Info, Streams};
use crate::processes::{OnRank, Ranks, SingleProcess, broadcast_result};
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
        empirical(architecture, inputs, options, &SingleProcess)
    }
}

/// The kernel of method `empirical`, its networks shared by processes: the result of one process, on process 0. Elsewhere the
/// matrix is empty.
///
/// # Errors
/// [`KernelError`]: see [`KernelMethod::gram`]; what fails in one process fails in all.
pub fn empirical(
    architecture: &Architecture,
    inputs: ArrayView2<f64>,
    options: &KernelOptions,
    ranks: &dyn Ranks,
) -> Result<KernelResult, KernelError> {
    if options.kind != Kind::Nngp {
        return Err(KernelError::Kind { method: Empirical.id() });
    }
    let Some(LayerSpec::Dense { .. }) = architecture.layers.last() else {
        return Err(KernelError::NoReadout);
    };
    let model = Arc::new(Model::new(architecture.clone())?);
    super::check_inputs(&model, inputs)?;
    let run = Run { model, inputs, options, ranks };
    let threads = run.agreed()?;
    run.solve(threads)
}

/// What is asked, once it is seen to make sense.
struct Run<'a> {
    model: Arc<Model>,
    inputs: ArrayView2<'a, f64>,
    options: &'a KernelOptions<'a>,
    ranks: &'a dyn Ranks,
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

    /// Bytes taken with this many networks at a time in every process.
    fn bytes(&self, networks: usize) -> u64 {
        let [n, groups, networks] = [self.inputs.nrows(), self.options.groups, networks].map(|size| size as u64);
        let each = 2 * n * n
            + n * self.model.feature_width() as u64
            + self.model.parameter_count() as u64
            + (self.model.chunk_rows() * (self.model.input_count() + self.model.body().footprint())) as u64;
        let gathered = self.ranks.size() as u64 * networks * n * n;
        8 * ((2 + groups) * n * n + networks * each + gathered)
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

    /// The networks every process runs at a time: as many as fit in all of them.
    fn agreed(&self) -> Result<usize, KernelError> {
        let ranks = self.ranks;
        let mine = self.check();
        let least = ranks.gather(vec![mine.as_ref().map_or(0, |networks| *networks as u64)]).into_iter().min();
        let agreed = ranks.broadcast(least.unwrap_or_default());
        match mine {
            Err(error) => Err(error),
            Ok(_) if agreed == 0 => Err(KernelError::Process),
            Ok(_) => Ok(agreed as usize),
        }
    }

    /// The moments of all networks, on process 0, and how many networks were there from an earlier run.
    fn moments(&self, threads: usize) -> Result<(Moments, usize), KernelError> {
        let KernelOptions { samples, groups, seed, partial, .. } = *self.options;
        let (ranks, n) = (self.ranks, self.inputs.nrows());
        let key = partial::key(self.architecture(), self.inputs, self.options);
        let root = ranks.rank() == 0;
        let begin = || {
            let unfinished = match partial.filter(|_| root) {
                Some(path) => partial::load(path, &key, n, groups)?,
                None => None,
            };
            Ok(unfinished
                .filter(|moments| moments.count() <= samples)
                .unwrap_or_else(|| Moments::new(if root { n } else { 0 }, groups)))
        };
        let (mut moments, resumed) =
            match broadcast_result(ranks, begin(), |moments| moments.count() as u64, KernelError::Process)? {
                OnRank::Root(moments) => {
                    let count = moments.count();
                    (moments, count)
                }
                OnRank::Other(count) => (Moments::new(0, groups), count as usize),
            };
        let tell = |done| self.options.progress.iter().for_each(|progress| progress(done, samples));
        tell(resumed);
        let mut saved: Option<Instant> = None;
        let mut done = resumed;
        while done < samples {
            let round = (threads * ranks.size()).min(samples - done);
            let share = |rank: usize| done + round * rank / ranks.size();
            let (model, inputs) = (&self.model, self.inputs);
            let batch: Result<Vec<Array2<f64>>, KernelError> = (share(ranks.rank())..share(ranks.rank() + 1))
                .into_par_iter()
                .map(|index| products(model, inputs, seed, index))
                .collect();
            // Every process takes part in the gathering, one that failed with nothing.
            let (sent, failure) = match batch {
                Ok(batch) => (batch.iter().flatten().map(|entry| entry.to_bits()).collect(), None),
                Err(error) => (Vec::new(), Some(error)),
            };
            let gathered = ranks.gather(sent);
            done += round;
            let add = || {
                if let Some(error) = failure {
                    return Err(error);
                }
                if !root {
                    return Ok(());
                }
                if gathered.len() != round * n * n {
                    return Err(KernelError::Process);
                }
                // In the order of the networks, whatever ran beside what.
                for entries in gathered.chunks_exact(n * n) {
                    let entries = entries.iter().map(|bits| f64::from_bits(*bits)).collect();
                    moments.add(Array2::from_shape_vec((n, n), entries).expect("n rows of n").view());
                }
                tell(done);
                if let Some(path) = partial
                    && done < samples
                    && saved.is_none_or(|saved| saved.elapsed() >= SAVE_EVERY)
                {
                    partial::save(path, &key, &moments)?;
                    saved = Some(Instant::now());
                }
                Ok(())
            };
            let added = add();
            let _ = broadcast_result(ranks, added, |()| 0, KernelError::Process)?;
        }
        Ok((moments, resumed))
    }

    fn solve(&self, threads: usize) -> Result<KernelResult, KernelError> {
        let (samples, n) = (self.options.samples, self.inputs.nrows());
        let (moments, resumed) = self.moments(threads)?;
        if self.ranks.rank() != 0 {
            let matrix = Array2::zeros((0, 0));
            return Ok(KernelResult { matrix, std_error: None, left_out: Vec::new(), info: Info::new() });
        }
        let width = self.model.feature_width();
        let info = Info::new()
            .with("networks", samples)
            .with("networks_resumed", resumed)
            .with("feature_width", width)
            .with("rank_bound", self.rank_bound().min(n))
            .with("bytes_needed", self.bytes(threads));
        let (bias, weight) = (self.architecture().bias_std.powi(2), self.architecture().weight_std.powi(2));
        let result = moments.into_result(bias, weight / width as f64, info);
        super::check_entries(result.matrix.view())?;
        result.std_error.iter().try_for_each(|error| super::check_entries(error.view()))?;
        Ok(result)
    }
}

/// `phi phi^T` of network `index`.
fn products(model: &Arc<Model>, inputs: ArrayView2<f64>, seed: u64, index: usize) -> Result<Array2<f64>, KernelError> {
    let streams = Streams::new(seed).child("network of an empirical kernel", index as u64);
    let network = Network::sample(Arc::clone(model), streams);
    let products = par_gram(network.features(inputs).view());
    match products.iter().all(|value| value.is_finite()) {
        true => Ok(products),
        false => Err(KernelError::Overflow { network: index }),
    }
}
