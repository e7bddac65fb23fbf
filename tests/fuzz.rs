//! Every parser under damaged and hostile input: valid files, mutated with a knowledge of their structure.
//!
//! Whatever is done to a file, reading it ends in a value or in a typed error; nothing panics, and no input makes a parser
//! ask for more memory than a stated multiple of what valid files take. Some hundred inputs for each parser by default;
//! `FLATGAUGE_FUZZ=1000000` runs that many. Input `i` is a function of the parser and `i` alone, and a failure prints the
//! line that runs it again.

use flatgauge::data::{load_source, parse_npy, parse_npz, write_npy, write_npz};
use flatgauge::function::{CountOptions, Sampler, count};
use flatgauge::gate::Corpus;
use flatgauge::kernel::{self, KernelOptions};
use flatgauge::model::{Activation, Architecture, Model, Network, parse_network, save_network};
use flatgauge::numeric::{Checksum, Streams};
use flatgauge::train::{OptimizerSettings, Run, Trainer};
use ndarray::{Array2, array};
use rand::{Rng, RngExt};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most bytes one input may make a parser take at a time: valid files here take less than a hundredth.
const MOST_MEMORY: usize = 64 << 20;
/// Longest time for one input: a thousand times what valid files take, on a busy machine.
const MOST_TIME: Duration = Duration::from_secs(20);

/// Counts what each thread has and had at most.
struct Counting;

thread_local! {
    static NOW: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all memory is the system's; the counters are plain cells of the thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.get().saturating_add(layout.size());
        NOW.set(now);
        MOST.set(MOST.get().max(now));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // What another thread took may be given back here.
        NOW.set(NOW.get().saturating_sub(layout.size()));
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is '{text}', expected a number")))
}

/// Runs `parse` on inputs made by `mutate`, and on `known` ones; a parser answers with a value or a sentence.
fn fuzz(
    parser: &str,
    usual: u64,
    known: &[Vec<u8>],
    mut mutate: impl FnMut(&mut dyn Rng) -> Vec<u8>,
    mut parse: impl FnMut(&[u8]) -> Result<(), String>,
) {
    let (first, count) = (variable("FLATGAUGE_FUZZ_FIRST").unwrap_or(0), variable("FLATGAUGE_FUZZ").unwrap_or(usual));
    let start = Instant::now();
    let (mut values, mut most, mut slowest) = (0_u64, 0, Duration::ZERO);
    let mut run = |input: &[u8], again: &str| {
        let begun = Instant::now();
        let before = NOW.get();
        MOST.set(before);
        let outcome = catch_unwind(AssertUnwindSafe(|| parse(input)));
        let taken = MOST.get() - before;
        (most, slowest) = (taken.max(most), begun.elapsed().max(slowest));
        let shown = String::from_utf8_lossy(&input[..input.len().min(300)]).escape_debug().to_string();
        match outcome {
            Err(_) => panic!("{parser}: a panic; {again}\n{shown}"),
            Ok(Err(sentence)) => {
                assert!(!sentence.is_empty(), "{parser}: an error without a sentence; {again}\n{shown}")
            }
            Ok(Ok(())) => values += 1,
        }
        assert!(taken <= MOST_MEMORY, "{parser}: {taken} bytes of memory; {again}\n{shown}");
        assert!(begun.elapsed() <= MOST_TIME, "{parser}: {:?}; {again}\n{shown}", begun.elapsed());
    };
    known.iter().enumerate().for_each(|(index, input)| run(input, &format!("known input {index}")));
    for index in first..first + count {
        let mut generator = Streams::new(20261128).stream(&format!("fuzz {parser}"), index);
        let input = mutate(&mut generator);
        run(&input, &format!("FLATGAUGE_FUZZ=1 FLATGAUGE_FUZZ_FIRST={index} cargo test --test fuzz {parser}"));
    }
    let (all, seconds) = (count + known.len() as u64, start.elapsed().as_secs_f64());
    println!("{parser}: {all} inputs in {seconds:.1} s, {values} read, at most {most} bytes, slowest {slowest:?}");
    assert!(count < 100 || values > 0 && values < all, "{parser}: {values} of {all} read; the mutations reach nothing");
}

/// Numbers that sizes should not be.
const NUMBERS: [u64; 16] = [
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    (1 << 31) - 1,
    1 << 31,
    u32::MAX as u64,
    1 << 32,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

fn number(generator: &mut dyn Rng) -> u64 {
    if generator.random_range(0..4) == 0 {
        generator.next_u64() >> generator.random_range(0..64)
    } else {
        NUMBERS[generator.random_range(0..16)]
    }
}

fn place(generator: &mut dyn Rng, length: usize) -> usize {
    // Headers come first: half of all places are among the first bytes.
    if generator.random() { generator.random_range(0..=length) } else { generator.random_range(0..=length.min(200)) }
}

/// One to four changes of bytes: flips, numbers of all widths, cuts, copies, moves, surplus.
fn bytes(generator: &mut dyn Rng, valid: &[u8]) -> Vec<u8> {
    let mut input = valid.to_vec();
    for _ in 0..generator.random_range(1..=4) {
        let (at, other) = (place(generator, input.len()), place(generator, input.len()));
        let (from, to) = (at.min(other), at.max(other));
        match generator.random_range(0..9) {
            0 | 1 if at < input.len() => input[at] ^= 1 << generator.random_range(0..8),
            2 if at < input.len() => input[at] = generator.random(),
            3 => {
                let number = number(generator);
                let width = 1 << generator.random_range(0..4);
                let little: bool = generator.random();
                let number = if little {
                    number.to_le_bytes()[..width].to_vec()
                } else {
                    number.to_be_bytes()[8 - width..].to_vec()
                };
                for (byte, new) in input[at..].iter_mut().zip(number) {
                    *byte = new;
                }
            }
            4 => input.truncate(at),
            5 => drop(input.drain(from..to.min(from + 64))),
            6 => {
                let copy = input[from..to.min(from + 64)].to_vec();
                input.splice(at..at, copy);
            }
            7 => input.extend((0..generator.random_range(1..20)).map(|_| generator.random::<u8>())),
            _ => {
                let new: Vec<u8> = (0..generator.random_range(1..8)).map(|_| generator.random()).collect();
                input.splice(at..at, new);
            }
        }
    }
    input
}

/// Pieces that texts of all formats here are made of, and some that they are not.
const WORDS: [&str; 30] = [
    "'<f8'",
    "'|b1'",
    "'>i2'",
    "'|O'",
    "True",
    "False",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "'",
    "\n",
    "=",
    "-1",
    "1e308",
    "nan",
    "inf",
    "null",
    "2L",
    "[[layers]]\n",
    "type = \"residual\"\n",
    "type = \"conv\"\n",
    "\u{1b}[2J",
    "\u{202e}",
    "é",
];

/// One to four changes of text: numbers replaced, words put in, lines left out, doubled and moved.
fn text(generator: &mut dyn Rng, valid: &str) -> String {
    let mut input = valid.to_owned();
    for _ in 0..generator.random_range(1..=4) {
        let boundary = |input: &str, mut at: usize| {
            while !input.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let at = boundary(&input, generator.random_range(0..=input.len()));
        match generator.random_range(0..6) {
            0 | 1 => {
                let numbers: Vec<(usize, usize)> = runs_of_digits(&input);
                if !numbers.is_empty() {
                    let (from, to) = numbers[generator.random_range(0..numbers.len())];
                    input.replace_range(from..to, &number(generator).to_string());
                }
            }
            2 => input.insert_str(at, WORDS[generator.random_range(0..WORDS.len())]),
            3 => {
                let end = boundary(&input, (at + generator.random_range(0..12)).min(input.len()));
                input.replace_range(at..end, "");
            }
            _ => {
                let mut lines: Vec<&str> = input.split_inclusive('\n').collect();
                if lines.len() > 1 {
                    let (from, to) = (generator.random_range(0..lines.len()), generator.random_range(0..lines.len()));
                    match generator.random_range(0..3) {
                        0 => drop(lines.remove(from)),
                        1 => lines.insert(to, lines[from]),
                        _ => lines.swap(from, to),
                    }
                    input = lines.concat();
                }
            }
        }
    }
    input
}

fn runs_of_digits(text: &str) -> Vec<(usize, usize)> {
    let mut runs = Vec::new();
    let mut start = None;
    for (at, byte) in text.bytes().chain([b' ']).enumerate() {
        match (byte.is_ascii_digit(), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                runs.push((from, at));
                start = None;
            }
            _ => {}
        }
    }
    runs
}

/// A header of text, changed, before bytes that may change too; `frame` puts the header's length where it belongs.
fn framed(generator: &mut dyn Rng, header: &[u8], rest: &[u8], frame: impl Fn(&str) -> Vec<u8>) -> Vec<u8> {
    let header = text(generator, &String::from_utf8_lossy(header));
    let rest = if generator.random_range(0..4) == 0 { bytes(generator, rest) } else { rest.to_vec() };
    [frame(&header), rest].concat()
}

fn npy_frame(header: &str) -> Vec<u8> {
    let mut start = b"\x93NUMPY\x01\x00".to_vec();
    start.extend((header.len() as u16).to_le_bytes());
    start.extend(header.bytes());
    start
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

fn saved(write: impl FnOnce(&Path)) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    write(&path);
    read(&path)
}

fn npy(generator: &mut dyn Rng, valid: &[u8]) -> Vec<u8> {
    if generator.random() {
        return bytes(generator, valid);
    }
    let end = 10 + usize::from(u16::from_le_bytes([valid[8], valid[9]]));
    framed(generator, &valid[10..end], &valid[end..], npy_frame)
}

#[test]
fn npy_files() {
    let valid = saved(|path| write_npy(path, array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]].view()).unwrap());
    let header = |shape: &str| npy_frame(&format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n"));
    let known = [
        header("(0, 4611686018427387904, 4)"),
        header("(0, 18446744073709551615, 18446744073709551615)"),
        header("(4294967296, 4294967296, 0)"),
        header("(268435456,)"),
        npy_frame(&"[".repeat(3000)),
        [valid.clone(), valid.clone()].concat(),
    ];
    fuzz(
        "npy_files",
        20_000,
        &known,
        |generator| npy(generator, &valid),
        |input| {
            let array = parse_npy(input)?;
            assert_eq!(array.len(), array.shape().iter().product::<usize>());
            Ok(())
        },
    );
}

/// An archive of stored members, as NumPy writes it.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let checksum = |bytes: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum()
    };
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in members {
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        common.extend(checksum(bytes).to_le_bytes());
        common.extend([(bytes.len() as u32).to_le_bytes(), (bytes.len() as u32).to_le_bytes()].concat());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        let start = out.len() as u32;
        out.extend([&b"PK\x03\x04"[..], &common, name.as_bytes(), bytes].concat());
        directory
            .extend([&b"PK\x01\x02\x14\x00"[..], &common, &[0; 10], &start.to_le_bytes(), name.as_bytes()].concat());
    }
    let (start, size, count) = (out.len() as u32, directory.len() as u32, members.len() as u16);
    out.extend(directory);
    out.extend(b"PK\x05\x06\x00\x00\x00\x00");
    out.extend(
        [&count.to_le_bytes()[..], &count.to_le_bytes(), &size.to_le_bytes(), &start.to_le_bytes(), &[0, 0]].concat(),
    );
    out
}

#[test]
fn npz_files() {
    let inner = saved(|path| write_npy(path, array![[1.0, 2.0], [4.0, 5.0]].view()).unwrap());
    let packed = saved(|path| write_npz(path, array![[1.0, 2.0]].view(), &[2], array![[1.0]].view()).unwrap());
    assert_eq!(parse_npz(&archive(&[("x.npy", &inner)]), "x").unwrap().len(), 4);
    let mut flipped = archive(&[("x.npy", &inner)]);
    let entry = flipped.windows(8).position(|window| window == 2.0_f64.to_le_bytes()).unwrap();
    flipped[entry] ^= 1;
    assert!(parse_npz(&flipped, "x").unwrap_err().contains("damaged"), "a changed entry was not noticed");
    let mutate = |generator: &mut dyn Rng| match generator.random_range(0..3) {
        0 => bytes(generator, &packed),
        1 => bytes(generator, &archive(&[("x.npy", &inner), ("y.npy", &inner)])),
        // With the right checksum.
        _ => archive(&[("x.npy", &npy(generator, &inner))]),
    };
    fuzz("npz_files", 10_000, &[flipped], mutate, |input| parse_npz(input, "x").map(drop));
}

fn small_model() -> Arc<Model> {
    Arc::new(Model::new(Architecture::fully_connected(&[3, 4, 1], Activation::Relu, 1.0, 0.5)).unwrap())
}

fn safetensors_frame(header: &str) -> Vec<u8> {
    let mut start = (header.len() as u64).to_le_bytes().to_vec();
    start.extend(header.bytes());
    start
}

fn safetensors(generator: &mut dyn Rng, valid: &[u8]) -> Vec<u8> {
    if generator.random() {
        return bytes(generator, valid);
    }
    let end = 8 + u64::from_le_bytes(valid[..8].try_into().unwrap()) as usize;
    framed(generator, &valid[8..end], &valid[end..], safetensors_frame)
}

#[test]
fn safetensors_files() {
    let model = small_model();
    let network = Network::sample(Arc::clone(&model), Streams::new(1));
    let metadata = BTreeMap::from([("settings".to_owned(), "{\"a\": [1, 2]}".to_owned())]);
    let own = saved(|path| save_network(path, &network, &metadata).unwrap());
    let foreign = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/flatness/fcn_relu_bce_1.safetensors"));
    let foreign_model = Architecture::read("fcn:64-12-10-1", None, None, None).unwrap();
    let foreign_model = Arc::new(Model::new(foreign_model).unwrap());
    let path = Path::new("fuzzed");
    let read = |input: &[u8], model: &Arc<Model>| {
        let checkpoint = parse_network(input, path, model).map_err(|error| error.to_string())?;
        assert!(checkpoint.network.theta.iter().all(|value| value.is_finite()));
        Ok(())
    };
    let mut which = 0_u32;
    fuzz(
        "safetensors_files",
        10_000,
        &[],
        |generator| {
            if generator.random_range(0..4) == 0 {
                safetensors(generator, &foreign)
            } else {
                safetensors(generator, &own)
            }
        },
        |input| {
            which += 1;
            read(input, &foreign_model).or_else(|_| read(input, &model))
        },
    );
    assert!(which > 0);
    // A flipped bit of the tensors or of what was recorded of them never goes unseen.
    let theta = network.theta.clone();
    for bit in 0..8 * own.len() {
        let mut flipped = own.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(found) = parse_network(&flipped, path, &model) {
            let same = found.network.theta == theta;
            assert!(
                same && (found.metadata == metadata || found.metadata.is_empty() || found.metadata.len() == 2),
                "bit {bit}"
            );
        }
    }
}

fn idx(shape: &[u32], entries: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    bytes.extend(shape.iter().flat_map(|extent| extent.to_be_bytes()));
    bytes.extend_from_slice(entries);
    bytes
}

#[test]
fn idx_files() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("train-images-idx3-ubyte");
    let source = format!("mnist:{}", folder.path().display());
    std::fs::write(folder.path().join("train-labels-idx1-ubyte"), idx(&[4], &[0, 1, 2, 3])).unwrap();
    let valid = idx(&[4, 2, 3], &[7; 24]);
    fuzz(
        "idx_files",
        500,
        &[idx(&[u32::MAX; 3], &[1])],
        |generator| bytes(generator, &valid),
        |input| {
            std::fs::write(&images, input).unwrap();
            load_source(&source).map(drop).map_err(|error| error.to_string())
        },
    );
}

#[test]
fn cifar_files() {
    let folder = tempfile::tempdir().unwrap();
    let source = format!("cifar10:{}", folder.path().display());
    let valid = [vec![3; 3073], vec![1; 3073]].concat();
    fuzz(
        "cifar_files",
        300,
        &[],
        |generator| bytes(generator, &valid),
        |input| {
            std::fs::write(folder.path().join("data_batch_1.bin"), input).unwrap();
            load_source(&source).map(drop).map_err(|error| error.to_string())
        },
    );
}

const ARCHITECTURE: &str = "input = [2, 8, 8]\nweight_std = 1.4\nbias_std = 0.5\n\
[[layers]]\ntype = \"conv\"\nchannels = 3\nkernel = [3, 3]\nstride = [1, 1]\npadding = \"same\"\n\
[[layers]]\ntype = \"relu\"\n[[layers]]\ntype = \"max_pool\"\nsize = [2, 2]\nstride = [2, 2]\npadding = [1, 1]\n\
[[layers]]\ntype = \"residual\"\n[[layers.branch]]\ntype = \"batch_norm\"\n[[layers.branch]]\ntype = \"conv\"\nchannels = 3\n\
kernel = [3, 3]\npadding = [1, 1]\n[[layers]]\ntype = \"avg_pool\"\nsize = [2, 2]\n[[layers]]\ntype = \"flatten\"\n\
[[layers]]\ntype = \"dense\"\nunits = 5\n[[layers]]\ntype = \"tanh\"\n[[layers]]\ntype = \"dense\"\nunits = 1\n";

/// A network of which the architecture says so many residual blocks inside each other.
fn nested(depth: usize) -> String {
    let mut out = "input = [2]\n[[layers]]\ntype = \"residual\"\n".to_owned();
    for level in 1..=depth {
        let path = format!("layers{}", ".branch".repeat(level));
        let kind = if level == depth { "relu" } else { "residual" };
        out += &format!("[[{path}]]\ntype = \"{kind}\"\n");
    }
    out + "[[layers]]\ntype = \"dense\"\nunits = 1\n"
}

#[test]
fn architecture_files() {
    let known: Vec<Vec<u8>> = [62, 75, 79, 200].map(|depth| nested(depth).into_bytes()).into();
    let parse = |input: &[u8]| {
        let text = std::str::from_utf8(input).map_err(|error| error.to_string())?;
        let architecture = Architecture::from_toml(text)?;
        let model = Model::new(architecture.clone()).map_err(|error| error.to_string())?;
        let json = serde_json::to_string(&architecture).unwrap();
        // NaN is not equal to itself, and no JSON.
        if architecture.weight_std.is_finite() && architecture.bias_std.is_finite() {
            assert_eq!(serde_json::from_str::<Architecture>(&json).unwrap(), architecture);
        }
        // What is small is run, too: shapes that were let through must fit together.
        if model.parameters() < 10_000 && model.inputs() < 1000 && model.outputs() < 1000 {
            let network = Network::sample(Arc::new(model), Streams::new(0));
            let inputs = Array2::zeros((2, network.model.inputs()));
            assert_eq!(network.logits(inputs.view()).dim(), (2, network.model.outputs()));
        }
        Ok(())
    };
    fuzz("architecture_files", 3000, &known, |generator| text(generator, ARCHITECTURE).into_bytes(), parse);
}

#[test]
fn case_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cases.toml");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cases");
    let valid = ["grams.toml", "networks.toml"].map(|name| std::fs::read_to_string(fixtures.join(name)).unwrap());
    let mutate = |generator: &mut dyn Rng| text(generator, &valid[generator.random_range(0..2)]).into_bytes();
    fuzz("case_files", 300, &[], mutate, |input| {
        std::fs::write(&path, input).unwrap();
        Corpus::read(&path).map(drop)
    });
}

/// A file that ends in a checksum, changed; half of the time with the checksum that it should then have.
fn summed(generator: &mut dyn Rng, valid: &[u8], sum: impl Fn(&[u8]) -> u64) -> Vec<u8> {
    let (body, _) = valid.split_at(valid.len() - 8);
    let end = body.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let changed = match generator.random_range(0..3) {
        0 => return bytes(generator, valid),
        1 => bytes(generator, body),
        _ => framed(generator, &body[..end], &body[end..], |header| header.as_bytes().to_vec()),
    };
    [&changed[..], &sum(&changed).to_le_bytes()].concat()
}

#[test]
fn unfinished_kernels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("K.partial");
    let architecture = Architecture::fully_connected(&[2, 4, 1], Activation::Tanh, 1.0, 0.5);
    let inputs = array![[1.0, 2.0], [0.5, -1.0], [0.0, 1.0]];
    let options = KernelOptions { samples: 3, seed: 1, groups: 2, partial: Some(&path), ..KernelOptions::default() };
    let method = kernel::find("empirical").unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let result = pool.install(|| method.gram(&architecture, inputs.view(), &options)).unwrap();
    let valid = read(&path);
    let sum = |bytes: &[u8]| Checksum::default().bytes(bytes).value();
    fuzz(
        "unfinished_kernels",
        500,
        &[],
        |generator| summed(generator, &valid, sum),
        |input| {
            std::fs::write(&path, input).unwrap();
            let found = method.gram(&architecture, inputs.view(), &options).map_err(|error| error.to_string())?;
            assert!(found.matrix.iter().all(|value| value.is_finite()));
            Ok(())
        },
    );
    // Without the right checksum nothing but the very file is taken.
    for bit in 0..8 * valid.len() {
        let mut flipped = valid.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, &flipped).unwrap();
        let outcome = method.gram(&architecture, inputs.view(), &options);
        assert!(outcome.is_err(), "bit {bit}: a damaged file was taken");
    }
    std::fs::write(&path, &valid).unwrap();
    assert_eq!(method.gram(&architecture, inputs.view(), &options).unwrap().matrix, result.matrix);
}

#[test]
fn unfinished_samples() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counts.partial");
    let architecture = Architecture::fully_connected(&[2, 1], Activation::Relu, 1.0, 0.0);
    let sampler = Sampler::new(architecture, array![[1.0, 0.0], [0.0, 1.0]], 1).unwrap();
    let networks = 1024 * sampler.block_size() as u64;
    let options = |resume| CountOptions { checkpoint: Some(&path), resume, ..CountOptions::new(&sampler) };
    count(&sampler, networks + 1, &options(false)).unwrap();
    let valid = read(&path);
    let sum = |bytes: &[u8]| {
        let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
        let words = bytes[end..].as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
        words.fold(Checksum::default().bytes(&bytes[..end]), Checksum::word).value()
    };
    assert_eq!(valid[valid.len() - 8..], sum(&valid[..valid.len() - 8]).to_le_bytes(), "this is how it is summed");
    fuzz(
        "unfinished_samples",
        500,
        &[],
        |generator| summed(generator, &valid, sum),
        |input| {
            std::fs::write(&path, input).unwrap();
            count(&sampler, networks, &options(true)).map(drop).map_err(|error| error.to_string())
        },
    );
}

#[test]
fn unfinished_trainings() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.partial");
    let model = small_model();
    let data = flatgauge::data::Dataset {
        name: "fuzz".to_owned(),
        inputs: array![[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [1.0, 1.0, -0.5], [0.3, 0.1, 0.0]],
        shape: vec![3],
        targets: array![[0.0], [1.0], [1.0], [0.0]],
    };
    let trainer = Trainer { optimizer: OptimizerSettings::named("adam"), ..Trainer::default() };
    let network = Network::sample(Arc::clone(&model), Streams::new(1));
    let mut run = Run::new(&trainer, network, &data, 4).unwrap();
    run.advance().unwrap();
    run.save(&path).unwrap();
    let valid = read(&path);
    fuzz(
        "unfinished_trainings",
        500,
        &[],
        |generator| safetensors(generator, &valid),
        |input| {
            std::fs::write(&path, input).unwrap();
            Run::resume(&path, &trainer, &model, &data, 4).map(drop).map_err(|error| error.to_string())
        },
    );
}
