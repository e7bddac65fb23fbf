//! `flatgauge list`: what the registries hold.

use super::{Format, Outcome, UsageError, emit, emit_json};
use crate::{data, flatness, gate, kernel, prior, report, rescale, study, train};
use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What to list
    what: What,
    /// How to print the list
    #[arg(long, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    Measures,
    Priors,
    Rescalings,
    Optimizers,
    Kernels,
    Laws,
    Data,
    Studies,
}

pub(super) fn run(arguments: Arguments) -> Result<Outcome, UsageError> {
    let entries: Vec<report::Entry> = match arguments.what {
        What::Measures => {
            let entry = |m: &&dyn flatness::Measure| report::Entry::new(m.id(), m.summary()).from(m.source());
            flatness::registry().iter().map(entry).collect()
        }
        What::Priors => {
            let entry = |p: &&dyn prior::LogProbMethod| report::Entry::new(p.id(), p.summary()).from(p.source());
            prior::registry().iter().map(entry).collect()
        }
        What::Rescalings => rescale::registry().iter().map(|r| report::Entry::new(r.id(), r.summary())).collect(),
        What::Optimizers => {
            let entry = |o: &&dyn train::Optimizer| report::Entry {
                presets: o.presets().iter().map(preset).collect(),
                ..report::Entry::new(o.id(), o.summary()).from(o.source())
            };
            train::registry().iter().map(entry).collect()
        }
        What::Kernels => {
            let entry = |k: &&dyn kernel::KernelMethod| report::Entry::new(k.id(), k.summary()).from(k.source());
            kernel::registry().iter().map(entry).collect()
        }
        What::Laws => gate::registry().iter().map(|l| report::Entry::new(l.id(), l.statement())).collect(),
        What::Studies => {
            let entry = |s: &&dyn study::Study| report::Entry::new(s.id(), s.summary()).from(s.source());
            study::registry().iter().map(entry).collect()
        }
        What::Data => data::registry().iter().map(|l| report::Entry::new(l.id(), l.summary())).collect(),
    };
    match arguments.format {
        Format::Json => emit_json(&entries),
        Format::Text => emit(&report::text::list(&entries)),
    }
    Ok(Outcome::Done)
}

/// A preset of an optimiser: its learning rate and hyper-parameters.
fn preset(preset: &train::Preset) -> report::EntryPreset {
    let rate = serde_json::Map::from_iter([("lr".to_owned(), preset.learning_rate.into())]);
    let settings = rate.into_iter().chain(preset.optimizer.hyperparameters()).collect();
    report::EntryPreset { name: preset.name.to_owned(), settings }
}
