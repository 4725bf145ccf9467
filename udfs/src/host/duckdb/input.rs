//! Vectors that DuckDB lends for a call → columns. Nothing is copied but where each text lies.

use std::borrow::Cow;
use std::slice::from_raw_parts;

use libduckdb_sys::*;

use crate::core::column::{Column, Data, Valid, holds};
use crate::core::sqltype::{ArgType, Number};

/// A flat vector as a column. Columns of a struct know the rows that the struct itself does not have.
///
/// # Safety
/// `vector` must be a flat vector of the type `given` with at least `rows` rows, and must outlive the column.
pub unsafe fn column<'a>(vector: duckdb_vector, given: &ArgType, rows: usize) -> Column<'a> {
    // SAFETY: promised by the caller, here and for all the slices below: DuckDB stores `rows` values of the physical
    // type that belongs to the logical type.
    unsafe {
        let valid = validity(vector, rows);
        let data = match given {
            ArgType::Null | ArgType::Unknown => Data::Null,
            ArgType::Number(number) => numbers(vector, *number, rows),
            ArgType::Text | ArgType::Blob => Data::Text(texts(vector, &valid, rows)),
            ArgType::Enum(words) => match words.count {
                0..=0xff => Data::U8(values(vector, rows)),
                0x100..=0xffff => Data::U16(values(vector, rows)),
                _ => Data::U32(values(vector, rows)),
            },
            ArgType::List(child) => {
                let size = duckdb_list_vector_get_size(vector) as usize;
                let child = column(duckdb_list_vector_get_child(vector), child, size);
                Data::List(values(vector, rows), Box::new(child))
            }
            ArgType::Array(child, size) => {
                let child = column(duckdb_array_vector_get_child(vector), child, rows * size);
                Data::Array(*size, Box::new(child))
            }
            ArgType::Struct(fields) => {
                let field = |(i, (_, given)): (usize, &(String, ArgType))| {
                    if matches!(given, ArgType::Temporal(_) | ArgType::Other(_)) {
                        return Column { valid: None, data: Data::Unread };
                    }
                    let mut field = column(duckdb_struct_vector_get_child(vector, i as idx_t), given, rows);
                    field.within(&valid, rows);
                    field
                };
                Data::Struct(fields.iter().enumerate().map(field).collect())
            }
            ArgType::Temporal(_) | ArgType::Other(_) => Data::Unread,
        };
        Column { valid, data }
    }
}

/// # Safety
/// As for `column`.
unsafe fn numbers<'a>(vector: duckdb_vector, number: Number, rows: usize) -> Data<'a> {
    // SAFETY: as for `column`.
    unsafe {
        match number {
            Number::Boolean => Data::Bool(values(vector, rows)),
            Number::Float => Data::F32(values(vector, rows)),
            Number::Double => Data::F64(values(vector, rows)),
            Number::Decimal { width: 0..=4, .. } | Number::Integer("SMALLINT") => Data::I16(values(vector, rows)),
            Number::Decimal { width: 5..=9, .. } | Number::Integer("INTEGER") => Data::I32(values(vector, rows)),
            Number::Decimal { width: 10..=18, .. } | Number::Integer("BIGINT") => Data::I64(values(vector, rows)),
            Number::Decimal { .. } | Number::Integer("HUGEINT") => Data::I128(values(vector, rows)),
            Number::Integer("TINYINT") => Data::I8(values(vector, rows)),
            Number::Integer("UTINYINT") => Data::U8(values(vector, rows)),
            Number::Integer("USMALLINT") => Data::U16(values(vector, rows)),
            Number::Integer("UINTEGER") => Data::U32(values(vector, rows)),
            Number::Integer("UBIGINT") => Data::U64(values(vector, rows)),
            Number::Integer("UHUGEINT") => Data::U128(values(vector, rows)),
            Number::Integer(_) => Data::Unread,
        }
    }
}

/// # Safety
/// `vector` must hold `rows` values of the type `T` and outlive the slice.
unsafe fn values<'a, T>(vector: duckdb_vector, rows: usize) -> &'a [T] {
    // SAFETY: promised by the caller.
    let data = unsafe { duckdb_vector_get_data(vector) }.cast::<T>();
    if rows == 0 || data.is_null() {
        return &[];
    }
    // SAFETY: promised by the caller; DuckDB aligns the data of its vectors for their type.
    unsafe { from_raw_parts(data, rows) }
}

/// # Safety
/// As for `column`.
unsafe fn validity<'a>(vector: duckdb_vector, rows: usize) -> Valid<'a> {
    // SAFETY: the vector is valid.
    let mask = unsafe { duckdb_vector_get_validity(vector) };
    if mask.is_null() {
        return None;
    }
    // SAFETY: the mask has one bit for each row of the vector.
    Some(Cow::Borrowed(unsafe { from_raw_parts(mask, rows.div_ceil(64)) }))
}

/// # Safety
/// `vector` must hold `rows` texts and outlive the slices.
unsafe fn texts<'a>(vector: duckdb_vector, valid: &Valid, rows: usize) -> Vec<&'a [u8]> {
    const INLINED: u32 = 12;
    // SAFETY: promised by the caller.
    let strings: &[duckdb_string_t] = unsafe { values(vector, rows) };
    let is_valid = |row: usize| holds(valid.as_deref(), row);
    let text = |(row, string): (usize, &'a duckdb_string_t)| {
        if !is_valid(row) {
            return &[][..];
        }
        // SAFETY: a valid row holds a text; its length says which form it has.
        unsafe {
            let length = string.value.inlined.length;
            let start = if length <= INLINED {
                string.value.inlined.inlined.as_ptr()
            } else {
                string.value.pointer.ptr.cast_const()
            };
            from_raw_parts(start.cast::<u8>(), length as usize)
        }
    };
    strings.iter().enumerate().map(text).collect()
}
