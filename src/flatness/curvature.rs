//! Curvature as operators: products with blocks of vectors, never a matrix.

use crate::flatness::FlatnessError;
use crate::model::Linearisation;
use crate::numeric::linalg::{norm, par_gram, symmetric_eigenvalues};
use crate::rescale::Action;
use ndarray::{Array2, ArrayView1, ArrayView2, s};
use std::ops::Range;

/// Basis vectors multiplied at a time where an operator is read entry by entry.
const BASIS_BLOCK: usize = 32;

/// A product held a number that is not finite.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("an operator product has norm {0}")]
pub struct NotFiniteProduct(pub f64);

impl NotFiniteProduct {
    /// The same as an error of a measure.
    pub fn of(self, measure: &'static str) -> FlatnessError {
        FlatnessError::NotFinite { measure, what: "the norm of a Hessian product", value: self.0 }
    }

    /// Every row of `images` as it is, if all are finite.
    pub(super) fn check(images: Array2<f64>) -> Result<Array2<f64>, Self> {
        match images.iter().all(|entry| entry.is_finite()) {
            true => Ok(images),
            false => Err(Self(norm(&images.iter().copied().collect::<Vec<_>>()))),
        }
    }
}

/// A symmetric linear map known by its products.
pub trait SymmetricOperator: Sync {
    /// Length of the vectors it acts on.
    fn dimension(&self) -> usize;

    /// `A v` for the rows `v` of `vectors` (`k x dimension`); a block costs less than its rows one by one.
    fn products(&self, vectors: ArrayView2<f64>) -> Array2<f64>;

    /// `A v` for one vector.
    fn product(&self, vector: &[f64]) -> Vec<f64> {
        let view = ArrayView2::from_shape((1, vector.len()), vector).expect("one row");
        self.products(view).into_raw_vec_and_offset().0
    }
}

/// The Hessian of the loss at a point.
#[derive(Debug, Clone, Copy)]
pub struct Hessian<'p, 'a>(pub &'p Linearisation<'a>);

impl SymmetricOperator for Hessian<'_, '_> {
    fn dimension(&self) -> usize {
        self.0.theta().len()
    }

    fn products(&self, vectors: ArrayView2<f64>) -> Array2<f64> {
        self.0.hessian_products(vectors)
    }
}

/// The Gauss-Newton matrix `1/n sum_i J_i^T B_i J_i` at a point (Schraudolph 2002); for `bce` and `ce` it is
/// the Fisher information, for `mse` twice the one of unit-variance Gaussian noise.
#[derive(Debug, Clone, Copy)]
pub struct GaussNewton<'p, 'a>(pub &'p Linearisation<'a>);

impl SymmetricOperator for GaussNewton<'_, '_> {
    fn dimension(&self) -> usize {
        self.0.theta().len()
    }

    fn products(&self, vectors: ArrayView2<f64>) -> Array2<f64> {
        self.0.gauss_newton_products(vectors)
    }
}

/// `M^-T A M^-1`: the curvature at `M theta` from that at `theta`, `M` function-preserving.
#[derive(Debug, Clone, Copy)]
pub struct Transported<'p, O> {
    /// The operator at `theta`.
    pub operator: O,
    /// The map `M`.
    pub action: &'p Action,
}

impl<O: SymmetricOperator> SymmetricOperator for Transported<'_, O> {
    fn dimension(&self) -> usize {
        self.operator.dimension()
    }

    fn products(&self, vectors: ArrayView2<f64>) -> Array2<f64> {
        let pulled = map_rows(vectors, |row| self.action.apply_inverse(row));
        let products = self.operator.products(pulled.view());
        map_rows(products.view(), |row| self.action.transport_covector(row))
    }
}

fn map_rows(vectors: ArrayView2<f64>, map: impl Fn(&[f64]) -> Vec<f64>) -> Array2<f64> {
    let mut out = Vec::with_capacity(vectors.len());
    for row in vectors.outer_iter() {
        out.extend(map(row.as_slice().expect("vectors are stored row by row")));
    }
    Array2::from_shape_vec(vectors.dim(), out).expect("maps keep lengths")
}

/// A symmetric matrix as an operator, for tests of what runs on operators.
#[derive(Debug, Clone)]
pub struct Matrix(pub Array2<f64>);

impl SymmetricOperator for Matrix {
    fn dimension(&self) -> usize {
        self.0.nrows()
    }

    fn products(&self, vectors: ArrayView2<f64>) -> Array2<f64> {
        vectors.dot(&self.0)
    }
}

/// `D A D`, `D` diagonal.
#[derive(Debug, Clone, Copy)]
pub struct Scaled<'p, O> {
    /// `A`.
    pub operator: O,
    /// The diagonal of `D`.
    pub scale: &'p [f64],
}

impl<O: SymmetricOperator> SymmetricOperator for Scaled<'_, O> {
    fn dimension(&self) -> usize {
        self.operator.dimension()
    }

    fn products(&self, vectors: ArrayView2<f64>) -> Array2<f64> {
        let scale = ArrayView1::from(self.scale);
        let mut out = self.operator.products((&vectors * &scale).view());
        out *= &scale;
        out
    }
}

/// `A^2`.
#[derive(Debug, Clone, Copy)]
pub struct Squared<O>(pub O);

impl<O: SymmetricOperator> SymmetricOperator for Squared<O> {
    fn dimension(&self) -> usize {
        self.0.dimension()
    }

    fn products(&self, vectors: ArrayView2<f64>) -> Array2<f64> {
        self.0.products(self.0.products(vectors).view())
    }
}

/// The diagonal block of `A` on a range of coordinates: a layer's own curvature.
#[derive(Debug, Clone)]
pub struct Block<O> {
    /// `A`.
    pub operator: O,
    /// The coordinates.
    pub range: Range<usize>,
}

impl<O: SymmetricOperator> SymmetricOperator for Block<O> {
    fn dimension(&self) -> usize {
        self.range.len()
    }

    fn products(&self, vectors: ArrayView2<f64>) -> Array2<f64> {
        let mut padded = Array2::zeros((vectors.nrows(), self.operator.dimension()));
        padded.slice_mut(s![.., self.range.clone()]).assign(&vectors);
        self.operator.products(padded.view()).slice(s![.., self.range.clone()]).to_owned()
    }
}

impl<O: SymmetricOperator + ?Sized> SymmetricOperator for &O {
    fn dimension(&self) -> usize {
        (**self).dimension()
    }

    fn products(&self, vectors: ArrayView2<f64>) -> Array2<f64> {
        (**self).products(vectors)
    }
}

/// Calls `visit` with the index and the row `A e_i` of every basis vector: `dimension` products, in blocks.
pub fn for_each_row(operator: &dyn SymmetricOperator, mut visit: impl FnMut(usize, &[f64])) {
    let dimension = operator.dimension();
    for first in (0..dimension).step_by(BASIS_BLOCK) {
        let count = BASIS_BLOCK.min(dimension - first);
        let mut basis = Array2::zeros((count, dimension));
        for row in 0..count {
            basis[[row, first + row]] = 1.0;
        }
        for (row, product) in operator.products(basis.view()).outer_iter().enumerate() {
            visit(first + row, product.as_slice().expect("products are stored row by row"));
        }
    }
}

/// The diagonal, by one product with each basis vector.
pub fn diagonal(operator: &dyn SymmetricOperator) -> Vec<f64> {
    let mut out = vec![0.0; operator.dimension()];
    for_each_row(operator, |index, row| out[index] = row[index]);
    out
}

/// The matrix, by one product with each basis vector; the two triangles, which differ by rounding, are
/// averaged.
pub fn dense(operator: &dyn SymmetricOperator) -> Array2<f64> {
    let dimension = operator.dimension();
    let mut matrix = Array2::zeros((dimension, dimension));
    for_each_row(operator, |index, row| matrix.row_mut(index).assign(&ArrayView1::from(row)));
    for i in 0..dimension {
        for j in 0..i {
            let mean = 0.5 * (matrix[[i, j]] + matrix[[j, i]]);
            matrix[[i, j]] = mean;
            matrix[[j, i]] = mean;
        }
    }
    matrix
}

/// All eigenvalues of the Gauss-Newton matrix but its certain zeros, in ascending order: those of the Gram
/// matrix `R R^T` of the loss-weighted Jacobian `R` (`n outputs x parameters`), `G = R^T R`. Worth it
/// where `n outputs < parameters`; the other `parameters - n outputs` eigenvalues are 0.
pub fn gauss_newton_spectrum(linearisation: &Linearisation) -> Vec<f64> {
    symmetric_eigenvalues(par_gram(linearisation.root_jacobian().view()).view())
}
