//! Columns of a tensor's own type → neighbouring columns of the tensor, several at once.

use std::ops::Range;

use super::column::{Column, Data};
use super::convert::Slot;
use super::float::Float;
use crate::sys::cpu;
use crate::sys::tensor::Buffer;

/// How many of the columns may be copied side by side, which is faster than one by one: those at the head that are of the
/// tensor's own type. Eight, four or two; else none.
pub fn most_interleaved<'a>(columns: impl Iterator<Item = &'a Column<'a>>, buffer: &Buffer) -> usize {
    let own = |column: &&Column| match buffer {
        Buffer::F32(_) => matches!(column.data, Data::F32(_)),
        Buffer::F64(_) => matches!(column.data, Data::F64(_)),
        _ => false,
    };
    match columns.take(8).take_while(own).count() {
        8 => 8,
        4..8 => 4,
        2..4 => 2,
        _ => 0,
    }
}

/// Copy as many neighbouring columns as `most_interleaved` says.
pub fn interleave(columns: &[&Column], start: usize, count: usize, place: Slot) {
    let Slot { buffer, start: first, width, at } = place;
    let rows = start..start + count;
    match buffer {
        Buffer::F32(out) => cpu::widest(Interleaving { columns, rows, out: &mut out[first..], width, at }),
        Buffer::F64(out) => cpu::widest(Interleaving { columns, rows, out: &mut out[first..], width, at }),
        _ => {}
    }
}

struct Interleaving<'a, T> {
    columns: &'a [&'a Column<'a>],
    rows: Range<usize>,
    out: &'a mut [T],
    width: usize,
    at: usize,
}

impl<T: Float> cpu::Work for Interleaving<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Interleaving { columns, rows, out, width, at } = self;
        let count = rows.len();
        // written out for each number of columns, so that their lengths are known to be equal
        macro_rules! copy {
            ($($column:ident)*) => {{
                let mut columns = columns.iter();
                $(let Some($column) = columns.next().and_then(|column| T::of(&column.data)) else { return };)*
                $(let $column = &$column[rows.clone()];)*
                for row in 0..count {
                    let values = [$($column[row]),*];
                    out[row * width + at..][..values.len()].copy_from_slice(&values);
                }
            }};
        }
        match columns.len() {
            8 => copy!(a b c d e f g h),
            4 => copy!(a b c d),
            _ => copy!(a b),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_find_their_places() {
        let values: Vec<Vec<f32>> = (0..8).map(|k| (0..40).map(|row| (row * 10 + k) as f32).collect()).collect();
        let columns: Vec<Column> = values.iter().map(|v| Column { valid: None, data: Data::F32(v) }).collect();
        let columns: Vec<&Column> = columns.iter().collect();
        for (side, at) in [(8, 1), (4, 0), (2, 7)] {
            let mut buffer = Buffer::F32(vec![-1.0; 10 + 30 * 10]);
            let place = Slot { buffer: &mut buffer, start: 10, width: 10, at };
            assert_eq!(most_interleaved(columns[..side].iter().copied(), place.buffer), side);
            interleave(&columns[..side], 5, 30, place);
            let Buffer::F32(out) = buffer else { panic!() };
            let expected = |i: usize| match (i / 10, (i % 10).checked_sub(at)) {
                (1.., Some(k)) if k < side => ((i / 10 - 1 + 5) * 10 + k) as f32,
                _ => -1.0,
            };
            assert!(out.iter().enumerate().all(|(i, x)| *x == expected(i)), "{side} columns");
        }
        assert_eq!(most_interleaved(columns.iter().copied().take(7), &Buffer::F32(vec![])), 4);
        assert_eq!(most_interleaved(columns.iter().copied(), &Buffer::F64(vec![])), 0);
    }
}
