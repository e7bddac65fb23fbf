//! `flatgauge list`: what the registries hold.

use super::{Outcome, UsageError, emit, emit_json};
use crate::report::reference;
use crate::{data, flatness, gate, kernel, prior, report, rescale, study, train};
use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What to list
    what: What,
    /// Everything that is said of one measure, method or law: formula, options with defaults, cost, refusals, sources
    #[arg(long, value_name = "ID")]
    describe: Option<String>,
    /// How to print the list; markdown is what docs/ holds of measures, priors and laws
    #[arg(long, default_value = "text")]
    format: ListFormat,
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    /// For people.
    Text,
    /// One JSON document.
    Json,
    /// A page of docs/.
    Markdown,
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
    if let Some(id) = &arguments.describe {
        return describe(arguments.what, id, arguments.format);
    }
    if arguments.format == ListFormat::Markdown {
        emit(&match arguments.what {
            What::Measures => reference::measures_page(),
            What::Priors => reference::methods_page(),
            What::Laws => reference::laws_page(),
            _ => return Err(UsageError("--format markdown is for measures, priors and laws only".to_owned())),
        });
        return Ok(Outcome::Done);
    }
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
        ListFormat::Json => emit_json(&entries),
        ListFormat::Text | ListFormat::Markdown => emit(&report::text::list(&entries)),
    }
    Ok(Outcome::Done)
}

/// Prints everything that is said of one entry.
fn describe(what: What, id: &str, format: ListFormat) -> Result<Outcome, UsageError> {
    let unknown = |kind: &str, list: &str| {
        UsageError(format!("--describe: there is no {kind} '{id}' (see `flatgauge list {list}`)"))
    };
    let described = match what {
        What::Measures => {
            flatness::find(id).and_then(reference::measure).ok_or_else(|| unknown("measure", "measures"))?
        }
        What::Priors => prior::find(id).and_then(reference::method).ok_or_else(|| unknown("method", "priors"))?,
        What::Laws => {
            let law = reference::laws().into_iter().find(|law| law.id == id).ok_or_else(|| unknown("law", "laws"))?;
            match format {
                ListFormat::Json => emit_json(&law),
                ListFormat::Text => emit(&law.text()),
                ListFormat::Markdown => emit(&law.markdown()),
            }
            return Ok(Outcome::Done);
        }
        _ => return Err(UsageError("--describe is for measures, priors and laws only".to_owned())),
    };
    match format {
        ListFormat::Json => emit_json(&described),
        ListFormat::Text => emit(&described.text()),
        ListFormat::Markdown => emit(&described.markdown()),
    }
    Ok(Outcome::Done)
}

/// A preset of an optimiser: its learning rate and hyper-parameters.
fn preset(preset: &train::Preset) -> report::EntryPreset {
    let rate = serde_json::Map::from_iter([("lr".to_owned(), preset.learning_rate.into())]);
    let settings = rate.into_iter().chain(preset.optimizer.hyperparameters()).collect();
    report::EntryPreset { name: preset.name.to_owned(), settings }
}
