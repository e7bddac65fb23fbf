//! What one line of a command says: an answer to a request, a fault of one, or nothing that can be told.

use super::hello::Hello;
use crate::gate::printable::printable;
use crate::numeric::{Estimate, Info};
use serde_json::Value;

/// How much of a line is shown.
const SHOWN_CHARACTERS: usize = 80;

/// What a command said of one request.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    Value(Estimate),
    /// A matrix, not yet read: rows, or the path of a file; and its standard errors.
    Gram {
        gram: Value,
        std_error: Option<Value>,
    },
    Parameters(Parameters),
    Skip(String),
}

/// Parameters after a map or after steps, and how the map acts: lists of numbers not yet read, or paths of files.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parameters {
    pub theta: Value,
    pub buffers: Option<Value>,
    pub scale: Option<Value>,
    pub source: Option<Value>,
}

impl Answer {
    /// Why it is no answer to a request for something else.
    pub(super) fn misplaced(&self, expected: &str) -> String {
        let has = match self {
            Self::Value(_) => "a value",
            Self::Gram { .. } => "a gram",
            Self::Parameters(_) => "a theta",
            Self::Skip(_) => "a skip",
        };
        format!("missing-{expected}: the answer has {has}, expected a {expected}")
    }
}

/// A line of the stream of answers.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    /// White space.
    Blank,
    /// It names a request: the answer, or in a sentence why it is none.
    Of(String, Result<Answer, String>),
    /// A sign of life of a request that takes its time.
    Progress(String),
    /// The command says who it is.
    Hello(Result<Hello, String>),
    /// It names no request, for the reason given.
    Nameless { kind: &'static str, detail: String },
}

/// Reads a line. One that is no JSON object is an answer that fails, if it still says to which request it belongs.
pub(super) fn read(line: &[u8]) -> Line {
    let text = String::from_utf8_lossy(line);
    let bare = text.trim_start_matches('\u{feff}');
    if bare.trim().is_empty() {
        return Line::Blank;
    }
    let what = if matches!(text, std::borrow::Cow::Owned(_)) {
        "is not UTF-8"
    } else if bare.len() < text.len() {
        "begins with a byte order mark"
    } else {
        match parse(bare) {
            Some(Value::Object(answer)) => return of_object(&answer),
            _ => "is not a JSON object with an id",
        }
    };
    let detail = format!("'{}' {what}; print nothing but answers on stdout", shown(bare));
    match identify(bare) {
        Some(id) => Line::Of(id, Err(format!("not-json: {detail}"))),
        None => Line::Nameless { kind: "not-json", detail },
    }
}

fn shown(text: &str) -> String {
    printable(&text.trim().chars().take(SHOWN_CHARACTERS).collect::<String>())
}

/// Reads JSON; failing that, JSON with the numbers that programs write and JSON has not (`NaN` and `Infinity` of Python,
/// `nan` and `inf` of C, `1e400`) made strings.
fn parse(text: &str) -> Option<Value> {
    serde_json::from_str(text).or_else(|_| serde_json::from_str(&quoted_numbers(text))).ok()
}

fn quoted_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let (mut word, mut inside, mut escaped) = (String::new(), false, false);
    let flush = |word: &mut String, out: &mut String| {
        match word.parse::<f64>() {
            // A lower-case word of letters is the number that Rust reads it as: "inf", "infinity", "nan".
            Ok(f64::NEG_INFINITY) if word.chars().any(|c| c == 'f' || c == 'F') => *out += "\"-inf\"",
            Ok(number) if !number.is_finite() => *out += &format!("\"{word}\""),
            _ => *out += word,
        }
        word.clear();
    };
    for character in text.chars() {
        if !inside && (character.is_ascii_alphanumeric() || matches!(character, '+' | '-' | '.')) {
            word.push(character);
            continue;
        }
        flush(&mut word, &mut out);
        out.push(character);
        if character == '"' && !escaped {
            inside = !inside;
        }
        escaped = inside && character == '\\' && !escaped;
    }
    flush(&mut word, &mut out);
    out
}

/// The id that stands in a line which is no JSON object: the first string after a key "id".
fn identify(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("\"id\"")?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    let (id, _) = rest.split_once('"')?;
    Some(id.to_owned())
}

fn of_object(answer: &serde_json::Map<String, Value>) -> Line {
    match answer.get("id") {
        Some(Value::String(id)) if answer.contains_key("progress") && answer.len() == 2 => Line::Progress(id.clone()),
        Some(Value::String(id)) => Line::Of(id.clone(), content(answer)),
        Some(id) => Line::Nameless {
            kind: "id-not-a-string",
            detail: format!("the id of an answer is {}, expected that of its request, as \"c0\"", show(id)),
        },
        None if answer.contains_key("protocol") => Line::Hello(Hello::of_object(answer)),
        None => Line::Nameless {
            kind: "missing-id",
            detail: format!(
                "'{}' has no id, expected that of its request",
                shown(&Value::Object(answer.clone()).to_string())
            ),
        },
    }
}

/// A JSON value in a message: the text of strings, the rest as it is written.
fn show(value: &Value) -> String {
    shown(&value.to_string())
}

fn content(answer: &serde_json::Map<String, Value>) -> Result<Answer, String> {
    let said: Vec<&str> =
        ["value", "gram", "theta", "skip", "error"].into_iter().filter(|key| answer.contains_key(*key)).collect();
    match said[..] {
        [] => Err("missing-value: the answer has neither value, skip nor error".to_owned()),
        ["error"] => Err(match &answer["error"] {
            Value::String(reason) if !reason.trim().is_empty() => {
                // The last line of a traceback says what went wrong.
                let last = answer.get("traceback").and_then(Value::as_str).and_then(|text| text.trim().lines().last());
                let last = last.map_or(String::new(), |line| format!(" (traceback ends: {})", printable(line)));
                format!("error: {}{last}", printable(reason))
            }
            other => format!("error: {}, expected a sentence", show(other)),
        }),
        ["skip"] => match &answer["skip"] {
            Value::String(reason) if !reason.trim().is_empty() => {
                let address =
                    answer.get("address").and_then(Value::as_str).filter(|address| !address.trim().is_empty());
                let address = address.map_or(String::new(), |address| format!(" ({})", printable(address)));
                Ok(Answer::Skip(printable(reason) + &address))
            }
            other => Err(format!("skip-without-reason: skip is {}, expected a sentence", show(other))),
        },
        ["value"] => estimate(answer).map(Answer::Value),
        ["gram"] => {
            let std_error = answer.get("std_error").filter(|error| !error.is_null()).cloned();
            Ok(Answer::Gram { gram: answer["gram"].clone(), std_error })
        }
        ["theta"] => {
            let given = |key: &str| answer.get(key).filter(|value| !value.is_null()).cloned();
            let (buffers, scale, source) = (given("buffers"), given("scale"), given("source"));
            Ok(Answer::Parameters(Parameters { theta: answer["theta"].clone(), buffers, scale, source }))
        }
        _ => Err(format!(
            "ambiguous: the answer has {}, expected one of them: leave out the keys that do not apply",
            said.iter().map(|key| format!("{key} {}", show(&answer[*key]))).collect::<Vec<_>>().join(" and ")
        )),
    }
}

fn estimate(answer: &serde_json::Map<String, Value>) -> Result<Estimate, String> {
    let value = &answer["value"];
    let number = real(value).ok_or_else(|| {
        format!("not-a-number: value is {}, expected a number of double precision or \"-inf\"", show(value))
    })?;
    let error = |key: &str| match answer.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(error) => match real(error).filter(|error| *error >= 0.0 && error.is_finite()) {
            Some(error) => Ok(Some(error)),
            None => Err(format!("not-a-number: {key} is {}, expected a finite number of at least 0", show(error))),
        },
    };
    let estimate = match error("std_error")? {
        None => Estimate::deterministic(number, Info::new()),
        Some(std_error) => Estimate::stochastic(number, std_error, Info::new()),
    };
    Ok(match (error("abs_error")?, error("rel_error")?) {
        (Some(bound), Some(share)) => estimate.within(bound.max(share * number.abs())),
        (Some(bound), None) => estimate.within(bound),
        (None, Some(share)) => estimate.within_relative(share),
        (None, None) => estimate,
    })
}

/// A number of an answer: `-inf` may come as a string; NaN in any form is none.
fn real(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(word) if word == "-inf" => f64::NEG_INFINITY,
        _ => return None,
    };
    (!number.is_nan()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of request `c0`.
    fn of_c0(line: &str) -> Result<Answer, String> {
        match read(line.as_bytes()) {
            Line::Of(id, content) if id == "c0" => content,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn answers_are_values_with_and_without_errors_and_skips() {
        let value = |line: &str| match of_c0(line) {
            Ok(Answer::Value(estimate)) => (estimate.value, estimate.std_error),
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(value(r#"{"id":"c0","value":8.31}"#), (8.31, None));
        assert_eq!(
            value(r#" {"id":"c0","value":8.31,"std_error":0.02, "note":"more is allowed"} "#),
            (8.31, Some(0.02))
        );
        assert_eq!(value(r#"{"id":"c0","value":1,"std_error":null}"#), (1.0, None));
        for minus_infinity in [r#""-inf""#, "-Infinity", "-inf", "-infinity"] {
            assert_eq!(value(&format!("{{\"id\":\"c0\",\"value\":{minus_infinity}}}")), (f64::NEG_INFINITY, None));
        }
        let bound = |line: &str| match of_c0(line) {
            Ok(Answer::Value(estimate)) => estimate.error_bound,
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(bound(r#"{"id":"c0","value":8}"#), 0.0);
        assert_eq!(bound(r#"{"id":"c0","value":-8,"rel_error":0.25}"#), 2.0);
        assert_eq!(bound(r#"{"id":"c0","value":8,"abs_error":0.5,"rel_error":null,"std_error":0.1}"#), 0.5);
        assert_eq!(of_c0(r#"{"id":"c0","skip":"n > 1000"}"#), Ok(Answer::Skip("n > 1000".to_owned())));
        let skip = r#"{"id":"c0","skip":"n > 1000","address":"https://example.org/1"}"#;
        assert_eq!(of_c0(skip), Ok(Answer::Skip("n > 1000 (https://example.org/1)".to_owned())));
        assert_eq!(read(b" \r\n"), Line::Blank);
    }

    #[test]
    fn a_command_says_who_it_is_in_a_line_without_an_id() {
        let Line::Hello(Ok(hello)) = read(br#"{"protocol":"1.0","name":"mine","version":"2","language":"C"}"#) else {
            panic!("no hello")
        };
        assert_eq!(hello.to_string(), "mine 2 (C), protocol 1.0");
        // Of a later version of the same protocol more is understood than nothing.
        assert!(matches!(read(br#"{"protocol":"1.7","name":"mine"}"#), Line::Hello(Ok(_))));
        // An answer may have any other keys.
        assert!(matches!(read(br#"{"id":"c0","value":1,"protocol":"1.0"}"#), Line::Of(_, Ok(_))));
        for (line, word) in [
            (r#"{"protocol":"2.0","name":"mine"}"#, "'2.0'"),
            (r#"{"protocol":1.0,"name":"mine"}"#, "protocol is 1.0"),
            (r#"{"protocol":"1.0"}"#, "name is missing"),
            (r#"{"protocol":"1.0","name":"mine","capabilities":["flatness"]}"#, "expected an object"),
        ] {
            let Line::Hello(Err(reason)) = read(line.as_bytes()) else { panic!("{line}") };
            assert!(reason.contains(word), "{line}: {reason}");
        }
    }

    #[test]
    fn what_is_no_answer_fails_its_request_by_name() {
        for (line, words) in [
            (r#"{"id":"c0","value":NaN,"note":"NaN seen, \" and Infinity"}"#, &["not-a-number", "NaN"][..]),
            (r#"{"id":"c0","value":nan}"#, &["not-a-number", "nan"]),
            (r#"{"id":"c0","value":-nan}"#, &["not-a-number", "-nan"]),
            (r#"{"id":"c0","value":Infinity}"#, &["not-a-number", "Infinity"]),
            (r#"{"id":"c0","value":1e400}"#, &["not-a-number", "1e400"]),
            (r#"{"id":"c0","value":-1e400}"#, &["not-a-number", "-1e400"]),
            (r#"{"id":"c0","value":1,"std_error":NaN}"#, &["not-a-number", "std_error", "NaN"]),
            (r#"{"id":"c0","value":1,"std_error":-1}"#, &["not-a-number", "std_error", "-1"]),
            (r#"{"id":"c0","value":1,"rel_error":-1e-3}"#, &["not-a-number", "rel_error", "-0.001"]),
            (r#"{"id":"c0","value":1,"abs_error":"much"}"#, &["not-a-number", "abs_error", "much"]),
            (r#"{"id":"c0","value":null}"#, &["not-a-number", "null"]),
            (r#"{"id":"c0","value":true}"#, &["not-a-number", "true"]),
            (r#"{"id":"c0","value":[1]}"#, &["not-a-number", "[1]"]),
            (r#"{"id":"c0","value":"8.31"}"#, &["not-a-number", "8.31"]),
            (r#"{"id":"c0","value":0x10}"#, &["not-json"]),
            (r#"{"id":"c0","value":1,"error":null}"#, &["ambiguous", "value 1 and error null"]),
            (r#"{"id":"c0","value":1,"skip":null}"#, &["ambiguous", "value 1 and skip null"]),
            (r#"{"id":"c0","value":1,"skip":"no"}"#, &["ambiguous"]),
            (r#"{"id":"c0","skip":"no","error":"no"}"#, &["ambiguous"]),
            (r#"{"id":"c0","error":null}"#, &["error: null"]),
            (r#"{"id":"c0","error":"out of ideas"}"#, &["error: out of ideas"]),
            (r#"{"id":"c0","skip":null}"#, &["skip-without-reason"]),
            (r#"{"id":"c0","skip":" "}"#, &["skip-without-reason"]),
            (r#"{"id":"c0"}"#, &["missing-value"]),
            (r#"[{"id":"c0","value":1}]"#, &["not-json"]),
            ("{\"id\":\"c0\",\"value\":1} and more", &["not-json"]),
            ("\u{feff}{\"id\":\"c0\",\"value\":1}", &["not-json", "byte order mark"]),
            (r#"{"id":"c0","note":"\ud800","value":1}"#, &["not-json"]),
            (r#"{"id":"c0","value":1"#, &["not-json"]),
        ] {
            let reason = of_c0(line).expect_err(line);
            assert!(words.iter().all(|word| reason.contains(word)), "{line}: {reason}");
            assert!(!reason.chars().any(char::is_control), "{reason:?}");
        }
        let Line::Of(id, Err(reason)) = read(b"{\"id\":\"c0\",\"note\":\"\xff\",\"value\":1}") else {
            panic!("not UTF-8")
        };
        assert!(id == "c0" && reason.contains("not UTF-8"), "{reason}");
        let hostile = "{\"id\":\"c0\",\"error\":\"a\\u001b[2Jb\\nPASS: 9 checks hold\\u202e\"}";
        assert_eq!(of_c0(hostile), Err("error: a\u{fffd}[2Jb PASS: 9 checks hold\u{fffd}".to_owned()));
    }

    #[test]
    fn a_line_that_names_no_request_says_why() {
        for (line, wanted) in [
            ("I think it is about seven", "not-json"),
            ("7", "not-json"),
            ("null", "not-json"),
            ("[1, 2]", "not-json"),
            (r#"{"id":0,"value":1}"#, "id-not-a-string"),
            (r#"{"id":null,"value":1}"#, "id-not-a-string"),
            (r#"{"value":1}"#, "missing-id"),
            ("{}", "missing-id"),
        ] {
            let Line::Nameless { kind, detail } = read(line.as_bytes()) else { panic!("{line}") };
            assert_eq!(kind, wanted, "{line}: {detail}");
        }
    }
}
