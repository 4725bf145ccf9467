//! Whether model.json has the fields that sqlinfer/models/fields.json lists, in the words of sqlinfer/models/fields.py,
//! where the shapes of that list are described.

use std::sync::LazyLock;

use serde_json::{Map, Value};

const LONGEST: usize = 40;
static FIELDS: LazyLock<Value> = LazyLock::new(|| {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../sqlinfer/models/fields.json"));
    serde_json::from_str(text).unwrap_or_default()
});

/// The place within a value, and what is wrong there.
type Fault = (String, String);

/// Where a manifest has not the fields that it must have, and how.
pub fn fault_of_manifest(manifest: &Value) -> Option<String> {
    fault(manifest, &FIELDS)
}

/// Where the value is not of that shape, and how; None where it is.
pub fn fault(value: &Value, shape: &Value) -> Option<String> {
    let (place, what) = find(value, shape)?;
    Some(format!("{} {what}", if place.is_empty() { "it" } else { &place }))
}

/// A value in a message: large ones only by what they are.
fn shown(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(_) => value.to_string(),
        Value::String(text) => quoted(text),
        Value::Number(number) if !number.is_f64() => number.to_string(),
        Value::Number(_) => "a number".to_string(),
        Value::Array(_) => "a list".to_string(),
        Value::Object(_) => "an object".to_string(),
    }
}

/// As JSON has it, but not endless.
pub fn quoted(text: &str) -> String {
    let kept = cut(text);
    Value::String(format!("{kept}{}", if kept.len() < text.len() { "…" } else { "" })).to_string()
}

/// The beginning of a name.
pub fn cut(text: &str) -> &str {
    text.char_indices().nth(LONGEST).map_or(text, |(end, _)| &text[..end])
}

fn find(value: &Value, shape: &Value) -> Option<Fault> {
    match shape {
        Value::String(kinds) if is_one(value, kinds) => None,
        Value::String(kinds) => wrong(format!("is {}, which is no {kinds}", shown(value))),
        Value::Object(fields) => match value {
            Value::Object(given) => find_in_object(given, fields),
            _ => wrong(format!("is {}, which is no object", shown(value))),
        },
        Value::Array(shapes) => match (shapes.as_slice(), value) {
            ([Value::String(either), shapes @ .., last], _) if either == "either" => {
                find(value, shapes.iter().find(|one| looks_like(value, one)).unwrap_or(last))
            }
            ([inner], Value::Array(values)) if inner != "anything" => {
                values.iter().enumerate().find_map(|(i, one)| Some(inside(&format!("[{i}]"), find(one, inner)?)))
            }
            (_, Value::Array(_)) => None,
            _ => wrong(format!("is {}, which is no list", shown(value))),
        },
        _ => None,
    }
}

fn find_in_object(given: &Map<String, Value>, fields: &Map<String, Value>) -> Option<Fault> {
    fields.iter().find_map(|(key, inner)| {
        if key == "*" {
            return given.iter().find_map(|(name, value)| Some(inside(cut(name), find(value, inner)?)));
        }
        let name = key.trim_end_matches(['?', '!']);
        match given.get(name) {
            Some(value) => Some(inside(name, find(value, inner)?)),
            None if key.ends_with('?') => None,
            None => wrong(format!("has no {name}")),
        }
    })
}

fn is_one(value: &Value, kinds: &str) -> bool {
    kinds.split(" or ").any(|kind| match kind {
        "null" => value.is_null(),
        "flag" => value.is_boolean(),
        "text" => value.is_string(),
        "number" => value.is_number(),
        "count" => value.as_i64().is_some_and(|count| count >= 0),
        _ => true,
    })
}

fn looks_like(value: &Value, shape: &Value) -> bool {
    match (shape, value) {
        (Value::String(kinds), _) => is_one(value, kinds),
        (Value::Object(fields), Value::Object(given)) => {
            fields.keys().filter_map(|key| key.strip_suffix('!')).all(|key| given.contains_key(key))
        }
        _ => false,
    }
}

fn wrong(what: String) -> Option<Fault> {
    Some((String::new(), what))
}

fn inside(name: &str, (place, what): Fault) -> Fault {
    let dot = if place.is_empty() || place.starts_with('[') { "" } else { "." };
    (format!("{name}{dot}{place}"), what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_list_of_fields_is_read() {
        assert_eq!(fault_of_manifest(&json!({})).as_deref(), Some("it has no batch"));
    }

    #[test]
    fn what_is_wrong_has_a_place() {
        let shape = json!({"a": [{"b?": "count or null"}], "c": ["either", "null", {"d!": "text"}, {"e": "flag"}]});
        let say = |value| fault(&value, &shape);
        assert_eq!(say(json!({"a": [], "c": null, "more": 1})), None);
        assert_eq!(say(json!({"a": [{}, {"b": -1}], "c": null})).unwrap(), "a[1].b is -1, which is no count or null");
        assert_eq!(say(json!({"a": [], "c": {"d": 1.5}})).unwrap(), "c.d is a number, which is no text");
        assert_eq!(say(json!({"a": [], "c": {}})).unwrap(), "c has no e");
        assert_eq!(say(json!([])).unwrap(), "it is a list, which is no object");
    }
}
