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

/// Probability that a run of the gate fails a correct estimator by chance.
pub const FALSE_ALARM_RATE: f64 = 1e-6;

/// Stochastic decisions over which [`FALSE_ALARM_RATE`] is split: more than any run of the law book makes, so that
/// what is decided of one case does not depend on what else is run.
pub const MOST_DECISIONS: f64 = 20_000.0;

/// Standard errors by which two honest answers may differ in the gate.
pub const GATE_Z: f64 = 10.0;

/// Probability that a correct answer is further off than [`GATE_Z`] of its standard errors.
///
/// A standard error from 32 replicates is itself uncertain by an eighth, so the deviate is Student's with 31 degrees of
/// freedom, which exceeds 10 in size with probability `3.21e-11` (a normal one: `1.5e-23`). Over [`MOST_DECISIONS`]
/// that is `6.6e-7`, below [`FALSE_ALARM_RATE`].
pub const GATE_FALSE_ALARM: f64 = 3.3e-11;

/// Standard errors by which an answer must move to be seen to move.
///
/// An answer that stays where it is is further off than 6.6 of its standard errors with probability `2.3e-7` (Student's
/// distribution as for [`GATE_FALSE_ALARM`]). Where nothing is seen, nothing is decided, so no correct estimator fails by this.
pub const SEEN_Z: f64 = 6.6;

/// Size of an error, in units of the number itself, that a comparison must be able to catch with probability 0.99 to say
/// anything.
///
/// With [`GATE_Z`] and [`POWER_Z`] it takes a standard error below 40% of the number. The noisiest built-in measure whose
/// invariance is tested has 32% at the draws it takes by default.
pub const LEAST_POWER: f64 = 5.0;

/// Standard errors of a prediction up to which the standard error of the answer held to it is no fault of the answer's: a
/// measure whose own definition is that noisy decides no more.
pub const NO_NOISIER: f64 = 2.0;

/// Standard errors beyond [`GATE_Z`] at which a bias is caught with probability 0.99: Student's quantile with 31
/// degrees of freedom.
pub const POWER_Z: f64 = 2.46;

/// Relative agreement of log Phi and the hazard with their certified values: a few hundred roundings.
pub const CERTIFIED_NORMAL: f64 = 1e-13;

/// Agreement of a Gram matrix with its certified one, relative to `sqrt(K_ii K_jj)`.
///
/// Both are computed in f64; a layer adds some ten roundings to an entry, the product over features
/// `sqrt(d)` to `d` of them: below `1e-13` for a few hundred features and ten layers.
pub const CERTIFIED_KERNEL: f64 = 1e-12;

/// Relative agreement of a curvature measure with its certified value.
///
/// Two float64 programs with dense Hessians of 921 parameters: eigenvalues carry `921 u norm(H)`, `1e-13`
/// relative to the largest; log det adds the relative errors of the smallest shifted ones, up to `1e-10`.
pub const CERTIFIED_CURVATURE: f64 = 1e-8;

/// Agreement of a method with the certified fixed point of its own iteration, in nats, beside what the
/// certified value is uncertain by: each side stops within about `1e-10` of it.
pub const CERTIFIED_FIXED_POINT: f64 = 1e-7;

/// Agreement with closed forms of log P, relative to `max(1, |log P|)`: a few hundred roundings of a
/// quadrature's sum, and as many of `log P` itself.
pub const CERTIFIED_CLOSED_FORM: f64 = 1e-11;

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::PI;

    /// `P(|t| > x)` for Student's distribution with 31 degrees of freedom, by Simpson's rule in `1 / t`.
    fn student_tail(x: f64) -> f64 {
        // Gamma(16) / Gamma(31/2) from Gamma(1) / Gamma(1/2).
        let ratio = (1..16).fold(1.0 / PI.sqrt(), |ratio, k| ratio * f64::from(k) / (f64::from(k) - 0.5));
        let density = |t: f64| ratio / (31.0 * PI).sqrt() * (1.0 + t * t / 31.0).powi(-16);
        let integrand = |w: f64| if w == 0.0 { 0.0 } else { density(1.0 / w) / (w * w) };
        let steps = 2000;
        let width = 1.0 / x / f64::from(steps);
        let sum: f64 = (0..=steps)
            .map(|k| {
                integrand(f64::from(k) * width) * if k == 0 || k == steps { 1.0 } else { f64::from(2 + 2 * (k % 2)) }
            })
            .sum();
        2.0 * sum * width / 3.0
    }

    #[test]
    fn the_gates_false_alarms_are_those_of_student() {
        assert!((student_tail(2.0395) - 0.05).abs() < 1e-5, "{}", student_tail(2.0395));
        let rate = student_tail(GATE_Z);
        assert!(rate <= GATE_FALSE_ALARM && rate > 0.95 * GATE_FALSE_ALARM, "{rate:e}");
        const { assert!(GATE_FALSE_ALARM * MOST_DECISIONS <= FALSE_ALARM_RATE) };
        assert!((student_tail(SEEN_Z) / 2.25e-7 - 1.0).abs() < 0.01, "{:e}", student_tail(SEEN_Z));
        assert!((student_tail(POWER_Z) - 0.02).abs() < 1e-3, "{}", student_tail(POWER_Z));
    }
}
