//! How a rescaling acts on the flat parameter vector.

use ndarray::{Array2, ArrayView2};

/// The monomial map `theta'_i = scale_i theta_{source_i}`: a diagonal after a permutation.
///
/// With `M` its matrix, gradients and Hessians transport as `g' = M^-T g` and `H' = M^-T H M^-1`, entry by
/// entry `g'_i = g_{source_i} / scale_i`, `H'_ij = H_{source_i source_j} / (scale_i scale_j)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    scale: Vec<f64>,
    source: Vec<usize>,
}

impl Action {
    /// The map that changes nothing.
    pub fn identity(parameters: usize) -> Self {
        Self { scale: vec![1.0; parameters], source: (0..parameters).collect() }
    }

    /// A diagonal map.
    ///
    /// # Panics
    /// If a factor is zero or not finite: such a map has no inverse.
    pub fn diagonal(scale: Vec<f64>) -> Self {
        let source = (0..scale.len()).collect();
        Self::new(scale, source)
    }

    /// `theta'_i = scale_i theta_{source_i}`.
    ///
    /// # Panics
    /// If a factor is zero or not finite, or `source` is not a permutation.
    pub fn new(scale: Vec<f64>, source: Vec<usize>) -> Self {
        assert_eq!(scale.len(), source.len(), "one source a factor");
        assert!(scale.iter().all(|s| s.is_finite() && *s != 0.0), "factors must be finite and not 0");
        let mut seen = vec![false; source.len()];
        for &index in &source {
            assert!(!std::mem::replace(&mut seen[index], true), "source must be a permutation");
        }
        Self { scale, source }
    }

    /// Number of parameters.
    pub fn len(&self) -> usize {
        self.scale.len()
    }

    /// Whether there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.scale.is_empty()
    }

    /// The factors `scale_i`.
    pub fn scale(&self) -> &[f64] {
        &self.scale
    }

    /// The sources `source_i`.
    pub fn source(&self) -> &[usize] {
        &self.source
    }

    /// `theta' = M theta`.
    pub fn apply(&self, theta: &[f64]) -> Vec<f64> {
        assert_eq!(theta.len(), self.len(), "parameters do not fit the map");
        self.scale.iter().zip(&self.source).map(|(scale, &source)| scale * theta[source]).collect()
    }

    /// `g' = M^-T g`: how gradients, and everything that pairs with parameters, transport.
    pub fn transport_covector(&self, gradient: &[f64]) -> Vec<f64> {
        assert_eq!(gradient.len(), self.len(), "the gradient does not fit the map");
        self.scale.iter().zip(&self.source).map(|(scale, &source)| gradient[source] / scale).collect()
    }

    /// `M^-1 v`.
    pub fn apply_inverse(&self, v: &[f64]) -> Vec<f64> {
        assert_eq!(v.len(), self.len(), "the vector does not fit the map");
        let mut out = vec![0.0; v.len()];
        for ((value, scale), &source) in v.iter().zip(&self.scale).zip(&self.source) {
            out[source] = value / scale;
        }
        out
    }

    /// `d'_i = d_{source_i} / scale_i^2`: how the diagonal of a Hessian transports.
    pub fn transport_diagonal(&self, diagonal: &[f64]) -> Vec<f64> {
        assert_eq!(diagonal.len(), self.len(), "the diagonal does not fit the map");
        self.scale.iter().zip(&self.source).map(|(scale, &source)| diagonal[source] / (scale * scale)).collect()
    }

    /// `H' = M^-T H M^-1`.
    pub fn transport_hessian(&self, hessian: ArrayView2<f64>) -> Array2<f64> {
        let n = self.len();
        assert_eq!(hessian.dim(), (n, n), "the Hessian does not fit the map");
        Array2::from_shape_fn((n, n), |(i, j)| {
            hessian[[self.source[i], self.source[j]]] / (self.scale[i] * self.scale[j])
        })
    }

    /// The map that applies `self` first and `next` second.
    pub fn then(&self, next: &Self) -> Self {
        assert_eq!(self.len(), next.len(), "the maps act on different spaces");
        let scale = next.scale.iter().zip(&next.source).map(|(scale, &source)| scale * self.scale[source]).collect();
        let source = next.source.iter().map(|&source| self.source[source]).collect();
        Self { scale, source }
    }

    /// The inverse map.
    pub fn inverse(&self) -> Self {
        let mut scale = vec![0.0; self.len()];
        let mut source = vec![0; self.len()];
        for (index, (&factor, &from)) in self.scale.iter().zip(&self.source).enumerate() {
            scale[from] = 1.0 / factor;
            source[from] = index;
        }
        Self { scale, source }
    }
}
