//! Gram matrices of low rank, and nearly so: values of `golden/prior/rank.json` (40 digits), and one test for each kind of
//! fault that such matrices have brought to light.

mod common;

use common::tier::by_tier;
use flatgauge::numeric::{Estimate, InfoValue};
use flatgauge::prior::{Exactness, Gram, Labels, Link, PriorError, PriorOptions, find, registry};
use ndarray::{Array2, array};
use std::time::Instant;

/// Standard errors of a method with 32 replicates by which it may miss a known value: Student's distribution with 31 degrees of
/// freedom exceeds 6 with probability `1.2e-6`; some 150 comparisons with fixed seeds.
const SIGMAS: f64 = 6.0;

type Answer = Result<Estimate, PriorError>;

fn ask_with(id: &str, matrix: &Array2<f64>, signs: &[f64], options: &PriorOptions) -> Answer {
    let gram = Gram::new(matrix.clone())?;
    let labels = Labels::from_values(signs)?;
    find(id).unwrap().log_prob(&gram, &labels, options).map(|answer| answer.estimate)
}

fn ask(id: &str, matrix: &Array2<f64>, signs: &[f64]) -> Answer {
    ask_with(id, matrix, signs, &PriorOptions::default())
}

fn step_methods() -> impl Iterator<Item = &'static str> {
    registry().iter().filter(|method| method.links().contains(&Link::Step)).map(|method| method.id())
}

fn close(answer: &Estimate, truth: f64, tolerance: f64) -> bool {
    if truth == f64::NEG_INFINITY || answer.value == f64::NEG_INFINITY {
        return answer.value == truth;
    }
    (answer.value - truth).abs() <= tolerance + SIGMAS * answer.std_error.unwrap_or(0.0)
}

/// A value of the given size, `-inf`, or a refusal: never another number.
fn right_or_refused(id: &str, matrix: &Array2<f64>, signs: &[f64], truth: f64, tolerance: f64) {
    match ask(id, matrix, signs) {
        Ok(answer) => {
            let exactness = find(id).unwrap().exactness();
            let judged = exactness != Exactness::Approximate || truth == f64::NEG_INFINITY;
            assert!(!judged || close(&answer, truth, tolerance), "{id}: {answer:?}, right {truth}");
            assert!(answer.std_error.is_none_or(f64::is_finite), "{id}: {answer:?}");
        }
        Err(error) => {
            assert!(truth > f64::NEG_INFINITY, "{id} refuses what is impossible: {error}");
            assert!(!matches!(error, PriorError::Indefinite { .. }), "{id}: {error}");
        }
    }
}

struct Case {
    kind: String,
    matrix: Array2<f64>,
    signs: Vec<f64>,
    value: f64,
    tolerance: f64,
}

fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/prior/rank.json")).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    let cases: Vec<Case> = document["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| {
            let rows = case["matrix"].as_array().unwrap();
            let n = rows.len();
            Case {
                kind: case["kind"].as_str().unwrap().to_owned(),
                matrix: Array2::from_shape_fn((n, n), |(i, j)| number(&rows[i][j])),
                signs: case["labels"].as_array().unwrap().iter().map(number).collect(),
                value: case["value"].as_f64().unwrap_or(f64::NEG_INFINITY),
                tolerance: number(&case["tolerance"]),
            }
        })
        .collect();
    assert_eq!(cases.len(), 205);
    cases
}

#[test]
fn exact_and_auto_against_40_digits() {
    let mut wrong = Vec::new();
    for (index, case) in cases().iter().enumerate() {
        for id in ["exact", "auto"] {
            let answer = ask(id, &case.matrix, &case.signs);
            let right = answer.as_ref().is_ok_and(|answer| {
                // No noise of sampling: a closed form or an integral.
                let exact = Estimate { std_error: None, ..answer.clone() };
                close(&exact, case.value, case.tolerance * case.value.abs().max(1.0))
                    && answer.std_error.is_none_or(f64::is_finite)
            });
            if !right {
                let (kind, n) = (&case.kind, case.signs.len());
                let said = answer.map(|answer| (answer.value, answer.std_error));
                wrong.push(format!(
                    "{index} {kind}, {n} points, {id}: {said:?}, right {} +- {:e}",
                    case.value, case.tolerance
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn impossible_labels_are_minus_infinity_by_every_method_and_say_why() {
    let mut asked = 0;
    for case in cases().iter().filter(|case| case.value == f64::NEG_INFINITY) {
        for id in step_methods() {
            let answer = ask(id, &case.matrix, &case.signs).unwrap();
            assert_eq!(answer.value, f64::NEG_INFINITY, "{id} on {}: {answer:?}", case.kind);
            assert!(matches!(answer.info.get("impossible"), Some(InfoValue::Text(_))), "{id}: {answer:?}");
            assert!(answer.std_error.is_none_or(|error| error == 0.0), "{id}: {answer:?}");
            asked += 1;
        }
    }
    assert_eq!(asked, 39 * 10);
}

#[test]
fn possible_labels_of_singular_matrices_are_right_or_refused_by_rank() {
    for case in cases().iter().filter(|case| case.kind.contains("rank") && case.value > f64::NEG_INFINITY).step_by(4) {
        for id in step_methods() {
            right_or_refused(id, &case.matrix, &case.signs, case.value, case.tolerance);
        }
        if case.value < -0.7 {
            for id in ["smc", "ep_importance", "genz", "tilting"] {
                let refusal = ask(id, &case.matrix, &case.signs).unwrap_err();
                assert!(matches!(refusal, PriorError::Singular { .. }), "{id}: {refusal}");
            }
            ask("splitting", &case.matrix, &case.signs).unwrap();
        }
    }
}

/// An integer Gram matrix of rank four, of which no closed form is known: the samplers for full rank used to answer with
/// pivots of rounding size (z up to -104).
#[test]
fn last_pivots_of_rounding_size_are_no_answer() {
    let mut answered = 0;
    for case in 0..12_usize {
        let n = 5 + case % 3;
        let factor = Array2::from_shape_fn((n, 4), |(i, k)| {
            ((31 * (i + 1) * (k + 2) + 17 * case * (i + k * k + 1)) % 13) as f64 - 6.0
        });
        let matrix = factor.dot(&factor.t());
        let signs: Vec<f64> = factor
            .outer_iter()
            .map(|row| if row[0] + 0.3 * row[1] - 0.1 * row[3] > 0.0 { 1.0 } else { -1.0 })
            .collect();
        let Ok(answer) = ask("auto", &matrix, &signs) else { continue };
        if answer.info.number("rank") != Some(4.0) {
            continue;
        }
        answered += 1;
        // Counting: 200,000 draws of a function of the prior.
        let mut generator = flatgauge::numeric::Streams::new(1).stream("count", case as u64);
        let draws = 200_000;
        let mut hits = 0;
        for _ in 0..draws {
            let z: Vec<f64> = (0..4)
                .map(|_| rand_distr::Distribution::<f64>::sample(&rand_distr::StandardNormal, &mut generator))
                .collect();
            let inside = factor
                .outer_iter()
                .zip(&signs)
                .all(|(row, sign)| sign * row.iter().zip(&z).map(|(a, b)| a * b).sum::<f64>() > 0.0);
            hits += u32::from(inside);
        }
        let share = f64::from(hits) / f64::from(draws);
        let error = ((1.0 - share) / (share * f64::from(draws))).sqrt();
        let both = error.hypot(answer.std_error.unwrap());
        assert!((answer.value - share.ln()).abs() < SIGMAS * both, "{answer:?} against {} +- {error}", share.ln());
        for id in ["smc", "ep_importance", "genz", "tilting"] {
            let refusal = ask(id, &matrix, &signs).unwrap_err();
            assert!(matches!(refusal, PriorError::Singular { rank: 4, .. }), "{id}: {refusal}");
        }
    }
    assert!(answered >= 8, "{answered}");
}

/// Functions of two binary inputs under the linear kernel with bias: XOR is none of them.
#[test]
fn boolean_functions_of_a_linear_kernel() {
    let inputs = [[1.0, 0.0, 0.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0]];
    let matrix = Array2::from_shape_fn((4, 4), |(i, j)| (0..3).map(|k| inputs[i][k] * inputs[j][k]).sum());
    let mut total = 0.0;
    for bits in 0..16_u32 {
        let signs: Vec<f64> = (0..4).map(|i| if bits >> i & 1 == 1 { 1.0 } else { -1.0 }).collect();
        let truth = ask("exact", &matrix, &signs).unwrap().value;
        total += truth.exp();
        assert_eq!(truth == f64::NEG_INFINITY, [0b0110, 0b1001].contains(&bits), "{bits:04b}: {truth}");
        for id in step_methods() {
            right_or_refused(id, &matrix, &signs, truth, 1e-10);
        }
    }
    assert!((total - 1.0).abs() < 1e-12, "{total}");
    // AND by `golden/generate/prior_rank.py`'s `spatial`, 60 digits.
    let and = ask("exact", &matrix, &[-1.0, -1.0, -1.0, 1.0]).unwrap().value;
    assert!((and + 4.225_138_812_288_144).abs() < 1e-13, "{and}");
}

#[test]
fn three_directions_at_120_degrees() {
    let matrix = array![[1.0, -0.5, -0.5], [-0.5, 1.0, -0.5], [-0.5, -0.5, 1.0]];
    for id in step_methods() {
        right_or_refused(id, &matrix, &[1.0, 1.0, 1.0], f64::NEG_INFINITY, 0.0);
        for signs in [[1.0, 1.0, -1.0], [1.0, -1.0, 1.0], [-1.0, 1.0, 1.0], [1.0, -1.0, -1.0]] {
            right_or_refused(id, &matrix, &signs, (1.0_f64 / 6.0).ln(), 1e-12);
        }
    }
}

/// Two near copies with opposite labels among other points: with `1 - rho = d`, `P = sqrt(2 d) / (2 pi) P(others | h = 0)` but for
/// terms of relative size `sqrt(d)`.
#[test]
fn near_copies_with_opposite_labels() {
    let others: Array2<f64> = array![[1.0, 0.2, -0.1], [0.2, 1.0, 0.4], [-0.1, 0.4, 1.0]];
    let ties = [0.3_f64, -0.2, 0.5];
    let left = |i: usize, j: usize| others[[i, j]] - ties[i] * ties[j];
    let partial = |i: usize, j: usize| left(i, j) / (left(i, i) * left(j, j)).sqrt();
    let pi = std::f64::consts::PI;
    for scale in [1.0, 3.0] {
        for &d in by_tier(&[1e-10, 1e-13, 1e-15][..], &[1e-10, 1e-12, 1e-13, 1e-14, 1e-15]) {
            let tie = |i: usize| if i < 2 { 1.0 } else { ties[i - 2] };
            let matrix = Array2::from_shape_fn((5, 5), |(i, j)| {
                let unit = if i == 1 { scale } else { 1.0 } * if j == 1 { scale } else { 1.0 };
                unit * match (i.min(j), i.max(j)) {
                    (0, 1) => 1.0 - d,
                    (i, j) if i >= 2 => others[[i - 2, j - 2]],
                    (i, j) if i == j => 1.0,
                    (_, j) => tie(j),
                }
            });
            let given = 1.0 - matrix[[0, 1]] / scale;
            for bits in [0_u32, 3, 6] {
                let sign = |i: usize| if bits >> i & 1 == 1 { 1.0 } else { -1.0 };
                let arcsines = (0..3).flat_map(|i| (0..i).map(move |j| (i, j)));
                let sum: f64 = arcsines.map(|(i, j)| f64::asin(sign(i) * sign(j) * partial(i, j))).sum();
                let truth = ((2.0 * given).sqrt() / (2.0 * pi) * (0.125 + sum / (4.0 * pi))).ln();
                let signs = [1.0, -1.0, sign(0), sign(1), sign(2)];
                // A rounding of the scaled entries moves d by up to 2e-16: log P by half of its share.
                let tolerance = 3.0 * given.sqrt() + if scale == 1.0 { 0.0 } else { 2.3e-16 / given };
                for id in ["splitting", "auto"].into_iter().take(if bits == 0 { 2 } else { 1 }) {
                    let answer = ask(id, &matrix, &signs).unwrap();
                    assert!(close(&answer, truth, tolerance), "{id} at {d:e} {bits:03b}: {answer:?}, right {truth}");
                }
                if bits == 0 {
                    for id in ["smc", "tilting", "genz"] {
                        right_or_refused(id, &matrix, &signs, truth, tolerance);
                    }
                }
            }
        }
    }
}

#[test]
fn equicorrelated_points_near_one_with_unlike_labels() {
    let matrix = |n: usize, gap: f64| Array2::from_shape_fn((n, n), |(i, j)| if i == j { 1.0 } else { 1.0 - gap });
    let one_against_four = [1.0, -1.0, -1.0, -1.0, -1.0];
    for (gap, signs, truth) in [
        (1e-12, one_against_four, -16.74745),
        (2.3e-16, [1.0, -1.0, 1.0, -1.0, -1.0], -21.94651),
        (2.3e-16, one_against_four, -20.95375),
    ] {
        for id in ["exact", "auto", "splitting"] {
            let answer = ask(id, &matrix(5, gap), &signs).unwrap();
            let tolerance = 1e-4;
            assert!(close(&answer, truth, tolerance), "{id} at {gap:e}: {answer:?}, right {truth}");
        }
    }
}

/// Kernels that were computed in float32 meet the same point with entries one rounding apart.
#[test]
fn float32_copies_one_rounding_apart() {
    for n in [2, 3, 4] {
        for ulp in [-1.0, 1.0_f64] {
            let near = if ulp < 0.0 { 1.0 - 2.0_f64.powi(-24) } else { 1.0 + 2.0_f64.powi(-23) };
            let matrix = Array2::from_shape_fn((n, n), |(i, j)| match (i.min(j), i.max(j)) {
                (0, 1) => near,
                (i, j) if i == j => 1.0,
                (i, j) => f64::from((0.3 + 0.1 * (i.max(1) + j) as f64) as f32 * 0.5),
            });
            let mut signs = vec![1.0; n];
            signs[1] = -1.0;
            for id in step_methods() {
                let answer = ask(id, &matrix, &signs).unwrap();
                assert_eq!(answer.value, f64::NEG_INFINITY, "{id}, {n} points, {near}: {answer:?}");
            }
            signs[1] = 1.0;
            let shorter = Array2::from_shape_fn((n - 1, n - 1), |(i, j)| matrix[[i + 1, j + 1]]);
            let merged = ask("exact", &shorter, &signs[1..]);
            if let (Ok(together), Ok(merged)) = (ask("exact", &matrix, &signs), merged) {
                assert!((together.value - merged.value).abs() < 1e-5, "{together:?} and {merged:?}");
            }
        }
    }
}

#[test]
fn a_singular_float32_matrix_says_by_which_format_it_was_judged() {
    // Five directions of a plane, rounded to float32: in f64 this is indefinite by 1e-8.
    let matrix = Array2::from_shape_fn((5, 5), |(i, j)| f64::from((0.7 * (i as f64 - j as f64)).cos() as f32));
    let answer = ask("exact", &matrix, &[1.0, 1.0, 1.0, -1.0, -1.0]).unwrap();
    assert_eq!(answer.info.get("rank_format"), Some(&InfoValue::Text("float32".to_owned())));
    assert_eq!(answer.info.number("rank"), Some(2.0));
    // Angles 0, 0.7, 1.4 and, turned round, 2.1 - pi and 2.8 - pi.
    let spread = 1.4 - (2.1 - std::f64::consts::PI);
    let truth = ((std::f64::consts::PI - spread) / (2.0 * std::f64::consts::PI)).ln();
    assert!((answer.value - truth).abs() < 1e-5, "{answer:?}, right {truth}");
    let impossible = ask("exact", &matrix, &[1.0, -1.0, 1.0, -1.0, 1.0]).unwrap();
    assert_eq!(impossible.value, f64::NEG_INFINITY);
    // The threshold stands beside it: 2 n roundings of 2^-24.
    assert!(answer.info.number("rank_threshold").unwrap() >= 10.0 * 2.0_f64.powi(-24));
}

#[test]
fn scales_far_from_one_neither_overflow_nor_underflow() {
    let base = array![[1.0, 0.3, -0.2], [0.3, 2.0, 0.5], [-0.2, 0.5, 1.5]];
    let truth = ask("exact", &base, &[1.0, -1.0, 1.0]).unwrap().value;
    for exponent in [-1000, -560, -540, -520, 520, 560, 1000] {
        let scaled = base.mapv(|k| k * 2.0_f64.powi(exponent));
        assert_eq!(ask("exact", &scaled, &[1.0, -1.0, 1.0]).unwrap().value, truth, "{exponent}");
        // An asymmetry of one rounding is none; a real one is, at every scale.
        let mut near = scaled.clone();
        near[[0, 1]] *= 1.0 + f64::EPSILON;
        assert!(Gram::new(near).is_ok(), "{exponent}");
        let mut skew = scaled.clone();
        skew[[0, 1]] *= 1.001;
        assert!(matches!(Gram::new(skew), Err(PriorError::NotSymmetric { .. })), "{exponent}");
    }
    for (large, small) in [(1e155, 5e154), (1e200, 5e199), (1e-200, 5e-201)] {
        let skew = array![[large, 0.0], [small, large]];
        assert!(matches!(Gram::new(skew), Err(PriorError::NotSymmetric { .. })), "{large:e}");
    }
    let factors = [1e150, 1e-150, 1.0];
    let scaled = Array2::from_shape_fn((3, 3), |(i, j)| base[[i, j]] * factors[i] * factors[j]);
    assert!((ask("exact", &scaled, &[1.0, -1.0, 1.0]).unwrap().value - truth).abs() < 1e-14);
}

/// Loadings near 1 turn their factor into a step. Right: the orthant of the others beyond it, by the same integral with the step in
/// place of the steep factor: `int_0^inf phi(z) Phi(z / sqrt 3)^3 dz` for loadings of 1/2, in closed form below.
#[test]
fn one_factor_with_loadings_near_one() {
    // h_1 = z for a loading of 1; three others of loading 1/2: P(h_1 > 0, ..., h_4 > 0) with R_1j = 1/2, R_jk = 1/4. By symmetry in z the
    // odd part of Phi^3: Phi = 1/2 + s, P = int_0^inf phi (1/8 + 3 s / 4 + 3 s^2 / 2 + s^3), which Simpson's rule does.
    let phi = |z: f64| (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let steps = 40_000;
    let width = 12.0 / f64::from(steps);
    let integrand = |z: f64| phi(z) * (3.0 * flatgauge::numeric::normal::log_ndtr(z / 3.0_f64.sqrt())).exp();
    let sum: f64 = (0..=steps)
        .map(|k| integrand(width * f64::from(k)) * if k == 0 || k == steps { 1.0 } else { f64::from(2 + 2 * (k % 2)) })
        .sum();
    let limit = (sum * width / 3.0).ln();
    for gap in [1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15, 2.0_f64.powi(-53)] {
        let loadings = [1.0 - gap, 0.5, 0.5, 0.5];
        let matrix = Array2::from_shape_fn((4, 4), |(i, j)| if i == j { 1.0 } else { loadings[i] * loadings[j] });
        let answer = ask("exact", &matrix, &[1.0; 4]).unwrap();
        // The transition, of width sqrt(2 gap), takes its share: P changes by less than that.
        assert!((answer.value - limit).abs() < 2.0 * (2.0 * gap).sqrt() + 1e-11, "{gap:e}: {answer:?}, right {limit}");
    }
}

#[test]
fn a_standard_error_has_eight_replicates_behind_it_whatever_the_budget() {
    let matrix = Array2::from_shape_fn((120, 120), |(i, j)| (-0.05 * (i as f64 - j as f64).abs()).exp());
    let signs: Vec<f64> = (0..120).map(|i| if i % 7 < 3 { 1.0 } else { -1.0 }).collect();
    let options = PriorOptions { max_seconds: Some(1e-9), target_std_error: Some(1e-9), ..PriorOptions::default() };
    for id in ["smc", "ep_importance", "genz", "tilting"] {
        match ask_with(id, &matrix, &signs, &options) {
            Ok(answer) => assert!(answer.info.number("replicates").unwrap() >= 8.0, "{id}: {answer:?}"),
            Err(error) => panic!("{id}: {error}"),
        }
    }
}

#[test]
fn methods_whose_first_answer_takes_minutes_heed_the_budget() {
    let n = 600;
    let matrix = Array2::<f64>::eye(n);
    let signs = vec![1.0; n];
    for (id, seconds) in [("splitting", 0.3), ("ep_sequential", 0.01)] {
        let started = Instant::now();
        let options = PriorOptions { max_seconds: Some(seconds), ..PriorOptions::default() };
        let refusal = ask_with(id, &matrix, &signs, &options).unwrap_err();
        assert!(matches!(refusal, PriorError::OutOfTime { .. }), "{id}: {refusal}");
        // One level of the splitting or one update of a site beyond it, on a machine with other work.
        assert!(started.elapsed().as_secs_f64() < seconds + 20.0, "{id}: {:?}", started.elapsed());
    }
}
