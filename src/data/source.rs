//! What a loader found: rows with labels, kept small until rows are chosen.

use crate::data::{DataError, Dataset, LabelRule};
use ndarray::{Array2, Axis};

/// Inputs with labels, and where the source has them, rows set aside for testing.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where it came from, for messages and records.
    pub name: String,
    /// Shape of one input: `[features]` or `[channels, height, width]`.
    pub shape: Vec<usize>,
    /// Rows for training.
    pub training: Rows,
    /// The source's own test rows.
    pub test: Option<Rows>,
    /// How its classes become two labels unless another rule is asked for.
    pub rule: LabelRule,
    /// What a user should know of how it was found, as parts that are missing.
    pub notes: Vec<String>,
}

/// Rows of a source.
#[derive(Debug, Clone)]
pub struct Rows {
    /// One input per row, features flattened.
    pub inputs: Inputs,
    /// Classes or targets, `n x 1` or `n x outputs`.
    pub targets: Array2<f64>,
}

/// Inputs as they were stored: images take one byte a pixel until rows are chosen.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Inputs {
    /// Pixels 0 to 255, row after row; they become numbers 0 to 1.
    Bytes(Vec<u8>),
    /// Real numbers.
    Reals(Array2<f64>),
}

impl Rows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.targets.nrows()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The inputs of rows `indices`, in that order.
    fn inputs(&self, indices: &[usize], features: usize) -> Array2<f64> {
        match &self.inputs {
            Inputs::Reals(inputs) => inputs.select(Axis(0), indices),
            Inputs::Bytes(bytes) => Array2::from_shape_fn((indices.len(), features), |(row, column)| {
                f64::from(bytes[indices[row] * features + column]) / 255.0
            }),
        }
    }
}

impl Source {
    /// Rows `indices` of `rows` with labels by `rule`.
    ///
    /// # Panics
    /// If the rule gives one of the rows no label.
    pub(crate) fn select(&self, rows: &Rows, indices: &[usize], rule: &LabelRule) -> Dataset {
        let mut targets = rows.targets.select(Axis(0), indices);
        targets.mapv_inplace(|class| rule.label(class).expect("rows without a label were left out"));
        let features = self.shape.iter().product();
        Dataset { name: self.name.clone(), inputs: rows.inputs(indices, features), shape: self.shape.clone(), targets }
    }

    /// The rows that `rule` gives a label.
    ///
    /// # Errors
    /// [`DataError::Labels`] if the rule is about classes and the source has targets of several numbers.
    pub(crate) fn labelled(&self, rows: &Rows, rule: &LabelRule) -> Result<Vec<usize>, DataError> {
        if *rule == LabelRule::AsGiven {
            return Ok((0..rows.len()).collect());
        }
        self.check_classes(rows)?;
        Ok((0..rows.len()).filter(|&row| rule.label(rows.targets[[row, 0]]).is_some()).collect())
    }

    /// The labels of rows `indices` by `rule`.
    ///
    /// # Errors
    /// [`DataError::Labels`] if the source has targets of several numbers.
    pub(crate) fn labels<'a>(
        &self,
        rows: &'a Rows,
        indices: &'a [usize],
        rule: &'a LabelRule,
    ) -> Result<impl Iterator<Item = f64> + use<'a>, DataError> {
        self.check_classes(rows)?;
        Ok(indices.iter().filter_map(|&row| rule.label(rows.targets[[row, 0]])))
    }

    fn check_classes(&self, rows: &Rows) -> Result<(), DataError> {
        if rows.targets.ncols() == 1 {
            return Ok(());
        }
        let reason = format!("{} numbers per row, expected one class", rows.targets.ncols());
        Err(DataError::Labels { source_name: self.name.clone(), reason })
    }

    /// The rule that `asked` stands for here.
    pub(crate) fn resolve<'a>(&'a self, asked: &'a LabelRule) -> &'a LabelRule {
        if *asked == LabelRule::Source { &self.rule } else { asked }
    }

    /// All rows for training, labelled by the source's own rule.
    ///
    /// # Errors
    /// As the rule's.
    pub fn dataset(&self) -> Result<Dataset, DataError> {
        let rows = self.labelled(&self.training, &self.rule)?;
        Ok(self.select(&self.training, &rows, &self.rule))
    }
}
