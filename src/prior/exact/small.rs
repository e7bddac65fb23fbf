//! Up to three points: solid angles.

use ndarray::ArrayView2;
use std::f64::consts::PI;

/// `log P` for one, two or three points; `None` for more.
pub(super) fn log_orthant(correlation: ArrayView2<f64>) -> Option<f64> {
    let r = |i: usize, j: usize| correlation[[i, j]];
    match correlation.nrows() {
        1 => Some(-std::f64::consts::LN_2),
        2 => Some((angle(r(0, 1)) / (2.0 * PI)).ln()),
        3 => Some((solid_angle(r(0, 1), r(0, 2), r(1, 2)) / (4.0 * PI)).ln()),
        _ => None,
    }
}

/// Angle of the cone `{h_1 > 0, h_2 > 0}` at correlation `rho`, `pi - acos(rho)`, accurate near `rho = -1`.
fn angle(rho: f64) -> f64 {
    ((1.0 - rho) * (1.0 + rho)).sqrt().atan2(-rho)
}

/// Solid angle of the cone `{x : a_i . x > 0}` for unit vectors with `a_i . a_j = rho_ij`.
///
/// Its edges are `e_1 = a_2 x a_3` and so on, and `tan(Omega / 2)` is their triple product over
/// `|e_1||e_2||e_3| + (e_1 . e_2)|e_3| + ...` (van Oosterom, Strackee 1983): no difference of angles, so small
/// cones keep their digits.
fn solid_angle(r12: f64, r13: f64, r23: f64) -> f64 {
    let squares = [(1.0 - r23) * (1.0 + r23), (1.0 - r13) * (1.0 + r13), (1.0 - r12) * (1.0 + r12)];
    let [e1, e2, e3] = squares.map(f64::sqrt);
    let (e12, e13, e23) = (r13 * r23 - r12, r12 * r23 - r13, r12 * r13 - r23);
    // det R = |e_3|^2 |e_2|^2 - (e_2 . e_3)^2 over R_11 = 1 (Jacobi's identity), as a product of two factors.
    let determinant = ((e2 * e3 - e23) * (e2 * e3 + e23)).max(0.0);
    let denominator = e1 * e2 * e3 + e12 * e3 + e13 * e2 + e23 * e1;
    2.0 * determinant.atan2(denominator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    #[test]
    fn angles_agree_with_the_arcsine_formulas() {
        for k in -9..=9 {
            let rho = 0.1 * k as f64;
            assert_relative_eq!(angle(rho), PI / 2.0 + rho.asin(), max_relative = 1e-14);
            for (r12, r13) in [(0.3, -0.2), (-0.1, 0.4), (0.0, 0.2)] {
                if 1.0 + 2.0 * r12 * r13 * rho - r12 * r12 - r13 * r13 - rho * rho > 0.01 {
                    let sheppard = PI / 2.0 + f64::asin(r12) + f64::asin(r13) + rho.asin();
                    assert_relative_eq!(solid_angle(r12, r13, rho), sheppard, max_relative = 1e-12);
                }
            }
        }
    }

    #[test]
    fn small_cones_keep_their_digits() {
        // pi - acos(-1 + d) = sqrt(2 d) (1 + d / 12 + ...).
        let d = 1e-12;
        let rho = -1.0 + d;
        assert_relative_eq!(angle(rho), (2.0 * (1.0 + rho)).sqrt(), max_relative = 1e-12);
    }
}
