//! Orthant probabilities that have an answer to rounding.
//!
//! The matrix is split into its independent blocks (connected components of the non-zero correlations),
//! whose log probabilities add. A block is solved in closed form up to rank three, whatever its number of points, by a
//! one-dimensional integral if its correlations have one factor; otherwise the method says it does not apply.

mod cone;
mod one_factor;

use crate::description::{Description, references};
use crate::numeric::Estimate;
use crate::prior::problem::{Orthant, Reduced, check_link, reduce};
use crate::prior::rank::factorise;
use crate::prior::{Exactness, Gram, Labels, Link, LogProb, LogProbMethod, PriorError, PriorOptions};
use ndarray::ArrayView2;

/// Closed forms and one-dimensional integrals.
#[derive(Debug, Clone, Copy)]
pub struct Exact;

impl LogProbMethod for Exact {
    fn id(&self) -> &'static str {
        "exact"
    }

    fn summary(&self) -> &'static str {
        "closed forms: up to rank three, one-factor correlations, independent blocks of these"
    }

    fn source(&self) -> &'static str {
        "Sheppard 1899; van Oosterom, Strackee 1983; Dunnett, Sobel 1955"
    }

    fn description(&self) -> Option<&'static Description> {
        Some(&Description {
            formula: "log P = sum over independent blocks of log Pr[h_i > 0 for i in the block], h ~ N(0, R)",
            notes: "A block has a closed form up to rank three, whatever its number of points, and is a one-dimensional integral where its correlations have one factor, R_ij = l_i l_j.",
            unit: "nats",
            use_for: "one to three points, any number of points of rank up to three, one factor, independent blocks",
            not_for: "anything else: it says so",
            cost: "milliseconds",
            options: &["link"],
            refuses: "a block of another kind; a quadrature that does not come to a standstill; the logistic link",
            sources: &[references::SHEPPARD_1899, references::OOSTEROM_1983, references::DUNNETT_1955],
        })
    }

    fn links(&self) -> &'static [Link] {
        &[Link::Step, Link::Probit]
    }

    fn exactness(&self) -> Exactness {
        Exactness::Exact
    }

    fn log_prob(&self, gram: &Gram, labels: &Labels, options: &PriorOptions) -> Result<LogProb, PriorError> {
        check_link(self.id(), self.links(), options.link)?;
        let orthant = match reduce(gram, labels, options.link)? {
            Reduced::Decided(answer) => return Ok(answer),
            Reduced::Open(orthant) => orthant,
        };
        let blocks = independent_blocks(orthant.correlation());
        let mut value = 0.0;
        let mut forms = Vec::new();
        for block in &blocks {
            let (log_prob, form) = solve_block(&orthant, block)?;
            value += log_prob;
            if !forms.contains(&form) {
                forms.push(form);
            }
        }
        let mut info = orthant.info().with("blocks", blocks.len()).with("form", forms.join(", "));
        if value == f64::NEG_INFINITY {
            info.set("impossible", "the cone of functions with these labels has no interior");
        }
        Ok(LogProb { estimate: Estimate::deterministic(value, info), upper_bound: Some(value) })
    }
}

/// `log P` of one block and the name of the form that gave it.
fn solve_block(orthant: &Orthant, points: &[usize]) -> Result<(f64, &'static str), PriorError> {
    let block = orthant.select(points);
    let (n, literal) = (block.point_count(), block.literal());
    let singular = orthant.require_full_rank("exact").is_err();
    if (n <= cone::MOST_DIMENSIONS || singular)
        && let Some(factor) = factorise(literal, orthant.threshold(), cone::MOST_DIMENSIONS)
    {
        let blur = factor.blur(literal.format);
        return Ok((cone::log_orthant(&factor, blur), "closed form"));
    }
    if let Some(slopes) = one_factor::slopes(literal, block.correlation()) {
        return Ok((one_factor::log_orthant(&slopes)?, "one-factor quadrature"));
    }
    Err(PriorError::NotApplicable {
        method: "exact",
        reason: format!(
            "a block of {n} dependent points has neither one factor nor a closed form (known up to rank {})",
            cone::MOST_DIMENSIONS
        ),
    })
}

/// Connected components of the graph of non-zero correlations, each in ascending order.
fn independent_blocks(correlation: ArrayView2<f64>) -> Vec<Vec<usize>> {
    let n = correlation.nrows();
    let mut seen = vec![false; n];
    let mut blocks = Vec::new();
    for start in 0..n {
        if seen[start] {
            continue;
        }
        seen[start] = true;
        let mut block = vec![start];
        let mut next = 0;
        while let Some(&i) = block.get(next) {
            for j in 0..n {
                if !seen[j] && correlation[[i, j]] != 0.0 {
                    seen[j] = true;
                    block.push(j);
                }
            }
            next += 1;
        }
        block.sort_unstable();
        blocks.push(block);
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn blocks_are_connected_components() {
        let correlation =
            array![[1.0, 0.0, 0.1, 0.0], [0.0, 1.0, 0.0, 0.0], [0.1, 0.0, 1.0, 0.2], [0.0, 0.0, 0.2, 1.0]];
        assert_eq!(independent_blocks(correlation.view()), vec![vec![0, 2, 3], vec![1]]);
    }

    #[test]
    fn blocks_add() {
        let gram = Gram::new(array![[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 5.0]]).unwrap();
        let labels = Labels::from_signs([true, true, false]);
        let answer = Exact.log_prob(&gram, &labels, &PriorOptions::default()).unwrap();
        // P(both positive) at correlation 1/2 is 1/3.
        assert!((answer.estimate.value - (1.0_f64 / 6.0).ln()).abs() < 1e-15);
    }

    #[test]
    fn a_matrix_without_a_form_is_refused() {
        let gram =
            Gram::new(array![[1.0, 0.5, 0.1, 0.2], [0.5, 1.0, 0.3, 0.1], [0.1, 0.3, 1.0, 0.4], [0.2, 0.1, 0.4, 1.0]])
                .unwrap();
        let labels = Labels::from_signs([true; 4]);
        let error = Exact.log_prob(&gram, &labels, &PriorOptions::default()).unwrap_err();
        assert!(matches!(error, PriorError::NotApplicable { .. }), "{error}");
    }
}
