//! Answers → what is written into the vector that DuckDB lends for them.

use libduckdb_sys::*;

use super::writing::{Places, Values, Write, Writes, expanded, write_plain};
use crate::core::column::Rows;
use crate::core::error::{Error, Result};
use crate::core::outputs::Answers;
use crate::core::predictor::Sink;
use crate::core::sqltype::SqlType;
use crate::sys::tensor::{Buffer, Texts};

/// The result vector of a call, of the type that the function was registered with.
pub struct Output<'a> {
    vector: duckdb_vector,
    sql_type: &'a SqlType,
    writes: Writes,
}

impl<'a> Output<'a> {
    /// # Safety
    /// `vector` must be a writable flat vector of the type, with room for the rows of the call, and must outlive this.
    pub unsafe fn new(vector: duckdb_vector, sql_type: &'a SqlType) -> Output<'a> {
        Output { vector, sql_type, writes: Writes::default() }
    }

    /// What is left to write.
    pub fn writes(self) -> Writes {
        self.writes
    }
}

impl Sink for Output<'_> {
    /// What needs no room of DuckDB's is written at once, and not copied.
    fn write(&mut self, answers: &Answers, rows: Rows) -> Result<()> {
        match (self.sql_type, answers) {
            (SqlType::Plain(_), Answers::Plain(buffer)) if !matches!(buffer, Buffer::Text(_)) => {
                has_one_for_each(buffer, rows.len())?;
                // SAFETY: `new` promises the vector; rows are rows of the call.
                unsafe { write_plain(self.vector, buffer, rows) };
            }
            _ => {
                let values = values(self.sql_type, answers, rows.len())?;
                self.writes.steps.push(Write::Values(self.vector, values, Places::from(rows)));
            }
        }
        Ok(())
    }

    fn nulls_but(&mut self, keep: &[u32], rows: usize) {
        let mut kept = keep.iter().copied().peekable();
        let gone: Vec<u32> = (0..rows as u32).filter(|row| kept.next_if_eq(row).is_none()).collect();
        // SAFETY: `new` promises the vector.
        unsafe { nulls(self.vector, self.sql_type, gone, &mut self.writes.steps) };
    }
}

/// # Safety
/// `vector` must be a vector of the type.
unsafe fn nulls(vector: duckdb_vector, sql_type: &SqlType, rows: Vec<u32>, steps: &mut Vec<Write>) {
    // SAFETY: promised by the caller; the children of arrays and structs stay where they are.
    unsafe {
        match sql_type {
            SqlType::Plain(_) | SqlType::List(_) | SqlType::Map(..) => {}
            SqlType::Array(child, size) => {
                let inner = expanded(Rows::Picked(&rows), *size);
                nulls(duckdb_array_vector_get_child(vector), child, inner, steps);
            }
            SqlType::Struct(fields) => {
                for (i, (_, field)) in fields.iter().enumerate() {
                    nulls(duckdb_struct_vector_get_child(vector, i as idx_t), field, rows.clone(), steps);
                }
            }
        }
    }
    let is_list = matches!(sql_type, SqlType::List(_) | SqlType::Map(..));
    steps.push(Write::Nulls { vector, is_list, rows });
}

/// The answers of `count` rows as they are written into a vector of the type: all that can be wrong with them is found here.
fn values(sql_type: &SqlType, answers: &Answers, count: usize) -> Result<Values> {
    let inside = |child: &SqlType, size: usize, answers: &Answers| -> Result<Box<Values>> {
        let count =
            count.checked_mul(size).ok_or_else(|| Error::new("the model answers too many values".to_string()))?;
        Ok(Box::new(values(child, answers, count)?))
    };
    match (sql_type, answers) {
        (SqlType::Plain(_), Answers::Plain(buffer)) => plain(buffer.clone(), count),
        (SqlType::List(child), Answers::Nested { fixed: false, size, child: inner }) => {
            Ok(Values::List(*size, inside(child, *size, inner)?))
        }
        (SqlType::Array(child, size), Answers::Nested { fixed: true, size: given, child: inner }) if size == given => {
            Ok(Values::Array(*size, inside(child, *size, inner)?))
        }
        (SqlType::Struct(fields), Answers::Struct(parts)) if fields.len() == parts.len() => {
            let fields = fields.iter().zip(parts).map(|((_, field), part)| values(field, part, count));
            Ok(Values::Struct(fields.collect::<Result<_>>()?))
        }
        (SqlType::Map(..), Answers::Map { keys, values }) => {
            let classes: Vec<u32> = (0..count).flat_map(|_| 0..keys.len() as u32).collect();
            let pairs = vec![plain(keys.pick(&classes, 1), classes.len())?, plain(values.clone(), classes.len())?];
            Ok(Values::List(keys.len(), Box::new(Values::Struct(pairs))))
        }
        _ => Err(Error::new(format!("the model's answers are not of the type {sql_type}"))),
    }
}

pub fn plain(buffer: Buffer, count: usize) -> Result<Values> {
    has_one_for_each(&buffer, count)?;
    if let Buffer::Text(texts) = &buffer {
        let lies_within = |(start, length): &(usize, usize)| texts.bytes.len().checked_sub(*start) >= Some(*length);
        if !texts.cells.iter().all(lies_within) {
            return Err(Error::new("a text of the model's answers is not where it must be".to_string()));
        }
    }
    Ok(Values::Plain(buffer))
}

fn has_one_for_each(buffer: &Buffer, count: usize) -> Result<()> {
    match buffer.len() == count {
        true => Ok(()),
        false => Err(Error::new("the model answers another number of values than rows".to_string())),
    }
}

/// The same text in the first rows.
pub fn repeated(vector: duckdb_vector, text: &str, rows: usize) -> Result<Writes> {
    let texts = Texts { bytes: text.as_bytes().to_vec(), cells: vec![(0, text.len()); rows] };
    let step = Write::Values(vector, plain(Buffer::Text(texts), rows)?, Places::Range(0, rows));
    Ok(Writes { steps: vec![step], chunk: None })
}
