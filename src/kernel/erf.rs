//! The arc-sine kernel as deficit and excess, each without cancellation.
//!
//! With `x = 2 c / sqrt((1 + 2 p)(1 + 2 q))` the dual is `2 / pi arcsin x`. A ReLU behind it reads the angle
//! between two inputs off the new deficit, so that must keep its digits where the inputs are nearly parallel. It
//! has two parts, both of one sign: what the angle before it leaves, `arcsin x(r) - arcsin x(c)` with
//! `r = sqrt(p q)`, and what the squashing of unequal variances adds,
//! `sqrt(arcsin x(p) arcsin x(q)) - arcsin x(r)`.

use std::f64::consts::FRAC_2_PI;

/// `E[erf(u) erf(v)]` as deficit and excess, and `E[erf'(u) erf'(v)]`, for standard deviations `std_p, std_q` and
/// the deficit and excess of the covariance.
pub(super) fn erf_dual(std_p: f64, std_q: f64, deficit: f64, excess: f64) -> [f64; 3] {
    let (p, q) = (std_p * std_p, std_q * std_q);
    let product = (1.0 + 2.0 * p) * (1.0 + 2.0 * q);
    // sqrt(product - 4 p q) and sqrt(product - 4 c^2), as p q - c^2 = deficit excess.
    let root_at_top = (1.0 + 2.0 * p + 2.0 * q).sqrt();
    let r = std_p * std_q;
    if r == 0.0 {
        return [0.0, 0.0, 2.0 * FRAC_2_PI / root_at_top];
    }
    // Deficit and excess add up to 2 r, and rounding that lets them part is doubled by every layer. The smaller of them
    // carries the angle; the larger follows from it.
    let closer = deficit.min(excess);
    let further = 2.0 * r - closer;
    let size = (r - closer).max(0.0);
    // arcsin x(r) - arcsin x(|c|), from its sine and cosine.
    let root = (1.0 + 2.0 * p + 2.0 * q + 4.0 * closer * further).sqrt();
    let slope = 2.0 * FRAC_2_PI / root;
    let sine = 2.0 * closer * further / (r * root + size * root_at_top);
    let cosine = (root_at_top * root + 4.0 * r * size) / product;
    let small = FRAC_2_PI * (squashing(std_p, std_q) + sine.atan2(cosine));
    let large = small + 2.0 * FRAC_2_PI * (2.0 * size).atan2(root);
    if excess >= deficit { [small, large, slope] } else { [large, small, slope] }
}

/// Sines of `arcsin x(p)` up to which the series is summed.
const SERIES_BELOW: f64 = 0.25;
/// Terms of the series: the first one left out is below `SERIES_BELOW^24 = 4e-15` of the first, times a
/// coefficient of 0.02.
const TERMS: usize = 13;
/// Coefficients of `arcsin x = sum s_k x^(2 k + 1)`.
const ARCSINE: [f64; TERMS] = {
    let mut terms = [1.0; TERMS];
    let (mut binomial, mut k) = (1.0, 1);
    while k < TERMS {
        binomial *= (2 * k - 1) as f64 / (2 * k) as f64;
        terms[k] = binomial / (2 * k + 1) as f64;
        k += 1;
    }
    terms
};

/// `sqrt(arcsin x(p) arcsin x(q)) - arcsin x(r) >= 0`; 0 for equal variances.
fn squashing(std_p: f64, std_q: f64) -> f64 {
    let (p, q) = (std_p * std_p, std_q * std_q);
    let (a, b) = (2.0 * p / (1.0 + 2.0 * p), 2.0 * q / (1.0 + 2.0 * q));
    // Of the variances, and of their sines.
    let difference = (std_p - std_q) * (std_p + std_q);
    let sine_difference = 2.0 * difference / ((1.0 + 2.0 * p) * (1.0 + 2.0 * q));
    let middle = (a * b).sqrt();
    if a.max(b) < SERIES_BELOW {
        return small_squashing(a, b, middle, sine_difference);
    }
    // arcsin a and arcsin b; their cosines are sqrt(1 + 4 p) / (1 + 2 p).
    let (cosine_p, cosine_q) = ((1.0 + 4.0 * p).sqrt(), (1.0 + 4.0 * q).sqrt());
    let (angle_p, angle_q) = ((2.0 * p).atan2(cosine_p), (2.0 * q).atan2(cosine_q));
    let root = (1.0 + 2.0 * p + 2.0 * q).sqrt();
    let product = ((1.0 + 2.0 * p) * (1.0 + 2.0 * q)).sqrt();
    if difference.abs() > 0.75 * p.max(q) {
        // Far apart: nothing cancels.
        return (angle_p * angle_q).sqrt() - (2.0 * std_p * std_q).atan2(root);
    }
    // Angles from the middle one: those of p and of q lie on its two sides.
    let from_p = (2.0 * std_p * difference / (product * (std_p * root + std_q * cosine_p))).asin();
    let from_q = (-2.0 * std_q * difference / (product * (std_q * root + std_p * cosine_q))).asin();
    // sqrt(a b) = (a + b) / 2 - (sqrt a - sqrt b)^2 / 2.
    let roots = (from_p - from_q) / (angle_p.sqrt() + angle_q.sqrt());
    (0.5 * (from_p + from_q) - 0.5 * roots * roots).max(0.0)
}

/// The same for small sines, `a, b` with `middle = sqrt(a b)` and `a - b = difference`, as a sum of squares.
///
/// `S(a) S(b) - S(middle)^2` with `arcsin x = x S(x)` is the sum over `j < k` of
/// `s_j s_k middle^(4 j) (a^(k - j) - b^(k - j))^2`.
fn small_squashing(a: f64, b: f64, middle: f64, difference: f64) -> f64 {
    let step = middle * middle * middle * middle;
    let (mut sum, mut powers, mut power_of_b) = (0.0, difference, 1.0);
    for gap in 1..TERMS {
        // powers = a^gap - b^gap, one sign throughout.
        let mut coefficient = 0.0;
        for j in (0..TERMS - gap).rev() {
            coefficient = coefficient * step + ARCSINE[j] * ARCSINE[j + gap];
        }
        sum += coefficient * powers * powers;
        power_of_b *= b;
        powers = a * powers + power_of_b * difference;
    }
    let series = |x: f64| ARCSINE.iter().rev().fold(0.0, |sum, term| sum * x * x + term);
    middle * sum / ((series(a) * series(b)).sqrt() + series(middle))
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    /// Standard deviations, deficit and excess before; deficit, excess and slope after, computed with 60 digits (mpmath)
    /// from the definitions: variances from 1e-10 to 1764, equal to far apart, angles from 0 to 3.1415.
    const CERTIFIED: [[f64; 7]; 14] = [
        [
            1e-05,
            1e-05,
            4.4663510874393986e-12,
            1.9553364891256063e-10,
            5.6867348240613914e-12,
            2.489611740720416e-10,
            1.2732395444805147,
        ],
        [
            1e-05,
            1.0009999999999999e-05,
            1.3246128564303668e-10,
            6.773871435696332e-11,
            1.6865494699340962e-10,
            8.624760981153842e-11,
            1.27323954448026,
        ],
        [
            0.03,
            0.03,
            4.019715978695458e-05,
            0.0017598028402130454,
            5.1088732688107556e-05,
            0.0022366257948329567,
            1.2709537038261147,
        ],
        [
            0.03,
            0.041999999999999996,
            6.3e-22,
            0.0025199999999999997,
            3.939268597945987e-10,
            0.00320004370046173,
            1.2698611287600732,
        ],
        [
            0.03,
            0.21,
            0.012599999972958234,
            2.704176624050597e-11,
            0.015369519685986911,
            4.032702453528982e-06,
            1.2195423033295885,
        ],
        [0.4, 0.4, 0.0, 0.32000000000000006, 0.0, 0.3117703422508626, 0.9942330474331325],
        [0.4, 0.40000000004, 0.0, 0.320000000032, 1.9155042382118998e-23, 0.31177034227496525, 0.9942330474137328],
        [1.0, 1.0, 1.3232895668635034, 0.6767104331364967, 0.6028525050959093, 0.3262656036991706, 0.4346277959330312],
        [6.0, 6.0, 0.0, 72.0, 0.0, 1.7890105664509957, 0.105736788961289],
        [6.0, 6.0, 1.8000000000000003e-17, 72.0, 1.9032622013032023e-18, 1.7890105664509957, 0.105736788961289],
        [
            6.0,
            8.399999999999999,
            0.0,
            100.79999999999998,
            0.0011219895674459326,
            1.8175717271536436,
            0.08701247085040428,
        ],
        [
            6.0,
            8.399999999999999,
            2.5199999999999998e-17,
            100.79999999999998,
            0.0011219895674459347,
            1.8175717271536436,
            0.08701247085040428,
        ],
        [
            6.0,
            8.399999999999999,
            2.251040948069456,
            98.54895905193052,
            0.12063752731840006,
            1.6980561894026895,
            0.03836397427468982,
        ],
        [
            6.0,
            42.0,
            333.46897084960284,
            170.53102915039716,
            1.1466412491584934,
            0.730535693770592,
            0.002648744100923628,
        ],
    ];

    /// Angles, the roots of deficit and excess over their sum, keep their digits.
    #[test]
    fn angles_keep_their_digits() {
        for [std_p, std_q, deficit, excess, deficit_after, excess_after, slope_after] in CERTIFIED {
            let [deficit, excess, slope] = erf_dual(std_p, std_q, deficit, excess);
            let scale = (deficit_after + excess_after).sqrt();
            for (found, expected) in [(deficit, deficit_after), (excess, excess_after)] {
                assert_abs_diff_eq!(found.sqrt() / scale, expected.sqrt() / scale, epsilon = 4.0 * f64::EPSILON);
            }
            assert_abs_diff_eq!(slope / slope_after, 1.0, epsilon = 4.0 * f64::EPSILON);
        }
    }

    #[test]
    fn equal_and_antipodal_inputs_are_exact() {
        for std in [1e-70, 1e-3, 0.7, 40.0] {
            let top = std * std;
            assert_eq!(erf_dual(std, std, 0.0, 2.0 * top)[0], 0.0);
            assert_eq!(erf_dual(std, std, 2.0 * top, 0.0)[1], 0.0);
        }
        assert_eq!(erf_dual(0.0, 0.0, 0.0, 0.0), [0.0, 0.0, 2.0 * FRAC_2_PI]);
        assert_eq!(erf_dual(0.0, 1.0, 0.0, 0.0)[..2], [0.0, 0.0]);
    }

    /// On both sides of every branch.
    #[test]
    fn branches_meet() {
        let gap = |std_p: f64, std_q: f64| squashing(std_p, std_q) / (std_p * std_q).min(1.0);
        let std_at = |sine: f64| (0.5 * sine / (1.0 - sine)).sqrt();
        let edge = std_at(SERIES_BELOW);
        for ratio in [1.0, 1.3, 1.999, 2.001, 9.0] {
            assert_abs_diff_eq!(gap(edge * 0.999_999_999_999, edge / ratio), gap(edge, edge / ratio), epsilon = 1e-11);
        }
        for std in [0.5, 1.0, 5.0] {
            assert_abs_diff_eq!(gap(std, std * 0.499_999_999_999), gap(std, std * 0.500_000_000_001), epsilon = 1e-11);
        }
    }
}
