//! Answers → the vector that DuckDB lends for them.

use std::ptr;

use libduckdb_sys::*;

use crate::core::answers::Answers;
use crate::core::column::{Entry, Rows};
use crate::core::error::{Error, Result};
use crate::core::predictor::Sink;
use crate::core::sqltype::SqlType;
use crate::core::tensor::{Buffer, Texts};
use crate::on_buffer;

/// The result vector of a call, of the type that the function was registered with.
pub struct Output<'a> {
    vector: duckdb_vector,
    sql_type: &'a SqlType,
}

impl<'a> Output<'a> {
    /// # Safety
    /// `vector` must be a writable flat vector of the type, with room for the rows of the call, and must outlive this.
    pub unsafe fn new(vector: duckdb_vector, sql_type: &'a SqlType) -> Output<'a> {
        Output { vector, sql_type }
    }
}

impl Sink for Output<'_> {
    fn write(&mut self, answers: &Answers, rows: Rows) -> Result<()> {
        // SAFETY: `new` promises the vector; rows are rows of the call.
        unsafe { write(self.vector, self.sql_type, answers, rows) }
    }

    fn nulls_but(&mut self, keep: &[u32], rows: usize) {
        let mut kept = keep.iter().copied().peekable();
        let gone: Vec<u32> = (0..rows as u32).filter(|row| kept.next_if_eq(row).is_none()).collect();
        // SAFETY: as above.
        unsafe { nulls(self.vector, self.sql_type, &gone) };
    }
}

/// # Safety
/// `vector` must be a writable flat vector of the type with room for the rows.
unsafe fn nulls(vector: duckdb_vector, sql_type: &SqlType, rows: &[u32]) {
    // SAFETY: promised by the caller; the validity mask is there once it is writable, and list entries are in range.
    unsafe {
        duckdb_vector_ensure_validity_writable(vector);
        let mask = duckdb_vector_get_validity(vector);
        rows.iter().for_each(|row| duckdb_validity_set_row_invalid(mask, idx_t::from(*row)));
        match sql_type {
            SqlType::Plain(_) => {}
            SqlType::List(_) | SqlType::Map(..) => {
                let entries = duckdb_vector_get_data(vector).cast::<Entry>();
                rows.iter().for_each(|row| entries.add(*row as usize).write(Entry { offset: 0, length: 0 }));
            }
            SqlType::Array(child, size) => {
                let inner = expanded(Rows::Picked(rows), *size);
                nulls(duckdb_array_vector_get_child(vector), child, &inner);
            }
            SqlType::Struct(fields) => {
                for (i, (_, field)) in fields.iter().enumerate() {
                    nulls(duckdb_struct_vector_get_child(vector, i as idx_t), field, rows);
                }
            }
        }
    }
}

/// # Safety
/// `vector` must be a writable flat vector of the type with room for the rows.
unsafe fn write(vector: duckdb_vector, sql_type: &SqlType, answers: &Answers, rows: Rows) -> Result<()> {
    // SAFETY: promised by the caller for this vector; children of lists are given room before they are written, those
    // of arrays and structs have it.
    unsafe {
        match (sql_type, answers) {
            (SqlType::Plain(_), Answers::Plain(buffer)) => write_plain(vector, buffer, rows),
            (SqlType::List(child), Answers::Nested { fixed: false, size, child: inner }) => {
                let start = grow(vector, rows, *size)?;
                let places = Rows::Range(start, rows.len() * size);
                write(duckdb_list_vector_get_child(vector), child, inner, places)
            }
            (SqlType::Array(child, size), Answers::Nested { fixed: true, size: given, child: inner })
                if size == given =>
            {
                let vector = duckdb_array_vector_get_child(vector);
                match rows {
                    Rows::Range(start, count) => write(vector, child, inner, Rows::Range(start * size, count * size)),
                    picked => write(vector, child, inner, Rows::Picked(&expanded(picked, *size))),
                }
            }
            (SqlType::Struct(fields), Answers::Struct(parts)) if fields.len() == parts.len() => {
                for (i, ((_, field), part)) in fields.iter().zip(parts).enumerate() {
                    write(duckdb_struct_vector_get_child(vector, i as idx_t), field, part, rows)?;
                }
                Ok(())
            }
            (SqlType::Map(key, _), Answers::Map { keys, values }) => {
                let start = grow(vector, rows, keys.len())?;
                let places = Rows::Range(start, rows.len() * keys.len());
                let pairs = duckdb_list_vector_get_child(vector);
                let classes: Vec<u32> = (0..rows.len()).flat_map(|_| 0..keys.len() as u32).collect();
                let repeated = Answers::Plain(keys.pick(&classes, 1));
                write(duckdb_struct_vector_get_child(pairs, 0), key, &repeated, places)?;
                write_plain(duckdb_struct_vector_get_child(pairs, 1), values, places)
            }
            _ => Err(unfit(sql_type)),
        }
    }
}

fn unfit(sql_type: &SqlType) -> Error {
    Error(format!("the model's answers are not of the type {sql_type}"))
}

/// Room for `size` more values for each row at the end of a list vector, named by the rows' entries; where they begin.
///
/// # Safety
/// `vector` must be a list vector with room for the rows.
unsafe fn grow(vector: duckdb_vector, rows: Rows, size: usize) -> Result<usize> {
    // SAFETY: promised by the caller.
    unsafe {
        let start = duckdb_list_vector_get_size(vector) as usize;
        let end = (start + rows.len() * size) as idx_t;
        let grown = duckdb_list_vector_reserve(vector, end) == DuckDBSuccess
            && duckdb_list_vector_set_size(vector, end) == DuckDBSuccess;
        if !grown {
            return Err(Error("out of memory for the model's answers".to_string()));
        }
        let entries = duckdb_vector_get_data(vector).cast::<Entry>();
        for (i, row) in rows.iter().enumerate() {
            entries.add(row).write(Entry { offset: (start + i * size) as u64, length: size as u64 });
        }
        Ok(start)
    }
}

fn expanded(rows: Rows, size: usize) -> Vec<u32> {
    rows.iter().flat_map(|row| (row * size) as u32..((row + 1) * size) as u32).collect()
}

/// # Safety
/// `vector` must be a writable flat vector of the buffer's type with room for the rows.
unsafe fn write_plain(vector: duckdb_vector, buffer: &Buffer, rows: Rows) -> Result<()> {
    if buffer.len() != rows.len() {
        return Err(Error("the model answers another number of values than rows".to_string()));
    }
    // SAFETY: promised by the caller.
    let data = unsafe { duckdb_vector_get_data(vector) };
    // SAFETY: the data has room for the rows, of the buffer's type.
    on_buffer!(buffer, v => unsafe { scatter(v, data.cast(), rows) }, t => unsafe { write_texts(vector, t, rows) });
    Ok(())
}

/// # Safety
/// `data` must have room for all of the rows.
unsafe fn scatter<T: Copy>(values: &[T], data: *mut T, rows: Rows) {
    match rows {
        // SAFETY: promised by the caller; `values` has as many values as there are rows.
        Rows::Range(start, count) => unsafe { ptr::copy_nonoverlapping(values.as_ptr(), data.add(start), count) },
        Rows::Picked(picked) => {
            for (row, value) in picked.iter().zip(values) {
                // SAFETY: promised by the caller.
                unsafe { data.add(*row as usize).write(*value) };
            }
        }
    }
}

/// # Safety
/// `vector` must be a vector of texts with room for the rows.
unsafe fn write_texts(vector: duckdb_vector, texts: &Texts, rows: Rows) {
    for (i, row) in rows.iter().enumerate() {
        let text = texts.get(i);
        // SAFETY: promised by the caller; DuckDB copies the text.
        unsafe {
            duckdb_vector_assign_string_element_len(vector, row as idx_t, text.as_ptr().cast(), text.len() as idx_t);
        }
    }
}
