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

/// Agreement of NNGP Gram matrices, relative to `sqrt(K_ii K_jj)`: a depth of ten adds about ten
/// roundings a layer to a product of some hundred terms; `1e-12` is `1e4` roundings.
pub const NNGP_AGREEMENT: f64 = 1e-12;

/// Agreement of derivatives by two float64 programs, relative to the largest entry: sums of some
/// thousand products in different orders, times the conditioning of a second derivative.
pub const DERIVATIVE_AGREEMENT: f64 = 1e-10;

/// Agreement of an analytic directional derivative with a central difference, relative to the largest
/// entry: the step `1e-5` leaves `1e-10` of curvature and `u / 1e-5 = 1e-11` of rounding, times a
/// hundredfold margin for derivatives that cancel.
pub const DIFFERENCE_AGREEMENT: f64 = 1e-8;
