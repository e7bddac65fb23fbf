//! All inputs of Boolean functions, with the labels of one of them if it is given.

use crate::data::source::{Inputs, Rows, Source};
use crate::data::{DataError, LabelRule, Loader};
use ndarray::Array2;

/// Most inputs of a function; there are 2^20 rows then.
const MAX_INPUTS: u32 = 20;

/// Loader of Boolean inputs.
#[derive(Debug)]
pub struct Boolean;

impl Loader for Boolean {
    fn id(&self) -> &'static str {
        "boolean"
    }

    fn summary(&self) -> &'static str {
        "boolean:N, all 2^N inputs of 0 and 1 in counting order, without labels; boolean:N:BITS with character i of BITS \
         as label of input i"
    }

    fn load(&self, argument: &str) -> Result<Source, DataError> {
        let name = format!("boolean:{argument}");
        let (count, bits) = match argument.split_once(':') {
            Some((count, bits)) => (count, Some(bits)),
            None => (argument, None),
        };
        let Some(inputs) = count.parse::<u32>().ok().filter(|inputs| (1..=MAX_INPUTS).contains(inputs)) else {
            let expected = format!("boolean:N with N from 1 to {MAX_INPUTS}, or boolean:N:BITS");
            return Err(DataError::Argument { source_name: name, expected });
        };
        let rows = 1_usize << inputs;
        let targets = match bits {
            None => Array2::zeros((rows, 0)),
            Some(bits) if bits.len() == rows && bits.bytes().all(|bit| matches!(bit, b'0' | b'1')) => {
                Array2::from_shape_vec((rows, 1), bits.bytes().map(|bit| f64::from(bit - b'0')).collect())
                    .expect("one label an input")
            }
            Some(bits) => {
                let expected = format!("{rows} characters 0 or 1 after boolean:{inputs}:, found {}", bits.len());
                return Err(DataError::Argument { source_name: name, expected });
            }
        };
        let digits = Array2::from_shape_fn((rows, inputs as usize), |(row, bit)| {
            (row >> (inputs as usize - 1 - bit) & 1) as f64
        });
        Ok(Source {
            name,
            shape: vec![inputs as usize],
            training: Rows { inputs: Inputs::Reals(digits), targets },
            test: None,
            rule: LabelRule::AsGiven,
            notes: Vec::new(),
        })
    }
}
