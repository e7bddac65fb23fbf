//! The UCI optical digits (Alpaydin and Kaynak 1998), 1797 images of 8 x 8, embedded.

use crate::data::npy::parse_npz;
use crate::data::{DataError, Dataset, Inputs, LabelRule, Loader, Rows, Source};
use ndarray::{Ix1, Ix2};

const BYTES: &[u8] = include_bytes!("../../fixtures/digits.npz");

/// Loader of the embedded digits.
#[derive(Debug)]
pub struct Digits;

impl Loader for Digits {
    fn id(&self) -> &'static str {
        "digits"
    }

    fn summary(&self) -> &'static str {
        "1797 handwritten digits of 8 x 8 pixels (UCI, embedded); label 1 for digits of at least 5"
    }

    fn load(&self, _argument: &str) -> Result<Source, DataError> {
        let digits = digits();
        Ok(Source {
            name: digits.name,
            shape: digits.shape,
            training: Rows { inputs: Inputs::Reals(digits.inputs), targets: digits.targets },
            test: None,
            rule: LabelRule::AtLeast(5.0),
            notes: Vec::new(),
        })
    }
}

/// All digits: pixels scaled from 0..16 to 0..1, targets the digits themselves.
pub fn digits() -> Dataset {
    let read = |name| parse_npz(BYTES, name).expect("the embedded archive is sound");
    let pixels = read("x").into_dimensionality::<Ix2>().expect("one row an image");
    let classes = read("y").into_dimensionality::<Ix1>().expect("one digit an image");
    Dataset {
        name: "digits".to_owned(),
        inputs: pixels / 16.0,
        shape: vec![1, 8, 8],
        targets: classes.insert_axis(ndarray::Axis(1)),
    }
}
