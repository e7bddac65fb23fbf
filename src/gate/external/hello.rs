//! What a command of protocol 1.0 says of itself.

use crate::gate::printable::printable;
use serde::Serialize;
use serde_json::{Map, Value};

/// The version of the protocol that this crate speaks.
pub(super) const PROTOCOL_VERSION: &str = "1.0";
/// The environment variable that tells a command of it.
pub(super) const PROTOCOL_VARIABLE: &str = "FLATGAUGE_PROTOCOL";

/// What a command said of itself, before its first answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Hello {
    /// The version of the protocol that it speaks.
    pub protocol: String,
    /// Its name.
    pub name: String,
    /// Its own version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What it is written in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// What it can do, in its own words: kinds of requests, measures, methods, dtypes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Value>,
}

impl Hello {
    /// Whether its capabilities name requests of this kind.
    pub(super) fn offers(&self, kind: &str) -> bool {
        let kinds = self.capabilities.as_ref().and_then(|given| given.get("kinds")?.as_array());
        kinds.is_some_and(|kinds| kinds.iter().any(|named| named == kind))
    }

    /// Reads the line of a command that says who it is.
    ///
    /// # Errors
    /// A sentence: another protocol, or a key with something else than it should have.
    pub(super) fn of_object(line: &Map<String, Value>) -> Result<Self, String> {
        let text = |key: &str| match line.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if !text.trim().is_empty() => Ok(Some(printable(text))),
            Some(other) => Err(format!("hello: {key} is {}, expected a text", printable(&other.to_string()))),
        };
        let needed = |key: &str| text(key)?.ok_or_else(|| format!("hello: {key} is missing"));
        let protocol = needed("protocol")?;
        if protocol.split('.').next() != PROTOCOL_VERSION.split('.').next() {
            return Err(format!("hello: the command speaks protocol '{protocol}', the gate {PROTOCOL_VERSION}"));
        }
        let capabilities = match line.get("capabilities") {
            None | Some(Value::Null) => None,
            Some(given @ Value::Object(_)) => Some(given.clone()),
            Some(other) => {
                let shown = printable(&other.to_string());
                return Err(format!("hello: capabilities are {shown}, expected an object"));
            }
        };
        Ok(Self {
            protocol,
            name: needed("name")?,
            version: text("version")?,
            language: text("language")?,
            capabilities,
        })
    }
}

impl std::fmt::Display for Hello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        if let Some(version) = &self.version {
            write!(f, " {version}")?;
        }
        if let Some(language) = &self.language {
            write!(f, " ({language})")?;
        }
        write!(f, ", protocol {}", self.protocol)
    }
}
