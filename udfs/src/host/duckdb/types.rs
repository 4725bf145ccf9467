//! SQL types between DuckDB and us.

use std::ffi::{CStr, CString, c_char};

use libduckdb_sys::*;

use crate::core::error::{Error, Result};
use crate::core::sqltype::{ArgType, MOST_LEVELS, Number, Plain, SqlType, Words};

/// A logical type that is ours to destroy.
pub struct LogicalType(pub duckdb_logical_type);

// SAFETY: a type is not changed once it is made, and what copies of it share is counted atomically.
unsafe impl Send for LogicalType {}
// SAFETY: as above.
unsafe impl Sync for LogicalType {}

impl Drop for LogicalType {
    fn drop(&mut self) {
        // SAFETY: the type is ours and is destroyed once.
        unsafe { duckdb_destroy_logical_type(&mut self.0) };
    }
}

/// Text that DuckDB allocated, taken over.
///
/// # Safety
/// `text` must be null or NUL-terminated and allocated by DuckDB.
pub unsafe fn owned_text(text: *mut c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: promised by the caller.
    let copy = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    // SAFETY: allocated by DuckDB, not used afterwards.
    unsafe { duckdb_free(text.cast()) };
    copy
}

/// Text as C wants it, where a NUL ends it: one inside is shown by its sign.
pub fn c_text(text: &str) -> CString {
    CString::new(without_nul(text)).unwrap_or_default()
}

pub fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{2400}")
}

impl LogicalType {
    pub fn id(id: DUCKDB_TYPE) -> LogicalType {
        // SAFETY: any id is allowed; an unknown one gives an invalid type.
        LogicalType(unsafe { duckdb_create_logical_type(id) })
    }

    /// A type that nothing else has: of a function whose answer has another type in each call.
    pub fn sign() -> LogicalType {
        let sign = LogicalType::id(DUCKDB_TYPE_DUCKDB_TYPE_VARCHAR);
        // SAFETY: the type is ours, and the text is copied.
        unsafe { duckdb_logical_type_set_alias(sign.0, c"MODEL_ANSWER".as_ptr()) };
        sign
    }

    pub fn of(sql_type: &SqlType) -> Result<LogicalType> {
        // SAFETY: the children are valid types that live until after the call, which copies them.
        let made = unsafe {
            match sql_type {
                SqlType::Plain(plain) => duckdb_create_logical_type(plain_id(*plain)),
                SqlType::List(child) => duckdb_create_list_type(LogicalType::of(child)?.0),
                SqlType::Array(child, size) => duckdb_create_array_type(LogicalType::of(child)?.0, *size as idx_t),
                SqlType::Map(key, value) => duckdb_create_map_type(LogicalType::of(key)?.0, LogicalType::of(value)?.0),
                SqlType::Struct(fields) => {
                    let types = fields.iter().map(|(_, t)| LogicalType::of(t)).collect::<Result<Vec<_>>>()?;
                    let names: Vec<CString> = fields.iter().map(|(name, _)| c_text(name)).collect();
                    let mut raw: Vec<duckdb_logical_type> = types.iter().map(|t| t.0).collect();
                    let mut raw_names: Vec<*const c_char> = names.iter().map(|n| n.as_ptr()).collect();
                    duckdb_create_struct_type(raw.as_mut_ptr(), raw_names.as_mut_ptr(), raw.len() as idx_t)
                }
            }
        };
        if made.is_null() {
            return Err(Error::new(format!("DuckDB has no type {sql_type}")));
        }
        Ok(LogicalType(made))
    }

    /// What the type is as an argument.
    pub fn given(self) -> ArgType {
        self.given_within(MOST_LEVELS)
    }

    /// A type of more levels is one that no model takes.
    fn given_within(self, levels: usize) -> ArgType {
        let id = self.type_id();
        let Some(levels) = levels.checked_sub(1) else { return named(id) };
        match id {
            DUCKDB_TYPE_DUCKDB_TYPE_INVALID | DUCKDB_TYPE_DUCKDB_TYPE_ANY => ArgType::Unknown,
            DUCKDB_TYPE_DUCKDB_TYPE_SQLNULL => ArgType::Null,
            DUCKDB_TYPE_DUCKDB_TYPE_BOOLEAN => ArgType::Number(Number::Boolean),
            DUCKDB_TYPE_DUCKDB_TYPE_FLOAT => ArgType::Number(Number::Float),
            DUCKDB_TYPE_DUCKDB_TYPE_DOUBLE => ArgType::Number(Number::Double),
            DUCKDB_TYPE_DUCKDB_TYPE_DECIMAL => ArgType::Number(self.decimal()),
            DUCKDB_TYPE_DUCKDB_TYPE_VARCHAR => ArgType::Text,
            DUCKDB_TYPE_DUCKDB_TYPE_BLOB => ArgType::Blob,
            DUCKDB_TYPE_DUCKDB_TYPE_ENUM => ArgType::Enum(self.words()),
            DUCKDB_TYPE_DUCKDB_TYPE_LIST => {
                // SAFETY: the type is a list; the child is ours.
                let child = LogicalType(unsafe { duckdb_list_type_child_type(self.0) });
                ArgType::List(Box::new(child.given_within(levels)))
            }
            DUCKDB_TYPE_DUCKDB_TYPE_ARRAY => {
                // SAFETY: the type is an array; the child is ours.
                let child = LogicalType(unsafe { duckdb_array_type_child_type(self.0) });
                // SAFETY: the type is an array.
                let size = unsafe { duckdb_array_type_array_size(self.0) };
                ArgType::Array(Box::new(child.given_within(levels)), size as usize)
            }
            DUCKDB_TYPE_DUCKDB_TYPE_STRUCT => ArgType::Struct(self.fields(levels)),
            _ => named(id),
        }
    }

    fn type_id(&self) -> DUCKDB_TYPE {
        // SAFETY: the type is valid.
        unsafe { duckdb_get_type_id(self.0) }
    }

    fn decimal(&self) -> Number {
        // SAFETY: the type is a decimal.
        let (width, scale) = unsafe { (duckdb_decimal_width(self.0), duckdb_decimal_scale(self.0)) };
        Number::Decimal { width, scale }
    }

    fn words(self) -> Words {
        // SAFETY: the type is an enumeration.
        let count = unsafe { duckdb_enum_dictionary_size(self.0) };
        // SAFETY: the type is an enumeration, which the closure keeps; each word is allocated for us.
        let word = move |i| unsafe { owned_text(duckdb_enum_dictionary_value(self.raw(), i)) };
        Words::new(count as usize, move || (0..idx_t::from(count)).map(&word).collect())
    }

    fn raw(&self) -> duckdb_logical_type {
        self.0
    }

    fn fields(&self, levels: usize) -> Vec<(String, ArgType)> {
        // SAFETY: the type is a struct; names and types are allocated for us.
        unsafe {
            (0..duckdb_struct_type_child_count(self.0))
                .map(|i| {
                    let name = owned_text(duckdb_struct_type_child_name(self.0, i));
                    let field = LogicalType(duckdb_struct_type_child_type(self.0, i));
                    (name, field.given_within(levels))
                })
                .collect()
        }
    }
}

fn named(id: DUCKDB_TYPE) -> ArgType {
    match id {
        DUCKDB_TYPE_DUCKDB_TYPE_TINYINT => ArgType::Number(Number::Integer("TINYINT")),
        DUCKDB_TYPE_DUCKDB_TYPE_SMALLINT => ArgType::Number(Number::Integer("SMALLINT")),
        DUCKDB_TYPE_DUCKDB_TYPE_INTEGER => ArgType::Number(Number::Integer("INTEGER")),
        DUCKDB_TYPE_DUCKDB_TYPE_BIGINT => ArgType::Number(Number::Integer("BIGINT")),
        DUCKDB_TYPE_DUCKDB_TYPE_HUGEINT => ArgType::Number(Number::Integer("HUGEINT")),
        DUCKDB_TYPE_DUCKDB_TYPE_UTINYINT => ArgType::Number(Number::Integer("UTINYINT")),
        DUCKDB_TYPE_DUCKDB_TYPE_USMALLINT => ArgType::Number(Number::Integer("USMALLINT")),
        DUCKDB_TYPE_DUCKDB_TYPE_UINTEGER => ArgType::Number(Number::Integer("UINTEGER")),
        DUCKDB_TYPE_DUCKDB_TYPE_UBIGINT => ArgType::Number(Number::Integer("UBIGINT")),
        DUCKDB_TYPE_DUCKDB_TYPE_UHUGEINT => ArgType::Number(Number::Integer("UHUGEINT")),
        DUCKDB_TYPE_DUCKDB_TYPE_DATE => ArgType::Temporal("DATE"),
        DUCKDB_TYPE_DUCKDB_TYPE_TIME => ArgType::Temporal("TIME"),
        DUCKDB_TYPE_DUCKDB_TYPE_TIME_TZ => ArgType::Temporal("TIME WITH TIME ZONE"),
        DUCKDB_TYPE_DUCKDB_TYPE_TIME_NS => ArgType::Temporal("TIME_NS"),
        DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP => ArgType::Temporal("TIMESTAMP"),
        DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_S => ArgType::Temporal("TIMESTAMP_S"),
        DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_MS => ArgType::Temporal("TIMESTAMP_MS"),
        DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_NS => ArgType::Temporal("TIMESTAMP_NS"),
        DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_TZ => ArgType::Temporal("TIMESTAMP WITH TIME ZONE"),
        DUCKDB_TYPE_DUCKDB_TYPE_INTERVAL => ArgType::Temporal("INTERVAL"),
        DUCKDB_TYPE_DUCKDB_TYPE_MAP => ArgType::Other("MAP"),
        DUCKDB_TYPE_DUCKDB_TYPE_UNION => ArgType::Other("UNION"),
        DUCKDB_TYPE_DUCKDB_TYPE_UUID => ArgType::Other("UUID"),
        DUCKDB_TYPE_DUCKDB_TYPE_BIT => ArgType::Other("BIT"),
        DUCKDB_TYPE_DUCKDB_TYPE_BIGNUM => ArgType::Other("BIGNUM"),
        DUCKDB_TYPE_DUCKDB_TYPE_GEOMETRY => ArgType::Other("GEOMETRY"),
        DUCKDB_TYPE_DUCKDB_TYPE_VARIANT => ArgType::Other("VARIANT"),
        _ => ArgType::Other("of a type that no model takes"),
    }
}

fn plain_id(plain: Plain) -> DUCKDB_TYPE {
    match plain {
        Plain::Boolean => DUCKDB_TYPE_DUCKDB_TYPE_BOOLEAN,
        Plain::TinyInt => DUCKDB_TYPE_DUCKDB_TYPE_TINYINT,
        Plain::SmallInt => DUCKDB_TYPE_DUCKDB_TYPE_SMALLINT,
        Plain::Integer => DUCKDB_TYPE_DUCKDB_TYPE_INTEGER,
        Plain::BigInt => DUCKDB_TYPE_DUCKDB_TYPE_BIGINT,
        Plain::UTinyInt => DUCKDB_TYPE_DUCKDB_TYPE_UTINYINT,
        Plain::USmallInt => DUCKDB_TYPE_DUCKDB_TYPE_USMALLINT,
        Plain::UInteger => DUCKDB_TYPE_DUCKDB_TYPE_UINTEGER,
        Plain::UBigInt => DUCKDB_TYPE_DUCKDB_TYPE_UBIGINT,
        Plain::Float => DUCKDB_TYPE_DUCKDB_TYPE_FLOAT,
        Plain::Double => DUCKDB_TYPE_DUCKDB_TYPE_DOUBLE,
        Plain::Varchar => DUCKDB_TYPE_DUCKDB_TYPE_VARCHAR,
    }
}
