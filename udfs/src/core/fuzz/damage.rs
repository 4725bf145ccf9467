//! Sound files → damaged ones.

use serde_json::{Value, json};

use super::Dice;

/// The content with some bytes changed, cut, moved, repeated or put in.
pub fn bytes(content: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut data = content.to_vec();
    for _ in 0..*dice.of(&[1, 1, 1, 2, 3, 8]) {
        if data.is_empty() {
            return data;
        }
        let (at, to) = (dice.below(data.len()), dice.below(data.len() + 1));
        match dice.below(9) {
            0 | 1 => data[at] ^= 1 << dice.below(8),
            2 | 3 => data[at] = *dice.of(&[0, 1, 0x7f, 0x80, 0xd8, 0xfe, 0xff]),
            4 => data.truncate(at),
            5 => drop(data.drain(at.min(to)..at.max(to).min(at.min(to) + 64))),
            6 => {
                let part = data[at.min(to)..at.max(to)].to_vec();
                data.splice(at..at, part);
            }
            7 => {
                let word = dice.integer().to_le_bytes();
                let end = (at + dice.below(9)).min(data.len());
                data[at..end].copy_from_slice(&word[..end - at]);
            }
            _ => {
                let word = dice.bits().to_be_bytes();
                data.splice(at..at, word[..dice.below(9)].to_vec());
            }
        }
    }
    data.truncate(1 << 16);
    data
}

/// The document with some of its values changed, dropped, moved or repeated.
pub fn document(document: &mut Value, dice: &mut Dice) {
    for _ in 0..*dice.of(&[1, 1, 1, 2, 4]) {
        let mut places = Vec::new();
        walk(document, String::new(), &mut places);
        if places.is_empty() {
            return;
        }
        let other = document.pointer(dice.of::<String>(&places)).cloned().unwrap_or_default();
        let place = dice.of(&places).clone();
        let Some((parent, key)) = place.rsplit_once('/') else { return };
        let key = key.replace("~1", "/").replace("~0", "~");
        let kind = dice.below(6);
        match document.pointer_mut(parent) {
            Some(Value::Object(fields)) if kind == 0 => drop(fields.remove(&key)),
            Some(Value::Array(values)) if kind == 0 => drop(values.remove(key.parse().unwrap())),
            Some(Value::Array(values)) if kind == 1 => {
                let value = values[key.parse::<usize>().unwrap()].clone();
                let most = 64 / values.len().max(1) + 1;
                (0..1 + dice.below(most)).for_each(|_| values.push(value.clone()));
            }
            _ => {}
        }
        if let (2.., Some(value)) = (kind, document.pointer_mut(&place)) {
            *value = match kind {
                2 => other,
                3 => near(value, dice),
                _ => any(dice),
            };
        }
    }
}

/// Where the values of a document are, but for the document itself.
fn walk(value: &Value, place: String, places: &mut Vec<String>) {
    if places.len() > 4096 {
        return;
    }
    let mut inside = |key: &str, value: &Value| {
        let place = format!("{place}/{}", key.replace('~', "~0").replace('/', "~1"));
        places.push(place.clone());
        walk(value, place, places);
    };
    match value {
        Value::Array(values) => values.iter().enumerate().for_each(|(i, value)| inside(&i.to_string(), value)),
        Value::Object(fields) => fields.iter().for_each(|(key, value)| inside(key, value)),
        _ => {}
    }
}

/// A value of the same type.
fn near(value: &Value, dice: &mut Dice) -> Value {
    match value {
        Value::Bool(flag) => json!(!flag),
        Value::Number(_) if dice.one_in(3) => json!(dice.number()),
        Value::Number(_) => json!(dice.integer()),
        Value::String(text) => json!(texts(text, dice)),
        other => other.clone(),
    }
}

fn texts(text: &str, dice: &mut Dice) -> String {
    const NAMES: [&str; 44] = [
        "float32",
        "float64",
        "float16",
        "bfloat16",
        "int8",
        "int64",
        "int32",
        "uint8",
        "uint64",
        "bool",
        "string",
        "DOUBLE",
        "FLOAT",
        "VARCHAR",
        "BIGINT",
        "BOOLEAN",
        "FLOAT[2]",
        "FLOAT[]",
        "FLOAT[2][3]",
        "DOUBLE[100000]",
        "MAP(VARCHAR, FLOAT)",
        "STRUCT(\"a\" FLOAT)",
        "BLOB",
        "null",
        "nan",
        "error",
        "tensor",
        "label",
        "argmax",
        "map",
        "struct",
        "RGB",
        "L",
        "resize",
        "crop",
        "share",
        "shorter",
        "lanczos",
        "cubic across",
        "nearest",
        "floor",
        "even",
        "../x",
        "\u{0}",
    ];
    match dice.below(4) {
        0 => String::from_utf8_lossy(&bytes(text.as_bytes(), dice)).into_owned(),
        1 => text.repeat(dice.below(4)),
        _ => dice.of(&NAMES).to_string(),
    }
}

fn any(dice: &mut Dice) -> Value {
    match dice.below(16) {
        0 => Value::Null,
        1 => json!(dice.one_in(2)),
        2 => json!(dice.bits()),
        3 => json!(dice.number()),
        4 => json!([]),
        5 => json!({}),
        6 => json!([null, 2]),
        7 => json!([null]),
        8 => json!([null, null, null, 3]),
        9 => json!({"value": dice.integer()}),
        10 => json!({"value": "x"}),
        11 => json!([[dice.integer()], [dice.integer()]]),
        12 => nested(dice.below(200)),
        13 => json!(texts("", dice)),
        _ => json!(dice.integer()),
    }
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({"a": inner}) })
}
