//! `flatgauge train`: one network, or a sweep over attack sizes and seeds.

use super::arguments::{
    ArchitectureArguments, LossName, attack_sizes, check_name, check_out, seeds, tell_notes, two_numbers,
};
use super::progress::bar;
use super::{Format, Outcome, UsageError, WithFlag, emit, emit_json, processes, shown};
use crate::data::{LabelRule, Recipe, Source, load_source_of};
use crate::model::Loss;
use crate::train::{Event, OptimizerSettings, Settings, Summary, Trainer, grid, sweep};
use clap::Args;
use std::path::{Path, PathBuf};

/// Epochs between saves of an unfinished network.
const CHECKPOINT_EVERY: usize = 200;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    architecture: ArchitectureArguments,
    /// Data source (see `flatgauge list data`)
    #[arg(long, default_value = "digits")]
    data: String,
    /// Rows of the clean training set, which must be learned without error
    #[arg(long, default_value_t = Recipe::default().train)]
    train: usize,
    /// Rows of the test set
    #[arg(long, default_value_t = Recipe::default().test)]
    test: usize,
    /// Rows of the attack set, with wrong labels; a range FIRST..LAST:STEP makes a sweep
    #[arg(long, default_value = "0")]
    attack: String,
    /// Seeds of a sweep: SEED, SEED + 1, ..., this many of them
    #[arg(long)]
    seeds: Option<u64>,
    /// Fraction of the training set that is given wrong labels
    #[arg(long, default_value_t = 0.0)]
    corrupt: f64,
    /// Two classes A,B: label 0 for A and 1 for B, other rows left out [default: the source's own rule]
    #[arg(long, value_name = "A,B", num_args = 1..=2)]
    classes: Option<Vec<String>>,
    /// Optimiser (see `flatgauge list optimizers`)
    #[arg(long, default_value = "sgd")]
    optimizer: String,
    /// Preset of the optimiser's hyper-parameters, named after its source [default: the first]
    #[arg(long)]
    preset: Option<String>,
    /// Learning rate [default: the preset's]
    #[arg(long, allow_negative_numbers = true)]
    lr: Option<f64>,
    /// Rows of a mini-batch
    #[arg(long, default_value_t = Trainer::default().batch_size)]
    batch: usize,
    /// Loss, a mean over rows
    #[arg(long, default_value = "bce")]
    loss: LossName,
    /// Epochs after which training ends in any case
    #[arg(long, default_value_t = Trainer::default().max_epochs)]
    max_epochs: usize,
    /// Epochs to go on for after the first without errors
    #[arg(long, default_value_t = 0)]
    extra_epochs: usize,
    /// Seed of data, initial parameters and order of the rows
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Network to write (.safetensors), or folder of a sweep; what is there already is not trained again
    #[arg(long)]
    out: PathBuf,
    /// How to print the result
    #[arg(long, default_value = "text")]
    format: Format,
}

impl Arguments {
    /// Architecture and data, seen to fit together before anything is trained.
    fn check(&self, quiet: bool) -> Result<Source, UsageError> {
        let model = self.architecture.model()?;
        let source = load_source_of(&self.data, Some(model.input_count())).with_flag("--data")?;
        tell_notes(quiet, &source);
        Ok(source)
    }

    fn settings(&self, attack: usize) -> Result<Settings, UsageError> {
        let mut settings = Settings::new(self.architecture.read()?, self.seed);
        let loss = Loss::from(self.loss);
        settings.data.source = self.data.clone();
        settings.data.labels = match &self.classes {
            Some(words) => LabelRule::Classes(two_numbers("--classes", words)?),
            // Cross-entropy over all classes takes the classes as they are.
            None if loss == Loss::Ce => LabelRule::AsGiven,
            None => LabelRule::Source,
        };
        (settings.data.train, settings.data.test, settings.data.attack) = (self.train, self.test, attack);
        settings.data.corruption = self.corrupt;
        settings.trainer = Trainer {
            optimizer: OptimizerSettings { preset: self.preset.clone(), ..OptimizerSettings::named(&self.optimizer) },
            learning_rate: self.lr,
            batch_size: self.batch,
            loss,
            max_epochs: self.max_epochs,
            extra_epochs: self.extra_epochs,
            ..settings.trainer
        };
        Ok(settings)
    }
}

pub(super) fn run(arguments: Arguments, quiet: bool) -> Result<Outcome, UsageError> {
    let attacks = attack_sizes(&arguments.attack)?;
    let ranks = processes::join();
    let root = ranks.rank() == 0;
    if attacks.len() == 1 && arguments.seeds.is_none() {
        // One network is one process's work.
        return if root { run_one(&arguments, attacks[0], quiet) } else { Ok(Outcome::Done) };
    }
    let seeds: Vec<u64> = seeds(arguments.seed, arguments.seeds.unwrap_or(1), attacks.len())?.collect();
    arguments.check(quiet && root)?;
    let jobs = grid(&arguments.settings(0)?, &attacks, &seeds);
    let bar = bar(quiet || !root);
    bar.set_length(jobs.len() as u64);
    let outcomes = sweep(&jobs, &arguments.out, &*ranks, &|event| match event {
        Event::Epoch { job, epoch } => {
            bar.set_message(format!("{}: epoch {}, loss {:.4}", jobs[job].name, epoch.epoch, epoch.loss));
        }
        Event::Finished { .. } => bar.inc(1),
    })?;
    bar.finish_and_clear();
    if !root {
        return Ok(Outcome::Done);
    }
    let mut summaries: Vec<Summary> = Vec::new();
    for (job, outcome) in jobs.iter().zip(outcomes) {
        match outcome {
            Ok(summary) => {
                if arguments.format == Format::Text {
                    emit(&format!("{summary}\n"));
                }
                summaries.push(summary);
            }
            Err(error) => return Err(UsageError(format!("network {}: {error}; the others are done", job.name))),
        }
    }
    if arguments.format == Format::Json {
        emit_json(&summaries);
    }
    Ok(Outcome::Done)
}

fn run_one(arguments: &Arguments, attack: usize, quiet: bool) -> Result<Outcome, UsageError> {
    let settings = arguments.settings(attack)?;
    let files: Vec<_> = [("--data", Path::new(&arguments.data))]
        .into_iter()
        .chain(arguments.architecture.file().map(|file| ("--arch", file)))
        .collect();
    match arguments.out.is_file() {
        // A network that is there is read.
        true => check_name(&arguments.out, &files)?,
        false => check_out(&arguments.out, &files)?,
    }
    let source = arguments.check(quiet)?;
    let bar = bar(quiet);
    bar.set_length(arguments.max_epochs as u64);
    let summary = settings.run_to_file(&source, &arguments.out, CHECKPOINT_EVERY, &mut |epoch| {
        bar.set_position(epoch.epoch as u64);
        bar.set_message(format!("loss {:.4}, accuracy {:.4}", epoch.loss, epoch.accuracy));
    })?;
    bar.finish_and_clear();
    match arguments.format {
        Format::Json => emit_json(&summary),
        Format::Text => emit(&format!("{summary}\nwrote {}\n", shown(&arguments.out))),
    }
    Ok(Outcome::Done)
}
