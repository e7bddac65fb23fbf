//! Sizes of S, E and the attack sets, by data source.

/// Of rows that serve as attack set or test set, this share may be the attack set.
const ATTACK_SHARE: f64 = 0.6;

/// The sizes of a study with the data of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Rows of S.
    pub train: usize,
    /// Rows of E.
    pub test: usize,
    /// Largest attack set.
    pub attack: usize,
    /// Step between attack sets.
    pub step: usize,
}

/// The sizes of the program published with arXiv 2103.06219: MNIST |S| = 500, attack sets 0 to 500 by 50, |E| = 1000;
/// CIFAR-10 |S| = 5000, attack sets 0 to 5000 by 500, |E| = 2000. Other sources have MNIST's, with a smaller E, as the embedded
/// digits have fewer rows.
pub(super) fn published(data: &str) -> Sizes {
    match data.split(':').next() {
        Some("mnist") => Sizes { train: 500, test: 1000, attack: 500, step: 50 },
        Some("cifar10") => Sizes { train: 5000, test: 2000, attack: 5000, step: 500 },
        _ => Sizes { train: 500, test: 500, attack: 500, step: 50 },
    }
}

/// The sizes of a quick study, whatever the source: MNIST's, with an E on which particles take seconds.
pub(super) fn quick() -> Sizes {
    Sizes { test: 300, ..published("mnist") }
}

impl Sizes {
    /// Test rows and the largest attack set that there is room for beside S: `spare` rows of the training rows are left,
    /// and `testing` test rows are the source's own.
    pub fn split(
        self,
        spare: usize,
        testing: Option<usize>,
        test: Option<usize>,
        attack: Option<usize>,
    ) -> (usize, usize) {
        if let Some(testing) = testing {
            return (test.unwrap_or(self.test.min(testing)), attack.unwrap_or(self.attack.min(spare)));
        }
        let attack = attack.unwrap_or_else(|| match test {
            Some(test) => self.attack.min(spare.saturating_sub(test)),
            None => self.attack.min((ATTACK_SHARE * spare as f64) as usize),
        });
        (test.unwrap_or_else(|| self.test.min(spare.saturating_sub(attack))), attack)
    }

    /// At most `count` sizes of attack sets from 0 to `largest`, in steps that are a multiple of the source's where there is
    /// room.
    pub fn attacks(self, largest: usize, count: usize) -> Vec<usize> {
        if count <= 1 || largest == 0 {
            return vec![0];
        }
        let unit = if largest >= self.step { self.step } else { 1 };
        let step = (largest / (count - 1) / unit * unit).max(unit);
        (0..=largest).step_by(step).take(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_the_published_ones_where_there_is_room() {
        let mnist = published("mnist:DIR");
        // 5000 training and 1000 test images.
        assert_eq!(mnist.split(4500, Some(1000), None, None), (1000, 500));
        assert_eq!(mnist.attacks(500, 11), (0..=500).step_by(50).collect::<Vec<_>>());
        // 10,000 images of two classes, 2000 test images.
        let cifar = published("cifar10:DIR");
        assert_eq!(cifar.split(5000, Some(2000), None, None), (2000, 5000));
        assert_eq!(cifar.attacks(5000, 11), (0..=5000).step_by(500).collect::<Vec<_>>());
        // A set of 1000 rows without test rows.
        let digits = published("digits");
        assert_eq!(digits.split(500, None, None, None), (200, 300));
        assert_eq!(digits.attacks(300, 11), [0, 50, 100, 150, 200, 250, 300]);
        assert_eq!(digits.attacks(300, 3), [0, 150, 300]);
        assert_eq!(digits.attacks(30, 4), [0, 10, 20, 30]);
        assert_eq!(digits.attacks(300, 1), [0]);
        // A set with test rows of its own.
        assert_eq!(digits.split(59_500, Some(10_000), None, None), (500, 500));
    }
}
