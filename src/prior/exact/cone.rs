//! Cones of rank one, two and three, whatever the number of points: half-lines, angles and spherical polygons.
//!
//! With `R = V V^T` the event is `{z : v_i . z > 0}`, a cone in as many dimensions as `R` has rank, and `P` is its share of the
//! full angle. The cone of the pivots has known edges; every other point cuts it by a plane (Sutherland and Hodgman
//! 1974, on the sphere). An angle is the arc tangent of cross over dot product; a polygon is a fan of triangles, each with
//! `tan(Omega / 2)` its triple product over `|a||b||c| + (a . b)|c| + ...` (van Oosterom and Strackee 1983). Everything up to
//! the arc tangents is in double-double arithmetic on directions that have all digits of the matrix as stored, so small
//! and slender cones keep theirs.

use crate::numeric::DoubleDouble;
use crate::prior::rank::Factor;
use std::f64::consts::PI;

/// Largest rank there is a formula for.
pub(super) const MOST_DIMENSIONS: usize = 3;

type Vector = [DoubleDouble; MOST_DIMENSIONS];

/// `log P` for a factor of rank at most three; `-inf` for a cone without interior. Dependent points are known to within
/// `blur`: a plane that close to an edge runs through it.
pub(super) fn log_orthant(factor: &Factor, blur: f64) -> f64 {
    let directions: Vec<Vector> = factor
        .directions
        .iter()
        .map(|row| std::array::from_fn(|k| row.get(k).copied().unwrap_or(DoubleDouble::ZERO)))
        .collect();
    let (pivots, dependent) = directions.split_at(factor.rank);
    let mut edges = pivot_edges(pivots);
    for plane in dependent {
        edges = cut(&edges, plane, blur);
        if edges.is_empty() {
            return f64::NEG_INFINITY;
        }
    }
    match edges.as_slice() {
        [_] => -std::f64::consts::LN_2,
        [a, b] => (angle(a, b) / (2.0 * PI)).ln(),
        [first, rest @ ..] => {
            let solid: f64 = rest.windows(2).map(|pair| solid_angle(first, &pair[0], &pair[1])).sum();
            (solid / (4.0 * PI)).ln()
        }
        [] => f64::NEG_INFINITY,
    }
}

/// Unit vectors along the edges of the cone of independent directions, in cyclic order.
fn pivot_edges(pivots: &[Vector]) -> Vec<Vector> {
    match pivots {
        [a] => vec![*a],
        // In the plane: perpendicular to one, on the other's side.
        [a, b] => vec![unit([b[1], -b[0], DoubleDouble::ZERO]), unit([-a[1], a[0], DoubleDouble::ZERO])],
        [a, b, c] => vec![unit(cross(b, c)), unit(cross(c, a)), unit(cross(a, b))],
        _ => panic!("cones of {} dimensions have no formula", pivots.len()),
    }
}

/// What a plane leaves of a cone; nothing if it leaves no interior.
fn cut(edges: &[Vector], plane: &Vector, blur: f64) -> Vec<Vector> {
    let sides: Vec<DoubleDouble> = edges.iter().map(|edge| dot(edge, plane)).collect();
    let (inside, outside) = (|side: DoubleDouble| side > blur, |side: DoubleDouble| side < -blur);
    if !sides.iter().any(|&side| inside(side)) {
        return Vec::new();
    }
    let mut left = Vec::with_capacity(edges.len() + 1);
    for (k, edge) in edges.iter().enumerate() {
        if !outside(sides[k]) {
            left.push(*edge);
        }
        // In the plane there is one face between two edges, in space as many as edges.
        let next = if edges.len() == 2 { k + 1 } else { (k + 1) % edges.len() };
        if next < edges.len() && (inside(sides[k]) && outside(sides[next]) || outside(sides[k]) && inside(sides[next]))
        {
            let (own, other) = (sides[next].abs(), sides[k].abs());
            left.push(unit(std::array::from_fn(|i| edge[i] * own + edges[next][i] * other)));
        }
    }
    left
}

fn dot(a: &Vector, b: &Vector) -> DoubleDouble {
    a.iter().zip(b).fold(DoubleDouble::ZERO, |sum, (&x, &y)| sum + x * y)
}

fn cross(a: &Vector, b: &Vector) -> Vector {
    std::array::from_fn(|i| {
        let (j, k) = ((i + 1) % 3, (i + 2) % 3);
        a[j] * b[k] - a[k] * b[j]
    })
}

fn length(a: &Vector) -> DoubleDouble {
    dot(a, a).sqrt()
}

fn unit(a: Vector) -> Vector {
    let length = length(&a);
    a.map(|x| x / length)
}

/// Angle between two vectors of the plane.
fn angle(a: &Vector, b: &Vector) -> f64 {
    let cross = a[0] * b[1] - a[1] * b[0];
    cross.abs().to_f64().atan2(dot(a, b).to_f64())
}

/// Solid angle of a triangle.
fn solid_angle(a: &Vector, b: &Vector, c: &Vector) -> f64 {
    let [x, y, z] = [a, b, c].map(length);
    let triple = dot(a, &cross(b, c)).abs();
    let denominator = x * y * z + dot(a, b) * z + dot(a, c) * y + dot(b, c) * x;
    2.0 * triple.to_f64().atan2(denominator.to_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prior::rank::{Format, Literal, factorise};
    use approx::assert_relative_eq;
    use ndarray::{Array2, array};

    fn log_prob(matrix: Array2<f64>) -> f64 {
        let diagonal = matrix.diag().iter().map(|&variance| DoubleDouble::from(variance)).collect();
        let literal = Literal { matrix, diagonal, format: Format::Double, noisy: false };
        let factor = factorise(&literal, literal.threshold(), MOST_DIMENSIONS).unwrap();
        log_orthant(&factor, factor.blur(literal.format))
    }

    #[test]
    fn angles_agree_with_the_arcsine_formulas() {
        for k in -9..=9 {
            let rho = 0.1 * k as f64;
            let quadrant = 0.25 + rho.asin() / (2.0 * PI);
            assert_relative_eq!(log_prob(array![[1.0, rho], [rho, 1.0]]).exp(), quadrant, max_relative = 1e-14);
            for (r12, r13) in [(0.3, -0.2), (-0.1, 0.4), (0.0, 0.2)] {
                if 1.0 + 2.0 * r12 * r13 * rho - r12 * r12 - r13 * r13 - rho * rho > 0.01 {
                    let sheppard = 0.125 + (f64::asin(r12) + f64::asin(r13) + rho.asin()) / (4.0 * PI);
                    let matrix = array![[1.0, r12, r13], [r12, 1.0, rho], [r13, rho, 1.0]];
                    assert_relative_eq!(log_prob(matrix).exp(), sheppard, max_relative = 1e-12);
                }
            }
        }
    }

    #[test]
    fn small_angles_keep_their_digits() {
        // pi - acos(-1 + d) = sqrt(2 d) (1 + d / 12 + ...).
        let rho: f64 = -1.0 + 1e-12;
        let angle = (2.0 * (1.0 + rho)).sqrt();
        assert_relative_eq!(log_prob(array![[1.0, rho], [rho, 1.0]]).exp(), angle / (2.0 * PI), max_relative = 1e-12);
    }

    #[test]
    fn a_regular_polygon_has_the_area_of_girard() {
        // n planes at equal angles around an axis, each at inclination t to it: a polygon whose n equal corners have
        // cos(corner) = -v_i . v_(i + 1), and the area is their sum less (n - 2) pi.
        for n in [3_usize, 4, 5, 12] {
            for t in [0.1_f64, 1.0, 1.5] {
                let turn = |i: usize| 2.0 * PI * i as f64 / n as f64;
                let v = Array2::from_shape_fn((n, 3), |(i, k)| {
                    [t.cos() * turn(i).cos(), t.cos() * turn(i).sin(), t.sin()][k]
                });
                let corner = PI - v.row(0).dot(&v.row(1)).acos();
                let area = n as f64 * corner - (n as f64 - 2.0) * PI;
                assert_relative_eq!(log_prob(v.dot(&v.t())).exp(), area / (4.0 * PI), max_relative = 1e-10);
            }
        }
    }
}
