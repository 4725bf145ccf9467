//! A stream of rows → a stream of answers, array by array.

use std::ffi::{CString, c_char, c_int};
use std::ptr;
use std::sync::Arc;

use super::abi::{ArrowArray, ArrowArrayStream, ArrowSchema, OwnedArray, OwnedSchema, OwnedStream, text};
use super::model::{Asked, Bound, Model};
use super::output::schema;
use crate::core::error::{Error, Result};
use crate::sys::caught::{dropped, guard};
use crate::sys::interrupt::Interrupt;

struct Answering {
    model: Arc<Model>,
    asked: Asked,
    bound: Arc<Bound>,
    schema: OwnedSchema,
    rows: OwnedStream,
    threads: usize,
    failed: CString,
}

/// # Safety
/// The stream must be one that the interface allows.
pub unsafe fn answers_of(
    model: Arc<Model>,
    asked: Asked,
    mut rows: OwnedStream,
    threads: usize,
) -> Result<ArrowArrayStream> {
    let mut schema = ArrowSchema::RELEASED;
    let get = rows.0.get_schema.ok_or_else(|| Error::new("a stream without a schema"))?;
    // SAFETY: promised by the caller; the schema is ours.
    let schema = unsafe {
        if get(&mut rows.0, &mut schema) != 0 {
            return Err(why(&mut rows.0));
        }
        OwnedSchema::taken(&mut schema)?
    };
    // SAFETY: the schema is not released.
    let bound = unsafe { model.bind(&asked, &schema.0) }?;
    let own = Answering { model, asked, bound, schema, rows, threads, failed: CString::default() };
    Ok(ArrowArrayStream {
        get_schema: Some(get_schema),
        get_next: Some(get_next),
        get_last_error: Some(get_last_error),
        release: Some(release),
        private_data: Box::into_raw(Box::new(own)).cast(),
    })
}

/// # Safety
/// The stream must be one that the interface allows, which has just failed.
unsafe fn why(stream: &mut ArrowArrayStream) -> Error {
    // SAFETY: promised by the caller.
    let said = stream.get_last_error.and_then(|last| unsafe { text(last(stream)) });
    Error::new(said.unwrap_or("the stream of rows has failed"))
}

/// # Safety
/// The stream must be one of ours that is not released.
unsafe fn answering<'a>(stream: *mut ArrowArrayStream) -> Result<&'a mut Answering> {
    // SAFETY: promised by the caller.
    let own = unsafe { stream.as_ref().and_then(|stream| stream.private_data.cast::<Answering>().as_mut()) };
    own.ok_or_else(|| Error::new("a stream that is released"))
}

/// # Safety
/// As for `answering`.
unsafe fn outcome(stream: *mut ArrowArrayStream, done: Result<()>) -> c_int {
    let Err(error) = done else { return 0 };
    // SAFETY: promised by the caller.
    if let Ok(own) = unsafe { answering(stream) } {
        own.failed = CString::new(error.text.replace('\0', "\u{2400}")).unwrap_or_default();
    }
    libc::EINVAL
}

unsafe extern "C" fn get_schema(stream: *mut ArrowArrayStream, place: *mut ArrowSchema) -> c_int {
    let done = guard(|| {
        // SAFETY: whoever has the stream asks before it is released; the place is writable.
        unsafe {
            let own = answering(stream)?;
            place.write(schema(own.asked.call.name, &own.bound.sql_type));
        }
        Ok(())
    });
    // SAFETY: as above.
    unsafe { outcome(stream, done) }
}

unsafe extern "C" fn get_next(stream: *mut ArrowArrayStream, place: *mut ArrowArray) -> c_int {
    let done = guard(|| {
        // SAFETY: whoever has the stream asks before it is released; the place is writable, and the arrays of the stream of rows
        // are of its schema.
        unsafe {
            let own = answering(stream)?;
            let mut rows = ArrowArray::RELEASED;
            let next = own.rows.0.get_next.ok_or_else(|| Error::new("a stream without arrays"))?;
            if next(&mut own.rows.0, &mut rows) != 0 {
                return Err(why(&mut own.rows.0));
            }
            if rows.release.is_none() {
                place.write(ArrowArray::RELEASED); // the end
                return Ok(());
            }
            let rows = OwnedArray::taken(&mut rows)?;
            place.write(own.model.run(&own.bound, &rows.0, &own.schema.0, own.threads, Interrupt::NONE)?);
        }
        Ok(())
    });
    // SAFETY: as above.
    unsafe { outcome(stream, done) }
}

unsafe extern "C" fn get_last_error(stream: *mut ArrowArrayStream) -> *const c_char {
    // SAFETY: whoever has the stream asks before it is released.
    guard(|| Ok(unsafe { answering(stream) }?.failed.as_ptr())).unwrap_or(ptr::null())
}

unsafe extern "C" fn release(stream: *mut ArrowArrayStream) {
    let _ = guard(|| {
        // SAFETY: whoever has the stream releases it once.
        if let Some(stream) = unsafe { stream.as_mut() } {
            stream.release = None;
            // SAFETY: as above.
            unsafe { dropped::<Answering>(stream.private_data) };
            stream.private_data = ptr::null_mut();
        }
        Ok(())
    });
}
