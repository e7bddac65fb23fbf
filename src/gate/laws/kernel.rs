//! Laws of Gram matrices: what the kernel of any network, wide or sampled, must be.

use crate::description::{Reference, references};
use crate::gate::averaged::Averaged;
use crate::gate::cases::FlatnessCase;
use crate::gate::finding::Finding;
use crate::gate::float32;
use crate::gate::law::{Check, Context, Law, Scope};
use crate::gate::tolerance::kernel_agreement;
use crate::kernel::{KernelError, KernelMethod, KernelOptions, Kind};
use crate::model::{Architecture, LayerSpec};
use crate::numeric::{Dtype, Streams};
use ndarray::{Array1, Array2, ArrayView2, Axis, concatenate};
use rand::RngExt;
use rand::seq::SliceRandom;
use std::sync::Arc;

/// A method's Gram matrix.
pub(super) struct Answer {
    pub matrix: Array2<f64>,
    /// Standard errors of its entries, if it is an average over sampled networks.
    pub std_error: Option<Array2<f64>>,
}

/// Asks a method; an architecture it does not cover is a skip, any other error, a wrong shape and NaN a failure.
pub(super) fn gram(
    subject: &dyn KernelMethod,
    architecture: &Architecture,
    inputs: ArrayView2<f64>,
    kind: Kind,
    seed: u64,
) -> Result<Answer, Finding> {
    let n = inputs.nrows();
    match subject.gram(architecture, inputs, &KernelOptions { kind, seed, ..KernelOptions::default() }) {
        Ok(result) if result.matrix.dim() != (n, n) => {
            let (rows, columns) = result.matrix.dim();
            Err(Finding::fail(format!("the matrix is {rows} x {columns}, expected {n} x {n}")))
        }
        Ok(result) => match result.matrix.indexed_iter().find(|(_, entry)| !entry.is_finite()) {
            Some(((i, j), entry)) => Err(Finding::fail(format!("entry ({i}, {j}) of the matrix is {entry}"))),
            None => Ok(Answer { matrix: result.matrix, std_error: result.std_error }),
        },
        Err(KernelError::NotApplicable { reason, .. }) => Err(Finding::unsupported(reason)),
        // What a method does not cover, or numbers cannot hold.
        Err(
            error @ (KernelError::NoClosedForm { .. }
            | KernelError::NoReadout
            | KernelError::Rank { .. }
            | KernelError::Magnitude { .. }
            | KernelError::Variance { .. }
            | KernelError::Entry { .. }
            | KernelError::Overflow { .. }),
        ) => Err(Finding::unsupported(error.to_string())),
        Err(error) => Err(Finding::fail(error.to_string())),
    }
}

/// Largest difference in units of `sqrt(K_ii K_jj)`: an entry that cancels to nothing has no digits of its own.
pub(super) fn largest_error(found: ArrayView2<f64>, expected: ArrayView2<f64>) -> f64 {
    let scale = expected.diag().mapv(f64::sqrt);
    let errors = found.indexed_iter().map(|((i, j), value)| {
        let error = (value - expected[[i, j]]).abs();
        if error == 0.0 { 0.0 } else { error / (scale[i] * scale[j]) }
    });
    errors.fold(0.0, |top: f64, error| if error > top || error.is_nan() { error } else { top })
}

/// The tolerance of two matrices that a law makes equal, in words.
fn agreement_in_words() -> String {
    let of = kernel_agreement;
    format!(
        "{:e} (K_ii K_jj)^(1/2), of tangent kernels {:e}, of either in float32 {:e}",
        of(Kind::Nngp, Dtype::Float64),
        of(Kind::Ntk, Dtype::Float64),
        of(Kind::Ntk, Dtype::Float32)
    )
}

fn compare(
    tolerance: f64,
    found: Result<Answer, Finding>,
    expected: impl FnOnce() -> Result<Array2<f64>, Finding>,
) -> Finding {
    match (found, expected()) {
        (Ok(found), Ok(expected)) => {
            Finding::compare(largest_error(found.matrix.view(), expected.view()), 0.0, tolerance)
        }
        (Err(finding), _) | (_, Err(finding)) => finding,
    }
}

/// The matrix with entry `(i, j)` times `factors[i] factors[j]`.
fn scaled(matrix: &Array2<f64>, factors: &Array1<f64>) -> Array2<f64> {
    matrix * &factors.view().insert_axis(Axis(1)) * factors
}

/// The order of the points does not matter.
pub(super) struct Permutation;

impl Law for Permutation {
    fn id(&self) -> &'static str {
        "kernel.permutation"
    }

    fn statement(&self) -> &'static str {
        "permuting the inputs permutes the rows and columns of their Gram matrix"
    }

    fn formula(&self) -> &'static str {
        "K(P X) = P K(X) P^T"
    }

    fn tolerance(&self) -> String {
        agreement_in_words()
    }

    fn catches(&self) -> &'static str {
        "entries that depend on the order of the inputs: loops over blocks that miss an edge, units taken from the first input"
    }

    fn sources(&self) -> &'static [Reference] {
        &[references::LEE_2018]
    }

    fn scope(&self) -> Scope {
        Scope::Every
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        each(context, |trial| {
            let inputs = trial.case.inputs.view();
            let mut order: Vec<usize> = (0..inputs.nrows()).collect();
            order.shuffle(&mut trial.streams.stream("permutation of inputs", 0));
            let architecture = trial.architecture();
            compare(trial.agreement(), trial.gram(architecture, inputs.select(Axis(0), &order).view()), || {
                let matrix = trial.gram(architecture, inputs)?.matrix;
                Ok(matrix.select(Axis(0), &order).select(Axis(1), &order))
            })
        })
    }
}

/// Networks of positively homogeneous layers scale with their inputs, biases and weights.
pub(super) struct Homogeneity;

/// Inputs are scaled by factors up to this, and down to one over it.
const SPREAD: f64 = 1e3;

impl Law for Homogeneity {
    fn id(&self) -> &'static str {
        "kernel.homogeneity"
    }

    fn statement(&self) -> &'static str {
        "of L positively homogeneous layers K(a x, b y) = a b K(x, y) without biases, K = c^2 K for inputs and bias_std \
         times c, and K = c^(2 L) K for weight_std times c without biases"
    }

    fn formula(&self) -> &'static str {
        "K(a x, b y) = a b K(x, y) without biases; K(c X; c bias_std) = c^2 K(X); K(X; c weight_std) = c^(2 L) K(X) without biases"
    }

    fn tolerance(&self) -> String {
        agreement_in_words()
    }

    fn catches(&self) -> &'static str {
        "a depth that is off by one, variances multiplied in the wrong order, a regularisation in absolute units"
    }

    fn sources(&self) -> &'static [Reference] {
        &[references::LEE_2018]
    }

    fn scope(&self) -> Scope {
        Scope::Every
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        each(context, |trial| {
            let architecture = trial.architecture();
            let homogeneous = |spec: &LayerSpec| match spec {
                LayerSpec::Dense { .. } => true,
                other => other.activation().is_some_and(|activation| activation.is_positively_homogeneous()),
            };
            if let Some(other) = architecture.layers.iter().find(|spec| !homogeneous(spec)) {
                return Finding::skip(format!("a {} layer is not positively homogeneous", other.kind()));
            }
            let (inputs, n) = (&trial.case.inputs, trial.case.inputs.nrows());
            let mut generator = trial.streams.stream("factors", 0);
            let dtype = trial.subject.dtype();
            let mut factor = || float32::factor(dtype, SPREAD.powf(generator.random_range(-1.0..=1.0)));
            let factors = Array1::from_shape_simple_fn(n, &mut factor);
            let stretched = inputs * &factors.view().insert_axis(Axis(1));
            let without_biases = Architecture { bias_std: 0.0, ..architecture.clone() };
            let plain = match trial.gram(&without_biases, inputs.view()) {
                Ok(answer) => answer.matrix,
                Err(finding) => return finding,
            };
            // In float64 no power of two, so that every rounding is seen.
            let c = float32::factor(dtype, 5.9);
            let layers = architecture.layers.iter().filter(|spec| matches!(spec, LayerSpec::Dense { .. })).count();
            let louder = Architecture { weight_std: c * architecture.weight_std, ..without_biases.clone() };
            let biased = Architecture { bias_std: c * architecture.bias_std, ..architecture.clone() };
            Finding::worst([
                compare(trial.agreement(), trial.gram(&without_biases, stretched.view()), || {
                    Ok(scaled(&plain, &factors))
                }),
                compare(trial.agreement(), trial.gram(&louder, inputs.view()), || {
                    Ok(&plain * c.powi(2 * layers as i32))
                }),
                compare(trial.agreement(), trial.gram(&biased, (c * inputs).view()), || {
                    Ok(trial.gram(architecture, inputs.view())?.matrix * (c * c))
                }),
            ])
        })
    }
}

/// Inputs that coincide, are parallel, opposite or zero.
pub(super) struct Degenerate;

impl Law for Degenerate {
    fn id(&self) -> &'static str {
        "kernel.degenerate"
    }

    fn statement(&self) -> &'static str {
        "with repeated, parallel, opposite and zero inputs the Gram matrix is finite and symmetric, a repeated input \
         repeats its row, the other rows stay, and |K_ij| <= sqrt(K_ii K_jj)"
    }

    fn formula(&self) -> &'static str {
        "K = K^T, rows of repeated inputs repeat, |K_ij| <= (K_ii K_jj)^(1/2)"
    }

    fn tolerance(&self) -> String {
        agreement_in_words()
    }

    fn catches(&self) -> &'static str {
        "the arc cosine of a ratio that rounds above 1 (NaN), divisions by the length of a zero input"
    }

    fn sources(&self) -> &'static [Reference] {
        &[references::LEE_2018]
    }

    fn scope(&self) -> Scope {
        Scope::Every
    }

    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>> {
        each(context, |trial| {
            let (inputs, architecture) = (&trial.case.inputs, trial.architecture());
            let n = inputs.nrows();
            let first = inputs.slice(ndarray::s![..1, ..]);
            let longer = float32::factor(trial.subject.dtype(), 3.0);
            let more = [first.to_owned(), longer * &first, -&first, 0.0 * &first];
            let views: Vec<_> = std::iter::once(inputs.view()).chain(more.iter().map(|row| row.view())).collect();
            let all = concatenate(Axis(0), &views).expect("rows of one length");
            let found = match trial.gram(architecture, all.view()) {
                Ok(answer) => answer.matrix,
                Err(finding) => return finding,
            };
            let before = match trial.gram(architecture, inputs.view()) {
                Ok(answer) => answer.matrix,
                Err(finding) => return finding,
            };
            // Row n repeats row 0.
            let mut repeated: Vec<usize> = (0..found.nrows()).collect();
            repeated[n] = 0;
            let largest = (found.indexed_iter())
                .map(|((i, j), k)| k.abs() - (found[[i, i]] * found[[j, j]]).sqrt() * (1.0 + trial.agreement()))
                .fold(f64::NEG_INFINITY, f64::max);
            let agree = |found: ArrayView2<f64>, expected: ArrayView2<f64>| {
                Finding::compare(largest_error(found, expected), 0.0, trial.agreement())
            };
            Finding::worst([
                agree(found.view(), found.t()),
                agree(found.view(), found.select(Axis(0), &repeated).select(Axis(1), &repeated).view()),
                agree(found.slice(ndarray::s![..n, ..n]), before.view()),
                Finding::at_most(largest, 0.0, "an entry over its largest possible value"),
            ])
        })
    }
}

/// A method and a network with inputs.
struct Trial<'t> {
    subject: &'t dyn KernelMethod,
    kind: Kind,
    case: &'t FlatnessCase,
    streams: Streams,
    seed: u64,
}

impl<'t> Trial<'t> {
    fn architecture(&self) -> &'t Architecture {
        self.case.network.model.architecture()
    }

    fn agreement(&self) -> f64 {
        kernel_agreement(self.kind, self.subject.dtype())
    }

    fn gram(&self, architecture: &Architecture, inputs: ArrayView2<f64>) -> Result<Answer, Finding> {
        gram(self.subject, architecture, inputs, self.kind, self.seed)
    }
}

/// The methods under test, each with one kernel that it offers and the name it has in reports.
pub(super) fn subjects<'a>(context: &Context<'a>) -> Vec<(&'a dyn KernelMethod, Kind, String)> {
    let kinds =
        |method: &'a dyn KernelMethod| method.kinds().iter().map(move |&kind| (method, kind, estimator(method, kind)));
    context.kernels.iter().copied().flat_map(kinds).collect()
}

/// Name of a method with its kernel, as reports have it: that of the method alone for the NNGP.
fn estimator(method: &dyn KernelMethod, kind: Kind) -> String {
    match kind {
        Kind::Nngp => method.id().to_owned(),
        Kind::Ntk => format!("{}-ntk", method.id()),
    }
}

/// One check per method, kernel and network.
fn each<'a>(context: &Context<'a>, run: impl Fn(&Trial) -> Finding + Send + Sync + 'a) -> Vec<Check<'a>> {
    let (run, seed) = (Arc::new(run), context.seed);
    let mut checks = Vec::new();
    for (subject, kind, name) in subjects(context) {
        let networks = context.networks(subject.dtype());
        for (index, case) in networks.iter().enumerate() {
            let (cases, run) = (Arc::clone(&networks), Arc::clone(&run));
            let streams = context.streams(&case.name);
            checks.push(Check::new(name.clone(), case.name.clone(), move |effort| {
                let averaged = Averaged::of(subject, effort);
                let subject: &dyn KernelMethod = if effort.replicates == 1 { subject } else { &averaged };
                run(&Trial { subject, kind, case: &cases[index], streams, seed: effort.seed(seed) })
            }));
        }
    }
    checks
}
