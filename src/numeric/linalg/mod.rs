//! Dense linear algebra: `ndarray` in and out, `faer` kernels inside.
//!
//! `faer` runs sequentially here; work is split over threads in panels of fixed size, so the bits of
//! a result do not depend on the number of threads.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par, Side};
use ndarray::parallel::prelude::*;
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, Axis, s};

mod cholesky;

pub use cholesky::{Cholesky, NotPositiveDefinite};

/// Rows a thread takes at a time in the parallel products; fixed, so results do not depend on threads.
const PANEL: usize = 128;

fn faer_view<'a>(a: &'a ArrayView2<'_, f64>) -> MatRef<'a, f64> {
    let strides = a.strides();
    // SAFETY: pointer, shape and strides come from one live array view of f64 that outlives the result.
    unsafe { MatRef::from_raw_parts(a.as_ptr(), a.nrows(), a.ncols(), strides[0], strides[1]) }
}

fn faer_view_mut<'a>(a: &'a mut ArrayViewMut2<'_, f64>) -> MatMut<'a, f64> {
    let (rows, columns) = a.dim();
    let strides = [a.strides()[0], a.strides()[1]];
    // SAFETY: as above, and the exclusive borrow of the view is kept for the result's lifetime.
    unsafe { MatMut::from_raw_parts_mut(a.as_mut_ptr(), rows, columns, strides[0], strides[1]) }
}

/// `out = scale * a b`, or `out += scale * a b` if `accumulate`; on the calling thread.
///
/// # Panics
/// If the shapes do not fit.
pub fn gemm(mut out: ArrayViewMut2<f64>, accumulate: bool, a: ArrayView2<f64>, b: ArrayView2<f64>, scale: f64) {
    assert!(
        a.ncols() == b.nrows() && out.dim() == (a.nrows(), b.ncols()),
        "gemm: {:?} = {:?} x {:?}",
        out.dim(),
        a.dim(),
        b.dim()
    );
    let accumulate = if accumulate { Accum::Add } else { Accum::Replace };
    matmul(faer_view_mut(&mut out), accumulate, faer_view(&a), faer_view(&b), scale, Par::Seq);
}

/// `a b` on the calling thread.
pub fn product(a: ArrayView2<f64>, b: ArrayView2<f64>) -> Array2<f64> {
    let mut out = Array2::zeros((a.nrows(), b.ncols()));
    gemm(out.view_mut(), false, a, b, 1.0);
    out
}

/// `a b` on all threads.
pub fn par_product(a: ArrayView2<f64>, b: ArrayView2<f64>) -> Array2<f64> {
    let mut out = Array2::zeros((a.nrows(), b.ncols()));
    out.axis_chunks_iter_mut(Axis(0), PANEL)
        .into_par_iter()
        .zip(a.axis_chunks_iter(Axis(0), PANEL))
        .for_each(|(out, a)| gemm(out, false, a, b, 1.0));
    out
}

/// `a x`, on all threads.
pub fn par_apply(a: ArrayView2<f64>, x: &Array1<f64>) -> Array1<f64> {
    let mut out = Array1::zeros(a.nrows());
    out.axis_iter_mut(Axis(0)).into_par_iter().with_min_len(PANEL).zip(a.outer_iter()).for_each(|(mut out, row)| {
        out.fill(row.dot(x));
    });
    out
}

/// An `n x n` matrix, its rows made on all threads: `fill(i, row)` with a row of zeros.
pub fn par_from_rows(n: usize, fill: impl Fn(usize, &mut [f64]) + Sync) -> Array2<f64> {
    /// Entries that are worth a thread.
    const LEAST: usize = 1 << 14;
    let mut out = Array2::zeros((n, n));
    let rows = out.axis_iter_mut(Axis(0)).into_par_iter().with_min_len(LEAST / n.max(1) + 1).enumerate();
    rows.for_each(|(i, mut row)| fill(i, row.as_slice_mut().expect("rows are contiguous")));
    out
}

/// `a a^T` on all threads, each pair of rows once: exactly symmetric.
pub fn par_gram(a: ArrayView2<f64>) -> Array2<f64> {
    let mut out = par_gram_lower(a);
    mirror_lower(&mut out);
    out
}

/// The lower triangle of `a a^T` on all threads; what stands above the diagonal is unspecified.
pub fn par_gram_lower(a: ArrayView2<f64>) -> Array2<f64> {
    let n = a.nrows();
    let mut out = Array2::zeros((n, n));
    let panels: Vec<_> = out.axis_chunks_iter_mut(Axis(0), PANEL).enumerate().collect();
    // One panel a task, the long ones first: the threads finish together.
    panels.into_par_iter().rev().with_max_len(1).for_each(|(index, mut panel)| {
        let rows = index * PANEL..index * PANEL + panel.nrows();
        let block = a.slice(s![rows.clone(), ..]);
        gemm(panel.slice_mut(s![.., ..rows.end]), false, block, a.slice(s![..rows.end, ..]).t(), 1.0);
    });
    out
}

/// Copies the lower triangle over the upper one, on all threads.
pub fn mirror_lower(a: &mut Array2<f64>) {
    assert!(a.is_square(), "mirror_lower: {:?} is not square", a.dim());
    mirror(a.view_mut());
}

fn mirror(mut a: ArrayViewMut2<f64>) {
    // A leaf's transposed reads stay in cache.
    const LEAF: usize = 64;
    let n = a.nrows();
    if n <= LEAF {
        for i in 0..n {
            for j in 0..i {
                a[[j, i]] = a[[i, j]];
            }
        }
        return;
    }
    let half = n / 2;
    let (top, bottom) = a.split_at(Axis(0), half);
    let (top_left, top_right) = top.split_at(Axis(1), half);
    let (bottom_left, bottom_right) = bottom.split_at(Axis(1), half);
    rayon::join(
        || transpose_into(top_right, bottom_left.view()),
        || rayon::join(|| mirror(top_left), || mirror(bottom_right)),
    );
}

/// `out = a^T`, in pieces whose reads and writes stay in cache.
fn transpose_into(out: ArrayViewMut2<f64>, a: ArrayView2<f64>) {
    const LEAF: usize = 64;
    let (rows, columns) = a.dim();
    if rows.max(columns) <= LEAF {
        ndarray::Zip::from(out).and(a.t()).for_each(|out, a| *out = *a);
    } else if rows > columns {
        let (left, right) = out.split_at(Axis(1), rows / 2);
        let (top, bottom) = a.split_at(Axis(0), rows / 2);
        rayon::join(|| transpose_into(left, top), || transpose_into(right, bottom));
    } else {
        let (upper, lower) = out.split_at(Axis(0), columns / 2);
        let (left, right) = a.split_at(Axis(1), columns / 2);
        rayon::join(|| transpose_into(upper, left), || transpose_into(lower, right));
    }
}

/// `sum_i a_i b_i` in four running sums: faster than one, and always in the same order.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "dot: lengths {} and {}", a.len(), b.len());
    let mut sums = [0.0; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for k in 0..8 {
            sums[k] += x[k] * y[k];
        }
    }
    (sums[0] + sums[4]) + (sums[1] + sums[5]) + ((sums[2] + sums[6]) + (sums[3] + sums[7])) + rest
}

/// Euclidean norm: without overflow or underflow for any entries, infinite only where the norm itself is.
pub fn norm(a: &[f64]) -> f64 {
    /// A sum of squares above this has lost nothing to underflow: what is lost of a square is below `2^-1022`.
    const SAFE: f64 = 1e-270;
    let square = dot(a, a);
    if square.is_finite() && square > SAFE {
        return square.sqrt();
    }
    let top = a.iter().fold(0.0, |top: f64, x| top.max(x.abs()));
    if a.iter().any(|x| x.is_nan()) || !top.is_finite() || top == 0.0 {
        // NaN, infinity or 0, as the entries have it.
        return if a.iter().any(|x| x.is_nan()) { f64::NAN } else { top };
    }
    let scale = power_of_two_near(top);
    let scaled: Vec<f64> = a.iter().map(|x| x / scale).collect();
    dot(&scaled, &scaled).sqrt() * scale
}

/// A power of two near a finite `x > 0`, whose reciprocal is a normal number too: dividing by it and multiplying with
/// it rounds nothing.
pub fn power_of_two_near(x: f64) -> f64 {
    assert!(x > 0.0 && x.is_finite(), "power_of_two_near: {x}");
    2_f64.powi(x.log2().floor().clamp(-1000.0, 1000.0) as i32)
}

/// Unit in which matrices and operators of size `top` are computed with: 1 (no rounding, no cost) unless products of a
/// few entries could leave the range of f64.
pub fn unit_of(top: f64) -> f64 {
    /// Its fourth power, and the fourth power's products with roundoff, are far inside the range.
    const PLAIN: f64 = 1e60;
    if top == 0.0 || (1.0 / PLAIN..=PLAIN).contains(&top) { 1.0 } else { power_of_two_near(top) }
}

/// `y += scale * x`.
pub fn add_scaled(y: &mut [f64], scale: f64, x: &[f64]) {
    assert_eq!(x.len(), y.len(), "add_scaled: lengths {} and {}", x.len(), y.len());
    for (y, x) in y.iter_mut().zip(x) {
        *y += scale * x;
    }
}

/// Eigenvalues of a symmetric matrix in ascending order; only the lower triangle is read.
///
/// # Panics
/// If the matrix holds NaN or infinities, for which no decomposition exists.
pub fn symmetric_eigenvalues(a: ArrayView2<f64>) -> Vec<f64> {
    in_plain_units(a, |a| {
        faer_view(&a).self_adjoint_eigenvalues(Side::Lower).expect("a finite symmetric matrix has eigenvalues")
    })
}

/// Runs `decompose` on the matrix in units in which its iterations neither overflow nor underflow, and gives its
/// eigenvalues in the matrix' own.
fn in_plain_units(a: ArrayView2<f64>, decompose: impl FnOnce(ArrayView2<f64>) -> Vec<f64>) -> Vec<f64> {
    let mut top = 0.0_f64;
    for (i, row) in a.outer_iter().enumerate() {
        for entry in row.iter().take(i + 1) {
            assert!(entry.is_finite(), "a matrix with the entry {entry} has no eigenvalues");
            top = top.max(entry.abs());
        }
    }
    let unit = unit_of(top);
    if unit == 1.0 {
        return decompose(a);
    }
    decompose(a.mapv(|entry| entry / unit).view()).into_iter().map(|value| value * unit).collect()
}

/// Eigenvalues (ascending) and eigenvectors (columns) of a symmetric matrix.
///
/// # Panics
/// As [`symmetric_eigenvalues`].
pub fn symmetric_eigen(a: ArrayView2<f64>) -> (Vec<f64>, Array2<f64>) {
    let n = a.nrows();
    let mut vectors = Array2::zeros((n, n));
    let values = in_plain_units(a, |a| {
        let decomposition =
            faer_view(&a).self_adjoint_eigen(Side::Lower).expect("a finite symmetric matrix has eigenvectors");
        vectors = Array2::from_shape_fn((n, n), |(i, j)| decomposition.U()[(i, j)]);
        (0..n).map(|i| decomposition.S()[i]).collect()
    });
    (values, vectors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::Streams;
    use approx::assert_abs_diff_eq;
    use rand_distr::{Distribution, StandardNormal};

    pub(super) fn random(rows: usize, columns: usize, index: u64) -> Array2<f64> {
        let mut generator = Streams::new(3).stream("linalg test", index);
        Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(&mut generator))
    }

    #[test]
    fn gram_and_products_agree_with_loops() {
        let a = random(301, 17, 0);
        let gram = par_gram(a.view());
        let slow = Array2::from_shape_fn((301, 301), |(i, j)| a.row(i).iter().zip(a.row(j)).map(|(x, y)| x * y).sum());
        assert_abs_diff_eq!(gram, slow, epsilon = 1e-12);
        assert_abs_diff_eq!(par_product(a.view(), a.t()), slow, epsilon = 1e-12);
        assert_eq!(gram, gram.t());
        let x = Array1::from_shape_fn(301, |i| (i as f64).cos());
        assert_eq!(par_apply(gram.view(), &x), gram.dot(&x));
    }

    /// The whole range of f64 with its subnormal end; 3-4-5 and 2-3-6-7 make the norms exact.
    #[test]
    fn norms_neither_overflow_nor_underflow() {
        for exponent in -1074..=1019 {
            let unit =
                if exponent < -1000 { 2_f64.powi(-1000) * 2_f64.powi(exponent + 1000) } else { 2_f64.powi(exponent) };
            assert_eq!(norm(&[3.0 * unit, -4.0 * unit]), 5.0 * unit, "2^{exponent}");
            assert_eq!(norm(&[2.0 * unit, 0.0, -3.0 * unit, 6.0 * unit]), 7.0 * unit, "2^{exponent}");
        }
        for tiny in [1e-165, 1e-200, 1e-300] {
            assert_eq!(norm(&[1.0, tiny]), 1.0);
        }
        assert_eq!(norm(&[]), 0.0);
        assert_eq!(norm(&[0.0, -0.0]), 0.0);
        assert_eq!(norm(&[f64::INFINITY, 1.0]), f64::INFINITY);
        assert!(norm(&[f64::NAN, f64::INFINITY]).is_nan() && norm(&[0.0, f64::NAN]).is_nan());
        assert_eq!(norm(&[f64::MAX, f64::MAX]), f64::INFINITY, "the norm itself is beyond f64");
    }

    #[test]
    fn eigenvalues_scale_with_the_matrix_down_to_subnormal_numbers() {
        let base = ndarray::array![[2.0, -1.0, 0.0], [-1.0, 2.0, -1.0], [0.0, -1.0, 2.0]];
        let expected = symmetric_eigenvalues(base.view());
        for scale in [1e-320, 1e-310, 1e-308, 1e-300, 1e-200, 1e-100, 1e100, 1e200, 1e300, 4e307] {
            // One entry of the smallest scale is good to a few units of 5e-324.
            let slack = if scale < 1e-307 { 2e-323 } else { 0.0 };
            let matrix = base.mapv(|entry| entry * scale);
            let (values, vectors) = symmetric_eigen(matrix.view());
            for (k, expected) in expected.iter().enumerate() {
                for value in [values[k], symmetric_eigenvalues(matrix.view())[k]] {
                    assert!((value - expected * scale).abs() <= 1e-14 * 4.0 * scale + slack, "{value:e} at {scale:e}");
                }
                assert_abs_diff_eq!(vectors.column(k).dot(&vectors.column(k)), 1.0, epsilon = 1e-14);
            }
        }
        assert_eq!(symmetric_eigenvalues(Array2::zeros((2, 2)).view()), [0.0, 0.0]);
    }

    #[test]
    #[should_panic(expected = "the entry NaN has no eigenvalues")]
    fn eigenvalues_of_undefined_entries_are_refused() {
        symmetric_eigenvalues(ndarray::array![[1.0, 0.0], [f64::NAN, 1.0]].view());
    }

    #[test]
    fn thread_count_does_not_change_bits() {
        let a = random(500, 40, 1);
        let run = |threads| {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
                let gram = par_gram(a.view()) + Array2::<f64>::eye(500);
                Cholesky::new(gram).unwrap().into_lower()
            })
        };
        assert_eq!(run(1), run(3));
    }
}
