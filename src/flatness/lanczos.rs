//! Extreme eigenvalues of symmetric operators: Lanczos with full reorthogonalisation, thick restarts and
//! locking.
//!
//! Every new vector is orthogonalised against all kept ones until that takes little off it, so no eigenvalue appears twice by
//! loss of orthogonality (a ghost). One Krylov space holds one vector of each eigenspace only; copies of a
//! repeated eigenvalue are found by new runs in the complement of what has been found, until the top
//! of that complement lies below everything asked for.
//!
//! Lanczos 1950; thick restarts as Wu and Simon 2000; twice is enough: Giraud et al. 2005, and when once is:
//! Daniel, Gragg, Kaufman and Stewart 1976.

use crate::flatness::curvature::SymmetricOperator;
use crate::numeric::Streams;
use crate::numeric::linalg::{add_scaled, dot, norm, symmetric_eigen, unit_of};
use ndarray::Array2;
use rand_distr::{Distribution, StandardNormal};

/// Share of the basis by which it grows between looks at the Ritz values: looking takes `size^3` operations, and a
/// vector too many a product.
const GROWTH_BETWEEN_CHECKS: f64 = 0.1;
/// Share of a vector's norm that a pass has to leave, or rounding of what it took may be seen beside what is left.
const MUCH_LEFT: f64 = std::f64::consts::FRAC_1_SQRT_2;
/// A residual that rounding explains: this many units of `f64::EPSILON` times the operator's norm.
const ROUNDING_UNITS: f64 = 64.0;

/// Which end of the spectrum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// Largest eigenvalues.
    Largest,
    /// Smallest (most negative) eigenvalues.
    Smallest,
    /// Largest absolute values.
    Magnitude,
}

impl End {
    fn key(self, value: f64) -> f64 {
        match self {
            Self::Largest => value,
            Self::Smallest => -value,
            Self::Magnitude => value.abs(),
        }
    }
}

/// An eigenvalue with its vector; some true eigenvalue lies within `residual` of `value`.
#[derive(Debug, Clone)]
pub struct Eigenpair {
    /// The eigenvalue.
    pub value: f64,
    /// Unit eigenvector.
    pub vector: Vec<f64>,
    /// `|A x - value x|`, computed with a product of its own.
    pub residual: f64,
}

/// Eigenpairs from the asked end inward, and what they took.
#[derive(Debug, Clone)]
pub struct Eigenpairs {
    /// The pairs.
    pub pairs: Vec<Eigenpair>,
    /// The effort.
    pub work: Work,
}

/// Effort of a computation on operators.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Operator products done.
    pub products: usize,
    /// Restarts of the Krylov space.
    pub restarts: usize,
}

/// Why no eigenpairs were found.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LanczosError {
    /// The products ran out.
    #[error("no convergence in {products} products: residual {residual:e}, wanted {wanted:e}")]
    NotConverged {
        /// Products done.
        products: usize,
        /// Largest residual of a wanted pair.
        residual: f64,
        /// What it had to fall to.
        wanted: f64,
    },
    /// A product held a number that is not finite.
    #[error("an operator product has norm {0}")]
    NotFinite(f64),
}

/// Settings.
#[derive(Debug, Clone, Copy)]
pub struct Lanczos {
    /// Seed of the starting vectors.
    pub seed: u64,
    /// Residual accepted, relative to the eigenvalue.
    pub tolerance: f64,
    /// Vectors kept before a restart; memory is this times the dimension.
    pub basis: usize,
    /// Most products.
    pub max_products: usize,
}

impl Default for Lanczos {
    fn default() -> Self {
        Self { seed: 0, tolerance: 1e-10, basis: 160, max_products: 20_000 }
    }
}

impl Lanczos {
    /// The `count` outermost eigenvalues at `end`, with their multiplicities.
    ///
    /// # Errors
    /// [`LanczosError`].
    ///
    /// # Panics
    /// If `count` is 0 or above the operator's dimension.
    pub fn extreme(
        &self,
        operator: &dyn SymmetricOperator,
        end: End,
        count: usize,
    ) -> Result<Eigenpairs, LanczosError> {
        let dimension = operator.dimension();
        assert!((1..=dimension).contains(&count), "{count} eigenvalues of a {dimension} x {dimension} operator");
        let mut found = Eigenpairs { pairs: Vec::new(), work: Work::default() };
        let mut work = Work::default();
        for run in 0.. {
            let wanted = count.saturating_sub(found.pairs.len()).max(1);
            let pairs = Run::new(self, operator, end, &found.pairs, run).find(wanted, &mut work)?;
            // Once `count` are known, a run only looks for one that was missed.
            let missed = found.pairs.len() < count || {
                let least = found.pairs[count - 1].value;
                let slack = self.tolerance * least.abs();
                pairs.iter().any(|pair| end.key(pair.value) > end.key(least) + slack)
            };
            found.pairs.extend(pairs);
            found.pairs.sort_by(|a, b| end.key(b.value).total_cmp(&end.key(a.value)));
            // A single eigenvalue is the top of the first run whatever its multiplicity.
            if !missed || count == 1 || found.pairs.len() >= dimension {
                break;
            }
        }
        found.pairs.truncate(count);
        found.work = work;
        Ok(found)
    }
}

/// One Krylov space in the complement of the locked pairs.
struct Run<'r> {
    settings: &'r Lanczos,
    operator: &'r dyn SymmetricOperator,
    end: End,
    locked: &'r [Eigenpair],
    /// Orthonormal basis.
    basis: Vec<Vec<f64>>,
    /// The operator in that basis, as far as its products are known.
    projected: Array2<f64>,
    /// Unit in which the operator is computed with, a power of two near its size; known from the first product.
    unit: Option<f64>,
    run: u64,
    starts: u64,
}

impl<'r> Run<'r> {
    fn new(
        settings: &'r Lanczos,
        operator: &'r dyn SymmetricOperator,
        end: End,
        locked: &'r [Eigenpair],
        run: u64,
    ) -> Self {
        let most = settings.basis.min(operator.dimension()) + 1;
        Self {
            settings,
            operator,
            end,
            locked,
            basis: Vec::new(),
            projected: Array2::zeros((most, most)),
            unit: None,
            run,
            starts: 0,
        }
    }

    /// `A vector` in units of the operator's size, so that coefficients keep their digits between `1e-300` and `1e300`.
    fn product(&mut self, vector: &[f64], total: &mut Work) -> Result<Vec<f64>, LanczosError> {
        let mut image = self.operator.product(vector);
        total.products += 1;
        let length = norm(&image);
        if !length.is_finite() {
            return Err(LanczosError::NotFinite(length));
        }
        let unit = *self.unit.get_or_insert_with(|| unit_of(length));
        if unit != 1.0 {
            image.iter_mut().for_each(|x| *x /= unit);
        }
        Ok(image)
    }

    /// Orthogonalises `vector` against basis and locked pairs; the coefficients on the basis.
    ///
    /// What the recurrence takes off comes first, so that the pass over all has little to take and leaves little behind;
    /// where it took much all the same, it is done again.
    fn orthogonalise(&self, vector: &mut [f64]) -> Vec<f64> {
        let mut coefficients = vec![0.0; self.basis.len()];
        let mut remove = |vector: &mut [f64], index: usize| {
            let overlap = dot(&self.basis[index], vector);
            add_scaled(vector, -overlap, &self.basis[index]);
            coefficients[index] += overlap;
        };
        for index in (0..self.basis.len()).rev().take(2) {
            remove(vector, index);
        }
        for _ in 0..2 {
            let before = norm(vector);
            for pair in self.locked {
                let overlap = dot(&pair.vector, vector);
                add_scaled(vector, -overlap, &pair.vector);
            }
            for index in 0..self.basis.len() {
                remove(vector, index);
            }
            if norm(vector) > MUCH_LEFT * before {
                break;
            }
        }
        coefficients
    }

    /// A random unit vector orthogonal to everything known.
    fn fresh_vector(&mut self) -> Vec<f64> {
        let streams = Streams::new(self.settings.seed).child("lanczos", self.run);
        let mut generator = streams.stream("start", self.starts);
        self.starts += 1;
        let mut vector: Vec<f64> =
            (0..self.operator.dimension()).map(|_| StandardNormal.sample(&mut generator)).collect();
        self.orthogonalise(&mut vector);
        let length = norm(&vector);
        vector.iter_mut().for_each(|x| *x /= length);
        vector
    }

    /// Runs until the `wanted` outermost pairs have converged (or the complement is exhausted).
    fn find(mut self, wanted: usize, total: &mut Work) -> Result<Vec<Eigenpair>, LanczosError> {
        let available = self.operator.dimension() - self.locked.len();
        let wanted = wanted.min(available);
        let most = self.settings.basis.max(2 * wanted + 20).min(available);
        if self.projected.nrows() < most + 1 {
            self.projected = Array2::zeros((most + 1, most + 1));
        }
        let first = self.fresh_vector();
        self.basis.push(first);
        let mut next_check = wanted;
        loop {
            let last = self.basis.len() - 1;
            let member = std::mem::take(&mut self.basis[last]);
            let image = self.product(&member, total);
            self.basis[last] = member;
            let mut next = image?;
            let coefficients = self.orthogonalise(&mut next);
            for (index, coefficient) in coefficients.into_iter().enumerate() {
                self.projected[[index, last]] = coefficient;
                self.projected[[last, index]] = coefficient;
            }
            // A basis of all that is left couples to nothing but rounding.
            let coupling = if self.basis.len() == available { 0.0 } else { norm(&next) };
            let full = self.basis.len() == most;
            let size = self.basis.len();
            let known = self.projected.slice(ndarray::s![..size, ..size]);
            let scale = known.iter().fold(0.0, |top: f64, x| top.max(x.abs()));
            let invariant = coupling <= ROUNDING_UNITS * f64::EPSILON * scale;
            if size >= next_check || full || invariant {
                next_check = size + 1 + (GROWTH_BETWEEN_CHECKS * size as f64) as usize;
                let (values, vectors) = symmetric_eigen(known);
                let mut order: Vec<usize> = (0..size).collect();
                order.sort_by(|&a, &b| self.end.key(values[b]).total_cmp(&self.end.key(values[a])));
                let spread = values[0].abs().max(values[size - 1].abs());
                let wants = |index: usize| {
                    (self.settings.tolerance * values[index].abs()).max(ROUNDING_UNITS * f64::EPSILON * spread)
                };
                let residual = |index: usize| coupling * vectors[[size - 1, index]].abs();
                let enough = size >= wanted;
                if enough && order[..wanted].iter().all(|&index| residual(index) <= wants(index)) {
                    let finished = order[..wanted].iter().map(|&index| {
                        let vector = self.combine(vectors.column(index).iter().copied());
                        self.finish(vector, total)
                    });
                    return finished.collect();
                }
                if total.products >= self.settings.max_products {
                    let worst = order[..wanted.min(size)].iter().map(|&index| residual(index)).fold(0.0, f64::max);
                    let unit = self.unit.unwrap_or(1.0);
                    return Err(LanczosError::NotConverged {
                        products: total.products,
                        residual: worst * unit,
                        wanted: wants(order[0]) * unit,
                    });
                }
                if full && !invariant {
                    self.restart(&order, &values, &vectors, wanted);
                    next_check = self.basis.len() + 1;
                    total.restarts += 1;
                }
            }
            if invariant {
                // The space is exhausted before enough was found: go on in its complement.
                let next = self.fresh_vector();
                self.basis.push(next);
            } else {
                next.iter_mut().for_each(|x| *x /= coupling);
                self.basis.push(next);
            }
        }
    }

    fn combine(&self, weights: impl Iterator<Item = f64>) -> Vec<f64> {
        let mut out = vec![0.0; self.operator.dimension()];
        for (weight, member) in weights.zip(&self.basis) {
            add_scaled(&mut out, weight, member);
        }
        out
    }

    /// Keeps the outermost Ritz vectors and forgets the rest; the next product couples to all of them.
    fn restart(&mut self, order: &[usize], values: &[f64], vectors: &Array2<f64>, wanted: usize) {
        let size = self.basis.len();
        let keep = (wanted + size / 3).min(size - 2).max(1);
        let kept: Vec<Vec<f64>> =
            order[..keep].iter().map(|&index| self.combine(vectors.column(index).iter().copied())).collect();
        self.basis = kept;
        self.projected.fill(0.0);
        for (position, &index) in order[..keep].iter().enumerate() {
            self.projected[[position, position]] = values[index];
        }
    }

    /// The pair with its true residual.
    fn finish(&mut self, mut vector: Vec<f64>, total: &mut Work) -> Result<Eigenpair, LanczosError> {
        let length = norm(&vector);
        vector.iter_mut().for_each(|x| *x /= length);
        let mut image = self.product(&vector, total)?;
        let unit = self.unit.unwrap_or(1.0);
        // The Rayleigh quotient of the computed vector is accurate to the square of the residual.
        let quotient = dot(&vector, &image);
        add_scaled(&mut image, -quotient, &vector);
        let (value, residual) = (quotient * unit, norm(&image) * unit);
        // An eigenvalue beyond f64, or a NaN that no norm has shown.
        match [value, residual].into_iter().find(|number| !number.is_finite()) {
            Some(number) => Err(LanczosError::NotFinite(number)),
            None => Ok(Eigenpair { value, residual, vector }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flatness::curvature::Matrix;
    use crate::numeric::linalg::{par_gram, product};
    use approx::assert_relative_eq;

    /// A symmetric matrix with the given eigenvalues and random eigenvectors.
    fn with_spectrum(values: &[f64], seed: u64) -> Matrix {
        let n = values.len();
        let mut generator = Streams::new(seed).stream("spectrum", 0);
        let random = Array2::from_shape_simple_fn((n, n), || StandardNormal.sample(&mut generator));
        let (_, vectors) = symmetric_eigen(par_gram(random.view()).view());
        let scaled = &vectors * &ndarray::Array1::from(values.to_vec());
        let mut matrix = product(scaled.view(), vectors.t());
        crate::numeric::linalg::mirror_lower(&mut matrix);
        Matrix(matrix)
    }

    fn values(pairs: &Eigenpairs) -> Vec<f64> {
        pairs.pairs.iter().map(|pair| pair.value).collect()
    }

    fn assert_all_close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert_relative_eq!(found, expected, max_relative = 1e-9, epsilon = 1e-12);
        }
    }

    /// The last direction is left alone with what rounding leaks from the others.
    #[test]
    fn all_eigenvalues_of_a_singular_matrix_are_found() {
        for n in 1..=9 {
            for rank in 0..=n {
                let mut spectrum: Vec<f64> = (0..rank).map(|k| 100.0 * 0.3_f64.powi(k)).collect();
                spectrum.resize(n as usize, 0.0);
                for seed in 0..10 {
                    let matrix = with_spectrum(&spectrum, seed);
                    let found = Lanczos { seed, ..Lanczos::default() }.extreme(&matrix, End::Largest, n as usize);
                    for (found, expected) in values(&found.unwrap()).iter().zip(&spectrum) {
                        assert!((found - expected).abs() <= 1e-12 * 100.0, "{found}, expected {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn repeated_eigenvalues_come_with_their_multiplicity_and_never_more() {
        // Multiplicities 1, 3, 2, 1, 4 at the top, a long tail below.
        let mut spectrum = vec![7.0, 5.0, 5.0, 5.0, 4.5, 4.5, 3.0, 2.0, 2.0, 2.0, 2.0];
        spectrum.extend((0..90).map(|k| 1.5 * 0.9_f64.powi(k)));
        for seed in 0..5 {
            let matrix = with_spectrum(&spectrum, seed);
            for count in [1, 2, 3, 4, 5, 7, 11, 13] {
                let found = Lanczos { seed, ..Lanczos::default() }.extreme(&matrix, End::Largest, count).unwrap();
                assert_all_close(&values(&found), &spectrum[..count]);
                for pair in &found.pairs {
                    assert!(pair.residual <= 1e-9 * pair.value.abs(), "residual {:e}", pair.residual);
                }
            }
        }
    }

    #[test]
    fn a_short_basis_restarts_and_makes_no_ghosts() {
        // A large isolated eigenvalue is what plain Lanczos finds again and again.
        let mut spectrum = vec![1e4];
        spectrum.extend((0..199).map(|k| 10.0 - 0.05 * f64::from(k)));
        let matrix = with_spectrum(&spectrum, 9);
        let settings = Lanczos { basis: 25, ..Lanczos::default() };
        let found = settings.extreme(&matrix, End::Largest, 4).unwrap();
        assert_all_close(&values(&found), &spectrum[..4]);
        assert!(found.work.restarts > 0, "the basis was meant to be too short");
    }

    /// Of a vector all but a part in `1e12` of which lies in the basis, rounding of the first pass leaves as much as the rest is.
    #[test]
    fn what_is_left_of_a_vector_is_orthogonal_however_little_it_is() {
        let (dimension, settings) = (60, Lanczos::default());
        let operator = Matrix(Array2::eye(dimension));
        let mut run = Run::new(&settings, &operator, End::Largest, &[], 0);
        for _ in 0..30 {
            let member = run.fresh_vector();
            run.basis.push(member);
        }
        for little in [1.0, 1e-3, 1e-8, 1e-12] {
            let mut vector = run.combine((0..30).map(|k| f64::from(k).sin()));
            add_scaled(&mut vector, little, &run.fresh_vector());
            run.orthogonalise(&mut vector);
            let overlap = run.basis.iter().map(|member| dot(member, &vector).abs()).fold(0.0, f64::max);
            assert!(overlap <= 1e-14 * norm(&vector), "{overlap:e} of {:e}, of {little:e}", norm(&vector));
        }
    }

    #[test]
    fn both_ends_and_the_magnitude() {
        let spectrum = [-9.0, -9.0, -1.0, 0.0, 0.0, 0.0, 2.0, 8.0, 8.0];
        let matrix = with_spectrum(&spectrum, 1);
        let run = |end, count| values(&Lanczos::default().extreme(&matrix, end, count).unwrap());
        assert_all_close(&run(End::Largest, 3), &[8.0, 8.0, 2.0]);
        assert_all_close(&run(End::Smallest, 3), &[-9.0, -9.0, -1.0]);
        assert_all_close(&run(End::Magnitude, 4), &[-9.0, -9.0, 8.0, 8.0]);
        assert_all_close(&run(End::Largest, 9), &[8.0, 8.0, 2.0, 0.0, 0.0, 0.0, -1.0, -9.0, -9.0]);
    }

    #[test]
    fn multiples_of_the_identity_and_zero() {
        for value in [0.0, 3.0] {
            let matrix = Matrix(Array2::from_diag_elem(40, value));
            let found = Lanczos::default().extreme(&matrix, End::Largest, 40).unwrap();
            assert_all_close(&values(&found), &[value; 40]);
        }
    }

    /// A spectrum with a gap and a wide one, at scales where squares of entries leave the range of f64. The
    /// residual has to be a residual: 0 beside a wrong value is what an underflowing norm gives.
    #[test]
    fn eigenvalues_are_right_at_every_scale() {
        let spectrum = [1539.772, 3.0, 2.0, 0.0, -0.5, -492.69, -540.0];
        let base = with_spectrum(&spectrum, 3).0;
        for scale in [1e-305, 1e-300, 1e-250, 1e-200, 1e-165, 1e-162, 1e-160, 1e-80, 1e80, 1e154, 1e200, 1e250, 1e300] {
            let matrix = Matrix(base.mapv(|entry| entry * scale));
            for (end, expected) in [(End::Largest, 1539.772), (End::Smallest, -540.0), (End::Magnitude, 1539.772)] {
                let found = Lanczos::default().extreme(&matrix, end, 1).unwrap();
                let pair = &found.pairs[0];
                assert_relative_eq!(pair.value, expected * scale, max_relative = 1e-9);
                assert!(pair.residual <= 1e-9 * pair.value.abs(), "residual {:e} at {scale:e}", pair.residual);
            }
        }
        let beyond = Matrix(Array2::from_elem((4, 4), 1e308));
        assert!(matches!(Lanczos::default().extreme(&beyond, End::Largest, 1), Err(LanczosError::NotFinite(_))));
    }

    #[test]
    fn what_does_not_converge_or_is_not_finite_is_an_error() {
        let spectrum: Vec<f64> = (0..300).map(|k| f64::from(k) / 300.0).collect();
        let matrix = with_spectrum(&spectrum, 2);
        let settings = Lanczos { max_products: 12, ..Lanczos::default() };
        assert!(matches!(
            settings.extreme(&matrix, End::Largest, 1),
            Err(LanczosError::NotConverged { products: 12, .. })
        ));
        let mut broken = matrix.0;
        broken[[3, 4]] = f64::NAN;
        assert!(matches!(
            Lanczos::default().extreme(&Matrix(broken), End::Largest, 1),
            Err(LanczosError::NotFinite(_))
        ));
    }
}
