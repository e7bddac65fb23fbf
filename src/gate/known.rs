//! Failures that are known: declared in advance with a reason, and no longer once they are gone.

use crate::gate::cause::Cause;
use crate::gate::finding::{Finding, Verdict};
use crate::gate::outcome::Outcome;
use crate::io::read_text;
use std::path::Path;

/// Law under which declarations that no longer hold are reported.
const KNOWN: &str = "gate.known";
/// Longest file of known failures that is read.
const MOST_BYTES: u64 = 1 << 20;

/// Known failures: patterns of `law/estimator/case`, each with its reason or the address of a report.
///
/// In a pattern `*` stands for any text, and a pattern without one is any part of the name. What matches and fails, or is
/// declined, is a skip with the reason. A pattern of which nothing fails any more, or that matches nothing, is a failure
/// itself: a list of excuses must not outlive what it excuses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known(Vec<(String, String)>);

/// Why a file of known failures cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KnownError {
    /// It cannot be read.
    #[error("file '{path}': {source}")]
    File {
        /// Which.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It is not a table of patterns.
    #[error("file '{path}': {reason}, expected lines as \"law/estimator/*\" = \"reason or address\"")]
    Format {
        /// Which.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

impl Known {
    /// The same with one more.
    pub fn with(mut self, pattern: &str, why: &str) -> Self {
        self.0.push((pattern.to_owned(), why.to_owned()));
        self
    }

    /// Reads a TOML file of lines `"pattern" = "reason or address"`.
    ///
    /// # Errors
    /// [`KnownError`]: the file cannot be read, or a line is no pattern with a reason.
    pub fn read(path: &Path) -> Result<Self, KnownError> {
        let shown = path.display().to_string();
        let text = read_text(path, MOST_BYTES).map_err(|source| KnownError::File { path: shown.clone(), source })?;
        let fault = |reason: String| KnownError::Format { path: shown.clone(), reason };
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| fault(error.message().to_owned()))?;
        let entry = |(pattern, why): (String, toml::Value)| match why {
            toml::Value::String(why) if !why.trim().is_empty() && !pattern.trim().is_empty() => Ok((pattern, why)),
            other => Err(fault(format!("'{pattern}' has {other} for a reason"))),
        };
        table.into_iter().map(entry).collect::<Result<_, _>>().map(Self)
    }

    /// Whether none is declared.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The outcomes with known failures excused, and a failure for each declaration that excuses none.
    pub(super) fn excuse(&self, mut outcomes: Vec<Outcome>) -> Vec<Outcome> {
        let mut alarms = Vec::new();
        for (pattern, why) in &self.0 {
            let (mut matched, mut excused) = (0, 0);
            for outcome in &mut outcomes {
                if !matches(pattern, &format!("{}/{}/{}", outcome.law, outcome.estimator, outcome.case)) {
                    continue;
                }
                matched += 1;
                let declined = outcome.cause == Some(Cause::Unsupported);
                if outcome.verdict == Verdict::Fail || declined {
                    excused += 1;
                    outcome.verdict = Verdict::Skip;
                    outcome.cause = Some(Cause::Known);
                    outcome.reason = format!("known ({why}): {}", outcome.reason);
                }
            }
            if excused == 0 {
                let what = if matched == 0 { "no check has such a name" } else { "everything it matches holds now" };
                let finding = Finding::wrong(format!("'{pattern}' is declared as a known failure ({why}), and {what}"));
                alarms.push(Outcome::new(KNOWN, "declaration", pattern, finding, String::new()));
            }
        }
        outcomes.extend(alarms);
        outcomes
    }
}

/// Whether a name matches a pattern: any part of it without a `*`, all of it with one.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return name.contains(pattern) };
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    for part in between {
        match rest.find(part) {
            Some(place) => rest = &rest[place + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names_or_parts() {
        for (pattern, name, wanted) in [
            ("prior.scale", "prior.scale/ep-step/a", true),
            ("ep-step/a", "prior.scale/ep-step/a", true),
            ("*/ep-step/*", "prior.scale/ep-step/a", true),
            ("*batch-norm*", "curvature.rise/x/batch-norm-2", true),
            ("prior.*/b", "prior.scale/ep-step/a", false),
            ("prior*", "certified.prior/ep-step/a", false),
            ("*a*a", "xa", false),
            ("*a*a", "xaya", true),
            ("**", "", true),
        ] {
            assert_eq!(matches(pattern, name), wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn a_known_failure_is_excused_and_one_that_healed_is_an_alarm() {
        let outcome = |case: &str, finding| Outcome::new("a.law", "e", case, finding, String::new());
        let outcomes = || {
            vec![
                outcome("good", Finding::compare(1.0, 1.0, 0.0)),
                outcome("bad", Finding::compare(2.0, 1.0, 0.0)),
                outcome("declined", Finding::unsupported("no batch norm")),
            ]
        };
        let verdicts = |known: Known| -> Vec<Verdict> {
            known.excuse(outcomes()).into_iter().map(|outcome| outcome.verdict).collect()
        };
        use Verdict::{Fail, Pass, Skip};
        assert_eq!(verdicts(Known::default()), [Pass, Fail, Skip]);
        assert_eq!(verdicts(Known::default().with("*/bad", "https://example.org/1")), [Pass, Skip, Skip]);
        assert_eq!(verdicts(Known::default().with("a.law", "all of it")), [Pass, Skip, Skip]);
        assert_eq!(verdicts(Known::default().with("*/good", "healed")), [Pass, Fail, Skip, Fail]);
        assert_eq!(verdicts(Known::default().with("no.law", "a typo")), [Pass, Fail, Skip, Fail]);
        let excused = Known::default().with("bad", "it is late").excuse(outcomes());
        assert!(excused[1].reason.contains("it is late") && excused[1].cause == Some(Cause::Known));
    }

    #[test]
    fn files_have_patterns_with_reasons() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known.toml");
        std::fs::write(&path, "\"*/conv-*\" = \"https://example.org/2\"\n# a comment\n\"b\" = 'why'\n").unwrap();
        assert_eq!(Known::read(&path).unwrap().0.len(), 2);
        for (text, word) in
            [("\"a\" = 1", "'a'"), ("\"a\" = \"\"", "'a'"), ("a b c", "expected"), ("[t]\nx = 'y'", "'t'")]
        {
            std::fs::write(&path, text).unwrap();
            let error = Known::read(&path).unwrap_err().to_string();
            assert!(error.contains("known.toml") && error.contains(word), "{error}");
        }
        assert!(Known::read(&folder.path().join("none")).unwrap_err().to_string().contains("none"));
    }
}
