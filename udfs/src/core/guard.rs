//! Values that a feature refuses, since the graph is known to answer them otherwise than the model that it was made of.
//! The same as in sqlinfer/runtime/guards.py.

use super::cells::{leaves, walk};
use super::column::{Column, Data, Rows};
use super::convert::{Slot, numbers};
use super::error::{Error, Result, refused_value};
use super::literals::{shown, shown_text};
use super::manifest::Feature;
use super::manifest::guards::Guard;
use super::plan::{ArgLayout, Plan, Reader, ReaderKind};
use crate::sys::tensor::Buffer;

impl Plan {
    /// Refuse rows with values that a guard refuses. A NULL is what its policy makes of it.
    pub fn guard(&self, arguments: &[Column], rows: usize) -> Result<()> {
        let features = &self.manifest.features;
        if features.iter().all(|feature| feature.guards.is_empty()) {
            return Ok(());
        }
        if let (ArgLayout::List, [list, ..]) = (&self.form, arguments) {
            return self.guard_list(list, rows);
        }
        let columns = self.columns(arguments);
        for ((feature, reader), column) in features.iter().zip(&self.readers).zip(columns) {
            if !feature.guards.is_empty() {
                self.guard_column(feature, reader, column, rows)?;
            }
        }
        Ok(())
    }

    fn guard_column(&self, feature: &Feature, reader: &Reader, column: &Column, rows: usize) -> Result<()> {
        match &reader.kind {
            ReaderKind::Number(_) => self.guard_numbers(feature, &reader.kind, column, rows),
            ReaderKind::Text(words) => {
                for row in (0..rows).filter(|row| column.is_valid(*row)) {
                    let text = text(column, words.as_deref().map(Vec::as_slice), row);
                    if let Some(guard) = feature.guards.text(&text) {
                        return Err(self.refused(feature, &shown_text(&text), guard));
                    }
                }
                Ok(())
            }
            ReaderKind::Cells(inner) => {
                let mut leaf = column;
                while let Data::List(_, child) | Data::Array(_, child) = &leaf.data {
                    leaf = child;
                }
                let cells = walk(column, Rows::Range(0, rows))?;
                let total = cells.runs.iter().map(|(first, count)| first + count).max().unwrap_or(0);
                let values = doubles(inner, leaf, total);
                self.require(feature, leaf, leaves(&cells).map(|place| (place, values[place])))
            }
            ReaderKind::Null | ReaderKind::Bytes => Ok(()),
        }
    }

    fn guard_numbers(&self, feature: &Feature, kind: &ReaderKind, column: &Column, rows: usize) -> Result<()> {
        let guards = &feature.guards;
        let passes = match &column.data {
            Data::F64(values) => guards.pass(values[..rows].iter().copied()),
            Data::F32(values) => guards.pass(values[..rows].iter().map(|x| f64::from(*x))),
            _ => false,
        };
        if passes {
            return Ok(());
        }
        let values = doubles(kind, column, rows);
        if guards.pass(values.iter().copied()) {
            return Ok(());
        }
        self.require(feature, column, values.into_iter().enumerate())
    }

    fn require(
        &self,
        feature: &Feature,
        column: &Column,
        mut values: impl Iterator<Item = (usize, f64)>,
    ) -> Result<()> {
        let refused = |(place, value): (usize, f64)| {
            let guard = if column.is_valid(place) { feature.guards.number(value) } else { None };
            guard.map(|guard| self.refused(feature, &shown(value), guard))
        };
        values.find_map(refused).map_or(Ok(()), Err)
    }

    /// One list a row holds the values of all features. Lists of another length are refused when they are packed.
    fn guard_list(&self, list: &Column, rows: usize) -> Result<()> {
        let features = &self.manifest.features;
        let valid: Vec<u32> = (0..rows as u32).filter(|row| list.is_valid(*row as usize)).collect();
        let cells = walk(list, Rows::Picked(&valid))?;
        if cells.lengths.iter().any(|length| *length != features.len()) {
            return Ok(());
        }
        let places: Vec<usize> = leaves(&cells).collect();
        let total = places.iter().max().map_or(0, |last| last + 1);
        let kind = &self.readers[0].kind;
        if let ReaderKind::Text(words) = kind {
            let words = words.as_deref().map(Vec::as_slice);
            for feature in features.iter().filter(|feature| !feature.guards.is_empty()) {
                let mine = places.iter().skip(feature.column.unwrap_or(0)).step_by(features.len());
                for place in mine.filter(|place| cells.leaf.is_valid(**place)) {
                    let text = text(cells.leaf, words, *place);
                    if let Some(guard) = feature.guards.text(&text) {
                        return Err(self.refused(feature, &shown_text(&text), guard));
                    }
                }
            }
            return Ok(());
        }
        let values = doubles(kind, cells.leaf, total);
        for feature in features.iter().filter(|feature| !feature.guards.is_empty()) {
            let mine = places.iter().skip(feature.column.unwrap_or(0)).step_by(features.len());
            self.require(feature, cells.leaf, mine.map(|place| (*place, values[*place])))?;
        }
        Ok(())
    }

    fn refused(&self, feature: &Feature, value: &str, guard: &Guard) -> Error {
        refused_value(&self.model, &feature.name, value, &guard.says)
    }
}

/// The first values of a column of numbers.
fn doubles(kind: &ReaderKind, column: &Column, rows: usize) -> Vec<f64> {
    let mut buffer = Buffer::F64(Vec::new());
    buffer.reset(rows);
    if let ReaderKind::Number(number) = kind {
        let place = Slot { buffer: &mut buffer, start: 0, width: 1, at: 0 };
        // a double holds any number, nearly
        let _ = numbers(column, *number, Rows::Range(0, rows), place);
    }
    match buffer {
        Buffer::F64(values) => values,
        _ => Vec::new(),
    }
}

fn text<'a>(column: &'a Column, words: Option<&'a [String]>, row: usize) -> std::borrow::Cow<'a, str> {
    let code = match &column.data {
        Data::Text(values) => return String::from_utf8_lossy(values[row]),
        Data::U8(codes) => usize::from(codes[row]),
        Data::U16(codes) => usize::from(codes[row]),
        Data::U32(codes) => codes[row] as usize,
        _ => usize::MAX,
    };
    words.and_then(|words| words.get(code)).map_or("".into(), |word| word.as_str().into())
}
