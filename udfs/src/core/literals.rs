//! Values as SQL writes them.

/// `it's` → `'it''s'`.
pub fn text_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
