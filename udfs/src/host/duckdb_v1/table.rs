//! DuckDB's table of functions, taken over at its own length.
//!
//! `libduckdb-sys` copies the table of the DuckDB that it was made from, which is longer than that of the API version that is
//! asked for: on an older host it would read past the end. So it is given a copy that is long enough.

use std::cell::Cell;
use std::ffi::{c_char, c_void};
use std::mem::size_of;
use std::ptr;

use libduckdb_sys::*;

use crate::core::error::{Error, Result};
use crate::host::duckdb::types::c_text;
use crate::host::duckdb::writing;
use crate::sys::caught::guard;

pub const API_VERSION: &str = "v1.5.6";
/// Functions in the table of that version; later versions only add to it.
const SLOTS: usize = 546;
const _: () = assert!(size_of::<duckdb_ext_api_v1>() >= SLOTS * size_of::<usize>());

thread_local! {
    static TABLE: Cell<*const c_void> = const { Cell::new(ptr::null()) };
}

unsafe extern "C" fn ready(_: duckdb_extension_info, _: *const c_char) -> *const c_void {
    guard(|| Ok(TABLE.get())).unwrap_or(ptr::null())
}

/// Make the host's functions callable. False when the host has set an error.
///
/// # Safety
/// `info` and `access` must be those that DuckDB gives to the entry point.
pub unsafe fn take(info: duckdb_extension_info, access: *const duckdb_extension_access) -> Result<bool> {
    let version = c_text(API_VERSION);
    // SAFETY: promised by the caller.
    let table = unsafe { (*access).get_api.map_or(ptr::null(), |get| get(info, version.as_ptr())) };
    if table.is_null() {
        return Ok(false);
    }
    // SAFETY: the table is one of optional function pointers, for which zero is None.
    let mut long: Box<duckdb_ext_api_v1> = Box::new(unsafe { std::mem::zeroed() });
    // SAFETY: the host's table has at least SLOTS pointers, and so has the copy.
    unsafe { ptr::copy_nonoverlapping(table.cast::<usize>(), ptr::from_mut(&mut *long).cast::<usize>(), SLOTS) };
    if !writing::take(&long) {
        return Err(Error::new("sqlinfer: this DuckDB has not all functions of its API".to_string()));
    }
    TABLE.set(ptr::from_ref(&*long).cast());
    let given = duckdb_extension_access { set_error: None, get_database: None, get_api: Some(ready) };
    // SAFETY: only `get_api` is called, which gives the copy; the copy lives until after the call.
    let taken = unsafe { duckdb_rs_extension_api_init(info, &given, API_VERSION) };
    TABLE.set(ptr::null());
    taken.map_err(|reason| Error::new(format!("sqlinfer: {reason}")))
}
