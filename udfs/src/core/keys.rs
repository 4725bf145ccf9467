//! What tells rows apart: 128 bits of a hash under keys that are drawn when the process starts, so that nobody can
//! make rows collide.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::LazyLock;

use super::column::{Column, Data};
use super::plan::{Reader, ReaderKind};

static SECRETS: LazyLock<(RandomState, RandomState)> = LazyLock::new(Default::default);

/// The row of these columns, each of the type that its reader was given.
pub fn key(columns: &[&Column], readers: &[Reader], row: usize) -> u128 {
    let mut hashers = (SECRETS.0.build_hasher(), SECRETS.1.build_hasher());
    for (column, reader) in columns.iter().zip(readers) {
        let words = match &reader.kind {
            ReaderKind::Text(Some(words)) => words.as_slice(),
            _ => &[],
        };
        for hasher in [&mut hashers.0, &mut hashers.1] {
            bytes(reader.given.as_bytes(), hasher);
            cell(column, words, row, hasher);
        }
    }
    u128::from(hashers.0.finish()) << 64 | u128::from(hashers.1.finish())
}

fn bytes(value: &[u8], hasher: &mut impl Hasher) {
    hasher.write_usize(value.len());
    hasher.write(value);
}

fn cell(column: &Column, words: &[String], row: usize, hasher: &mut impl Hasher) {
    let valid = column.is_valid(row);
    hasher.write_u8(u8::from(valid));
    if !valid {
        return;
    }
    match &column.data {
        Data::Text(values) => bytes(values[row], hasher),
        Data::U8(codes) if !words.is_empty() => word(words, codes[row].into(), hasher),
        Data::U16(codes) if !words.is_empty() => word(words, codes[row].into(), hasher),
        Data::U32(codes) if !words.is_empty() => word(words, codes[row] as usize, hasher),
        Data::Bool(values) | Data::U8(values) => hasher.write_u8(values[row]),
        Data::I8(values) => hasher.write_i8(values[row]),
        Data::I16(values) => hasher.write_i16(values[row]),
        Data::I32(values) => hasher.write_i32(values[row]),
        Data::I64(values) => hasher.write_i64(values[row]),
        Data::U16(values) => hasher.write_u16(values[row]),
        Data::U32(values) => hasher.write_u32(values[row]),
        Data::U64(values) => hasher.write_u64(values[row]),
        Data::F32(values) => hasher.write_u32(values[row].to_bits()),
        Data::F64(values) => hasher.write_u64(values[row].to_bits()),
        Data::I128(values) | Data::U128(values) => {
            hasher.write_u64(values[row].lower);
            hasher.write_u64(values[row].upper);
        }
        Data::List(entries, child) => {
            let entry = entries[row];
            cells(child, words, entry.offset as usize, entry.length as usize, hasher);
        }
        Data::Array(size, child) => cells(child, words, row * size, *size, hasher),
        Data::Struct(_) | Data::Null | Data::Unread => {}
    }
}

fn cells(child: &Column, words: &[String], first: usize, count: usize, hasher: &mut impl Hasher) {
    hasher.write_usize(count);
    (first..first + count).for_each(|i| cell(child, words, i, hasher));
}

fn word(words: &[String], code: usize, hasher: &mut impl Hasher) {
    bytes(words.get(code).map_or(&[], |word| word.as_bytes()), hasher);
}
