//! What an estimator of the command line is asked for, and what a command of `flatgauge check` stands for.

use super::UsageError;
use crate::flatness::{FlatnessError, Measure, Options, Point, measure_fn};
use crate::gate::external::{
    External, ExternalKernel, ExternalMeasure, ExternalOptimizer, ExternalPrior, ExternalRescaling, RequestKind,
};
use crate::gate::{Context, Course, FunctionMap, NoParameters, Rescaled, TrajectoryMethod};
use crate::kernel::{KernelError, KernelMethod, Kind, kernel_fn};
use crate::model::Network;
use crate::prior::{Link, LogProbMethod, PriorError, method_fn};
use crate::train::{self, Optimizer};
use clap::ValueEnum;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum KernelName {
    Nngp,
    Ntk,
    /// Averages over sampled networks, with standard errors, of the NNGP
    Empirical,
}

/// What a command or a built-in estimator is asked for.
pub(super) enum Asked {
    Measure(&'static dyn Measure),
    Prior(&'static dyn LogProbMethod),
    Kernel(KernelName, Kind),
}

impl Asked {
    /// From the values of `--measure`, `--prior` and `--kernel`, one of which the parser asks for.
    pub fn new(measure: Option<&str>, prior: Option<&str>, kernel: Option<KernelName>) -> Result<Self, UsageError> {
        match (measure, prior, kernel) {
            (Some(id), ..) => super::flatness::find(id).map(Self::Measure),
            (None, Some(id), _) => super::prior::find(id).map(Self::Prior),
            (None, None, Some(name @ (KernelName::Nngp | KernelName::Empirical))) => Ok(Self::Kernel(name, Kind::Nngp)),
            (None, None, Some(name)) => Ok(Self::Kernel(name, Kind::Ntk)),
            (None, None, None) => unreachable!("the parser asks for one of them"),
        }
    }

    /// The word on the command line.
    pub fn id(&self) -> &'static str {
        match self {
            Self::Measure(measure) => measure.id(),
            Self::Prior(method) => method.id(),
            Self::Kernel(KernelName::Nngp, _) => "nngp",
            Self::Kernel(KernelName::Ntk, _) => "ntk",
            Self::Kernel(KernelName::Empirical, _) => "empirical",
        }
    }

    pub fn flag(&self) -> &'static str {
        match self {
            Self::Measure(_) => "--measure",
            Self::Prior(_) => "--prior",
            Self::Kernel(..) => "--kernel",
        }
    }
}

/// What a command says that it is.
pub(super) enum Claim {
    Estimator(Asked),
    /// A map of its own, by its name.
    Rescaling(String),
    Optimizer(&'static dyn Optimizer),
}

impl Claim {
    /// From the values of `--rescaling` and `--optimizer`; the parser lets one through.
    pub fn new(rescaling: Option<&str>, optimizer: Option<&str>) -> Result<Option<Self>, UsageError> {
        if let Some(name) = rescaling.map(str::trim) {
            if name.is_empty() || name.contains('/') {
                return Err(UsageError(format!("--rescaling: expected a name without a slash, found '{name}'")));
            }
            return Ok(Some(Self::Rescaling(name.to_owned())));
        }
        let Some(id) = optimizer else { return Ok(None) };
        let known = train::registry();
        let names = || known.iter().map(|optimizer| optimizer.id()).collect::<Vec<_>>().join(", ");
        match known.iter().copied().find(|optimizer| crate::id::names(id, optimizer.id())) {
            Some(optimizer) => Ok(Some(Self::Optimizer(optimizer))),
            None => Err(UsageError(format!("--optimizer: '{id}' is unknown, expected one of {}", names()))),
        }
    }

    /// The word on the command line.
    pub fn id(&self) -> &str {
        match self {
            Self::Estimator(asked) => asked.id(),
            Self::Rescaling(name) => name,
            Self::Optimizer(optimizer) => optimizer.id(),
        }
    }

    pub fn flag(&self) -> &'static str {
        match self {
            Self::Estimator(asked) => asked.flag(),
            Self::Rescaling(_) => "--rescaling",
            Self::Optimizer(_) => "--optimizer",
        }
    }

    pub fn request_kind(&self) -> RequestKind {
        match self {
            Self::Estimator(Asked::Measure(_)) => RequestKind::Flatness,
            Self::Estimator(Asked::Prior(_)) => RequestKind::Prior,
            Self::Estimator(Asked::Kernel(..)) => RequestKind::Kernel,
            Self::Rescaling(_) => RequestKind::Rescaling,
            Self::Optimizer(_) => RequestKind::Optimizer,
        }
    }
}

/// What stands at the gate.
pub(super) enum Subject {
    Measure(Box<dyn Measure>),
    Prior(Box<dyn LogProbMethod>),
    Kernel(Box<dyn KernelMethod>),
    Rescaling(Box<dyn FunctionMap>),
    Optimizer(Box<dyn TrajectoryMethod>),
}

impl Subject {
    /// The command.
    pub fn command(claim: &Claim, external: &Arc<External>, links: Option<&'static [Link]>) -> Self {
        let external = Arc::clone(external);
        match claim {
            Claim::Estimator(Asked::Measure(definition)) => {
                Self::Measure(Box::new(ExternalMeasure::new(*definition, external)))
            }
            Claim::Estimator(Asked::Prior(definition)) => {
                let method = ExternalPrior::new(*definition, external);
                Self::Prior(Box::new(method.with_links(links.unwrap_or(definition.links()))))
            }
            Claim::Estimator(Asked::Kernel(_, kind)) => Self::Kernel(Box::new(ExternalKernel::new(*kind, external))),
            Claim::Rescaling(name) => Self::Rescaling(Box::new(ExternalRescaling::new(name.clone(), external))),
            Claim::Optimizer(definition) => Self::Optimizer(Box::new(ExternalOptimizer::new(*definition, external))),
        }
    }

    /// What owes the same checks and is never asked: it stands in before the command is started.
    pub fn stand_in(claim: &Claim) -> Self {
        let reason = || "not asked".to_owned();
        match claim {
            Claim::Estimator(Asked::Measure(definition)) => {
                let measure = definition.id();
                let refuse =
                    move |_: &Point, _: &Options| Err(FlatnessError::NotApplicable { measure, reason: reason() });
                Self::Measure(Box::new(measure_fn(measure, refuse)))
            }
            Claim::Estimator(Asked::Prior(definition)) => {
                let method = definition.id();
                let refuse = move |_: &_, _: &_, _: &_| Err(PriorError::NotApplicable { method, reason: reason() });
                Self::Prior(Box::new(method_fn(method, definition.exactness(), definition.links(), refuse)))
            }
            Claim::Estimator(Asked::Kernel(_, kind)) => {
                let kinds: &'static [Kind] = if *kind == Kind::Ntk { &[Kind::Ntk] } else { &[Kind::Nngp] };
                Self::Kernel(Box::new(kernel_fn("command", kinds, move |_, _, _| {
                    Err(KernelError::NotApplicable { method: "kernel", reason: reason() })
                })))
            }
            Claim::Rescaling(name) => Self::Rescaling(Box::new(Unasked(name.clone()))),
            Claim::Optimizer(definition) => Self::Optimizer(Box::new(Unasked(*definition))),
        }
    }

    /// The subject in a context without others.
    pub fn join<'s>(&'s self, context: Context<'s>) -> Context<'s> {
        match self {
            Self::Measure(measure) => context.with_estimators(vec![&**measure], Vec::new()),
            Self::Prior(method) => context.with_estimators(Vec::new(), vec![&**method]),
            Self::Kernel(method) => context.with_kernels(vec![&**method]),
            Self::Rescaling(map) => context.with_maps(vec![&**map]),
            Self::Optimizer(method) => context.with_optimizers(vec![&**method]),
        }
    }
}

/// A stand-in of this name, or for this optimiser.
struct Unasked<N>(N);

impl FunctionMap for Unasked<String> {
    fn id(&self) -> &str {
        &self.0
    }

    fn rescale(&self, _: &Network, _: u64) -> Result<Rescaled, NoParameters> {
        Err(NoParameters::NotApplicable("not asked".to_owned()))
    }
}

impl TrajectoryMethod for Unasked<&'static dyn Optimizer> {
    fn id(&self) -> &'static str {
        self.0.id()
    }

    fn run(&self, _: &Course, _: usize) -> Result<Vec<f64>, NoParameters> {
        Err(NoParameters::NotApplicable("not asked".to_owned()))
    }
}
