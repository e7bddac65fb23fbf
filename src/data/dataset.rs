//! Data sets: inputs with labels, and how they are split by seed.

use crate::data::DataError;
use crate::numeric::Streams;
use ndarray::{Array2, ArrayView2, Axis};
use rand::seq::SliceRandom;

/// Inputs with labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    pub(crate) name: String,
    pub(crate) inputs: Array2<f64>,
    pub(crate) shape: Vec<usize>,
    pub(crate) targets: Array2<f64>,
}

/// Rows for training and for testing, disjoint.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Split {
    /// The training set S.
    pub train: Dataset,
    /// The test set E.
    pub test: Dataset,
}

impl Dataset {
    /// A data set of inputs (`n x features`) of a shape, and their targets (`n x 1` or `n x outputs`).
    ///
    /// # Errors
    /// [`DataError::Inputs`]: features that do not make the shape, or not as many targets as inputs.
    pub fn new(name: &str, inputs: Array2<f64>, shape: Vec<usize>, targets: Array2<f64>) -> Result<Self, DataError> {
        let fault = |reason: String| DataError::Inputs { source_name: name.to_owned(), reason };
        let features: usize = shape.iter().product();
        if inputs.ncols() != features {
            return Err(fault(format!("{} features per row, expected {features} (shape {shape:?})", inputs.ncols())));
        }
        if targets.nrows() != inputs.nrows() {
            return Err(fault(format!(
                "{} rows of targets, expected {} as of inputs",
                targets.nrows(),
                inputs.nrows()
            )));
        }
        Ok(Self { name: name.to_owned(), inputs, shape, targets })
    }

    /// Where it came from, for messages and records.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Inputs, `n x features`, features flattened (channels, height, width).
    pub fn inputs(&self) -> &Array2<f64> {
        &self.inputs
    }

    /// Shape of one input: `[features]` or `[channels, height, width]`.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Labels or targets, `n x 1` or `n x outputs`.
    pub fn targets(&self) -> &Array2<f64> {
        &self.targets
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.inputs.nrows()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows at `indices`, in that order.
    pub fn rows(&self, indices: &[usize]) -> Self {
        Self {
            name: self.name.clone(),
            inputs: self.inputs.select(Axis(0), indices),
            shape: self.shape.clone(),
            targets: self.targets.select(Axis(0), indices),
        }
    }

    /// The labels as two-valued signs: `true` for 1 in {0, 1} or {-1, +1}.
    ///
    /// # Errors
    /// [`DataError::Labels`] with the first label that is neither.
    pub fn signs(&self) -> Result<Vec<bool>, DataError> {
        let labels = self.binary_targets()?;
        Ok(labels.iter().map(|label| *label > 0.5).collect())
    }

    /// Labels as 0 and 1 (`n x 1`), from {0, 1} or {-1, +1}.
    ///
    /// # Errors
    /// [`DataError::Labels`] with the first label that is neither.
    pub fn binary_targets(&self) -> Result<Array2<f64>, DataError> {
        let fault = |reason| DataError::Labels { source_name: self.name.clone(), reason };
        if self.targets.ncols() != 1 {
            return Err(fault(format!("{} numbers per row, expected one label", self.targets.ncols())));
        }
        let negative = if self.targets.iter().any(|label| *label == 0.0) { 0.0 } else { -1.0 };
        match self.targets.iter().position(|&label| label != 1.0 && label != negative) {
            Some(row) => Err(fault(format!(
                "label {row} is {}, expected all labels in {{0, 1}} or all in {{-1, +1}}",
                self.targets[[row, 0]]
            ))),
            None => Ok(self.targets.mapv(|label| f64::from(u8::from(label == 1.0)))),
        }
    }

    /// Shuffles the rows by seed and deals `train` and `test` of them.
    ///
    /// # Errors
    /// [`DataError::TooFew`] if there are fewer rows than asked for.
    pub fn split(&self, train: usize, test: usize, streams: Streams) -> Result<Split, DataError> {
        if train + test > self.len() {
            return Err(DataError::TooFew {
                source_name: self.name.clone(),
                what: "training and test rows",
                wanted: train + test,
                available: self.len(),
            });
        }
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.shuffle(&mut streams.stream("split", 0));
        Ok(Split { train: self.rows(&order[..train]), test: self.rows(&order[train..train + test]) })
    }

    /// Inputs of several sets, one below the other.
    ///
    /// # Panics
    /// If their inputs differ in width.
    pub fn stacked_inputs(sets: &[&Self]) -> Array2<f64> {
        let views: Vec<ArrayView2<f64>> = sets.iter().map(|set| set.inputs.view()).collect();
        ndarray::concatenate(Axis(0), &views).expect("inputs of equal width")
    }
}
