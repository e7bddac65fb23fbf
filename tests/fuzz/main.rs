//! Every parser under damaged and hostile input: valid files, mutated with a knowledge of their structure.
//!
//! Whatever is done to a file, reading it ends in a value or in a typed error; nothing panics, and no input makes a parser
//! ask for more memory than a stated multiple of what valid files take. Some hundred inputs for each parser by default;
//! `FLATGAUGE_FUZZ=1000000` runs that many. Input `i` is a function of the parser and `i` alone, and a failure prints the
//! line that runs it again.

mod harness;
mod mutate;

use flatgauge::data::{load_source, parse_npy, parse_npz, write_npy, write_npz};
use flatgauge::function::{CountOptions, Sampler, count};
use flatgauge::gate::Corpus;
use flatgauge::io::Checksum;
use flatgauge::kernel::{self, KernelOptions};
use flatgauge::model::{Activation, Architecture, Model, Network, parse_network, save_network};
use flatgauge::numeric::Streams;
use flatgauge::train::{OptimizerSettings, Run, Trainer};
use harness::fuzz;
use mutate::{bytes, framed, text};
use ndarray::{Array2, array};
use rand::{Rng, RngExt};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

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
        assert!(checkpoint.network.theta().iter().all(|value| value.is_finite()));
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
    let theta = network.theta().to_vec();
    for bit in 0..8 * own.len() {
        let mut flipped = own.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(found) = parse_network(&flipped, path, &model) {
            let same = found.network.theta() == theta;
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
        let architecture = Architecture::from_toml(text).map_err(|error| error.to_string())?;
        let model = Model::new(architecture.clone()).map_err(|error| error.to_string())?;
        let json = serde_json::to_string(&architecture).unwrap();
        // NaN is not equal to itself, and no JSON.
        if architecture.weight_std.is_finite() && architecture.bias_std.is_finite() {
            assert_eq!(serde_json::from_str::<Architecture>(&json).unwrap(), architecture);
        }
        // What is small is run, too: shapes that were let through must fit together.
        if model.parameter_count() < 10_000 && model.input_count() < 1000 && model.output_count() < 1000 {
            let network = Network::sample(Arc::new(model), Streams::new(0));
            let inputs = Array2::zeros((2, network.model().input_count()));
            assert_eq!(network.logits(inputs.view()).dim(), (2, network.model().output_count()));
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
    let mutate = |generator: &mut dyn Rng| {
        let which = generator.random_range(0..2);
        text(generator, &valid[which]).into_bytes()
    };
    fuzz("case_files", 300, &[], mutate, |input| {
        std::fs::write(&path, input).unwrap();
        Corpus::read(&path).map(drop).map_err(|error| error.to_string())
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

/// The checksum of unfinished work: of its first line, then of the words behind it.
fn sum_of_unfinished(bytes: &[u8]) -> u64 {
    let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
    let words = bytes[end..].as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
    words.fold(Checksum::default().bytes(&bytes[..end]), Checksum::word).value()
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
    fuzz(
        "unfinished_kernels",
        500,
        &[],
        |generator| summed(generator, &valid, sum_of_unfinished),
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
    let sum = sum_of_unfinished;
    assert_eq!(valid[valid.len() - 8..], sum(&valid[..valid.len() - 8]).to_le_bytes(), "this is how it is summed");
    // Counts whose sum is beyond 64 bits, with the right checksum.
    let mut overflowing = valid[..valid.len() - 8].to_vec();
    let last = overflowing.len() - 8;
    overflowing[last..].fill(0xff);
    let checksum = sum(&overflowing);
    overflowing.extend(checksum.to_le_bytes());
    fuzz(
        "unfinished_samples",
        500,
        &[overflowing],
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
    let inputs = array![[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [1.0, 1.0, -0.5], [0.3, 0.1, 0.0]];
    let targets = array![[0.0], [1.0], [1.0], [0.0]];
    let data = flatgauge::data::Dataset::new("fuzz", inputs, vec![3], targets).unwrap();
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
