//! Zero padding of convolutions.

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Zero padding of a convolution: `"same"`, `"valid"`, or `[vertical, horizontal]` zeros in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Padding {
    /// Output size `ceil(input / stride)`, zeros split evenly with the odd one at the end.
    Same,
    /// No zeros: only windows that lie inside.
    Valid,
    /// So many zeros above and below, left and right: PyTorch's `padding = (vertical, horizontal)`.
    Zeros([usize; 2]),
}

impl fmt::Display for Padding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same => f.write_str("same"),
            Self::Valid => f.write_str("valid"),
            Self::Zeros([vertical, horizontal]) => write!(f, "[{vertical}, {horizontal}]"),
        }
    }
}

impl Serialize for Padding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Same => serializer.serialize_str("same"),
            Self::Valid => serializer.serialize_str("valid"),
            Self::Zeros(zeros) => zeros.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Padding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Padding;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"same\", \"valid\" or [vertical, horizontal] zeros")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Padding, E> {
                match word {
                    "same" => Ok(Padding::Same),
                    "valid" => Ok(Padding::Valid),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut zeros: A) -> Result<Padding, A::Error> {
                let mut next = |index| zeros.next_element()?.ok_or_else(|| de::Error::invalid_length(index, &self));
                let both = [next(0)?, next(1)?];
                match zeros.next_element::<de::IgnoredAny>()? {
                    None => Ok(Padding::Zeros(both)),
                    Some(_) => Err(de::Error::invalid_length(3, &self)),
                }
            }
        }
        deserializer.deserialize_any(Reader)
    }
}
