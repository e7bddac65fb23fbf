//! A command in the place of an optimiser.

use super::External;
use super::numbers::{parameters, vector};
use super::request;
use crate::data::{write_npy_vector, write_npz};
use crate::gate::no_parameters::NoParameters;
use crate::gate::trajectory::{Course, TrajectoryMethod, has_noise};
use crate::model::save_network;
use crate::train::Optimizer;
use ndarray::Array1;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A command that takes the steps of a registered optimiser.
pub struct ExternalOptimizer {
    definition: &'static dyn Optimizer,
    external: Arc<External>,
}

impl ExternalOptimizer {
    /// Puts `external` in the place of `definition`.
    pub fn new(definition: &'static dyn Optimizer, external: Arc<External>) -> Self {
        Self { definition, external }
    }
}

/// Gradients that a step asks for, each of the next mini-batch: Entropy-SGD takes one per Langevin step.
fn batches_per_step(course: &Course) -> usize {
    let count = course.optimizer.hyperparameters().get("langevin_steps").and_then(|count| count.as_u64());
    count.map_or(1, |count| count as usize)
}

impl TrajectoryMethod for ExternalOptimizer {
    fn id(&self) -> &'static str {
        self.definition.id()
    }

    fn run(&self, course: &Course, steps: usize) -> Result<Vec<f64>, NoParameters> {
        let count = steps * batches_per_step(course);
        let batches: Vec<Vec<usize>> = (0..count).map(|index| course.rows(index)).collect();
        let request = |id: &str, files: [&Path; 3]| {
            let [net, data, noise] = files;
            let shape = &course.network.model.architecture().input;
            save_network(net, &course.network, &BTreeMap::new()).map_err(|error| error.to_string())?;
            write_npz(data, course.inputs.view(), shape, course.targets.view()).map_err(|error| error.to_string())?;
            if has_noise(&*course.optimizer) {
                let draws = Array1::from_shape_fn(count * course.network.theta.len(), Course::noise);
                write_npy_vector(noise, draws.view()).map_err(|error| error.to_string())?;
            }
            Ok(request::optimizer(id, files, course, steps, &batches))
        };
        let answer = parameters(self.external.ask("o", ["safetensors", "npz", "noise.npy"], request))?;
        vector(&answer.theta, "theta").map_err(NoParameters::Fault)
    }
}
