//! Every tolerance of the project by name, with its derivation.

/// Unit roundoff of f64, `2^-53`: the relative error of one rounded operation.
pub const UNIT_ROUNDOFF: f64 = f64::EPSILON / 2.0;

/// Largest asymmetry `|K_ij - K_ji|` accepted in a Gram matrix, relative to `sqrt(K_ii K_jj)`.
///
/// Two programs that sum a few thousand products in different orders differ by about `1e-13`;
/// `1e-10` leaves room for a kernel of depth 100 and is far below any real asymmetry.
pub const GRAM_ASYMMETRY: f64 = 1e-10;

/// Most negative eigenvalue accepted in a Gram matrix of unit diagonal, per point.
///
/// A kernel computed in f64 carries relative errors of some tens of roundings an entry; the spectral
/// norm of such an error matrix is at most `n` times as large. `1e-13 n` is refused by no computed
/// kernel we know and found in no matrix that is really indefinite.
pub const GRAM_NEGATIVITY: f64 = 1e-13;

/// Relative agreement of a curvature measure with its dense definition.
///
/// Traces and quadratic forms add at most `1e5` products, so two orders of summation differ by less than
/// `1e5 u = 1e-11`; eigenvalues are iterated to a residual of `1e-10`. Rescaling by a diagonal multiplies
/// entries by exact factors and adds three roundings to each.
pub const CURVATURE_AGREEMENT: f64 = 1e-9;

/// Agreement of two answers for log P that a symmetry makes equal, relative to `1 + |log P|`.
///
/// EP stops once log P moves by less than `1e-10` in an iteration; converging by a factor of 0.99 an
/// iteration or faster it is then within `1e-8` of its fixed point.
pub const PRIOR_SYMMETRY: f64 = 1e-8;

/// Standard errors by which two honest answers may differ in the gate.
///
/// A normal deviate exceeds 6 with probability `2e-9`; over the few hundred statistical comparisons of a
/// run the false-alarm rate stays below `1e-6`. A bias of 8 standard errors is caught with probability 0.98.
pub const GATE_Z: f64 = 6.0;
