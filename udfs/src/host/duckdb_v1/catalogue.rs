//! `sqlinfer_models()` and what else lists models, and `sqlinfer_version()`.

use std::ffi::{CStr, c_void};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use libduckdb_sys::*;

use super::table::API_VERSION;
use crate::core::calls;
use crate::core::catalogue::{self, Table};
use crate::core::error::{Error, Result, no_model_named, no_table};
use crate::core::reference::Reference;
use crate::core::sqltype::{Plain, SqlType};
use crate::host::duckdb::connection::{Connection, registered};
use crate::host::duckdb::context::{Binding, Context, Value};
use crate::host::duckdb::errors::report;
use crate::host::duckdb::instance::Instance;
use crate::host::duckdb::output::{plain, repeated};
use crate::host::duckdb::types::{LogicalType, c_text};
use crate::host::duckdb::writing::{self, Places, Values, Write, Writes, written};
use crate::sys::caught::{dropped, guard};
use crate::sys::cpu;
use crate::sys::library::Libraries;
use crate::sys::tensor::{Buffer, Texts};

/// A table function as it was registered.
pub struct Function {
    pub listed: Listed,
    pub instance: Arc<Instance>,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Listed {
    Models,
    /// Of the model that is the argument, or, where that is NULL, of all: DuckDB's stable API gives a table function one
    /// number of arguments.
    Versions,
    /// Of the model that is the argument; so are the functions.
    Features,
    Functions,
    /// Nothing: who takes a call for a table is told how it is written.
    Call(&'static str),
}

impl Listed {
    pub fn all() -> impl Iterator<Item = Listed> {
        let calls = calls::typed().map(|call| Listed::Call(call.name));
        let tables = [Listed::Models, Listed::Versions, Listed::Features, Listed::Functions];
        tables.into_iter().chain(calls)
    }

    /// Texts, as many.
    pub fn parameters(self) -> usize {
        match self {
            Listed::Models => 0,
            Listed::Versions | Listed::Features | Listed::Functions => 1,
            Listed::Call(_) => 2,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Listed::Models => "sqlinfer_models",
            Listed::Versions => "sqlinfer_versions",
            Listed::Features => "sqlinfer_features",
            Listed::Functions => "sqlinfer_functions",
            Listed::Call(call) => call,
        }
    }
}

pub fn register(connection: &Connection, listed: Listed, instance: &Arc<Instance>) -> Result<()> {
    let (name, text) = (c_text(listed.name()), LogicalType::id(DUCKDB_TYPE_DUCKDB_TYPE_VARCHAR));
    // SAFETY: all arguments are valid and copied; the function is ours and is destroyed once. It owns its extra info.
    let state = unsafe {
        let mut function = duckdb_create_table_function();
        let extra = Box::into_raw(Box::new(Function { listed, instance: instance.clone() }));
        duckdb_table_function_set_extra_info(function, extra.cast(), Some(drop_function));
        duckdb_table_function_set_name(function, name.as_ptr());
        (0..listed.parameters()).for_each(|_| duckdb_table_function_add_parameter(function, text.0));
        duckdb_table_function_set_bind(function, Some(bind));
        duckdb_table_function_set_init(function, Some(init));
        duckdb_table_function_set_function(function, writing::table(execute));
        let state = duckdb_register_table_function(connection.0, function);
        duckdb_destroy_table_function(&mut function);
        state
    };
    registered(state, listed.name())
}

pub fn register_version(connection: &Connection, instance: &Arc<Instance>) -> Result<()> {
    let text = LogicalType::of(&text_type())?;
    // SAFETY: all arguments are valid and copied; the function is ours and is destroyed once. It owns its extra info.
    let state = unsafe {
        let mut function = duckdb_create_scalar_function();
        let extra = Box::into_raw(Box::new(instance.clone()));
        duckdb_scalar_function_set_extra_info(function, extra.cast(), Some(drop_instance));
        duckdb_scalar_function_set_name(function, c"sqlinfer_version".as_ptr());
        duckdb_scalar_function_set_return_type(function, text.0);
        duckdb_scalar_function_set_bind(function, Some(bind_version));
        duckdb_scalar_function_set_function(function, writing::scalar(execute_version));
        let state = duckdb_register_scalar_function(connection.0, function);
        duckdb_destroy_scalar_function(&mut function);
        state
    };
    registered(state, "sqlinfer_version")
}

struct Listing {
    table: Table,
    next: AtomicUsize,
}

impl Listing {
    fn len(&self) -> usize {
        self.table.first().map_or(0, |(_, values)| match values {
            catalogue::Values::Texts(values) => values.len(),
            catalogue::Values::Integers(values) => values.len(),
            catalogue::Values::Doubles(values) => values.len(),
            catalogue::Values::Lists(values) => values.len(),
        })
    }
}

unsafe extern "C" fn bind(info: duckdb_bind_info) {
    let result = guard(|| {
        let mut context = std::ptr::null_mut();
        // SAFETY: the info is valid and the out-pointer too; the extra info is the Function that was registered.
        let function = unsafe {
            duckdb_table_function_get_client_context(info, &mut context);
            duckdb_bind_get_extra_info(info).cast::<Function>().as_ref()
        };
        let function = function.ok_or_else(|| Error::new("no function".to_string()))?;
        let context = Context(context);
        let registry = &function.instance.take(&context)?.registry;
        // SAFETY: the info is valid; the value is ours, and null where there is none.
        let given = || Value(unsafe { duckdb_bind_get_parameter(info, 0) }).text();
        let reference = || Reference::parse(&given().ok_or_else(|| no_model_named(function.listed.name()))?);
        let table = match function.listed {
            Listed::Models => catalogue::models(registry)?,
            Listed::Versions => {
                let reference = given().map(|text| Reference::parse(&text)).transpose()?;
                catalogue::versions(registry, reference.as_ref())?
            }
            Listed::Features => catalogue::features(registry, &reference()?)?,
            Listed::Functions => catalogue::functions(registry, &reference()?)?,
            Listed::Call(call) => return Err(no_table(call, &given().unwrap_or_default())),
        };
        for (name, values) in &table {
            let sql_type = match values {
                catalogue::Values::Texts(_) => "VARCHAR",
                catalogue::Values::Integers(_) => "BIGINT",
                catalogue::Values::Doubles(_) => "DOUBLE",
                catalogue::Values::Lists(_) => "VARCHAR[]",
            };
            let logical = LogicalType::of(&SqlType::parse(sql_type)?)?;
            // SAFETY: the info is valid, name and type are copied.
            unsafe { duckdb_bind_add_result_column(info, c_text(name).as_ptr(), logical.0) };
        }
        let listing = Listing { table, next: AtomicUsize::new(0) };
        // SAFETY: DuckDB takes the data over and drops it once.
        unsafe { duckdb_bind_set_bind_data(info, Box::into_raw(Box::new(listing)).cast(), Some(drop_listing)) };
        Ok(())
    });
    // SAFETY: the info is valid for the time of the callback.
    unsafe { report(info, duckdb_bind_set_error, result) };
}

unsafe extern "C" fn drop_listing(data: *mut c_void) {
    // SAFETY: the data was made by `bind`, and DuckDB drops it once.
    unsafe { dropped::<Listing>(data) };
}

unsafe extern "C" fn drop_function(data: *mut c_void) {
    // SAFETY: the data is the Function that was registered, and DuckDB drops it once.
    unsafe { dropped::<Function>(data) };
}

unsafe extern "C" fn init(info: duckdb_init_info) {
    let result = guard(|| {
        // SAFETY: the bind data is the Listing that `bind` set; every execution starts again, on one thread.
        unsafe {
            if let Some(listing) = duckdb_init_get_bind_data(info).cast::<Listing>().as_ref() {
                listing.next.store(0, Ordering::Relaxed);
            }
            duckdb_init_set_max_threads(info, 1);
        }
        Ok(())
    });
    // SAFETY: the info is valid for the time of the callback.
    unsafe { report(info, duckdb_init_set_error, result) };
}

pub unsafe extern "C" fn drop_instance(data: *mut c_void) {
    // SAFETY: the data is the instance that was registered, and DuckDB drops it once.
    unsafe { dropped::<Arc<Instance>>(data) };
}

unsafe extern "C-unwind" fn execute(info: duckdb_function_info, output: duckdb_data_chunk) {
    let work = || {
        // SAFETY: the bind data is the Listing that `bind` set.
        let listing = unsafe { duckdb_function_get_bind_data(info).cast::<Listing>().as_ref() };
        let listing = listing.ok_or_else(|| Error::new("nothing was bound".to_string()))?;
        // SAFETY: it takes nothing.
        let most = unsafe { duckdb_vector_size() } as usize;
        let start = listing.next.fetch_add(most, Ordering::Relaxed).min(listing.len());
        let rows = start..(start + most).min(listing.len());
        // SAFETY: the chunk has the columns of the table.
        let column = |column: usize| unsafe { duckdb_data_chunk_get_vector(output, column as idx_t) };
        let columns = listing.table.iter().enumerate();
        let steps =
            columns.map(|(i, (_, values))| steps(values, rows.clone(), column(i))).collect::<Result<Vec<_>>>()?;
        Ok(Writes { steps: steps.into_iter().flatten().collect(), chunk: Some((output, rows.len())) })
    };
    // SAFETY: the chunk has the columns of the table and room for a vector of rows; DuckDB calls.
    let result = unsafe { written(work) };
    // SAFETY: the info is valid for the time of the callback.
    unsafe { report(info, duckdb_function_set_error, result) };
}

/// How the rows are written into a column.
fn steps(values: &catalogue::Values, rows: Range<usize>, column: duckdb_vector) -> Result<Vec<Write>> {
    let whole = |buffer| Write::Values(column, buffer, Places::Range(0, rows.len()));
    let nulls = |is_list, held: &mut dyn Iterator<Item = bool>| Write::Nulls {
        vector: column,
        is_list,
        rows: (0..).zip(held).filter(|(_, held)| !held).map(|(row, _)| row).collect(),
    };
    Ok(match values {
        catalogue::Values::Texts(all) => vec![whole(plain(Buffer::Text(Texts::of(&all[rows.clone()])), rows.len())?)],
        catalogue::Values::Integers(all) => {
            let all = &all[rows.clone()];
            let values = all.iter().map(|value| value.unwrap_or_default()).collect();
            vec![whole(plain(Buffer::I64(values), all.len())?), nulls(false, &mut all.iter().map(Option::is_some))]
        }
        catalogue::Values::Doubles(all) => {
            let all = &all[rows.clone()];
            let values = all.iter().map(|value| value.unwrap_or_default()).collect();
            vec![whole(plain(Buffer::F64(values), all.len())?), nulls(false, &mut all.iter().map(Option::is_some))]
        }
        catalogue::Values::Lists(all) => {
            let all = &all[rows];
            let lists = all.iter().enumerate().map(|(row, texts)| {
                let texts = texts.as_deref().unwrap_or_default();
                let items = Box::new(plain(Buffer::Text(Texts::of(texts)), texts.len())?);
                Ok(Write::Values(column, Values::List(texts.len(), items), Places::Range(row, 1)))
            });
            let nulls = nulls(true, &mut all.iter().map(Option::is_some));
            lists.chain([Ok(nulls)]).collect::<Result<_>>()?
        }
    })
}

/// The text of sqlinfer_version() is made when the call is bound, where the settings are known.
unsafe extern "C" fn bind_version(info: duckdb_bind_info) {
    let result = guard(|| {
        // SAFETY: DuckDB calls with a valid info; the extra info is the instance that was registered.
        let (binding, instance) = unsafe {
            let instance = duckdb_scalar_function_bind_get_extra_info(info).cast::<Arc<Instance>>();
            (Binding::new(info), instance.as_ref().ok_or_else(|| Error::new("no instance".to_string()))?)
        };
        instance.was_bound();
        let text = Box::new(version(instance, &instance.take(binding.context())?.libraries));
        // SAFETY: DuckDB takes the text over, copies it by `copy_text` and drops it by `drop_text`.
        unsafe {
            duckdb_scalar_function_set_bind_data(info, Box::into_raw(text).cast(), Some(drop_text));
            duckdb_scalar_function_set_bind_data_copy(info, Some(copy_text));
        }
        Ok(())
    });
    // SAFETY: the info is valid for the time of the callback.
    unsafe { report(info, duckdb_scalar_function_bind_set_error, result) };
}

unsafe extern "C" fn drop_text(data: *mut c_void) {
    // SAFETY: the data was made by `bind_version` or `copy_text`, and DuckDB drops it once.
    unsafe { dropped::<String>(data) };
}

unsafe extern "C" fn copy_text(data: *mut c_void) -> *mut c_void {
    // SAFETY: the data was made by `bind_version` or `copy_text` and is alive.
    let copied = guard(|| Ok(Box::new(unsafe { &*data.cast::<String>() }.clone())));
    copied.map_or(std::ptr::null_mut(), |text| Box::into_raw(text).cast())
}

unsafe extern "C-unwind" fn execute_version(
    info: duckdb_function_info,
    input: duckdb_data_chunk,
    output: duckdb_vector,
) {
    let work = || {
        // SAFETY: the bind data is the text that `bind_version` set; the chunk is valid.
        let (text, rows) = unsafe {
            let text = duckdb_scalar_function_get_bind_data(info).cast::<String>().as_ref();
            (text.ok_or_else(|| Error::new("nothing was bound".to_string()))?, duckdb_data_chunk_get_size(input))
        };
        repeated(output, text, rows as usize)
    };
    // SAFETY: the output has room for the rows; DuckDB calls.
    let result = unsafe { written(work) };
    // SAFETY: the info is valid for the time of the callback.
    unsafe { report(info, duckdb_scalar_function_set_error, result) };
}

fn version(instance: &Instance, libraries: &Libraries) -> String {
    // SAFETY: the text is static.
    let host = unsafe { CStr::from_ptr(duckdb_library_version()) }.to_string_lossy();
    let onnx = match libraries.runtime() {
        Ok(runtime) => {
            format!("ONNX Runtime {} (CPU kernels: {})", runtime.version(), cpu::vectors().to_string_lossy())
        }
        Err(error) => format!("ONNX Runtime is not loaded: {error}"),
    };
    let sqlinfer = env!("CARGO_PKG_VERSION");
    let beside = instance.typing.as_ref().ok().and_then(|typing| typing.api());
    let functions = beside.map_or(String::new(), |api| format!(" and {api}"));
    let api = API_VERSION;
    format!("sqlinfer {sqlinfer} (native engine), DuckDB {host}, C API {api}{functions}, {onnx}")
}

fn text_type() -> SqlType {
    SqlType::Plain(Plain::Varchar)
}
