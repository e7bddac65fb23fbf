//! Our side of `benches/peers/run.py`, which times this crate and other programs in turn on the same inputs.
//!
//! `peers --serve ROW DIR [--size N]` reads the inputs of a row from the `.npy` files in DIR, says on one line that it is ready,
//! and then, for each line on stdin, does the work as often as the line says, answering with one line of JSON: the seconds of each
//! time, the last answer to compare, and diagnostics. The clock is read here and not by the caller, so that neither pipes nor JSON
//! are timed, and short work is done in a row, as its users do it: threads do not fall asleep in between.
//!
//! `peers --test` does the work of every row at a tiny size, and checks what it can: the same work twice gives the same bits, and
//! probabilities that are known come out. Inputs are never drawn here, except for that.

use flatgauge::data::{Dataset, load, read_npy, write_npy, write_npy_vector};
use flatgauge::flatness::{self, Options, Point};
use flatgauge::function::{CountOptions, Function, Sampler, count};
use flatgauge::kernel;
use flatgauge::model::{Activation, Architecture, Loss, Model, Network, Objective};
use flatgauge::numeric::Streams;
use flatgauge::prior::{self, Gram, Labels, Link, PriorOptions};
use flatgauge::train::{Run, Trainer};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use std::collections::BTreeMap;
use std::error::Error;
use std::hint::black_box;
use std::io::{BufRead, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// Entries of a long vector that an answer holds, beside its length. `benches/peers/protocol.py` takes the same ones.
const SAMPLED: usize = 64;

/// Networks counted where `--size` does not say.
const NETWORKS: usize = 1 << 18;

/// Combined standard errors allowed in `--test`: a Gaussian leaves 6.5 with probability `8e-11`.
const SIGMAS: f64 = 6.5;

type Failure = Box<dyn Error>;

/// What one request is answered with.
#[derive(Debug, Clone)]
struct Answer {
    /// Time of the work alone, by the monotonic clock.
    seconds: f64,
    /// Numbers that a peer's are compared with.
    answer: Vec<f64>,
    /// Diagnostics: a standard error, how many products or networks.
    info: BTreeMap<String, f64>,
}

impl Answer {
    fn with(mut self, name: &str, value: Option<f64>) -> Self {
        if let Some(value) = value {
            self.info.insert(name.to_owned(), value);
        }
        self
    }
}

/// Does the work of a request.
type Work<'a> = dyn FnMut() -> Result<Answer, Failure> + 'a;

/// Is given the work once all is prepared, and asks for it as often as it likes.
type Turns<'a> = dyn FnMut(&mut Work) -> Result<(), Failure> + 'a;

/// One kind of work.
struct Row {
    name: &'static str,
    what: &'static str,
    serve: fn(&Inputs, &mut Turns) -> Result<(), Failure>,
    /// Writes inputs of a tiny size.
    tiny: fn(&Path) -> Result<(), Failure>,
}

const ROWS: [Row; 16] = [
    Row {
        name: "hessian_product",
        what: "H v, the network linearised before the clock starts",
        serve: hessian_products,
        tiny: tiny_network,
    },
    Row {
        name: "hessian_products_16",
        what: "H V for a block of 16 directions, linearised before",
        serve: hessian_products,
        tiny: tiny_network,
    },
    Row {
        name: "eigenvalue",
        what: "largest eigenvalue of the Hessian, to a relative residual of 3e-2",
        serve: |inputs, turns| max_eigenvalue(3e-2, inputs, turns),
        tiny: tiny_network,
    },
    Row {
        name: "eigenvalue_1e-3",
        what: "the same to 1e-3",
        serve: |inputs, turns| max_eigenvalue(1e-3, inputs, turns),
        tiny: tiny_network,
    },
    Row {
        name: "eigenvalue_precise",
        what: "the same to the default tolerance",
        serve: |inputs, turns| max_eigenvalue(Options::default().tolerance, inputs, turns),
        tiny: tiny_network,
    },
    Row {
        name: "trace",
        what: "exact trace of the Hessian",
        serve: |inputs, turns| measure("hessian_trace", &Options::default(), inputs, turns),
        tiny: tiny_network,
    },
    Row {
        name: "nngp_dense",
        what: "NNGP matrix, fully connected, two hidden layers",
        serve: |inputs, turns| nngp(inputs, turns, None),
        tiny: |folder| tiny_inputs(folder, 6),
    },
    Row {
        name: "nngp_flatten",
        what: "NNGP matrix, two convolutions, flattened",
        serve: |inputs, turns| nngp(inputs, turns, Some("flatten")),
        tiny: |folder| tiny_inputs(folder, 16),
    },
    Row {
        name: "nngp_average",
        what: "NNGP matrix, two convolutions, global average pooling",
        serve: |inputs, turns| nngp(inputs, turns, Some("global_avg_pool")),
        tiny: |folder| tiny_inputs(folder, 16),
    },
    Row {
        name: "ep_probit",
        what: "log P(f) by expectation propagation, probit link",
        serve: |inputs, turns| log_prob("ep", Link::Probit, None, inputs, turns),
        tiny: tiny_gram,
    },
    Row {
        name: "ep_step",
        what: "log P(f) by expectation propagation, step link",
        serve: |inputs, turns| log_prob("ep", Link::Step, None, inputs, turns),
        tiny: tiny_gram,
    },
    Row {
        name: "smc",
        what: "log P(f) by sequential Monte Carlo at its default effort",
        serve: |inputs, turns| log_prob("smc", Link::Step, None, inputs, turns),
        tiny: tiny_gram,
    },
    Row {
        name: "genz",
        what: "log P(f) by the Genz transform, to the standard error in target_std_error.npy if that is there",
        serve: |inputs, turns| {
            let target = inputs.optional("target_std_error")?.map(|target| target[0]);
            log_prob("genz", Link::Step, target, inputs, turns)
        },
        tiny: tiny_gram,
    },
    Row {
        name: "splitting",
        what: "log P(f) by multilevel splitting to a standard error of 0.05",
        serve: |inputs, turns| log_prob("splitting", Link::Step, Some(0.05), inputs, turns),
        tiny: tiny_gram,
    },
    Row {
        name: "sampling",
        what: "draw --size networks 7-40-40-1, evaluate on all 128 inputs, count their functions",
        serve: sampling,
        tiny: |_| Ok(()),
    },
    Row {
        name: "epoch",
        what: "an epoch of plain SGD in mini-batches of 32, and the loss and accuracy after it",
        serve: epoch,
        tiny: tiny_network,
    },
];

/// The files of a folder, and the size asked for.
struct Inputs<'a> {
    folder: &'a Path,
    size: Option<usize>,
}

impl Inputs<'_> {
    fn matrix(&self, name: &str) -> Result<Array2<f64>, Failure> {
        let array = read_npy(&self.folder.join(format!("{name}.npy")))?;
        Ok(array.into_dimensionality()?)
    }

    fn vector(&self, name: &str) -> Result<Array1<f64>, Failure> {
        let array = read_npy(&self.folder.join(format!("{name}.npy")))?;
        Ok(array.into_dimensionality()?)
    }

    fn optional(&self, name: &str) -> Result<Option<Array1<f64>>, Failure> {
        if self.folder.join(format!("{name}.npy")).exists() { self.vector(name).map(Some) } else { Ok(None) }
    }

    /// Inputs `x` and labels `y` (0 and 1, one column), and the network that stands at `theta`.
    fn network(&self) -> Result<(Array2<f64>, Array2<f64>, Network), Failure> {
        let x = self.matrix("x")?;
        let y = self.vector("y")?.insert_axis(Axis(1));
        let widths = [x.ncols(), 40, 40, 1];
        let deviation = std::f64::consts::SQRT_2;
        let model = Model::new(Architecture::fully_connected(&widths, Activation::Relu, deviation, 1.0))?;
        let theta = self.vector("theta")?.to_vec();
        if theta.len() != model.parameter_count() {
            return Err(format!("{} parameters, expected {}", theta.len(), model.parameter_count()).into());
        }
        Ok((x, y, Network::new(Arc::new(model), theta)))
    }
}

/// Times `work` and makes an answer of what it returns.
fn timed<T>(work: impl FnOnce() -> T, answer: impl FnOnce(&T) -> Vec<f64>) -> (T, Answer) {
    let start = Instant::now();
    let found = black_box(work());
    let seconds = start.elapsed().as_secs_f64();
    let answer = Answer { seconds, answer: answer(&found), info: BTreeMap::new() };
    (found, answer)
}

/// The Euclidean length of a vector, and entries at even distances.
fn sampled(values: ArrayView1<f64>) -> Vec<f64> {
    let step = values.len().div_ceil(SAMPLED).max(1);
    std::iter::once(values.dot(&values).sqrt()).chain(values.iter().step_by(step).copied()).collect()
}

/// `K w`, `w_j = cos j`: every entry counts.
fn projected(matrix: &Array2<f64>) -> Vec<f64> {
    matrix.dot(&Array1::from_shape_fn(matrix.ncols(), |j| (j as f64).cos())).to_vec()
}

fn hessian_products(inputs: &Inputs, turns: &mut Turns) -> Result<(), Failure> {
    let (x, y, network) = inputs.network()?;
    let directions = inputs.matrix("directions")?;
    let objective = Objective::new(&network, Loss::Bce, x.view(), y.view())?;
    let linearisation = objective.linearise(network.theta());
    turns(&mut || {
        let work = || linearisation.hessian_products(black_box(directions.view()));
        Ok(timed(work, |products| sampled(products.flatten().view())).1)
    })
}

/// A measure at a network, linearised within the time: where the peer builds its graph.
fn measure(id: &str, options: &Options, inputs: &Inputs, turns: &mut Turns) -> Result<(), Failure> {
    let (x, y, network) = inputs.network()?;
    let measure = flatness::find(id).ok_or("no such measure")?;
    turns(&mut || {
        let work = || -> Result<_, Failure> {
            let point = Point::of(&network, Loss::Bce, x.view(), y.view())?;
            Ok(measure.evaluate(&point, options)?)
        };
        let (found, answer) = timed(work, |found| found.iter().map(|estimate| estimate.value).collect());
        let estimate = found?;
        Ok(answer.with("products", estimate.info.number("products")).with("residual", estimate.info.number("residual")))
    })
}

fn max_eigenvalue(tolerance: f64, inputs: &Inputs, turns: &mut Turns) -> Result<(), Failure> {
    measure("hessian_max_eigenvalue", &Options { tolerance, ..Options::default() }, inputs, turns)
}

fn nngp(inputs: &Inputs, turns: &mut Turns, pooling: Option<&str>) -> Result<(), Failure> {
    let x = inputs.matrix("x")?;
    let architecture = match pooling {
        None => {
            let deviation = std::f64::consts::SQRT_2;
            Architecture::fully_connected(&[x.ncols(), 40, 40, 1], Activation::Relu, deviation, 1.0)
        }
        Some(pooling) => {
            let side = x.ncols().isqrt();
            let convolution = serde_json::json!({ "type": "conv", "channels": 1, "kernel": [3, 3], "padding": "same" });
            let relu = serde_json::json!({ "type": "relu" });
            serde_json::from_value(serde_json::json!({
                "input": [1, side, side],
                "weight_std": std::f64::consts::SQRT_2,
                "bias_std": 0.5,
                "layers": [convolution, relu, convolution, relu, { "type": pooling }, { "type": "dense", "units": 1 }],
            }))?
        }
    };
    turns(&mut || {
        let (gram, answer) = timed(
            || kernel::nngp(&architecture, black_box(x.view())),
            |gram| gram.iter().flat_map(projected).collect(),
        );
        gram?;
        Ok(answer)
    })
}

/// From a matrix to log P(f): what a matrix is checked for is part of the time.
fn log_prob(
    id: &str,
    link: Link,
    target_std_error: Option<f64>,
    inputs: &Inputs,
    turns: &mut Turns,
) -> Result<(), Failure> {
    let matrix = inputs.matrix("gram")?;
    let labels = Labels::from_values(&inputs.vector("labels")?.to_vec())?;
    let method = prior::find(id).ok_or("no such method")?;
    let options = PriorOptions { link, target_std_error, ..PriorOptions::default() };
    turns(&mut || {
        let matrix = matrix.clone();
        let work = || method.log_prob(&Gram::new(matrix)?, &labels, &options);
        let (found, answer) = timed(work, |found| found.iter().map(|found| found.estimate.value).collect());
        let estimate = found?.estimate;
        Ok(answer
            .with("std_error", estimate.std_error)
            .with("iterations", estimate.info.number("iterations").or(estimate.info.number("ep_iterations")))
            .with("replicates", estimate.info.number("replicates")))
    })
}

fn sampling(inputs: &Inputs, turns: &mut Turns) -> Result<(), Failure> {
    let networks = inputs.size.unwrap_or(NETWORKS);
    let architecture = Architecture::fully_connected(&[7, 40, 40, 1], Activation::Relu, 1.0, 0.0);
    let sampler = Sampler::new(architecture, load("boolean:7")?.inputs().clone(), 1)?;
    let zero = Function::new(&[false; 128]);
    turns(&mut || {
        let (counts, answer) = timed(
            || count(&sampler, networks as u64, &CountOptions::new(&sampler)),
            |counts| counts.iter().map(|counts| counts.count(&zero) as f64 / networks as f64).collect(),
        );
        let functions = counts?.function_count();
        Ok(answer.with("networks", Some(networks as f64)).with("functions", Some(functions as f64)))
    })
}

/// Each request trains the same first epoch. Rows come in an order of its own on each side, so what is compared is where one
/// step on all rows goes, and the loss after the epoch is a diagnostic.
fn epoch(inputs: &Inputs, turns: &mut Turns) -> Result<(), Failure> {
    let (x, y, network) = inputs.network()?;
    let (rows, features) = x.dim();
    let data = Dataset::new("peers", x, vec![features], y)?;
    let rate = Some(0.01);
    let whole = Trainer { batch_size: rows, learning_rate: rate, ..Trainer::default() };
    let mut step = Run::new(&whole, network.clone(), &data, rows)?;
    step.advance()?;
    let moved = &ArrayView1::from(step.network().theta()) - &ArrayView1::from(network.theta());
    let moved = sampled(moved.view());
    let trainer = Trainer { batch_size: 32, learning_rate: rate, ..Trainer::default() };
    turns(&mut || {
        let mut run = Run::new(&trainer, network.clone(), &data, rows)?;
        let (epoch, answer) = timed(|| run.advance(), |_| moved.clone());
        Ok(answer.with("loss", Some(epoch?.loss)))
    })
}

fn tiny_inputs(folder: &Path, features: usize) -> Result<(), Failure> {
    let mut generator = Streams::new(1).stream("tiny inputs", features as u64);
    let x = Array2::from_shape_simple_fn((5, features), || generator.random::<f64>());
    Ok(write_npy(&folder.join("x.npy"), x.view())?)
}

fn tiny_network(folder: &Path) -> Result<(), Failure> {
    let features = 6;
    tiny_inputs(folder, features)?;
    let mut generator = Streams::new(1).stream("tiny network", 0);
    let parameters = 40 * features + 40 + 40 * 40 + 40 + 41;
    let mut normal =
        |count: usize| Array1::<f64>::from_shape_simple_fn(count, || StandardNormal.sample(&mut generator));
    write_npy_vector(&folder.join("theta.npy"), (normal(parameters) * 0.2).view())?;
    let directions = normal(2 * parameters);
    write_npy(&folder.join("directions.npy"), ArrayView2::from_shape((2, parameters), &directions.to_vec())?)?;
    Ok(write_npy_vector(&folder.join("y.npy"), ArrayView1::from(&[0.0, 1.0, 1.0, 0.0, 1.0]))?)
}

/// Points of the matrix of [`tiny_gram`].
const TINY_POINTS: usize = 5;

/// Correlations of 1/2 and labels that are all 1: `P(f) = 1 / (n + 1)` under the step link.
fn tiny_gram(folder: &Path) -> Result<(), Failure> {
    let matrix = Array2::from_shape_fn((TINY_POINTS, TINY_POINTS), |(i, j)| if i == j { 1.0 } else { 0.5 });
    write_npy(&folder.join("gram.npy"), matrix.view())?;
    Ok(write_npy_vector(&folder.join("labels.npy"), ArrayView1::from(&[1.0; TINY_POINTS]))?)
}

/// What is wrong with two answers to the same request on the inputs of `Row::tiny`.
fn complaint(row: &str, first: &Answer, second: &Answer) -> Option<String> {
    if first.answer != second.answer || first.info != second.info {
        return Some(format!("the same work gave {first:?} and {second:?}"));
    }
    if first.answer.is_empty() || !first.answer.iter().all(|value| value.is_finite()) || !(first.seconds > 0.0) {
        return Some(format!("{first:?}"));
    }
    let known = -((TINY_POINTS + 1) as f64).ln();
    let wrong = match row {
        "smc" | "genz" | "splitting" => {
            !((first.answer[0] - known).abs() < SIGMAS * first.info.get("std_error").copied().unwrap_or(0.0))
        }
        // P(all 0) is 0.0622; the standard error of 4096 networks is 0.0038.
        "sampling" => !((first.answer[0] - 0.0622).abs() < SIGMAS * 0.0038),
        _ => false,
    };
    wrong.then(|| format!("{first:?} is not the known answer"))
}

fn test() -> Result<(), Failure> {
    for row in &ROWS {
        let folder = tempfile::tempdir()?;
        (row.tiny)(folder.path())?;
        let inputs = Inputs { folder: folder.path(), size: Some(4096) };
        (row.serve)(&inputs, &mut |work| match complaint(row.name, &work()?, &work()?) {
            None => Ok(()),
            Some(complaint) => Err(complaint.into()),
        })
        .map_err(|error| format!("{}: {error}", row.name))?;
        println!("{}: ok", row.name);
    }
    Ok(())
}

fn serve(name: &str, folder: &Path, size: Option<usize>) -> Result<(), Failure> {
    let Some(row) = ROWS.iter().find(|row| row.name == name) else {
        let known: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        return Err(format!("no row '{name}', expected one of {}", known.join(", ")).into());
    };
    let mut stdout = std::io::stdout();
    (row.serve)(&Inputs { folder, size }, &mut |work| {
        let ready = serde_json::json!({ "program": concat!("flatgauge ", env!("CARGO_PKG_VERSION")) });
        writeln!(stdout, "{ready}")?;
        stdout.flush()?;
        for line in std::io::stdin().lock().lines() {
            let times: usize = line?.trim().parse()?;
            let answers = (0..times).map(|_| work()).collect::<Result<Vec<Answer>, Failure>>()?;
            let seconds: Vec<f64> = answers.iter().map(|answer| answer.seconds).collect();
            let Answer { answer, info, .. } = answers.last().ok_or("a line that asks for no answer")?;
            writeln!(stdout, "{}", serde_json::json!({ "seconds": seconds, "answer": answer, "info": info }))?;
            stdout.flush()?;
        }
        Ok(())
    })
}

fn main() -> ExitCode {
    // `cargo bench` adds `--bench`, which says nothing here.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["--serve", row, folder] => serve(row, Path::new(folder), None),
        ["--serve", row, folder, "--size", size] => match size.parse() {
            Ok(size) => serve(row, Path::new(folder), Some(size)),
            Err(error) => Err(format!("--size {size}: {error}").into()),
        },
        _ if words.contains(&"--test") => test(),
        _ => {
            println!(
                "Our side of `python3 benches/peers/run.py` (benches/README.md): peers --serve ROW DIR [--size N], where ROW is"
            );
            for row in &ROWS {
                println!("    {:20} {}", row.name, row.what);
            }
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}
