//! What is written into DuckDB's vectors, outside of every guard: DuckDB takes the room from its `memory_limit`, and throws a
//! C++ exception where there is none. Rust can let one through, to DuckDB's own catch, and cannot catch it: `catch_unwind`
//! would end the process. So a callback computes first, guarded, and writes then; nothing in this file can panic.

use std::ffi::c_char;
use std::mem::transmute;
use std::ptr;
use std::sync::OnceLock;

use libduckdb_sys::*;

use crate::core::column::{Entry, Rows};
use crate::core::error::{Error, Result};
use crate::core::metrics::Cell;
use crate::on_buffer;
use crate::sys::caught::guard;
use crate::sys::tensor::{Buffer, Texts};

/// DuckDB's functions that allocate, by a type that says that they unwind. Nothing else calls them.
#[derive(Clone, Copy)]
struct Allocating {
    assign_text: unsafe extern "C-unwind" fn(duckdb_vector, idx_t, *const c_char, idx_t),
    ensure_validity: unsafe extern "C-unwind" fn(duckdb_vector),
    reserve: unsafe extern "C-unwind" fn(duckdb_vector, idx_t) -> duckdb_state,
    set_list_size: unsafe extern "C-unwind" fn(duckdb_vector, idx_t) -> duckdb_state,
    set_chunk_size: unsafe extern "C-unwind" fn(duckdb_data_chunk, idx_t),
}

static ALLOCATING: OnceLock<Allocating> = OnceLock::new();

/// Take them from the host's table; false where it has not all.
pub fn take(table: &duckdb_ext_api_v1) -> bool {
    let taken = || {
        // SAFETY: the two conventions pass arguments alike. DuckDB's functions are C++, whose exceptions unwind: it is the
        // type without unwinding that says too much.
        Some(unsafe {
            Allocating {
                assign_text: transmute::<
                    unsafe extern "C" fn(duckdb_vector, idx_t, *const c_char, idx_t),
                    unsafe extern "C-unwind" fn(duckdb_vector, idx_t, *const c_char, idx_t),
                >(table.duckdb_vector_assign_string_element_len?),
                ensure_validity: transmute::<
                    unsafe extern "C" fn(duckdb_vector),
                    unsafe extern "C-unwind" fn(duckdb_vector),
                >(table.duckdb_vector_ensure_validity_writable?),
                reserve: transmute::<
                    unsafe extern "C" fn(duckdb_vector, idx_t) -> duckdb_state,
                    unsafe extern "C-unwind" fn(duckdb_vector, idx_t) -> duckdb_state,
                >(table.duckdb_list_vector_reserve?),
                set_list_size: transmute::<
                    unsafe extern "C" fn(duckdb_vector, idx_t) -> duckdb_state,
                    unsafe extern "C-unwind" fn(duckdb_vector, idx_t) -> duckdb_state,
                >(table.duckdb_list_vector_set_size?),
                set_chunk_size: transmute::<
                    unsafe extern "C" fn(duckdb_data_chunk, idx_t),
                    unsafe extern "C-unwind" fn(duckdb_data_chunk, idx_t),
                >(table.duckdb_data_chunk_set_size?),
            }
        })
    };
    ALLOCATING.get().is_some()
        || taken().is_some_and(|taken| ALLOCATING.set(taken).is_ok() || ALLOCATING.get().is_some())
}

type Scalar = unsafe extern "C-unwind" fn(duckdb_function_info, duckdb_data_chunk, duckdb_vector);
type Table = unsafe extern "C-unwind" fn(duckdb_function_info, duckdb_data_chunk);
type Finalize =
    unsafe extern "C-unwind" fn(duckdb_function_info, *mut duckdb_aggregate_state, duckdb_vector, idx_t, idx_t);

/// A callback that writes, as DuckDB wants it.
pub fn scalar(callback: Scalar) -> duckdb_scalar_function_t {
    // SAFETY: DuckDB calls it from C++, where exceptions of its own may come back.
    Some(unsafe {
        transmute::<Scalar, unsafe extern "C" fn(duckdb_function_info, duckdb_data_chunk, duckdb_vector)>(callback)
    })
}

/// As `scalar`, of a table function.
pub fn table(callback: Table) -> duckdb_table_function_t {
    // SAFETY: as above.
    Some(unsafe { transmute::<Table, unsafe extern "C" fn(duckdb_function_info, duckdb_data_chunk)>(callback) })
}

/// As `scalar`, of an aggregate function.
pub fn finalize(callback: Finalize) -> duckdb_aggregate_finalize_t {
    // SAFETY: as above.
    Some(unsafe {
        transmute::<
            Finalize,
            unsafe extern "C" fn(duckdb_function_info, *mut duckdb_aggregate_state, duckdb_vector, idx_t, idx_t),
        >(callback)
    })
}

/// The whole of a callback that writes: what the work gives, guarded, is written, unguarded.
///
/// # Safety
/// The vectors must be writable flat ones of the types of the values, with room for the rows; the caller must be called
/// by DuckDB, and must hold nothing that dropping would panic.
pub unsafe fn written(work: impl FnOnce() -> Result<Writes>) -> Result<()> {
    let writes = guard(work)?;
    let Some(allocating) = ALLOCATING.get() else {
        return Err(Error::new("DuckDB's functions are not known".to_string()));
    };
    // SAFETY: promised by the caller.
    unsafe { writes.run(allocating) }
}

/// What is to be written, in this order.
#[derive(Default)]
pub struct Writes {
    pub steps: Vec<Write>,
    /// The rows of the chunk then, for a table function.
    pub chunk: Option<(duckdb_data_chunk, usize)>,
}

pub enum Write {
    Values(duckdb_vector, Values, Places),
    /// The value of one row.
    Cell(duckdb_vector, Cell, usize),
    /// These rows are NULL; entries of lists are emptied, too.
    Nulls {
        vector: duckdb_vector,
        is_list: bool,
        rows: Vec<u32>,
    },
}

/// Values of some rows, one after the other. They are as many as whoever made them says: see `output::values`.
pub enum Values {
    Plain(Buffer),
    /// So many of the child for each row.
    List(usize, Box<Values>),
    Array(usize, Box<Values>),
    Struct(Vec<Values>),
}

/// As `Rows`, owned.
pub enum Places {
    Range(usize, usize),
    Picked(Vec<u32>),
}

impl From<Rows<'_>> for Places {
    fn from(rows: Rows) -> Places {
        match rows {
            Rows::Range(start, count) => Places::Range(start, count),
            Rows::Picked(rows) => Places::Picked(rows.to_vec()),
        }
    }
}

impl Places {
    fn rows(&self) -> Rows<'_> {
        match self {
            Places::Range(start, count) => Rows::Range(*start, *count),
            Places::Picked(rows) => Rows::Picked(rows),
        }
    }
}

impl Writes {
    /// # Safety
    /// As for `written`.
    unsafe fn run(self, allocating: &Allocating) -> Result<()> {
        for step in self.steps {
            // SAFETY: promised by the caller; the validity mask is there once it is writable.
            unsafe {
                match step {
                    Write::Values(vector, values, places) => write(allocating, vector, &values, places.rows())?,
                    Write::Cell(vector, cell, row) => write_cell(allocating, vector, &cell, row)?,
                    Write::Nulls { vector, is_list, rows } => nulls(allocating, vector, is_list, &rows),
                }
            }
        }
        if let Some((chunk, rows)) = self.chunk {
            // SAFETY: promised by the caller.
            unsafe { (allocating.set_chunk_size)(chunk, rows as idx_t) };
        }
        Ok(())
    }
}

/// # Safety
/// As for `written`.
unsafe fn nulls(allocating: &Allocating, vector: duckdb_vector, is_list: bool, rows: &[u32]) {
    // SAFETY: promised by the caller; the validity mask is there once it is writable.
    unsafe {
        (allocating.ensure_validity)(vector);
        let mask = duckdb_vector_get_validity(vector);
        rows.iter().for_each(|row| duckdb_validity_set_row_invalid(mask, idx_t::from(*row)));
        if is_list {
            let entries = duckdb_vector_get_data(vector).cast::<Entry>();
            rows.iter().for_each(|row| entries.add(*row as usize).write(Entry { offset: 0, length: 0 }));
        }
    }
}

/// # Safety
/// As for `written`.
unsafe fn write(allocating: &Allocating, vector: duckdb_vector, values: &Values, rows: Rows) -> Result<()> {
    // SAFETY: promised by the caller for this vector; children of lists are given room before they are written, those
    // of arrays and structs have it.
    unsafe {
        match values {
            Values::Plain(Buffer::Text(texts)) => write_texts(allocating, vector, texts, rows),
            Values::Plain(buffer) => write_plain(vector, buffer, rows),
            Values::List(size, child) => {
                let start = grow(allocating, vector, rows, *size)?;
                let places = Rows::Range(start, rows.len().wrapping_mul(*size));
                write(allocating, duckdb_list_vector_get_child(vector), child, places)?;
            }
            Values::Array(size, child) => {
                let vector = duckdb_array_vector_get_child(vector);
                match rows {
                    Rows::Range(start, count) => {
                        let places = Rows::Range(start.wrapping_mul(*size), count.wrapping_mul(*size));
                        write(allocating, vector, child, places)?;
                    }
                    picked => write(allocating, vector, child, Rows::Picked(&expanded(picked, *size)))?,
                }
            }
            Values::Struct(fields) => {
                for (i, field) in (0..).zip(fields) {
                    write(allocating, duckdb_struct_vector_get_child(vector, i), field, rows)?;
                }
            }
        }
    }
    Ok(())
}

/// Room for `size` more values for each row at the end of a list vector, named by the rows' entries; where they begin.
///
/// # Safety
/// `vector` must be a list vector with room for the rows.
unsafe fn grow(allocating: &Allocating, vector: duckdb_vector, rows: Rows, size: usize) -> Result<usize> {
    // SAFETY: promised by the caller.
    unsafe {
        let start = duckdb_list_vector_get_size(vector) as usize;
        let end = start.saturating_add(rows.len().saturating_mul(size)) as idx_t;
        let grown = (allocating.reserve)(vector, end) == DuckDBSuccess
            && (allocating.set_list_size)(vector, end) == DuckDBSuccess;
        if !grown {
            return Err(Error::new("out of memory for the model's answers".to_string()));
        }
        let entries = duckdb_vector_get_data(vector).cast::<Entry>();
        let mut offset = start;
        places(rows, |row| {
            entries.add(row).write(Entry { offset: offset as u64, length: size as u64 });
            offset = offset.wrapping_add(size);
        });
        Ok(start)
    }
}

/// # Safety
/// As for `written`; the vector must be of the type of the cell.
unsafe fn write_cell(allocating: &Allocating, vector: duckdb_vector, cell: &Cell, row: usize) -> Result<()> {
    // SAFETY: promised by the caller; fields and elements have room once the vector has it.
    unsafe {
        let data = duckdb_vector_get_data(vector);
        match cell {
            Cell::Null => {
                (allocating.ensure_validity)(vector);
                duckdb_validity_set_row_invalid(duckdb_vector_get_validity(vector), row as idx_t);
            }
            Cell::Boolean(value) => data.cast::<bool>().add(row).write(*value),
            Cell::BigInt(value) => data.cast::<i64>().add(row).write(*value),
            Cell::Double(value) => data.cast::<f64>().add(row).write(*value),
            Cell::Text(text) => {
                (allocating.assign_text)(vector, row as idx_t, text.as_ptr().cast(), text.len() as idx_t);
            }
            Cell::Struct(fields) => {
                for (i, field) in (0..).zip(fields) {
                    write_cell(allocating, duckdb_struct_vector_get_child(vector, i), field, row)?;
                }
            }
            Cell::List(elements) => {
                let start = grow(allocating, vector, Rows::Range(row, 1), elements.len())?;
                let child = duckdb_list_vector_get_child(vector);
                for (i, element) in elements.iter().enumerate() {
                    write_cell(allocating, child, element, start.wrapping_add(i))?;
                }
            }
        }
    }
    Ok(())
}

/// The rows, one after the other.
fn places(rows: Rows, mut each: impl FnMut(usize)) {
    match rows {
        Rows::Range(start, count) => (start..start.saturating_add(count)).for_each(each),
        Rows::Picked(picked) => picked.iter().for_each(|row| each(*row as usize)),
    }
}

/// The elements of these rows of arrays.
pub fn expanded(rows: Rows, size: usize) -> Vec<u32> {
    let mut all = Vec::new();
    places(rows, |row| {
        let start = row.wrapping_mul(size) as u32;
        all.extend(start..start.wrapping_add(size as u32));
    });
    all
}

/// # Safety
/// `vector` must be a writable flat vector of the buffer's type with room for the rows; `buffer` must have a value for each,
/// and none that is a text.
pub unsafe fn write_plain(vector: duckdb_vector, buffer: &Buffer, rows: Rows) {
    // SAFETY: promised by the caller.
    let data = unsafe { duckdb_vector_get_data(vector) };
    // SAFETY: the data has room for the rows, of the buffer's type.
    on_buffer!(buffer, v => unsafe { scatter(v, data.cast(), rows) }, _texts => ());
}

/// # Safety
/// `data` must have room for all of the rows; `values` must have a value for each.
unsafe fn scatter<T: Copy>(values: &[T], data: *mut T, rows: Rows) {
    match rows {
        // SAFETY: promised by the caller.
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
/// `vector` must be a vector of texts with room for the rows; the cells must lie in the bytes, one for each row.
unsafe fn write_texts(allocating: &Allocating, vector: duckdb_vector, texts: &Texts, rows: Rows) {
    let mut cells = texts.cells.iter();
    places(rows, |row| {
        let Some((start, length)) = cells.next() else { return };
        // SAFETY: promised by the caller; DuckDB copies the text.
        unsafe {
            let text = texts.bytes.as_ptr().add(*start);
            (allocating.assign_text)(vector, row as idx_t, text.cast(), *length as idx_t);
        }
    });
}
