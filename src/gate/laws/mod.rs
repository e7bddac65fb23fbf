//! The law book, one file a group of laws.

mod certified;
mod curvature;
mod estimate;
mod function;
mod kernel;
mod loss_scale;
mod mistaken;
mod prior;
mod prior_rank;
mod prior_symmetry;
mod prior_value;
mod rescaling;
mod rise;
#[cfg(feature = "studies")]
mod trajectory;

use crate::gate::law::Law;

pub(super) use certified::networks as certified_networks;

/// All laws in the order of the law book. A new law is a struct and a line here.
pub fn registry() -> &'static [&'static dyn Law] {
    &[
        &function::PowerOfTwo,
        &function::RoundingBound,
        &rescaling::Function,
        &rescaling::Parameters,
        &rescaling::Curvature,
        &rescaling::Movement,
        &curvature::Definition,
        &curvature::Covariance,
        &curvature::Responds,
        &rise::Rise,
        &loss_scale::LossScale,
        &kernel::Permutation,
        &kernel::Homogeneity,
        &kernel::Degenerate,
        &estimate::Seed,
        &estimate::Honest,
        &prior_symmetry::Scale,
        &prior_symmetry::Diagonal,
        &prior_symmetry::Permutation,
        &prior_symmetry::LabelFlip,
        &prior_symmetry::Duplicate,
        &prior_rank::Dependent,
        &prior_symmetry::ProbitBreaksScale,
        &prior_value::Normalisation,
        &prior_value::Marginalisation,
        &prior_value::BlockDiagonal,
        &certified::Normal,
        &certified::Kernel,
        &certified::Flatness,
        &certified::PriorOnImages,
        &certified::PriorClosedForms,
        #[cfg(feature = "studies")]
        &trajectory::Trajectory,
    ]
}
