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

/// A number as DuckDB casts it to VARCHAR: the fewest digits that tell it from others.
pub fn f64_text(value: f64) -> String {
    number_text(value.is_nan(), &format!("{value:e}"))
}

/// As `f64_text`.
pub fn f32_text(value: f32) -> String {
    number_text(value.is_nan(), &format!("{value:e}"))
}

/// `scientific`: as Rust writes it, `-1.25e-7`.
fn number_text(is_nan: bool, scientific: &str) -> String {
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return if is_nan { "nan".to_string() } else { scientific.to_string() }; // -inf
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let all = digits.replace('.', "");
    match exponent {
        -4..0 => format!("{sign}0.{}{all}", "0".repeat((-exponent - 1) as usize)),
        0..16 => {
            let whole = exponent as usize + 1;
            let padded = format!("{all:0<whole$}");
            let (front, back) = padded.split_at(whole);
            format!("{sign}{front}.{}", if back.is_empty() { "0" } else { back })
        }
        _ => format!("{sign}{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()),
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
    fn numbers_are_written_as_duckdb_does() {
        let texts = [0.1, -3.0, 1e15, 1e16, 1.5e-5, 1.5e-4, -0.0, 1.25e300, f64::NAN, f64::NEG_INFINITY].map(f64_text);
        let as_duckdb =
            ["0.1", "-3.0", "1000000000000000.0", "1e+16", "1.5e-05", "0.00015", "-0.0", "1.25e+300", "nan", "-inf"];
        assert_eq!(texts, as_duckdb);
        assert_eq!([0.1, 16777216.0, 123.456].map(f32_text), ["0.1", "16777216.0", "123.456"]);
    }

    #[test]
    fn values_in_messages() {
        let texts = [0.1, -3.0, 1e300, 1.5e-7, -0.0, 123456789.0].map(shown);
        assert_eq!(texts, ["0.1", "-3", "1e300", "1.5e-7", "-0", "123456789"]);
        assert_eq!(shown_text(&"é".repeat(41)), format!("'{}…'", "é".repeat(40)));
    }
}
