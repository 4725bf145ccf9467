//! The classes of labels: integers, texts, TRUE and FALSE.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::core::column::{Column, Data, Rows};
use crate::core::convert::{CastError, Slot, numbers};
use crate::core::error::{Code, Error, Result};
use crate::core::literals::{shown, shown_text};
use crate::core::sqltype::{ArgType, Number};
use crate::sys::tensor::Buffer;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    Integer,
    Text,
}

/// A class, in the order in which classes stand in answers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    Integer(i64),
    Text(Box<[u8]>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Key<'a> {
    Integer(i64),
    Text(&'a [u8]),
}

impl Label {
    pub fn key(&self) -> Key<'_> {
        match self {
            Label::Integer(value) => Key::Integer(*value),
            Label::Text(text) => Key::Text(text),
        }
    }
}

impl Key<'_> {
    pub fn label(self) -> Label {
        match self {
            Key::Integer(value) => Label::Integer(value),
            Key::Text(text) => Label::Text(text.into()),
        }
    }

    /// As SQL casts it to VARCHAR.
    pub fn text(self, kind: Kind) -> String {
        match self {
            Key::Integer(value) if kind == Kind::Boolean => (value != 0).to_string(),
            Key::Integer(value) => value.to_string(),
            Key::Text(text) => String::from_utf8_lossy(text).into_owned(),
        }
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Integer(value) => value.fmt(f),
            Key::Text(text) => f.write_str(&shown_text(&String::from_utf8_lossy(text))),
        }
    }
}

/// A column of labels. Rows that are NULL hold anything.
pub struct Labels<'a> {
    pub kind: Kind,
    cells: Cells<'a>,
}

enum Cells<'a> {
    Integers(Vec<i64>),
    Texts(Vec<&'a [u8]>),
    Words(Arc<Vec<String>>, Vec<u32>),
}

impl<'a> Labels<'a> {
    /// The labels of `rows` of a column, each in its own place.
    pub fn read(given: &ArgType, column: &'a Column<'a>, count: usize, rows: Rows) -> Result<Labels<'a>> {
        let codes = |codes: Vec<u32>, words: Arc<Vec<String>>| {
            if rows.iter().any(|row| codes[row] as usize >= words.len()) {
                return Err(Error::new("a value of an ENUM is none of its words"));
            }
            Ok(Labels::of_words(words, codes))
        };
        match (given, &column.data) {
            (ArgType::Null, _) => Ok(Labels::of_integers(Kind::Integer, vec![0; count])),
            (ArgType::Text, Data::Text(texts)) => Ok(Labels { kind: Kind::Text, cells: Cells::Texts(texts.clone()) }),
            (ArgType::Enum(words), Data::U8(v)) => codes(v.iter().map(|code| u32::from(*code)).collect(), words.read()),
            (ArgType::Enum(words), Data::U16(v)) => {
                codes(v.iter().map(|code| u32::from(*code)).collect(), words.read())
            }
            (ArgType::Enum(words), Data::U32(v)) => codes(v.to_vec(), words.read()),
            (ArgType::Number(number), _) => {
                let kind = if *number == Number::Boolean { Kind::Boolean } else { Kind::Integer };
                Ok(Labels::of_integers(kind, integers(*number, column, count, rows)?))
            }
            _ => Err(not_labels(given)),
        }
    }

    pub fn get(&self, row: usize) -> Key<'_> {
        match &self.cells {
            Cells::Integers(values) => Key::Integer(values[row]),
            Cells::Texts(texts) => Key::Text(texts[row]),
            Cells::Words(words, codes) => Key::Text(words[codes[row] as usize].as_bytes()),
        }
    }

    /// All cells, where they are integers.
    pub fn integers(&self) -> Option<&[i64]> {
        match &self.cells {
            Cells::Integers(values) => Some(values),
            _ => None,
        }
    }

    /// Texts, by their numbers among the words.
    pub fn of_words(words: Arc<Vec<String>>, codes: Vec<u32>) -> Labels<'static> {
        Labels { kind: Kind::Text, cells: Cells::Words(words, codes) }
    }

    pub fn of_integers(kind: Kind, values: Vec<i64>) -> Labels<'static> {
        Labels { kind, cells: Cells::Integers(values) }
    }
}

/// The kind of labels of both kinds: TRUE and FALSE beside integers are 1 and 0; a text is never equal to a number.
fn common(a: Kind, b: Kind) -> Result<Kind> {
    match (a, b) {
        _ if a == b => Ok(a),
        (Kind::Text, _) | (_, Kind::Text) => Err(Error::of(
            Code::Call,
            "labels that are texts are compared with labels that are numbers; cast one of them, such as label::VARCHAR",
        )),
        _ => Ok(Kind::Integer),
    }
}

fn not_labels(given: &ArgType) -> Error {
    Error::of(Code::Call, format!("labels are VARCHAR, ENUM, BOOLEAN or integers, and not {given}"))
}

fn integers(number: Number, column: &Column, count: usize, rows: Rows) -> Result<Vec<i64>> {
    match (number, &column.data) {
        (Number::Boolean, Data::Bool(v)) => return Ok(v.iter().map(|value| i64::from(*value != 0)).collect()),
        (Number::Integer(_), Data::I64(v)) => return Ok(v.to_vec()),
        (Number::Integer(_), Data::I32(v)) => return Ok(v.iter().map(|value| i64::from(*value)).collect()),
        (Number::Decimal { scale: 1.., .. } | Number::Float | Number::Double, _) => {
            return whole(&doubles(number, column, count, rows)?, rows);
        }
        _ => {}
    }
    let mut buffer = Buffer::I64(vec![0; count]);
    each_in_its_place(number, column, rows, &mut buffer).map_err(|CastError(value)| {
        Error::of(Code::Call, format!("the label {value} is not a BIGINT; cast labels to VARCHAR"))
    })?;
    match buffer {
        Buffer::I64(values) => Ok(values),
        _ => Err(Error::new("no integers")),
    }
}

/// 2^53: up to it a double tells each integer from the next one.
pub const TOLD_APART: f64 = 9_007_199_254_740_992.0;

fn whole(values: &[f64], rows: Rows) -> Result<Vec<i64>> {
    let mut integers = vec![0; values.len()];
    for row in rows.iter() {
        let value = values[row];
        if value.fract() != 0.0 || value.abs() > TOLD_APART {
            let value = shown(value);
            return Err(Error::of(
                Code::Call,
                format!(
                    "labels name classes, and {value} is no integer; numbers are compared by mean_absolute_error() and its sisters"
                ),
            ));
        }
        integers[row] = value as i64;
    }
    Ok(integers)
}

/// A column of numbers as doubles, each in its own place; zero where a row is NULL.
pub fn doubles(number: Number, column: &Column, count: usize, rows: Rows) -> Result<Vec<f64>> {
    let mut buffer = Buffer::F64(vec![0.0; count]);
    each_in_its_place(number, column, rows, &mut buffer)
        .map_err(|CastError(value)| Error::of(Code::Call, format!("{value} is no DOUBLE")))?;
    match buffer {
        Buffer::F64(values) => Ok(values),
        _ => Err(Error::new("no doubles")),
    }
}

fn each_in_its_place(
    number: Number,
    column: &Column,
    rows: Rows,
    buffer: &mut Buffer,
) -> std::result::Result<(), CastError> {
    let mut first = 0;
    // runs of rows that follow one another
    while first < rows.len() {
        let start = rows.get(first);
        let mut length = 1;
        while first + length < rows.len() && rows.get(first + length) == start + length {
            length += 1;
        }
        numbers(column, number, Rows::Range(start, length), Slot { buffer, start, width: 1, at: 0 })?;
        first += length;
    }
    Ok(())
}

/// Classes in the order in which they were met, by number.
#[derive(Debug, Clone, Default)]
pub struct Classes {
    kind: Option<Kind>,
    labels: Vec<Label>,
    integers: HashMap<i64, u32>,
    texts: HashMap<Box<[u8]>, u32>,
}

/// Classes that are looked for one after the other, before there is a table of them.
const FEW: usize = 8;
/// Integers from 0 that are found by their place.
const SMALL: usize = 16;

impl Classes {
    pub fn kind(&self) -> Kind {
        self.kind.unwrap_or(Kind::Integer)
    }

    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// Take labels of this kind in.
    pub fn admit(&mut self, kind: Kind) -> Result<()> {
        self.kind = Some(self.kind.map_or(Ok(kind), |own| common(own, kind))?);
        Ok(())
    }

    pub fn id(&mut self, key: Key) -> u32 {
        let few = &self.labels[..self.labels.len().min(FEW)];
        if let Some(id) = few.iter().position(|label| label.key() == key) {
            return id as u32;
        }
        let new = self.labels.len() as u32;
        let id = match key {
            Key::Integer(value) => *self.integers.entry(value).or_insert(new),
            Key::Text(text) => match self.texts.get(text) {
                Some(id) => *id,
                None => *self.texts.entry(text.into()).or_insert(new),
            },
        };
        if id == new {
            self.labels.push(key.label());
        }
        id
    }

    /// The numbers of the labels of these rows, one after the other.
    pub fn ids(&mut self, labels: &Labels, rows: Rows) -> Vec<u32> {
        let mut known: Option<(Key, u32)> = None;
        // integers that are seldom more than a few, without a search
        let mut small = [u32::MAX; SMALL];
        let mut id = |row: usize| {
            let key = labels.get(row);
            let place = match key {
                Key::Integer(value @ 0..) if value < SMALL as i64 => Some(value as usize),
                _ => None,
            };
            match (place, known) {
                (Some(place), _) if small[place] != u32::MAX => small[place],
                (None, Some((last, id))) if last == key => id,
                _ => {
                    let id = self.id(key);
                    known = Some((key, id));
                    if let Some(place) = place {
                        small[place] = id;
                    }
                    id
                }
            }
        };
        rows.iter().map(&mut id).collect()
    }

    /// The numbers here of the classes there.
    pub fn merge(&mut self, other: &Classes) -> Result<Vec<u32>> {
        if let Some(kind) = other.kind {
            self.admit(kind)?;
        }
        Ok(other.labels.iter().map(|label| self.id(label.key())).collect())
    }

    /// The numbers of the classes, in the order of the classes.
    pub fn ascending(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = (0..self.labels.len() as u32).collect();
        ids.sort_unstable_by(|a, b| self.labels[*a as usize].cmp(&self.labels[*b as usize]));
        ids
    }
}

/// A label and a class that somebody named.
pub fn require_alike(kind: Kind, named: &Label) -> Result<()> {
    let own = if matches!(named, Label::Text(_)) { Kind::Text } else { Kind::Integer };
    common(kind, own).map(|_| ())
}

pub fn require_same(kind: Kind, other: Kind) -> Result<()> {
    common(kind, other).map(|_| ())
}

pub fn not_constant() -> Error {
    Error::of(Code::Call, "the positive class must be a constant, such as 'yes'")
}

/// The positive class, as it was named before or is named now.
pub fn name(positive: &mut Option<Label>, named: Option<&Label>) -> Result<()> {
    match (&positive, named) {
        (Some(own), Some(other)) if own != other => Err(not_constant()),
        (None, Some(named)) => {
            *positive = Some(named.clone());
            Ok(())
        }
        _ => Ok(()),
    }
}

pub fn no_positive(positive: &Label, known: &[String]) -> Error {
    Error::of(Code::Call, format!("no label is the positive class {}; labels: {}", positive.key(), known.join(", ")))
}
