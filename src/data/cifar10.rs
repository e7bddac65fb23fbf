//! CIFAR-10 (Krizhevsky 2009) in its binary version: a label byte and 3 x 32 x 32 pixels an image.

use crate::data::bounded::{fault, find, open, read_at_most};
use crate::data::source::{Inputs, Rows, Source};
use crate::data::{DataError, LabelRule, Loader};
use ndarray::{Array1, Axis};
use std::io::Read;
use std::path::Path;

const SHAPE: [usize; 3] = [3, 32, 32];
const PIXELS: usize = SHAPE[0] * SHAPE[1] * SHAPE[2];
const RECORD: usize = 1 + PIXELS;
/// Most images read from one file; the original files hold 10,000 each.
const MAX_IMAGES: usize = 50_000;
/// Classes of the set.
const CLASSES: u8 = 10;
/// Class of cars ("automobile").
const CAR: f64 = 1.0;
/// Class of cats.
const CAT: f64 = 3.0;

/// Loader of CIFAR-10.
#[derive(Debug)]
pub struct Cifar10;

impl Loader for Cifar10 {
    fn id(&self) -> &'static str {
        "cifar10"
    }

    fn summary(&self) -> &'static str {
        "cifar10:DIR with data_batch_1.bin to data_batch_5.bin and test_batch.bin; label 0 for cars, 1 for cats"
    }

    fn load(&self, argument: &str) -> Result<Source, DataError> {
        let folder = Path::new(argument);
        let inner = folder.join("cifar-10-batches-bin");
        let folder = if inner.is_dir() { inner.as_path() } else { folder };
        let (mut pixels, mut classes) = (Vec::new(), Vec::new());
        let names: Vec<String> = (1..=5).map(|index| format!("data_batch_{index}.bin")).collect();
        let paths: Vec<_> = names.iter().map(|name| find(folder, std::slice::from_ref(name))).collect();
        for path in paths.iter().flatten() {
            parse(&mut open(path)?, &mut pixels, &mut classes).map_err(|reason| fault(path, reason))?;
        }
        if classes.is_empty() {
            return Err(fault(folder, format!("no file {} to {} in this folder", names[0], names[4])));
        }
        let missing: Vec<&str> =
            names.iter().zip(&paths).filter(|(_, path)| path.is_none()).map(|(name, _)| name.as_str()).collect();
        let missing = (!missing.is_empty()).then(|| {
            let (place, read) = (folder.display(), names.len() - missing.len());
            format!(
                "{place} lacks {}; {} images of {read} of {} files are used",
                missing.join(", "),
                classes.len(),
                names.len()
            )
        });
        let test = match find(folder, &["test_batch.bin".to_owned()]) {
            None => None,
            Some(path) => {
                let (mut pixels, mut classes) = (Vec::new(), Vec::new());
                parse(&mut open(&path)?, &mut pixels, &mut classes).map_err(|reason| fault(&path, reason))?;
                Some(rows(pixels, classes))
            }
        };
        Ok(Source {
            name: format!("cifar10:{argument}"),
            shape: SHAPE.to_vec(),
            training: rows(pixels, classes),
            test,
            rule: LabelRule::Classes([CAR, CAT]),
            notes: missing.into_iter().collect(),
        })
    }
}

fn rows(pixels: Vec<u8>, classes: Vec<f64>) -> Rows {
    Rows { inputs: Inputs::Bytes(pixels), targets: Array1::from_vec(classes).insert_axis(Axis(1)) }
}

/// Appends the images of one file.
fn parse(reader: &mut dyn Read, pixels: &mut Vec<u8>, classes: &mut Vec<f64>) -> Result<(), String> {
    let bytes = read_at_most(reader, MAX_IMAGES * RECORD)?;
    if bytes.is_empty() || bytes.len() % RECORD != 0 {
        return Err(format!("{} bytes, expected a multiple of {RECORD} (a label and {PIXELS} pixels)", bytes.len()));
    }
    for (index, record) in bytes.chunks_exact(RECORD).enumerate() {
        if record[0] >= CLASSES {
            return Err(format!("label {index} is {}, expected 0 to {}", record[0], CLASSES - 1));
        }
        classes.push(f64::from(record[0]));
        pixels.extend_from_slice(&record[1..]);
    }
    Ok(())
}
