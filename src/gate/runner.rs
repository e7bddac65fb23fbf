//! Runs the laws and gathers what they find.

use crate::gate::finding::Finding;
use crate::gate::law::{Check, Context, Law};
use crate::gate::origin::Origin;
use crate::gate::outcome::Outcome;
use rayon::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
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
    checks
        .par_iter()
        .map(|(law, check)| {
            let finding = settle(check);
            let address = address(law, &check.estimator, &check.case);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, checks.len(), &address);
            let alone = origin.alone(context.tier, context.seed, &address);
            Outcome::new(law, &check.estimator, &check.case, finding, alone)
        })
        .collect()
}

/// Runs one check. A panicking estimator fails its case; the others still run.
pub(super) fn settle(check: &Check) -> Finding {
    catch_unwind(AssertUnwindSafe(|| (check.run)())).unwrap_or_else(|panic| {
        let message = (panic.downcast_ref::<String>().map(String::as_str))
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Finding::fail(format!("panicked: {message}"))
    })
}
