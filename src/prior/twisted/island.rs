//! One island: a population of particles drawn point after point, with resampling where the weights degenerate.

use super::guide::{BLOCK, GUIDES, Guides, SITED};
use crate::numeric::linalg::{add_scaled, gemm};
use crate::numeric::truncated::{fill_draws, fill_log_ndtr};
use crate::prior::particles::{copy_ancestors, open_uniform, summarise, systematic_ancestors};
use ndarray::{Array2, s};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Particles of an island.
pub(super) const LANES: usize = 512;

/// Resampling sets in when the effective number of particles falls below this share. The mixture itself leaves a
/// third of the particles effective; only what the sequence adds should trigger it.
const RESAMPLE_BELOW: f64 = 0.2;

/// What an island found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    /// Log of an unbiased estimate of `P`.
    pub log_estimate: f64,
    /// How often the population was resampled.
    pub resamplings: usize,
    /// Effective share of the particles at the end, `(sum w)^2 / (N sum w^2)`.
    pub effective_share: f64,
}

/// Per-particle state since the last resampling.
struct Population {
    /// `x`, one row per point, one column per particle.
    history: Array2<f64>,
    /// Log weight under the first guide: target so far over its proposal density.
    log_weight: Vec<f64>,
    /// Log proposal density of what was drawn, under each guide.
    log_density: [Vec<f64>; GUIDES],
    /// Which guide proposes for the particle.
    guide: Vec<u8>,
}

/// Draws one island.
pub(super) fn run(guides: &Guides, generator: &mut ChaCha8Rng, resample: bool) -> Outcome {
    let n = guides.points;
    let mut population = Population {
        history: Array2::zeros((n, LANES)),
        log_weight: vec![0.0; LANES],
        log_density: std::array::from_fn(|_| vec![0.0; LANES]),
        guide: vec![0; LANES],
    };
    population.deal_guides(guides, generator);
    let mut log_estimate = guides.guides[0].log_constant;
    let mut resamplings = 0;
    let mut pending = Array2::zeros(((1 + SITED) * BLOCK, LANES));
    let mut uniforms = vec![0.0; LANES];
    for forms in &guides.forms {
        let last = forms.ncols();
        let width = forms.nrows() / (1 + SITED);
        let first = last - width;
        let mut linear = pending.slice_mut(s![..forms.nrows(), ..]);
        gemm(linear.view_mut(), false, forms.slice(s![.., ..first]), population.history.slice(s![..first, ..]), 1.0);
        for i in first..last {
            uniforms.fill_with(|| open_uniform(generator));
            let rows: [&[f64]; 1 + SITED] = std::array::from_fn(|part| {
                let start = (part * width + (i - first)) * LANES;
                &linear.as_slice().expect("rows from the top of a row-major matrix are contiguous")
                    [start..start + LANES]
            });
            population.draw_point(guides, i, rows, &uniforms);
            let x = population.history.row(i);
            let x = x.as_slice().expect("rows are contiguous");
            for later in i + 1..last {
                for part in 0..=SITED {
                    let row = part * width + (later - first);
                    let mut target = linear.row_mut(row);
                    add_scaled(target.as_slice_mut().expect("rows are contiguous"), forms[[row, i]], x);
                }
            }
        }
        let weights = population.mixture_weights(guides);
        let (log_mean, effective_share) = summarise(&weights);
        if last == n {
            return Outcome { log_estimate: log_estimate + log_mean, resamplings, effective_share };
        }
        if resample && effective_share < RESAMPLE_BELOW {
            log_estimate += log_mean;
            resamplings += 1;
            population.resample(&weights, last, generator);
            population.deal_guides(guides, generator);
        }
    }
    unreachable!("the last block returns")
}

impl Population {
    /// Gives every guide its share of the particles, at random places: each particle's guide has the shares as its
    /// marginal distribution, whatever the particle's past.
    fn deal_guides(&mut self, guides: &Guides, generator: &mut ChaCha8Rng) {
        let mut dealt = 0;
        let mut share = 0.0;
        for (index, guide) in guides.guides.iter().enumerate() {
            share += guide.log_share.exp();
            let end = if index + 1 == GUIDES { LANES } else { (share * LANES as f64).round() as usize };
            self.guide[dealt..end].fill(index as u8);
            dealt = end;
        }
        for k in (1..LANES).rev() {
            self.guide.swap(k, generator.random_range(0..=k));
        }
    }

    /// Draws point `i` of every particle; `rows` are `b_i` and the sited guides' linear parts.
    fn draw_point(&mut self, guides: &Guides, i: usize, rows: [&[f64]; 1 + SITED], uniforms: &[f64]) {
        let g: [_; GUIDES] = std::array::from_fn(|k| {
            let guide = &guides.guides[k];
            (guide.curvature[i], guide.intercept[i], guide.slope[i], guide.offset[i], guide.deviation[i])
        });
        let log_step = guides.guides[0].log_step[i];
        let log_deviation: [f64; GUIDES] = std::array::from_fn(|k| g[k].4.ln());
        let b = rows[0];
        let (mut standard, mut log_mass) = ([[0.0; LANES]; GUIDES], [[0.0; LANES]; GUIDES]);
        for k in 0..GUIDES {
            let (_, intercept, slope, offset, _) = g[k];
            let mean = |lane: usize| b[lane] + intercept + if k < SITED { rows[1 + k][lane] } else { 0.0 };
            for (lane, standard) in standard[k].iter_mut().enumerate() {
                *standard = slope * mean(lane) - offset;
            }
            fill_log_ndtr(&standard[k], &mut log_mass[k]);
            if k == 0 {
                let known = standard[0].iter().zip(&log_mass[0]);
                for (lane, (log_weight, (standard, log_mass))) in self.log_weight.iter_mut().zip(known).enumerate() {
                    *log_weight += log_step + 0.5 * (standard * standard - g[0].0 * mean(lane).powi(2)) + log_mass;
                }
            }
        }
        let mut chosen = [0.0; LANES];
        for (lane, (chosen, guide)) in chosen.iter_mut().zip(&self.guide).enumerate() {
            *chosen = standard[*guide as usize][lane];
        }
        let (mut chosen_mass, mut draws) = ([0.0; LANES], [0.0; LANES]);
        fill_draws(&chosen, uniforms, &mut chosen_mass, &mut draws);
        let mut x = self.history.row_mut(i);
        let x = x.as_slice_mut().expect("rows are contiguous");
        for lane in 0..LANES {
            let deviation = g[self.guide[lane] as usize].4;
            let y = deviation * (chosen[lane] + draws[lane]).max(f64::MIN_POSITIVE);
            x[lane] = y - b[lane];
            for k in 0..GUIDES {
                let t = y / g[k].4 - standard[k][lane];
                self.log_density[k][lane] -= 0.5 * t * t + log_deviation[k] + log_mass[k][lane];
            }
        }
    }

    /// Log weights under the mixture of guides (the balance heuristic, Veach and Guibas 1995).
    fn mixture_weights(&self, guides: &Guides) -> Vec<f64> {
        (0..LANES)
            .map(|lane| {
                let own = self.log_density[0][lane];
                let terms: [f64; GUIDES] =
                    std::array::from_fn(|k| guides.guides[k].log_share + self.log_density[k][lane] - own);
                let largest = terms.into_iter().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = terms.iter().map(|term| (term - largest).exp()).sum();
                self.log_weight[lane] - largest - sum.ln()
            })
            .collect()
    }

    /// Systematic resampling of the first `drawn` points.
    fn resample(&mut self, log_weights: &[f64], drawn: usize, generator: &mut ChaCha8Rng) {
        let ancestors = systematic_ancestors(log_weights, generator);
        copy_ancestors(self.history.slice_mut(s![..drawn, ..]), &ancestors);
        self.log_weight.fill(0.0);
        for density in &mut self.log_density {
            density.fill(0.0);
        }
    }
}
