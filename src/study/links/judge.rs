//! What is claimed of the paper's number, each claim a test.

use super::FewPoints;
use super::labellings::Labellings;
use crate::numeric::Streams;
use crate::numeric::correlation::kendall;
use crate::study::claims::{above, below};
use crate::study::{Effect, Findings, Test};

/// Share of its size by which a number may differ to be called close.
const CLOSE: f64 = 0.05;
/// Kendall's tau from which two rankings are called the same.
const SAME_RANKING: f64 = 0.9;
/// Square of the distance in nats within which one width stands for another: a tenth.
const STANDS_FOR: f64 = 0.1 * 0.1;

/// log P(f) of functions in three readings.
pub(super) struct Functions<'f> {
    pub step: &'f [f64],
    pub probit: &'f [f64],
    pub certified: &'f [f64],
}

/// `judged` is the number of the sampled networks that stand for the paper's.
pub(super) fn judge(
    findings: &mut Findings,
    functions: &Functions,
    few: &[FewPoints],
    labellings: &Labellings,
    judged: usize,
    seed: u64,
) {
    let truth = labellings.truth();
    let estimators = labellings.estimators();
    let known = |values: &[Option<f64>]| values.iter().map(|value| value.unwrap_or(f64::NAN)).collect::<Vec<f64>>();
    let (all_step, all_probit) = (known(&estimators[0].values), known(&estimators[1].values));
    let close = |of: &str, values: &[f64], truth: &[f64]| {
        let shares: Vec<f64> = values
            .iter()
            .zip(truth)
            .map(|(value, truth)| (value - truth).abs() / truth.abs())
            .filter(|share| share.is_finite())
            .collect();
        below(
            &format!("{of}: mean |difference| / |log P|"),
            Effect::mean(&shares, Streams::new(seed).child(of, 0)),
            CLOSE,
        )
    };
    let range = |values: &[f64], truth: &[f64]| {
        let gaps = values.iter().zip(truth).map(|(value, truth)| value - truth);
        gaps.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), gap| (low.min(gap), high.max(gap)))
    };
    let (low, high) = range(functions.probit, functions.certified);
    let (step_low, step_high) = range(functions.step, functions.certified);
    findings.claim(
        "What the paper computes (EP with the probit link) is close to the prior probability of the function.",
        vec![
            close("trained functions", functions.probit, functions.certified),
            close("all labellings of ten inputs", &all_probit, &truth),
        ],
        format!(
            "It differs from the certified step probability by {low:.2} to {high:.2} nats; EP with the step link by \
             {step_low:.2} to {step_high:.2}. On all labellings the mean difference is {:.3} nats with the probit link and \
             {:.3} with the step link.",
            mean_distance(&all_probit, &truth),
            mean_distance(&all_step, &truth)
        ),
    );
    let ranks = |of: &str, values: &[f64], truth: &[f64]| -> Test {
        let effect = Effect::over(values.len(), Streams::new(seed).child(of, 1), |rows| {
            let (x, y): (Vec<f64>, Vec<f64>) = rows.iter().map(|&row| (values[row], truth[row])).unzip();
            kendall(&x, &y)
        });
        above(&format!("{of}: Kendall's tau"), effect, SAME_RANKING)
    };
    findings.claim(
        "It ranks functions as the prior probability does.",
        vec![
            ranks("trained functions", functions.probit, functions.certified),
            ranks("all labellings of ten inputs", &all_probit, &truth),
        ],
        format!("Kendall's tau is to be above {SAME_RANKING}."),
    );
    let few: Vec<(f64, f64)> =
        few.iter().filter_map(|one| Some((one.finite()? - one.step.real(), one.std_error()))).collect();
    let sampled = estimators.get(2 + judged).map_or(Vec::new(), |estimator| {
        let gaps = estimator.values.iter().zip(&truth).map(|(value, truth)| Some((*value)? - truth));
        gaps.zip(&estimator.errors).filter_map(|(gap, error)| Some((gap?, *error))).collect()
    });
    findings.claim(
        "The infinitely wide network stands for the finite one.",
        vec![
            stands_for("labels of the first points", &few, seed),
            stands_for("all labellings of ten inputs", &sampled, seed),
        ],
        "log P of networks of finite width, counted, less that of the limit: the mean square, less what sampling gives it, is \
         to be below that of a tenth of a nat. Other widths are in labellings_summary.csv."
            .to_owned(),
    );
}

fn mean_distance(values: &[f64], truth: &[f64]) -> f64 {
    values.iter().zip(truth).map(|(value, truth)| (value - truth).abs()).sum::<f64>() / values.len().max(1) as f64
}

/// The mean square of gaps beyond their sampling errors.
fn stands_for(of: &str, gaps: &[(f64, f64)], seed: u64) -> Test {
    let excess: Vec<f64> = gaps.iter().map(|(gap, error)| gap.powi(2) - error.powi(2)).collect();
    let effect = Effect::mean(&excess, Streams::new(seed).child(of, 2));
    below(&format!("{of}: mean square difference beyond sampling"), effect, STANDS_FOR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Verdict::{self, Fails, Holds, Undecided};
    use crate::study::claims::planted::{noise, verdict_of};
    use crate::study::links::labellings::{Labelling, Sampled};
    use crate::study::reading::Number;

    /// `n` functions and labellings, the probit link off by a share and by noise, counted networks by a factor `wide`.
    fn found(n: usize, share: f64, disorder: f64, wide: f64) -> Findings {
        let number = |value: f64| Number { value: Some(value), std_error: None };
        let truth: Vec<f64> = (0..n).map(|index| -3.0 - index as f64 / n as f64).collect();
        let probit: Vec<f64> =
            truth.iter().enumerate().map(|(i, truth)| truth * (1.0 + share) + disorder * noise("probit", i)).collect();
        let drawn = 10_000_000_u64;
        let count = |truth: f64| (truth.exp() * wide * drawn as f64).round() as u64;
        let few: Vec<FewPoints> = truth
            .iter()
            .map(|&truth| FewPoints {
                network: String::new(),
                points: 2,
                step: number(truth),
                ep_step: number(truth),
                ep_probit: number(truth),
                counted: count(truth),
                drawn,
            })
            .collect();
        let all = truth.iter().zip(&probit).map(|(&truth, &ep_probit)| Labelling {
            labels: String::new(),
            truth: number(truth),
            ep_step: truth,
            ep_probit,
        });
        let labellings = Labellings {
            all: all.collect(),
            sampled: vec![Sampled { name: "w".to_owned(), drawn, counts: truth.iter().map(|&t| count(t)).collect() }],
        };
        let mut findings = Findings::new("links", String::new(), &[0]);
        let functions = Functions { step: &truth, probit: &probit, certified: &truth };
        judge(&mut findings, &functions, &few, &labellings, 0, 0);
        findings
    }

    #[test]
    fn claims_hold_fail_or_stay_open() {
        let cases: [(&str, [Findings; 3], [Verdict; 3]); 3] = [
            (
                "What the paper computes",
                [found(30, 0.01, 0.0, 1.0), found(30, 0.5, 0.0, 1.0), found(4, 0.01, 0.0, 1.0)],
                [Holds, Fails, Undecided],
            ),
            (
                "It ranks functions",
                [found(30, 0.5, 0.0, 1.0), found(30, 0.0, 1.0, 1.0), found(4, 0.5, 0.0, 1.0)],
                [Holds, Fails, Undecided],
            ),
            (
                "The infinitely wide network",
                [found(30, 0.0, 0.0, 1.0), found(30, 0.0, 0.0, 1.5), found(4, 0.0, 0.0, 1.0)],
                [Holds, Fails, Undecided],
            ),
        ];
        for (claim, findings, verdicts) in &cases {
            assert_eq!(findings.each_ref().map(|found| verdict_of(found, claim)), *verdicts, "{claim}");
        }
    }
}
