//! SQL types: of answers, as text in model.json, and of arguments, as the host describes them.

use std::fmt;
use std::sync::Arc;

use super::error::{Error, Result, brief};
use crate::sys::tensor::{Buffer, Dtype};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    Boolean,
    TinyInt,
    SmallInt,
    Integer,
    BigInt,
    UTinyInt,
    USmallInt,
    UInteger,
    UBigInt,
    Float,
    Double,
    Varchar,
}

impl Plain {
    /// That of one value of a tensor; half precision travels as FLOAT.
    pub fn of(dtype: Dtype) -> Plain {
        match dtype {
            Dtype::F32 | Dtype::F16 | Dtype::Bf16 => Plain::Float,
            Dtype::F64 => Plain::Double,
            Dtype::I8 => Plain::TinyInt,
            Dtype::I16 => Plain::SmallInt,
            Dtype::I32 => Plain::Integer,
            Dtype::I64 => Plain::BigInt,
            Dtype::U8 => Plain::UTinyInt,
            Dtype::U16 => Plain::USmallInt,
            Dtype::U32 => Plain::UInteger,
            Dtype::U64 => Plain::UBigInt,
            Dtype::Bool => Plain::Boolean,
            Dtype::Text => Plain::Varchar,
        }
    }
}

impl Plain {
    /// A buffer of such values, without any.
    pub fn buffer(self) -> Buffer {
        Buffer::new(match self {
            Plain::Boolean => Dtype::Bool,
            Plain::TinyInt => Dtype::I8,
            Plain::SmallInt => Dtype::I16,
            Plain::Integer => Dtype::I32,
            Plain::BigInt => Dtype::I64,
            Plain::UTinyInt => Dtype::U8,
            Plain::USmallInt => Dtype::U16,
            Plain::UInteger => Dtype::U32,
            Plain::UBigInt => Dtype::U64,
            Plain::Float => Dtype::F32,
            Plain::Double => Dtype::F64,
            Plain::Varchar => Dtype::Text,
        })
    }
}

const PLAIN: [(&str, Plain); 12] = [
    ("BOOLEAN", Plain::Boolean),
    ("TINYINT", Plain::TinyInt),
    ("SMALLINT", Plain::SmallInt),
    ("INTEGER", Plain::Integer),
    ("BIGINT", Plain::BigInt),
    ("UTINYINT", Plain::UTinyInt),
    ("USMALLINT", Plain::USmallInt),
    ("UINTEGER", Plain::UInteger),
    ("UBIGINT", Plain::UBigInt),
    ("FLOAT", Plain::Float),
    ("DOUBLE", Plain::Double),
    ("VARCHAR", Plain::Varchar),
];

/// Lists, structs and maps in one another, also those of arguments: they are walked, copied and dropped level by level.
pub const MOST_LEVELS: usize = 32;
/// What an array of DuckDB's holds at most; arrays in one another lie in memory as one.
const MOST_IN_ARRAY: usize = 100_000;

/// The type of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum SqlType {
    Plain(Plain),
    List(Box<SqlType>),
    Array(Box<SqlType>, usize),
    Struct(Vec<(String, SqlType)>),
    Map(Box<SqlType>, Box<SqlType>),
}

impl SqlType {
    /// `FLOAT`, `FLOAT[][3]`, `STRUCT("a" FLOAT, "b c" VARCHAR[2])`, `MAP(VARCHAR, DOUBLE)`.
    pub fn parse(text: &str) -> Result<SqlType> {
        let mut parser = Parser { rest: text };
        let (parsed, _) = parser.sql_type(MOST_LEVELS)?;
        if parser.rest.trim().is_empty() { Ok(parsed) } else { Err(parser.unknown()) }
    }

    /// Whether DuckDB has it: the type of an answer becomes that of a function.
    pub fn require_answer(&self) -> Result<()> {
        match self {
            SqlType::Plain(_) => Ok(()),
            SqlType::List(child) => child.require_answer(),
            SqlType::Map(key, value) => key.require_answer().and_then(|()| value.require_answer()),
            SqlType::Struct(fields) => fields.iter().try_for_each(|(_, field)| field.require_answer()),
            SqlType::Array(..) => {
                let (mut values, mut at) = (Some(1usize), self);
                while let SqlType::Array(child, size) = at {
                    values = values.and_then(|values| values.checked_mul(*size));
                    at = child;
                }
                match values {
                    Some(1..=MOST_IN_ARRAY) => at.require_answer(),
                    _ => Err(Error::new(format!("an array that does not have from 1 to {MOST_IN_ARRAY} values"))),
                }
            }
        }
    }

    /// The axes of a tensor of this type, and its element; None for what is no tensor.
    pub fn axes(&self) -> Option<(Plain, Vec<Option<usize>>)> {
        let (mut axes, mut at) = (Vec::new(), self);
        loop {
            at = match at {
                SqlType::Plain(plain) => return Some((*plain, axes)),
                SqlType::List(child) => {
                    axes.push(None);
                    child
                }
                SqlType::Array(child, size) => {
                    axes.push(Some(*size));
                    child
                }
                SqlType::Struct(_) | SqlType::Map(..) => return None,
            };
        }
    }

    pub fn is_scalar(&self) -> bool {
        matches!(self, SqlType::Plain(_))
    }
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = PLAIN.iter().find(|(_, plain)| plain == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SqlType::Plain(plain) => plain.fmt(f),
            SqlType::List(child) => write!(f, "{child}[]"),
            SqlType::Array(child, size) => write!(f, "{child}[{size}]"),
            SqlType::Map(key, value) => write!(f, "MAP({key}, {value})"),
            SqlType::Struct(fields) => {
                f.write_str("STRUCT(")?;
                for (i, (name, field)) in fields.iter().enumerate() {
                    let comma = if i > 0 { ", " } else { "" };
                    write!(f, "{comma}\"{}\" {field}", name.replace('"', "\"\""))?;
                }
                f.write_str(")")
            }
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    /// A type of at most so many levels, and how many it has.
    fn sql_type(&mut self, most: usize) -> Result<(SqlType, usize)> {
        let word_end = self.rest.trim_start().find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let trimmed = self.rest.trim_start();
        let (word, rest) = trimmed.split_at(word_end.unwrap_or(trimmed.len()));
        let inner = || most.checked_sub(1).ok_or_else(too_deep);
        let (mut parsed, mut levels) = if word.eq_ignore_ascii_case("STRUCT") {
            self.rest = rest;
            let (fields, levels) = self.fields(inner()?)?;
            (SqlType::Struct(fields), levels + 1)
        } else if word.eq_ignore_ascii_case("MAP") {
            self.rest = rest;
            self.expect('(')?;
            let (key, in_key) = self.sql_type(inner()?)?;
            self.expect(',')?;
            let (value, in_value) = self.sql_type(inner()?)?;
            self.expect(')')?;
            (SqlType::Map(Box::new(key), Box::new(value)), in_key.max(in_value) + 1)
        } else {
            let found = PLAIN.iter().find(|(name, _)| word.eq_ignore_ascii_case(name));
            let plain = found.ok_or_else(|| self.unknown())?.1;
            self.rest = rest;
            (SqlType::Plain(plain), 0)
        };
        while self.rest.starts_with('[') {
            let end = self.rest.find(']').ok_or_else(|| self.unknown())?;
            let size = &self.rest[1..end];
            if levels >= most {
                return Err(too_deep());
            }
            levels += 1;
            parsed = match size {
                "" => SqlType::List(Box::new(parsed)),
                _ => SqlType::Array(Box::new(parsed), self.size(size)?),
            };
            self.rest = &self.rest[end + 1..];
        }
        Ok((parsed, levels))
    }

    fn size(&self, digits: &str) -> Result<usize> {
        if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(self.unknown());
        }
        let size: i32 = digits.parse().map_err(|_| self.unknown())?;
        usize::try_from(size).map_err(|_| self.unknown())
    }

    fn fields(&mut self, most: usize) -> Result<(Vec<(String, SqlType)>, usize)> {
        self.expect('(')?;
        let (mut fields, mut deepest) = (Vec::new(), 0);
        loop {
            let name = self.identifier()?;
            let (field, levels) = self.sql_type(most)?;
            fields.push((name, field));
            deepest = deepest.max(levels);
            if self.expect(',').is_err() {
                self.expect(')')?;
                return Ok((fields, deepest));
            }
        }
    }

    fn identifier(&mut self) -> Result<String> {
        self.expect('"')?;
        let mut name = String::new();
        loop {
            let end = self.rest.find('"').ok_or_else(|| self.unknown())?;
            name.push_str(&self.rest[..end]);
            self.rest = &self.rest[end + 1..];
            if !self.rest.starts_with('"') {
                return Ok(name);
            }
            name.push('"');
            self.rest = &self.rest[1..];
        }
    }

    fn expect(&mut self, wanted: char) -> Result<()> {
        match self.rest.trim_start().strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(self.unknown()),
        }
    }

    fn unknown(&self) -> Error {
        Error::new(format!("model.json names an SQL type that is not known: {}", brief(self.rest)))
    }
}

fn too_deep() -> Error {
    Error::new(format!("model.json names an SQL type of more than {MOST_LEVELS} levels"))
}

/// How a number lies in a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    Boolean,
    /// Any integer; the column knows its width.
    Integer(&'static str),
    Float,
    Double,
    Decimal {
        width: u8,
        scale: u8,
    },
}

/// The words of an ENUM, of which there may be very many, in columns that no feature is: read where they are wanted.
#[derive(Clone)]
pub struct Words {
    pub count: usize,
    read: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
}

impl Words {
    pub fn new(count: usize, read: impl Fn() -> Vec<String> + Send + Sync + 'static) -> Words {
        Words { count, read: Arc::new(read) }
    }

    pub fn read(&self) -> Arc<Vec<String>> {
        Arc::new((self.read)())
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} words", self.count)
    }
}

/// The type of an argument.
#[derive(Debug, Clone)]
pub enum ArgType {
    /// Not known yet: a macro is being defined, or a statement prepared.
    Unknown,
    Null,
    Number(Number),
    Text,
    Enum(Words),
    Blob,
    List(Box<ArgType>),
    Array(Box<ArgType>, usize),
    Struct(Vec<(String, ArgType)>),
    Temporal(&'static str),
    Other(&'static str),
}

impl ArgType {
    pub fn is_list(&self) -> bool {
        matches!(self, ArgType::List(_) | ArgType::Array(..))
    }

    pub fn is_known(&self) -> bool {
        match self {
            ArgType::Unknown => false,
            ArgType::List(child) | ArgType::Array(child, _) => child.is_known(),
            ArgType::Struct(fields) => fields.iter().all(|(_, field)| field.is_known()),
            _ => true,
        }
    }

    pub fn leaf(&self) -> &ArgType {
        match self {
            ArgType::List(child) | ArgType::Array(child, _) => child.leaf(),
            _ => self,
        }
    }
}

impl fmt::Display for ArgType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArgType::Unknown => f.write_str("not known"),
            ArgType::Null => f.write_str("NULL"),
            ArgType::Number(Number::Boolean) => f.write_str("BOOLEAN"),
            ArgType::Number(Number::Integer(name)) => f.write_str(name),
            ArgType::Number(Number::Float) => f.write_str("FLOAT"),
            ArgType::Number(Number::Double) => f.write_str("DOUBLE"),
            ArgType::Number(Number::Decimal { width, scale }) => write!(f, "DECIMAL({width},{scale})"),
            ArgType::Text => f.write_str("VARCHAR"),
            ArgType::Enum(_) => f.write_str("ENUM"),
            ArgType::Blob => f.write_str("BLOB"),
            ArgType::List(child) => write!(f, "{child}[]"),
            ArgType::Array(child, size) => write!(f, "{child}[{size}]"),
            ArgType::Struct(_) => f.write_str("STRUCT"),
            ArgType::Temporal(name) | ArgType::Other(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_round_trip() {
        for text in [
            "DOUBLE",
            "FLOAT[384]",
            "FLOAT[][3]",
            "MAP(VARCHAR, FLOAT)",
            "STRUCT(\"label\" BIGINT, \"a \"\"b\"\"\" FLOAT[3])",
        ] {
            assert_eq!(SqlType::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn unknown_types_are_errors() {
        for text in ["", "DATE", "FLOAT[x]", "FLOAT[+3]", "FLOAT[3", "STRUCT(a FLOAT)", "FLOAT x"] {
            assert!(SqlType::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn levels_and_sizes_are_bounded() {
        let nested = |levels: usize| format!("FLOAT{}", "[]".repeat(levels));
        let inside = |levels: usize| format!("{}FLOAT{}", "STRUCT(\"a\" ".repeat(levels), ")".repeat(levels));
        let mapped = |levels: usize| format!("{}FLOAT{}", "MAP(BIGINT, ".repeat(levels), ")".repeat(levels));
        for deep in [nested, inside, mapped] {
            assert!(SqlType::parse(&deep(MOST_LEVELS)).is_ok());
            for levels in [MOST_LEVELS + 1, 1_000_000] {
                let error = SqlType::parse(&deep(levels)).unwrap_err().to_string();
                assert_eq!(error, "model.json names an SQL type of more than 32 levels");
            }
        }
        assert!(SqlType::parse(&format!("{}[]", inside(MOST_LEVELS))).is_err());
        let answer = |text: &str| SqlType::parse(text).and_then(|parsed| parsed.require_answer());
        assert!(answer("FLOAT[100000]").is_ok() && answer("FLOAT[100][1000][]").is_ok());
        for text in ["FLOAT[0]", "FLOAT[100001]", "FLOAT[1000][1000]", "MAP(BIGINT, FLOAT[0])"] {
            assert!(answer(text).unwrap_err().to_string().contains("from 1 to 100000 values"), "{text}");
        }
        assert!(answer("FLOAT[18446744073709551615]").is_err());
    }
}
