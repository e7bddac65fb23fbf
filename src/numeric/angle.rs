//! Angles of a vector of the first quadrant, in code that compiles to vector instructions.

use super::arctangent_table::COEFFICIENTS;
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4};

/// `tan(pi / 8)`: the arctangent's polynomial covers slopes up to here.
const TAN_EIGHTH: f64 = 0.414_213_562_373_095_03;

/// `atan2(y, x)` and `atan2(x, y)` for `y, x >= 0`, each to a few roundings of itself; their sum is `pi / 2`, at
/// the origin `(0, pi / 2)`.
///
/// Selections instead of branches, no call, no fused operations: loops over it vectorise, and their
/// bits do not depend on the width of the machine's vectors.
#[inline(always)]
pub(crate) fn angles(y: f64, x: f64) -> (f64, f64) {
    let (small, large) = if y > x { (x, y) } else { (y, x) };
    // arctan(t) = pi / 4 + arctan((t - 1) / (t + 1)).
    let shift = small > TAN_EIGHTH * large;
    let numerator = if shift { small - large } else { small };
    let denominator = if shift { small + large } else { large };
    // The origin has no direction; a denominator of 1 makes it 0 without a branch.
    let denominator = if denominator == 0.0 { 1.0 } else { denominator };
    let t = numerator / denominator;
    let z = t * t;
    let mut polynomial = COEFFICIENTS[12];
    let mut k = 12;
    while k > 0 {
        k -= 1;
        polynomial = polynomial * z + COEFFICIENTS[k];
    }
    let base = t + t * z * polynomial;
    let base = if shift { FRAC_PI_4 + base } else { base };
    let complement = FRAC_PI_2 - base;
    if y > x { (complement, base) } else { (base, complement) }
}

/// `1.5 2^52`: a number of size below `2^51` loses its fraction when this is added, and keeps the whole part rounded to nearest.
pub(super) const WHOLE: f64 = 6_755_399_441_055_744.0;

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    fn angle(y: f64, x: f64) -> f64 {
        angles(y, x).0
    }

    #[test]
    fn agrees_with_atan2_all_around_the_quadrant() {
        for step in 0..=20_000 {
            let angle_in = FRAC_PI_2 * f64::from(step) / 20_000.0;
            let (y, x) = angle_in.sin_cos();
            let x = x.abs();
            for scale in [1e-120, 1.0, 3.7e80] {
                assert_relative_eq!(
                    angle(scale * y, scale * x),
                    (scale * y).atan2(scale * x),
                    max_relative = 4.0 * f64::EPSILON
                );
            }
        }
        for exponent in 1..300 {
            let tiny = 10_f64.powi(-exponent);
            assert_relative_eq!(angle(tiny, 1.0), tiny.atan2(1.0), max_relative = 2.0 * f64::EPSILON);
            assert_relative_eq!(angle(1.0, tiny), 1.0_f64.atan2(tiny), max_relative = f64::EPSILON);
        }
        assert_eq!(angles(0.0, 0.0), (0.0, FRAC_PI_2));
        assert_eq!(angles(3.0, 1e-30).1, 1e-30 / 3.0);
        assert_eq!(angle(0.0, 5.0), 0.0);
        assert_eq!(angle(5.0, 0.0), FRAC_PI_2);
        assert!(angle(f64::NAN, 1.0).is_nan() && angle(1.0, f64::NAN).is_nan());
    }
}
