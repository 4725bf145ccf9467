//! The row that a batch failed on, told by its values: the number of a row in a batch is seen by nobody. The same as in
//! sqlinfer/runtime/failing.py.

use std::borrow::Cow;

use super::column::{Column, Data, Entry, Rows, Valid, holds};
use super::error::{Code, Error, Result};
use super::literals::{shown, shown_text};
use super::outputs::Answers;
use super::plan::{ArgLayout, Plan, ReaderKind};
use super::predict::score_rows;
use super::predictor::{Sink, State};
use super::sqltype::Number;

/// Of a row of many features, and of a list, those that are shown.
const MOST_SHOWN: usize = 8;

/// Score `rows` rows of the arguments. An error is that of the first row that fails by itself, with its values, if one
/// does.
pub fn score(state: &mut State, arguments: &[Column], rows: usize, sink: &mut dyn Sink) -> Result<()> {
    score_rows(state, arguments, rows, sink).map_err(|error| of_first_row(state, arguments, rows, error))
}

/// `error` where each row by itself is answered, and where it is of no row.
fn of_first_row(state: &mut State, arguments: &[Column], rows: usize, error: Error) -> Error {
    let (mut first, mut end, mut found) = (0, rows, error);
    if !is_of_row(&found) {
        return found;
    }
    while end - first > 1 {
        let middle = first + (end - first) / 2;
        match score_rows(state, &part(arguments, first, middle - first), middle - first, &mut Nowhere) {
            Ok(()) => first = middle,
            Err(error) => (end, found) = (middle, error),
        }
        if !is_of_row(&found) {
            return found;
        }
    }
    if first == end {
        return found;
    }
    let row = part(arguments, first, 1);
    match score_rows(state, &row, 1, &mut Nowhere) {
        Err(error) if is_of_row(&error) => {
            let plan = &state.predictor.plan;
            Error::of(error.code, format!("{}\nthe row: {}", error.text, row_text(plan, &row)))
        }
        Err(error) => error,
        Ok(()) => found,
    }
}

fn is_of_row(error: &Error) -> bool {
    matches!(error.code, Code::Feature | Code::FeatureCount | Code::FeatureType | Code::NullFeature | Code::ModelFailed)
}

struct Nowhere;

impl Sink for Nowhere {
    fn write(&mut self, _: &Answers, _: Rows) -> Result<()> {
        Ok(())
    }

    fn nulls_but(&mut self, _: &[u32], _: usize) {}
}

/// The first of the rows, as `age = 20, city = 'a'`.
fn row_text(plan: &Plan, arguments: &[Column]) -> String {
    if let (ArgLayout::List, [list, ..]) = (&plan.form, arguments) {
        return value_text(&plan.readers[0].kind, list, 0);
    }
    let columns = plan.columns(arguments);
    let pairs = plan.manifest.features.iter().zip(&plan.readers).zip(columns);
    let texts = pairs
        .take(MOST_SHOWN)
        .map(|((feature, reader), column)| format!("{} = {}", feature.name, value_text(&reader.kind, column, 0)));
    let more = plan.manifest.features.len().saturating_sub(MOST_SHOWN);
    let rest = (more > 0).then(|| format!("… ({more} more)"));
    texts.chain(rest).collect::<Vec<_>>().join(", ")
}

fn value_text(kind: &ReaderKind, column: &Column, row: usize) -> String {
    if !column.is_valid(row) {
        return "NULL".to_string();
    }
    let list = |child: &Column, first: usize, count: usize| {
        let inner = if let ReaderKind::Cells(inner) = kind { inner } else { kind };
        let own = if matches!(child.data, Data::List(..) | Data::Array(..)) { kind } else { inner };
        let shown = (first..first + count.min(MOST_SHOWN)).map(|place| value_text(own, child, place));
        let more = (count > MOST_SHOWN).then(|| format!("… ({} more)", count - MOST_SHOWN));
        format!("[{}]", shown.chain(more).collect::<Vec<_>>().join(", "))
    };
    match (&column.data, kind) {
        (Data::List(entries, child), _) => list(child, entries[row].offset as usize, entries[row].length as usize),
        (Data::Array(size, child), _) => list(child, row * size, *size),
        (Data::Text(values), ReaderKind::Text(_)) => shown_text(&String::from_utf8_lossy(values[row])),
        (Data::Text(values), _) => format!("{} bytes", values[row].len()),
        (data, ReaderKind::Text(Some(words))) => {
            code(data, row).and_then(|code| words.get(code)).map_or("…".to_string(), |word| shown_text(word))
        }
        (Data::F32(values), _) => shown(f64::from(values[row])),
        (Data::F64(values), _) => shown(values[row]),
        (data, ReaderKind::Number(Number::Boolean)) => (code(data, row) == Some(1)).to_string(),
        (data, ReaderKind::Number(Number::Decimal { scale, .. })) => {
            whole(data, row).map_or("…".to_string(), |whole| decimal(whole, usize::from(*scale)))
        }
        (data, _) => whole(data, row).map_or("…".to_string(), |whole| whole.to_string()),
    }
}

fn code(data: &Data, row: usize) -> Option<usize> {
    match data {
        Data::Bool(codes) | Data::U8(codes) => Some(usize::from(codes[row])),
        Data::U16(codes) => Some(usize::from(codes[row])),
        Data::U32(codes) => Some(codes[row] as usize),
        _ => None,
    }
}

fn whole(data: &Data, row: usize) -> Option<i128> {
    Some(match data {
        Data::I8(values) => values[row].into(),
        Data::I16(values) => values[row].into(),
        Data::I32(values) => values[row].into(),
        Data::I64(values) => values[row].into(),
        Data::U8(values) => values[row].into(),
        Data::U16(values) => values[row].into(),
        Data::U32(values) => values[row].into(),
        Data::U64(values) => values[row].into(),
        Data::I128(values) => i128::from(values[row].upper as i64) << 64 | i128::from(values[row].lower),
        Data::U128(values) if values[row].upper >> 63 == 0 => {
            i128::from(values[row].upper) << 64 | i128::from(values[row].lower)
        }
        _ => return None,
    })
}

fn decimal(whole: i128, scale: usize) -> String {
    let sign = if whole < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", whole.unsigned_abs(), width = scale + 1);
    let (front, back) = digits.split_at(digits.len() - scale);
    if scale == 0 { format!("{sign}{front}") } else { format!("{sign}{front}.{back}") }
}

/// `count` rows of the columns, from the `first`.
fn part<'a>(columns: &'a [Column<'_>], first: usize, count: usize) -> Vec<Column<'a>> {
    columns.iter().map(|column| column_part(column, first, count)).collect()
}

fn column_part<'a>(column: &'a Column<'_>, first: usize, count: usize) -> Column<'a> {
    let range = first..first + count;
    let data = match &column.data {
        Data::Null => Data::Null,
        Data::Bool(values) => Data::Bool(&values[range]),
        Data::I8(values) => Data::I8(&values[range]),
        Data::I16(values) => Data::I16(&values[range]),
        Data::I32(values) => Data::I32(&values[range]),
        Data::I64(values) => Data::I64(&values[range]),
        Data::I128(values) => Data::I128(&values[range]),
        Data::U8(values) => Data::U8(&values[range]),
        Data::U16(values) => Data::U16(&values[range]),
        Data::U32(values) => Data::U32(&values[range]),
        Data::U64(values) => Data::U64(&values[range]),
        Data::U128(values) => Data::U128(&values[range]),
        Data::F32(values) => Data::F32(&values[range]),
        Data::F64(values) => Data::F64(&values[range]),
        Data::Text(values) => Data::Text(values[range].to_vec()),
        Data::List(entries, child) => {
            let held = entries.iter().map(|Entry { offset, length }| (offset + length) as usize).max().unwrap_or(0);
            Data::List(&entries[range], Box::new(column_part(child, 0, held)))
        }
        Data::Array(size, child) => Data::Array(*size, Box::new(column_part(child, first * size, count * size))),
        Data::Struct(fields) => Data::Struct(fields.iter().map(|field| column_part(field, first, count)).collect()),
        Data::Unread => Data::Unread,
    };
    Column { valid: valid_part(&column.valid, first, count), data }
}

fn valid_part(valid: &Valid<'_>, first: usize, count: usize) -> Valid<'static> {
    let mask = valid.as_ref()?;
    let mut part = vec![0u64; count.div_ceil(64)];
    for place in 0..count {
        let row = first + place;
        part[place / 64] |= u64::from(holds(Some(&mask[..]), row)) << (place % 64);
    }
    Some(Cow::Owned(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_have_their_digits() {
        let texts = [(12345, 2), (-5, 2), (0, 3), (7, 0)].map(|(whole, scale)| decimal(whole, scale));
        assert_eq!(texts, ["123.45", "-0.05", "0.000", "7"]);
    }

    #[test]
    fn a_part_of_a_column_has_its_rows() {
        let values: Vec<i32> = (0..100).collect();
        let column = Column { valid: Some(Cow::Owned(vec![u64::MAX, 0b1011])), data: Data::I32(&values) };
        let part = column_part(&column, 60, 8);
        let kind = ReaderKind::Number(Number::Integer("INTEGER"));
        let texts: Vec<String> = (0..8).map(|row| value_text(&kind, &part, row)).collect();
        assert_eq!(texts, ["60", "61", "62", "63", "64", "65", "NULL", "67"]);
    }
}
