//! What all callbacks do in the end.

use std::ffi::c_void;

use super::api::{self, Text};
use crate::core::error::Result;
use crate::host::duckdb::errors::told;
use crate::sys::caught::dropped;

/// # Safety
/// `data` must be a leaked box of a `T`, and is not used afterwards.
pub unsafe extern "C" fn destroyed<T>(data: *mut c_void) {
    // SAFETY: promised by the caller.
    unsafe { dropped::<T>(data) };
}

/// Tell DuckDB the error of a callback.
///
/// # Safety
/// `problem` must be that of a running callback.
pub unsafe fn report(problem: api::Problem, code: api::Code, result: Result<()>) {
    if let (Err(error), Ok(api)) = (result, api::api()) {
        // SAFETY: promised by the caller; the text is copied.
        unsafe {
            (api.error_info_set_code)(*problem, code);
            (api.error_info_set_text)(*problem, &Text::of(&told(&error).to_string_lossy()));
        }
    }
}
