//! Laws, and the checks they consist of.

use crate::description::Reference;
use crate::flatness::Measure;
use crate::gate::cases::{FlatnessCase, PriorCase};
use crate::gate::drawn::Drawn;
use crate::gate::effort::Effort;
use crate::gate::finding::Finding;
use crate::gate::float32;
use crate::gate::map::{self, FunctionMap};
use crate::gate::remembered::Remembered;
use crate::gate::sequential::decide;
use crate::gate::tier::Tier;
#[cfg(feature = "studies")]
use crate::gate::trajectory::{self, TrajectoryMethod};
use crate::kernel::KernelMethod;
use crate::numeric::{Dtype, Streams};
use crate::prior::{Link, LogProbMethod};
use std::sync::{Arc, OnceLock};

/// What is asked of a method for log P(f) on a case as it is: the method (its address is its own for as long as the context
/// borrows it), link, seed and case.
pub(super) type BaseQuestion = (usize, &'static str, Link, u64, String);

/// What is held to the laws, and how hard.
#[derive(Clone)]
pub struct Context<'a> {
    /// Flatness measures.
    pub measures: Vec<&'a dyn Measure>,
    /// Methods for log P(f).
    pub priors: Vec<&'a dyn LogProbMethod>,
    /// Methods for Gram matrices.
    pub kernels: Vec<&'a dyn KernelMethod>,
    /// Maps that claim to leave functions as they are.
    pub maps: Vec<&'a dyn FunctionMap>,
    /// Optimisers.
    #[cfg(feature = "studies")]
    pub optimizers: Vec<&'a dyn TrajectoryMethod>,
    /// Whether laws without an estimator (of networks, rescalings) are checked too.
    pub is_built_in: bool,
    /// How much is checked.
    pub tier: Tier,
    /// Seed of every drawn case.
    pub seed: u64,
    /// Networks drawn for the laws of curvature.
    pub flatness_cases: Arc<Vec<FlatnessCase>>,
    /// Gram matrices drawn for the laws of log P(f).
    pub prior_cases: Arc<Vec<PriorCase>>,
    /// What the methods said of the drawn Gram matrices as they are, which most laws compare with.
    pub(super) base_answers: Arc<Remembered<BaseQuestion>>,
    /// The networks in single precision, once somebody asks for them.
    pub(super) float32_cases: Arc<OnceLock<Arc<Vec<FlatnessCase>>>>,
}

impl<'a> Context<'a> {
    /// Everything there is, or the given estimators only, at a tier.
    pub fn new(
        measures: Vec<&'a dyn Measure>,
        priors: Vec<&'a dyn LogProbMethod>,
        is_built_in: bool,
        tier: Tier,
        seed: u64,
    ) -> Self {
        let Drawn { networks, float32, grams } = Drawn::of(tier, seed);
        Self {
            measures,
            priors,
            kernels: Vec::new(),
            maps: Vec::new(),
            #[cfg(feature = "studies")]
            optimizers: Vec::new(),
            is_built_in,
            tier,
            seed,
            flatness_cases: networks,
            prior_cases: grams,
            base_answers: Arc::default(),
            float32_cases: float32,
        }
    }

    /// Holds these methods for Gram matrices to the laws too.
    pub fn with_kernels(self, kernels: Vec<&'a dyn KernelMethod>) -> Self {
        Self { kernels, ..self }
    }

    /// Holds these maps to the laws too.
    pub fn with_maps(self, maps: Vec<&'a dyn FunctionMap>) -> Self {
        Self { maps, ..self }
    }

    /// Holds these optimisers to the laws too.
    #[cfg(feature = "studies")]
    pub fn with_optimizers(self, optimizers: Vec<&'a dyn TrajectoryMethod>) -> Self {
        Self { optimizers, ..self }
    }

    /// Other measures and methods for log P(f) on the same cases.
    pub fn with_estimators<'b>(self, measures: Vec<&'b dyn Measure>, priors: Vec<&'b dyn LogProbMethod>) -> Context<'b>
    where
        'a: 'b,
    {
        Context { measures, priors, base_answers: Arc::default(), ..self }
    }

    /// The same estimators on other cases.
    pub fn on_cases(&self, networks: Vec<FlatnessCase>, grams: Vec<PriorCase>) -> Self {
        Self {
            flatness_cases: Arc::new(networks),
            prior_cases: Arc::new(grams),
            base_answers: Arc::default(),
            float32_cases: Arc::default(),
            ..self.clone()
        }
    }

    /// All that is built in.
    pub fn built_in(tier: Tier, seed: u64) -> Self {
        let all = Self::new(crate::flatness::registry().to_vec(), crate::prior::registry().to_vec(), true, tier, seed)
            .with_kernels(crate::kernel::registry().to_vec())
            .with_maps(map::built_in());
        #[cfg(feature = "studies")]
        let all = all.with_optimizers(trajectory::built_in());
        all
    }

    /// The networks for estimators that compute in a format: all of them, or those that it can hold, rounded to it.
    pub fn networks(&self, dtype: Dtype) -> Arc<Vec<FlatnessCase>> {
        match dtype {
            Dtype::Float64 => Arc::clone(&self.flatness_cases),
            Dtype::Float32 => {
                let all = || Arc::new(self.flatness_cases.iter().filter_map(float32::case).collect());
                Arc::clone(self.float32_cases.get_or_init(all))
            }
        }
    }

    /// The random streams of a law's case: a function of the seed and the case's name alone, so that
    /// adding a case changes no other case's numbers.
    pub fn streams(&self, case: &str) -> Streams {
        Streams::new(self.seed).child(case, 0)
    }

    /// `quick` or `full`, by tier.
    pub fn by_tier<T>(&self, quick: T, full: T) -> T {
        match self.tier {
            Tier::Quick => quick,
            Tier::Full => full,
        }
    }
}

/// One law on one case for one estimator, ready to run.
pub struct Check<'a> {
    /// What is held to the law: a registry name, with the link for methods of log P(f).
    pub estimator: String,
    /// Name of the case.
    pub case: String,
    /// Runs it once, with an effort.
    pub run: Box<dyn Fn(Effort) -> Finding + Send + Sync + 'a>,
}

impl<'a> Check<'a> {
    /// A check.
    pub fn new(
        estimator: impl Into<String>,
        case: impl Into<String>,
        run: impl Fn(Effort) -> Finding + Send + Sync + 'a,
    ) -> Self {
        Self { estimator: estimator.into(), case: case.into(), run: Box::new(run) }
    }

    /// Runs it until it is decided, as a run of the gate does: what looks suspicious is asked again under other seeds.
    pub fn decide(&self) -> Finding {
        self.decide_on_average(1)
    }

    /// The same for the mean of several answers in the place of each.
    pub(super) fn decide_on_average(&self, replicates: usize) -> Finding {
        decide(&*self.run, replicates)
    }
}

/// On which cases a law holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// On every network or Gram matrix, so that cases may be generated for it.
    Every,
    /// On generic ones: it says that something moves, and there are cases on which it rightly does not.
    Generic,
    /// On the certified cases of `golden/` only.
    Certified,
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Every => "every network or Gram matrix",
            Self::Generic => "generic networks or Gram matrices: there are some on which it rightly does not hold",
            Self::Certified => "the certified cases of golden/",
        })
    }
}

/// A law of the law book.
pub trait Law: Send + Sync {
    /// Registry name, `subject.law`.
    fn id(&self) -> &'static str;

    /// The law in one sentence.
    fn statement(&self) -> &'static str;

    /// The law as a formula.
    fn formula(&self) -> &'static str;

    /// By how much an answer may be off, in words and numbers.
    fn tolerance(&self) -> String;

    /// Errors that it catches.
    fn catches(&self) -> &'static str;

    /// Publications that it comes from; none for laws that follow from the definitions, or that compare with certified values.
    fn sources(&self) -> &'static [Reference];

    /// On which cases it holds.
    fn scope(&self) -> Scope;

    /// Whether its cases are networks; else they are Gram matrices.
    fn is_of_networks(&self) -> bool {
        !self.id().starts_with("prior.")
    }

    /// All checks of this law in a context.
    fn checks<'a>(&self, context: &Context<'a>) -> Vec<Check<'a>>;
}
