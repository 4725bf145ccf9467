//! DuckDB's C API v2: functions that are typed, and told the names of their arguments, when they are bound. All else comes by
//! API v1, in the same library: where the extension enters, settings, tables, and what vectors, types and values hold.
//!
//! DuckDB 2 does not offer the two APIs together. What they hand out are the same objects, and this is what is believed of them:
//!
//! | of API v1 | of API v2 | what for |
//! |---|---|---|
//! | a database | an instance: both begin with the pointer to their DuckDB | `Host::connect` |
//! | a context points to a `ClientContext &` | a context has it behind its table of virtual functions | `handles::context` |
//! | a type points to one word | that word is the type | `handles::taken`, `handles::lent` |
//! | a vector, a value | the same | `call` |
//!
//! So says DuckDB's source (`src/main/capi/v1`, and `src/include/duckdb/main/capi_v2/capi_v2_internal.hpp`). The file's footer stays
//! that of API v1, and one file is for all versions: to enter by API v2, it would have to be stamped for each.
//!
//! Before anything is believed: this version of DuckDB has been tried (`VERSIONS`), has all the functions, and at LOAD a function of
//! ours is bound and run, and finds exactly what it must find. Else API v1 serves alone, and errors say what it has not.

mod api;
mod call;
mod handles;
mod probe;

use std::ffi::c_void;
use std::ptr;

use libduckdb_sys::{DUCKDB_TYPE_DUCKDB_TYPE_ANY, duckdb_database};

use self::api::{Api, Bind, Execute, Init, Opaque, Resolve, Text};
use self::handles::lent;
use super::duckdb::call::{Answer, Function};
use super::duckdb::layout::{fixed_types, version};
use super::duckdb::types::{LogicalType, without_nul};
use super::duckdb::{Connection as ConnectionV1, dropped, refused};
use crate::core::error::Result;

const VERSIONS: [&str; 2] = ["v2.0.0", "v2.0.1"];

/// A DuckDB whose API v2 is known.
#[derive(Clone, Copy)]
pub struct Host(&'static Api);

impl Host {
    /// Raises what is said of a DuckDB where API v1 serves alone. `function` is one of its own.
    pub fn find(function: *const c_void, database: duckdb_database, connection: &ConnectionV1) -> Result<Host> {
        let version = version();
        let known = VERSIONS.contains(&version.as_str()).then(|| api::find(function)).flatten().map(Host);
        let host = known.filter(|host| probe::finds_what_it_must(*host, database, connection));
        host.ok_or_else(|| fixed_types(&version))
    }

    pub fn connect(self, database: duckdb_database) -> Result<Connection> {
        let mut connection = ptr::null_mut();
        // SAFETY: the database is valid, and begins as an instance does; the out-pointer is valid too.
        let code = unsafe { (self.0.connection_create)(database, &mut connection, ptr::null_mut()) };
        api::succeeded(code).map(|()| Connection { api: self.0, connection })
    }
}

/// Functions are registered over one.
pub struct Connection {
    api: &'static Api,
    connection: *mut api::Connection,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the connection is ours and is closed once.
        unsafe { (self.api.connection_destroy)(&mut self.connection) };
    }
}

impl Connection {
    pub fn register(&self, function: Function) -> Result<()> {
        let answer = match &function.answer {
            Answer::Fixed(sql_type) => Some(LogicalType::of(sql_type)?),
            Answer::Model => None,
        };
        let resolve: Option<Resolve> = if answer.is_none() { Some(call::resolve) } else { None };
        let told =
            Told { name: &function.name.clone(), help: &function.help.clone(), takes_model: function.first() == 1 };
        let callbacks = Callbacks { resolve, bind: Some(call::bind), init: Some(call::init), execute: call::execute };
        self.add(&told, answer, Box::new(function), callbacks)
    }

    /// A function of any features, by position or by name, after the model's name where it takes one.
    fn add<T>(&self, told: &Told, answer: Option<LogicalType>, data: Box<T>, callbacks: Callbacks) -> Result<()> {
        let any = LogicalType::id(DUCKDB_TYPE_DUCKDB_TYPE_ANY);
        let parameters = [("model", api::POSITIONAL_ONLY), ("features", api::POSITIONAL_VARIADIC)]
            .into_iter()
            .chain([("named", api::NAMED_VARIADIC)])
            .skip(usize::from(!told.takes_model));
        let made = Made::new(self)?;
        let (api, of, none) = (self.api, made.function, ptr::null_mut());
        let mut data = Opaque { data: Box::into_raw(data).cast(), destroy: destroyed::<T>, equals: None };
        let ok = |code| code == api::NONE;
        // SAFETY: function, signature, types and texts are valid, and copied; the function owns the data once it is set.
        let done = unsafe {
            let owned = ok((api.scalar_function_set_user_data)(of, &mut data, none));
            let (mut signature, mut docs) = (ptr::null_mut(), ptr::null_mut());
            owned
                && ok((api.scalar_function_set_name)(of, &Text::of(told.name), none))
                && ok((api.scalar_function_get_docs)(of, &mut docs, none))
                && ok((api.function_docs_set_description)(docs, &Text::of(told.help), none))
                && ok((api.scalar_function_get_signature)(of, &mut signature, none))
                && parameters.into_iter().all(|(name, kind)| {
                    let name = Text::of(name);
                    ok((api.function_signature_add_parameter)(signature, &name, lent(&any), none.cast(), kind, none))
                })
                && ok((api.function_signature_set_return_type)(signature, lent(answer.as_ref().unwrap_or(&any)), none))
                && ok((api.scalar_function_set_property)(of, api::NULL_HANDLING, api::NULL_HANDLING_SPECIAL, none))
                && callbacks.resolve.is_none_or(|f| ok((api.scalar_function_set_resolve_types_callback)(of, f, none)))
                && callbacks.bind.is_none_or(|f| ok((api.scalar_function_set_bind_callback)(of, f, none)))
                && callbacks.init.is_none_or(|f| ok((api.scalar_function_set_init_callback)(of, f, none)))
                && ok((api.scalar_function_set_exec_callback)(of, callbacks.execute, none))
                && ok((api.connection_register_scalar_function)(self.connection, of, none))
        };
        if done { Ok(()) } else { Err(refused(told.name)) }
    }
}

/// What `duckdb_functions()` says of a function.
struct Told<'a> {
    name: &'a str,
    help: &'a str,
    /// As its first argument.
    takes_model: bool,
}

struct Callbacks {
    resolve: Option<Resolve>,
    bind: Option<Bind>,
    init: Option<Init>,
    execute: Execute,
}

/// A function that is ours to destroy, registered or not.
struct Made {
    api: &'static Api,
    function: *mut api::ScalarFunction,
}

impl Drop for Made {
    fn drop(&mut self) {
        // SAFETY: the function is ours and is destroyed once.
        unsafe { (self.api.scalar_function_destroy)(&mut self.function) };
    }
}

impl Made {
    fn new(connection: &Connection) -> Result<Made> {
        let (api, mut factory, mut function) = (connection.api, ptr::null_mut(), ptr::null_mut());
        // SAFETY: connection, factory and out-pointers are valid; the factory belongs to the connection.
        unsafe {
            api::succeeded((api.connection_get_factory)(connection.connection, &mut factory, ptr::null_mut()))?;
            api::succeeded((api.scalar_function_create)(factory, &mut function, ptr::null_mut()))?;
        }
        Ok(Made { api, function })
    }
}

/// # Safety
/// `data` must be a leaked box of a `T`, and is not used afterwards.
unsafe extern "C" fn destroyed<T>(data: *mut c_void) {
    // SAFETY: promised by the caller.
    unsafe { dropped::<T>(data) };
}

/// Tell DuckDB the error of a callback.
///
/// # Safety
/// `problem` must be that of a running callback.
unsafe fn report(problem: api::Problem, code: api::Code, result: Result<()>) {
    if let (Err(error), Ok(api)) = (result, api::api()) {
        // SAFETY: promised by the caller; the text is copied.
        unsafe {
            (api.error_info_set_code)(*problem, code);
            (api.error_info_set_text)(*problem, &Text::of(&without_nul(&error.0)));
        }
    }
}
