//! The gate for tests of other crates: a measure or method of their own, held to the law book in one line.

use crate::flatness::Measure;
use crate::gate::bench::{Bench, bench_kernel, bench_measure, bench_prior};
use crate::gate::corpus::Corpus;
use crate::gate::corpus_error::CorpusError;
use crate::gate::failure_group::FailureGroup;
use crate::gate::finding::Verdict;
use crate::gate::generated::run_generated;
use crate::gate::known::Known;
use crate::gate::law::{Context, Scope};
use crate::gate::map::{FunctionMap, OfKind};
use crate::gate::origin::Origin;
use crate::gate::report::Report;
use crate::gate::runner;
use crate::gate::tier::Tier;
#[cfg(feature = "studies")]
use crate::gate::trajectory::{OfOptimizer, TrajectoryMethod};
use crate::kernel::KernelMethod;
use crate::prior::LogProbMethod;
use crate::rescale::RescalingKind;
#[cfg(feature = "studies")]
use crate::train::Optimizer;
use std::path::PathBuf;
use std::time::Duration;

/// Holds estimators written in Rust to the laws and certified values of what they claim to be.
///
/// A measure is held to the definition registered under its [`Measure::claim`] (`hessian_trace`, ...), which is its id
/// unless said otherwise, a method to
/// what its [`LogProbMethod::exactness`] promises, a method for Gram matrices to the kernel of infinitely wide networks unless it
/// gives standard errors.
///
/// ```
/// use flatgauge::flatness::{FlatnessError, Measure, Options, Point, Responses};
/// use flatgauge::gate::Gate;
/// use flatgauge::numeric::{Estimate, Info};
///
/// struct MyTrace;
///
/// impl Measure for MyTrace {
///     fn id(&self) -> &'static str {
///         "hessian_trace"
///     }
///     fn summary(&self) -> &'static str {
///         "trace of the Hessian, read off products with the basis vectors"
///     }
///     fn source(&self) -> &'static str {
///         "this crate"
///     }
///     fn responses(&self) -> Responses {
///         Responses::OF_CURVATURE
///     }
///     fn evaluate(&self, point: &Point, _: &Options) -> Result<Estimate, FlatnessError> {
///         let basis = ndarray::Array2::eye(point.theta().len());
///         let hessian = point.linearisation.hessian_products(basis.view());
///         Ok(Estimate::deterministic(hessian.diag().sum(), Info::new()))
///     }
/// }
///
/// Gate::quick().measure(&MyTrace).assert();
/// ```
#[must_use = "a gate judges nothing until it is run"]
pub struct Gate<'a> {
    measures: Vec<&'a dyn Measure>,
    priors: Vec<&'a dyn LogProbMethod>,
    kernels: Vec<&'a dyn KernelMethod>,
    rescalings: Vec<&'a dyn RescalingKind>,
    #[cfg(feature = "studies")]
    optimizers: Vec<&'a dyn Optimizer>,
    tier: Tier,
    seed: u64,
    only: Option<String>,
    cases: usize,
    known: Known,
    file: Option<PathBuf>,
}

impl<'a> Gate<'a> {
    /// A gate without estimators, at a tier.
    pub fn new(tier: Tier) -> Self {
        Self {
            measures: Vec::new(),
            priors: Vec::new(),
            kernels: Vec::new(),
            rescalings: Vec::new(),
            #[cfg(feature = "studies")]
            optimizers: Vec::new(),
            tier,
            seed: 0,
            only: None,
            cases: 0,
            known: Known::default(),
            file: None,
        }
    }

    /// Few cases of every law: some seconds an estimator.
    pub fn quick() -> Self {
        Self::new(Tier::Quick)
    }

    /// More and larger cases.
    pub fn full() -> Self {
        Self::new(Tier::Full)
    }

    /// Holds a measure to the gate too.
    pub fn measure(mut self, measure: &'a dyn Measure) -> Self {
        self.measures.push(measure);
        self
    }

    /// Holds a method for log P(f) to the gate too.
    pub fn prior(mut self, method: &'a dyn LogProbMethod) -> Self {
        self.priors.push(method);
        self
    }

    /// Holds a method for Gram matrices to the gate too.
    pub fn kernel(mut self, method: &'a dyn KernelMethod) -> Self {
        self.kernels.push(method);
        self
    }

    /// Holds a kind of rescaling to the gate too: whether it leaves functions as they are, and acts on parameters and Hessian
    /// as its action says.
    pub fn rescaling(mut self, kind: &'a dyn RescalingKind) -> Self {
        self.rescalings.push(kind);
        self
    }

    /// Holds an optimiser to the certified trajectories of the registered one of its name too.
    #[cfg(feature = "studies")]
    pub fn optimizer(mut self, optimizer: &'a dyn Optimizer) -> Self {
        self.optimizers.push(optimizer);
        self
    }

    /// Draws its cases from this seed; 0 unless set.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Also generates so many networks and Gram matrices, and shrinks what fails to the smallest case that does: see
    /// [`Report::counterexamples`].
    pub fn cases(mut self, count: usize) -> Self {
        self.cases = count;
        self
    }

    /// Excuses failures whose `law/estimator/case` matches `pattern`, for a reason or with the address of a report; see
    /// [`Known`]. A declaration of which nothing fails any more is a failure.
    pub fn known(mut self, pattern: &str, why: &str) -> Self {
        self.known = self.known.with(pattern, why);
        self
    }

    /// Judges the cases of a file in place of the corpus: a counterexample that a report kept, say.
    pub fn case(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Runs only checks whose `law/estimator/case` contains this.
    pub fn only(mut self, pattern: &str) -> Self {
        self.only = Some(pattern.to_owned());
        self
    }

    /// Runs every check; nothing is printed. Panics where a file of cases ([`Gate::case`]) cannot be read. [`Outcome::reproduce`](crate::gate::Outcome::reproduce) holds the calls that
    /// narrow this gate to one check.
    #[must_use = "a report is looked at by nobody else"]
    pub fn report(self) -> Report {
        let maps: Vec<OfKind> = self.rescalings.iter().map(|kind| OfKind(*kind)).collect();
        let context = Context::new(self.measures, self.priors, false, self.tier, self.seed)
            .with_kernels(self.kernels)
            .with_maps(maps.iter().map(|map| map as &dyn FunctionMap).collect());
        #[cfg(feature = "studies")]
        let optimizers: Vec<OfOptimizer> = self.optimizers.iter().map(|optimizer| OfOptimizer(*optimizer)).collect();
        #[cfg(feature = "studies")]
        let context =
            context.with_optimizers(optimizers.iter().map(|method| method as &dyn TrajectoryMethod).collect());
        let only = self.only.as_deref();
        if let Some(path) = &self.file {
            let corpus = Corpus::read(path).unwrap_or_else(|error| panic!("{error}"));
            let (networks, grams) = (corpus.networks(Tier::Full, self.seed), corpus.grams(Tier::Full, self.seed));
            let fault = |error: CorpusError| -> ! { panic!("file '{}': {error}", path.display()) };
            let context = context
                .on_cases(networks.unwrap_or_else(|error| fault(error)), grams.unwrap_or_else(|error| fault(error)));
            let laws: Vec<_> =
                crate::gate::registry().iter().copied().filter(|law| law.scope() == Scope::Every).collect();
            let origin = Origin::RustFile(path.display().to_string());
            return Report::new(runner::run(&laws, &context, only, &origin, &|_, _, _| ()), self.seed)
                .excusing(&self.known);
        }
        let origin = &Origin::RustTest { cases: 0 };
        let laws = crate::gate::registry();
        let report = Report::new(runner::run(laws, &context, only, origin, &|_, _, _| ()), self.seed);
        let (outcomes, counterexamples) = run_generated(&context, self.cases, only, origin, true, &|_, _, _| ());
        report.with_generated(outcomes, counterexamples).excusing(&self.known)
    }

    /// Times every estimator in turn with the built-in one of its name, on networks and kernels of embedded digits, once its
    /// answers were seen to be right; each case takes about `budget`. What is kept of it as JSON gates a later run
    /// ([`Bench::slower_than`]).
    ///
    /// An optimised build of this crate is worth timing only: in `Cargo.toml`, `[profile.dev.package.flatgauge] opt-level = 3`.
    #[must_use = "times are looked at by nobody else"]
    pub fn bench(self, budget: Duration) -> Vec<Bench> {
        let measures = self.measures.into_iter().map(|measure| bench_measure(measure, budget));
        let priors = self.priors.into_iter().map(|method| bench_prior(method, budget));
        let kernels = self.kernels.into_iter().map(|method| bench_kernel(method, budget));
        measures.chain(priors).chain(kernels).collect()
    }

    /// Runs every check, and panics with all failures, those of one law and cause together, unless the verdict is pass.
    ///
    /// # Panics
    /// If a law does not hold, or nothing was verified: without an estimator, or by one that skips every case.
    #[track_caller]
    pub fn assert(self) {
        let only = self.only.clone();
        let report = self.report();
        if report.verdict == Verdict::Pass {
            return;
        }
        if let (Some(only), true) = (only, report.laws.is_empty()) {
            panic!("the gate is shut: no check's law/estimator/case contains {only:?}");
        }
        let groups = report.failure_groups();
        let of_group = |group: &FailureGroup| {
            let FailureGroup { law, estimator, statement, cases, smallest, .. } = group;
            let (case, size) = (&smallest.case, group.size());
            let pattern = group.pattern.as_ref().map_or(String::new(), |pattern| format!("\n    pattern: {pattern}"));
            format!(
                "\n  {law}/{estimator}/{case}: {}\n    law: {statement}\n    on {} cases, {} hold; {size}{pattern}\n    \
                 alone: {}",
                smallest.reason,
                cases.len(),
                group.held,
                smallest.reproduce
            )
        };
        let failures: String = groups.iter().map(of_group).collect();
        let counts = report.counts;
        panic!(
            "the gate is shut: {} checks hold, {} fail, {} skipped{failures}",
            counts.pass, counts.fail, counts.skip
        );
    }
}
