//! Gaussian perturbations of the parameters, shared by the measures that average over them.

use crate::flatness::options::at_least;
use crate::flatness::place::Place;
use crate::flatness::{FlatnessError, Options};
use crate::numeric::Streams;
use crate::numeric::linalg::norm;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

/// Standard normal perturbations in pairs `xi`, `-xi`, in units of 1 or of each parameter's magnitude.
pub(super) struct Noise<'p> {
    theta: &'p [f64],
    /// One of each pair.
    directions: Vec<Vec<f64>>,
}

impl<'p> Noise<'p> {
    /// Draws [`Options::perturbation_count`] perturbations of the parameters at a place; they are seen from its point.
    pub fn draw(
        measure: &'static str,
        place: &'p Place,
        magnitude: bool,
        options: &Options,
    ) -> Result<Self, FlatnessError> {
        let draws = at_least(measure, "perturbation_count", options.perturbation_count, 4, "at least 4")?;
        let streams = Streams::new(options.seed);
        let directions = (0..draws.div_ceil(2))
            .into_par_iter()
            .map(|pair| {
                let mut generator = streams.stream("noise", pair as u64);
                let perturbation = place.theta().iter().map(|theta| {
                    let xi: f64 = StandardNormal.sample(&mut generator);
                    if magnitude { theta.abs() * xi } else { xi }
                });
                place.pull(perturbation.collect())
            })
            .collect();
        Ok(Self { theta: place.point.theta(), directions })
    }

    /// Pairs of perturbations.
    pub fn pairs(&self) -> usize {
        self.directions.len()
    }

    /// `f(theta + size xi)` and `f(theta - size xi)` for each pair.
    pub fn evaluate(&self, size: f64, f: impl Fn(&[f64]) -> f64 + Sync) -> Vec<(f64, f64)> {
        let at = |direction: &[f64], size: f64| {
            let moved: Vec<f64> = self.theta.iter().zip(direction).map(|(theta, xi)| theta + size * xi).collect();
            f(&moved)
        };
        self.directions.par_iter().map(|direction| (at(direction, size), at(direction, -size))).collect()
    }

    /// Mean of `f(theta + size xi)` and its standard error between pairs.
    pub fn mean(&self, size: f64, f: impl Fn(&[f64]) -> f64 + Sync) -> (f64, f64) {
        let values: Vec<f64> = self.evaluate(size, f).into_iter().map(|(plus, minus)| 0.5 * (plus + minus)).collect();
        mean_and_error(&values)
    }
}

/// Mean and its standard error.
pub(super) fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let deviations: Vec<f64> = values.iter().map(|value| value - mean).collect();
    (mean, norm(&deviations) / (n * (n - 1.0)).sqrt())
}
