//! Optimisers: the [`Optimizer`] trait, the registry, one file per optimiser.

mod adagrad;
mod adam;
mod entropy_sgd;
mod momentum;
mod nesterov;
mod rmsprop;
mod rule;
mod sam;
mod settings;
mod sgd;
#[cfg(test)]
mod tests;

pub use settings::OptimizerSettings;

use crate::numeric::instructions::vectorised;
pub use rule::{Batches, HyperparameterError, Optimizer, Preset, State, Step};
use rule::{above_zero, above_zero_or_equal, add_decay, fraction, from_map, to_map};

use adagrad::Adagrad;
use adam::Adam;
pub(crate) use entropy_sgd::EntropySgd;
use momentum::Momentum;
use nesterov::Nesterov;
use rmsprop::RmsProp;
use sam::Sam;
use sgd::Sgd;

/// All optimisers, in the order users see them. A new optimiser is a file and a line here.
pub fn registry() -> &'static [&'static dyn Optimizer] {
    &[
        &Sgd::DEFAULT,
        &Momentum::DEFAULT,
        &Nesterov::DEFAULT,
        &Adam::DEFAULT,
        &Adagrad::DEFAULT,
        &RmsProp::DEFAULT,
        &EntropySgd::DEFAULT,
        &Sam::DEFAULT,
    ]
}
