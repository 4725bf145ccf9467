//! SQL types: of answers, as text in model.json, and of arguments, as the host describes them.

use std::fmt;
use std::sync::Arc;

use super::error::{Error, Result};

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
        let parsed = parser.sql_type()?;
        if parser.rest.trim().is_empty() { Ok(parsed) } else { Err(parser.unknown()) }
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
    fn sql_type(&mut self) -> Result<SqlType> {
        let word_end = self.rest.trim_start().find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let trimmed = self.rest.trim_start();
        let (word, rest) = trimmed.split_at(word_end.unwrap_or(trimmed.len()));
        let mut parsed = if word.eq_ignore_ascii_case("STRUCT") {
            self.rest = rest;
            SqlType::Struct(self.fields()?)
        } else if word.eq_ignore_ascii_case("MAP") {
            self.rest = rest;
            self.expect('(')?;
            let key = self.sql_type()?;
            self.expect(',')?;
            let value = self.sql_type()?;
            self.expect(')')?;
            SqlType::Map(Box::new(key), Box::new(value))
        } else {
            let found = PLAIN.iter().find(|(name, _)| word.eq_ignore_ascii_case(name));
            let plain = found.ok_or_else(|| self.unknown())?.1;
            self.rest = rest;
            SqlType::Plain(plain)
        };
        while self.rest.starts_with('[') {
            let end = self.rest.find(']').ok_or_else(|| self.unknown())?;
            let size = &self.rest[1..end];
            parsed = match size {
                "" => SqlType::List(Box::new(parsed)),
                _ => SqlType::Array(Box::new(parsed), size.parse().map_err(|_| self.unknown())?),
            };
            self.rest = &self.rest[end + 1..];
        }
        Ok(parsed)
    }

    fn fields(&mut self) -> Result<Vec<(String, SqlType)>> {
        self.expect('(')?;
        let mut fields = Vec::new();
        loop {
            let name = self.identifier()?;
            fields.push((name, self.sql_type()?));
            if self.expect(',').is_err() {
                self.expect(')')?;
                return Ok(fields);
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
        Error(format!("model.json names an SQL type that is not known: {}", self.rest))
    }
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

/// The type of an argument.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// Not known yet: a macro is being defined, or a statement prepared.
    Unknown,
    Null,
    Number(Number),
    Text,
    Enum(Arc<Vec<String>>),
    Blob,
    List(Box<Given>),
    Array(Box<Given>, usize),
    Struct(Vec<(String, Given)>),
    Temporal(&'static str),
    Other(&'static str),
}

impl Given {
    pub fn is_list(&self) -> bool {
        matches!(self, Given::List(_) | Given::Array(..))
    }

    pub fn is_known(&self) -> bool {
        match self {
            Given::Unknown => false,
            Given::List(child) | Given::Array(child, _) => child.is_known(),
            Given::Struct(fields) => fields.iter().all(|(_, field)| field.is_known()),
            _ => true,
        }
    }

    pub fn leaf(&self) -> &Given {
        match self {
            Given::List(child) | Given::Array(child, _) => child.leaf(),
            _ => self,
        }
    }
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Given::Unknown => f.write_str("not known"),
            Given::Null => f.write_str("NULL"),
            Given::Number(Number::Boolean) => f.write_str("BOOLEAN"),
            Given::Number(Number::Integer(name)) => f.write_str(name),
            Given::Number(Number::Float) => f.write_str("FLOAT"),
            Given::Number(Number::Double) => f.write_str("DOUBLE"),
            Given::Number(Number::Decimal { width, scale }) => write!(f, "DECIMAL({width},{scale})"),
            Given::Text => f.write_str("VARCHAR"),
            Given::Enum(_) => f.write_str("ENUM"),
            Given::Blob => f.write_str("BLOB"),
            Given::List(child) => write!(f, "{child}[]"),
            Given::Array(child, size) => write!(f, "{child}[{size}]"),
            Given::Struct(_) => f.write_str("STRUCT"),
            Given::Temporal(name) | Given::Other(name) => f.write_str(name),
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
        for text in ["", "DATE", "FLOAT[x]", "FLOAT[3", "STRUCT(a FLOAT)", "FLOAT x"] {
            assert!(SqlType::parse(text).is_err(), "{text}");
        }
    }
}
