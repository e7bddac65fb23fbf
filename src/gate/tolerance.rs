//! Tolerances of the gate alone, each with its derivation.

use crate::kernel::Kind;
use crate::numeric::Dtype;
use crate::numeric::tolerance::{CURVATURE_AGREEMENT, NNGP_AGREEMENT, NTK_AGREEMENT, SUMMATION_AGREEMENT};

/// Probability that a run of the gate fails a correct estimator by chance.
pub(crate) const FALSE_ALARM_RATE: f64 = 1e-6;

/// Stochastic decisions over which [`FALSE_ALARM_RATE`] is split: more than any run of the law book makes, so that
/// what is decided of one case does not depend on what else is run.
pub(crate) const MOST_DECISIONS: f64 = 20_000.0;

/// Standard errors by which two honest answers may differ in the gate.
pub(crate) const GATE_Z: f64 = 10.0;

/// Probability that a correct answer is further off than [`GATE_Z`] of its standard errors.
///
/// A standard error from 32 replicates is itself uncertain by an eighth, so the deviate is Student's with 31 degrees of
/// freedom, which exceeds 10 in size with probability `3.21e-11` (a normal one: `1.5e-23`). Over [`MOST_DECISIONS`]
/// that is `6.6e-7`, below [`FALSE_ALARM_RATE`].
pub(crate) const GATE_FALSE_ALARM: f64 = 3.3e-11;

const _: () = assert!(GATE_FALSE_ALARM * MOST_DECISIONS <= FALSE_ALARM_RATE);

/// Standard errors by which an answer must move to be seen to move.
///
/// An answer that stays where it is is further off than 6.6 of its standard errors with probability `2.3e-7` (Student's
/// distribution as for [`GATE_FALSE_ALARM`]). Where nothing is seen, nothing is decided, so no correct estimator fails by this.
pub(crate) const SEEN_Z: f64 = 6.6;

/// Size of an error, in units of the number itself, that a comparison must be able to catch with probability 0.99 to say
/// anything.
///
/// An error is looked at again from 3 standard errors on, so with [`POWER_Z`] it takes a standard error below 40% of the
/// number. The noisiest built-in measure whose invariance is tested has 32% at the draws it takes by default.
pub(crate) const LEAST_POWER: f64 = 2.2;

/// Standard errors of a prediction up to which the standard error of the answer held to it is no fault of the answer's: a
/// measure whose own definition is that noisy decides no more.
pub(crate) const NO_NOISIER: f64 = 2.0;

/// Standard errors beyond [`GATE_Z`] at which a bias is caught with probability 0.99: Student's quantile with 31
/// degrees of freedom.
pub(crate) const POWER_Z: f64 = 2.46;

/// Relative agreement of log Phi and the hazard with their certified values: a few hundred roundings.
pub(crate) const CERTIFIED_NORMAL: f64 = 1e-13;

/// Agreement of a Gram matrix with its certified one, relative to `sqrt(K_ii K_jj)`.
///
/// Both are computed in f64; a layer adds some ten roundings to an entry, the product over features
/// `sqrt(d)` to `d` of them: below `1e-13` for a few hundred features and ten layers.
pub(crate) const CERTIFIED_KERNEL: f64 = 1e-12;

/// Agreement of a method with the certified fixed point of its own iteration, in nats, beside what the
/// certified value is uncertain by: each side stops within about `1e-10` of it.
pub(crate) const CERTIFIED_FIXED_POINT: f64 = 1e-7;

/// Agreement with closed forms of log P, relative to `max(1, |log P|)`: a few hundred roundings of a
/// quadrature's sum, and as many of `log P` itself.
pub(crate) const CERTIFIED_CLOSED_FORM: f64 = 1e-11;

/// The shares of the value, and of the sizes of what is added up, by which two answers of a measure may differ in a format.
///
/// In float64 [`CURVATURE_AGREEMENT`] and [`SUMMATION_AGREEMENT`]. In float32 an eigenvalue that is iterated until nothing moves
/// is off by `1000 u = 6e-5` of the largest for a thousand parameters, a product of ten layers by a few hundred roundings, and
/// second derivatives multiply two of them: `1e-3`; sums have the same ten thousand roundings, of `2^-24` each.
pub(crate) fn curvature_agreement(dtype: Dtype) -> [f64; 2] {
    match dtype {
        Dtype::Float64 => [CURVATURE_AGREEMENT, SUMMATION_AGREEMENT],
        Dtype::Float32 => [1e-3, 6e-4],
    }
}

/// The share of `sqrt(K_ii K_jj)` by which two ways to one entry of a Gram matrix may differ in a format.
///
/// In float32 an angle between nearly parallel inputs is off by `(8 u)^(1/2) = 7e-4`, and with it the factor
/// `(pi - theta) / (2 pi)` of a layer of a tangent kernel by `7e-4 / pi` of itself; ten layers add up.
pub(crate) fn kernel_agreement(kind: Kind, dtype: Dtype) -> f64 {
    match (dtype, kind) {
        (Dtype::Float64, Kind::Nngp) => NNGP_AGREEMENT,
        (Dtype::Float64, Kind::Ntk) => NTK_AGREEMENT,
        (Dtype::Float32, _) => 2e-3,
    }
}

/// Agreement of parameters after fifty steps of an optimiser with those of another float64 program, relative to the largest: a
/// step adds some tens of roundings, `1e-14`, and over the fifty steps of the certified problems an error grows by less than a
/// thousandfold.
#[cfg(feature = "studies")]
pub(crate) const CERTIFIED_TRAJECTORY: f64 = 1e-10;

/// Standard errors from which on a comparison that passes is looked at again: one of 190 right ones (Student's
/// distribution with 31 degrees of freedom, as for [`GATE_FALSE_ALARM`]).
pub(crate) const SUSPICIOUS_Z: f64 = 3.0;

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
        assert!((student_tail(SEEN_Z) / 2.25e-7 - 1.0).abs() < 0.01, "{:e}", student_tail(SEEN_Z));
        assert!((student_tail(POWER_Z) - 0.02).abs() < 1e-3, "{}", student_tail(POWER_Z));
    }
}
