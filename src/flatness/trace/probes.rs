//! Probes, their products, and bases of them: what the estimators share.

use crate::flatness::curvature::{NotFiniteProduct, SymmetricOperator, for_each_row};
use crate::numeric::linalg::{add_scaled, dot, norm};
use crate::numeric::{Estimate, Info, Streams};
use ndarray::Array2;
use rand::RngExt;

/// Probes multiplied at a time: bounds the memory of a block product.
pub(super) const PROBE_BLOCK: usize = 16;

/// `count` rows of independent signs (Rademacher), `E z z^T = I`.
pub(super) fn sign_probes(count: usize, dimension: usize, streams: Streams, name: &str) -> Array2<f64> {
    let mut probes = Array2::zeros((count, dimension));
    for (index, mut row) in probes.outer_iter_mut().enumerate() {
        let mut generator = streams.stream(name, index as u64);
        let mut bits = 0_u64;
        for (position, value) in row.iter_mut().enumerate() {
            if position % 64 == 0 {
                bits = generator.random();
            }
            *value = if bits & 1 == 1 { 1.0 } else { -1.0 };
            bits >>= 1;
        }
    }
    probes
}

/// Products in blocks of [`PROBE_BLOCK`].
pub(super) fn products(
    operator: &dyn SymmetricOperator,
    vectors: &Array2<f64>,
) -> Result<Array2<f64>, NotFiniteProduct> {
    let mut out = Array2::zeros(vectors.dim());
    for (mut out, vectors) in out
        .axis_chunks_iter_mut(ndarray::Axis(0), PROBE_BLOCK)
        .zip(vectors.axis_chunks_iter(ndarray::Axis(0), PROBE_BLOCK))
    {
        out.assign(&operator.products(vectors));
    }
    NotFiniteProduct::check(out)
}

/// Orthonormal rows that span those of `rows`, and the lower triangular `r` with `rows = r q`. A row that
/// depends on those before it (to `1e-12` of its length) is dropped, and `r` has no column for it.
pub(super) fn orthonormal_rows(rows: &Array2<f64>) -> (Array2<f64>, Array2<f64>) {
    let (count, dimension) = rows.dim();
    let mut basis: Vec<Vec<f64>> = Vec::new();
    let mut coefficients = Array2::zeros((count, count));
    for (index, row) in rows.outer_iter().enumerate() {
        let mut vector = row.to_vec();
        let length = norm(&vector);
        for _ in 0..2 {
            for (position, member) in basis.iter().enumerate() {
                let overlap = dot(member, &vector);
                add_scaled(&mut vector, -overlap, member);
                coefficients[[index, position]] += overlap;
            }
        }
        let rest = norm(&vector);
        if rest > 1e-12 * length {
            vector.iter_mut().for_each(|x| *x /= rest);
            coefficients[[index, basis.len()]] = rest;
            basis.push(vector);
        }
    }
    let kept = basis.len();
    let basis = Array2::from_shape_vec((kept, dimension), basis.concat()).expect("rows of equal length");
    (basis, coefficients.slice(ndarray::s![.., ..kept]).to_owned())
}

/// The sum of the diagonal, by a product with each basis vector.
pub(super) fn exact(operator: &dyn SymmetricOperator, method: &str) -> Result<Estimate, NotFiniteProduct> {
    let (mut value, mut undefined) = (0.0, None);
    for_each_row(operator, |index, row| {
        value += row[index];
        if !row.iter().all(|entry| entry.is_finite()) {
            undefined = Some(NotFiniteProduct(norm(row)));
        }
    });
    match undefined {
        Some(error) => Err(error),
        None => Ok(Estimate::stochastic(value, 0.0, info(method, operator.dimension()).with("exact", true))),
    }
}

pub(super) fn info(method: &str, products: usize) -> Info {
    Info::new().with("method", method).with("products", products)
}
