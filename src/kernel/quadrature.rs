//! The slow definition of a dual: the Gaussian integral itself, by quadrature. For tests.

use std::f64::consts::PI;

/// Nodes and weights of Gauss-Legendre quadrature on `[-1, 1]`.
fn gauss_legendre(count: usize) -> Vec<(f64, f64)> {
    (0..count)
        .map(|k| {
            let mut x = (PI * (k as f64 + 0.75) / (count as f64 + 0.5)).cos();
            let mut slope = 0.0;
            for _ in 0..50 {
                let (mut before, mut value) = (1.0, x);
                for degree in 2..=count {
                    let degree = degree as f64;
                    (before, value) = (value, ((2.0 * degree - 1.0) * x * value - (degree - 1.0) * before) / degree);
                }
                slope = count as f64 * (x * value - before) / (x * x - 1.0);
                x -= value / slope;
            }
            (x, 2.0 / ((1.0 - x * x) * slope * slope))
        })
        .collect()
}

/// `E[g(u, v)]` for Gaussian `(u, v)` with variances `p, q > 0` and covariance `c`, in polar coordinates:
/// panels of Gauss-Legendre quadrature that end where `u` or `v` changes sign.
pub(super) fn gaussian_expectation(g: impl Fn(f64, f64) -> f64, p: f64, q: f64, c: f64) -> f64 {
    let nodes = gauss_legendre(24);
    let theta = (c / (p * q).sqrt()).clamp(-1.0, 1.0).acos();
    let mut ends: Vec<f64> = (0..8).map(|k| f64::from(k) * PI / 4.0).collect();
    ends.extend((0..4).map(|k| (theta + f64::from(k) * PI / 2.0).rem_euclid(2.0 * PI)));
    ends.push(2.0 * PI);
    ends.sort_by(f64::total_cmp);
    let mut sum = 0.0;
    for panel in ends.windows(2) {
        let (middle, half) = ((panel[0] + panel[1]) / 2.0, (panel[1] - panel[0]) / 2.0);
        for &(x, weight) in &nodes {
            let omega = middle + half * x;
            let (along, across) = (omega.cos(), (omega - theta).cos());
            // exp(-r^2 / 2) is below 1e-24 beyond r = 10.5.
            for step in 0..12 {
                for &(y, radial_weight) in &nodes {
                    let r = (f64::from(step) + 0.5 + y / 2.0) * 0.875;
                    let density = r * (-r * r / 2.0).exp() / (2.0 * PI);
                    sum += weight
                        * half
                        * radial_weight
                        * 0.4375
                        * density
                        * g(p.sqrt() * r * along, q.sqrt() * r * across);
                }
            }
        }
    }
    sum
}
