//! JSON Schemas of the protocol's lines, and the part of JSON Schema that they use.

use serde_json::Value;
use std::sync::LazyLock;

macro_rules! schemas {
    ($($name:literal),* $(,)?) => {
        /// The schemas of `fixtures/schema`, by the name of their line.
        static SCHEMAS: LazyLock<Vec<(&'static str, Value)>> = LazyLock::new(|| vec![$((
            $name,
            serde_json::from_str(include_str!(concat!("../../../fixtures/schema/protocol-", $name, ".schema.json")))
                .expect("schemas of the crate are JSON"),
        )),*]);
    };
}

schemas!["start", "stop", "hello", "flatness", "prior", "kernel", "rescaling", "optimizer", "answer"];

/// What is wrong with a line of the protocol, sentence by sentence; `None` if there is no line of this name.
///
/// Names are `start`, `stop`, `hello`, `flatness`, `prior`, `kernel`, `rescaling`, `optimizer` and `answer`.
pub fn line_violations(name: &str, line: &Value) -> Option<Vec<String>> {
    let (_, schema) = SCHEMAS.iter().find(|(known, _)| *known == name)?;
    // Of an answer that is of one kind, what it lacks as one of that kind says more than that it is of none.
    let kinds =
        ["value", "gram", "theta", "skip", "error", "progress"].into_iter().filter(|kind| line.get(kind).is_some());
    let kinds: Vec<&str> = if name == "answer" { kinds.collect() } else { Vec::new() };
    let mut wrong = Vec::new();
    match kinds[..] {
        [kind] => look(schema, &schema["$defs"][kind], line, "", &mut wrong),
        _ => look(schema, schema, line, "", &mut wrong),
    }
    Some(wrong)
}

/// What is wrong with `value` under a schema, sentence by sentence. Keywords that are not among those of this crate's schemas
/// are wrong themselves, since they would go unheeded.
pub fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    look(schema, schema, value, "", &mut wrong);
    wrong
}

/// `value` as it stands in a sentence.
fn shown(value: &Value) -> String {
    let text: String = value.to_string().chars().take(80).collect();
    crate::gate::printable(&text)
}

fn fits(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    }
}

fn words(rule: &Value) -> impl Iterator<Item = &str> {
    rule.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn look(root: &Value, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    let place = if at.is_empty() { "the line" } else { at };
    let holds = |rule: &Value| {
        let mut faults = Vec::new();
        look(root, rule, value, at, &mut faults);
        faults.is_empty()
    };
    let Some(rules) = schema.as_object() else { return };
    for (keyword, rule) in rules {
        match keyword.as_str() {
            "$schema" | "$id" | "title" | "description" | "$defs" | "examples" => {}
            "$ref" => match rule.as_str().and_then(|path| root.pointer(path.trim_start_matches('#'))) {
                Some(target) => look(root, target, value, at, wrong),
                None => wrong.push(format!("the schema's reference {rule} leads nowhere")),
            },
            "type" => {
                let kinds: Vec<&str> = rule.as_str().into_iter().chain(words(rule)).collect();
                if !kinds.iter().any(|kind| fits(kind, value)) {
                    wrong.push(format!("{place} is {}, expected {}", shown(value), kinds.join(" or ")));
                }
            }
            "const" if value != rule => wrong.push(format!("{place} is {}, expected {rule}", shown(value))),
            "enum" if !rule.as_array().is_some_and(|all| all.contains(value)) => {
                wrong.push(format!("{place} is {}, expected one of {rule}", shown(value)));
            }
            "const" | "enum" => {}
            "minimum" => {
                if value.as_f64().zip(rule.as_f64()).is_some_and(|(number, least)| number < least) {
                    wrong.push(format!("{place} is {}, expected at least {rule}", shown(value)));
                }
            }
            "minLength" => {
                let length = value.as_str().map(|text| text.chars().count() as u64);
                if length.zip(rule.as_u64()).is_some_and(|(length, least)| length < least) {
                    wrong.push(format!("{place} has fewer than {rule} characters"));
                }
            }
            "anyOf" => {
                if !rule.as_array().into_iter().flatten().any(holds) {
                    wrong.push(format!("{place} is {}, which fits none of {}", shown(value), titles(root, rule)));
                }
            }
            "oneOf" => {
                let count = rule.as_array().into_iter().flatten().filter(|rule| holds(rule)).count();
                if count != 1 {
                    wrong.push(format!("{place} fits {count} of {}, expected one of them", titles(root, rule)));
                }
            }
            "required" => {
                let missing = words(rule).filter(|key| value.is_object() && value.get(key).is_none());
                wrong.extend(missing.map(|key| format!("{place} has no key '{key}'")));
            }
            "properties" => {
                for (key, rule) in rule.as_object().into_iter().flatten() {
                    if let Some(value) = value.get(key) {
                        look(root, rule, value, &format!("{at}/{key}"), wrong);
                    }
                }
            }
            "additionalProperties" => {
                let known = |key: &str| schema.get("properties").is_some_and(|keys| keys.get(key).is_some());
                let unknown = value.as_object().into_iter().flatten().filter(|(key, _)| !known(key));
                for (key, value) in unknown {
                    match rule {
                        Value::Bool(true) => {}
                        Value::Bool(false) => wrong.push(format!("{place} has a key '{key}' that nobody knows")),
                        rule => look(root, rule, value, &format!("{at}/{key}"), wrong),
                    }
                }
            }
            "items" => {
                for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                    look(root, rule, value, &format!("{at}/{index}"), wrong);
                }
            }
            other => wrong.push(format!("the schema has a keyword '{other}' that is not looked at")),
        }
    }
}

/// Alternatives by their titles, where they have any.
fn titles(root: &Value, alternatives: &Value) -> String {
    let title = |rule: &Value| {
        let target =
            rule.get("$ref").and_then(Value::as_str).and_then(|path| root.pointer(path.trim_start_matches('#')));
        let rule = target.unwrap_or(rule);
        rule.get("title").and_then(Value::as_str).map_or_else(|| rule.to_string(), str::to_owned)
    };
    let titles: Vec<String> = alternatives.as_array().into_iter().flatten().map(title).collect();
    format!("[{}]", titles.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_keyword_that_is_used_sees_what_breaks_it() {
        let schema = json!({
            "$defs": { "real": { "title": "a number", "anyOf": [{ "type": "number" }, { "enum": ["-inf"] }] } },
            "type": "object",
            "required": ["id"],
            "additionalProperties": false,
            "properties": {
                "id": { "type": "string", "minLength": 1 },
                "kind": { "const": "start" },
                "value": { "$ref": "#/$defs/real" },
                "seed": { "type": ["integer", "null"], "minimum": 0 },
                "list": { "type": "array", "items": { "type": "boolean" } },
                "either": { "oneOf": [{ "type": "number" }, { "type": "integer" }] },
                "map": { "type": "object", "additionalProperties": { "type": "string" } }
            }
        });
        let good = json!({"id": "c0", "kind": "start", "value": "-inf", "seed": null, "list": [true], "either": 0.5, "map": {"a": "b"}});
        assert_eq!(violations(&schema, &good), Vec::<String>::new());
        for (planted, word) in [
            (json!([]), "expected object"),
            (json!({}), "no key 'id'"),
            (json!({"id": ""}), "fewer than 1"),
            (json!({"id": "c0", "kind": "stop"}), "/kind is \"stop\""),
            (json!({"id": "c0", "value": "inf"}), "fits none of"),
            (json!({"id": "c0", "seed": -1}), "at least 0"),
            (json!({"id": "c0", "seed": 0.5}), "integer or null"),
            (json!({"id": "c0", "list": [true, 1]}), "/list/1"),
            (json!({"id": "c0", "either": 1}), "fits 2 of"),
            (json!({"id": "c0", "map": {"a": 1}}), "/map/a"),
            (json!({"id": "c0", "more": 1}), "'more'"),
        ] {
            let wrong = violations(&schema, &planted);
            assert!(wrong.iter().any(|sentence| sentence.contains(word)), "{planted}: {wrong:?}");
        }
        assert!(!violations(&json!({"pattern": "a"}), &json!("b")).is_empty(), "a keyword that is not looked at");
        assert_eq!(line_violations("nonsense", &json!({})), None);
    }
}
