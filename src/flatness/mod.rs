//! Flatness measures: the [`Measure`] trait, the registry, one file per measure.
//!
//! Every measure has an estimator, [`Measure::evaluate`], and where it is a function of the curvature a
//! dense definition, [`Measure::on_dense`], that shares no code with it. The definition applied to the
//! transported curvature says what the measure must be after a rescaling.
//!
//! `docs/measures.md` has every measure with formula, unit, cost, options, refusals and source; it is written from
//! [`Measure::description`].

#[doc(hidden)]
pub mod ascent;
pub mod curvature;
mod error;
pub mod lanczos;
#[doc(hidden)]
pub mod langevin;
mod measure;
mod noise;
pub mod options;
mod place;
mod point;
pub mod quadrature;
mod rise;
pub mod trace;

pub use measure::{LOSSES, Measure, Response, Responses};

mod adaptive_sharpness;
mod filter_weighted_trace;
mod fisher_rao;
mod hessian_frobenius;
mod hessian_log_det;
mod hessian_log_product;
mod hessian_max_eigenvalue;
mod hessian_spectral_norm;
mod hessian_trace;
mod keskar_sharpness;
mod keskar_sharpness_sgd;
mod layer_normalised_trace;
mod local_entropy;
mod local_learning_coefficient;
mod measure_fn;
mod pac_bayes;
mod parameter_norm;
mod path_norm;
mod relative_flatness;
mod spectral_density;

pub use error::FlatnessError;
pub use measure_fn::{MeasureFn, measure_fn};
pub use options::Options;
pub(crate) use place::DENSE_REFUSAL;
pub use point::{DensePoint, Point};

/// All measures, in the order users see them. A new measure is a file and a line here.
pub fn registry() -> &'static [&'static dyn Measure] {
    &[
        &keskar_sharpness::KeskarSharpness,
        &keskar_sharpness_sgd::KeskarSharpnessSgd,
        &adaptive_sharpness::AdaptiveSharpness,
        &hessian_trace::HessianTrace,
        &hessian_max_eigenvalue::HessianMaxEigenvalue,
        &hessian_spectral_norm::HessianSpectralNorm,
        &hessian_frobenius::HessianFrobenius,
        &hessian_log_det::HessianLogDet,
        &hessian_log_product::HessianLogProduct,
        &spectral_density::SpectralDensity,
        &layer_normalised_trace::LayerNormalisedTrace,
        &filter_weighted_trace::FilterWeightedTrace,
        &relative_flatness::RelativeFlatness,
        &fisher_rao::FisherRao,
        &pac_bayes::PacBayes { magnitude: false },
        &pac_bayes::PacBayes { magnitude: true },
        &local_entropy::LocalEntropy,
        &local_learning_coefficient::LocalLearningCoefficient,
        &path_norm::PathNorm,
        &parameter_norm::ParameterNorm,
    ]
}

/// The measure called `id`.
///
/// ```
/// use flatgauge::flatness::{self, Options, Point};
/// use flatgauge::model::{Activation, Architecture, Loss, Model, Network, Objective};
/// use flatgauge::numeric::Streams;
/// use std::sync::Arc;
///
/// let architecture = Architecture::fully_connected(&[2, 5, 1], Activation::Relu, 1.4, 0.1);
/// let network = Network::sample(Arc::new(Model::new(architecture)?), Streams::new(1));
/// let (inputs, labels) = (ndarray::array![[1.0, 0.5], [-0.3, 2.0]], ndarray::array![[1.0], [0.0]]);
/// let objective = Objective::new(&network, Loss::Bce, inputs.view(), labels.view())?;
/// let point = Point::new(objective, network.theta());
///
/// let trace = flatness::find("hessian_trace").expect("a registered measure");
/// let estimate = trace.evaluate(&point, &Options::default())?;
/// assert!(estimate.value > 0.0 && estimate.std_error.is_none());
/// println!("{}", trace.description().expect("registered measures have one").formula);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn find(id: &str) -> Option<&'static dyn Measure> {
    registry().iter().copied().find(|measure| crate::id::names(id, measure.id()))
}
