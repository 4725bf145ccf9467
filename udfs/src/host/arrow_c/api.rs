//! The functions of the header in `mod.rs`.

use std::cell::RefCell;
use std::ffi::{CString, c_char, c_int};
use std::ptr;
use std::sync::{Arc, LazyLock};

use super::abi::{ArrowArray, ArrowSchema, OwnedArray, OwnedSchema, text};
use super::model::Model;
use super::output::schema;
use crate::core::calls::CALLS;
use crate::core::decimal::round_in_parts;
use crate::core::error::{Code, Error, Result};
use crate::sys::caught::{dropped, guard};
use crate::sys::interrupt::Interrupt;
use crate::sys::library::Libraries;

const VERSION: u32 = 1;

thread_local! {
    static LAST: RefCell<(CString, Code)> = RefCell::new((CString::default(), Code::Other));
}

static TABLE: LazyLock<CString> = LazyLock::new(|| {
    let json = serde_json::to_string(&CALLS).unwrap_or_default();
    CString::new(json).unwrap_or_default()
});

/// What a function gives, 0 or 1; the error is kept for this thread.
fn outcome(done: Result<()>) -> c_int {
    let Err(error) = done else { return 0 };
    let text = CString::new(error.text.replace('\0', "\u{2400}")).unwrap_or_default();
    LAST.set((text, error.code));
    1
}

#[unsafe(no_mangle)]
pub extern "C" fn sqlinfer_core_version() -> u32 {
    guard(|| Ok(VERSION)).unwrap_or(0)
}

#[unsafe(no_mangle)]
pub extern "C" fn sqlinfer_core_calls() -> *const c_char {
    guard(|| Ok(TABLE.as_ptr())).unwrap_or(ptr::null())
}

#[unsafe(no_mangle)]
pub extern "C" fn sqlinfer_core_decimals(in_parts: bool) {
    let _ = guard(|| {
        round_in_parts(in_parts);
        Ok(())
    });
}

#[unsafe(no_mangle)]
pub extern "C" fn sqlinfer_core_error() -> *const c_char {
    guard(|| Ok(LAST.with_borrow(|(text, _)| text.as_ptr()))).unwrap_or(ptr::null())
}

#[unsafe(no_mangle)]
pub extern "C" fn sqlinfer_core_error_code() -> *const c_char {
    guard(|| Ok(LAST.with_borrow(|(_, code)| code.name().as_ptr()))).unwrap_or(ptr::null())
}

/// # Safety
/// The texts must be null or NUL-terminated, and `model` must be writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlinfer_core_open(
    home: *const c_char,
    reference: *const c_char,
    name: *const c_char,
    onnxruntime: *const c_char,
    operators: *const c_char,
    model: *mut *mut Arc<Model>,
) -> c_int {
    let opened = guard(|| {
        // SAFETY: promised by the caller.
        let [home, reference, name, onnxruntime, operators] =
            unsafe { [home, reference, name, onnxruntime, operators].map(|given| utf8(given)) };
        let libraries = Libraries::of(owned(onnxruntime?), owned(operators?));
        let reference = reference?.ok_or_else(|| Error::of(Code::BadReference, "no reference is given"))?;
        let opened = Box::new(Arc::new(Model::open(home?, reference, name?, libraries)?));
        // SAFETY: promised by the caller.
        unsafe { model.write(Box::into_raw(opened)) };
        Ok(())
    });
    outcome(opened)
}

/// # Safety
/// `model` must be null or come from `sqlinfer_core_open`, and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlinfer_core_close(model: *mut Arc<Model>) {
    let _ = guard(|| {
        if !model.is_null() {
            // SAFETY: promised by the caller.
            unsafe { dropped::<Arc<Model>>(model.cast()) };
        }
        Ok(())
    });
}

/// # Safety
/// `model` must come from `sqlinfer_core_open`, and `schema` be writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlinfer_core_takes(model: *const Arc<Model>, schema: *mut ArrowSchema) -> c_int {
    let told = guard(|| {
        // SAFETY: promised by the caller.
        unsafe { schema.write(opened(model)?.takes()?) };
        Ok(())
    });
    outcome(told)
}

/// # Safety
/// As for `sqlinfer_core_takes`; the texts must be null or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlinfer_core_gives(
    model: *const Arc<Model>,
    call: *const c_char,
    class: *const c_char,
    schema: *mut ArrowSchema,
) -> c_int {
    let told = guard(|| {
        // SAFETY: promised by the caller.
        unsafe {
            let model = opened(model)?;
            let asked = model.asked(required(call)?, utf8(class)?)?;
            schema.write(model.gives(&asked)?);
        }
        Ok(())
    });
    outcome(told)
}

/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlinfer_core_run(
    model: *const Arc<Model>,
    call: *const c_char,
    class: *const c_char,
    rows: *mut ArrowArray,
    rows_schema: *mut ArrowSchema,
    threads: c_int,
    interrupt: *const bool,
    answers: *mut ArrowArray,
    answers_schema: *mut ArrowSchema,
) -> c_int {
    let done = guard(|| {
        // SAFETY: promised by the caller.
        unsafe {
            let (rows, rows_schema) = (OwnedArray::taken(rows), OwnedSchema::taken(rows_schema));
            let (rows, rows_schema) = (rows?, rows_schema?);
            let model = opened(model)?;
            let asked = model.asked(required(call)?, utf8(class)?)?;
            let bound = model.bind(&asked, &rows_schema.0)?;
            let interrupt = if interrupt.is_null() { Interrupt::NONE } else { Interrupt::at(interrupt.cast_mut()) };
            let threads = usize::try_from(threads).unwrap_or(1);
            let found = model.run(&bound, &rows.0, &rows_schema.0, threads, interrupt)?;
            answers.write(found);
            answers_schema.write(schema(asked.call.name, &bound.sql_type));
        }
        Ok(())
    });
    outcome(done)
}

/// # Safety
/// `model` must be null or come from `sqlinfer_core_open`.
unsafe fn opened<'a>(model: *const Arc<Model>) -> Result<&'a Arc<Model>> {
    // SAFETY: promised by the caller.
    unsafe { model.as_ref() }.ok_or_else(|| Error::new("no model is given"))
}

/// # Safety
/// `given` must be null or NUL-terminated.
unsafe fn required<'a>(given: *const c_char) -> Result<&'a str> {
    // SAFETY: promised by the caller.
    unsafe { utf8(given) }?.ok_or_else(|| Error::of(Code::Call, "no call is given"))
}

/// # Safety
/// As for `required`.
unsafe fn utf8<'a>(given: *const c_char) -> Result<Option<&'a str>> {
    // SAFETY: promised by the caller.
    match (given.is_null(), unsafe { text(given) }) {
        (false, None) => Err(Error::new("a text that is not UTF-8")),
        (_, text) => Ok(text),
    }
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_string)
}
