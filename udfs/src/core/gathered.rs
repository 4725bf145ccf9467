//! Some rows of a column, in an order of their own.

use std::borrow::Cow;

use super::column::{Column, Data, Entry, Valid, Wide};

/// As `Column`, of values that it holds itself; texts stay where they are.
pub struct Gathered<'a> {
    valid: Valid<'static>,
    data: Held<'a>,
}

enum Held<'a> {
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
    Text(Vec<&'a [u8]>),
    List(Vec<Entry>, Box<Gathered<'a>>),
    Array(usize, Box<Gathered<'a>>),
    Struct(Vec<Gathered<'a>>),
    Unread,
}

impl<'a> Gathered<'a> {
    pub fn of(column: &Column<'a>, rows: &[usize]) -> Gathered<'a> {
        let data = match &column.data {
            Data::Null => Held::Null,
            Data::Bool(values) => Held::Bool(picked(values, rows)),
            Data::I8(values) => Held::I8(picked(values, rows)),
            Data::I16(values) => Held::I16(picked(values, rows)),
            Data::I32(values) => Held::I32(picked(values, rows)),
            Data::I64(values) => Held::I64(picked(values, rows)),
            Data::I128(values) => Held::I128(picked(values, rows)),
            Data::U8(values) => Held::U8(picked(values, rows)),
            Data::U16(values) => Held::U16(picked(values, rows)),
            Data::U32(values) => Held::U32(picked(values, rows)),
            Data::U64(values) => Held::U64(picked(values, rows)),
            Data::U128(values) => Held::U128(picked(values, rows)),
            Data::F32(values) => Held::F32(picked(values, rows)),
            Data::F64(values) => Held::F64(picked(values, rows)),
            Data::Text(values) => Held::Text(picked(values, rows)),
            Data::List(entries, child) => {
                let (entries, inner) = lists(column, entries, rows);
                Held::List(entries, Box::new(Gathered::of(child, &inner)))
            }
            Data::Array(size, child) => {
                let inner: Vec<usize> = rows.iter().flat_map(|row| row * size..(row + 1) * size).collect();
                Held::Array(*size, Box::new(Gathered::of(child, &inner)))
            }
            Data::Struct(fields) => Held::Struct(fields.iter().map(|field| Gathered::of(field, rows)).collect()),
            Data::Unread => Held::Unread,
        };
        Gathered { valid: valid(column, rows), data }
    }

    pub fn column(&self) -> Column<'_> {
        let data = match &self.data {
            Held::Null => Data::Null,
            Held::Bool(values) => Data::Bool(values),
            Held::I8(values) => Data::I8(values),
            Held::I16(values) => Data::I16(values),
            Held::I32(values) => Data::I32(values),
            Held::I64(values) => Data::I64(values),
            Held::I128(values) => Data::I128(values),
            Held::U8(values) => Data::U8(values),
            Held::U16(values) => Data::U16(values),
            Held::U32(values) => Data::U32(values),
            Held::U64(values) => Data::U64(values),
            Held::U128(values) => Data::U128(values),
            Held::F32(values) => Data::F32(values),
            Held::F64(values) => Data::F64(values),
            Held::Text(values) => Data::Text(values.clone()),
            Held::List(entries, child) => Data::List(entries, Box::new(child.column())),
            Held::Array(size, child) => Data::Array(*size, Box::new(child.column())),
            Held::Struct(fields) => Data::Struct(fields.iter().map(Gathered::column).collect()),
            Held::Unread => Data::Unread,
        };
        let valid = self.valid.as_deref().map(Cow::Borrowed);
        Column { valid, data }
    }
}

fn picked<T: Copy>(values: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter().map(|row| values[*row]).collect()
}

/// Where the lists lie when their values are gathered, and which values those are. What a NULL has for an entry means
/// nothing.
fn lists(column: &Column, entries: &[Entry], rows: &[usize]) -> (Vec<Entry>, Vec<usize>) {
    let (mut placed, mut inner) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        let Entry { offset, length } = entries[*row];
        let length = if column.is_valid(*row) { length } else { 0 };
        placed.push(Entry { offset: inner.len() as u64, length });
        inner.extend(offset as usize..(offset + length) as usize);
    }
    (placed, inner)
}

fn valid(column: &Column, rows: &[usize]) -> Valid<'static> {
    column.valid.as_ref()?;
    let mut mask = vec![0u64; rows.len().div_ceil(64)];
    for (place, row) in rows.iter().enumerate() {
        mask[place / 64] |= u64::from(column.is_valid(*row)) << (place % 64);
    }
    Some(Cow::Owned(mask))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_take_their_values_with_them() {
        let child = Column { valid: Some(Cow::Owned(vec![0b101])), data: Data::I8(&[1, 2, 3]) };
        let entries = [(0, 1), (9, 9), (1, 2)].map(|(offset, length)| Entry { offset, length });
        let lists = Column { valid: Some(Cow::Owned(vec![0b101])), data: Data::List(&entries, Box::new(child)) };
        let gathered = Gathered::of(&lists, &[2, 1, 0, 2]);
        let column = gathered.column();
        assert_eq!((0..4).map(|row| column.is_valid(row)).collect::<Vec<_>>(), [true, false, true, true]);
        assert!(column.holds_null(0) && !column.holds_null(2));
        let Data::List(entries, child) = &column.data else { panic!() };
        assert!(matches!(child.data, Data::I8([2, 3, 1, 2, 3])));
        assert_eq!(
            entries.iter().map(|entry| (entry.offset, entry.length)).collect::<Vec<_>>(),
            [(0, 2), (2, 0), (2, 1), (3, 2)]
        );
        let arrays = Column {
            valid: None,
            data: Data::Array(2, Box::new(Column { valid: None, data: Data::F32(&[0.0, 1.0, 2.0, 3.0]) })),
        };
        let gathered = Gathered::of(&arrays, &[1, 0]);
        let Data::Array(2, child) = gathered.column().data else { panic!() };
        assert!(matches!(child.data, Data::F32([2.0, 3.0, 0.0, 1.0])));
    }
}
