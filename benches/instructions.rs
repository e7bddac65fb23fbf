//! Instructions of the hot paths, counted by callgrind against committed counts: a gate on cost that no other work on the
//! machine disturbs.
//!
//! ```text
//! cargo bench --bench instructions                  fails where a path takes 3% more than benches/instructions.json says
//! cargo bench --bench instructions -- --accept      writes what was counted there
//! ```
//!
//! Every path runs in a process of its own under `valgrind --tool=callgrind`, on one thread, once with one repetition and once
//! with two; the difference is what one takes, whatever setting up takes. Each is counted with the widest instruction set that
//! callgrind presents (AVX2 at best: there are no counts of AVX-512) and with the baseline, which leaves matrix products as they
//! are (`FLATGAUGE_INSTRUCTIONS`). Products choose their blocks by the sizes of the caches: between two generations of processors
//! the counts were within 0.4% of each other. Counts hold for one compiler, which the file names; with another, or without
//! valgrind, nothing is compared and the reason is printed. Needs Debian's package valgrind.

use flatgauge::data::load;
use flatgauge::flatness::{self, Options, Point};
use flatgauge::function::Sampler;
use flatgauge::kernel::{self, KernelOptions, Kind};
use flatgauge::model::{Activation, Architecture, Loss, Model, Network, Objective};
use flatgauge::numeric::Streams;
use flatgauge::prior::{self, Gram, Labels, Link, PriorOptions};
use flatgauge::train::{Run, Trainer};
use ndarray::{Array2, s};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use serde_json::{Value, json};
use std::hint::black_box;
use std::process::{Command, ExitCode};
use std::sync::Arc;

/// Growth of a count that is a regression.
const ALLOWED: f64 = 1.03;

/// A path: its name, and the work that its inputs, set up once, are good for.
type Path = (&'static str, fn() -> Box<dyn FnMut()>);

const PATHS: [Path; 10] = [
    ("gradient, 784-40-40-1, n=50", || on_images(|objective, theta| drop(black_box(objective.gradient(theta))))),
    ("Hessian product, 784-40-40-1, n=50", || {
        let direction = normals(1);
        on_images(move |objective, theta| {
            drop(black_box(objective.linearise(theta).hessian_products(direction.view())));
        })
    }),
    ("16 Hessian products, 784-40-40-1, n=50", || {
        let directions = normals(16);
        on_images(move |objective, theta| {
            drop(black_box(objective.linearise(theta).hessian_products(directions.view())));
        })
    }),
    ("largest eigenvalue, 784-40-40-1, n=50", || {
        on_images(|objective, theta| {
            let measure = flatness::find("hessian_max_eigenvalue").unwrap();
            black_box(measure.evaluate(&Point::new(*objective, theta), &Options::default()).unwrap());
        })
    }),
    ("NNGP, 784-40-40-1, n=64", || {
        let (architecture, x) = (images_architecture(), images(64));
        Box::new(move || drop(black_box(kernel::nngp(&architecture, x.view()).unwrap())))
    }),
    ("NTK, 784-40-40-1, n=64", || {
        let (architecture, x) = (images_architecture(), images(64));
        let options = KernelOptions { kind: Kind::Ntk, ..KernelOptions::default() };
        let analytic = kernel::find("analytic").unwrap();
        Box::new(move || drop(black_box(analytic.gram(&architecture, x.view(), &options).unwrap())))
    }),
    ("expectation propagation, probit, n=100", || log_prob("ep", Link::Probit, 100)),
    ("smc, step, n=20", || log_prob("smc", Link::Step, 20)),
    ("256 functions of 7-40-40-1 on 128 inputs", || {
        let architecture = Architecture::fully_connected(&[7, 40, 40, 1], Activation::Relu, 1.0, 0.0);
        let sampler = Sampler::new(architecture, load("boolean:7").unwrap().inputs().clone(), 1).unwrap();
        Box::new(move || drop(black_box(sampler.functions(0, 256).unwrap())))
    }),
    ("epoch of SGD, 64-40-40-1, 500 digits", || {
        let digits = load("digits").unwrap();
        let architecture = Architecture::fully_connected(&[64, 40, 40, 1], Activation::Relu, 2.0_f64.sqrt(), 1.0);
        let network = Network::sample(Arc::new(Model::new(architecture).unwrap()), Streams::new(1));
        let rows = digits.rows(&(0..500).collect::<Vec<usize>>());
        let mut run = Run::new(&Trainer::default(), network, &rows, 500).unwrap();
        Box::new(move || {
            black_box(run.advance().unwrap());
        })
    }),
];

fn images(count: usize) -> Array2<f64> {
    let mut generator = Streams::new(1).stream("bench inputs", 0);
    Array2::from_shape_simple_fn((count, 784), || generator.random::<f64>())
}

fn images_architecture() -> Architecture {
    Architecture::fully_connected(&[784, 40, 40, 1], Activation::Relu, 2.0_f64.sqrt(), 1.0)
}

/// Directions in the space of parameters of [`images_architecture`].
fn normals(count: usize) -> Array2<f64> {
    let parameters = Model::new(images_architecture()).unwrap().parameter_count();
    let mut generator = Streams::new(1).stream("directions", 0);
    Array2::from_shape_simple_fn((count, parameters), || StandardNormal.sample(&mut generator))
}

fn on_images(mut work: impl for<'a> FnMut(&Objective<'a>, &'a [f64]) + 'static) -> Box<dyn FnMut()> {
    let network = Network::sample(Arc::new(Model::new(images_architecture()).unwrap()), Streams::new(1));
    let (x, y) = (images(50), Array2::from_shape_fn((50, 1), |(row, _)| f64::from(row as u32 % 2)));
    Box::new(move || {
        let objective = Objective::new(&network, Loss::Bce, x.view(), y.view()).unwrap();
        work(&objective, network.theta());
    })
}

fn log_prob(id: &str, link: Link, points: usize) -> Box<dyn FnMut()> {
    let digits = load("digits").unwrap();
    let architecture = Architecture::fully_connected(&[64, 40, 40, 1], Activation::Relu, 2.0_f64.sqrt(), 1.0);
    let inputs = digits.inputs().slice(s![..points, ..]).to_owned();
    let gram = Gram::new(kernel::nngp(&architecture, inputs.view()).unwrap()).unwrap();
    let labels = Labels::from_signs(digits.targets().iter().take(points).map(|&digit| digit >= 5.0));
    let method = prior::find(id).unwrap();
    let options = PriorOptions { link, ..PriorOptions::default() };
    Box::new(move || drop(black_box(method.log_prob(&gram, &labels, &options).unwrap())))
}

/// Instructions of a path at a number of repetitions.
fn count(name: &str, repetitions: u64, set: &str) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["--path", name, "--repetitions", &repetitions.to_string()])
        .env("RAYON_NUM_THREADS", "1")
        .env("FLATGAUGE_INSTRUCTIONS", set)
        .output()
        .map_err(|error| format!("valgrind does not start: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split("Collected :").nth(1)?.trim().parse().ok());
    match collected {
        Some(collected) if output.status.success() => Ok(collected),
        _ => Err(format!("{name} under callgrind, {set}: {text}")),
    }
}

/// What a machine can be made to run under callgrind, the widest first.
fn instruction_sets() -> &'static [&'static str] {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        return &["avx2", "baseline"];
    }
    &["baseline"]
}

fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output();
    output.map_or_else(|_| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn gate(accept: bool) -> Result<bool, String> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.json");
    let text = std::fs::read_to_string(file).unwrap_or_else(|_| "{}".to_owned());
    let mut record: Value = serde_json::from_str(&text).map_err(|error| format!("{file}: {error}"))?;
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("skipped: there is no valgrind");
        return Ok(true);
    }
    let compiler = compiler();
    if !accept && record["compiler"] != compiler.as_str() {
        println!("skipped: the counts are those of {}, and this is {compiler}", record["compiler"]);
        return Ok(true);
    }
    let mut holds = true;
    for (set, (name, _)) in instruction_sets().iter().flat_map(|set| PATHS.iter().map(move |path| (*set, path))) {
        let counted = count(name, 2, set)?.saturating_sub(count(name, 1, set)?);
        let known = record[set][name].as_f64();
        let ratio = known.map(|known| counted as f64 / known);
        let verdict = match ratio {
            Some(ratio) if ratio > ALLOWED => "REGRESSION",
            Some(ratio) if ratio < 1.0 / ALLOWED => "better: accept it, so that it stays",
            Some(_) => "",
            None => "no count yet",
        };
        let ratio_text = ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}"));
        println!("{counted:>13}  {ratio_text:>6}  {set:<8}  {name}  {verdict}");
        holds &= ratio.is_none_or(|ratio| ratio <= ALLOWED);
        record[set][*name] = json!(counted);
    }
    if accept {
        record["compiler"] = json!(compiler);
        let text = serde_json::to_string_pretty(&record).map_err(|error| error.to_string())?;
        std::fs::write(file, text + "\n").map_err(|error| format!("{file}: {error}"))?;
        return Ok(true);
    }
    Ok(holds)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |flag: &str| arguments.iter().position(|argument| argument == flag).map(|place| &arguments[place + 1]);
    if let Some(wanted) = after("--path") {
        let repetitions: usize = after("--repetitions").and_then(|text| text.parse().ok()).unwrap_or(1);
        let (_, set_up) = PATHS.iter().find(|(name, _)| name == wanted).expect("one of the paths");
        let mut work = set_up();
        (0..repetitions).for_each(|_| work());
        return ExitCode::SUCCESS;
    }
    if arguments.iter().any(|argument| argument == "--test") {
        // Every path once, uncounted.
        PATHS.iter().for_each(|(_, set_up)| set_up()());
        return ExitCode::SUCCESS;
    }
    match gate(arguments.iter().any(|argument| argument == "--accept")) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
