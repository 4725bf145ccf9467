//! Arrow's types → those of arguments, named as DuckDB names them; types of answers → Arrow's.

use super::abi::ArrowSchema;
use crate::core::error::{Error, Result};
use crate::core::sqltype::{ArgType, MOST_LEVELS, Number, Plain, SqlType, Words};

/// What the type of a column is as an argument.
///
/// # Safety
/// The schema must be one that is not released.
pub unsafe fn given(schema: &ArrowSchema) -> Result<ArgType> {
    // SAFETY: promised by the caller.
    unsafe { given_within(schema, MOST_LEVELS) }
}

/// # Safety
/// As for `given`.
unsafe fn given_within(schema: &ArrowSchema, levels: usize) -> Result<ArgType> {
    let Some(levels) = levels.checked_sub(1) else { return Ok(ArgType::Other("of a type that no model takes")) };
    // SAFETY: promised by the caller.
    let (format, children, dictionary) = unsafe { (schema.format()?, schema.children()?, schema.dictionary.as_ref()) };
    // SAFETY: promised by the caller, of what belongs to the schema, too.
    let inner = |schema: &ArrowSchema| unsafe { given_within(schema, levels) };
    let only = || children.first().copied().ok_or_else(|| Error::new("a list without a child"));
    if let Some(dictionary) = dictionary {
        return Ok(match inner(dictionary)? {
            // their texts are read where they lie, and so there are no words to be read
            ArgType::Text => ArgType::Enum(Words::new(0, Vec::new)),
            _ => ArgType::Other("of a dictionary, which is to be decoded before"),
        });
    }
    Ok(match format {
        "n" => ArgType::Null,
        "b" => ArgType::Number(Number::Boolean),
        "c" => ArgType::Number(Number::Integer("TINYINT")),
        "C" => ArgType::Number(Number::Integer("UTINYINT")),
        "s" => ArgType::Number(Number::Integer("SMALLINT")),
        "S" => ArgType::Number(Number::Integer("USMALLINT")),
        "i" => ArgType::Number(Number::Integer("INTEGER")),
        "I" => ArgType::Number(Number::Integer("UINTEGER")),
        "l" => ArgType::Number(Number::Integer("BIGINT")),
        "L" => ArgType::Number(Number::Integer("UBIGINT")),
        "e" | "f" => ArgType::Number(Number::Float),
        "g" => ArgType::Number(Number::Double),
        "u" | "U" | "vu" => ArgType::Text,
        "z" | "Z" | "vz" => ArgType::Blob,
        "+l" | "+L" => ArgType::List(Box::new(inner(only()?)?)),
        // SAFETY: promised by the caller.
        "+s" => ArgType::Struct(
            children
                .iter()
                .map(|child| Ok((unsafe { child.name() }.to_string(), inner(child)?)))
                .collect::<Result<_>>()?,
        ),
        "+m" => ArgType::Other("MAP"),
        "tdD" | "tdm" => ArgType::Temporal("DATE"),
        "tts" | "ttm" | "ttu" => ArgType::Temporal("TIME"),
        "ttn" => ArgType::Temporal("TIME_NS"),
        "tiM" | "tiD" | "tin" => ArgType::Temporal("INTERVAL"),
        _ => parametrised(format, only, inner)?,
    })
}

/// A format with numbers, or a time zone, in it.
fn parametrised<'a>(
    format: &str,
    only: impl Fn() -> Result<&'a ArrowSchema>,
    inner: impl Fn(&ArrowSchema) -> Result<ArgType>,
) -> Result<ArgType> {
    if let Some(size) = format.strip_prefix("+w:") {
        let size = size.parse().map_err(|_| Error::new(format!("a list of {size} values")))?;
        return Ok(ArgType::Array(Box::new(inner(only()?)?), size));
    }
    if format.starts_with("w:") {
        return Ok(ArgType::Blob);
    }
    if let Some(digits) = format.strip_prefix("d:") {
        let numbers: Vec<Option<u8>> = digits.split(',').map(|digits| digits.parse().ok()).collect();
        return Ok(match numbers[..] {
            [Some(width), Some(scale)] | [Some(width), Some(scale), Some(128)] if width <= 38 && scale <= width => {
                ArgType::Number(Number::Decimal { width, scale })
            }
            _ => ArgType::Other("a DECIMAL that DuckDB has not"),
        });
    }
    if let Some((unit, zone)) = format.strip_prefix("ts").and_then(|rest| rest.split_once(':')) {
        return Ok(ArgType::Temporal(match (unit, zone) {
            ("s", "") => "TIMESTAMP_S",
            ("m", "") => "TIMESTAMP_MS",
            ("u", "") => "TIMESTAMP",
            ("n", "") => "TIMESTAMP_NS",
            _ => "TIMESTAMP WITH TIME ZONE",
        }));
    }
    Ok(match format.as_bytes() {
        [b't', b'D', ..] => ArgType::Temporal("INTERVAL"),
        [b'+', b'u', ..] => ArgType::Other("UNION"),
        [b'+', b'v', ..] => ArgType::Other("a view of a list, which is to be a list before"),
        _ => ArgType::Other("of a type that no model takes"),
    })
}

/// How Arrow writes the type of an answer, without its children.
pub fn format_of(sql_type: &SqlType) -> String {
    match sql_type {
        SqlType::Plain(plain) => plain_format(*plain).to_string(),
        SqlType::List(_) => "+l".to_string(),
        SqlType::Array(_, size) => format!("+w:{size}"),
        SqlType::Struct(_) => "+s".to_string(),
        SqlType::Map(..) => "+m".to_string(),
    }
}

fn plain_format(plain: Plain) -> &'static str {
    match plain {
        Plain::Boolean => "b",
        Plain::TinyInt => "c",
        Plain::SmallInt => "s",
        Plain::Integer => "i",
        Plain::BigInt => "l",
        Plain::UTinyInt => "C",
        Plain::USmallInt => "S",
        Plain::UInteger => "I",
        Plain::UBigInt => "L",
        Plain::Float => "f",
        Plain::Double => "g",
        Plain::Varchar => "u",
    }
}
