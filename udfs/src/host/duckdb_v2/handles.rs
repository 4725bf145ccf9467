//! What API v2 hands out, as API v1 knows it: see `mod.rs`.

use std::mem::ManuallyDrop;
use std::ptr;

use libduckdb_sys::{DUCKDB_TYPE_DUCKDB_TYPE_SQLNULL, duckdb_client_context};

use super::api::{self, Api};
use crate::host::duckdb::context::Context;
use crate::host::duckdb::types::LogicalType;

/// The context of a callback, lent for its time.
///
/// # Safety
/// It must be that of a running callback.
pub unsafe fn context(context: *mut api::Context) -> ManuallyDrop<Context> {
    // SAFETY: promised by the caller: behind the table of virtual functions stands the reference.
    let reference = unsafe { context.cast::<usize>().add(1) };
    ManuallyDrop::new(Context(reference.cast::<()>() as duckdb_client_context))
}

/// A type, lent for as long as the other one lives.
pub fn lent(logical: &LogicalType) -> *mut api::LogicalType {
    // SAFETY: a type that is valid points to the word.
    unsafe { *logical.0.cast::<*mut api::LogicalType>() }
}

/// A type, taken over.
///
/// # Safety
/// It must be ours to destroy, and is not used afterwards.
pub unsafe fn taken(api: &Api, mut logical: *mut api::LogicalType) -> LogicalType {
    let made = LogicalType::id(DUCKDB_TYPE_DUCKDB_TYPE_SQLNULL);
    // SAFETY: the two change places, so nothing that they share is counted anew; what `made` had is destroyed once.
    unsafe {
        ptr::swap(made.0.cast::<*mut api::LogicalType>(), &mut logical);
        (api.logical_type_destroy)(&mut logical);
    }
    made
}
