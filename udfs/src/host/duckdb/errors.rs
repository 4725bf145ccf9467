//! What kind the errors were that DuckDB was told of lately: it hands on their text alone.

use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::sync::{Mutex, PoisonError};

use super::types::c_text;
use crate::core::error::{Code, Error, Result};
use crate::sys::caught::guard;

/// An error is asked for right after it was raised; many threads may raise theirs meanwhile.
const MOST: usize = 256;

static TOLD: Mutex<VecDeque<(CString, Code)>> = Mutex::new(VecDeque::new());

/// The text of an error as DuckDB is told it, which is remembered with its code.
pub fn told(error: &Error) -> CString {
    let text = c_text(&error.text);
    if error.code != Code::Other {
        let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
        if !told.iter().any(|(known, _)| *known == text) {
            if told.len() >= MOST {
                told.pop_front();
            }
            told.push_back((text.clone(), error.code));
        }
    }
    text
}

/// Tell DuckDB the error of a callback, by the function that it has for callbacks of this kind.
///
/// # Safety
/// The info must be that of a running callback, and of the kind that the function is for.
pub unsafe fn report<I>(info: I, set_error: unsafe fn(I, *const c_char), result: Result<()>) {
    if let Err(error) = result {
        // SAFETY: `info` is promised; the text is valid during the call, and is copied.
        unsafe { set_error(info, told(&error).as_ptr()) };
    }
}

/// The code of an error of this text, by its name, which is static; null where none was raised lately.
///
/// # Safety
/// `text` must be null or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlinfer_error_code(text: *const c_char) -> *const c_char {
    guard(|| {
        if text.is_null() {
            return Ok(ptr::null());
        }
        // SAFETY: promised by the caller.
        let text = unsafe { CStr::from_ptr(text) };
        let told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
        let found = told.iter().rev().find(|(known, _)| known.as_c_str() == text);
        Ok(found.map_or(ptr::null(), |(_, code)| code.name().as_ptr()))
    })
    .unwrap_or(ptr::null())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<String> {
        // SAFETY: the text is NUL-terminated; the name is static.
        let name = unsafe { sqlinfer_error_code(c_text(text).as_ptr()).as_ref() };
        // SAFETY: as above.
        name.map(|name| unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
    }

    #[test]
    fn codes_are_known_by_texts() {
        told(&Error::of(Code::NullFeature, "feature 'a\0b' is NULL"));
        assert_eq!(code("feature 'a\0b' is NULL").as_deref(), Some("null_feature"));
        told(&Error::new("a fault"));
        assert_eq!(code("a fault"), None);
        for i in 0..2 * MOST {
            told(&Error::of(Code::Engine, format!("error {i}")));
        }
        assert_eq!(code("error 0"), None);
        assert_eq!(code(&format!("error {}", 2 * MOST - 1)).as_deref(), Some("engine"));
    }
}
