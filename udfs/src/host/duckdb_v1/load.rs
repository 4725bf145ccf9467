//! What happens when the extension is loaded.

use std::collections::HashSet;
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use libduckdb_sys::*;

use super::catalogue::{self, Listed};
use super::layout::Layout;
use super::{aggregates, functions, refresh, table};
use crate::core::decimal::round_in_parts;
use crate::core::error::Result;
use crate::host::duckdb::connection::Connection;
use crate::host::duckdb::context::{HOME, Value};
use crate::host::duckdb::errors::told;
use crate::host::duckdb::instance::{Instance, Layouts, Typing, given};
use crate::host::duckdb::layout::{DatabaseLayout, TransactionLayout, interrupt_flag};
use crate::host::duckdb::types::{LogicalType, c_text};
use crate::host::duckdb::version::is_duckdb_1;
use crate::host::duckdb_v2;
use crate::sys::caught::guard;
use crate::sys::library;

/// Register everything on the database that loads the extension. Called again, under another name, it registers what is
/// new in the folder of models.
///
/// # Safety
/// `info` and `access` must be those that DuckDB gives to the entry point.
pub unsafe fn load(info: duckdb_extension_info, access: *const duckdb_extension_access) -> bool {
    let result = guard(|| {
        // SAFETY: promised by the caller.
        if !unsafe { table::take(info, access) }? {
            return Ok(false); // DuckDB has set the error
        }
        // SAFETY: promised by the caller; the database is lent for the time of the call.
        let database = unsafe { (*access).get_database.and_then(|get| get(info).as_ref()) };
        let Some(database) = database else { return Ok(false) };
        library::switch_telemetry_off();
        round_in_parts(is_duckdb_1());
        // SAFETY: as above.
        let function = unsafe { (*access).get_api }.map_or(ptr::null(), |get| get as *const c_void);
        register(&Connection::open(*database)?, *database, function)?;
        Ok(true)
    });
    result.unwrap_or_else(|error| {
        // SAFETY: promised by the caller.
        if let Some(set_error) = unsafe { (*access).set_error } {
            // SAFETY: as above; DuckDB copies the text.
            unsafe { set_error(info, told(&error).as_ptr()) };
        }
        false
    })
}

/// `function`: one of DuckDB's own.
fn register(connection: &Connection, database: duckdb_database, function: *const c_void) -> Result<()> {
    let given = given(|function| connection.has(function));
    let is_new = given.as_ref().is_some_and(|given| given.is_new);
    let known = if is_new { HashSet::new() } else { connection.functions() };
    let instance = match known.contains("sqlinfer_version").then(|| instance_of(connection)).flatten() {
        Some(instance) => instance,
        None => Arc::new(Instance::new(given.clone(), layouts(connection, database, function))),
    };
    let [home, onnxruntime, operators] = given.unwrap_or_default().texts;
    register_setting(connection, HOME, "folder of the models of sqlinfer", home);
    let description = "path of libonnxruntime, which sqlinfer runs models with";
    register_setting(connection, library::SETTING, description, onnxruntime);
    let description = "path of a library of operators that ONNX Runtime itself has not";
    register_setting(connection, library::OPERATORS_SETTING, description, operators);
    for listed in Listed::all().filter(|listed| !known.contains(listed.name())) {
        let is_a_call = matches!(listed, Listed::Call(_));
        if !is_a_call || instance.typing.is_ok() {
            catalogue::register(connection, listed, &instance)?;
        }
    }
    if !known.contains("sqlinfer_version") {
        catalogue::register_version(connection, &instance)?;
        aggregates::register(connection, &instance)?;
    }
    if !known.contains("sqlinfer_refresh") {
        refresh::register(connection, &instance)?;
    }
    functions::register(connection, database, &instance, &known)
}

fn layouts(connection: &Connection, database: duckdb_database, function: *const c_void) -> Layouts {
    let typing = match is_duckdb_1() {
        true => Layout::find(connection).map(|layout| Box::new(layout) as Box<dyn Typing>),
        false => duckdb_v2::Host::find(function, database, connection).map(|host| Box::new(host) as Box<dyn Typing>),
    };
    Layouts {
        interrupt_flag: interrupt_flag(connection),
        typing,
        database: DatabaseLayout::find(database, connection),
        transaction: TransactionLayout::find(connection),
    }
}

/// What our functions in this database share; the connection has it from one of them.
fn instance_of(connection: &Connection) -> Option<Arc<Instance>> {
    // SAFETY: connection and query are valid, no result is asked for.
    unsafe { duckdb_query(connection.0, c"SELECT sqlinfer_version()".as_ptr(), ptr::null_mut()) };
    Instance::last_bound()
}

fn register_setting(connection: &Connection, name: &str, description: &str, value: Option<String>) {
    let text = LogicalType::id(DUCKDB_TYPE_DUCKDB_TYPE_VARCHAR);
    let (name, description) = (c_text(name), c_text(description));
    // SAFETY: the text is copied.
    let value = value.map(|value| Value(unsafe { duckdb_create_varchar(c_text(&value).as_ptr()) }));
    // SAFETY: all arguments are valid and copied; the option is ours and is destroyed once. A setting that is there
    // already is refused, and stays.
    unsafe {
        let mut option = duckdb_create_config_option();
        duckdb_config_option_set_name(option, name.as_ptr());
        duckdb_config_option_set_type(option, text.0);
        duckdb_config_option_set_description(option, description.as_ptr());
        if let Some(value) = &value {
            duckdb_config_option_set_default_value(option, value.0);
        }
        duckdb_register_config_option(connection.0, option);
        duckdb_destroy_config_option(&mut option);
    }
}
