//! Wrong labels on purpose: attack sets and label corruption.
//!
//! An *attack set* is K further rows of the source with wrong labels, trained on beside the clean training set S;
//! zero error is asked for on S. It spoils generalisation by a degree that grows with K, and the function on S stays
//! right (arXiv 2103.06219, section 5; Wu, Zhu and E 2017). *Label corruption* gives a fraction of S itself wrong
//! labels (Zhang et al. 2017), which are then the ones to be learned.

use crate::data::{DataError, Dataset};
use crate::numeric::Streams;
use rand::RngExt;
use rand::seq::SliceRandom;

/// More distinct labels than this are no classes but measurements.
const MAX_CLASSES: usize = 1000;

/// The distinct labels of a set, in ascending order: its classes.
///
/// # Errors
/// [`DataError::Labels`]: fewer than two, or so many that they are no classes.
pub fn classes(name: &str, labels: impl Iterator<Item = f64>) -> Result<Vec<f64>, DataError> {
    let fault = |reason| DataError::Labels { source_name: name.to_owned(), reason };
    let mut classes: Vec<f64> = Vec::new();
    // Both zeros are one label, which the order by bits would tell apart; a sum with 0 is never -0.
    for label in labels.map(|label| label + 0.0) {
        if let Err(place) = classes.binary_search_by(|class| class.total_cmp(&label)) {
            classes.insert(place, label);
        }
        if classes.len() > MAX_CLASSES {
            return Err(fault(format!(
                "more than {MAX_CLASSES} distinct labels, expected classes to take wrong labels from"
            )));
        }
    }
    if classes.len() < 2 {
        return Err(fault(format!("the only label is {classes:?}, expected at least two to take wrong labels from")));
    }
    Ok(classes)
}

/// Gives rows `rows` of `data` a wrong label each: one of the other `classes`, all equally likely. Of two classes
/// it is the other one.
///
/// The labels of the first rows do not depend on how many follow.
///
/// # Panics
/// If there is only one class, or `data` has not one label a row.
pub fn mislabel(data: &mut Dataset, rows: &[usize], classes: &[f64], streams: Streams) {
    assert!(classes.len() >= 2 && data.targets.ncols() == 1, "a wrong label needs a second class");
    let mut generator = streams.stream("wrong labels", 0);
    for &row in rows {
        let label = &mut data.targets[[row, 0]];
        let others = classes.iter().filter(|class| *class != label).count();
        let choice = generator.random_range(0..others);
        *label = *classes.iter().filter(|class| *class != label).nth(choice).expect("a choice below their number");
    }
}

/// Gives a fraction of the rows wrong labels: exactly `round(fraction n)` rows, drawn without replacement.
/// Returns them in ascending order.
///
/// # Panics
/// If the fraction is outside [0, 1], or as [`mislabel`].
pub fn corrupt(data: &mut Dataset, fraction: f64, classes: &[f64], streams: Streams) -> Vec<usize> {
    assert!((0.0..=1.0).contains(&fraction), "a fraction of {fraction}");
    let mut rows: Vec<usize> = (0..data.len()).collect();
    rows.shuffle(&mut streams.stream("corrupted rows", 0));
    rows.truncate((fraction * data.len() as f64).round() as usize);
    mislabel(data, &rows, classes, streams);
    rows.sort_unstable();
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    fn labelled(n: usize, classes: usize) -> Dataset {
        Dataset {
            name: "test".to_owned(),
            inputs: Array2::zeros((n, 1)),
            shape: vec![1],
            targets: Array2::from_shape_fn((n, 1), |(row, _)| (row % classes) as f64),
        }
    }

    #[test]
    fn of_two_classes_the_wrong_one_is_the_other() {
        let before = labelled(40, 2);
        let mut after = before.clone();
        mislabel(&mut after, &[3, 4, 39], &[0.0, 1.0], Streams::new(0));
        for row in 0..40 {
            assert_eq!(after.targets[[row, 0]] != before.targets[[row, 0]], [3, 4, 39].contains(&row));
        }
    }

    #[test]
    fn wrong_labels_are_uniform_over_the_other_classes() {
        let n = 12_000;
        let before = labelled(n, 4);
        let mut after = before.clone();
        mislabel(&mut after, &(0..n).collect::<Vec<_>>(), &[0.0, 1.0, 2.0, 3.0], Streams::new(5));
        let mut counts = [[0_usize; 4]; 4];
        for (old, new) in before.targets.iter().zip(&after.targets) {
            counts[*old as usize][*new as usize] += 1;
        }
        // 3000 draws over 3 classes: standard deviation sqrt(3000 2/9) = 26, six of them 155, a false alarm in 10^8
        // over the twelve counts; a class left out or drawn twice as often is found for certain.
        for (old, row) in counts.iter().enumerate() {
            for (new, count) in row.iter().enumerate() {
                let expected = if old == new { 0 } else { 1000 };
                assert!(count.abs_diff(expected) <= if old == new { 0 } else { 155 }, "{counts:?}");
            }
        }
        let mut first = before.clone();
        mislabel(&mut first, &(0..100).collect::<Vec<_>>(), &[0.0, 1.0, 2.0, 3.0], Streams::new(5));
        assert!((0..100).all(|row| first.targets[[row, 0]] == after.targets[[row, 0]]));
    }

    #[test]
    fn corruption_hits_exactly_the_fraction() {
        for (fraction, expected) in [(0.0, 0), (0.1, 5), (0.25, 13), (1.0, 50)] {
            let before = labelled(50, 2);
            let mut after = before.clone();
            let rows = corrupt(&mut after, fraction, &[0.0, 1.0], Streams::new(1));
            let changed: Vec<_> = (0..50).filter(|&row| after.targets[[row, 0]] != before.targets[[row, 0]]).collect();
            assert_eq!((rows.len(), &rows), (expected, &changed));
        }
    }

    /// n = 3000, seed 5: the standard deviation of a count is 27, six of them 164, a false alarm in 5 10^8; a zero that counts
    /// twice is off by 500.
    #[test]
    fn both_zeros_are_one_label() {
        let error = classes("test", [-0.0, 0.0, -0.0].into_iter()).unwrap_err().to_string();
        assert!(error.contains("only label is [0.0]"), "{error}");
        let all = classes("test", [0.0, 2.0, -0.0, 1.0].into_iter()).unwrap();
        assert_eq!(all.iter().map(|class| class.to_bits()).collect::<Vec<_>>(), [0.0, 1.0, 2.0].map(f64::to_bits));
        let mut data = labelled(3000, 1);
        data.targets.fill(2.0);
        mislabel(&mut data, &(0..3000).collect::<Vec<_>>(), &all, Streams::new(5));
        let zeros = data.targets.iter().filter(|label| **label == 0.0).count();
        assert!(zeros.abs_diff(1500) <= 164, "{zeros} of 3000");
        data.targets.fill(-0.0);
        mislabel(&mut data, &[0, 1, 2], &all, Streams::new(5));
        assert!((0..3).all(|row| data.targets[[row, 0]] != 0.0));
    }

    #[test]
    fn classes_are_the_distinct_labels() {
        assert_eq!(classes("test", [3.0, 1.0, 3.0, 1.0].into_iter()).unwrap(), [1.0, 3.0]);
        assert!(classes("test", [1.0, 1.0].into_iter()).unwrap_err().to_string().contains("only label is [1.0]"));
        let error = classes("test", (0..5000).map(f64::from)).unwrap_err();
        assert!(error.to_string().contains("more than 1000"), "{error}");
    }
}
