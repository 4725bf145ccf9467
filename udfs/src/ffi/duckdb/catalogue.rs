//! `sqlinfer_models()` and `sqlinfer_version()`.

use std::ffi::{CStr, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use libduckdb_sys::*;

use super::context::{Binding, Context};
use super::instance::Instance;
use super::output::{plain, repeated};
use super::types::{LogicalType, c_text, report};
use super::writing::{Places, Values, Write, Writes, written};
use super::{Typing, dropped, guard};
use crate::core::error::{Error, Result};
use crate::core::manifest::Manifest;
use crate::core::registry::Registry;
use crate::core::sqltype::{Plain, SqlType};
use crate::core::tensor::{Buffer, Texts};
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
    // SAFETY: the info is valid for the time of the callback.
    unsafe { report(info, duckdb_bind_set_error, result) };
}

unsafe extern "C" fn drop_listing(data: *mut c_void) {
    // SAFETY: the data was made by `bind`, and DuckDB drops it once.
    unsafe { dropped::<Listing>(data) };
}

fn rows(registry: &Registry) -> Result<Vec<Row>> {
    let row = |(manifest, aliases): (Arc<Manifest>, Vec<String>)| Row {
        version: manifest.version as i64,
        aliases,
        texts: [
            manifest.name.clone(),
            manifest.task.clone(),
            manifest.shown_features(),
            manifest.calls.get("predict").map_or(String::new(), |call| call.sql_type.to_string()),
            manifest.created.clone(),
            manifest.sha256.clone(),
        ],
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
    // SAFETY: the info is valid for the time of the callback.
    unsafe { report(info, duckdb_init_set_error, result) };
}

pub unsafe extern "C" fn drop_instance(data: *mut c_void) {
    // SAFETY: the data is the instance that was registered, and DuckDB drops it once.
    unsafe { dropped::<Arc<Instance>>(data) };
}

pub unsafe extern "C-unwind" fn execute(info: duckdb_function_info, output: duckdb_data_chunk) {
    let work = || {
        // SAFETY: the bind data is the Listing that `bind` set.
        let listing = unsafe { duckdb_function_get_bind_data(info).cast::<Listing>().as_ref() };
        let listing = listing.ok_or_else(|| Error("nothing was bound".to_string()))?;
        // SAFETY: it takes nothing.
        let most = unsafe { duckdb_vector_size() } as usize;
        let start = listing.next.fetch_add(most, Ordering::Relaxed).min(listing.rows.len());
        let rows = &listing.rows[start..(start + most).min(listing.rows.len())];
        // SAFETY: the chunk has the columns of `COLUMNS`.
        let column = |column: idx_t| unsafe { duckdb_data_chunk_get_vector(output, column) };
        Ok(Writes { steps: steps(rows, column)?, chunk: Some((output, rows.len())) })
    };
    // SAFETY: the chunk has the columns of `COLUMNS` and room for a vector of rows; DuckDB calls.
    let result = unsafe { written(work) };
    // SAFETY: the info is valid for the time of the callback.
    unsafe { report(info, duckdb_function_set_error, result) };
}

/// The rows as they are written into the columns.
fn steps(rows: &[Row], column: impl Fn(idx_t) -> duckdb_vector) -> Result<Vec<Write>> {
    let whole = |i, buffer| Ok(Write::Values(column(i), plain(buffer, rows.len())?, Places::Range(0, rows.len())));
    let texts = |(place, i)| whole(i, Buffer::Text(Texts::of(rows.iter().map(|row| &row.texts[place]))));
    let mut steps = [0, 3, 4, 5, 6, 7].into_iter().enumerate().map(texts).collect::<Result<Vec<_>>>()?;
    steps.push(whole(1, Buffer::I64(rows.iter().map(|row| row.version).collect()))?);
    for (i, row) in rows.iter().enumerate() {
        let count = row.aliases.len();
        let aliases = Box::new(plain(Buffer::Text(Texts::of(&row.aliases)), count)?);
        steps.push(Write::Values(column(2), Values::List(count, aliases), Places::Range(i, 1)));
    }
    Ok(steps)
}

/// The text of sqlinfer_version() is made when the call is bound, where the settings are known.
pub unsafe extern "C" fn bind_version(info: duckdb_bind_info) {
    let result = guard(|| {
        // SAFETY: DuckDB calls with a valid info; the extra info is the instance that was registered.
        let (binding, instance) = unsafe {
            let instance = duckdb_scalar_function_bind_get_extra_info(info).cast::<Arc<Instance>>();
            (Binding::new(info), instance.as_ref().ok_or_else(|| Error("no instance".to_string()))?)
        };
        instance.was_bound();
        let text = Box::new(version(instance, &instance.take(binding.context())?.libraries));
        // SAFETY: DuckDB takes the text over, copies it by `copy_text` and drops it by `drop_text`.
        unsafe {
            duckdb_scalar_function_set_bind_data(info, Box::into_raw(text).cast(), Some(drop_text));
            duckdb_scalar_function_set_bind_data_copy(info, Some(copy_text));
        }
        Ok(())
    });
    // SAFETY: the info is valid for the time of the callback.
    unsafe { report(info, duckdb_scalar_function_bind_set_error, result) };
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

pub unsafe extern "C-unwind" fn execute_version(
    info: duckdb_function_info,
    input: duckdb_data_chunk,
    output: duckdb_vector,
) {
    let work = || {
        // SAFETY: the bind data is the text that `bind_version` set; the chunk is valid.
        let (text, rows) = unsafe {
            let text = duckdb_scalar_function_get_bind_data(info).cast::<String>().as_ref();
            (text.ok_or_else(|| Error("nothing was bound".to_string()))?, duckdb_data_chunk_get_size(input))
        };
        repeated(output, text, rows as usize)
    };
    // SAFETY: the output has room for the rows; DuckDB calls.
    let result = unsafe { written(work) };
    // SAFETY: the info is valid for the time of the callback.
    unsafe { report(info, duckdb_scalar_function_set_error, result) };
}

fn version(instance: &Instance, libraries: &Libraries) -> String {
    // SAFETY: the text is static.
    let host = unsafe { CStr::from_ptr(duckdb_library_version()) }.to_string_lossy();
    let onnx = match libraries.runtime() {
        Ok(runtime) => {
            format!("ONNX Runtime {} (CPU kernels: {})", runtime.version(), cpu::vectors().to_string_lossy())
        }
        Err(error) => format!("ONNX Runtime is not loaded: {error}"),
    };
    let sqlinfer = env!("CARGO_PKG_VERSION");
    let functions = if matches!(instance.typing, Ok(Typing::Api2(_))) { " and v2" } else { "" };
    let api = super::table::API_VERSION;
    format!("sqlinfer {sqlinfer} (native engine), DuckDB {host}, C API {api}{functions}, {onnx}")
}

pub fn text_type() -> SqlType {
    SqlType::Plain(Plain::Varchar)
}
