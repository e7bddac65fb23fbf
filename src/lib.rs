//! Reference and conformance suite for two families of numbers about trained neural networks:
//!
//! - **flatness**: Hessian trace and eigenvalues, sharpness within a box, adaptive sharpness, the Fisher-Rao norm and others.
//!   They are local, and most of them change when parameters are rescaled without changing the function.
//! - **log P(f)**: the Bayesian prior probability (in nats) of the function `f` that a network expresses on given inputs,
//!   through the Gaussian process of infinitely wide networks (NNGP) or by sampling networks. It is global, and rescaling
//!   leaves it as it is.
//!
//! The claims come from Zhang, Reid, Valle-Perez and Louis, *Why flatness does and does not correlate with generalization for
//! deep neural networks* (arXiv 2103.06219). Here they are laws that can fail: under a rescaling log P(f) stays, and each
//! flatness measure moves by exactly the predicted amount.
//!
//! # For whom
//!
//! - **You write or change an estimator** of a flatness measure, of log P(f) or of an NNGP or NTK kernel: hold it to the laws
//!   and certified values in your own tests ([`gate::Gate`]), or in any language with `flatgauge check`.
//! - **You need the numbers**: [`flatness`] and [`prior`] compute them with standard errors and diagnostics.
//! - **You read the paper**: [`study`] reruns its experiments.
//!
//! # An estimator under the gate
//!
//! The closure claims to be `hessian_trace`; the gate asks it about networks before and after rescalings and compares with
//! dense definitions, predictions and PyTorch's values. `assert` panics with every law that does not hold.
//!
//! ```
//! use flatgauge::flatness::measure_fn;
//! use flatgauge::gate::Gate;
//! use flatgauge::numeric::{Estimate, Info};
//!
//! let my_trace = measure_fn("hessian_trace", |point, _options| {
//!     let basis = ndarray::Array2::eye(point.theta().len());
//!     let hessian = point.linearisation.hessian_products(basis.view());
//!     Ok(Estimate::deterministic(hessian.diag().sum(), Info::new()))
//! });
//! Gate::quick().measure(&my_trace).assert();
//! ```
//!
//! [`prior::method_fn`] and [`kernel::kernel_fn`] do the same for log P(f) and for Gram matrices. The signatures hold
//! `ndarray` 0.17 arrays. Numerical tests want an optimised build: `[profile.dev.package."*"] opt-level = 3` in your
//! `Cargo.toml` makes the gate some twenty times faster.
//!
//! # log P(f) of labels
//!
//! ```
//! use flatgauge::prior::{self, Gram, Labels, PriorOptions};
//!
//! // Two inputs whose logits have correlation 1/2 under the prior: both labels are +1 with probability 1/3.
//! let gram = Gram::new(ndarray::array![[2.0, 1.0], [1.0, 2.0]])?;
//! let labels = Labels::from_values(&[1.0, 1.0])?;
//! let answer = prior::find("exact").unwrap().log_prob(&gram, &labels, &PriorOptions::default())?;
//! assert!((answer.estimate.value - (1.0_f64 / 3.0).ln()).abs() < 1e-15);
//! # Ok::<(), prior::PriorError>(())
//! ```
//!
//! # Modules
//!
//! | module | what is there |
//! |---|---|
//! | [`gate`] | laws, cases, verdicts; the builder [`gate::Gate`]; estimators in other languages |
//! | [`golden`] | certified values with the programs behind them, typed |
//! | [`flatness`] | the trait [`flatness::Measure`] and one file per measure |
//! | [`prior`] | methods for log P(f), one file each; the readings `step` and `probit` |
//! | [`kernel`] | NNGP and NTK Gram matrices, in closed form or averaged over sampled networks |
//! | [`function`] | functions of sampled networks by counting; Clopper-Pearson intervals, complexity |
//! | [`rescale`] | maps of parameters that preserve the function, and how the Hessian moves with them |
//! | [`train`] | optimisers and the trainer |
//! | [`model`] | architectures as data, networks, losses, derivatives, safetensors files |
//! | [`data`] | data sets and loaders |
//! | [`demonstration`] | networks trained on digits, rescaled, and measured before and after |
//! | [`study`] | the paper's experiments |
//! | [`description`] | formula, cost, options and sources of each measure and method, as lists and docs print them |
//! | [`numeric`] | linear algebra, normal tails, seeded random streams, [`numeric::Estimate`] |
//! | [`io`], [`processes`] | files written whole or not at all; runs shared by several processes |
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `cli` | yes | the program `flatgauge` (with `report` and `plots`) |
//! | `studies` | with `report` | [`train`], [`function`], [`demonstration`] and [`study`] |
//! | `report` | with `cli` | reports as text, JSON, JUnit XML, Markdown and HTML |
//! | `plots` | with `cli` | figures of the studies |
//! | `mpi` | no | runs over several processes; needs an MPI library and libclang to build |
//!
//! As a dev-dependency, `default-features = false` is enough for the gate.
//!
//! # Words
//!
//! - **law**: a sentence that every right estimator obeys, with a tolerance that is derived; `flatgauge list laws` has them all.
//! - **gate**: all laws and certified values that an estimator is held to, with one verdict.
//! - **certified**: computed by a program that shares no code with this crate, and confirmed a second way (`golden/README.md`).
//! - **tier**: `quick` has few cases of every law, `full` more and larger ones.
//! - **step, probit**: two readings of log P(f). `step` is the prior probability itself; `probit` adds unit noise to every
//!   logit, as Gaussian-process classification does. They are different numbers.
//! - **alpha**: the factor of a layer rescaling: one layer is divided by it, the next multiplied.

#[cfg(feature = "cli")]
pub mod cli;
pub mod data;
#[cfg(feature = "studies")]
pub mod demonstration;
pub mod description;
pub mod flatness;
#[cfg(feature = "studies")]
pub mod function;
pub mod gate;
pub mod golden;
mod id;
#[doc(hidden)]
pub mod io;
pub mod kernel;
pub mod model;
pub mod numeric;
pub mod prior;
pub mod processes;
#[cfg(feature = "report")]
pub mod report;
pub mod rescale;
#[cfg(feature = "studies")]
pub mod study;
#[cfg(feature = "studies")]
pub mod train;

/// The README's examples run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
