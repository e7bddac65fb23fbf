//! `flatgauge reproduce`: the experiments of the paper.

use super::arguments::{attack_sizes, seeds};
use super::progress::timed_bar;
use super::{Format, Naming, Outcome, Unusable, emit, emit_json};
use crate::report;
use crate::study::{self, Cache, Desk, Findings, Progress, Request, Study};
use clap::Args;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Name that stands for all studies.
const ALL: &str = "all";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Study (see `flatgauge list studies`), or all
    study: String,
    /// Data source (see `flatgauge list data`)
    #[arg(long, default_value = "digits")]
    data: String,
    /// Small enough for a minute
    #[arg(long)]
    quick: bool,
    /// Folder for results, figures and networks [default: reproduced/STUDY]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Folder of trained networks, which studies share [default: OUT/networks]
    #[arg(long)]
    networks: Option<PathBuf>,
    /// Go on from the measurements of an earlier run in the same folder; networks are never trained twice
    #[arg(long)]
    resume: bool,
    /// Seed of S, E and the attack set, and the first seed of initial parameters and row orders
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Number of seeds
    #[arg(long)]
    seeds: Option<u64>,
    /// Rows of the training set S
    #[arg(long)]
    train: Option<usize>,
    /// Rows of the test set E
    #[arg(long)]
    test: Option<usize>,
    /// Sizes of the attack set: one number, or FIRST..LAST:STEP with both ends
    #[arg(long)]
    attack: Option<String>,
    /// Optimisers (see `flatgauge list optimizers`)
    #[arg(long, value_delimiter = ',')]
    optimizers: Option<Vec<String>>,
    /// Flatness measures (see `flatgauge list measures`), or all
    #[arg(long, value_delimiter = ',')]
    measures: Option<Vec<String>>,
    /// How to print what was found
    #[arg(long, default_value = "text")]
    format: Format,
}

impl Arguments {
    fn studies(&self) -> Result<Vec<&'static dyn Study>, Unusable> {
        if self.study == ALL {
            return Ok(study::registry().to_vec());
        }
        let found = study::find(&self.study).ok_or_else(|| {
            let known: Vec<&str> = study::registry().iter().map(|study| study.id()).collect();
            Unusable(format!("'{}' is no study, expected one of {}, or {ALL}", self.study, known.join(", ")))
        })?;
        Ok(vec![found])
    }

    fn request(&self) -> Result<Request, Unusable> {
        let attacks = self.attack.as_deref().map(attack_sizes).transpose()?;
        if let Some(count) = self.seeds {
            seeds(self.seed, count, attacks.as_ref().map_or(1, Vec::len))?;
        }
        Ok(Request {
            data: self.data.clone(),
            quick: self.quick,
            seed: self.seed,
            seeds: self.seeds,
            train: self.train,
            test: self.test,
            attacks,
            optimizers: self.optimizers.clone(),
            measures: self.measures.clone(),
        })
    }

    /// The line that runs `id` again; where it writes is left to the reader.
    fn line(&self, id: &str) -> String {
        let mut line = format!("flatgauge reproduce {id} --data {}", self.data);
        if self.quick {
            line += " --quick";
        }
        let given = |line: &mut String, flag: &str, value: Option<String>| {
            if let Some(value) = value {
                *line += &format!(" --{flag} {value}");
            }
        };
        given(&mut line, "train", self.train.map(|count| count.to_string()));
        given(&mut line, "test", self.test.map(|count| count.to_string()));
        given(&mut line, "attack", self.attack.clone());
        given(&mut line, "seeds", self.seeds.map(|count| count.to_string()));
        given(&mut line, "optimizers", self.optimizers.as_ref().map(|ids| ids.join(",")));
        given(&mut line, "measures", self.measures.as_ref().map(|ids| ids.join(",")));
        line + &format!(" --seed {}", self.seed)
    }
}

pub(super) fn run(arguments: Arguments, quiet: bool) -> Result<Outcome, Unusable> {
    let studies = arguments.studies()?;
    let request = arguments.request()?;
    let together = arguments.study == ALL;
    let base = arguments.out.clone().unwrap_or_else(|| {
        let folder = PathBuf::from("reproduced");
        if together { folder } else { folder.join(&arguments.study) }
    });
    crate::data::load_source(&arguments.data).naming("--data")?;
    report::folder::prepare(&base).naming("--out")?;
    let networks = arguments.networks.clone().unwrap_or_else(|| base.join("networks"));
    let mut documents = Vec::new();
    for study in studies {
        let folder = if together { base.join(study.id()) } else { base.clone() };
        let findings = reproduce(study, &request, &folder, &networks, arguments.resume, quiet)
            .naming(&format!("study {}", study.id()))?;
        let line = arguments.line(study.id());
        report::study::write(&folder, &findings, study.summary(), study.source(), &line).map_err(Unusable)?;
        match arguments.format {
            Format::Text => emit(&format!("{}\nwrote {}\n", report::study::text(&findings), folder.display())),
            Format::Json => documents.push(report::study::document(&findings, &line)),
        }
    }
    if arguments.format == Format::Json {
        match documents.as_slice() {
            [one] if !together => emit_json(one),
            all => emit_json(&all),
        }
    }
    Ok(Outcome::Done)
}

fn reproduce(
    study: &dyn Study,
    request: &Request,
    folder: &Path,
    networks: &Path,
    resume: bool,
    quiet: bool,
) -> Result<Findings, study::StudyError> {
    let bar = timed_bar(quiet);
    let phase = Mutex::new(String::new());
    let progress = |now: Progress| {
        let mut phase = phase.lock().expect("no thread panics with the lock");
        if *phase != now.phase {
            now.phase.clone_into(&mut phase);
            bar.reset();
        }
        bar.set_length(now.total as u64);
        bar.set_position(now.done as u64);
        bar.set_message(format!("{}: {}", study.id(), now.phase));
    };
    let cache = Cache::new(folder.join("measured"), resume);
    let found = study.run(request, &Desk { networks: networks.to_owned(), cache, progress: &progress });
    bar.finish_and_clear();
    found
}
