//! Running mean and spread of matrices, with sums of groups for the jackknife.

use super::{KernelResult, LeftOut};
use crate::numeric::Info;
use ndarray::{Array2, ArrayView2, Zip};

/// Moments of matrices added one after the other (Welford 1962), and the sum of every group of them: matrix `i`
/// belongs to group `i mod groups`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Moments {
    pub count: u64,
    pub mean: Array2<f64>,
    /// Sums of squared deviations from the mean.
    pub spread: Array2<f64>,
    pub groups: Vec<Array2<f64>>,
}

impl Moments {
    pub fn new(n: usize, groups: usize) -> Self {
        let zeros = || Array2::zeros((n, n));
        Self { count: 0, mean: zeros(), spread: zeros(), groups: (0..groups).map(|_| zeros()).collect() }
    }

    pub fn count(&self) -> usize {
        self.count as usize
    }

    pub fn add(&mut self, matrix: ArrayView2<f64>) {
        let groups = self.groups.len();
        if groups > 0 {
            self.groups[self.count as usize % groups] += &matrix;
        }
        self.count += 1;
        let count = self.count as f64;
        Zip::from(&mut self.mean).and(&mut self.spread).and(matrix).par_for_each(|mean, spread, &value| {
            let before = value - *mean;
            *mean += before / count;
            *spread += before * (value - *mean);
        });
    }

    /// `shift + factor * mean`, its standard errors, and the same without each group.
    pub fn into_result(self, shift: f64, factor: f64, info: Info) -> KernelResult {
        let Self { count, mean, spread, groups } = self;
        let total = count as f64;
        let mut sum = Array2::<f64>::zeros(mean.dim());
        groups.iter().for_each(|group| sum += group);
        let of_group = |index: usize| (count as usize - index).div_ceil(groups.len());
        let left_out = groups
            .iter()
            .enumerate()
            .map(|(index, group)| {
                let networks = of_group(index);
                let rest = total - networks as f64;
                LeftOut { networks, matrix: (&sum - group).mapv_into(|value| shift + factor * (value / rest)) }
            })
            .collect();
        KernelResult {
            matrix: mean.mapv_into(|mean| shift + factor * mean),
            std_error: Some(spread.mapv_into(|spread| factor * (spread / (total - 1.0) / total).sqrt())),
            left_out,
            info,
        }
    }
}
