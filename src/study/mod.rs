//! The experiments of the paper (Zhang, Reid, Valle-Perez and Louis, arXiv 2103.06219): the [`Study`] trait, the
//! registry, one file per study.
//!
//! A study trains networks, measures them, and returns [`Findings`]: numbers, tables, figures as data, and for each
//! claim of the paper whether it held here.
//!
//! ```no_run
//! use flatgauge::study::{self, Cache, Request, Workspace};
//!
//! let workspace = Workspace {
//!     networks: "out/networks".into(),
//!     cache: Cache::new("out/cache".into(), true),
//!     progress: &|step| eprintln!("{} {} of {}", step.phase, step.done, step.total),
//! };
//! let request = Request { quick: true, ..Request::default() };
//! let findings = study::find("correlation").expect("a registered study").run(&request, &workspace)?;
//! for claim in &findings.claims {
//!     println!("{claim:?}");
//! }
//! # Ok::<(), study::StudyError>(())
//! ```

mod ascents;
mod batch_size;
mod boolean;
mod cache;
mod claims;
mod complexity;
mod correlation;
mod counted;
mod error;
mod experiment;
mod findings;
mod flatter;
mod ground;
mod grouped;
mod hessian;
mod links;
mod measured;
mod mingard2021;
mod networks;
mod optimised;
mod predictors;
mod reading;
mod request;
mod rescaled;
mod rescaling;
mod setting;
mod sizes;
mod temporal;
mod width;

pub use experiment::{Progress, Study, Workspace};

pub use error::StudyError;

pub use cache::Cache;
pub use claims::{Claim, Verdict};
#[doc(hidden)]
pub use claims::{Effect, Test};
#[doc(hidden)]
pub use findings::real;
pub use findings::{Axis, Cell, Figure, Findings, Panel, Series, Style, Table};
#[doc(hidden)]
pub use measured::Measured;
#[doc(hidden)]
pub use reading::Quantity;
pub use request::{KernelChoice, PerOptimizer, Request, WordError};
#[doc(hidden)]
pub use setting::{Defaults, Setting};

/// All studies, in the order users see them. A new study is a file and a line here.
pub fn registry() -> &'static [&'static dyn Study] {
    &[
        &correlation::CorrelationStudy,
        &temporal::TemporalStudy,
        &boolean::BooleanStudy,
        &mingard2021::MingardStudy,
        &rescaling::RescalingStudy,
        &complexity::ComplexityStudy,
        &hessian::HessianStudy,
        &batch_size::BatchSizeStudy,
        &width::WidthStudy,
        &links::LinksStudy,
    ]
}

/// The study called `id`.
pub fn find(id: &str) -> Option<&'static dyn Study> {
    registry().iter().copied().find(|study| crate::id::names(id, study.id()))
}
