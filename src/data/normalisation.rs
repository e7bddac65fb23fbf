//! Inputs shifted and scaled, by statistics of the clean training rows alone.

use crate::data::{DataError, Dataset};
use ndarray::{Array2, Axis};
use serde::{Deserialize, Serialize};

/// How inputs are shifted and scaled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Normalisation {
    /// As the loader gives them: images from 0 to 1.
    #[default]
    AsLoaded,
    /// Minus the mean training input.
    Centred,
    /// Each channel to mean 0 and variance 1 over all its training pixels (a vector is one channel).
    Standardised,
    /// Each input to the length `sqrt(features)`, so that the first layer of the NNGP kernel has unit diagonal up to
    /// its variances.
    UnitPower,
}

/// A shift and scale a feature, or a common length.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fitted {
    Affine { shift: Vec<f64>, scale: Vec<f64> },
    UnitPower,
}

impl Normalisation {
    /// Fits the statistics to the training set S.
    ///
    /// # Errors
    /// [`DataError::Inputs`] for a channel that is constant, which no scale gives variance 1.
    pub(crate) fn fit(self, clean: &Dataset) -> Result<Fitted, DataError> {
        let features = clean.inputs.ncols();
        let mut shift = vec![0.0; features];
        let mut scale = vec![1.0; features];
        match self {
            Self::AsLoaded => {}
            Self::UnitPower => return Ok(Fitted::UnitPower),
            Self::Centred => {
                for (shift, column) in shift.iter_mut().zip(clean.inputs.axis_iter(Axis(1))) {
                    *shift = column.sum() / column.len() as f64;
                }
            }
            Self::Standardised => {
                let channels = if clean.shape.len() == 3 { clean.shape[0] } else { 1 };
                let width = features / channels;
                for channel in 0..channels {
                    let columns = channel * width..(channel + 1) * width;
                    let pixels = clean.inputs.slice(ndarray::s![.., columns.clone()]);
                    let count = pixels.len() as f64;
                    let mean = pixels.sum() / count;
                    let variance = pixels.fold(0.0, |sum, pixel| sum + (pixel - mean) * (pixel - mean)) / count;
                    let positive = variance > 0.0;
                    if !positive {
                        let reason = format!("channel {channel} has variance {variance}, expected it above 0");
                        return Err(DataError::Inputs { source_name: clean.name.clone(), reason });
                    }
                    shift[columns.clone()].fill(mean);
                    scale[columns].fill(1.0 / variance.sqrt());
                }
            }
        }
        Ok(Fitted::Affine { shift, scale })
    }
}

impl Fitted {
    /// Shifts and scales the inputs.
    ///
    /// # Errors
    /// [`DataError::Inputs`] for an input of length 0 that is to have another.
    pub fn apply(&self, data: &mut Dataset) -> Result<(), DataError> {
        match self {
            Self::Affine { shift, scale } => {
                let inputs: &mut Array2<f64> = &mut data.inputs;
                for mut row in inputs.outer_iter_mut() {
                    for ((value, shift), scale) in row.iter_mut().zip(shift).zip(scale) {
                        *value = (*value - shift) * scale;
                    }
                }
            }
            Self::UnitPower => {
                let root = (data.inputs.ncols() as f64).sqrt();
                for (index, mut row) in data.inputs.outer_iter_mut().enumerate() {
                    let length = row.dot(&row).sqrt();
                    let usable = length > 0.0 && length.is_finite();
                    if !usable {
                        let reason = format!("input {index} has length {length}, expected it finite and above 0");
                        return Err(DataError::Inputs { source_name: data.name.clone(), reason });
                    }
                    row *= root / length;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::tolerance::SUMMATION_AGREEMENT;
    use approx::assert_abs_diff_eq;
    use ndarray::{Array1, array, s};

    fn images() -> Dataset {
        let inputs = Array2::from_shape_fn((7, 8), |(row, column)| ((row * row + 3 * column) % 11) as f64 / 10.0);
        Dataset { name: "test".to_owned(), inputs, shape: vec![2, 2, 2], targets: Array2::zeros((7, 1)) }
    }

    fn normalised(how: Normalisation) -> Dataset {
        let mut data = images();
        how.fit(&data).unwrap().apply(&mut data).unwrap();
        data
    }

    #[test]
    fn each_way_has_the_property_it_is_named_for() {
        assert_eq!(normalised(Normalisation::AsLoaded), images());
        let centred = normalised(Normalisation::Centred).inputs;
        assert_abs_diff_eq!(centred.mean_axis(Axis(0)).unwrap(), Array1::zeros(8), epsilon = SUMMATION_AGREEMENT);
        assert_abs_diff_eq!(
            &centred - &images().inputs + &images().inputs.mean_axis(Axis(0)).unwrap(),
            Array2::<f64>::zeros((7, 8)),
            epsilon = SUMMATION_AGREEMENT
        );
        let standardised = normalised(Normalisation::Standardised).inputs;
        for channel in [s![.., ..4], s![.., 4..]] {
            let pixels = standardised.slice(channel);
            assert_abs_diff_eq!(pixels.mean().unwrap(), 0.0, epsilon = SUMMATION_AGREEMENT);
            assert_abs_diff_eq!(pixels.mapv(|x| x * x).mean().unwrap(), 1.0, epsilon = SUMMATION_AGREEMENT);
        }
        for row in normalised(Normalisation::UnitPower).inputs.outer_iter() {
            assert_abs_diff_eq!(row.dot(&row), 8.0, epsilon = SUMMATION_AGREEMENT);
        }
    }

    #[test]
    fn what_cannot_be_scaled_is_refused() {
        let constant = Dataset { inputs: Array2::from_elem((3, 2), 0.3), shape: vec![2], ..images() };
        let error = Normalisation::Standardised.fit(&constant).unwrap_err().to_string();
        assert!(error.contains("channel 0 has variance"), "{error}");
        let mut zero = Dataset { inputs: array![[1.0, 2.0], [0.0, 0.0]], shape: vec![2], ..images() };
        let error = Fitted::UnitPower.apply(&mut zero).unwrap_err().to_string();
        assert!(error.contains("input 1 has length 0"), "{error}");
    }
}
