//! The host's columns as they lie in memory, borrowed for the time of one call.

use std::borrow::Cow;

/// A 128-bit integer as the host keeps it: low word first.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Wide {
    pub lower: u64,
    pub upper: u64,
}

/// Where the values of a list begin among the values of all lists, and how many there are.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub offset: u64,
    pub length: u64,
}

/// Which rows hold a value: one bit a row, or all of them.
pub type Valid<'a> = Option<Cow<'a, [u64]>>;

pub struct Column<'a> {
    pub valid: Valid<'a>,
    pub data: Data<'a>,
}

/// DECIMAL lies in an integer, ENUM in codes, VARCHAR and BLOB in texts.
pub enum Data<'a> {
    Null,
    Bool(&'a [u8]),
    I8(&'a [i8]),
    I16(&'a [i16]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    I128(&'a [Wide]),
    U8(&'a [u8]),
    U16(&'a [u16]),
    U32(&'a [u32]),
    U64(&'a [u64]),
    U128(&'a [Wide]),
    F32(&'a [f32]),
    F64(&'a [f64]),
    Text(Vec<&'a [u8]>),
    List(&'a [Entry], Box<Column<'a>>),
    Array(usize, Box<Column<'a>>),
    Struct(Vec<Column<'a>>),
    /// A type that no feature takes; binding has refused it.
    Unread,
}

impl Column<'_> {
    pub fn is_valid(&self, row: usize) -> bool {
        match (&self.data, &self.valid) {
            (Data::Null, _) => false,
            (_, Some(mask)) => bit(mask, row),
            _ => true,
        }
    }

    /// Whether the first `rows` rows hold a value.
    pub fn all_valid(&self, rows: usize) -> bool {
        match (&self.data, &self.valid) {
            (Data::Null, _) => rows == 0,
            (_, Some(mask)) => all_set(mask, rows),
            _ => true,
        }
    }

    /// Whether any row may be NULL or, in a list, hold a NULL at any depth.
    pub fn may_hold_null(&self) -> bool {
        let holed = self.valid.as_ref().is_some_and(|mask| mask.iter().any(|word| *word != u64::MAX));
        match &self.data {
            Data::Null => true,
            Data::List(_, child) | Data::Array(_, child) => holed || child.may_hold_null(),
            _ => holed,
        }
    }

    /// Whether the row is NULL or holds a NULL at any depth.
    pub fn holds_null(&self, row: usize) -> bool {
        let inside = |child: &Column, first: usize, count: usize| (first..first + count).any(|i| child.holds_null(i));
        !self.is_valid(row)
            || match &self.data {
                Data::List(entries, child) => inside(child, entries[row].offset as usize, entries[row].length as usize),
                Data::Array(size, child) => inside(child, row * size, *size),
                _ => false,
            }
    }

    /// Rows that `outer` does not hold are NULL here, too.
    pub fn within(&mut self, outer: &Valid<'_>, rows: usize) {
        let Some(outer) = outer else { return };
        if all_set(outer, rows) {
            return;
        }
        let words = rows.div_ceil(64);
        let merged = match &self.valid {
            Some(inner) => inner[..words].iter().zip(&outer[..words]).map(|(a, b)| a & b).collect(),
            None => outer[..words].to_vec(),
        };
        self.valid = Some(Cow::Owned(merged));
    }
}

fn bit(mask: &[u64], row: usize) -> bool {
    mask[row / 64] >> (row % 64) & 1 == 1
}

/// Whether a row holds a value; without a mask each does.
pub fn holds(valid: Option<&[u64]>, row: usize) -> bool {
    valid.is_none_or(|mask| bit(mask, row))
}

fn all_set(mask: &[u64], rows: usize) -> bool {
    let (whole, rest) = (rows / 64, rows % 64);
    let tail = (1u64 << rest) - 1;
    mask[..whole].iter().all(|word| *word == u64::MAX) && (rest == 0 || mask[whole] & tail == tail)
}

/// Which rows of a column are read.
#[derive(Clone, Copy)]
pub enum Rows<'a> {
    Range(usize, usize),
    Picked(&'a [u32]),
}

impl Rows<'_> {
    pub fn len(&self) -> usize {
        match self {
            Rows::Range(_, count) => *count,
            Rows::Picked(rows) => rows.len(),
        }
    }

    /// `count` of them, from the `start`th.
    pub fn part(self, start: usize, count: usize) -> Self {
        match self {
            Rows::Range(first, _) => Rows::Range(first + start, count),
            Rows::Picked(rows) => Rows::Picked(&rows[start..start + count]),
        }
    }

    pub fn get(&self, i: usize) -> usize {
        match self {
            Rows::Range(start, _) => start + i,
            Rows::Picked(rows) => rows[i] as usize,
        }
    }

    /// Whether all of them hold a value in the column.
    pub fn all_valid(&self, column: &Column) -> bool {
        match self {
            Rows::Range(0, count) => column.all_valid(*count),
            _ => self.iter().all(|row| column.is_valid(row)),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len()).map(|i| self.get(i))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks() {
        let mut column = Column { valid: None, data: Data::I8(&[1, 2, 3]) };
        assert!(column.all_valid(3));
        column.within(&Some(Cow::Owned(vec![0b101])), 3);
        assert!(!column.all_valid(3) && column.all_valid(1));
        assert!(column.is_valid(2) && !column.is_valid(1));
        assert!(!Column { valid: None, data: Data::Null }.is_valid(0));
        let list = Column { valid: None, data: Data::Array(1, Box::new(column)) };
        assert!(list.may_hold_null() && list.holds_null(1) && !list.holds_null(2));
    }
}
