//! The proposals of the sequential sampler: the prior, twisted by Gaussian stand-ins for constraints to come.
//!
//! With `R = L L^T` and `h = L x`, the points are drawn one after another: given `x_1 .. x_(i-1)`, the constraint
//! `h_i > 0` asks `y = x_i + b_i > 0`, where `b_i = sum_(j<i) L_ij x_j / L_ii`. A guide replaces the constraints of
//! later points by sites `exp(-tau_j h_j^2 / 2 + nu_j h_j)`; what it says about `y` then is exactly Gaussian,
//! `N(c, v)` with `c` linear in the past, and the guide proposes that Gaussian restricted to `y > 0`.
//!
//! With all sites in place the density of `x` has precision `G = I + L^T T L = D^T D`, `D` lower triangular (the
//! Cholesky factorisation run backwards), and centre `G^-1 L^T nu`. Row `i` of `D` gives mean and precision of
//! `x_i` given the past; dividing out the point's own site leaves `1/v = D_ii^2 - tau_i L_ii^2 >= 1`. Nothing is
//! inverted and nothing cancels, so nearly singular `R` does no harm.

use crate::numeric::linalg::{Cholesky, par_gram};
use ndarray::{Array1, Array2, s};

/// How strongly the sites of expectation propagation are used, and the share of the particles proposed so.
///
/// The first guide is nearly the posterior itself, and by far the best for most functions. Its tails are too light
/// where the posterior is far from Gaussian (nearly constant labels), which would make the weights' variance
/// infinite; the mixture cures this. The last guide is the prior with each constraint imposed in turn (Geweke,
/// Hajivassiliou, Keane), whose weights are below 1: weights under the mixture are below `1 / share = 5`, so all
/// their moments exist.
pub(super) const STRENGTHS: [(f64, f64); GUIDES] = [(1.0, 0.6), (0.3, 0.2), (0.0, 0.2)];

/// Number of guides in the mixture.
pub(super) const GUIDES: usize = 3;

/// Points advanced together: the past enters them by one matrix product.
pub(super) const BLOCK: usize = 32;

/// One guide's numbers for every point, in the order of the points.
pub(super) struct Guide {
    /// Logarithm of its share of the particles.
    pub log_share: f64,
    /// `D_ii^2`.
    pub curvature: Vec<f64>,
    /// Constant part of the mean of `x_i` given the past.
    pub intercept: Vec<f64>,
    /// `c / sqrt(v) = slope * (mean of y with the own site) - offset`.
    pub slope: Vec<f64>,
    /// See `slope`.
    pub offset: Vec<f64>,
    /// `sqrt(v)`.
    pub deviation: Vec<f64>,
    /// `log(sqrt(v) D_ii)`.
    pub log_step: Vec<f64>,
    /// `log int N(x; 0, I) prod sites`.
    pub log_constant: f64,
}

/// Everything the sampler needs, prepared once.
pub(super) struct Guides {
    pub points: usize,
    pub guides: [Guide; GUIDES],
    /// For each block of points `first..last` a matrix of `last` columns whose rows give, from the past and from
    /// earlier points of the block, first the `b_i` and then each sited guide's linear part of the mean of `x_i`.
    pub forms: Vec<Array2<f64>>,
}

/// Guides with rows of their own in [`Guides::forms`]; the unsited prior's mean is zero.
pub(super) const SITED: usize = GUIDES - 1;

impl Guides {
    /// From the Cholesky factor of the correlation matrix in sampling order, and sites of precision `tau` and shift `nu`.
    pub fn new(lower: &Array2<f64>, precision: &[f64], shift: &[f64]) -> Self {
        let n = lower.nrows();
        let full = par_gram(Array2::from_shape_fn((n, n), |(i, j)| lower[[j, i]] * precision[j].sqrt()).view());
        let pull = lower.t().dot(&Array1::from_vec(shift.to_vec()));
        let mut factors = Vec::with_capacity(SITED);
        let guides = STRENGTHS.map(|(strength, share)| {
            let factor = (strength > 0.0).then(|| backward_factor(&full, strength));
            let guide = Guide::new(lower, factor.as_ref(), (strength, share), &pull, precision, shift);
            factors.extend(factor);
            guide
        });
        let forms = (0..n).step_by(BLOCK).map(|first| block_forms(lower, &factors, first)).collect();
        Self { points: n, guides, forms }
    }
}

/// Lower triangular `D` with `D^T D = I + strength * full`: the Cholesky factor of the matrix read backwards.
fn backward_factor(full: &Array2<f64>, strength: f64) -> Array2<f64> {
    let n = full.nrows();
    let reversed = Array2::from_shape_fn((n, n), |(i, j)| {
        strength * full[[n - 1 - i, n - 1 - j]] + if i == j { 1.0 } else { 0.0 }
    });
    let cholesky = Cholesky::new(reversed).expect("the identity plus a positive semi-definite matrix is definite");
    let lower = cholesky.lower();
    Array2::from_shape_fn((n, n), |(i, j)| lower[[n - 1 - j, n - 1 - i]])
}

impl Guide {
    fn new(
        lower: &Array2<f64>,
        factor: Option<&Array2<f64>>,
        (strength, share): (f64, f64),
        pull: &Array1<f64>,
        precision: &[f64],
        shift: &[f64],
    ) -> Self {
        let n = lower.nrows();
        let diagonal: Vec<f64> = match factor {
            Some(factor) => factor.diag().to_vec(),
            None => vec![1.0; n],
        };
        // half = D^-T L^T nu = D centre: row i of D (x - centre) = z then reads D_ii x_i = half_i - sum_(j<i) D_ij x_j + z_i.
        let half = match factor {
            Some(factor) => backward_solve(factor, &(pull * strength)),
            None => Array1::zeros(n),
        };
        let mut guide = Self {
            log_share: share.ln(),
            curvature: Vec::with_capacity(n),
            intercept: Vec::with_capacity(n),
            slope: Vec::with_capacity(n),
            offset: Vec::with_capacity(n),
            deviation: Vec::with_capacity(n),
            log_step: Vec::with_capacity(n),
            log_constant: 0.5 * half.dot(&half) - diagonal.iter().map(|d| d.ln()).sum::<f64>(),
        };
        for i in 0..n {
            let curvature = diagonal[i] * diagonal[i];
            let scale = lower[[i, i]];
            // At least 1 in exact arithmetic: the prior of x_i itself.
            let cavity_precision = (curvature - strength * precision[i] * scale * scale).max(1.0);
            let deviation = 1.0 / cavity_precision.sqrt();
            guide.curvature.push(curvature);
            guide.intercept.push(half[i] / diagonal[i]);
            guide.slope.push(deviation * curvature);
            guide.offset.push(deviation * strength * shift[i] * scale);
            guide.deviation.push(deviation);
            guide.log_step.push((deviation * diagonal[i]).ln());
        }
        guide
    }
}

/// `D^-T b` for lower triangular `D`.
fn backward_solve(factor: &Array2<f64>, b: &Array1<f64>) -> Array1<f64> {
    let mut x = b.clone();
    for i in (0..x.len()).rev() {
        let value = x[i] / factor[[i, i]];
        x[i] = value;
        let row = factor.slice(s![i, ..i]);
        x.slice_mut(s![..i]).scaled_add(-value, &row);
    }
    x
}

/// Rows `b_i` and `-D_ij / D_ii` of the block that starts at `first`.
fn block_forms(lower: &Array2<f64>, factors: &[Array2<f64>], first: usize) -> Array2<f64> {
    let last = (first + BLOCK).min(lower.nrows());
    let width = last - first;
    let mut forms = Array2::zeros(((1 + factors.len()) * width, last));
    for (part, (matrix, sign)) in
        std::iter::once((lower, 1.0)).chain(factors.iter().map(|factor| (factor, -1.0))).enumerate()
    {
        for i in first..last {
            let row = matrix.slice(s![i, ..i]).mapv(|entry| sign * entry / matrix[[i, i]]);
            forms.slice_mut(s![part * width + (i - first), ..i]).assign(&row);
        }
    }
    forms
}
