//! Arrow's arrays → columns. What lies as it does in DuckDB is borrowed; what does not is copied: bits of booleans and of
//! validity, offsets of lists, decimals narrower than 128 bits, float16.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Entries;
use std::ffi::c_void;
use std::slice::from_raw_parts;

use super::abi::{ArrowArray, ArrowSchema};
use crate::core::column::{Column, Data, Entry, Valid, Wide, holds};
use crate::core::error::{Error, Result};
use crate::core::half::f32_from_f16;
use crate::core::sqltype::{ArgType, Number};

/// A column and what was copied for it; `column` borrows from it.
pub struct Held<'a> {
    valid: Option<Vec<u64>>,
    data: HeldData<'a>,
}

enum HeldData<'a> {
    Null,
    Bool(Vec<u8>),
    I8(Cow<'a, [i8]>),
    I16(Cow<'a, [i16]>),
    I32(Cow<'a, [i32]>),
    I64(Cow<'a, [i64]>),
    I128(Cow<'a, [Wide]>),
    U8(Cow<'a, [u8]>),
    U16(Cow<'a, [u16]>),
    U32(Cow<'a, [u32]>),
    U64(Cow<'a, [u64]>),
    F32(Cow<'a, [f32]>),
    F64(Cow<'a, [f64]>),
    Text(Vec<&'a [u8]>),
    List(Vec<Entry>, Box<Held<'a>>),
    Array(usize, Box<Held<'a>>),
    Struct(Vec<Held<'a>>, usize),
    Unread,
}

impl Held<'_> {
    pub fn column(&self) -> Column<'_> {
        let valid: Valid = self.valid.as_deref().map(Cow::Borrowed);
        let data = match &self.data {
            HeldData::Null => Data::Null,
            HeldData::Bool(values) => Data::Bool(values),
            HeldData::I8(values) => Data::I8(values),
            HeldData::I16(values) => Data::I16(values),
            HeldData::I32(values) => Data::I32(values),
            HeldData::I64(values) => Data::I64(values),
            HeldData::I128(values) => Data::I128(values),
            HeldData::U8(values) => Data::U8(values),
            HeldData::U16(values) => Data::U16(values),
            HeldData::U32(values) => Data::U32(values),
            HeldData::U64(values) => Data::U64(values),
            HeldData::F32(values) => Data::F32(values),
            HeldData::F64(values) => Data::F64(values),
            HeldData::Text(values) => Data::Text(values.clone()),
            HeldData::List(entries, child) => Data::List(entries, Box::new(child.column())),
            HeldData::Array(size, child) => Data::Array(*size, Box::new(child.column())),
            HeldData::Struct(fields, rows) => {
                let mut fields: Vec<Column> = fields.iter().map(Held::column).collect();
                fields.iter_mut().for_each(|field| field.within(&valid, *rows));
                Data::Struct(fields)
            }
            HeldData::Unread => Data::Unread,
        };
        Column { valid, data }
    }
}

/// `rows` rows of an array, from the `start`th on.
///
/// # Safety
/// Array and schema must be of one another, not released, and as the interface has them; the array must outlive what is
/// given, and `given` be its type.
pub unsafe fn held<'a>(
    array: &'a ArrowArray,
    schema: &ArrowSchema,
    given: &ArgType,
    start: usize,
    rows: usize,
) -> Result<Held<'a>> {
    let (own, length) = (count(array.offset)?, count(array.length)?);
    if start.checked_add(rows).is_none_or(|end| end > length) {
        return Err(Error::new(format!("an array of {length} rows, of which {rows} are read from the {start}th on")));
    }
    let first = own.checked_add(start).ok_or_else(|| Error::new("an array that begins nowhere"))?;
    // SAFETY: promised by the caller, of what belongs to the array, too; `first` and `rows` lie within its length.
    unsafe {
        let valid = validity(array, given, first, rows)?;
        let data = if !schema.dictionary.is_null() && matches!(given, ArgType::Enum(_)) {
            dictionary(array, schema, first, rows, valid.as_deref())?
        } else {
            data(array, schema, given, (first, rows), valid.as_deref())?
        };
        // what the dictionary has no value for is NULL
        match data {
            (data, Some(valid)) => Ok(Held { valid: Some(valid), data }),
            (data, None) => Ok(Held { valid, data }),
        }
    }
}

type Read<'a> = (HeldData<'a>, Option<Vec<u64>>);

/// # Safety
/// As for `held`.
unsafe fn data<'a>(
    array: &'a ArrowArray,
    schema: &ArrowSchema,
    given: &ArgType,
    (first, rows): (usize, usize),
    valid: Option<&[u64]>,
) -> Result<Read<'a>> {
    // SAFETY: promised by the caller.
    let found = unsafe {
        let format = schema.format()?;
        match given {
            ArgType::Null => HeldData::Null,
            ArgType::Number(number) => numbers(array, format, *number, first, rows)?,
            ArgType::Text | ArgType::Blob => HeldData::Text(texts(array, format, first, rows, valid)?),
            ArgType::List(inner) => {
                let (child, child_schema) = only_child(array, schema)?;
                let mut entries = match format {
                    "+L" => entries(offsets::<i64>(array, first, rows)?, valid)?,
                    _ => entries(offsets::<i32>(array, first, rows)?, valid)?,
                };
                let filled = || entries.iter().filter(|entry| entry.length > 0);
                let begin = filled().map(|entry| entry.offset).min().unwrap_or(0);
                let end = filled().map(|entry| entry.offset + entry.length).max().unwrap_or(0);
                entries.iter_mut().for_each(|entry| entry.offset = entry.offset.saturating_sub(begin));
                let child = held(child, child_schema, inner, begin as usize, (end - begin) as usize)?;
                HeldData::List(entries, Box::new(child))
            }
            ArgType::Array(inner, size) => {
                let (child, child_schema) = only_child(array, schema)?;
                let (start, count) = (first.checked_mul(*size), rows.checked_mul(*size));
                let Some((start, count)) = start.zip(count) else {
                    return Err(Error::new("an array of too many values"));
                };
                HeldData::Array(*size, Box::new(held(child, child_schema, inner, start, count)?))
            }
            ArgType::Struct(fields) => {
                let (arrays, schemas) = (array.children()?, schema.children()?);
                if arrays.len() != fields.len() || schemas.len() != fields.len() {
                    return Err(Error::new("a struct of other fields than its schema"));
                }
                let field = |((array, schema), (_, given)): ((&&'a ArrowArray, &&ArrowSchema), &(String, ArgType))| {
                    held(array, schema, given, first, rows)
                };
                let all = arrays.iter().zip(&schemas).zip(fields);
                HeldData::Struct(all.map(field).collect::<Result<_>>()?, rows)
            }
            ArgType::Unknown | ArgType::Enum(_) | ArgType::Temporal(_) | ArgType::Other(_) => HeldData::Unread,
        }
    };
    Ok((found, None))
}

/// # Safety
/// As for `held`.
unsafe fn numbers<'a>(
    array: &'a ArrowArray,
    format: &str,
    number: Number,
    first: usize,
    rows: usize,
) -> Result<HeldData<'a>> {
    // SAFETY: promised by the caller.
    unsafe {
        Ok(match (number, format) {
            (Number::Boolean, _) => HeldData::Bool(bits(array.buffer(1)?, first, rows)),
            (Number::Float, "e") => {
                let halves = values::<u16>(array, 1, first, rows)?;
                HeldData::F32(halves.iter().map(|half| f32_from_f16(*half)).collect::<Vec<_>>().into())
            }
            (Number::Float, _) => HeldData::F32(values(array, 1, first, rows)?),
            (Number::Double, _) => HeldData::F64(values(array, 1, first, rows)?),
            (Number::Decimal { width, .. }, _) => decimals(values(array, 1, first, rows)?, width),
            (Number::Integer(_), "c") => HeldData::I8(values(array, 1, first, rows)?),
            (Number::Integer(_), "C") => HeldData::U8(values(array, 1, first, rows)?),
            (Number::Integer(_), "s") => HeldData::I16(values(array, 1, first, rows)?),
            (Number::Integer(_), "S") => HeldData::U16(values(array, 1, first, rows)?),
            (Number::Integer(_), "i") => HeldData::I32(values(array, 1, first, rows)?),
            (Number::Integer(_), "I") => HeldData::U32(values(array, 1, first, rows)?),
            (Number::Integer(_), "l") => HeldData::I64(values(array, 1, first, rows)?),
            (Number::Integer(_), "L") => HeldData::U64(values(array, 1, first, rows)?),
            _ => HeldData::Unread,
        })
    }
}

/// In integers as wide as DuckDB's: what they are rounded to depends on that.
fn decimals(wide: Cow<'_, [Wide]>, width: u8) -> HeldData<'_> {
    match width {
        0..=4 => HeldData::I16(wide.iter().map(|wide| wide.lower as i16).collect::<Vec<_>>().into()),
        5..=9 => HeldData::I32(wide.iter().map(|wide| wide.lower as i32).collect::<Vec<_>>().into()),
        10..=18 => HeldData::I64(wide.iter().map(|wide| wide.lower as i64).collect::<Vec<_>>().into()),
        _ => HeldData::I128(wide),
    }
}

/// The texts of a dictionary that the codes name.
///
/// # Safety
/// As for `held`; the schema must have a dictionary.
unsafe fn dictionary<'a>(
    array: &'a ArrowArray,
    schema: &ArrowSchema,
    first: usize,
    rows: usize,
    valid: Option<&[u64]>,
) -> Result<Read<'a>> {
    // SAFETY: promised by the caller.
    let (words, words_schema) = unsafe { (array.dictionary.as_ref(), schema.dictionary.as_ref()) };
    let Some((words, words_schema)) = words.zip(words_schema) else {
        return Err(Error::new("an array without its dictionary"));
    };
    // SAFETY: promised by the caller.
    let (codes, count) = unsafe {
        let codes: Vec<i64> = match schema.format()? {
            "c" => values::<i8>(array, 1, first, rows)?.iter().map(|code| i64::from(*code)).collect(),
            "C" => values::<u8>(array, 1, first, rows)?.iter().map(|code| i64::from(*code)).collect(),
            "s" => values::<i16>(array, 1, first, rows)?.iter().map(|code| i64::from(*code)).collect(),
            "S" => values::<u16>(array, 1, first, rows)?.iter().map(|code| i64::from(*code)).collect(),
            "i" => values::<i32>(array, 1, first, rows)?.iter().map(|code| i64::from(*code)).collect(),
            "I" => values::<u32>(array, 1, first, rows)?.iter().map(|code| i64::from(*code)).collect(),
            "l" => values::<i64>(array, 1, first, rows)?.into_owned(),
            "L" => values::<u64>(array, 1, first, rows)?.iter().map(|code| *code as i64).collect(),
            other => return Err(Error::new(format!("codes of a dictionary as {other}"))),
        };
        (codes, count(words.length)?)
    };
    // each word is read once, where it is asked for: of very many words few rows ask for few
    let mut known: HashMap<usize, Option<&'a [u8]>> = HashMap::new();
    let mut kept = vec![0u64; rows.div_ceil(64)];
    let mut found: Vec<&'a [u8]> = Vec::with_capacity(rows);
    for (row, code) in codes.into_iter().enumerate() {
        let is_valid = holds(valid, row);
        let text = match usize::try_from(code) {
            _ if !is_valid => None,
            Ok(word) if word < count => match known.entry(word) {
                Entries::Occupied(known) => *known.get(),
                // SAFETY: promised by the caller, of what belongs to the array.
                Entries::Vacant(new) => *new.insert(unsafe { self::word(words, words_schema, word) }?),
            },
            _ => return Err(Error::new("a code that its dictionary has not")),
        };
        kept[row / 64] |= u64::from(text.is_some()) << (row % 64);
        found.push(text.unwrap_or_default());
    }
    Ok((HeldData::Text(found), Some(kept)))
}

/// One of the texts of a dictionary; None of what has no text there.
///
/// # Safety
/// As for `held`, of the dictionary and its schema.
unsafe fn word<'a>(words: &'a ArrowArray, schema: &ArrowSchema, word: usize) -> Result<Option<&'a [u8]>> {
    // SAFETY: promised by the caller.
    let held = unsafe { held(words, schema, &ArgType::Text, word, 1) }?;
    let is_valid = held.valid.as_ref().is_none_or(|mask| mask.first().is_some_and(|word| word & 1 == 1));
    match held.data {
        HeldData::Text(texts) if is_valid => Ok(texts.first().copied()),
        _ => Ok(None),
    }
}

/// Where each text lies; nowhere for what is NULL.
///
/// # Safety
/// As for `held`.
unsafe fn texts<'a>(
    array: &'a ArrowArray,
    format: &str,
    first: usize,
    rows: usize,
    valid: Option<&[u64]>,
) -> Result<Vec<&'a [u8]>> {
    let is_valid = |row: usize| holds(valid, row);
    // SAFETY: promised by the caller; the offsets are looked at before their bytes are.
    unsafe {
        let entries = match format {
            "U" | "Z" => entries(offsets::<i64>(array, first, rows)?, valid)?,
            "vu" | "vz" => return viewed(array, first, rows, is_valid),
            "u" | "z" => entries(offsets::<i32>(array, first, rows)?, valid)?,
            _ => {
                let size: usize = format.strip_prefix("w:").and_then(|size| size.parse().ok()).unwrap_or(0);
                let entry = |row: usize| Entry { offset: ((first + row) * size) as u64, length: size as u64 };
                let none = Entry { offset: 0, length: 0 };
                let entries: Vec<Entry> = (0..rows).map(|row| if is_valid(row) { entry(row) } else { none }).collect();
                return Ok(sliced(array.buffer(1)?, &entries));
            }
        };
        Ok(sliced(array.buffer(2)?, &entries))
    }
}

/// # Safety
/// The buffer must have the bytes of the entries, and outlive the slices.
unsafe fn sliced<'a>(bytes: *const c_void, entries: &[Entry]) -> Vec<&'a [u8]> {
    let slice = |entry: &Entry| -> &'a [u8] {
        if entry.length == 0 || bytes.is_null() {
            return &[];
        }
        // SAFETY: promised by the caller.
        unsafe { from_raw_parts(bytes.cast::<u8>().add(entry.offset as usize), entry.length as usize) }
    };
    entries.iter().map(slice).collect()
}

/// The texts of views: twelve bytes lie in the view itself, more in one of the buffers behind.
///
/// # Safety
/// As for `held`.
unsafe fn viewed<'a>(
    array: &'a ArrowArray,
    first: usize,
    rows: usize,
    is_valid: impl Fn(usize) -> bool,
) -> Result<Vec<&'a [u8]>> {
    const VIEW: usize = 16;
    let lost = || Error::new("a view of bytes that are not there");
    let more = usize::try_from(array.n_buffers - 3).map_err(|_| lost())?;
    // SAFETY: promised by the caller: behind the views are `more` buffers, and then their sizes.
    unsafe {
        let views = array.buffer(1)?.cast::<u8>();
        let sizes = if more > 0 { values_at::<i64>(array.buffer(2 + more)?, 0, more)? } else { Cow::Borrowed(&[][..]) };
        let mut found: Vec<&'a [u8]> = Vec::with_capacity(rows);
        for row in 0..rows {
            if !is_valid(row) {
                found.push(&[]);
                continue;
            }
            let view: &'a [u8] = from_raw_parts(views.add((first + row) * VIEW), VIEW);
            let number = |at: usize| i32::from_ne_bytes([view[at], view[at + 1], view[at + 2], view[at + 3]]);
            let length = usize::try_from(number(0)).map_err(|_| lost())?;
            if length <= 12 {
                found.push(&view[4..4 + length]);
                continue;
            }
            let (buffer, offset) = (usize::try_from(number(8)), usize::try_from(number(12)));
            let (Ok(buffer), Ok(offset)) = (buffer, offset) else { return Err(lost()) };
            let size = sizes.get(buffer).and_then(|size| usize::try_from(*size).ok()).ok_or_else(lost)?;
            if offset + length > size {
                return Err(lost());
            }
            found.push(from_raw_parts(array.buffer(2 + buffer)?.cast::<u8>().add(offset), length));
        }
        Ok(found)
    }
}

/// Where each row begins and how long it is; what is NULL is of no length.
fn entries<T: Copy + Into<i64>>(offsets: Cow<'_, [T]>, valid: Option<&[u64]>) -> Result<Vec<Entry>> {
    let is_valid = |row: usize| holds(valid, row);
    let entry = |(row, pair): (usize, &[T])| {
        let (from, to): (i64, i64) = (pair[0].into(), pair[1].into());
        match (u64::try_from(from), u64::try_from(to - from)) {
            _ if !is_valid(row) => Ok(Entry { offset: 0, length: 0 }),
            (Ok(offset), Ok(length)) => Ok(Entry { offset, length }),
            _ => Err(Error::new("a list that ends before it begins")),
        }
    };
    offsets.windows(2).enumerate().map(entry).collect()
}

/// # Safety
/// As for `held`.
unsafe fn validity(array: &ArrowArray, given: &ArgType, first: usize, rows: usize) -> Result<Option<Vec<u64>>> {
    if array.null_count == 0 || matches!(given, ArgType::Null) || array.n_buffers == 0 {
        return Ok(None);
    }
    // SAFETY: promised by the caller.
    unsafe {
        let bitmap = array.buffer(0)?;
        if bitmap.is_null() {
            return Ok(None);
        }
        let mut words = vec![0u64; rows.div_ceil(64)];
        let bytes = from_raw_parts(bitmap.cast::<u8>(), (first + rows).div_ceil(8));
        for row in (0..rows).filter(|row| bit(bytes, first + row)) {
            words[row / 64] |= 1 << (row % 64);
        }
        Ok(Some(words))
    }
}

fn bit(bytes: &[u8], i: usize) -> bool {
    bytes[i / 8] >> (i % 8) & 1 == 1
}

/// # Safety
/// `bitmap` must have the bits.
unsafe fn bits(bitmap: *const c_void, first: usize, rows: usize) -> Vec<u8> {
    if rows == 0 || bitmap.is_null() {
        return vec![0; rows];
    }
    // SAFETY: promised by the caller.
    let bytes = unsafe { from_raw_parts(bitmap.cast::<u8>(), (first + rows).div_ceil(8)) };
    (first..first + rows).map(|i| u8::from(bit(bytes, i))).collect()
}

/// The values of a buffer, as they are, unless they lie where a processor does not take them.
///
/// # Safety
/// As for `held`; the buffer must be one of such values.
unsafe fn values<T: Copy>(array: &ArrowArray, buffer: usize, first: usize, rows: usize) -> Result<Cow<'_, [T]>> {
    // SAFETY: promised by the caller.
    unsafe { values_at(array.buffer(buffer)?, first, rows) }
}

/// One more than there are rows; none where there is no row, whose buffer may be none.
///
/// # Safety
/// As for `values`.
unsafe fn offsets<T: Copy>(array: &ArrowArray, first: usize, rows: usize) -> Result<Cow<'_, [T]>> {
    // SAFETY: promised by the caller.
    unsafe { values(array, 1, first, if rows == 0 { 0 } else { rows + 1 }) }
}

/// # Safety
/// `data` must be null or have the values, and outlive the slice.
unsafe fn values_at<'a, T: Copy>(data: *const c_void, first: usize, rows: usize) -> Result<Cow<'a, [T]>> {
    if rows == 0 {
        return Ok(Cow::Borrowed(&[]));
    }
    if data.is_null() {
        return Err(Error::new("a buffer that is null"));
    }
    // SAFETY: promised by the caller.
    unsafe {
        let place = data.cast::<T>().wrapping_add(first);
        if place.is_aligned() {
            return Ok(Cow::Borrowed(from_raw_parts(place, rows)));
        }
        Ok(Cow::Owned((0..rows).map(|row| place.wrapping_add(row).read_unaligned()).collect()))
    }
}

/// # Safety
/// As for `held`.
unsafe fn only_child<'a, 'b>(
    array: &'a ArrowArray,
    schema: &'b ArrowSchema,
) -> Result<(&'a ArrowArray, &'b ArrowSchema)> {
    // SAFETY: promised by the caller.
    let (arrays, schemas) = unsafe { (array.children()?, schema.children()?) };
    match (&arrays[..], &schemas[..]) {
        ([array], [schema]) => Ok((array, schema)),
        _ => Err(Error::new("a list that has not one child")),
    }
}

fn count(number: i64) -> Result<usize> {
    usize::try_from(number).map_err(|_| Error::new(format!("an array of {number} rows")))
}
