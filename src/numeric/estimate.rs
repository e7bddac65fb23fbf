//! What every estimator returns: a value, how sure it is, and what was done to get it.

use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// A number with its standard error and diagnostics.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// The value; finite, or `-inf` where that is the answer (an impossible function).
    pub value: f64,
    /// Standard error; `None` for deterministic methods only.
    pub std_error: Option<f64>,
    /// Absolute error, beside rounding and sampling, that a method vouches to stay below; 0 of one that claims full
    /// precision.
    pub error_bound: f64,
    /// Iterations, products, jitter, convergence: whatever happened on the way.
    pub info: Info,
}

impl Estimate {
    /// The result of a deterministic method.
    pub fn deterministic(value: f64, info: Info) -> Self {
        Self { value, std_error: None, error_bound: 0.0, info }
    }

    /// The result of a stochastic method with its standard error.
    pub fn stochastic(value: f64, std_error: f64, info: Info) -> Self {
        Self { value, std_error: Some(std_error), error_bound: 0.0, info }
    }

    /// The same as an approximate value that is off by at most `bound`.
    pub fn within(self, bound: f64) -> Self {
        Self { error_bound: bound, ..self }
    }

    /// The same as an approximate value that is off by at most `share` of itself: an iteration stopped at that tolerance.
    pub fn within_relative(self, share: f64) -> Self {
        let size = if self.value.is_finite() { self.value.abs() } else { 0.0 };
        self.within(share * size)
    }
}

/// One diagnostic.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum InfoValue {
    /// A count.
    Count(u64),
    /// A real number.
    Real(f64),
    /// Yes or no.
    Flag(bool),
    /// A word or sentence.
    Text(String),
    /// Several real numbers.
    Reals(Vec<f64>),
}

/// Diagnostics by name, in alphabetical order.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Info(BTreeMap<String, InfoValue>);

impl Info {
    /// No diagnostics yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with `name` set to `value`.
    pub fn with(mut self, name: &str, value: impl Into<InfoValue>) -> Self {
        self.set(name, value);
        self
    }

    /// Sets `name` to `value`, replacing what was there.
    pub fn set(&mut self, name: &str, value: impl Into<InfoValue>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Adds all of `other`, replacing what has the same name.
    pub fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The diagnostic called `name`.
    pub fn get(&self, name: &str) -> Option<&InfoValue> {
        self.0.get(name)
    }

    /// The diagnostic called `name` as a number, if it is one.
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.get(name)? {
            InfoValue::Count(count) => Some(*count as f64),
            InfoValue::Real(real) => Some(*real),
            _ => None,
        }
    }

    /// All diagnostics, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &InfoValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl From<usize> for InfoValue {
    fn from(count: usize) -> Self {
        Self::Count(count as u64)
    }
}
impl From<u64> for InfoValue {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}
impl From<f64> for InfoValue {
    fn from(real: f64) -> Self {
        Self::Real(real)
    }
}
impl From<bool> for InfoValue {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}
impl From<&str> for InfoValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
impl From<String> for InfoValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
impl From<Vec<f64>> for InfoValue {
    fn from(reals: Vec<f64>) -> Self {
        Self::Reals(reals)
    }
}

impl Serialize for InfoValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_u64(*count),
            Self::Real(real) => serialize_real(real, serializer),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Reals(reals) => serializer.collect_seq(reals.iter().map(|real| Self::Real(*real))),
        }
    }
}

/// A float for JSON: a number with round-trip precision where finite, else the string `"-inf"`,
/// `"inf"` or `"nan"` (JSON itself has none of them).
pub fn serialize_real<S: Serializer>(real: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if real.is_finite() {
        serializer.serialize_f64(*real)
    } else if real.is_nan() {
        serializer.serialize_str("nan")
    } else {
        serializer.serialize_str(if *real > 0.0 { "inf" } else { "-inf" })
    }
}

/// [`serialize_real`] for an optional float; `None` is `null`.
pub fn serialize_optional_real<S: Serializer>(real: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match real {
        Some(real) => serialize_real(real, serializer),
        None => serializer.serialize_none(),
    }
}
