//! Runs the laws and gathers what they find.

use crate::gate::cause::Cause;
use crate::gate::features::of_cases;
use crate::gate::finding::{Finding, Verdict};
use crate::gate::law::{Check, Context, Law};
use crate::gate::origin::Origin;
use crate::gate::outcome::Outcome;
use rayon::prelude::*;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How far a run has come: checks done, checks in all, and what was done last.
pub type Progress<'p> = &'p (dyn Fn(usize, usize, &str) + Sync);

/// Name under which `--only` finds a check.
fn address(law: &str, estimator: &str, case: &str) -> String {
    format!("{law}/{estimator}/{case}")
}

/// The checks of `laws` whose `law/estimator/case` contains `only`.
fn plan<'a>(laws: &[&dyn Law], context: &Context<'a>, only: Option<&str>) -> Vec<(&'static str, Check<'a>)> {
    laws.iter()
        .flat_map(|law| law.checks(context).into_iter().map(|check| (law.id(), check)))
        .filter(|(law, check)| only.is_none_or(|only| address(law, &check.estimator, &check.case).contains(only)))
        .collect()
}

/// How many checks [`run`] would run.
pub fn count(laws: &[&dyn Law], context: &Context, only: Option<&str>) -> usize {
    plan(laws, context, only).len()
}

/// Runs every check of `laws` whose `law/estimator/case` contains `only`.
///
/// `origin` says how a reader runs one of them again: a command line as `flatgauge verify`, or a test.
pub fn run(
    laws: &[&dyn Law],
    context: &Context,
    only: Option<&str>,
    origin: impl Into<Origin>,
    progress: Progress,
) -> Vec<Outcome> {
    let origin = origin.into();
    let checks = plan(laws, context, only);
    let done = AtomicUsize::new(0);
    let mut findings: Vec<Finding> = checks
        .par_iter()
        .map(|(law, check)| {
            let finding = check.decide();
            let address = address(law, &check.estimator, &check.case);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, checks.len(), &address);
            finding
        })
        .collect();
    average_the_undecided(&checks, &mut findings, progress);
    // Only whoever looks for the pattern behind failures asks what cases have.
    let failed = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
    let features = if failed { of_cases(context) } else { HashMap::new() };
    (checks.iter().zip(findings))
        .map(|((law, check), finding)| {
            let address = address(law, &check.estimator, &check.case);
            let alone = origin.alone(context.tier, context.seed, &address);
            let features = features.get(&check.case).cloned();
            Outcome { features, ..Outcome::new(law, &check.estimator, &check.case, finding, alone) }
        })
        .collect()
}

/// Answers that are averaged, one number after the other, where an estimator is too noisy for every case of a law: noise
/// is no error, and an honest estimator must not fail for it.
const AVERAGED: [usize; 4] = [4, 16, 64, 256];
/// Cases of a law that are asked again in this way.
const AVERAGED_CASES: usize = 8;

/// Asks again, for the average of several answers, where none of a law's cases was decided and standard errors are the
/// reason, until one is.
fn average_the_undecided(checks: &[(&'static str, Check)], findings: &mut [Finding], progress: Progress) {
    let mut groups: Vec<((&str, &str), Vec<usize>)> = Vec::new();
    for (index, (law, check)) in checks.iter().enumerate() {
        let key = (*law, check.estimator.as_str());
        match groups.iter_mut().rev().find(|(known, _)| *known == key) {
            Some((_, members)) => members.push(index),
            None => groups.push((key, vec![index])),
        }
    }
    let is_open = |members: &[usize], findings: &[Finding]| {
        members.iter().all(|index| findings[*index].verdict == Verdict::Skip)
            && members.iter().any(|index| findings[*index].cause == Some(Cause::Undecided))
    };
    for ((law, estimator), members) in groups {
        for replicates in AVERAGED {
            if !is_open(&members, findings) {
                break;
            }
            progress(0, 0, &format!("averaging {replicates} answers, {law}/{estimator}"));
            // What even the largest average could not decide is not asked for it.
            let shrunk = (AVERAGED[AVERAGED.len() - 1] as f64).sqrt();
            let may_be = |finding: &Finding| finding.cause == Some(Cause::Undecided) && !finding.is_hopeless(shrunk);
            let undecided = members.iter().filter(|index| may_be(&findings[**index]));
            let undecided: Vec<usize> = undecided.copied().take(AVERAGED_CASES).collect();
            let again: Vec<Finding> =
                undecided.par_iter().map(|index| checks[*index].1.decide_on_average(replicates)).collect();
            for (index, mut finding) in undecided.into_iter().zip(again) {
                if finding.cause == Some(Cause::Undecided) {
                    finding.reason += &format!(", on the average of {replicates} answers too");
                }
                findings[index] = finding;
            }
        }
    }
}
