//! Tolerances of the methods for log P(f), each with its derivation.

/// Unit roundoff of float32, `2^-24`.
pub(crate) const SINGLE_ROUNDOFF: f64 = 1.0 / 16_777_216.0;

/// Largest asymmetry `|K_ij - K_ji|` accepted in a Gram matrix, relative to `sqrt(K_ii K_jj)`.
///
/// Two programs that sum a few thousand products in different orders differ by about `1e-13`;
/// `1e-10` leaves room for a kernel of depth 100 and is far below any real asymmetry.
pub(crate) const GRAM_ASYMMETRY: f64 = 1e-10;

/// Most negative eigenvalue accepted in a Gram matrix of unit diagonal, per point.
///
/// A kernel computed in f64 carries relative errors of some tens of roundings an entry; the spectral
/// norm of such an error matrix is at most `n` times as large. `1e-13 n` is refused by no computed
/// kernel we know and found in no matrix that is really indefinite.
pub(crate) const GRAM_NEGATIVITY: f64 = 1e-13;

/// Independent replicates behind a standard error, at least: what the built-in methods take, and what
/// the gate's rate of false alarms allows for.
pub(crate) const LEAST_REPLICATES: usize = 32;

/// Two points are one when their correlation is within this many roundings of 1 in absolute value, unless the matrix
/// tells them apart (`prior/rank.rs`, rule 4).
///
/// Three computed entries of one rounding each move `1 - |rho|` by two roundings, rescaling by three more numbers of one
/// rounding each by as many again.
pub(crate) const COPY_CORRELATION: f64 = 4.0;

/// ... and their correlations with all other points agree to this many roundings.
///
/// `1e-12` in f64: rounding moves them by about `1e-15`, a real difference of two points allowed by [`COPY_CORRELATION`]
/// by up to `sqrt(2 * 4.4e-16) = 3e-8`.
pub(crate) const COPY_ROW: f64 = 1e4;

/// Conditional variance, per point and for unit diagonal, at which a point depends on others, in roundings of the format.
///
/// An error of one rounding in every entry moves a conditional variance by `u |w|_1^2`, `w` its coefficients with 1 for the
/// point itself. With the largest pivots first `w` is of the size of 1 and errors add up at random, to some `u` to
/// `sqrt(n) u`; `2 n` leaves four standard deviations at three points and ten at twelve.
pub(crate) const RANK_ROUNDINGS: f64 = 2.0;

/// Pivot of a Cholesky factorisation in f64 below which a matrix is looked at again in double-double arithmetic.
///
/// Pivots carry errors of up to some `n u`, so at `n = 1000` one of `1e-9` still has four digits, which moves log P by
/// less than `1e-4` of its standard error.
pub(crate) const SMALL_PIVOT: f64 = 1e-9;

/// Smallest pivot with which samplers guided by f64 iterations answer: these carry relative errors of `u` over the pivot, `1e-5`
/// here, in what they propose and bound; the factor they draw with has all its digits.
pub(crate) const SAMPLING_PIVOT: f64 = 1e-11;

/// Distance of a correlation from 1 in absolute value below which one of two points is taken as a near copy of the other.
pub(crate) const NEAR_COPY: f64 = 1e-6;

/// Change of `log Z` between two iterations below which expectation propagation has converged, in nats
/// (relative to `log Z` where that is larger than 1).
///
/// Ten times what rounding leaves of a sum of a few thousand terms (`1e3 * 64 * 1.1e-16 = 1e-11`).
pub(crate) const EP_CONVERGENCE: f64 = 1e-10;

/// Largest distance of a site's logarithm of precision, or of its scaled shift, from where the next update would put it, once
/// expectation propagation has converged.
///
/// `log Z` is stationary in the sites: a distance `d` at one of them moves it by about `d^2`, which is `1e-10` here.
pub(crate) const EP_SITE_CONVERGENCE: f64 = 1e-5;

/// `1 - b` below which the posterior variance `(1 - b) / tau` is computed another way.
///
/// The subtraction costs `1.1e-16 / (1 - b)` in relative accuracy: `1e-11` at this value, well below what
/// moves `log Z`, which is stationary in the sites.
pub(crate) const EP_DIAGONAL_LOSS: f64 = 1e-5;

/// Largest deviation of a correlation from a product of two loadings that is put down to rounding.
///
/// Loadings come from two divisions and a root and carry about ten roundings; the probability of `n` points
/// moves by at most `n^2 / 4` times the deviation, `2.5e-9` in log P at worst for `n = 1000`, where such a
/// matrix would have to be built to deceive.
/// Where loadings come close to 1 it is relative to `sqrt(1 - l^2)`, `l` the smaller loading of the two: a deviation `d` moves
/// a probability by less than `d / (2 pi sqrt(1 - R_ij^2))`.
pub(crate) const ONE_FACTOR_ENTRY: f64 = 1e-14;

/// The same where the deviation is of no more than two roundings: what a computed product of loadings carries.
pub(crate) const ONE_FACTOR_ROUNDING: f64 = 1e-8;

/// Change of `log P`, relative to its size where that is above 1, at which the trapezoid rule stops.
///
/// Each halving of the step squares the rule's error on an analytic integrand, so the last value is far better
/// than its distance to the one before; a sum of a thousand log probabilities carries `1e-13` of rounding.
pub(crate) const QUADRATURE_STANDSTILL: f64 = 1e-11;

/// Newton decrement at which the minimax tilt is solved: twice what is left of its convex function, in nats.
///
/// The bound it gives holds at any point, so this only says how tight it is; `1e-12` is the rounding of a sum of a
/// thousand terms.
pub(crate) const TILT_GRADIENT: f64 = 1e-12;

/// Largest last step of Laplace's mode, relative to the mode where that exceeds 1.
///
/// Newton's method converges quadratically, so the step after one of `1e-9` is `1e-18`: the mode is good to rounding,
/// and with it `log det`, which (unlike `psi`) is not stationary there.
pub(crate) const LAPLACE_MODE: f64 = 1e-9;
