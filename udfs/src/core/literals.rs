//! Values as SQL writes them, and as messages show them.

/// `it's` → `'it''s'`.
pub fn text_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A number in a message.
pub fn shown(value: f64) -> String {
    let size = value.abs();
    match value {
        _ if value.is_nan() => "NaN".to_string(),
        _ if value.is_infinite() => if value > 0.0 { "infinity" } else { "-infinity" }.to_string(),
        _ if value == 0.0 || (1e-4..1e15).contains(&size) => value.to_string(),
        _ => format!("{value:e}"),
    }
}

/// A text in a message, and not endless.
pub fn shown_text(value: &str) -> String {
    const MOST: usize = 40;
    match value.char_indices().nth(MOST) {
        Some((end, _)) => format!("'{}…'", &value[..end]),
        None => format!("'{value}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_messages() {
        let texts = [0.1, -3.0, 1e300, 1.5e-7, -0.0, 123456789.0].map(shown);
        assert_eq!(texts, ["0.1", "-3", "1e300", "1.5e-7", "-0", "123456789"]);
        assert_eq!(shown_text(&"é".repeat(41)), format!("'{}…'", "é".repeat(40)));
    }
}
