//! What the paper says of sharpness and log P(f) over training, each claim a test over runs.

use super::course::{Course, Moment};
use crate::numeric::Streams;
use crate::numeric::tolerance::CURVATURE_AGREEMENT;
use crate::study::claims::{above, below, equal};
use crate::study::{Effect, Findings, Test};

/// log P(f) that stays within this share of its size is constant.
const STEADY: f64 = 0.1;
/// Share of the inputs on which functions may differ that are nearly the same.
const NEARLY: f64 = 0.05;

/// The paper's claims on runs with one factor, each over seeds. Sharpness is the first measure, log P(f) the first
/// reading.
pub(super) fn judge(findings: &mut Findings, courses: &[Course], seed: u64) {
    let mean = |of: &str, value: &dyn Fn(&Course) -> f64| {
        let values: Vec<f64> = courses.iter().map(value).collect();
        Effect::mean(&values, Streams::new(seed).child(of, 0))
    };
    let is_below = |of: &str, bound: f64, value: &dyn Fn(&Course) -> f64| below(of, mean(of, value), bound);
    let is_above = |of: &str, bound: f64, value: &dyn Fn(&Course) -> f64| above(of, mean(of, value), bound);
    let runs = || format!("Means over {} runs with seeds of their own.", courses.len());
    findings.claim(
        "Before zero error sharpness and log P(f) both fall.",
        vec![
            is_below("change of log10 sharpness from the first network to zero error", 0.0, &|course| {
                log10_change(&course.before[0], course.zero())
            }),
            is_below("change of log P(f) from the first network to zero error", 0.0, &|course| {
                course.zero().log_prob(0) - course.before[0].log_prob(0)
            }),
        ],
        runs(),
    );
    findings.claim(
        "Past zero error sharpness goes on falling, while log P(f) is constant.",
        vec![
            is_below("change of log10 sharpness from zero error to the rescaling", 0.0, &|course| {
                log10_change(course.zero(), course.last_before())
            }),
            is_below("range of log P(f) from zero error to the rescaling, as a share of its size", STEADY, &range),
        ],
        runs(),
    );
    let mut tests = vec![is_above("change of log10 sharpness at the rescaling", 0.0, &|course| {
        log10_change(course.last_before(), &course.after[0])
    })];
    let deviations: Vec<f64> = courses
        .iter()
        .flat_map(|course| {
            course
                .predicted
                .iter()
                .zip(&course.after[0].flatness)
                .filter_map(|(predicted, found)| predicted.map(|predicted| (found / predicted - 1.0).abs()))
        })
        .collect();
    if !deviations.is_empty() {
        let worst = worst(&deviations);
        let of = "largest share by which a measure after it differs from its prediction";
        tests.push(equal(of, worst, CURVATURE_AGREEMENT, deviations.len()));
    }
    findings.claim(
        "At the rescaling sharpness jumps up.",
        tests,
        "Measures of curvature and sharpness by sign ascent are predicted from the network before it.".to_owned(),
    );
    let moves: Vec<f64> = courses
        .iter()
        .flat_map(|course| {
            let pairs = course.last_before().log_prob.iter().zip(&course.after[0].log_prob);
            pairs.map(|(before, after)| if before == after { 0.0 } else { moved(*before, *after) })
        })
        .collect();
    findings.claim(
        "... and log P(f) does not move.",
        vec![equal("largest move of log P(f) at the rescaling (nats)", worst(&moves), 0.0, moves.len())],
        "Recomputed from the labels of the rescaled network, in each reading.".to_owned(),
    );
    findings.claim(
        "Under further training sharpness comes back down.",
        vec![is_above("share of the jump that is lost at the end", 0.5, &|course| {
            let [before, after, last] =
                [course.last_before(), &course.after[0], last(course)].map(|one| one.flatness[0]);
            (after - last) / (after - before)
        })],
        runs(),
    );
    findings.claim(
        "After the rescaling SGD leaves the zero-error set, log P(f) rises, and training returns to nearly the same function.",
        vec![
            is_above("share of runs with a training error after the rescaling", 0.5, &|course| {
                f64::from(u8::from(farthest(course).train_accuracy < 1.0))
            }),
            is_above("change of log P(f) to the epoch with the largest training error", 0.0, &|course| {
                farthest(course).log_prob(0) - course.last_before().log_prob(0)
            }),
            is_below("share of inputs with another label at the end", NEARLY, &|course| {
                let before = course.last_before();
                last(course).hamming(before) as f64 / before.labels.len() as f64
            }),
        ],
        runs(),
    );
}

/// With batch norms, the function stays where all layers before them are multiplied.
pub(super) fn judge_batch_norm(findings: &mut Findings, courses: &[Course]) {
    let flipped: usize = courses.iter().map(|course| course.after[0].hamming(course.last_before())).sum();
    let jumps: Vec<String> = courses
        .iter()
        .map(|course| {
            let (before, after) = (course.last_before().flatness[0], course.after[0].flatness[0]);
            format!("from {before:.4} to {after:.4} by alpha {}", course.alpha)
        })
        .collect();
    findings.claim(
        "With batch norms, multiplying all layers before them changes sharpness and not the function.",
        vec![
            equal("labels that change at the rescaling", flipped as f64, 0.0, courses.len()),
            moves("change of log10 sharpness at the rescaling", courses),
        ],
        format!("Sharpness goes {}. The function is preserved up to the batch norms' epsilon.", jumps.join(", ")),
    );
}

/// Sharpness moves by more than rounding in every run: an exact law, whichever way it moves.
fn moves(of: &str, courses: &[Course]) -> Test {
    let changes: Vec<f64> =
        courses.iter().map(|course| log10_change(course.last_before(), &course.after[0]).abs()).collect();
    let least = changes.iter().copied().fold(f64::INFINITY, f64::min);
    let mut test = equal(of, if least > CURVATURE_AGREEMENT { 0.0 } else { 1.0 }, 0.5, courses.len());
    test.effect = (!changes.is_empty()).then_some(least);
    test.interval = test.effect.map(|effect| [effect; 2]);
    test
}

/// NaN counts as worst of all.
fn worst(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, |worst, value| if value <= worst { worst } else { value })
}

fn moved(before: Option<f64>, after: Option<f64>) -> f64 {
    match (before, after) {
        (Some(before), Some(after)) => (after - before).abs(),
        _ => f64::INFINITY,
    }
}

fn log10_change(from: &Moment, to: &Moment) -> f64 {
    to.flatness[0].log10() - from.flatness[0].log10()
}

fn last(course: &Course) -> &Moment {
    course.after.last().expect("the moment of the rescaling is measured")
}

/// The epoch after the rescaling with the largest training error, the first of them.
fn farthest(course: &Course) -> &Moment {
    let least = course.after.iter().map(|one| one.train_accuracy).fold(f64::INFINITY, f64::min);
    course.after.iter().find(|one| one.train_accuracy == least).expect("the moment of the rescaling is measured")
}

/// The range of log P(f) from zero error to the rescaling, as a share of its size.
fn range(course: &Course) -> f64 {
    let zero = course.zero().epoch;
    let steady = course.before.iter().filter(|one| one.epoch >= zero).map(|one| one.log_prob(0));
    let (low, high) = steady.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    (high - low) / low.abs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Verdict::{self, Fails, Holds, Undecided};
    use crate::study::claims::planted::{noise, verdict_of};

    /// Sharpness at the first network, zero error, before the rescaling, right after it, at the largest error, at the end;
    /// log P(f) at the same moments; labels that differ at the end of 20.
    #[derive(Clone, Copy)]
    struct Plant {
        sharpness: [f64; 6],
        log_prob: [f64; 6],
        differ: usize,
        error: bool,
        prediction: f64,
    }

    const PAPER: Plant = Plant {
        sharpness: [100.0, 10.0, 5.0, 50.0, 40.0, 6.0],
        log_prob: [-20.0, -100.0, -100.0, -100.0, -80.0, -99.0],
        differ: 0,
        error: true,
        prediction: 1.0,
    };

    fn courses(n: usize, plant: Plant) -> Vec<Course> {
        (0..n)
            .map(|run| {
                let moment = |at: usize| Moment {
                    epoch: at,
                    rescaled: at == 3,
                    loss: 0.1,
                    train_accuracy: if at == 0 || (at == 4 && plant.error) { 0.8 } else { 1.0 },
                    test_accuracy: 0.8,
                    flatness: vec![
                        plant.sharpness[at] * 10_f64.powf(0.01 * noise("s", if at == 3 { 0 } else { 7 * run + at })),
                    ],
                    log_prob: vec![Some(plant.log_prob[at])],
                    labels: (0..20).map(|i| if at == 5 && i < plant.differ { '1' } else { '0' }).collect(),
                };
                let after: Vec<Moment> = (3..6).map(moment).collect();
                let predicted = vec![Some(after[0].flatness[0] * plant.prediction)];
                Course { seed: run as u64, alpha: 5.9, before: (0..3).map(moment).collect(), after, predicted }
            })
            .collect()
    }

    fn verdict(n: usize, plant: Plant, claim: &str) -> Verdict {
        let mut findings = Findings::new("temporal", String::new(), &[0]);
        judge(&mut findings, &courses(n, plant), 0);
        judge_batch_norm(&mut findings, &courses(n, plant));
        verdict_of(&findings, claim)
    }

    #[test]
    fn claims_hold_fail_or_stay_open() {
        let sharpness = |at: usize, value: f64| {
            let mut plant = PAPER;
            plant.sharpness[at] = value;
            plant
        };
        let log_prob = |at: usize, value: f64| {
            let mut plant = PAPER;
            plant.log_prob[at] = value;
            plant
        };
        let cases = [
            ("Before zero error", vec![sharpness(0, 5.0), log_prob(0, -120.0)]),
            ("Past zero error", vec![sharpness(2, 20.0), log_prob(2, -50.0)]),
            ("At the rescaling", vec![sharpness(3, 2.0), Plant { prediction: 1.01, ..PAPER }]),
            ("Under further training", vec![sharpness(5, 45.0)]),
            (
                "After the rescaling SGD leaves",
                vec![Plant { error: false, ..PAPER }, log_prob(4, -120.0), Plant { differ: 10, ..PAPER }],
            ),
        ];
        for (claim, against) in cases {
            assert_eq!(verdict(6, PAPER, claim), Holds, "{claim}");
            assert_eq!(verdict(3, PAPER, claim), Undecided, "{claim}");
            for plant in against {
                assert_eq!(verdict(6, plant, claim), Fails, "{claim}");
            }
        }
        // An exact law needs one run, and none decides nothing.
        let claim = "... and log P(f) does not move";
        let verdicts = [verdict(1, PAPER, claim), verdict(1, log_prob(3, -100.1), claim), verdict(0, PAPER, claim)];
        assert_eq!(verdicts, [Holds, Fails, Undecided]);
        let claim = "With batch norms";
        let mut kept = PAPER;
        kept.sharpness[3] = kept.sharpness[2];
        assert_eq!([verdict(1, PAPER, claim), verdict(0, PAPER, claim)], [Holds, Undecided]);
        let mut same = courses(1, kept);
        same[0].after[0].flatness = same[0].before[2].flatness.clone();
        let mut findings = Findings::new("temporal", String::new(), &[0]);
        judge_batch_norm(&mut findings, &same);
        assert_eq!(verdict_of(&findings, claim), Fails);
    }
}
