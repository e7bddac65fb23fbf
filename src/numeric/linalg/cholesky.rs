//! Factors of positive definite matrices.

use super::{PANEL, add_scaled, dot, faer_view, faer_view_mut, gemm};
use crate::numeric::instructions::vectorised;
use faer::Par;
use faer::linalg::triangular_solve::solve_lower_triangular_in_place;
use ndarray::parallel::prelude::*;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis, s};

/// Columns eliminated at a time.
const BLOCK: usize = 96;

/// A matrix met a non-positive (or NaN) pivot where a positive definite one was needed.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("the matrix is not positive definite: pivot {pivot} is {value:e}")]
#[non_exhaustive]
pub struct NotPositiveDefinite {
    /// Row of the pivot.
    pub pivot: usize,
    /// Its value.
    pub value: f64,
}

/// Cholesky factor `L` (lower triangular, zeros above) with `A = L L^T`.
#[derive(Debug, Clone)]
pub struct Cholesky {
    lower: Array2<f64>,
}

impl Cholesky {
    /// Factorises a symmetric positive definite matrix on all threads; only its lower triangle is read.
    pub fn new(a: Array2<f64>) -> Result<Self, NotPositiveDefinite> {
        let n = a.nrows();
        assert_eq!(a.dim(), (n, n), "Cholesky: not square");
        let mut a = if a.is_standard_layout() { a } else { a.as_standard_layout().into_owned() };
        for start in (0..n).step_by(BLOCK) {
            let end = (start + BLOCK).min(n);
            let (mut top, mut below) = a.view_mut().split_at(Axis(0), end);
            let mut diagonal = top.slice_mut(s![start.., start..end]);
            factor_small(&mut diagonal)
                .map_err(|(pivot, value)| NotPositiveDefinite { pivot: start + pivot, value })?;
            let diagonal = diagonal.view();
            // L21 = A21 L11^-T, that is L11 L21^T = A21^T.
            below.slice_mut(s![.., start..end]).axis_chunks_iter_mut(Axis(0), PANEL).into_par_iter().for_each(
                |panel| {
                    let mut transposed = panel.reversed_axes();
                    solve_lower_triangular_in_place(faer_view(&diagonal), faer_view_mut(&mut transposed), Par::Seq);
                },
            );
            let panel = below.slice(s![.., start..end]).to_owned();
            let (_, trailing) = below.split_at(Axis(1), end);
            let chunks: Vec<_> = trailing.into_axis_chunks(PANEL);
            chunks.into_par_iter().for_each(|(first, mut rows)| {
                let last = first + rows.nrows();
                gemm(
                    rows.slice_mut(s![.., ..last]),
                    true,
                    panel.slice(s![first..last, ..]),
                    panel.slice(s![..last, ..]).t(),
                    -1.0,
                );
            });
        }
        let rows = a.axis_iter_mut(Axis(0)).into_par_iter().with_min_len(PANEL).enumerate();
        rows.for_each(|(i, mut row)| row.slice_mut(s![i + 1..]).fill(0.0));
        Ok(Self { lower: a })
    }

    /// Takes a lower triangular matrix with positive diagonal as the factor.
    ///
    /// # Panics
    /// If it is not square.
    pub fn from_lower(lower: Array2<f64>) -> Self {
        assert_eq!(lower.nrows(), lower.ncols(), "Cholesky: not square");
        Self { lower }
    }

    /// The factor `L`.
    pub fn lower(&self) -> ArrayView2<'_, f64> {
        self.lower.view()
    }

    /// The factor `L`, by value.
    pub fn into_lower(self) -> Array2<f64> {
        self.lower
    }

    /// `log det A`.
    pub fn log_det(&self) -> f64 {
        2.0 * self.lower.diag().iter().map(|d| d.ln()).sum::<f64>()
    }

    /// `L^-1 b`.
    pub fn forward(&self, b: ArrayView1<f64>) -> Array1<f64> {
        let mut x = b.to_owned();
        self.forward_in_place(x.as_slice_mut().expect("owned vectors are contiguous"));
        x
    }

    fn forward_in_place(&self, x: &mut [f64]) {
        for i in 0..x.len() {
            let row = self.lower.row(i);
            let row = row.as_slice().expect("the factor is row-major");
            x[i] = (x[i] - dot(&row[..i], &x[..i])) / row[i];
        }
    }

    /// `A^-1 b`.
    pub fn solve(&self, b: ArrayView1<f64>) -> Array1<f64> {
        let mut x = self.forward(b);
        let x_slice = x.as_slice_mut().expect("owned vectors are contiguous");
        for i in (0..x_slice.len()).rev() {
            let row = self.lower.row(i);
            let row = row.as_slice().expect("the factor is row-major");
            let value = x_slice[i] / row[i];
            x_slice[i] = value;
            add_scaled(&mut x_slice[..i], -value, &row[..i]);
        }
        x
    }

    /// Diagonal of `A^-1`, on all threads: squared column norms of `L^-1`, so every entry is accurate in
    /// relative terms. Costs `n^3 / 3` multiply-adds: a column of `L^-1` is zero above its diagonal.
    pub fn inverse_diagonal(&self) -> Vec<f64> {
        let n = self.lower.nrows();
        let starts: Vec<usize> = (0..n).step_by(PANEL).collect();
        let parts: Vec<Vec<f64>> = starts
            .into_par_iter()
            // One panel a task, the long ones first.
            .with_max_len(1)
            .map(|start| {
                let width = PANEL.min(n - start);
                let mut columns = Array2::zeros((n - start, width));
                columns.diag_mut().fill(1.0);
                let lower = self.lower.slice(s![start.., start..]);
                solve_lower_triangular_in_place(faer_view(&lower), faer_view_mut(&mut columns.view_mut()), Par::Seq);
                let mut sums = vec![0.0; width];
                for row in columns.outer_iter() {
                    for (sum, value) in sums.iter_mut().zip(row) {
                        *sum += value * value;
                    }
                }
                sums
            })
            .collect();
        parts.concat()
    }

    /// `L^-1 B` for a matrix `B`, on all threads, in panels of columns.
    pub fn forward_matrix(&self, mut b: Array2<f64>) -> Array2<f64> {
        assert_eq!(b.nrows(), self.lower.nrows(), "forward_matrix: shapes do not fit");
        let lower = self.lower.view();
        b.axis_chunks_iter_mut(Axis(1), PANEL).into_par_iter().for_each(|mut panel| {
            solve_lower_triangular_in_place(faer_view(&lower), faer_view_mut(&mut panel), Par::Seq);
        });
        b
    }
}

/// Row chunks of a view with the index of each chunk's first row.
trait IntoAxisChunks<'a> {
    fn into_axis_chunks(self, size: usize) -> Vec<(usize, ArrayViewMut2<'a, f64>)>;
}

impl<'a> IntoAxisChunks<'a> for ArrayViewMut2<'a, f64> {
    fn into_axis_chunks(mut self, size: usize) -> Vec<(usize, ArrayViewMut2<'a, f64>)> {
        let mut chunks = Vec::new();
        let mut first = 0;
        while self.nrows() > 0 {
            let rows = size.min(self.nrows());
            let (chunk, rest) = self.split_at(Axis(0), rows);
            chunks.push((first, chunk));
            self = rest;
            first += rows;
        }
        chunks
    }
}

/// Unblocked Cholesky of a block of at most [`BLOCK`] columns, in place; the failing pivot and its value otherwise.
///
/// A column is taken off all that follow it as soon as it is known: whole rows at a time, in vectors.
fn factor_small(a: &mut ArrayViewMut2<f64>) -> Result<(), (usize, f64)> {
    vectorised(
        #[inline(always)]
        move || {
            let n = a.nrows();
            let mut column = [0.0; BLOCK];
            for k in 0..n {
                let value = a[[k, k]];
                // Written so that NaN fails.
                if !(value > 0.0 && value.is_finite()) {
                    return Err((k, value));
                }
                let pivot = value.sqrt();
                a[[k, k]] = pivot;
                for i in k + 1..n {
                    a[[i, k]] /= pivot;
                    column[i] = a[[i, k]];
                }
                for i in k + 1..n {
                    let row = a.row_mut(i).into_slice().expect("the factor is row-major");
                    let factor = column[i];
                    for (entry, other) in row[k + 1..=i].iter_mut().zip(&column[k + 1..=i]) {
                        *entry -= factor * other;
                    }
                }
            }
            Ok(())
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::linalg::tests::random;
    use crate::numeric::linalg::{par_gram, product, symmetric_eigenvalues};
    use approx::assert_abs_diff_eq;

    #[test]
    fn cholesky_reconstructs_and_solves() {
        for n in [1, 2, 95, 96, 97, 330] {
            let factor = random(n, n + 3, n as u64);
            let a = par_gram(factor.view()) + Array2::<f64>::eye(n);
            let cholesky = Cholesky::new(a.clone()).unwrap();
            let rebuilt = product(cholesky.lower(), cholesky.lower().t());
            assert_abs_diff_eq!(rebuilt, a, epsilon = 1e-12 * n as f64);
            let b = random(n, 1, 99).column(0).to_owned();
            assert_abs_diff_eq!(a.dot(&cholesky.solve(b.view())), b, epsilon = 1e-11 * n as f64);
            let inverse = cholesky.forward_matrix(Array2::eye(n));
            assert_abs_diff_eq!(product(cholesky.lower(), inverse.view()), Array2::<f64>::eye(n), epsilon = 1e-11);
            for (i, value) in cholesky.inverse_diagonal().into_iter().enumerate() {
                let column = inverse.column(i);
                assert_abs_diff_eq!(value, column.dot(&column), epsilon = 1e-13 * value);
            }
            let eigenvalues = symmetric_eigenvalues(a.view());
            let log_det: f64 = eigenvalues.iter().map(|e| e.ln()).sum();
            assert_abs_diff_eq!(cholesky.log_det(), log_det, epsilon = 1e-11 * n as f64);
        }
    }

    #[test]
    fn cholesky_names_the_failing_pivot() {
        let mut a = Array2::<f64>::eye(200);
        a[[150, 150]] = -1.0;
        assert_eq!(Cholesky::new(a.clone()).unwrap_err(), NotPositiveDefinite { pivot: 150, value: -1.0 });
        a[[150, 150]] = f64::NAN;
        assert_eq!(Cholesky::new(a).unwrap_err().pivot, 150);
    }

    #[test]
    fn the_layout_of_a_matrix_makes_no_difference_to_its_factor() {
        let a = par_gram(random(130, 140, 7).view());
        let by_columns = a.clone().reversed_axes();
        assert!(!by_columns.is_standard_layout());
        let b = Array1::from_shape_fn(130, |i| (i as f64).sin());
        let solutions = [a, by_columns].map(|matrix| Cholesky::new(matrix).unwrap().solve(b.view()));
        assert_eq!(solutions[0], solutions[1]);
    }
}
