//! What a batch of the host holds: arguments of any type, with NULLs, whose values may be anything.

use std::borrow::Cow;

use super::Dice;
use crate::core::column::{Column, Data, Entry, Wide};
use crate::core::manifest::preprocess::Prepare;
use crate::core::manifest::{Feature, Manifest};
use crate::core::sqltype::{ArgType, Number, Words};
use crate::sys::tensor::Dtype;

/// In all lists of a column: each level of them has many times as many.
const MOST_VALUES: usize = 1 << 20;

/// The values that a column borrows.
pub struct Held {
    valid: Option<Vec<u64>>,
    values: Values,
}

enum Values {
    Null,
    Bool(Vec<u8>),
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    I128(Vec<Wide>),
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    U128(Vec<Wide>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Text(Vec<Vec<u8>>),
    List(Vec<Entry>, Box<Held>),
    Array(usize, Box<Held>),
    Struct(Vec<Held>),
    Unread,
}

impl Held {
    pub fn column(&self) -> Column<'_> {
        let data = match &self.values {
            Values::Null => Data::Null,
            Values::Bool(v) => Data::Bool(v),
            Values::I8(v) => Data::I8(v),
            Values::I16(v) => Data::I16(v),
            Values::I32(v) => Data::I32(v),
            Values::I64(v) => Data::I64(v),
            Values::I128(v) => Data::I128(v),
            Values::U8(v) => Data::U8(v),
            Values::U16(v) => Data::U16(v),
            Values::U32(v) => Data::U32(v),
            Values::U64(v) => Data::U64(v),
            Values::U128(v) => Data::U128(v),
            Values::F32(v) => Data::F32(v),
            Values::F64(v) => Data::F64(v),
            Values::Text(v) => Data::Text(v.iter().map(Vec::as_slice).collect()),
            Values::List(entries, child) => Data::List(entries, Box::new(child.column())),
            Values::Array(size, child) => Data::Array(*size, Box::new(child.column())),
            Values::Struct(fields) => Data::Struct(fields.iter().map(Held::column).collect()),
            Values::Unread => Data::Unread,
        };
        Column { valid: self.valid.as_deref().map(Cow::Borrowed), data }
    }

    fn is_valid(&self, row: usize) -> bool {
        self.valid.as_ref().is_none_or(|mask| mask[row / 64] >> (row % 64) & 1 == 1)
    }
}

/// `rows` values of the type; `length` is that of most lists, `texts` what most texts are.
pub fn held(given: &ArgType, rows: usize, length: usize, texts: &[Vec<u8>], dice: &mut Dice) -> Held {
    let valid = dice.one_in(2).then(|| mask(rows, dice));
    let mut held = Held { valid, values: Values::Unread };
    held.values = match given {
        ArgType::Null | ArgType::Unknown => Values::Null,
        ArgType::Number(number) => numbers(*number, rows, dice),
        ArgType::Text | ArgType::Blob => {
            Values::Text((0..rows).map(|row| if held.is_valid(row) { text(texts, dice) } else { Vec::new() }).collect())
        }
        // what a host keeps where a row is NULL may be no code at all
        ArgType::Enum(words) => {
            let code = |row: usize, dice: &mut Dice| {
                if held.is_valid(row) { dice.below(words.count) as u32 } else { dice.bits() as u32 }
            };
            let codes: Vec<u32> = (0..rows).map(|row| code(row, dice)).collect();
            match words.count {
                0..=0xff => Values::U8(codes.into_iter().map(|code| code as u8).collect()),
                0x100..=0xffff => Values::U16(codes.into_iter().map(|code| code as u16).collect()),
                _ => Values::U32(codes),
            }
        }
        ArgType::List(child) => list(&held, child, rows, length, texts, dice),
        ArgType::Array(child, size) => {
            Values::Array(*size, Box::new(self::held(child, rows * size, length, texts, dice)))
        }
        ArgType::Struct(fields) => {
            let mut columns: Vec<Held> =
                fields.iter().map(|(_, field)| self::held(field, rows, length, texts, dice)).collect();
            if let Some(outer) = &held.valid {
                // as input.rs does: a row that is not there has no fields
                for column in &mut columns {
                    let own = column.valid.take().unwrap_or_else(|| vec![u64::MAX; outer.len()]);
                    column.valid = Some(own.iter().zip(outer).map(|(a, b)| a & b).collect());
                }
            }
            Values::Struct(columns)
        }
        ArgType::Temporal(_) | ArgType::Other(_) => Values::Unread,
    };
    held
}

fn list(held: &Held, child: &ArgType, rows: usize, length: usize, texts: &[Vec<u8>], dice: &mut Dice) -> Values {
    let (mut entries, mut total) = (Vec::with_capacity(rows), 0);
    let ragged = dice.one_in(3);
    for row in 0..rows {
        if !held.is_valid(row) {
            entries.push(Entry { offset: dice.bits(), length: dice.bits() });
            continue;
        }
        let count = if ragged { dice.below(2 * length + 2) } else { length };
        let count = if total < MOST_VALUES { count } else { 0 };
        entries.push(Entry { offset: total as u64, length: count as u64 });
        total += count;
        if dice.one_in(9) {
            total += dice.below(3); // values that no row has
        }
    }
    Values::List(entries, Box::new(self::held(child, total, length, texts, dice)))
}

fn mask(rows: usize, dice: &mut Dice) -> Vec<u64> {
    let kind = dice.below(4);
    let word = |dice: &mut Dice| match kind {
        0 => u64::MAX,
        1 => 0,
        2 => dice.bits() | dice.bits() | dice.bits(),
        _ => dice.bits(),
    };
    (0..rows.div_ceil(64)).map(|_| word(dice)).collect()
}

fn numbers(number: Number, rows: usize, dice: &mut Dice) -> Values {
    let small = dice.one_in(2);
    let wide = |dice: &mut Dice| Wide { lower: dice.bits(), upper: if small { 0 } else { dice.bits() } };
    macro_rules! whole {
        ($type:ty) => {
            (0..rows).map(|_| if small { dice.below(3) as $type } else { dice.integer() as $type }).collect()
        };
    }
    match number {
        Number::Boolean => Values::Bool((0..rows).map(|_| dice.below(2) as u8).collect()),
        Number::Float => Values::F32((0..rows).map(|_| dice.number() as f32).collect()),
        Number::Double => Values::F64((0..rows).map(|_| dice.number()).collect()),
        Number::Decimal { width: 0..=4, .. } | Number::Integer("SMALLINT") => Values::I16(whole!(i16)),
        Number::Decimal { width: 5..=9, .. } | Number::Integer("INTEGER") => Values::I32(whole!(i32)),
        Number::Decimal { width: 10..=18, .. } | Number::Integer("BIGINT") => Values::I64(whole!(i64)),
        Number::Decimal { .. } | Number::Integer("HUGEINT") => Values::I128((0..rows).map(|_| wide(dice)).collect()),
        Number::Integer("TINYINT") => Values::I8(whole!(i8)),
        Number::Integer("UTINYINT") => Values::U8(whole!(u8)),
        Number::Integer("USMALLINT") => Values::U16(whole!(u16)),
        Number::Integer("UINTEGER") => Values::U32(whole!(u32)),
        Number::Integer("UBIGINT") => Values::U64(whole!(u64)),
        Number::Integer("UHUGEINT") => Values::U128((0..rows).map(|_| wide(dice)).collect()),
        Number::Integer(_) => Values::Unread,
    }
}

fn text(texts: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    match dice.below(4) {
        0 => (0..dice.below(40)).map(|_| dice.bits() as u8).collect(),
        1 => Vec::new(),
        _ if texts.is_empty() => b"a text".to_vec(),
        _ => dice.of(texts).clone(),
    }
}

/// Arguments for a model: mostly such as it takes.
pub fn arguments(manifest: &Manifest, dice: &mut Dice) -> Vec<ArgType> {
    let fits = !dice.one_in(4);
    let one = |feature: &Feature, dice: &mut Dice| if fits { fitting(manifest, feature, dice) } else { any(2, dice) };
    match dice.below(4) {
        0 => {
            let mut fields: Vec<(String, ArgType)> =
                manifest.features.iter().map(|feature| (feature.name.to_uppercase(), one(feature, dice))).collect();
            fields.insert(dice.below(fields.len() + 1), ("unused".to_string(), any(1, dice)));
            vec![ArgType::Struct(fields)]
        }
        1 if manifest.takes_list() => {
            let child = Box::new(number(dice));
            vec![if dice.one_in(2) { ArgType::List(child) } else { ArgType::Array(child, manifest.features.len()) }]
        }
        2 if dice.one_in(8) => (0..dice.below(4)).map(|_| any(2, dice)).collect(),
        _ => manifest.features.iter().map(|feature| one(feature, dice)).collect(),
    }
}

fn fitting(manifest: &Manifest, feature: &Feature, dice: &mut Dice) -> ArgType {
    let input = &manifest.inputs[feature.input];
    let leaf = |dice: &mut Dice| match (input.dtype, dice.below(4)) {
        (_, 0) if dice.one_in(4) => ArgType::Null,
        (Dtype::Text, 0) => words(dice),
        (Dtype::Text, _) => ArgType::Text,
        _ => number(dice),
    };
    match &feature.prepare {
        Some(Prepare::Image(_)) => ArgType::Blob,
        Some(_) => {
            if dice.one_in(3) {
                words(dice)
            } else {
                ArgType::Text
            }
        }
        None if feature.column.is_some() || input.axes.is_empty() => leaf(dice),
        None if input.dtype == Dtype::U8 && dice.one_in(3) => ArgType::Blob,
        None if dice.one_in(3) => ArgType::List(Box::new(leaf(dice))),
        None => input.axes.iter().rev().fold(leaf(dice), |inner, axis| match axis {
            Some(size) if *size < 9 && dice.one_in(2) => ArgType::Array(Box::new(inner), *size),
            _ => ArgType::List(Box::new(inner)),
        }),
    }
}

fn number(dice: &mut Dice) -> ArgType {
    const INTEGERS: [&str; 10] = [
        "TINYINT",
        "SMALLINT",
        "INTEGER",
        "BIGINT",
        "HUGEINT",
        "UTINYINT",
        "USMALLINT",
        "UINTEGER",
        "UBIGINT",
        "UHUGEINT",
    ];
    ArgType::Number(match dice.below(5) {
        0 => Number::Boolean,
        1 => Number::Float,
        2 => Number::Double,
        3 => Number::Integer(dice.of::<&str>(&INTEGERS)),
        _ => {
            let width = 1 + dice.below(38) as u8;
            Number::Decimal { width, scale: dice.below(usize::from(width) + 1) as u8 }
        }
    })
}

fn words(dice: &mut Dice) -> ArgType {
    let count = *dice.of(&[1, 3, 255, 256, 70_000]);
    ArgType::Enum(Words::new(count, move || (0..count).map(|i| format!("word {i}")).collect()))
}

/// Of so many levels at most.
fn any(levels: usize, dice: &mut Dice) -> ArgType {
    match dice.below(if levels > 0 { 12 } else { 7 }) {
        0 => ArgType::Text,
        1 => ArgType::Blob,
        2 => words(dice),
        3 => ArgType::Null,
        4 => ArgType::Temporal("DATE"),
        5 => ArgType::Other("MAP"),
        6 | 7 => number(dice),
        8 | 9 => ArgType::List(Box::new(any(levels - 1, dice))),
        10 => ArgType::Array(Box::new(any(levels - 1, dice)), 1 + dice.below(4)),
        _ => ArgType::Struct(vec![("a".to_string(), any(levels - 1, dice)), ("B".to_string(), any(levels - 1, dice))]),
    }
}
