//! Standard errors of `log P(f)` are honest: repeated runs scatter about the known answer as much as they say.
//!
//! On equicorrelated matrices with correlation 1/2 the probability of equal labels is `1 / (n + 1)`. Each stochastic
//! method runs under [`SEEDS`] seeds; `z = (estimate - truth) / standard error`.
//! - The mean of the `z` must not differ from zero: false-alarm rate `1e-6` a method. With standard errors from
//!   32 replicates a `z` has variance `31 / 29`. A bias of half a standard error moves the statistic by
//!   6.8 and is caught with probability 0.97.
//! - The share of `|z| < 1.96` must lie between 0.90 and 0.99. Student's distribution with 31 degrees of freedom
//!   puts it at 0.941. Standard errors too small by a factor of 0.7 cover 0.83.

use flatgauge::prior::{Exactness, Gram, Labels, LogProbMethod, PriorOptions, registry};
use ndarray::Array2;

const SEEDS: u64 = 200;

/// Two-sided quantile of the normal distribution at `1e-6`.
const NORMAL_AT_ONE_IN_A_MILLION: f64 = 4.8916;

fn scores(method: &dyn LogProbMethod, n: usize) -> Vec<f64> {
    let gram = Gram::new(Array2::from_shape_fn((n, n), |(i, j)| if i == j { 1.0 } else { 0.5 })).unwrap();
    let labels = Labels::from_signs(vec![true; n]);
    let truth = -((n + 1) as f64).ln();
    (0..SEEDS)
        .map(|seed| {
            let options = PriorOptions { seed, ..PriorOptions::default() };
            let estimate = method.log_prob(&gram, &labels, &options).unwrap().estimate;
            (estimate.value - truth) / estimate.std_error.unwrap()
        })
        .collect()
}

/// What is wrong with these scores, if anything.
fn fault(scores: &[f64]) -> Option<String> {
    let count = scores.len() as f64;
    let mean = scores.iter().sum::<f64>() / count;
    let statistic = mean * count.sqrt() / (31.0_f64 / 29.0).sqrt();
    let coverage = scores.iter().filter(|z| z.abs() < 1.96).count() as f64 / count;
    (!(statistic.abs() <= NORMAL_AT_ONE_IN_A_MILLION) || !(0.90..=0.99).contains(&coverage))
        .then(|| format!("mean score {mean:.3} (statistic {statistic:.2}), coverage {coverage:.3}"))
}

#[test]
fn standard_errors_are_honest() {
    let mut tested = Vec::new();
    // 'auto' has a closed form here.
    for method in registry().iter().filter(|m| m.exactness() == Exactness::Unbiased && m.id() != "auto") {
        let scores = scores(*method, 6);
        assert_eq!(fault(&scores), None, "{}", method.id());
        tested.push(method.id());
    }
    assert_eq!(tested, ["smc", "ep_importance", "tilting", "splitting", "genz"]);
}

#[test]
fn dishonest_standard_errors_are_found() {
    let honest = scores(flatgauge::prior::find("genz").unwrap(), 6);
    assert!(fault(&honest.iter().map(|z| z + 0.6).collect::<Vec<_>>()).is_some(), "a bias");
    assert!(fault(&honest.iter().map(|z| z / 0.6).collect::<Vec<_>>()).is_some(), "standard errors too small");
    assert!(fault(&honest.iter().map(|z| z / 2.0).collect::<Vec<_>>()).is_some(), "standard errors too large");
}
