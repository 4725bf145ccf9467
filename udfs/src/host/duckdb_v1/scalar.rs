//! The scalar functions over API v1: what happens when DuckDB binds, prepares and runs a call.

use std::ffi::c_void;

use libduckdb_sys::*;

use super::layout::Layout;
use crate::core::error::{Error, Result};
use crate::core::names::Called;
use crate::core::sqltype::ArgType;
use crate::host::duckdb::call::{Arguments, Bound, Running, asked};
use crate::host::duckdb::context::{Binding, Context};
use crate::host::duckdb::errors::report;
use crate::host::duckdb::instance::{Answer, Function};
use crate::host::duckdb::types::LogicalType;
use crate::host::duckdb::writing::written;
use crate::sys::caught::{dropped, guard};

/// A function as it was registered over this API.
pub struct Registered {
    pub function: Function,
    /// None where functions have one type each.
    pub layout: Option<Layout>,
}

struct Shown<'a> {
    binding: Binding,
    /// It tells names where it is known.
    layout: Option<&'a Layout>,
}

impl Arguments for Shown<'_> {
    fn context(&self) -> &Context {
        self.binding.context()
    }

    fn given(&self) -> Option<Vec<ArgType>> {
        self.binding.given()
    }

    fn constant(&self, i: usize) -> Option<String> {
        self.binding.constant(i as u64)
    }

    fn called(&self) -> Result<Vec<Called>> {
        self.layout.map_or(Ok(Vec::new()), |layout| layout.all_called(&self.binding))
    }

    fn place(&self, i: usize) -> usize {
        i
    }
}

pub unsafe extern "C" fn bind(info: duckdb_bind_info) {
    let result = guard(|| {
        // SAFETY: DuckDB calls with a valid info; the extra info is what was registered.
        let (binding, registered) = unsafe {
            let registered = duckdb_scalar_function_bind_get_extra_info(info).cast::<Registered>();
            (Binding::new(info), registered.as_ref().ok_or_else(|| Error::new("no function".to_string()))?)
        };
        let (function, layout) = (&registered.function, registered.layout.as_ref());
        let asked = asked(&Shown { binding, layout }, function, None)?;
        let bound = asked.map_or_else(|| Ok(Bound::later(function)), |asked| asked.bound(function))?;
        if let (Answer::Model, Some(layout)) = (&function.answer, layout) {
            let unknown = || Ok(LogicalType::id(DUCKDB_TYPE_DUCKDB_TYPE_SQLNULL));
            let answer = bound.sql_type.as_ref().map_or_else(unknown, LogicalType::of)?;
            // SAFETY: the info is that of this callback.
            unsafe { layout.answer(info, &function.name, answer)? };
        }
        let bound = Box::into_raw(Box::new(bound));
        // SAFETY: DuckDB takes the data over, copies it by `copy` and drops it by `drop_bound`.
        unsafe {
            duckdb_scalar_function_set_bind_data(info, bound.cast(), Some(drop_bound));
            duckdb_scalar_function_set_bind_data_copy(info, Some(copy_bound));
        }
        Ok(())
    });
    // SAFETY: the info is valid for the time of the callback.
    unsafe { report(info, duckdb_scalar_function_bind_set_error, result) };
}

unsafe extern "C" fn drop_bound(data: *mut c_void) {
    // SAFETY: the data was made by `bind` or `copy_bound`, and DuckDB drops it once.
    unsafe { dropped::<Bound>(data) };
}

unsafe extern "C" fn copy_bound(data: *mut c_void) -> *mut c_void {
    // SAFETY: the data was made by `bind` or `copy_bound` and is alive.
    let copied = guard(|| Ok(Box::new(unsafe { &*data.cast::<Bound>() }.clone())));
    copied.map_or(std::ptr::null_mut(), |bound| Box::into_raw(bound).cast())
}

pub unsafe extern "C" fn init(info: duckdb_init_info) {
    let result = guard(|| {
        // SAFETY: the bind data is the Bound that `bind` set.
        let bound = unsafe { duckdb_scalar_function_init_get_bind_data(info).cast::<Bound>().as_ref() };
        let bound = bound.ok_or_else(|| Error::new("the call was not bound".to_string()))?;
        let mut context = std::ptr::null_mut();
        // SAFETY: the info is valid, and the out-pointer too; DuckDB drops the state with the query.
        let state = unsafe {
            duckdb_scalar_function_init_get_client_context(info, &mut context);
            bound.state(&Context(context))?
        };
        // SAFETY: DuckDB takes the state over and drops it by `drop_state`.
        unsafe {
            duckdb_scalar_function_init_set_state(info, Box::into_raw(Box::new(state)).cast(), Some(drop_state));
        }
        Ok(())
    });
    // SAFETY: the info is valid for the time of the callback.
    unsafe { report(info, duckdb_scalar_function_init_set_error, result) };
}

unsafe extern "C" fn drop_state(data: *mut c_void) {
    // SAFETY: the state was made by `init`, and DuckDB drops it once.
    unsafe { dropped::<Running>(data) };
}

pub unsafe extern "C-unwind" fn execute(info: duckdb_function_info, input: duckdb_data_chunk, output: duckdb_vector) {
    let work = || {
        // SAFETY: state and bind data are those that `init` and `bind` set; a state is used by one thread at a time.
        let (state, bound) = unsafe {
            let state = duckdb_scalar_function_get_state(info).cast::<Running>().as_mut();
            let bound = duckdb_scalar_function_get_bind_data(info).cast::<Bound>().as_ref();
            let lost = || Error::new("the call was not prepared".to_string());
            (state.ok_or_else(lost)?, bound.ok_or_else(lost)?)
        };
        // SAFETY: the chunk is valid; DuckDB has flattened its vectors, whose types are those that were bound, as that of the
        // output is.
        unsafe {
            let vector = |place: &usize| duckdb_data_chunk_get_vector(input, *place as idx_t);
            let features: Vec<_> = bound.places.iter().map(vector).collect();
            bound.score(state, &features, duckdb_data_chunk_get_size(input) as usize, output)
        }
    };
    // SAFETY: as said there; DuckDB calls.
    let result = unsafe { written(work) };
    // SAFETY: the info is valid for the time of the callback.
    unsafe { report(info, duckdb_scalar_function_set_error, result) };
}

pub unsafe extern "C" fn drop_function(data: *mut c_void) {
    // SAFETY: the extra info is what was registered, and DuckDB drops it once.
    unsafe { dropped::<Registered>(data) };
}
