//! `SELECT sqlinfer_refresh()`, `CALL sqlinfer_refresh()`: functions of the models that were registered since the extension was
//! loaded. Both answer how many there are.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use libduckdb_sys::*;

use super::catalogue::drop_instance;
use super::functions::{register_typed, registrar};
use crate::core::error::{Code, Error, Result};
use crate::host::duckdb::connection::{Connection, registered};
use crate::host::duckdb::context::Context;
use crate::host::duckdb::errors::report;
use crate::host::duckdb::instance::Instance;
use crate::host::duckdb::output::plain;
use crate::host::duckdb::types::{LogicalType, c_text};
use crate::host::duckdb::writing::{self, Places, Write, Writes, written};
use crate::sys::caught::{dropped, guard};
use crate::sys::tensor::Buffer;

const NAME: &str = "sqlinfer_refresh";

pub fn register(connection: &Connection, instance: &Arc<Instance>) -> Result<()> {
    let count = LogicalType::id(DUCKDB_TYPE_DUCKDB_TYPE_BIGINT);
    let name = c_text(NAME);
    // SAFETY: all arguments are valid and copied; the functions are ours and are destroyed once. Each owns its extra info.
    let states = unsafe {
        let mut scalar = duckdb_create_scalar_function();
        let extra = Box::into_raw(Box::new(instance.clone()));
        duckdb_scalar_function_set_extra_info(scalar, extra.cast(), Some(drop_instance));
        duckdb_scalar_function_set_name(scalar, name.as_ptr());
        duckdb_scalar_function_set_return_type(scalar, count.0);
        duckdb_scalar_function_set_volatile(scalar); // it is not computed while a statement is only planned
        duckdb_scalar_function_set_bind(scalar, Some(bind));
        duckdb_scalar_function_set_init(scalar, Some(init));
        duckdb_scalar_function_set_function(scalar, Some(execute));
        let scalar_state = duckdb_register_scalar_function(connection.0, scalar);
        duckdb_destroy_scalar_function(&mut scalar);

        let mut table = duckdb_create_table_function();
        let extra = Box::into_raw(Box::new(instance.clone()));
        duckdb_table_function_set_extra_info(table, extra.cast(), Some(drop_instance));
        duckdb_table_function_set_name(table, name.as_ptr());
        duckdb_table_function_set_bind(table, Some(bind_table));
        duckdb_table_function_set_init(table, Some(init_table));
        duckdb_table_function_set_function(table, writing::table(execute_table));
        let table_state = duckdb_register_table_function(connection.0, table);
        duckdb_destroy_table_function(&mut table);
        [scalar_state, table_state]
    };
    states.into_iter().try_for_each(|state| registered(state, NAME))
}

fn refresh(instance: &Arc<Instance>, context: &Context) -> Result<i64> {
    instance.take(context)?;
    let cannot = || {
        Error::of(
            Code::Engine,
            format!("{NAME}: this DuckDB does not let an extension add functions; open the database again"),
        )
    };
    let _one = instance.refreshing();
    let add = |database| {
        let connection = Connection::open(database)?;
        let registrar = registrar(&connection, database, instance)?;
        Ok(register_typed(&*registrar, instance, &connection.functions()) as i64)
    };
    instance.database.and_then(|database| database.with(context, add)).unwrap_or_else(|| Err(cannot()))
}

/// # Safety
/// `data` must be null or the instance that was registered.
unsafe fn registered_instance<'a>(data: *mut c_void) -> Result<&'a Arc<Instance>> {
    // SAFETY: promised by the caller.
    unsafe { data.cast::<Arc<Instance>>().as_ref() }.ok_or_else(|| Error::new("no instance".to_string()))
}

unsafe extern "C" fn bind(info: duckdb_bind_info) {
    let _ = guard(|| {
        // SAFETY: DuckDB takes the instance over, copies it by `copy_instance` and drops it by `drop_instance`.
        unsafe {
            let instance = registered_instance(duckdb_scalar_function_bind_get_extra_info(info))?.clone();
            duckdb_scalar_function_set_bind_data(info, Box::into_raw(Box::new(instance)).cast(), Some(drop_instance));
            duckdb_scalar_function_set_bind_data_copy(info, Some(copy_instance));
        }
        Ok(())
    });
}

unsafe extern "C" fn copy_instance(data: *mut c_void) -> *mut c_void {
    // SAFETY: the data was made by `bind` or here, and is alive.
    let copied = guard(|| Ok(Box::new(unsafe { registered_instance(data) }?.clone())));
    copied.map_or(std::ptr::null_mut(), |instance| Box::into_raw(instance).cast())
}

unsafe extern "C" fn init(info: duckdb_init_info) {
    let result = guard(|| {
        let mut context = std::ptr::null_mut();
        // SAFETY: info and out-pointer are valid; the bind data is the instance that `bind` set.
        let instance = unsafe {
            duckdb_scalar_function_init_get_client_context(info, &mut context);
            registered_instance(duckdb_scalar_function_init_get_bind_data(info))
        };
        let count = Box::new(refresh(instance?, &Context(context))?);
        // SAFETY: DuckDB takes the count over and drops it by `drop_count`.
        unsafe { duckdb_scalar_function_init_set_state(info, Box::into_raw(count).cast(), Some(drop_count)) };
        Ok(())
    });
    // SAFETY: the info is valid for the time of the callback.
    unsafe { report(info, duckdb_scalar_function_init_set_error, result) };
}

unsafe extern "C" fn drop_count(data: *mut c_void) {
    // SAFETY: the data was made by `init`, and DuckDB drops it once.
    unsafe { dropped::<i64>(data) };
}

unsafe extern "C" fn execute(info: duckdb_function_info, input: duckdb_data_chunk, output: duckdb_vector) {
    let _ = guard(|| {
        // SAFETY: the state is the count that `init` set; the output has room for the rows.
        unsafe {
            if let Some(count) = duckdb_scalar_function_get_state(info).cast::<i64>().as_ref() {
                let rows = duckdb_data_chunk_get_size(input) as usize;
                (0..rows).for_each(|row| duckdb_vector_get_data(output).cast::<i64>().add(row).write(*count));
            }
        }
        Ok(())
    });
}

struct Counted {
    count: i64,
    is_told: AtomicBool,
}

/// A CALL is bound where it runs.
unsafe extern "C" fn bind_table(info: duckdb_bind_info) {
    let result = guard(|| {
        let mut context = std::ptr::null_mut();
        // SAFETY: info and out-pointer are valid; the extra info is the instance that was registered.
        let instance = unsafe {
            duckdb_table_function_get_client_context(info, &mut context);
            registered_instance(duckdb_bind_get_extra_info(info))
        };
        let counted = Counted { count: refresh(instance?, &Context(context))?, is_told: AtomicBool::new(false) };
        let count = LogicalType::id(DUCKDB_TYPE_DUCKDB_TYPE_BIGINT);
        // SAFETY: the info is valid, name and type are copied; DuckDB takes the data over and drops it once.
        unsafe {
            duckdb_bind_add_result_column(info, c"new_functions".as_ptr(), count.0);
            duckdb_bind_set_bind_data(info, Box::into_raw(Box::new(counted)).cast(), Some(drop_counted));
        }
        Ok(())
    });
    // SAFETY: the info is valid for the time of the callback.
    unsafe { report(info, duckdb_bind_set_error, result) };
}

unsafe extern "C" fn drop_counted(data: *mut c_void) {
    // SAFETY: the data was made by `bind_table`, and DuckDB drops it once.
    unsafe { dropped::<Counted>(data) };
}

unsafe extern "C" fn init_table(info: duckdb_init_info) {
    let _ = guard(|| {
        // SAFETY: the bind data is what `bind_table` set; every execution starts again, on one thread.
        unsafe {
            if let Some(counted) = duckdb_init_get_bind_data(info).cast::<Counted>().as_ref() {
                counted.is_told.store(false, Ordering::Relaxed);
            }
            duckdb_init_set_max_threads(info, 1);
        }
        Ok(())
    });
}

unsafe extern "C-unwind" fn execute_table(info: duckdb_function_info, output: duckdb_data_chunk) {
    let work = || {
        // SAFETY: the bind data is what `bind_table` set; the chunk has one column.
        let (counted, vector) = unsafe {
            let counted = duckdb_function_get_bind_data(info).cast::<Counted>().as_ref();
            (
                counted.ok_or_else(|| Error::new("nothing was bound".to_string()))?,
                duckdb_data_chunk_get_vector(output, 0),
            )
        };
        let counts = if counted.is_told.swap(true, Ordering::Relaxed) { vec![] } else { vec![counted.count] };
        let rows = counts.len();
        let step = Write::Values(vector, plain(Buffer::I64(counts), rows)?, Places::Range(0, rows));
        Ok(Writes { steps: vec![step], chunk: Some((output, rows)) })
    };
    // SAFETY: the chunk has room for a row; DuckDB calls.
    let result = unsafe { written(work) };
    // SAFETY: the info is valid for the time of the callback.
    unsafe { report(info, duckdb_function_set_error, result) };
}
