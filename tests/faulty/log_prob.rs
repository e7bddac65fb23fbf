//! Methods for log P(f), each with one bug.

use super::orthant::{
    MOST_POINTS, chains, difference_solid_angle, expectation_propagation, honest, log_mean, sequential,
    sequential_with, skipping_factor, too_large, too_singular,
};
use super::{Answer, FaultyPrior};
use flatgauge::numeric::linalg::symmetric_eigen;
use flatgauge::numeric::normal::log_ndtr;
use flatgauge::prior::problem::{Orthant, Reduced, reduce};
use flatgauge::prior::{self, Exactness, Gram, Labels, Link, PriorError, PriorOptions};
use half::f16;
use ndarray::{Array2, ArrayView2, s};
use std::f64::consts::LN_2;

type Run = Result<Answer, PriorError>;

const STEP: &[Link] = &[Link::Step];
const PROBIT: &[Link] = &[Link::Probit];
const BOTH: &[Link] = &[Link::Step, Link::Probit];

/// All of them.
pub const ANIMALS: &[FaultyPrior] = &[
    exact("probit_read_as_step", STEP, "prior.scale", probit_read_as_step),
    exact("step_read_as_probit", PROBIT, "prior.probit_breaks_scale", step_read_as_probit),
    exact("kernel_in_half_precision", STEP, "prior.scale", half_precision),
    exact("absolute_jitter", STEP, "prior.scale", absolute_jitter),
    exact("kernel_over_its_first_entry", PROBIT, "prior.permutation", first_entry),
    exact("labels_zero_and_one_as_signs", BOTH, "prior.label_flip", zero_one),
    exact("last_point_left_out", BOTH, "prior.marginalisation", last_left_out),
    exact("points_taken_as_independent", STEP, "certified.closed_form", independent),
    exact("function_and_negation_counted_as_one", BOTH, "prior.normalisation", counted_as_one),
    exact("bits_for_nats", BOTH, "prior.normalisation", bits),
    unbiased("floor_of_one_in_a_thousand_a_point", BOTH, "certified.closed_form", floor),
    unbiased("variance_for_deviation", BOTH, "certified.closed_form", variance_for_deviation),
    unbiased("mean_of_the_logs", BOTH, "prior.normalisation", mean_of_logs),
    unbiased("variance_for_the_error", BOTH, "prior.normalisation", variance_for_error),
    unbiased("rank_deficient_kernel", STEP, "certified.closed_form", rank_deficient),
    exact("solid_angle_by_differences", STEP, "prior.normalisation", solid_angle_by_differences),
    exact("jitter_against_singular_matrices", STEP, "prior.dependent", jitter_against_singular),
    unbiased("dependent_points_left_out", STEP, "prior.dependent", dependent_left_out),
    unbiased("chains_share_their_seeds", STEP, "prior.normalisation", shared_seeds),
    unbiased("error_of_correlated_chains", STEP, "prior.marginalisation", correlated),
    exact("nan_for_two_points", STEP, "prior.scale", nan_for_two_points),
    FaultyPrior {
        name: "probability_clipped_at_one_in_a_million",
        id: "ep",
        exactness: Exactness::Approximate,
        links: BOTH,
        law: "certified.prior",
        run: clipped,
    },
    FaultyPrior {
        name: "ep_after_one_sweep",
        id: "ep",
        exactness: Exactness::Approximate,
        links: BOTH,
        law: "certified.prior",
        run: one_sweep,
    },
    FaultyPrior {
        name: "ep_without_the_normalisers_of_the_sites",
        id: "ep",
        exactness: Exactness::Approximate,
        links: BOTH,
        law: "certified.prior",
        run: no_normalisers,
    },
];

type Method = fn(&Gram, &Labels, &PriorOptions, bool) -> Run;

const fn exact(name: &'static str, links: &'static [Link], law: &'static str, run: Method) -> FaultyPrior {
    FaultyPrior { name, id: "zoo", exactness: Exactness::Exact, links, law, run }
}

const fn unbiased(name: &'static str, links: &'static [Link], law: &'static str, run: Method) -> FaultyPrior {
    FaultyPrior { name, id: "zoo", exactness: Exactness::Unbiased, links, law, run }
}

/// The built-in exact method on a matrix that a bug may have touched.
fn solve(matrix: Array2<f64>, labels: &Labels, link: Link) -> Run {
    let options = PriorOptions { link, ..PriorOptions::default() };
    let answer = prior::find("exact").expect("it is registered").log_prob(&Gram::new(matrix)?, labels, &options)?;
    Ok((answer.estimate.value, None))
}

fn matrix(gram: &Gram) -> Array2<f64> {
    gram.matrix().to_owned()
}

/// Adds the noise of the probit link although the step is asked for.
fn probit_read_as_step(gram: &Gram, labels: &Labels, options: &PriorOptions, bug: bool) -> Run {
    solve(matrix(gram), labels, if bug { Link::Probit } else { options.link })
}

/// Leaves out the noise of the probit link.
fn step_read_as_probit(gram: &Gram, labels: &Labels, options: &PriorOptions, bug: bool) -> Run {
    solve(matrix(gram), labels, if bug { Link::Step } else { options.link })
}

/// Stores the kernel in sixteen bits.
fn half_precision(gram: &Gram, labels: &Labels, options: &PriorOptions, bug: bool) -> Run {
    let stored = |k: f64| if bug { f16::from_f64(k).to_f64() } else { k };
    solve(gram.matrix().mapv(stored), labels, options.link)
}

/// Adds 1e-3 to the diagonal, whatever the kernel's units.
fn absolute_jitter(gram: &Gram, labels: &Labels, options: &PriorOptions, bug: bool) -> Run {
    let jitter: Array2<f64> = Array2::eye(gram.point_count()) * if bug { 1e-3 } else { 0.0 };
    solve(matrix(gram) + jitter, labels, options.link)
}

/// Brings the kernel to unit variance by the first point's, under a link that minds its units.
fn first_entry(gram: &Gram, labels: &Labels, options: &PriorOptions, bug: bool) -> Run {
    let unit = if bug { gram.matrix()[[0, 0]] } else { 1.0 };
    solve(gram.matrix().mapv(|k| k / unit), labels, options.link)
}

/// Takes labels 0 and 1 for signs: points of label 0 constrain nothing.
fn zero_one(gram: &Gram, labels: &Labels, options: &PriorOptions, bug: bool) -> Run {
    if !bug {
        return solve(matrix(gram), labels, options.link);
    }
    let kept: Vec<usize> = (0..labels.len()).filter(|&i| labels.signs()[i] > 0).collect();
    if kept.is_empty() {
        return Ok((0.0, None));
    }
    let part = Array2::from_shape_fn((kept.len(), kept.len()), |(i, j)| gram.matrix()[[kept[i], kept[j]]]);
    solve(part, &Labels::from_signs(vec![true; kept.len()]), options.link)
}

/// A loop that ends one point early.
fn last_left_out(gram: &Gram, labels: &Labels, options: &PriorOptions, bug: bool) -> Run {
    let n = gram.point_count() - usize::from(bug);
    if n == 0 {
        return Ok((0.0, None));
    }
    let signs = labels.signs()[..n].iter().map(|sign| *sign > 0);
    solve(gram.matrix().slice(s![..n, ..n]).to_owned(), &Labels::from_signs(signs), options.link)
}

/// Reads the diagonal of the kernel only.
fn independent(gram: &Gram, labels: &Labels, options: &PriorOptions, bug: bool) -> Run {
    if bug { Ok((-LN_2 * labels.len() as f64, None)) } else { solve(matrix(gram), labels, options.link) }
}

/// Adds the probability of `-f`, as one does who counts classifications up to a swap of the classes.
fn counted_as_one(gram: &Gram, labels: &Labels, options: &PriorOptions, bug: bool) -> Run {
    let (value, error) = solve(matrix(gram), labels, options.link)?;
    Ok((if bug { value + LN_2 } else { value }, error))
}

/// Probabilities clipped to at least 1e-6 before the logarithm.
fn clipped(gram: &Gram, labels: &Labels, options: &PriorOptions, bug: bool) -> Run {
    let answer = prior::find("ep").expect("it is registered").log_prob(gram, labels, options)?;
    let value = answer.estimate.value;
    Ok((if bug && value.is_finite() { value.max(1e-6_f64.ln()) } else { value }, None))
}

/// Logarithms to base two.
fn bits(gram: &Gram, labels: &Labels, options: &PriorOptions, bug: bool) -> Run {
    let (value, error) = solve(matrix(gram), labels, options.link)?;
    Ok((if bug { value / LN_2 } else { value }, error))
}

/// Runs `method` on what is left of the problem after reduction, up to [`MOST_POINTS`].
fn sampled(gram: &Gram, labels: &Labels, options: &PriorOptions, method: impl FnOnce(&Orthant) -> Run) -> Run {
    match reduce(gram, labels, options.link)? {
        Reduced::Decided(answer) => Ok((answer.estimate.value, None)),
        Reduced::Open(orthant) if orthant.point_count() > MOST_POINTS => Err(too_large(orthant.point_count())),
        Reduced::Open(orthant) if is_singular(&orthant) => Err(too_singular()),
        Reduced::Open(orthant) => method(&orthant),
    }
}

fn is_singular(orthant: &Orthant) -> bool {
    orthant.info().number("rank").is_some_and(|rank| rank < orthant.point_count() as f64)
}

/// The determinant of three points as a difference of products of correlations, as in van Oosterom and Strackee's formula
/// with `det R` from rounded cross products: no digit is left where the three are nearly in a plane.
fn solid_angle_by_differences(gram: &Gram, labels: &Labels, options: &PriorOptions, bug: bool) -> Run {
    match reduce(gram, labels, options.link)? {
        Reduced::Open(orthant) if bug && orthant.point_count() == 3 => {
            let r = orthant.correlation();
            let angle = difference_solid_angle(r[[0, 1]], r[[0, 2]], r[[1, 2]]);
            Ok(((angle / (4.0 * std::f64::consts::PI)).ln(), None))
        }
        _ => solve(matrix(gram), labels, options.link),
    }
}

/// A hundred-millionth of the variance added so that every matrix factorises.
fn jitter_against_singular(gram: &Gram, labels: &Labels, options: &PriorOptions, bug: bool) -> Run {
    let gram = gram.clone().with_jitter(if bug { 1e-8 } else { 0.0 });
    solve(matrix(&gram), labels, options.link)
}

/// Goes on without a point whose pivot vanishes, as if it repeated another.
fn dependent_left_out(gram: &Gram, labels: &Labels, options: &PriorOptions, bug: bool) -> Run {
    if !bug || labels.len() > MOST_POINTS {
        return sampled(gram, labels, options, |orthant| {
            Ok(log_mean(&sequential(orthant.correlation(), options.seed, DRAWS, honest)))
        });
    }
    let (k, signs) = (gram.matrix(), labels.signs());
    let unit = |i: usize| f64::from(signs[i]) / k[[i, i]].sqrt();
    let correlation = Array2::from_shape_fn(k.dim(), |(i, j)| k[[i, j]] * unit(i) * unit(j));
    Ok(log_mean(&sequential_with(skipping_factor(correlation.view()).view(), options.seed, DRAWS, honest)))
}

const DRAWS: usize = 4000;

/// Clamps every point's log probability at log 0.001.
fn floor(gram: &Gram, labels: &Labels, options: &PriorOptions, bug: bool) -> Run {
    let clamped = |mean: f64, deviation: f64| {
        let z = mean / deviation;
        (log_ndtr(z).max(1e-3_f64.ln()), z)
    };
    let at_point = if bug { clamped } else { honest };
    sampled(gram, labels, options, |orthant| {
        Ok(log_mean(&sequential(orthant.correlation(), options.seed, DRAWS, at_point)))
    })
}

/// Passes a conditional variance where the standard deviation is expected.
fn variance_for_deviation(gram: &Gram, labels: &Labels, options: &PriorOptions, bug: bool) -> Run {
    let squared = |mean: f64, deviation: f64| honest(mean, deviation * deviation);
    let at_point = if bug { squared } else { honest };
    sampled(gram, labels, options, |orthant| {
        Ok(log_mean(&sequential(orthant.correlation(), options.seed, DRAWS, at_point)))
    })
}

/// Averages log weights and not weights.
fn mean_of_logs(gram: &Gram, labels: &Labels, options: &PriorOptions, bug: bool) -> Run {
    sampled(gram, labels, options, |orthant| {
        let logs = sequential(orthant.correlation(), options.seed, DRAWS, honest);
        if !bug {
            return Ok(log_mean(&logs));
        }
        let n = logs.len() as f64;
        let mean = logs.iter().sum::<f64>() / n;
        let squares: f64 = logs.iter().map(|log| (log - mean).powi(2)).sum();
        Ok((mean, Some((squares / (n * (n - 1.0))).sqrt())))
    })
}

/// The variance of the weights where their standard deviation belongs, as `np.var` for `np.std`.
fn variance_for_error(gram: &Gram, labels: &Labels, options: &PriorOptions, bug: bool) -> Run {
    sampled(gram, labels, options, |orthant| {
        let (value, error) = log_mean(&sequential(orthant.correlation(), options.seed, DRAWS, honest));
        let root = (DRAWS as f64).sqrt();
        Ok((value, error.map(|error| if bug { (error * root).powi(2) / root } else { error })))
    })
}

/// A kernel from half as many sampled networks as there are points: its small eigenvalues are gone.
fn rank_deficient(gram: &Gram, labels: &Labels, options: &PriorOptions, bug: bool) -> Run {
    let n = gram.point_count();
    if n > MOST_POINTS + 1 {
        return Err(too_large(n));
    }
    let kernel = if bug {
        let (mut values, vectors) = symmetric_eigen(gram.matrix());
        let least = 1e-9 * values[n - 1];
        values[..n / 2].iter_mut().for_each(|value| *value = least);
        let kept = (&vectors * &ndarray::Array1::from(values)).dot(&vectors.t());
        Gram::new((&kept + &kept.t()) / 2.0)?
    } else {
        gram.clone()
    };
    sampled(&kernel, labels, options, |orthant| {
        Ok(log_mean(&sequential(orthant.correlation(), options.seed, DRAWS, honest)))
    })
}

const CHAINS: (usize, usize) = (64, 400);

/// The log of a share of hits with the standard error of `means` taken as independent.
fn share(means: &[f64]) -> Run {
    let n = means.len() as f64;
    let mean = means.iter().sum::<f64>() / n;
    if mean == 0.0 {
        let reason = "no draw met the labels".to_owned();
        return Err(PriorError::NotApplicable { method: "zoo", reason });
    }
    let squares: f64 = means.iter().map(|value| (value - mean).powi(2)).sum();
    Ok((mean.ln(), Some((squares / (n * (n - 1.0))).sqrt() / mean)))
}

fn mean_of_each(chains: &[Vec<f64>]) -> Vec<f64> {
    chains.iter().map(|chain| chain.iter().sum::<f64>() / chain.len() as f64).collect()
}

/// Thirty-two chains draw the same numbers and pass for thirty-two chains.
fn shared_seeds(gram: &Gram, labels: &Labels, options: &PriorOptions, bug: bool) -> Run {
    let seed_of: fn(usize) -> u64 = if bug { |chain| chain as u64 / 32 } else { |chain| chain as u64 };
    sampled(gram, labels, options, |orthant| {
        share(&mean_of_each(&chains(orthant.correlation(), options.seed, CHAINS, 0.0, seed_of)))
    })
}

/// Takes the states of slowly mixing chains for independent draws.
fn correlated(gram: &Gram, labels: &Labels, options: &PriorOptions, bug: bool) -> Run {
    sampled(gram, labels, options, |orthant| {
        let states = chains(orthant.correlation(), options.seed, CHAINS, 0.999, |chain| chain as u64);
        if bug { share(&states.concat()) } else { share(&mean_of_each(&states)) }
    })
}

/// Expectation propagation that looks at every point once.
fn one_sweep(gram: &Gram, labels: &Labels, options: &PriorOptions, bug: bool) -> Run {
    fixed_point(gram, labels, options, |correlation| {
        expectation_propagation(correlation, if bug { 1 } else { 1000 }, true)
    })
}

/// Expectation propagation whose sites have lost their normalisers: two of the five terms of log Z.
fn no_normalisers(gram: &Gram, labels: &Labels, options: &PriorOptions, bug: bool) -> Run {
    fixed_point(gram, labels, options, |correlation| expectation_propagation(correlation, 1000, !bug))
}

/// No number for two points, which a routine of their own integrates.
fn nan_for_two_points(gram: &Gram, labels: &Labels, options: &PriorOptions, bug: bool) -> Run {
    if bug && gram.point_count() == 2 {
        return Ok((f64::NAN, None));
    }
    solve(matrix(gram), labels, options.link)
}

/// What `log_z` makes of the correlation matrix, where there is one.
fn fixed_point(gram: &Gram, labels: &Labels, options: &PriorOptions, log_z: impl Fn(ArrayView2<f64>) -> f64) -> Run {
    match reduce(gram, labels, options.link)? {
        Reduced::Decided(answer) => Ok((answer.estimate.value, None)),
        Reduced::Open(orthant) if orthant.point_count() > 60 => Err(too_large(orthant.point_count())),
        Reduced::Open(orthant) if is_singular(&orthant) => Err(too_singular()),
        Reduced::Open(orthant) => Ok((log_z(orthant.correlation()), None)),
    }
}
