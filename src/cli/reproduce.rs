//! `flatgauge reproduce`: the experiments of the paper.

use super::arguments::{ActivationName, attack_sizes, seeds};
use super::progress::timed_bar;
use super::{Format, Outcome, UsageError, WithFlag, emit, emit_json};
use crate::model::{Activation, Architecture};
use crate::report;
use crate::study::{
    self, Cache, Findings, KernelChoice, PerOptimizer, Progress, Request, Study, StudyError, WordError, Workspace,
};
use clap::{Args, ValueEnum};
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
    /// Readings of log P(f): log_prob_ep_step, log_prob_ep_probit, log_prob_smc [default: all]
    #[arg(long, value_delimiter = ',')]
    readings: Option<Vec<String>>,
    /// Network with one output: shorthand as fcn:784-40-40-1 or resnet8:1x8x8-1, or a TOML file [default: two hidden layers
    /// of 40 ReLU units]
    #[arg(long)]
    arch: Option<String>,
    /// Nonlinearity of the fcn: shorthand [default: relu]
    #[arg(long, requires = "arch")]
    activation: Option<ActivationName>,
    /// Standard deviation of weights times the root of the fan-in, for a shorthand [default: sqrt 2]
    #[arg(long, allow_negative_numbers = true, requires = "arch")]
    weight_std: Option<f64>,
    /// Standard deviation of biases, for a shorthand [default: 1]
    #[arg(long, allow_negative_numbers = true, requires = "arch")]
    bias_std: Option<f64>,
    /// How the prior's Gram matrix is found: in closed form, or averaged over sampled networks of any architecture
    #[arg(long, default_value = "analytic")]
    kernel: KernelName,
    /// Networks behind an empirical kernel [default: 1000, quick 100]
    #[arg(long)]
    kernel_samples: Option<usize>,
    /// Presets of the optimisers: NAME for all, or OPTIMIZER=NAME,... [default: each one's first]
    #[arg(long, value_delimiter = ',')]
    preset: Vec<String>,
    /// Learning rates: RATE for all, or OPTIMIZER=RATE,... [default: the presets']
    #[arg(long, value_delimiter = ',', allow_negative_numbers = true)]
    lr: Vec<String>,
    /// Rows of a mini-batch [default: 32]
    #[arg(long)]
    batch: Option<usize>,
    /// Epochs to go on for past zero error
    #[arg(long)]
    extra_epochs: Option<usize>,
    /// How to print what was found
    #[arg(long, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KernelName {
    Analytic,
    Empirical,
}

impl Arguments {
    fn studies(&self) -> Result<Vec<&'static dyn Study>, UsageError> {
        if self.study == ALL {
            return Ok(study::registry().to_vec());
        }
        let found = study::find(&self.study).ok_or_else(|| {
            let known: Vec<&str> = study::registry().iter().map(|study| study.id()).collect();
            UsageError(format!("'{}' is no study, expected one of {}, or {ALL}", self.study, known.join(", ")))
        })?;
        Ok(vec![found])
    }

    fn architecture(&self) -> Result<Option<Architecture>, UsageError> {
        let Some(text) = &self.arch else { return Ok(None) };
        if self.study == ALL {
            let studies = "expected one study: not all of them have networks of another architecture";
            return Err(UsageError(format!("--arch: found '{text}' for {ALL}, {studies}")));
        }
        let activation = self.activation.map(Activation::from);
        Architecture::read(text, activation, self.weight_std, self.bias_std).with_flag("--arch").map(Some)
    }

    fn kernel(&self) -> Result<KernelChoice, UsageError> {
        match (self.kernel, self.kernel_samples) {
            (KernelName::Empirical, samples) => Ok(KernelChoice::Empirical(samples)),
            (KernelName::Analytic, None) => Ok(KernelChoice::Analytic),
            (KernelName::Analytic, Some(samples)) => {
                Err(UsageError(format!("--kernel-samples: found {samples}, expected it beside --kernel empirical")))
            }
        }
    }

    fn request(&self) -> Result<Request, UsageError> {
        let attacks = self.attack.as_deref().map(attack_sizes).transpose()?;
        if let Some(count) = self.seeds {
            seeds(self.seed, count, attacks.as_ref().map_or(1, Vec::len))?;
        }
        let fault = |flag: &str, expected: &str| {
            let (flag, expected) = (flag.to_owned(), expected.to_owned());
            move |error: WordError| UsageError(format!("{flag}: found {error}, expected {expected}"))
        };
        let name = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let presets = PerOptimizer::parse(&self.preset, name)
            .map_err(fault("--preset", "NAME, or OPTIMIZER=NAME for each once"))?;
        let rates = PerOptimizer::parse(&self.lr, |text| text.parse().ok())
            .map_err(fault("--lr", "a number, or OPTIMIZER=NUMBER for each once"))?;
        if let Some(batch) = self.batch.filter(|_| self.study == ALL) {
            return Err(UsageError(format!("--batch: found {batch} for {ALL}, expected one study")));
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
            readings: self.readings.clone(),
            architecture: self.architecture()?,
            kernel: self.kernel()?,
            presets,
            rates,
            batch: self.batch,
            extra_epochs: self.extra_epochs,
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
        given(&mut line, "readings", self.readings.as_ref().map(|ids| ids.join(",")));
        given(&mut line, "arch", self.arch.clone());
        given(&mut line, "activation", self.activation.map(|name| format!("{name:?}").to_lowercase()));
        given(&mut line, "weight-std", self.weight_std.map(|std| std.to_string()));
        given(&mut line, "bias-std", self.bias_std.map(|std| std.to_string()));
        given(&mut line, "kernel", (self.kernel == KernelName::Empirical).then(|| "empirical".to_owned()));
        given(&mut line, "kernel-samples", self.kernel_samples.map(|count| count.to_string()));
        given(&mut line, "preset", (!self.preset.is_empty()).then(|| self.preset.join(",")));
        given(&mut line, "lr", (!self.lr.is_empty()).then(|| self.lr.join(",")));
        given(&mut line, "batch", self.batch.map(|rows| rows.to_string()));
        given(&mut line, "extra-epochs", self.extra_epochs.map(|count| count.to_string()));
        line + &format!(" --seed {}", self.seed)
    }
}

pub(super) fn run(arguments: Arguments, quiet: bool) -> Result<Outcome, UsageError> {
    let studies = arguments.studies()?;
    let request = arguments.request()?;
    let together = arguments.study == ALL;
    let base = arguments.out.clone().unwrap_or_else(|| {
        let folder = PathBuf::from("reproduced");
        if together { folder } else { folder.join(&arguments.study) }
    });
    crate::data::load_source(&arguments.data).with_flag("--data")?;
    report::folder::prepare(&base).with_flag("--out")?;
    let networks = arguments.networks.clone().unwrap_or_else(|| base.join("networks"));
    let mut documents = Vec::new();
    for study in studies {
        let folder = if together { base.join(study.id()) } else { base.clone() };
        let findings = reproduce(study, &request, &folder, &networks, arguments.resume, quiet)
            .with_flag(&format!("study {}", study.id()))?;
        let line = arguments.line(study.id());
        report::study::write(&folder, &findings, study.summary(), study.source(), &line)?;
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
) -> Result<Findings, UsageError> {
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
    let found = study.run(request, &Workspace { networks: networks.to_owned(), cache, progress: &progress });
    bar.finish_and_clear();
    found.map_err(flagged)
}

/// What of a request has another name on the command line.
const FLAGS: [(&str, &str); 6] = [
    ("architecture", "--arch"),
    ("attacks", "--attack"),
    ("extra_epochs", "--extra-epochs"),
    ("presets", "--preset"),
    ("rates", "--lr"),
    ("train, test and attacks", "--train, --test and --attack"),
];

/// An error with the flag that it concerns.
fn flagged(error: StudyError) -> UsageError {
    match error {
        StudyError::Request { name, found, expected } => {
            let flag = FLAGS.iter().find(|(known, _)| *known == name);
            let flag = flag.map_or_else(|| format!("--{name}"), |(_, flag)| (*flag).to_owned());
            UsageError(format!("{flag}: found {found}, expected {expected}"))
        }
        other => other.into(),
    }
}
