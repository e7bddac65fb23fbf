//! A TOML text that is no architecture.

use std::fmt;

/// What is wrong with a TOML text, on one line.
#[derive(Debug, Clone, PartialEq)]
pub struct TomlError {
    /// The line, counted from 1, where there is one.
    line: Option<usize>,
    source: toml::de::Error,
}

impl TomlError {
    pub(super) fn new(text: &str, source: toml::de::Error) -> Self {
        let line = source.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        Self { line, source }
    }

    /// The line, counted from 1, where there is one.
    pub fn line(&self) -> Option<usize> {
        self.line
    }
}

impl fmt::Display for TomlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.source.message().replace('\n', " "))
    }
}

impl std::error::Error for TomlError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
