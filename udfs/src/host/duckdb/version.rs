//! Which DuckDB this is.

use std::ffi::CStr;

use libduckdb_sys::duckdb_library_version;

use crate::core::error::Error;

pub fn version() -> String {
    // SAFETY: the text is static.
    unsafe { CStr::from_ptr(duckdb_library_version()) }.to_string_lossy().into_owned()
}

/// Said of a DuckDB where a function's type is that of its registration.
pub fn fixed_types(version: &str) -> Error {
    Error::new(format!("this build of DuckDB {version} gives the functions of an extension one type each"))
}

pub fn is_duckdb_1() -> bool {
    version().starts_with("v1.")
}
