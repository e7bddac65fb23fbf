//! How classes become labels.

use serde::{Deserialize, Serialize};

/// A rule from classes to labels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LabelRule {
    /// The source's own: MNIST and its kin and the digits by class >= 5, CIFAR-10 car against cat (both as in
    /// arXiv 2103.06219), others as given.
    #[default]
    Source,
    /// Classes stay what they are, for cross-entropy over all of them.
    AsGiven,
    /// Label 1 for classes of at least this.
    AtLeast(f64),
    /// Label 0 for the first class and 1 for the second; rows of other classes are left out.
    Classes([f64; 2]),
}

impl LabelRule {
    /// The label of a class; `None` for rows that are left out.
    ///
    /// # Panics
    /// On [`LabelRule::Source`], which says nothing without its source.
    pub fn label(&self, class: f64) -> Option<f64> {
        match *self {
            Self::Source => panic!("the source's rule is asked of the source"),
            Self::AsGiven => Some(class),
            Self::AtLeast(bound) => Some(f64::from(u8::from(class >= bound))),
            Self::Classes([negative, positive]) if class == positive && positive != negative => Some(1.0),
            Self::Classes([negative, _]) => (class == negative).then_some(0.0),
        }
    }
}
