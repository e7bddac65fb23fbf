//! What an ascent finds.

/// The best point an ascent found.
#[derive(Debug, Clone)]
pub struct Peak {
    /// Loss there: a lower bound of the maximum.
    pub value: f64,
    /// Where, in units of the domain.
    pub u: Vec<f64>,
    /// Gradients and Hessian products computed.
    pub iterations: usize,
    /// Whether the method stopped by its own criterion, and no curvature says that a point without a slope is no maximum.
    pub converged: bool,
}

impl Peak {
    /// The higher of two, with the work of both.
    pub(super) fn or(self, other: Self) -> Self {
        let iterations = self.iterations + other.iterations;
        let best = if other.value > self.value { other } else { self };
        Self { iterations, ..best }
    }
}

/// -1, 0 or 1.
pub(super) fn sign_of(x: f64) -> f64 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        0.0
    }
}
