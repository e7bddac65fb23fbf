//! The mean of several answers of one estimator, each under a seed of its own, in the place of one answer.

use crate::flatness::{DensePoint, FlatnessError, Measure, Options, Point, Responses};
use crate::gate::effort::{Effort, short};
use crate::kernel::{KernelError, KernelMethod, KernelOptions, KernelResult, Kind};
use crate::model::Architecture;
use crate::numeric::linalg::norm;
use crate::numeric::{Dtype, Estimate, Streams};
use crate::prior::{Exactness, Gram, Labels, Link, LogProb, LogProbMethod, PriorError, PriorOptions};
use crate::rescale::Action;
use ndarray::{ArrayView2, Zip};

/// An estimator whose answers are averaged. An answer without a standard error is returned as it is.
pub(super) struct Averaged<'a, S: ?Sized> {
    subject: &'a S,
    replicates: usize,
}

impl<'a, S: ?Sized> Averaged<'a, S> {
    /// `subject` averaged as the effort says.
    pub fn of(subject: &'a S, effort: Effort) -> Self {
        Self { subject, replicates: effort.replicates }
    }

    /// Seeds of all answers, of which the first is `seed` itself.
    fn seeds(&self, seed: u64) -> impl Iterator<Item = u64> {
        let fresh = (1..self.replicates as u64).map(move |index| short(Streams::new(seed).child("replicate", index)));
        std::iter::once(seed).chain(fresh)
    }
}

impl Measure for Averaged<'_, dyn Measure + '_> {
    fn id(&self) -> &'static str {
        self.subject.id()
    }

    fn claim(&self) -> &'static str {
        self.subject.claim()
    }

    fn summary(&self) -> &'static str {
        self.subject.summary()
    }

    fn source(&self) -> &'static str {
        self.subject.source()
    }

    fn responses(&self) -> Responses {
        self.subject.responses()
    }

    fn is_stochastic(&self) -> bool {
        self.subject.is_stochastic()
    }

    fn knows_loss_scale(&self) -> bool {
        self.subject.knows_loss_scale()
    }

    fn dtype(&self) -> Dtype {
        self.subject.dtype()
    }

    fn evaluate(&self, point: &Point, options: &Options) -> Result<Estimate, FlatnessError> {
        let mut answers = Vec::with_capacity(self.replicates);
        for seed in self.seeds(options.seed) {
            let answer = self.subject.evaluate(point, &Options { seed, ..options.clone() })?;
            if answer.std_error.is_none() || !answer.value.is_finite() {
                return Ok(answer);
            }
            answers.push(answer);
        }
        Ok(mean(&answers))
    }

    fn predict(&self, point: &Point, action: &Action, options: &Options) -> Option<Result<Estimate, FlatnessError>> {
        self.subject.predict(point, action, options)
    }

    fn at_loss_scale(&self, value: f64, factor: f64, point: &Point, options: &Options) -> f64 {
        self.subject.at_loss_scale(value, factor, point, options)
    }

    fn on_dense(&self, dense: &DensePoint, options: &Options) -> Option<f64> {
        self.subject.on_dense(dense, options)
    }

    fn summands(&self, dense: &DensePoint, options: &Options) -> f64 {
        self.subject.summands(dense, options)
    }

    fn at_least(&self, dense: &DensePoint, options: &Options) -> Option<f64> {
        self.subject.at_least(dense, options)
    }
}

impl LogProbMethod for Averaged<'_, dyn LogProbMethod + '_> {
    fn id(&self) -> &'static str {
        self.subject.id()
    }

    fn claim(&self) -> &'static str {
        self.subject.claim()
    }

    fn summary(&self) -> &'static str {
        self.subject.summary()
    }

    fn source(&self) -> &'static str {
        self.subject.source()
    }

    fn links(&self) -> &'static [Link] {
        self.subject.links()
    }

    fn exactness(&self) -> Exactness {
        self.subject.exactness()
    }

    fn within(&self) -> Option<f64> {
        self.subject.within()
    }

    fn fixed_point(&self) -> &'static str {
        self.subject.fixed_point()
    }

    /// The logarithm of the mean probability, which a mean of logarithms is not.
    fn log_prob(&self, gram: &Gram, labels: &Labels, options: &PriorOptions) -> Result<LogProb, PriorError> {
        let mut answers = Vec::with_capacity(self.replicates);
        for seed in self.seeds(options.seed) {
            let answer = self.subject.log_prob(gram, labels, &PriorOptions { seed, ..options.clone() })?;
            if answer.estimate.std_error.is_none() || !answer.estimate.value.is_finite() {
                return Ok(answer);
            }
            answers.push(answer.estimate);
        }
        let largest = answers.iter().map(|answer| answer.value).fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = answers.iter().map(|answer| (answer.value - largest).exp()).collect();
        let total: f64 = weights.iter().sum();
        let errors = answers.iter().zip(&weights).map(|(answer, weight)| weight * answer.std_error.unwrap_or(0.0));
        let std_error = errors.map(|error| error * error).sum::<f64>().sqrt() / total;
        let value = largest + (total / answers.len() as f64).ln();
        let bound = answers.iter().map(|answer| answer.error_bound).fold(0.0, f64::max);
        let estimate = Estimate::stochastic(value, std_error, answers.swap_remove(0).info).within(bound);
        Ok(LogProb { estimate, upper_bound: None })
    }
}

impl KernelMethod for Averaged<'_, dyn KernelMethod + '_> {
    fn id(&self) -> &'static str {
        self.subject.id()
    }

    fn summary(&self) -> &'static str {
        self.subject.summary()
    }

    fn source(&self) -> &'static str {
        self.subject.source()
    }

    fn kinds(&self) -> &'static [Kind] {
        self.subject.kinds()
    }

    fn dtype(&self) -> Dtype {
        self.subject.dtype()
    }

    fn gram(
        &self,
        architecture: &Architecture,
        inputs: ArrayView2<f64>,
        options: &KernelOptions,
    ) -> Result<KernelResult, KernelError> {
        let mut all: Option<KernelResult> = None;
        for seed in self.seeds(options.seed) {
            let next = self.subject.gram(architecture, inputs, &KernelOptions { seed, ..*options })?;
            let Some(errors) = &next.std_error else { return Ok(next) };
            match &mut all {
                None => all = Some(next),
                Some(all) if all.matrix.dim() == next.matrix.dim() => {
                    all.matrix += &next.matrix;
                    let sum = all.std_error.as_mut().expect("it was set");
                    Zip::from(sum).and(errors).for_each(|sum, error| *sum = sum.hypot(*error));
                }
                // Another shape is a failure that the caller sees.
                Some(_) => return Ok(next),
            }
        }
        let mut mean = all.expect("there is a first seed");
        let count = self.replicates as f64;
        mean.matrix.mapv_inplace(|sum| sum / count);
        mean.std_error = mean.std_error.map(|errors| errors / count);
        Ok(mean)
    }
}

/// The mean of independent answers.
fn mean(answers: &[Estimate]) -> Estimate {
    let count = answers.len() as f64;
    let value = answers.iter().map(|answer| answer.value / count).sum();
    let errors: Vec<f64> = answers.iter().map(|answer| answer.std_error.unwrap_or(0.0) / count).collect();
    let bound = answers.iter().map(|answer| answer.error_bound).fold(0.0, f64::max);
    Estimate::stochastic(value, norm(&errors), answers[0].info.clone()).within(bound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::Info;

    /// Squares of errors of any size would overflow or vanish.
    #[test]
    fn errors_of_any_size_average() {
        for size in [1.0, 1e200, 1e-200] {
            let answer = |value: f64| Estimate::stochastic(value * size, 3.0 * size, Info::new());
            let mean = mean(&[answer(1.0), answer(2.0), answer(3.0), answer(6.0)]);
            assert!((mean.value / size - 3.0).abs() < 1e-15, "{size:e}: {mean:?}");
            assert!((mean.std_error.unwrap() / size - 1.5).abs() < 1e-15, "{size:e}: {mean:?}");
        }
    }
}
