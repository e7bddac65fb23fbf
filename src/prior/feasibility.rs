//! Whether any function of the prior has the labels: is there `z` with `v_i . z > 0` for all rows `v_i` of `V`?
//!
//! By Gordan's theorem there is one unless some `x >= 0`, not zero, has `V^T x = 0`. The point of least norm in the convex hull
//! of the rows decides: its length is the largest margin `min_i v_i . z` of a unit vector `z`. A few cheap steps towards it
//! (Gilbert 1966) often prove that there is a `z`; otherwise it is computed as a least-squares problem with
//! non-negative unknowns (Lawson and Hanson 1974, chapter 23), whose support names the points that contradict.

use faer::linalg::solvers::SolveLstsq;
use ndarray::{Array1, ArrayView2};

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Feasibility {
    /// Functions with these labels exist: the margin found.
    Possible(f64),
    /// None exists: the rows whose non-negative combination vanishes to rounding.
    Impossible(Vec<usize>),
}

/// Gilbert's steps before the least-squares problem is solved.
const STEPS: usize = 500;

/// Decides for unit rows `V` (`n x rank`) known to within `blur`.
pub(crate) fn decide(rows: ArrayView2<f64>, blur: f64) -> Feasibility {
    if let Some(margin) = gilbert(rows, blur) {
        return Feasibility::Possible(margin);
    }
    let (weights, point) = least_norm(rows);
    let length = point.dot(&point).sqrt();
    if length > blur {
        return Feasibility::Possible(length);
    }
    let largest = weights.iter().copied().fold(0.0, f64::max);
    Feasibility::Impossible((0..weights.len()).filter(|&i| weights[i] > 1e-9 * largest).collect())
}

/// Steps towards the row that is worst served, each as long as shortens the vector most; a margin above `blur`, if met.
fn gilbert(rows: ArrayView2<f64>, blur: f64) -> Option<f64> {
    let mut point = rows.mean_axis(ndarray::Axis(0))?;
    for _ in 0..STEPS {
        let served = rows.dot(&point);
        let worst = (0..served.len()).min_by(|&a, &b| served[a].total_cmp(&served[b]))?;
        let length = point.dot(&point).sqrt();
        if served[worst] > 2.0 * blur * length && length > 2.0 * blur {
            return Some(served[worst] / length);
        }
        let toward = &rows.row(worst) - &point;
        let share = -point.dot(&toward) / toward.dot(&toward);
        if !(share > 0.0) {
            return None;
        }
        point.scaled_add(share.min(1.0), &toward);
    }
    None
}

/// Weights `x >= 0` with sum 1 that make `|V^T x|` least, and `V^T x`.
fn least_norm(rows: ArrayView2<f64>) -> (Vec<f64>, Array1<f64>) {
    let (n, rank) = rows.dim();
    // Unknowns x of: V^T x = 0, sum x = 1, in least squares. The scaled solution is the point of least norm.
    let column = |i: usize, j: usize| if i < rank { rows[[j, i]] } else { 1.0 };
    let mut weights = vec![0.0; n];
    let mut passive: Vec<usize> = Vec::new();
    for _ in 0..3 * n + 10 {
        let residual: Vec<f64> = (0..=rank)
            .map(|i| f64::from(u8::from(i == rank)) - passive.iter().map(|&j| column(i, j) * weights[j]).sum::<f64>())
            .collect();
        let gradient = |j: usize| (0..=rank).map(|i| column(i, j) * residual[i]).sum::<f64>();
        let candidates = (0..n).filter(|j| !passive.contains(j)).map(|j| (j, gradient(j)));
        let Some((entering, steepest)) = candidates.max_by(|a, b| a.1.total_cmp(&b.1)) else { break };
        if !(steepest > 1e-15) {
            break;
        }
        passive.push(entering);
        loop {
            let solution = solve(&passive, rank + 1, column);
            if solution.iter().all(|&x| x > 0.0) {
                passive.iter().zip(&solution).for_each(|(&j, &x)| weights[j] = x);
                break;
            }
            // Back along the way to the solution until the first weight vanishes, which leaves.
            let share = passive
                .iter()
                .zip(&solution)
                .filter(|&(_, &x)| x <= 0.0)
                .map(|(&j, &x)| weights[j] / (weights[j] - x))
                .fold(1.0, f64::min);
            let share = if share.is_finite() { share } else { 0.0 };
            for (&j, &x) in passive.iter().zip(&solution) {
                weights[j] += share * (x - weights[j]);
            }
            let before = passive.len();
            passive.retain(|&j| weights[j] > 1e-15);
            if passive.len() == before {
                passive.pop();
            }
            if passive.is_empty() {
                break;
            }
        }
        (0..n).filter(|j| !passive.contains(j)).for_each(|j| weights[j] = 0.0);
        if passive.last() != Some(&entering) && !passive.contains(&entering) {
            // The entering row left at once: rounding; no further progress is possible.
            break;
        }
    }
    let total: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|x| *x /= total);
    let point = rows.t().dot(&Array1::from_vec(weights.clone()));
    (weights, point)
}

/// Least-squares solution for the chosen columns with right-hand side `(0, ..., 0, 1)`.
fn solve(chosen: &[usize], equations: usize, column: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let size = equations.max(chosen.len());
    let system = faer::Mat::from_fn(size, chosen.len(), |i, k| if i < equations { column(i, chosen[k]) } else { 0.0 });
    let right = faer::Mat::from_fn(size, 1, |i, _| f64::from(u8::from(i + 1 == equations)));
    let solution = system.col_piv_qr().solve_lstsq(&right);
    (0..chosen.len()).map(|k| if solution[(k, 0)].is_finite() { solution[(k, 0)] } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::Streams;
    use ndarray::{Array2, Axis, array};
    use rand_distr::{Distribution, StandardNormal};

    #[test]
    fn three_directions_at_120_degrees_contradict() {
        let root = 0.75_f64.sqrt();
        let rows = array![[1.0, 0.0], [-0.5, root], [-0.5, -root]];
        assert_eq!(decide(rows.view(), 1e-14), Feasibility::Impossible(vec![0, 1, 2]));
        let turned = array![[1.0, 0.0], [-0.5, root], [0.5, root]];
        assert!(matches!(decide(turned.view(), 1e-14), Feasibility::Possible(_)));
    }

    #[test]
    fn a_planted_solution_is_found_and_a_planted_contradiction_named() {
        for case in 0..60 {
            let mut generator = Streams::new(8).stream("feasibility", case);
            let (n, rank) = (4 + case as usize % 9, 2 + case as usize % 5);
            let mut rows = Array2::<f64>::from_shape_simple_fn((n, rank), || StandardNormal.sample(&mut generator));
            let z = Array1::from_shape_simple_fn(rank, || StandardNormal.sample(&mut generator));
            for mut row in rows.outer_iter_mut() {
                let sign = row.dot(&z).signum();
                let length = row.dot(&row).sqrt();
                row.mapv_inplace(|x| sign * x / length);
            }
            let found = decide(rows.view(), 1e-13);
            assert!(matches!(found, Feasibility::Possible(margin) if margin > 1e-13), "{case}: {found:?}");
            // One more row: minus a positive combination of two others.
            let mut last = -(&rows.row(0) * 0.3 + &rows.row(1) * 0.9);
            let length = last.dot(&last).sqrt();
            last /= length;
            let more = ndarray::concatenate![Axis(0), rows, last.insert_axis(Axis(0))];
            match decide(more.view(), 1e-13) {
                Feasibility::Impossible(support) => {
                    assert!(support.len() >= 2 && support.len() <= rank + 1, "{case}: {support:?}");
                }
                found => panic!("{case}: {found:?}"),
            }
        }
    }
}
