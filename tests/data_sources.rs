//! Loaders on small files made here, and on damaged and hostile ones.

use flate2::{Compression, write::GzEncoder};
use flatgauge::data::{self, DataError, Inputs, LabelRule, Recipe, load, load_source};
use ndarray::{Array2, s};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::io::Write;
use std::path::Path;

fn idx(shape: &[u32], entries: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    bytes.extend(shape.iter().flat_map(|extent| extent.to_be_bytes()));
    bytes.extend_from_slice(entries);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Images of 2 x 3 pixels: pixel j of image i is 10 i + j; labels cycle through 0 to 9.
fn images(count: u32) -> (Vec<u8>, Vec<u8>) {
    let pixels: Vec<u8> = (0..count).flat_map(|image| (0..6).map(move |j| (10 * image + j) as u8)).collect();
    let labels: Vec<u8> = (0..count).map(|image| (image % 10) as u8).collect();
    (idx(&[count, 2, 3], &pixels), idx(&[count], &labels))
}

fn folder(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn source_of(id: &str, path: &Path) -> String {
    format!("{id}:{}", path.display())
}

#[test]
fn every_name_and_packing_of_the_mnist_family() {
    let (pixels, labels) = images(20);
    let (test_pixels, test_labels) = images(10);
    for (images_name, labels_name, test_images, test_labels_name, suffix) in [
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", ""),
        (
            "train-images-idx3-ubyte.gz",
            "train-labels-idx1-ubyte.gz",
            "t10k-images-idx3-ubyte.gz",
            "t10k-labels-idx1-ubyte.gz",
            "",
        ),
        ("train-images.idx3-ubyte", "train-labels.idx1-ubyte", "t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte", ""),
        (
            "emnist-letters-train-images-idx3-ubyte.gz",
            "emnist-letters-train-labels-idx1-ubyte",
            "emnist-letters-test-images-idx3-ubyte",
            "emnist-letters-test-labels-idx1-ubyte.gz",
            "/emnist-letters",
        ),
    ] {
        let pack = |name: &str, bytes: &[u8]| if name.ends_with(".gz") { gzip(bytes) } else { bytes.to_vec() };
        let folder = folder(&[
            (images_name, pack(images_name, &pixels)),
            (labels_name, pack(labels_name, &labels)),
            (test_images, pack(test_images, &test_pixels)),
            (test_labels_name, pack(test_labels_name, &test_labels)),
        ]);
        for place in [source_of("mnist", folder.path()), source_of("mnist", folder.path()) + suffix] {
            let source = load_source(&place).unwrap();
            assert_eq!((source.shape.clone(), source.training.len()), (vec![1, 2, 3], 20));
            assert_eq!(source.test.as_ref().unwrap().len(), 10);
            assert_eq!(source.training.targets[[13, 0]], 3.0);
            let data = load(&place).unwrap();
            assert_eq!(data.inputs()[[13, 4]], 134.0 / 255.0);
            assert!((0..20).all(|row| data.targets()[[row, 0]] == f64::from(u8::from(row % 10 >= 5))));
        }
    }
}

#[test]
fn several_sets_in_a_folder_must_be_named() {
    let (pixels, labels) = images(10);
    let mut files = Vec::new();
    for set in ["emnist-letters", "emnist-digits"] {
        files.push((format!("{set}-train-images-idx3-ubyte"), pixels.clone()));
        files.push((format!("{set}-train-labels-idx1-ubyte"), labels.clone()));
    }
    let files: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let folder = folder(&files);
    let error = load(&source_of("mnist", folder.path())).unwrap_err().to_string();
    assert!(error.contains("emnist-digits, mnist:") && error.contains("/emnist-letters"), "{error}");
    assert_eq!(load_source(&(source_of("mnist", folder.path()) + "/emnist-digits")).unwrap().training.len(), 10);
}

#[test]
fn cifar10_is_cars_against_cats() {
    let record = |label: u8, first: u8| [vec![label, first], vec![7; 3071]].concat();
    let first: Vec<u8> = (0..10).flat_map(|label| record(label, 100 + label)).collect();
    let second = [record(3, 1), record(1, 2)].concat();
    let folder = folder(&[("data_batch_1.bin", first), ("data_batch_2.bin", second), ("test_batch.bin", record(3, 9))]);
    let source = load_source(&source_of("cifar10", folder.path())).unwrap();
    assert_eq!(
        (source.training.len(), source.shape.clone(), source.test.as_ref().unwrap().len()),
        (12, vec![3, 32, 32], 1)
    );
    let note = source.notes.concat();
    assert!(note.contains("lacks data_batch_3.bin, data_batch_4.bin, data_batch_5.bin"), "{note}");
    let data = source.dataset().unwrap();
    let first_pixels: Vec<f64> = data.inputs().column(0).iter().map(|pixel| (pixel * 255.0).round()).collect();
    assert_eq!(
        (first_pixels, data.targets().iter().copied().collect()),
        (vec![101.0, 103.0, 1.0, 2.0], vec![0.0, 1.0, 1.0, 0.0])
    );
    let pair = Recipe { labels: LabelRule::Classes([9.0, 0.0]), train: 2, test: 0, ..Recipe::default() };
    let splits = pair.take(&source).unwrap();
    assert!(
        splits
            .training
            .inputs()
            .outer_iter()
            .zip(splits.training.targets())
            .all(|(input, label)| { (input[0] * 255.0).round() == if *label == 1.0 { 100.0 } else { 109.0 } })
    );
}

#[test]
fn boolean_inputs_are_in_counting_order() {
    let data = load("boolean:3:01101001").unwrap();
    assert_eq!(data.inputs().row(6).to_vec(), [1.0, 1.0, 0.0]);
    assert_eq!(data.targets().column(0).to_vec(), [0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
    let unlabelled = load("boolean:7").unwrap();
    assert_eq!((unlabelled.inputs().dim(), unlabelled.targets().dim()), ((128, 7), (128, 0)));
    assert!(unlabelled.binary_targets().unwrap_err().to_string().contains("0 numbers per row"));
    for wrong in ["boolean:0", "boolean:21", "boolean:-1", "boolean:", "boolean:3:0110", "boolean:1:02", "boolean:x:01"]
    {
        assert!(matches!(load(wrong).unwrap_err(), DataError::Argument { .. }), "{wrong}");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_named() {
    let (pixels, labels) = images(10);
    let message = |images: &[u8], labels: &[u8]| {
        let folder =
            folder(&[("train-images-idx3-ubyte", images.to_vec()), ("train-labels-idx1-ubyte", labels.to_vec())]);
        let error = load(&source_of("mnist", folder.path())).unwrap_err();
        assert!(matches!(error, DataError::File { .. }));
        error.to_string()
    };
    assert!(message(&pixels[..50], &labels).contains("truncated: 34 of 60 bytes"));
    assert!(message(&pixels[..9], &labels).contains("truncated: 9 of the 16 bytes of the header"));
    assert!(message(&[], &labels).contains("expected 0x00000803"));
    assert!(message(&[&pixels[..], &[1]].concat(), &labels).contains("more than the expected 60 bytes"));
    assert!(message(&labels, &labels).contains("starts with 0x00000801, expected 0x00000803"));
    assert!(message(&pixels, &idx(&[9], &[0; 9])).contains("9 labels, expected 10"));
    assert!(message(&idx(&[10, 0, 3], &[]), &labels).contains("0 x 3 pixels"));
    assert!(
        message(&pixels, &idx(&[10], &[61, 0, 0, 200, 0, 0, 0, 0, 0, 0])).contains("label 3 is 200, expected 0 to 61")
    );
    let floats = [&[0, 0, 0x0d, 3][..], &pixels[4..]].concat();
    assert!(message(&floats, &labels).contains("starts with 0x00000d03"));
    // Sizes whose product overflows, and sizes that only claim too much.
    for shape in [[u32::MAX; 3], [10, 65_536, 65_536]] {
        assert!(message(&idx(&shape, &[1, 2, 3]), &labels).contains("more than the 1073741824 that are read"));
    }
    let packed = gzip(&pixels);
    let mut damaged = packed.clone();
    let last = damaged.len() - 6;
    damaged[last] ^= 1; // the checksum
    assert!(message(&damaged, &labels).contains("cannot be read"));
    assert!(message(&packed[..packed.len() / 2], &labels).contains("cannot be read"));

    let alone = folder(&[("train-images-idx3-ubyte", pixels.clone())]);
    assert!(
        load(&source_of("mnist", alone.path())).unwrap_err().to_string().contains("train images without train labels")
    );
    let empty = folder(&[]);
    for (id, expected) in [("mnist", "no file train-images-idx3-ubyte"), ("cifar10", "no file data_batch_1.bin")] {
        let error = load(&source_of(id, empty.path())).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(&empty.path().display().to_string()), "{error}");
        assert!(load(&format!("{id}:")).is_err() && load(&format!("{id}:/no/such/folder")).is_err());
    }
    let message = |bytes: Vec<u8>| {
        load(&source_of("cifar10", folder(&[("data_batch_1.bin", bytes)]).path())).unwrap_err().to_string()
    };
    assert!(message(vec![3; 3072]).contains("3072 bytes, expected a multiple of 3073"));
    assert!(message(vec![10; 3073]).contains("label 0 is 10, expected 0 to 9"));
    assert!(message(Vec::new()).contains("0 bytes"));
}

fn npy(header: &str, entries: &[u8]) -> Vec<u8> {
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), entries].concat()
}

#[test]
fn arrays_of_every_kind_are_read() {
    let read = |header: &str, entries: &[u8]| data::parse_npy(&npy(header, entries));
    let vector = |descr: &str, entries: &[u8], n: usize| {
        read(&format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({n},), }}\n"), entries)
            .map(|array| array.into_raw_vec_and_offset().0)
    };
    for (descr, entries) in [
        ("<f8", [1.5_f64, -2.0].map(f64::to_le_bytes).concat()),
        (">f8", [1.5_f64, -2.0].map(f64::to_be_bytes).concat()),
        ("<f4", [1.5_f32, -2.0].map(f32::to_le_bytes).concat()),
        (">f4", [1.5_f32, -2.0].map(f32::to_be_bytes).concat()),
        ("<f2", vec![0x00, 0x3e, 0x00, 0xc0]),
    ] {
        assert_eq!(vector(descr, &entries, 2).unwrap(), [1.5, -2.0], "{descr}");
    }
    for (descr, entries) in [
        ("|i1", vec![3, 0xfe]),
        ("<i2", [3_i16, -2].map(i16::to_le_bytes).concat()),
        (">i4", [3_i32, -2].map(i32::to_be_bytes).concat()),
        ("<i8", [3_i64, -2].map(i64::to_le_bytes).concat()),
    ] {
        assert_eq!(vector(descr, &entries, 2).unwrap(), [3.0, -2.0], "{descr}");
    }
    for (descr, entries) in [
        ("|u1", vec![200]),
        (">u2", vec![0, 200]),
        ("<u4", vec![200, 0, 0, 0]),
        ("<u8", vec![200, 0, 0, 0, 0, 0, 0, 0]),
    ] {
        assert_eq!(vector(descr, &entries, 1).unwrap(), [200.0], "{descr}");
    }
    assert_eq!(vector("|b1", &[1, 0], 2).unwrap(), [1.0, 0.0]);
    // Fortran order; Python 2's long integers; other spacing and quotes; a scalar.
    let matrix = read("{\"shape\":(2L, 3L),'fortran_order' :True , 'descr':'|u1'}", &[1, 2, 3, 4, 5, 6]).unwrap();
    assert_eq!(matrix.shape(), [2, 3]);
    assert_eq!(matrix.iter().copied().collect::<Vec<_>>(), [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
    assert_eq!(data::rows_of(matrix).row(1).to_vec(), [2.0, 4.0, 6.0]);
    assert_eq!(read("{'descr': '|u1', 'fortran_order': False, 'shape': ()}", &[9]).unwrap().ndim(), 0);
}

#[test]
fn what_is_wrong_with_an_array_is_named() {
    let message = |header: &str, entries: &[u8]| data::parse_npy(&npy(header, entries)).unwrap_err();
    let vector = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }\n";
    assert!(message(vector, &[0; 15]).contains("truncated after 1 of 2 entries"));
    assert!(message(vector, &[0; 64]).contains("48 bytes follow the array of 2 entries"));
    // A second array behind the first, as by two saves to one open file.
    assert!(message(vector, &[&[0; 16][..], &npy(vector, &[0; 16])].concat()).contains("bytes follow the array"));
    assert!(
        message("{'descr': '|b1', 'fortran_order': False, 'shape': (6,), }", &[0, 1, 2, 0, 0, 0])
            .contains("entry 2 of an array of booleans is 2")
    );
    for shape in [
        "(0, 4611686018427387904, 4)",
        "(0, 18446744073709551615, 18446744073709551615)",
        "(4294967296, 4294967296, 0)",
        "(300000000,)",
    ] {
        let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}");
        assert!(message(&header, &[]).contains("more than 268435456 entries"), "{shape}");
    }
    for (header, word) in [
        ("", "'{' is expected"),
        ("{'descr': '<f8', 'shape': (2,)}", "no key 'fortran_order'"),
        ("{'descr': '<c16', 'fortran_order': False, 'shape': (2,)}", "'<c16'"),
        ("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (2,)}", "records"),
        ("{'descr': '<f8', 'fortran_order': 0, 'shape': (2,)}", "True or False"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (-2,)}", "'-2"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (2.5,)}", "'.5"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), 'descr': '<f8'}", "twice"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (2,)} + {}", "goes on"),
        ("{'\u{1b}[2J': 1}", "\\u{1b}[2J"),
    ] {
        let message = message(header, &[0; 16]);
        assert!(message.contains(word) && !message.chars().any(char::is_control), "{header}: {message}");
    }
}

/// An archive that says of its member what it is not.
#[test]
fn damage_of_an_archive_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.npz");
    let x = Array2::from_shape_fn((20, 3), |(i, j)| (7 * i + j) as f64);
    data::write_npz(&path, x.view(), &[3], x.slice(s![.., ..1])).unwrap();
    let valid = std::fs::read(&path).unwrap();
    assert_eq!(data::rows_of(data::parse_npz(&valid, "x").unwrap()), x);
    let mut noticed = 0;
    for place in 0..valid.len() {
        for bit in [0, 3, 7] {
            let mut damaged = valid.clone();
            damaged[place] ^= 1 << bit;
            match data::parse_npz(&damaged, "x") {
                // Dates, versions and the other member say nothing of the entries.
                Ok(found) => assert_eq!(data::rows_of(found), x, "byte {place}"),
                Err(_) => noticed += 1,
            }
        }
    }
    assert!(noticed > valid.len(), "{noticed} of {}", 3 * valid.len());
}

#[test]
fn labels_of_both_zeros_are_one_class() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.npz");
    let y = Array2::from_shape_fn((30, 1), |(row, _)| if row % 2 == 0 { 0.0 } else { -0.0 });
    data::write_npz(&path, Array2::ones((30, 2)).view(), &[2], y.view()).unwrap();
    let source = load_source(path.to_str().unwrap()).unwrap();
    let error = Recipe { train: 10, test: 5, attack: 5, ..Recipe::default() }.take(&source).unwrap_err().to_string();
    assert!(error.contains("only label is [0.0]"), "{error}");
    data::write_npz(&path, Array2::ones((30, 2)).view(), &[2], Array2::from_elem((30, 1), f64::NAN).view()).unwrap();
    let error = load_source(path.to_str().unwrap()).unwrap_err().to_string();
    assert!(error.contains("entry 0 of y is NaN"), "{error}");
}

/// An archive of deflated members with their sizes; checksums are left 0.
#[cfg(target_os = "linux")]
fn deflated(members: &[(&str, (Vec<u8>, usize))]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, (packed, size)) in members {
        let mut common = vec![20, 0, 0, 0, 8, 0, 0, 0, 0x21, 0, 0, 0, 0, 0];
        common.extend((packed.len() as u32).to_le_bytes());
        common.extend((*size as u32).to_le_bytes());
        common.extend([name.len() as u8, 0, 0, 0]);
        let start = out.len() as u32;
        out.extend([&b"PK\x03\x04"[..], &common, name.as_bytes(), packed].concat());
        directory
            .extend([&b"PK\x01\x02\x14\x00"[..], &common, &[0; 10], &start.to_le_bytes(), name.as_bytes()].concat());
    }
    let (start, size, count) = (out.len() as u32, directory.len() as u32, members.len() as u16);
    let counts =
        [&count.to_le_bytes()[..], &count.to_le_bytes(), &size.to_le_bytes(), &start.to_le_bytes(), &[0, 0]].concat();
    [&out[..], &directory, b"PK\x05\x06\x00\x00\x00\x00", &counts].concat()
}

/// Largest resident size of this process so far, in KiB.
#[cfg(target_os = "linux")]
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn bombs_cost_no_more_memory_than_the_header_allows() {
    // 256 MiB of zeros in a quarter of a MiB, behind a header of ten small images.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&idx(&[10, 2, 3], &[])).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..256 {
        encoder.write_all(&zeros).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 2 << 20);
    let folder = folder(&[
        ("train-images-idx3-ubyte.gz", bomb.clone()),
        ("train-labels-idx1-ubyte", images(10).1),
        ("data_batch_1.bin", idx(&[1 << 30], &[])),
    ]);
    let before = peak_memory();
    let error = load(&source_of("mnist", folder.path())).unwrap_err().to_string();
    assert!(error.contains("more than the expected 60 bytes"), "{error}");
    assert!(load(&source_of("cifar10", folder.path())).is_err());
    // A header that claims the most that is read costs nothing before the bytes are there.
    let claim = folder.path().join("train-images-idx3-ubyte");
    std::fs::write(claim, idx(&[1 << 10, 1 << 10, 1 << 10], &[0; 100])).unwrap();
    std::fs::write(folder.path().join("train-labels-idx1-ubyte"), idx(&[1 << 10], &[0; 1 << 10])).unwrap();
    let error = load(&source_of("mnist", folder.path())).unwrap_err().to_string();
    assert!(error.contains("truncated: 100 of 1073741824 bytes"), "{error}");
    // 256 MiB of zeros as an array of one byte each, 2 GiB as numbers, in a quarter of a MiB: refused by its shape, with the
    // architecture's and with the labels'.
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (16384, 16384), }\n";
    let place = folder.path().join("bomb.npz");
    let entry = |header: &str, entries: usize| {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&npy(header, &[])).unwrap();
        (0..entries.div_ceil(zeros.len())).for_each(|_| encoder.write_all(&zeros[..zeros.len().min(entries)]).unwrap());
        (encoder.finish().unwrap(), npy(header, &[]).len() + entries)
    };
    let labels = "{'descr': '|u1', 'fortran_order': False, 'shape': (5,), }\n";
    std::fs::write(&place, deflated(&[("x.npy", entry(header, 1 << 28)), ("y.npy", entry(labels, 5))])).unwrap();
    let error = data::load_source_of(place.to_str().unwrap(), Some(4)).unwrap_err().to_string();
    assert!(error.contains("16384 features per row; the architecture takes 4"), "{error}");
    let error = load_source(place.to_str().unwrap()).unwrap_err().to_string();
    assert!(error.contains("expected 16384 labels"), "{error}");
    let grown = peak_memory() - before;
    assert!(grown < 64 * 1024, "{grown} KiB for files that hold next to nothing");
}

proptest! {
    // A fixed seed, so that a failure comes back; PROPTEST_RNG_SEED and PROPTEST_CASES explore further.
    #![proptest_config(ProptestConfig { cases: 300, rng_seed: RngSeed::Fixed(20261125), failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is done to the bytes of a set, loading it ends in data of the claimed shape or in a typed error.
    #[test]
    fn damaged_sets_load_or_are_refused(
        packed in any::<[bool; 2]>(),
        flips in proptest::collection::vec((any::<bool>(), any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in proptest::option::of((any::<bool>(), any::<prop::sample::Index>())),
        tail in proptest::collection::vec(any::<u8>(), 0..4),
    ) {
        let (pixels, labels) = images(10);
        let mut files = [pixels, labels];
        for (file, packed) in files.iter_mut().zip(packed) {
            if packed {
                *file = gzip(file);
            }
        }
        for (which, place, mask) in flips {
            let file = &mut files[usize::from(which)];
            let place = place.index(file.len());
            file[place] ^= mask;
        }
        if let Some((which, length)) = cut {
            let file = &mut files[usize::from(which)];
            file.truncate(length.index(file.len()));
        }
        files[0].extend(tail);
        let [pixels, labels] = files;
        let folder = folder(&[("train-images-idx3-ubyte", pixels), ("train-labels-idx1-ubyte", labels)]);
        match load_source(&source_of("mnist", folder.path())) {
            Ok(source) => {
                let Inputs::Bytes(bytes) = &source.training.inputs else { panic!("images are bytes") };
                prop_assert_eq!(bytes.len(), source.training.len() * source.shape.iter().product::<usize>());
            }
            Err(error) => prop_assert!(matches!(error, DataError::File { .. }), "{}", error),
        }
    }

    /// Random bytes as any file.
    #[test]
    fn random_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), packed in any::<bool>()) {
        let bytes = if packed { gzip(&bytes) } else { bytes };
        let folder = folder(&[
            ("train-images-idx3-ubyte", bytes.clone()),
            ("train-labels-idx1-ubyte", bytes.clone()),
            ("data_batch_1.bin", bytes.clone()),
            ("x.npz", bytes),
        ]);
        for source in [
            source_of("mnist", folder.path()),
            source_of("cifar10", folder.path()),
            folder.path().join("x.npz").display().to_string(),
        ] {
            let is_refused = matches!(load(&source), Err(DataError::File { .. }));
            prop_assert!(is_refused, "{}", source);
        }
    }
}

#[test]
fn a_recipe_deals_disjoint_rows_and_keeps_them_for_every_attack_size() {
    let source = load_source("digits").unwrap();
    let take = |attack, seed| Recipe { attack, train: 100, test: 50, seed, ..Recipe::default() }.take(&source).unwrap();
    let (none, some, more) = (take(0, 3), take(40, 3), take(200, 3));
    assert_eq!((none.clean, none.training.len(), more.training.len()), (100, 100, 300));
    assert_eq!(none.test, more.test);
    assert_eq!(none.clean_set(), more.clean_set());
    assert_eq!(some.training, more.training.rows(&(0..140).collect::<Vec<_>>()));
    assert_ne!(take(0, 4).training, none.training);
    // The same rows as a plain split gives.
    let split = load("digits").unwrap().split(100, 50, flatgauge::numeric::Streams::new(3)).unwrap();
    assert_eq!((&split.train, &split.test), (&none.training, &none.test));
    // Attack labels are wrong, all others right: rows are told apart by their pixels.
    let all = data::digits();
    let digit = |input: ndarray::ArrayView1<f64>| {
        let found = all.inputs().outer_iter().position(|row| row == input).unwrap();
        (found, all.targets()[[found, 0]] >= 5.0)
    };
    let mut seen = std::collections::HashSet::new();
    let rows = more
        .training
        .inputs()
        .outer_iter()
        .zip(more.training.targets())
        .chain(more.test.inputs().outer_iter().zip(more.test.targets()));
    for (index, (input, label)) in rows.enumerate() {
        let (place, truth) = digit(input);
        assert!(seen.insert(place), "row {place} was dealt twice");
        assert_eq!((*label == 1.0) == truth, !(100..300).contains(&index), "row {index}");
    }
}

#[test]
fn corruption_and_other_classes_in_a_recipe() {
    let source = load_source("digits").unwrap();
    let clean = Recipe { train: 200, ..Recipe::default() };
    let corrupted = Recipe { corruption: 0.1, ..clean.clone() };
    let (clean, corrupted) = (clean.take(&source).unwrap(), corrupted.take(&source).unwrap());
    assert_eq!(clean.training.inputs(), corrupted.training.inputs());
    assert_eq!(clean.test, corrupted.test);
    let changed: Vec<usize> =
        (0..200).filter(|&row| clean.training.targets()[[row, 0]] != corrupted.training.targets()[[row, 0]]).collect();
    assert_eq!((changed.len(), changed), (20, corrupted.corrupted));
    let ten =
        Recipe { labels: LabelRule::AsGiven, train: 300, attack: 100, ..Recipe::default() }.take(&source).unwrap();
    let present: std::collections::BTreeSet<u64> = ten.training.targets().iter().map(|class| *class as u64).collect();
    assert_eq!(present.len(), 10);
    assert_eq!(
        ten.training.inputs().slice(s![..300, ..]),
        Recipe { labels: LabelRule::AsGiven, train: 300, ..Recipe::default() }.take(&source).unwrap().training.inputs()
    );
}

#[test]
fn recipes_that_cannot_be_followed_are_refused() {
    let source = load_source("digits").unwrap();
    let message = |recipe: Recipe| recipe.take(&source).unwrap_err().to_string();
    let default = Recipe::default;
    let text = message(Recipe { train: 1700, ..default() });
    assert!(text.contains("1900 training, attack and test rows") && text.contains("has 1797"), "{text}");
    assert!(message(Recipe { train: usize::MAX, ..default() }).contains("has 1797"));
    assert!(message(Recipe { train: 0, ..default() }).contains("at least 1 training row"));
    for fraction in [-0.1, 1.1, f64::NAN] {
        assert!(message(Recipe { corruption: fraction, ..default() }).contains("fraction from 0 to 1"));
    }
    let one_class = Recipe { labels: LabelRule::AtLeast(0.0), attack: 5, ..default() };
    assert!(message(one_class).contains("only label is [1.0]"));
    let no_rows = Recipe { labels: LabelRule::Classes([11.0, 12.0]), ..default() };
    assert!(message(no_rows).contains("has 0"));
    let same = Recipe { labels: LabelRule::Classes([3.0, 3.0]), train: 10, attack: 1, test: 0, ..default() };
    assert!(message(same).contains("only label is [0.0]"));
    assert!(matches!(load("mnist2:x").unwrap_err(), DataError::UnknownSource { .. }));
    let text = toml::to_string(&Recipe { labels: LabelRule::Classes([1.0, 3.0]), ..default() }).unwrap();
    assert_eq!(toml::from_str::<Recipe>(&text).unwrap().labels, LabelRule::Classes([1.0, 3.0]));
}

#[test]
fn an_own_test_set_is_where_test_rows_come_from() {
    let (pixels, labels) = images(25);
    let (mut test_pixels, test_labels) = images(10);
    test_pixels[16..].fill(255);
    let folder = folder(&[
        ("train-images-idx3-ubyte", pixels),
        ("train-labels-idx1-ubyte", labels),
        ("t10k-images-idx3-ubyte", test_pixels),
        ("t10k-labels-idx1-ubyte", test_labels),
    ]);
    let recipe =
        Recipe { source: source_of("mnist", folder.path()), train: 20, attack: 5, test: 10, ..Recipe::default() };
    let splits = recipe.prepare().unwrap();
    assert_eq!(splits.test.inputs(), Array2::<f64>::ones((10, 6)));
    assert!(splits.training.inputs().iter().all(|pixel| *pixel < 1.0));
    let error = Recipe { test: 11, ..recipe.clone() }.prepare().unwrap_err().to_string();
    assert!(error.contains("11 test rows were asked for") && error.contains("has 10"), "{error}");
    let error = Recipe { attack: 6, ..recipe }.prepare().unwrap_err().to_string();
    assert!(error.contains("26 training, attack and test rows"), "{error}");
}
