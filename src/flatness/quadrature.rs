//! Stochastic Lanczos quadrature: traces of functions of an operator, and its spectral density
//! (Ubaru, Chen and Saad 2017; for Hessians of networks Ghorbani, Krishnan and Xiao 2019).

use crate::flatness::curvature::{NotFiniteProduct, SymmetricOperator};
use crate::flatness::noise::mean_and_error;
use crate::numeric::Streams;
use crate::numeric::linalg::{add_scaled, dot, norm, symmetric_eigen};
use ndarray::Array2;
use rand::RngExt;

/// Probes whose recursions run side by side, so that products come in blocks.
const SIDE_BY_SIDE: usize = 4;
/// A coupling below this share of the operator's norm ends a recursion: the Krylov space is exhausted.
const BREAKDOWN: f64 = 1e-13;

/// Gauss quadratures of the spectral measures of random probes.
#[derive(Debug, Clone)]
pub struct SpectralMeasure {
    /// One quadrature a probe: nodes (Ritz values) and weights, which sum to 1.
    pub quadratures: Vec<Vec<(f64, f64)>>,
    /// The same after half the steps, to see what the number of steps does.
    pub halved: Vec<Vec<(f64, f64)>>,
    /// Dimension of the operator.
    pub dimension: usize,
    /// Products done.
    pub products: usize,
}

impl SpectralMeasure {
    /// `tr f(A)` and its standard error between probes. The quadrature itself is exact for polynomials up to
    /// degree `2 steps - 1`.
    pub fn trace_of(&self, f: impl Fn(f64) -> f64) -> (f64, f64) {
        mean_and_error(&self.traces(&self.quadratures, f))
    }

    /// How far the second half of the steps moved `tr f(A)`.
    pub fn change_from_half_the_steps(&self, f: impl Fn(f64) -> f64 + Copy) -> f64 {
        let (all, half) = (self.traces(&self.quadratures, f), self.traces(&self.halved, f));
        all.iter().zip(&half).map(|(all, half)| all - half).sum::<f64>() / all.len() as f64
    }

    fn traces(&self, quadratures: &[Vec<(f64, f64)>], f: impl Fn(f64) -> f64) -> Vec<f64> {
        let of = |nodes: &Vec<(f64, f64)>| nodes.iter().map(|(node, weight)| weight * f(*node)).sum::<f64>();
        quadratures.iter().map(|nodes| self.dimension as f64 * of(nodes)).collect()
    }

    /// All nodes with their weights in the density of eigenvalues.
    pub fn nodes(&self) -> Vec<(f64, f64)> {
        let probes = self.quadratures.len() as f64;
        self.quadratures.iter().flatten().map(|(node, weight)| (*node, weight / probes)).collect()
    }
}

/// `sum_k weight_k N(point; node_k, width^2)` at each point: a density from nodes and weights.
pub fn gaussian_mixture(nodes: &[(f64, f64)], points: &[f64], width: f64) -> Vec<f64> {
    let normaliser = 1.0 / (width * (2.0 * std::f64::consts::PI).sqrt());
    let at = |point: &f64| {
        nodes.iter().map(|(node, weight)| weight * (-0.5 * ((point - node) / width).powi(2)).exp()).sum::<f64>()
    };
    points.iter().map(|point| normaliser * at(point)).collect()
}

/// Runs `probes` Lanczos recursions of `steps` steps from random sign vectors, with full
/// reorthogonalisation.
///
/// # Errors
/// [`NotFiniteProduct`].
pub fn spectral_measure(
    operator: &dyn SymmetricOperator,
    probes: usize,
    steps: usize,
    streams: Streams,
) -> Result<SpectralMeasure, NotFiniteProduct> {
    let mut measure =
        SpectralMeasure { quadratures: Vec::new(), halved: Vec::new(), dimension: operator.dimension(), products: 0 };
    for first in (0..probes).step_by(SIDE_BY_SIDE) {
        let count = SIDE_BY_SIDE.min(probes - first);
        let mut recursions: Vec<Recursion> =
            (first..first + count).map(|probe| Recursion::new(operator.dimension(), streams, probe as u64)).collect();
        for _ in 0..steps.min(operator.dimension()) {
            let open: Vec<usize> = (0..count).filter(|&index| !recursions[index].exhausted).collect();
            if open.is_empty() {
                break;
            }
            let mut block = Array2::zeros((open.len(), operator.dimension()));
            for (mut row, &index) in block.outer_iter_mut().zip(&open) {
                row.assign(&ndarray::ArrayView1::from(recursions[index].last()));
            }
            let images = NotFiniteProduct::check(operator.products(block.view()))?;
            measure.products += open.len();
            for (image, &index) in images.outer_iter().zip(&open) {
                recursions[index].advance(image.to_vec());
            }
        }
        for recursion in recursions {
            let size = recursion.diagonal.len();
            measure.quadratures.push(recursion.quadrature(size));
            measure.halved.push(recursion.quadrature(size.div_ceil(2)));
        }
    }
    Ok(measure)
}

/// The Lanczos recursion from one vector.
struct Recursion {
    basis: Vec<Vec<f64>>,
    diagonal: Vec<f64>,
    couplings: Vec<f64>,
    next: Vec<f64>,
    exhausted: bool,
}

impl Recursion {
    fn new(dimension: usize, streams: Streams, probe: u64) -> Self {
        let mut generator = streams.stream("spectral probe", probe);
        let entry = 1.0 / (dimension as f64).sqrt();
        let next = (0..dimension).map(|_| if generator.random::<bool>() { entry } else { -entry }).collect();
        Self { basis: Vec::new(), diagonal: Vec::new(), couplings: Vec::new(), next, exhausted: false }
    }

    fn last(&self) -> &[f64] {
        &self.next
    }

    fn advance(&mut self, mut image: Vec<f64>) {
        self.basis.push(std::mem::take(&mut self.next));
        let current = self.basis.last().expect("pushed above");
        self.diagonal.push(dot(current, &image));
        for _ in 0..2 {
            for member in &self.basis {
                let overlap = dot(member, &image);
                add_scaled(&mut image, -overlap, member);
            }
        }
        let coupling = norm(&image);
        let scale = self.diagonal.iter().chain(&self.couplings).fold(coupling, |top: f64, x| top.max(x.abs()));
        // Written so that NaN ends the recursion too.
        if !(coupling > BREAKDOWN * scale) {
            self.exhausted = true;
            return;
        }
        image.iter_mut().for_each(|x| *x /= coupling);
        self.couplings.push(coupling);
        self.next = image;
    }

    /// Nodes and weights after `size` steps: eigenvalues of the tridiagonal matrix, squared first entries of its
    /// eigenvectors.
    fn quadrature(&self, size: usize) -> Vec<(f64, f64)> {
        let mut matrix = Array2::zeros((size, size));
        for (index, value) in self.diagonal.iter().enumerate().take(size) {
            matrix[[index, index]] = *value;
        }
        for (index, value) in self.couplings.iter().enumerate().take(size.saturating_sub(1)) {
            matrix[[index + 1, index]] = *value;
            matrix[[index, index + 1]] = *value;
        }
        let (values, vectors) = symmetric_eigen(matrix.view());
        values.into_iter().enumerate().map(|(index, value)| (value, vectors[[0, index]].powi(2))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flatness::curvature::Matrix;
    use crate::numeric::linalg::product;
    use rand_distr::{Distribution, StandardNormal};

    fn with_spectrum(values: &[f64]) -> Matrix {
        let n = values.len();
        let mut generator = Streams::new(8).stream("spectrum", 0);
        let random = Array2::from_shape_simple_fn((n, n), || StandardNormal.sample(&mut generator));
        let (_, vectors) = symmetric_eigen((&random + &random.t()).view());
        Matrix(product((&vectors * &ndarray::Array1::from(values.to_vec())).view(), vectors.t()))
    }

    /// 400 repeats, seeds 0 to 399; false alarms of the two assertions: `7e-6` and below `1e-4`, as for
    /// the trace estimators.
    #[test]
    fn log_determinants_are_unbiased_with_honest_errors() {
        let spectrum: Vec<f64> = (0..60).map(|k| 0.05 + 10.0 * 0.8_f64.powi(k)).collect();
        let matrix = with_spectrum(&spectrum);
        let truth: f64 = spectrum.iter().map(|value| value.ln()).sum();
        let results: Vec<(f64, f64)> = (0..400)
            .map(|seed| spectral_measure(&matrix, 8, 40, Streams::new(seed)).unwrap().trace_of(f64::ln))
            .collect();
        let mean = results.iter().map(|(value, _)| value - truth).sum::<f64>() / 400.0;
        let variance = results.iter().map(|(value, _)| (value - truth - mean).powi(2)).sum::<f64>() / 399.0;
        assert!(mean.abs() < 4.5 * (variance / 400.0).sqrt(), "bias {mean}, deviation {}", variance.sqrt());
        let stated = results.iter().map(|(_, error)| error * error).sum::<f64>() / 400.0;
        assert!((0.6..1.6).contains(&(stated / variance)), "stated over true variance {}", stated / variance);
    }

    #[test]
    fn quadratures_are_exact_for_polynomials_and_densities_are_normalised() {
        let spectrum: Vec<f64> = (0..30).map(|k| f64::from(k) / 10.0 - 1.0).collect();
        let matrix = with_spectrum(&spectrum);
        let measure = spectral_measure(&matrix, 1, 4, Streams::new(3)).unwrap();
        assert_eq!(measure.products, 4);
        let mut generator = Streams::new(3).stream("spectral probe", 0);
        let probe: Vec<f64> = (0..30).map(|_| if generator.random::<bool>() { 1.0 } else { -1.0 }).collect();
        // z^T A^7 z, degree 7 = 2 * 4 - 1, by repeated products.
        let mut image = probe.clone();
        for degree in 1..=7 {
            image = matrix.product(&image);
            let (value, _) = measure.trace_of(|t| t.powi(degree));
            let expected = dot(&probe, &image);
            assert!((value - expected).abs() < 1e-10 * (1.0 + expected.abs()), "degree {degree}: {value}, {expected}");
        }
        let points: Vec<f64> = (0..2000).map(|k| -3.0 + 0.004 * f64::from(k)).collect();
        let total: f64 = gaussian_mixture(&measure.nodes(), &points, 0.1).iter().sum::<f64>() * 0.004;
        assert!((total - 1.0).abs() < 1e-9, "{total}");
    }

    #[test]
    fn undefined_products_are_errors_and_no_panics() {
        let mut matrix = with_spectrum(&[1.0, 2.0, 3.0]);
        matrix.0[[1, 2]] = f64::NAN;
        assert!(spectral_measure(&matrix, 2, 3, Streams::new(0)).is_err());
    }

    #[test]
    fn nodes_scale_with_the_operator() {
        let spectrum: Vec<f64> = (0..12).map(|k| f64::from(k) - 3.0).collect();
        let matrix = with_spectrum(&spectrum);
        let base = spectral_measure(&matrix, 4, 12, Streams::new(1)).unwrap().trace_of(f64::abs);
        for scale in [1e-300, 1e-170, 1e170, 1e300] {
            let scaled = Matrix(&matrix.0 * scale);
            let (value, error) = spectral_measure(&scaled, 4, 12, Streams::new(1)).unwrap().trace_of(f64::abs);
            assert!((value / scale - base.0).abs() < 1e-9 * base.0, "{value:e} at {scale:e}");
            assert!((error / scale - base.1).abs() < 1e-9 * base.0, "{error:e} at {scale:e}");
        }
    }
}
