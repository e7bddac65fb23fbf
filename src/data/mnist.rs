//! MNIST and the sets that share its format: Fashion-MNIST, KMNIST, EMNIST.

use crate::data::bounded::{fault, find, open};
use crate::data::idx::Idx;
use crate::data::source::{Inputs, Rows, Source};
use crate::data::{DataError, LabelRule, Loader};
use ndarray::{Array1, Axis};
use std::path::{Path, PathBuf};

/// Largest label of the family, that of EMNIST ByClass: ten digits and twice 26 letters.
const LARGEST_LABEL: u8 = 61;

/// Loader of IDX image sets.
#[derive(Debug)]
pub struct Mnist;

impl Loader for Mnist {
    fn id(&self) -> &'static str {
        "mnist"
    }

    fn summary(&self) -> &'static str {
        "mnist:DIR with IDX files, plain or .gz (MNIST, Fashion-MNIST, KMNIST; mnist:DIR/emnist-letters); label 1 for \
         classes of at least 5"
    }

    fn load(&self, argument: &str) -> Result<Source, DataError> {
        let place = Place::find(argument)?;
        let (shape, training) = place.read("train", &["train"])?.expect("the place was found by this file");
        let test = place.read("t10k", &["t10k", "test"])?;
        if let Some((test_shape, _)) = &test
            && *test_shape != shape
        {
            let reason = format!("test images of shape {test_shape:?}, but training images of shape {shape:?}");
            return Err(fault(&place.folder, reason));
        }
        Ok(Source {
            name: format!("mnist:{argument}"),
            shape,
            training,
            test: test.map(|(_, rows)| rows),
            rule: LabelRule::AtLeast(5.0),
            notes: Vec::new(),
        })
    }
}

/// A folder and what file names in it begin with: nothing, or `emnist-letters-`.
#[derive(Debug)]
struct Place {
    folder: PathBuf,
    prefix: String,
}

/// Names under which the images or labels of a part are found.
fn names(prefix: &str, part: &str, kind: &str, dimensions: u8) -> Vec<String> {
    ["-", "."].iter().map(|dot| format!("{prefix}{part}-{kind}{dot}idx{dimensions}-ubyte")).collect()
}

impl Place {
    /// `DIR`, or `DIR/PREFIX` where several sets share a folder.
    fn find(argument: &str) -> Result<Self, DataError> {
        let path = Path::new(argument);
        let has_images = |folder: &Path, prefix: &str| find(folder, &names(prefix, "train", "images", 3)).is_some();
        if path.is_dir() {
            if has_images(path, "") {
                return Ok(Self { folder: path.to_owned(), prefix: String::new() });
            }
            let mut prefixes: Vec<String> = std::fs::read_dir(path)
                .map_err(|error| fault(path, format!("cannot read the folder ({error})")))?
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .filter_map(|name| name.split_once("train-images").map(|(prefix, _)| prefix.to_owned()))
                .filter(|prefix| has_images(path, prefix))
                .collect();
            prefixes.sort();
            prefixes.dedup();
            return match &prefixes[..] {
                [prefix] => Ok(Self { folder: path.to_owned(), prefix: prefix.clone() }),
                [] => Err(fault(path, "no file train-images-idx3-ubyte or train-images-idx3-ubyte.gz in this folder")),
                several => {
                    let places: Vec<_> = several
                        .iter()
                        .map(|prefix| format!("mnist:{argument}/{}", prefix.trim_end_matches('-')))
                        .collect();
                    Err(fault(path, format!("several sets in this folder, expected one of {}", places.join(", "))))
                }
            };
        }
        if let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) {
            let prefix = format!("{name}-");
            if has_images(folder, &prefix) {
                return Ok(Self { folder: folder.to_owned(), prefix });
            }
        }
        Err(fault(path, "no such folder, expected one with train-images-idx3-ubyte"))
    }

    /// Images (with their shape) and labels of a part, `None` if it has neither; headers are compared before
    /// anything large is read.
    fn read(&self, canonical: &str, parts: &[&str]) -> Result<Option<(Vec<usize>, Rows)>, DataError> {
        let find_kind = |kind, dimensions| {
            parts.iter().find_map(|part| find(&self.folder, &names(&self.prefix, part, kind, dimensions)))
        };
        let (images, labels) = match (find_kind("images", 3), find_kind("labels", 1)) {
            (None, None) => return Ok(None),
            (Some(images), Some(labels)) => (images, labels),
            (images, _) => {
                let (there, missing) = if images.is_some() { ("images", "labels") } else { ("labels", "images") };
                let name = format!("{}{canonical}", self.prefix);
                return Err(fault(&self.folder, format!("{name} {there} without {name} {missing}")));
            }
        };
        let image_file = Idx::open(open(&images)?, 3).map_err(|reason| fault(&images, reason))?;
        let label_file = Idx::open(open(&labels)?, 1).map_err(|reason| fault(&labels, reason))?;
        let (count, height, width) = (image_file.shape[0], image_file.shape[1], image_file.shape[2]);
        if label_file.shape[0] != count {
            return Err(fault(
                &labels,
                format!("{} labels, expected {count} as there are images", label_file.shape[0]),
            ));
        }
        if height * width == 0 {
            return Err(fault(&images, format!("images of {height} x {width} pixels, expected at least one pixel")));
        }
        let classes = label_file.read().map_err(|reason| fault(&labels, reason))?;
        if let Some(index) = classes.iter().position(|class| *class > LARGEST_LABEL) {
            let reason = format!("label {index} is {}, expected 0 to {LARGEST_LABEL}", classes[index]);
            return Err(fault(&labels, reason));
        }
        let pixels = image_file.read().map_err(|reason| fault(&images, reason))?;
        let targets = Array1::from_iter(classes.into_iter().map(f64::from)).insert_axis(Axis(1));
        Ok(Some((vec![1, height, width], Rows { inputs: Inputs::Bytes(pixels), targets })))
    }
}
