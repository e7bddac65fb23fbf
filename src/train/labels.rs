//! Labels as a loss wants them, and when a network has them right.

use crate::data::Dataset;
use crate::model::Loss;
use crate::train::TrainError;
use ndarray::Array2;

/// The targets a loss trains on, from the labels of a data set, for a network of `outputs` logits.
///
/// | loss | labels | targets |
/// |---|---|---|
/// | `bce` | two values | 0 and 1 |
/// | `ce` | class indices | the same |
/// | `mse`, one logit | two values | -1 and +1, so that a label is `+` iff the logit is above 0 |
/// | `mse`, several logits | class indices, or a row per sample | 1 at the class and 0 elsewhere, or the same |
///
/// # Errors
/// [`TrainError::Labels`] where the labels do not fit.
pub fn targets(loss: Loss, outputs: usize, data: &Dataset) -> Result<Array2<f64>, TrainError> {
    let fault = |reason: String| TrainError::Labels { source_name: data.name.clone(), reason };
    let binary = || data.binary_targets().map_err(|error| fault(reason_of(error)));
    match (loss, outputs) {
        (Loss::Bce, _) => binary(),
        (Loss::Mse, 1) => Ok(binary()?.mapv(|label| 2.0 * label - 1.0)),
        (Loss::Mse, _) if data.targets.ncols() == outputs => Ok(data.targets.clone()),
        (Loss::Ce, 0 | 1) => Err(fault("a network of at least 2 outputs is needed for ce, this one has 1".to_owned())),
        (Loss::Ce | Loss::Mse, _) => {
            if data.targets.ncols() != 1 {
                return Err(fault(format!("{} numbers per row, expected one class index", data.targets.ncols())));
            }
            let is_class = |class: f64| class >= 0.0 && class < outputs as f64 && class.fract() == 0.0;
            if let Some((row, class)) = data.targets.iter().enumerate().find(|(_, class)| !is_class(**class)) {
                return Err(fault(format!("label {row} is {class}, expected a class index from 0 to {}", outputs - 1)));
            }
            if loss == Loss::Ce {
                return Ok(data.targets.clone());
            }
            Ok(Array2::from_shape_fn((data.len(), outputs), |(row, class)| {
                f64::from(u8::from(data.targets[[row, 0]] == class as f64))
            }))
        }
    }
}

fn reason_of(error: crate::data::DataError) -> String {
    match error {
        crate::data::DataError::Labels { reason, .. } => reason,
        other => other.to_string(),
    }
}

/// Whether the label read off the logits is the target's: `logit > 0` for one logit, the largest logit
/// for several (the first of equal ones).
pub fn is_correct(logits: &[f64], target: &[f64]) -> bool {
    match (logits, target) {
        ([logit], [target]) => (*logit > 0.0) == (*target > 0.0),
        (logits, [class]) => first_largest(logits) == *class as usize,
        (logits, target) => first_largest(logits) == first_largest(target),
    }
}

fn first_largest(values: &[f64]) -> usize {
    (1..values.len()).fold(0, |best, index| if values[index] > values[best] { index } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn labelled(targets: Array2<f64>) -> Dataset {
        let inputs = Array2::zeros((targets.nrows(), 2));
        Dataset { name: "test".to_owned(), inputs, shape: vec![2], targets }
    }

    #[test]
    fn targets_of_every_loss() {
        let binary = labelled(array![[0.0], [1.0], [1.0]]);
        assert_eq!(targets(Loss::Bce, 1, &binary).unwrap(), array![[0.0], [1.0], [1.0]]);
        assert_eq!(targets(Loss::Mse, 1, &binary).unwrap(), array![[-1.0], [1.0], [1.0]]);
        assert_eq!(targets(Loss::Mse, 1, &labelled(array![[-1.0], [1.0]])).unwrap(), array![[-1.0], [1.0]]);
        let classes = labelled(array![[2.0], [0.0]]);
        assert_eq!(targets(Loss::Ce, 3, &classes).unwrap(), classes.targets);
        assert_eq!(targets(Loss::Mse, 3, &classes).unwrap(), array![[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]);
        for (loss, outputs) in [(Loss::Bce, 1), (Loss::Mse, 1), (Loss::Ce, 2), (Loss::Mse, 2)] {
            let error = targets(loss, outputs, &classes).unwrap_err();
            assert!(error.to_string().contains("label 0 is 2"), "{error}");
        }
        assert!(targets(Loss::Ce, 3, &labelled(array![[f64::NAN]])).is_err());
    }

    #[test]
    fn a_logit_of_zero_is_the_negative_label() {
        assert!(is_correct(&[0.0], &[0.0]) && is_correct(&[0.0], &[-1.0]) && !is_correct(&[0.0], &[1.0]));
        assert!(is_correct(&[1e-300], &[1.0]) && !is_correct(&[f64::NAN], &[1.0]));
        assert!(is_correct(&[1.0, 1.0], &[0.0]) && !is_correct(&[1.0, 1.0], &[1.0]));
        assert!(is_correct(&[0.0, 2.0, 1.0], &[0.0, 1.0, 0.0]));
    }
}
