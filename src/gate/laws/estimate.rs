//! Laws of an answer as an estimate: the seed it is given, and the standard error it states.

use super::curvature::{
    beyond_range, definition, evaluate, has_definition, near_kinks, noise as curvature_noise, options_for,
};
use super::kernel::{gram, largest_error};
use super::prior::{estimator, log_prob};
use crate::description::{Reference, references};
use crate::flatness::{Measure, Options};
use crate::gate::cases::{FlatnessCase, PriorCase};
use crate::gate::cause::Cause;
use crate::gate::effort::short;
use crate::gate::finding::{Finding, Verdict};
use crate::gate::honesty::Deviates;
use crate::gate::law::{Check, Context, Law, Scope};
use crate::gate::tolerance::{GATE_Z, kernel_agreement};
use crate::kernel::{self, KernelMethod, KernelOptions, Kind};
use crate::model::{Activation, Architecture};
use crate::numeric::tolerance::PRIOR_SYMMETRY;
use crate::numeric::{Estimate, Info, Streams};
use crate::prior::{self, Link, LogProbMethod, PriorOptions};
use ndarray::Array2;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use std::sync::Arc;

/// One question that can be asked again under any seed.
struct Question<'q> {
    ask: Box<dyn Fn(u64) -> Result<Estimate, Finding> + Sync + 'q>,
    /// The true answer where it is known.
    truth: Option<f64>,
    /// Differences between two answers that rounding explains.
    rounding: f64,
}

type Questions<'a> = Box<dyn Fn() -> Vec<Question<'a>> + Send + Sync + 'a>;

/// The same seed gives the same answer; and an answer that moves with the seed states a standard error.
pub(super) struct Seed;

/// Questions asked of each estimator by [`Seed`].
const SEED_QUESTIONS: usize = 2;

impl Law for Seed {
    fn id(&self) -> &'static str {
        "estimate.seed"
    }

    fn statement(&self) -> &'static str {
        "the same seed gives the same answer, and an answer that another seed changes has a standard error"
    }

    fn formula(&self) -> &'static str {
        "v(s) = v(s) at every call; v(s) = v(s') for s != s' unless a standard error is stated"
    }

    fn tolerance(&self) -> String {
        "rounding of the answer".to_owned()
    }

    fn catches(&self) -> &'static str {
        "the clock as a seed, generators shared between calls, answers that scatter and state no standard error"
    }

    fn sources(&self) -> &'static [Reference] {
        &[]
    }

    fn scope(&self) -> Scope {
        Scope::Generic
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        each(context, |questions, seed| {
            let findings = questions.iter().take(SEED_QUESTIONS).map(|question| {
                let other = short(Streams::new(seed).child("another seed", 0));
                match ((question.ask)(seed), (question.ask)(seed), (question.ask)(other)) {
                    (Ok(first), Ok(again), Ok(other)) => {
                        let same = Finding::compare(again.value, first.value, question.rounding + first.error_bound);
                        if same.verdict == Verdict::Fail {
                            let reason = format!(
                                "the same seed gives {} and then {}: an answer cannot be had again",
                                first.value, again.value
                            );
                            return same.broken(reason);
                        }
                        let moved = (other.value - first.value).abs() > question.rounding + 2.0 * first.error_bound;
                        if moved && first.std_error.is_none() {
                            let reason = format!(
                                "another seed gives {} in place of {}, and no standard error is stated",
                                other.value, first.value
                            );
                            return same.broken(reason);
                        }
                        same
                    }
                    (Err(finding), ..) | (_, Err(finding), _) | (.., Err(finding)) => finding,
                }
            });
            let findings: Vec<Finding> = findings.collect();
            if findings.is_empty() {
                return Finding::not_owed("no case of this run asks the same question twice");
            }
            Finding::worst(findings)
        })
    }
}

/// The scatter of many answers is what their standard errors say, and their mean is the truth.
pub(super) struct Honest;

/// Answers per estimator.
const QUICK_ANSWERS: usize = 64;
const FULL_ANSWERS: usize = 768;
/// Roundings beyond which a standard error is one of sampling.
const OF_SAMPLING: f64 = 10.0;

impl Law for Honest {
    fn id(&self) -> &'static str {
        "estimate.honesty"
    }

    fn statement(&self) -> &'static str {
        "answers under different seeds scatter as their standard errors say, neither more nor much less, and are right on \
         average where the truth is known"
    }

    fn formula(&self) -> &'static str {
        "z_i = (v_i - v) / s_i over seeds i: root mean square between bounds about 1, mean 0 within 0.2 + 6.11 / N^(1/2)"
    }

    fn tolerance(&self) -> String {
        format!(
            "false alarms at 1e-9 for each statistic, by Chernoff's bound for chi-square; {QUICK_ANSWERS} answers at the quick tier \
             (standard errors too small by 3 or too large by 4 and a bias of 3 are caught), {FULL_ANSWERS} at the full one (too small by the root of \
             2, too large by 3, a bias of half of one)"
        )
    }

    fn catches(&self) -> &'static str {
        "standard errors too small or too large, biases, ignored seeds"
    }

    fn sources(&self) -> &'static [Reference] {
        &[references::WALLACE_1959]
    }

    fn scope(&self) -> Scope {
        Scope::Generic
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        let answers = context.by_tier(QUICK_ANSWERS, FULL_ANSWERS);
        each(context, move |questions, seed| {
            let mut deviates = Deviates::default();
            let per_question = answers.div_ceil(questions.len().max(1));
            for (index, question) in questions.iter().enumerate() {
                let streams = Streams::new(seed).child("honesty", index as u64);
                let asked = |number: usize| (question.ask)(short(streams.child("answer", number as u64)));
                match asked(0) {
                    Ok(first) if first.std_error.is_none() || !first.value.is_finite() => continue,
                    Ok(_) => {}
                    Err(finding) if finding.cause == Some(Cause::Unsupported) => continue,
                    Err(finding) => return finding,
                }
                let given: Result<Vec<Estimate>, Finding> = (0..per_question).into_par_iter().map(asked).collect();
                let given = match given {
                    Ok(given) => given,
                    Err(finding) if finding.cause == Some(Cause::Unsupported) => continue,
                    Err(finding) => return finding,
                };
                let bound = given.iter().map(|answer| answer.error_bound).fold(0.0, f64::max);
                let pairs: Vec<(f64, f64)> =
                    given.iter().map(|answer| (answer.value, answer.std_error.unwrap_or(0.0))).collect();
                if pairs.iter().any(|(value, _)| !value.is_finite()) {
                    continue;
                }
                if pairs.iter().all(|(_, std_error)| *std_error <= OF_SAMPLING * question.rounding) {
                    // As good as exact: held to the truth as such.
                    let off = |(value, std_error): &(f64, f64)| {
                        let truth = question.truth?;
                        let finding = Finding::compare(*value, truth, question.rounding + GATE_Z * std_error + bound);
                        (finding.verdict == Verdict::Fail).then_some(finding)
                    };
                    match pairs.iter().find_map(off) {
                        Some(finding) => return finding,
                        None => continue,
                    }
                }
                if pairs.iter().all(|(value, _)| (value - pairs[0].0).abs() <= question.rounding) {
                    return Finding::wrong(format!(
                        "{} different seeds give the same answer, {} +- {}: the seed is ignored, or the standard error is none",
                        pairs.len(),
                        pairs[0].0,
                        pairs[0].1
                    ));
                }
                let floor = |(value, std_error): (f64, f64)| (value, std_error.max(question.rounding));
                let pairs: Vec<(f64, f64)> = pairs.into_iter().map(floor).collect();
                // What is vouched for up to a bound may be biased by it.
                deviates.add(&pairs, question.truth.filter(|_| bound == 0.0));
            }
            let Some(honesty) = deviates.judge() else {
                return Finding::not_owed("it states no standard errors of sampling on these cases");
            };
            let [below, above] = honesty.scatter_bounds;
            let finding = Finding::compare(honesty.scatter, 1.0, f64::max(above - 1.0, 1.0 - below));
            match honesty.fault() {
                Some(reason) => finding.broken(reason),
                None => finding,
            }
        })
    }
}

/// One check per estimator, on all its questions.
fn each<'a>(context: &Context<'a>, run: impl Fn(&[Question], u64) -> Finding + Send + Sync + 'a) -> Vec<Check<'a>> {
    let run = Arc::new(run);
    let streams = context.streams("estimate");
    let most = context.by_tier(4, 8);
    let mut subjects: Vec<(String, Questions<'a>)> = Vec::new();
    for &measure in &context.measures {
        let cases = context.networks(measure.dtype());
        subjects.push((measure.id().to_owned(), Box::new(move || of_measure(measure, &cases, most))));
    }
    for &method in &context.priors {
        for &link in method.links() {
            let cases = Arc::clone(&context.prior_cases);
            subjects.push((estimator(method, link), Box::new(move || of_method(method, link, &cases, most))));
        }
    }
    for (method, kind, name) in super::kernel::subjects(context) {
        subjects.push((name, Box::new(move || of_kernel(method, kind))));
    }
    (subjects.into_iter())
        .map(|(name, questions)| {
            let run = Arc::clone(&run);
            Check::new(name, "pooled", move |effort| run(&questions(), effort.seed(short(streams))))
        })
        .collect()
}

/// A measure on the first networks of the corpus.
fn of_measure<'a>(measure: &'a dyn Measure, cases: &Arc<Vec<FlatnessCase>>, most: usize) -> Vec<Question<'a>> {
    let has_definition = has_definition(measure);
    let mut questions = Vec::new();
    for index in 0..cases.len() {
        if questions.len() == most {
            break;
        }
        let case = &cases[index];
        let dense = case.dense();
        let at_a_kink = || near_kinks(case, measure.dtype()).sentence().is_some();
        if beyond_range(&dense).is_some() || at_a_kink() {
            continue;
        }
        let options = options_for(measure, std::slice::from_ref(&dense), 0);
        let truth = has_definition.then(|| definition(measure).on_dense(&dense, &options)).flatten();
        if has_definition && truth.is_none() {
            continue;
        }
        let of = |value| Estimate::deterministic(value, Info::new());
        let summands = definition(measure).summands(&dense, &options);
        let scale = truth.unwrap_or(dense.value);
        let (rounding, _) = curvature_noise(&of(scale), &of(scale), summands, measure.dtype());
        let cases = Arc::clone(cases);
        let ask = move |seed| {
            let case = &cases[index];
            evaluate(measure, case, &case.network.theta, &Options { seed, ..options.clone() })
        };
        questions.push(Question { ask: Box::new(ask), truth, rounding });
    }
    questions
}

/// A method of log P(f) on the small Gram matrices of the corpus, whose true values have closed forms.
fn of_method<'a>(
    method: &'a dyn LogProbMethod,
    link: Link,
    cases: &Arc<Vec<PriorCase>>,
    most: usize,
) -> Vec<Question<'a>> {
    let exact = prior::find("exact").expect("it is built in");
    let mut questions = Vec::new();
    for index in 0..cases.len() {
        if questions.len() == most {
            break;
        }
        let PriorCase { gram, labels, .. } = &cases[index];
        let options = PriorOptions { link, ..PriorOptions::default() };
        let truth = (exact.links().contains(&link)).then(|| exact.log_prob(gram, labels, &options).ok()).flatten();
        let truth = match (truth, method.exactness()) {
            // It never said that its number is the true one.
            (_, prior::Exactness::Approximate) => None,
            (Some(truth), _) if truth.estimate.value.is_finite() => Some(truth.estimate.value),
            _ => continue,
        };
        let rounding = PRIOR_SYMMETRY * (1.0 + truth.map_or(gram.point_count() as f64, f64::abs));
        let cases = Arc::clone(cases);
        let ask = move |seed| log_prob(method, link, &cases[index].gram, &cases[index].labels, seed);
        questions.push(Question { ask: Box::new(ask), truth, rounding });
    }
    questions
}

/// A method for Gram matrices on networks of one hidden layer with biases, whose kernel is the same for every width; an
/// answer is one entry, another one for every seed, since entries of one matrix move together.
fn of_kernel(method: &dyn KernelMethod, kind: Kind) -> Vec<Question<'_>> {
    const POINTS: usize = 4;
    let shapes = [(3, 0.5), (2, 1.0), (5, 0.1), (4, 2.0)];
    let question = |(inputs, bias_std): (usize, f64)| {
        let architecture =
            Architecture::fully_connected(&[inputs, 6, 1], Activation::Relu, std::f64::consts::SQRT_2, bias_std);
        let mut generator = Streams::new(inputs as u64).stream("inputs of honesty", 0);
        let dtype = method.dtype();
        let mut row = || dtype.round(StandardNormal.sample(&mut generator)).expect("a normal number of any format");
        let rows = Array2::from_shape_simple_fn((POINTS, inputs), &mut row);
        let closed = KernelOptions { kind, ..KernelOptions::default() };
        let analytic = kernel::find("analytic").expect("it is built in").gram(&architecture, rows.view(), &closed);
        let wanted = analytic.expect("a fully connected network has a closed form").matrix;
        let unit = (0..POINTS).map(|i| wanted[[i, i]]).fold(0.0, f64::max);
        let ask = move |seed: u64| {
            let answer = gram(method, &architecture, rows.view(), kind, seed)?;
            let (i, j) = (0, inputs % POINTS);
            Ok(match answer.std_error {
                Some(errors) => {
                    let off = (answer.matrix[[i, j]] - wanted[[i, j]]) / unit;
                    Estimate::stochastic(off, errors[[i, j]] / unit, Info::new())
                }
                None => Estimate::deterministic(largest_error(answer.matrix.view(), wanted.view()), Info::new()),
            })
        };
        Question { ask: Box::new(ask), truth: Some(0.0), rounding: kernel_agreement(kind, method.dtype()) }
    };
    shapes.into_iter().map(question).collect()
}
