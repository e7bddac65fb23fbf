//! Functions found by an optimiser, beside those drawn from the prior.

use crate::data::Dataset;
use crate::function::{Counts, Function, FunctionError};
use crate::model::{Architecture, Model, Network};
use crate::numeric::Streams;
use crate::study::StudyError;
use crate::train::Trainer;
use ndarray::{Array2, Axis};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// A training set: some of the inputs, with the labels that a function gives them.
#[derive(Debug, Clone)]
pub(super) struct Task {
    /// All inputs, `n x features`.
    pub inputs: Array2<f64>,
    /// The function to learn, on all inputs.
    pub target: Function,
    /// The inputs of the training set S.
    pub training: Vec<usize>,
}

impl Task {
    /// The training set's inputs and labels, as [`Counts::given`] takes them.
    pub fn labelled(&self) -> Vec<(usize, bool)> {
        self.training.iter().map(|&input| (input, self.target.label(input))).collect()
    }

    fn dataset(&self) -> Dataset {
        let labels = self.training.iter().map(|&input| f64::from(u8::from(self.target.label(input)))).collect();
        Dataset {
            name: "training set of a function".to_owned(),
            inputs: self.inputs.select(Axis(0), &self.training),
            shape: vec![self.inputs.ncols()],
            targets: Array2::from_shape_vec((self.training.len(), 1), labels).expect("one label an input"),
        }
    }
}

/// A network trained to zero error.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Seed of its initial parameters and of its training.
    pub seed: u64,
    /// The network.
    pub network: Network,
    /// Its labels on all inputs.
    pub function: Function,
}

/// Networks trained on one task from many seeds.
#[derive(Debug, Clone)]
pub(super) struct Optimised {
    /// Those that reached zero error, in the order of their seeds.
    pub found: Vec<Found>,
    /// Seeds that did not within the trainer's epochs.
    pub unfinished: Vec<u64>,
    /// How often each function was found: divided by their sum, `P_OPT(f | S)`.
    pub counts: Counts,
}

/// Trains one network per seed to zero error on a task, and counts the functions that come out: `P_OPT(f | S)` (Mingard,
/// Valle-Perez, Skalse and Louis 2021, definition 2.1), to be compared with `P_B(f | S)`, [`Counts::given`] of sampled networks.
///
/// # Errors
/// [`StudyError`]: shapes that do not fit, a network of several logits, a training that diverges.
pub(super) fn optimise(
    architecture: &Architecture,
    trainer: &Trainer,
    task: &Task,
    seeds: Range<u64>,
) -> Result<Optimised, StudyError> {
    let model = Arc::new(Model::new(architecture.clone())?);
    if model.output_count() != 1 {
        return Err(FunctionError::Outputs { outputs: model.output_count() }.into());
    }
    let (rows, columns) = task.inputs.dim();
    let fits = columns == model.input_count() && rows == task.target.input_count();
    if !fits || task.training.is_empty() || task.training.iter().any(|input| *input >= rows) {
        let reason = format!(
            "the inputs have shape {rows} x {columns}, expected {} x {} and training inputs among them",
            task.target.input_count(),
            model.input_count()
        );
        return Err(FunctionError::Inputs { reason }.into());
    }
    let data = task.dataset();
    let train = |seed: u64| {
        let trainer = Trainer { seed, ..trainer.clone() };
        let network = Network::sample(Arc::clone(&model), Streams::new(seed));
        let trained = trainer.run(network, &data, &mut |_| {})?;
        if trained.zero_error_epoch.is_none() {
            return Ok((seed, None));
        }
        let logits = trained.network.logits(task.inputs.view());
        let function = Function::new(&logits.iter().map(|logit| *logit > 0.0).collect::<Vec<bool>>());
        Ok((seed, Some(Found { seed, network: trained.network, function })))
    };
    let outcomes: Result<Vec<_>, StudyError> = seeds.into_par_iter().map(train).collect();
    let mut optimised = Optimised { found: Vec::new(), unfinished: Vec::new(), counts: Counts::new(rows) };
    for (seed, found) in outcomes? {
        match found {
            Some(found) => {
                optimised.counts.add(&found.function, 1);
                optimised.found.push(found);
            }
            None => optimised.unfinished.push(seed),
        }
    }
    Ok(optimised)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::load;
    use crate::function::{CountOptions, Sampler, count};
    use crate::model::Activation;

    fn task() -> Task {
        // Label 1 where the first two bits are 1, trained on every second input and the ends.
        let target = Function::new(&(0..16).map(|input| input >= 12).collect::<Vec<_>>());
        Task { inputs: load("boolean:4").unwrap().inputs, target, training: vec![0, 3, 5, 8, 11, 12, 14, 15] }
    }

    #[test]
    fn every_function_found_fits_the_training_set_and_is_that_of_its_network() {
        let architecture = Architecture::fully_connected(&[4, 20, 1], Activation::Relu, 1.4, 0.5);
        let trainer = Trainer { learning_rate: Some(0.1), batch_size: 4, max_epochs: 400, ..Trainer::default() };
        let task = task();
        let optimised = optimise(&architecture, &trainer, &task, 5..45).unwrap();
        assert_eq!(optimised.found.len() + optimised.unfinished.len(), 40);
        assert!(optimised.found.len() > 30);
        for found in &optimised.found {
            assert!(task.labelled().iter().all(|(input, label)| found.function.label(*input) == *label));
            let logits = found.network.logits(task.inputs.view());
            assert!((0..16).all(|input| found.function.label(input) == (logits[[input, 0]] > 0.0)));
        }
        assert_eq!(optimised.counts.network_count(), optimised.found.len() as u64);
        // The order of the seeds decides nothing.
        let again = optimise(&architecture, &trainer, &task, 5..6).unwrap();
        assert_eq!(again.found.first().map(|found| &found.function), optimised.found.first().map(|f| &f.function));

        // What the prior prefers, the optimiser finds: the most probable functions given S have more than their
        // share of what was found. Sixteen inputs, eight of them free: 256 functions fit S.
        let sampler = Sampler::new(architecture, task.inputs.clone(), 1).unwrap();
        let given = count(&sampler, 100_000, &CountOptions::new(&sampler)).unwrap().given(&task.labelled());
        assert!(
            given.ranked().all(|(function, _)| task.labelled().iter().all(|(i, label)| function.label(*i) == *label))
        );
        let top: u64 = given.ranked().take(25).map(|(function, _)| optimised.counts.count(&function)).sum();
        assert!(2 * top > optimised.counts.network_count(), "{top} of {}", optimised.counts.network_count());
    }

    #[test]
    fn tasks_that_do_not_fit_are_refused() {
        let architecture =
            |inputs, outputs| Architecture::fully_connected(&[inputs, outputs], Activation::Relu, 1.0, 1.0);
        let refused = |architecture, task| optimise(&architecture, &Trainer::default(), &task, 0..1).is_err();
        assert!(refused(architecture(4, 2), task()));
        assert!(refused(architecture(5, 1), task()));
        assert!(refused(architecture(4, 1), Task { training: vec![16], ..task() }));
        assert!(refused(architecture(4, 1), Task { training: Vec::new(), ..task() }));
    }
}
