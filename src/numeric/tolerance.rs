//! Tolerances that several rooms share, by name and with their derivations. Those of one room are in its own `tolerance.rs`.

/// Unit roundoff of f64, `2^-53`: the relative error of one rounded operation.
pub const UNIT_ROUNDOFF: f64 = f64::EPSILON / 2.0;

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

/// Relative agreement of a curvature measure with its certified value.
///
/// Two float64 programs with dense Hessians of 921 parameters: eigenvalues carry `921 u norm(H)`, `1e-13`
/// relative to the largest; log det adds the relative errors of the smallest shifted ones, up to `1e-10`.
pub const CERTIFIED_CURVATURE: f64 = 1e-8;

/// Agreement of NNGP Gram matrices, relative to `sqrt(K_ii K_jj)`: a depth of ten adds about ten
/// roundings a layer to a product of some hundred terms; `1e-12` is `1e4` roundings.
pub const NNGP_AGREEMENT: f64 = 1e-12;

/// Agreement of derivatives by two float64 programs, relative to the largest entry: sums of some
/// thousand products in different orders, times the conditioning of a second derivative.
pub const DERIVATIVE_AGREEMENT: f64 = 1e-10;

/// Agreement of sums of up to some thousand terms that are added in different orders, relative to the sum of
/// their sizes: `1000 u = 1e-13`, with room for the few roundings of each term. The laws of curvature add it to
/// [`CURVATURE_AGREEMENT`], which is relative to the sum itself, so that a sum that cancels is held to what its summands
/// leave room for; an eigenvalue is off by at most the norm of the errors of what is added up (Weyl).
pub const SUMMATION_AGREEMENT: f64 = 1e-12;

/// Agreement of fully connected tangent kernels, relative to `sqrt(T_ii T_jj)`: ten layers of some ten
/// roundings each on angles known to `1e-15`; `1e-11` is `1e5` roundings.
pub const NTK_AGREEMENT: f64 = 1e-11;

/// Agreement of deep erf kernels of two inputs whose lengths differ by some `1e-10` of themselves, relative to
/// `sqrt(K_ii K_jj)`.
///
/// The difference of their standard deviations keeps `u / 1e-10 = 1e-6` of itself, and a tenth of that is the share of it in
/// the angle that the first layer makes of theirs. Where depth has let that angle grow to 1, the kernel follows it.
pub const NEAR_DUPLICATE_AGREEMENT: f64 = 1e-7;

/// As [`NTK_AGREEMENT`], with sums over some thousand pairs of positions in between.
pub const NTK_SPATIAL_AGREEMENT: f64 = 1e-10;

/// Error per layer of a tangent kernel whose angle `theta` between nearly parallel inputs is computed from
/// their covariance: eight roundings `u` in `1 - cos^2` leave `theta` off by `sqrt(8 u)` and its factor
/// `(pi - theta) / (2 pi)` by `sqrt(8 u) / (2 pi) = 4.7e-9`, relative to the factor `1/2`: `1e-8`.
pub const COVARIANCE_ANGLE_ERROR: f64 = 1e-8;
