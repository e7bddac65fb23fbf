//! The data that networks are measured on, whatever their attack set: S, E, and the prior on both.

use crate::data::{Dataset, Recipe, load_source};
use crate::kernel::{self, KernelOptions, KernelResult};
use crate::model::Architecture;
use crate::numeric::fnv1a;
use crate::prior::{Gram, Labels, PriorError};
use crate::processes::SingleProcess;
use crate::study::reading::{Number, Quantity, READINGS, read};
use crate::study::{KernelChoice, Progress, StudyError, Workspace};
use ndarray::{Array2, s};
use serde_json::json;

/// Groups of sampled networks that are left out in turn, for the standard error that an empirical kernel gives log P(f).
const GROUPS: usize = 8;
/// Most points for which that is done: one matrix is kept for each group.
const MOST_POINTS_OF_GROUPS: usize = 2500;

/// S, E, and the prior on both.
#[derive(Debug)]
pub(super) struct Ground {
    /// The training set S.
    pub clean: Dataset,
    /// The test set E.
    pub test: Dataset,
    /// Inputs of S, then of E.
    pub inputs: Array2<f64>,
    /// NNGP Gram matrix of `inputs`.
    pub gram: Gram,
    /// The kernel it is of, with matrices without each group of sampled networks where it is an empirical one.
    sampled: Option<KernelResult>,
    /// How it was found.
    pub kernel: KernelChoice,
}

impl Ground {
    /// The data of a recipe without its attack set, and the prior of an architecture on them. An empirical kernel keeps its
    /// networks' sum beside the trained networks, from which it goes on.
    ///
    /// # Errors
    /// [`StudyError`]: data that cannot be loaded, an architecture the kernel does not cover.
    pub fn new(
        recipe: &Recipe,
        architecture: &Architecture,
        kernel: KernelChoice,
        workspace: &Workspace,
    ) -> Result<Self, StudyError> {
        let recipe = Recipe { attack: 0, ..recipe.clone() };
        let splits = recipe.take(&load_source(&recipe.source)?)?;
        let clean = splits.clean_set();
        let inputs = Dataset::stacked_inputs(&[&clean, &splits.test]);
        let (gram, sampled) = match kernel {
            KernelChoice::Analytic => (Gram::new(kernel::nngp(architecture, inputs.view())?)?, None),
            KernelChoice::Empirical(samples) => {
                let options = KernelOptions::default();
                let samples = samples.unwrap_or(options.samples);
                let groups = if inputs.nrows() <= MOST_POINTS_OF_GROUPS && samples >= 2 * GROUPS { GROUPS } else { 0 };
                let key =
                    json!({ "recipe": recipe, "architecture": architecture, "samples": samples, "groups": groups });
                let name = format!("kernel-{:016x}.partial", fnv1a(key.to_string().bytes()));
                let fault = |error: std::io::Error| StudyError::File {
                    path: workspace.networks.display().to_string(),
                    reason: error.to_string(),
                };
                std::fs::create_dir_all(&workspace.networks).map_err(fault)?;
                let path = workspace.networks.join(name);
                let tell = |done, total| (workspace.progress)(Progress { phase: "sampling the kernel", done, total });
                let options = KernelOptions { samples, groups, partial: Some(&path), progress: Some(&tell), ..options };
                let result = kernel::empirical(architecture, inputs.view(), &options, &SingleProcess)?;
                (Gram::new(result.matrix.clone())?, Some(result))
            }
        };
        Ok(Self { clean, test: splits.test, inputs, gram, sampled, kernel })
    }

    /// log P(f) in one reading, with the standard error that its method and a sampled kernel give it.
    ///
    /// # Errors
    /// As the method's.
    pub fn read(&self, reading: &Quantity, labels: &Labels) -> Result<Number, PriorError> {
        let own = Number::from(&read(reading, &self.gram, labels)?);
        let Some(sampled) = self.sampled.as_ref().filter(|sampled| !sampled.left_out.is_empty()) else {
            return Ok(own);
        };
        // Expectation propagation has no error of sampling, which would hide what the kernel's networks move.
        let by_ep = READINGS.iter().find(|other| other.method == "ep" && other.link == reading.link);
        let by_ep = by_ep.expect("EP is read with both links");
        let moved = sampled
            .propagate(|matrix| Ok::<_, PriorError>(read(by_ep, &Gram::new(matrix.to_owned())?, labels)?.value))?;
        let std_error = own.std_error.unwrap_or(0.0).hypot(moved.std_error.unwrap_or(0.0));
        Ok(Number { std_error: Some(std_error), ..own })
    }

    /// The prior on S alone.
    ///
    /// # Errors
    /// As [`Gram::new`].
    pub fn gram_of_training(&self) -> Result<Gram, PriorError> {
        let rows = self.clean.len();
        Gram::new(self.gram.matrix().slice(s![..rows, ..rows]).to_owned())
    }
}
