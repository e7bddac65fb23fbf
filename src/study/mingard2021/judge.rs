//! What is claimed of the functions that optimisers find, each claim a test.

use super::{Counted, FEWEST, Network, SHARPNESSES};
use crate::numeric::Streams;
use crate::numeric::correlation::{pearson, spearman};
use crate::study::claims::{above, below};
use crate::study::counted::INPUTS;
use crate::study::{Effect, Findings};

pub(super) fn judge(findings: &mut Findings, counted: &Counted, optimizers: &[String], seed: u64) {
    let streams = |name: &str| Streams::new(seed).child(name, 0);
    let of = |rows: &[usize], x: &[f64], y: &[f64], coefficient: fn(&[f64], &[f64]) -> Option<f64>| {
        let (x, y): (Vec<f64>, Vec<f64>) = rows.iter().map(|&row| (x[row], y[row])).unzip();
        coefficient(&x, &y)
    };
    let (complexity, log): (Vec<f64>, Vec<f64>) =
        counted.frequent.iter().map(|one| (one.complexity, one.probability.ln())).unzip();
    let effect = Effect::over(log.len(), streams("complexity"), |rows| of(rows, &complexity, &log, spearman));
    let top = counted.frequent.first().map_or(0.0, |one| one.probability);
    findings.claim(
        "The prior is biased towards simple functions: P(f) falls as complexity rises.",
        vec![below("Spearman(log P(f), Lempel-Ziv complexity)", effect, -0.5)],
        format!(
            "{} distinct functions were drawn, of 2^{INPUTS}; the most frequent has P(f) = {top:.3}. The coefficient is to be \
             below -0.5 over functions at evenly spaced logarithms of their rank.",
            counted.distinct
        ),
    );
    let tests = optimizers
        .iter()
        .map(|optimizer| {
            let (prior, found): (Vec<f64>, Vec<f64>) = counted
                .fitting
                .iter()
                .filter(|one| one.optimizer == *optimizer && one.prior_count >= FEWEST)
                .map(|one| (one.given_prior.ln(), one.given_optimizer.ln()))
                .unzip();
            let effect = Effect::over(prior.len(), streams(optimizer), |rows| of(rows, &prior, &found, pearson));
            above(&format!("{optimizer}: Pearson(log P_OPT(f|S), log P_B(f|S))"), effect, 0.5)
        })
        .collect();
    findings.claim(
        "Optimisers find functions about as often as the prior given the training set does.",
        tests,
        format!(
            "The coefficient is to be above 0.5 over functions that at least {FEWEST} of the {} sampled networks which fit S \
             express.",
            counted.fit_the_training_set
        ),
    );
    let known: Vec<(&Network, f64)> = counted.networks.iter().filter_map(|one| Some((one, one.log_prob?))).collect();
    let log_prob: Vec<f64> = known.iter().map(|(_, log_prob)| *log_prob).collect();
    let error: Vec<f64> = known.iter().map(|(one, _)| one.error).collect();
    let mut tests = vec![below(
        "Spearman(log P(f), error)",
        Effect::over(known.len(), streams("error"), |rows| of(rows, &log_prob, &error, spearman)),
        0.0,
    )];
    for name in SHARPNESSES {
        if known.iter().any(|(one, _)| !one.flatness.contains_key(name)) || known.is_empty() {
            continue;
        }
        let sharpness: Vec<f64> = known.iter().map(|(one, _)| one.flatness[name].log10()).collect();
        let effect = Effect::over(known.len(), streams(name), |rows| {
            Some(of(rows, &log_prob, &error, spearman)?.abs() - of(rows, &sharpness, &error, spearman)?.abs())
        });
        tests.push(above(&format!("|Spearman(log P(f), error)| less |Spearman({name}, error)|"), effect, 0.0));
    }
    findings.claim(
        "The error falls as P(f) rises, more surely than it rises with sharpness.",
        tests,
        format!(
            "Over {} of {} trained networks whose function was drawn from the prior too.",
            known.len(),
            counted.networks.len()
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::super::Fitting;
    use super::*;
    use crate::study::Verdict::{Fails, Holds, Undecided};
    use crate::study::claims::planted::{noise, verdict_of};
    use crate::study::counted::Frequent;

    /// `n` functions and networks: log P(f) follows complexity by `bias`, what the optimiser finds follows the prior by
    /// `follows`, and the error follows log P(f) with noise `log_prob`, sharpness with noise `sharpness`.
    fn found(n: usize, bias: f64, follows: f64, log_prob: f64, sharpness: f64) -> Findings {
        let at = |index: usize| index as f64 / n as f64;
        let frequent = (0..n)
            .map(|index| Frequent {
                rank: index + 1,
                probability: (bias * at(index) + 0.05 * noise("frequent", index)).exp(),
                complexity: at(index),
            })
            .collect();
        let fitting = (0..n)
            .map(|index| Fitting {
                optimizer: "sgd".to_owned(),
                function: String::new(),
                prior_count: FEWEST,
                given_prior: at(index).exp(),
                given_optimizer: (follows * at(index) + 0.1 * noise("found", index)).exp(),
            })
            .collect();
        let networks = (0..n)
            .map(|index| Network {
                optimizer: "sgd".to_owned(),
                seed: index as u64,
                log_prob: Some(-at(index) + log_prob * noise("log P", index)),
                error: at(index),
                flatness: [("keskar_sharpness".to_owned(), 10_f64.powf(at(index) + sharpness * noise("sharp", index)))]
                    .into(),
                complexity: 0.0,
            })
            .collect();
        let counted = Counted {
            frequent,
            distinct: n,
            target: String::new(),
            training: Vec::new(),
            fit_the_training_set: 100,
            fitting,
            networks,
            unfinished: Vec::new(),
        };
        let mut findings = Findings::new("mingard_2021", String::new(), &[0]);
        judge(&mut findings, &counted, &["sgd".to_owned()], 0);
        findings
    }

    #[test]
    fn claims_hold_fail_or_stay_open() {
        let (source, few) = (found(30, -1.0, 1.0, 0.05, 1.0), found(4, -1.0, 1.0, 0.05, 1.0));
        for (claim, against) in [
            ("The prior is biased", found(30, 1.0, 1.0, 0.05, 1.0)),
            ("Optimisers find functions", found(30, -1.0, -1.0, 0.05, 1.0)),
            ("The error falls as P(f) rises", found(30, -1.0, 1.0, 1.0, 0.02)),
        ] {
            let verdicts = [&source, &against, &few].map(|findings| verdict_of(findings, claim));
            assert_eq!(verdicts, [Holds, Fails, Undecided], "{claim}");
        }
    }
}
