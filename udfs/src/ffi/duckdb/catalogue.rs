//! `sqlinfer_models()` and `sqlinfer_version()`.

use std::ffi::{CStr, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use libduckdb_sys::*;

use super::context::{Binding, Context};
use super::instance::Instance;
use super::types::{LogicalType, c_text};
use super::{dropped, guard};
use crate::core::column::Entry;
use crate::core::error::{Error, Result};
use crate::core::manifest::Manifest;
use crate::core::registry::Registry;
use crate::core::sqltype::{Plain, SqlType};
use crate::ffi::cpu;
use crate::ffi::library::Libraries;

pub const COLUMNS: [(&str, &str); 8] = [
    ("name", "VARCHAR"),
    ("version", "BIGINT"),
    ("aliases", "VARCHAR[]"),
    ("task", "VARCHAR"),
    ("features", "VARCHAR"),
    ("result", "VARCHAR"),
    ("created", "VARCHAR"),
    ("sha256", "VARCHAR"),
];

struct Row {
    texts: [String; 6],
    version: i64,
    aliases: Vec<String>,
}

struct Listing {
    rows: Vec<Row>,
    next: AtomicUsize,
}

pub unsafe extern "C" fn bind(info: duckdb_bind_info) {
    let result = guard(|| {
        for (name, sql_type) in COLUMNS {
            let logical = LogicalType::of(&SqlType::parse(sql_type)?)?;
            // SAFETY: the info is valid, name and type are copied.
            unsafe { duckdb_bind_add_result_column(info, c_text(name).as_ptr(), logical.0) };
        }
        let mut context = std::ptr::null_mut();
        // SAFETY: the info is valid and the out-pointer too; the extra info is the instance that was registered.
        let instance = unsafe {
            duckdb_table_function_get_client_context(info, &mut context);
            duckdb_bind_get_extra_info(info).cast::<Arc<Instance>>().as_ref()
        };
        let instance = instance.ok_or_else(|| Error("no instance".to_string()))?;
        let taken = instance.take(&Context(context))?;
        let listing = Listing { rows: rows(&taken.registry)?, next: AtomicUsize::new(0) };
        // SAFETY: DuckDB takes the data over and drops it once.
        unsafe { duckdb_bind_set_bind_data(info, Box::into_raw(Box::new(listing)).cast(), Some(drop_listing)) };
        Ok(())
    });
    if let Err(error) = result {
        // SAFETY: the info is valid for the time of the callback.
        unsafe { duckdb_bind_set_error(info, c_text(&error.0).as_ptr()) };
    }
}

unsafe extern "C" fn drop_listing(data: *mut c_void) {
    // SAFETY: the data was made by `bind`, and DuckDB drops it once.
    unsafe { dropped::<Listing>(data) };
}

fn rows(registry: &Registry) -> Result<Vec<Row>> {
    let row = |(manifest, aliases): (Arc<Manifest>, Vec<String>)| {
        let features: Vec<String> = manifest.features.iter().map(|f| format!("{} {}", f.name, f.sql_type)).collect();
        Row {
            version: manifest.version as i64,
            aliases,
            texts: [
                manifest.name.clone(),
                manifest.task.clone(),
                features.join(", "),
                manifest.calls.get("predict").map_or(String::new(), |call| call.sql_type.to_string()),
                manifest.created.clone(),
                manifest.sha256.clone(),
            ],
        }
    };
    Ok(registry.all()?.into_iter().map(row).collect())
}

pub unsafe extern "C" fn init(info: duckdb_init_info) {
    let result = guard(|| {
        // SAFETY: the bind data is the Listing that `bind` set; every execution starts again, on one thread.
        unsafe {
            if let Some(listing) = duckdb_init_get_bind_data(info).cast::<Listing>().as_ref() {
                listing.next.store(0, Ordering::Relaxed);
            }
            duckdb_init_set_max_threads(info, 1);
        }
        Ok(())
    });
    if let Err(error) = result {
        // SAFETY: the info is valid for the time of the callback.
        unsafe { duckdb_init_set_error(info, c_text(&error.0).as_ptr()) };
    }
}

pub unsafe extern "C" fn drop_instance(data: *mut c_void) {
    // SAFETY: the data is the instance that was registered, and DuckDB drops it once.
    unsafe { dropped::<Arc<Instance>>(data) };
}

pub unsafe extern "C" fn execute(info: duckdb_function_info, output: duckdb_data_chunk) {
    let result = guard(|| {
        // SAFETY: the bind data is the Listing that `bind` set.
        let listing = unsafe { duckdb_function_get_bind_data(info).cast::<Listing>().as_ref() };
        let listing = listing.ok_or_else(|| Error("nothing was bound".to_string()))?;
        // SAFETY: it takes nothing.
        let most = unsafe { duckdb_vector_size() } as usize;
        let start = listing.next.fetch_add(most, Ordering::Relaxed).min(listing.rows.len());
        let rows = &listing.rows[start..(start + most).min(listing.rows.len())];
        // SAFETY: the chunk has the columns of `COLUMNS` and room for a vector of rows.
        unsafe {
            for (i, row) in rows.iter().enumerate() {
                let [name, task, features, result, created, sha256] = &row.texts;
                let texts = [(0, name), (3, task), (4, features), (5, result), (6, created), (7, sha256)];
                for (column, text) in texts {
                    write_text(duckdb_data_chunk_get_vector(output, column), i, text);
                }
                duckdb_vector_get_data(duckdb_data_chunk_get_vector(output, 1)).cast::<i64>().add(i).write(row.version);
                write_list(duckdb_data_chunk_get_vector(output, 2), i, &row.aliases);
            }
            duckdb_data_chunk_set_size(output, rows.len() as idx_t);
        }
        Ok(())
    });
    if let Err(error) = result {
        // SAFETY: the info is valid for the time of the callback.
        unsafe { duckdb_function_set_error(info, c_text(&error.0).as_ptr()) };
    }
}

/// # Safety
/// `vector` must be a vector of texts with room for the row.
unsafe fn write_text(vector: duckdb_vector, row: usize, text: &str) {
    // SAFETY: promised by the caller; DuckDB copies the text.
    unsafe { duckdb_vector_assign_string_element_len(vector, row as idx_t, text.as_ptr().cast(), text.len() as idx_t) };
}

/// # Safety
/// `vector` must be a vector of lists of texts with room for the row.
unsafe fn write_list(vector: duckdb_vector, row: usize, texts: &[String]) {
    // SAFETY: promised by the caller; the child has room after it was reserved.
    unsafe {
        let start = duckdb_list_vector_get_size(vector);
        duckdb_list_vector_reserve(vector, start + texts.len() as idx_t);
        duckdb_list_vector_set_size(vector, start + texts.len() as idx_t);
        let entry = Entry { offset: start, length: texts.len() as u64 };
        duckdb_vector_get_data(vector).cast::<Entry>().add(row).write(entry);
        let child = duckdb_list_vector_get_child(vector);
        texts.iter().enumerate().for_each(|(i, text)| write_text(child, start as usize + i, text));
    }
}

/// The text of sqlinfer_version() is made when the call is bound, where the settings are known.
pub unsafe extern "C" fn bind_version(info: duckdb_bind_info) {
    let result = guard(|| {
        // SAFETY: DuckDB calls with a valid info; the extra info is the instance that was registered.
        let (context, instance) = unsafe {
            let instance = duckdb_scalar_function_bind_get_extra_info(info).cast::<Arc<Instance>>();
            (Binding::new(info).context(), instance.as_ref().ok_or_else(|| Error("no instance".to_string()))?)
        };
        instance.was_bound();
        let text = Box::new(version(&instance.take(&context)?.libraries));
        // SAFETY: DuckDB takes the text over, copies it by `copy_text` and drops it by `drop_text`.
        unsafe {
            duckdb_scalar_function_set_bind_data(info, Box::into_raw(text).cast(), Some(drop_text));
            duckdb_scalar_function_set_bind_data_copy(info, Some(copy_text));
        }
        Ok(())
    });
    if let Err(error) = result {
        // SAFETY: the info is valid for the time of the callback.
        unsafe { duckdb_scalar_function_bind_set_error(info, c_text(&error.0).as_ptr()) };
    }
}

unsafe extern "C" fn drop_text(data: *mut c_void) {
    // SAFETY: the data was made by `bind_version` or `copy_text`, and DuckDB drops it once.
    unsafe { dropped::<String>(data) };
}

unsafe extern "C" fn copy_text(data: *mut c_void) -> *mut c_void {
    // SAFETY: the data was made by `bind_version` or `copy_text` and is alive.
    let copied = guard(|| Ok(Box::new(unsafe { &*data.cast::<String>() }.clone())));
    copied.map_or(std::ptr::null_mut(), |text| Box::into_raw(text).cast())
}

pub unsafe extern "C" fn execute_version(info: duckdb_function_info, input: duckdb_data_chunk, output: duckdb_vector) {
    let result = guard(|| {
        // SAFETY: the bind data is the text that `bind_version` set; the output has room for the rows.
        unsafe {
            let text = duckdb_scalar_function_get_bind_data(info).cast::<String>().as_ref();
            let text = text.ok_or_else(|| Error("nothing was bound".to_string()))?;
            (0..duckdb_data_chunk_get_size(input) as usize).for_each(|row| write_text(output, row, text));
        }
        Ok(())
    });
    if let Err(error) = result {
        // SAFETY: the info is valid for the time of the callback.
        unsafe { duckdb_scalar_function_set_error(info, c_text(&error.0).as_ptr()) };
    }
}

fn version(libraries: &Libraries) -> String {
    // SAFETY: the text is static.
    let host = unsafe { CStr::from_ptr(duckdb_library_version()) }.to_string_lossy();
    let onnx = match libraries.runtime() {
        Ok(runtime) => {
            format!("ONNX Runtime {} (CPU kernels: {})", runtime.version(), cpu::vectors().to_string_lossy())
        }
        Err(error) => format!("ONNX Runtime is not loaded: {error}"),
    };
    let sqlinfer = env!("CARGO_PKG_VERSION");
    format!("sqlinfer {sqlinfer} (native engine), DuckDB {host}, C API {}, {onnx}", super::table::API_VERSION)
}

pub fn text_type() -> SqlType {
    SqlType::Plain(Plain::Varchar)
}
