//! Functions are registered over API v2.

use std::ptr;

use libduckdb_sys::{DUCKDB_TYPE_DUCKDB_TYPE_ANY, duckdb_database};

use super::api::{self, Api, Bind, Execute, Init, Opaque, Resolve, Text};
use super::call;
use super::handles::lent;
use super::report::destroyed;
use crate::core::error::Result;
use crate::host::duckdb::connection::refused;
use crate::host::duckdb::instance::{Answer, Arity, Function, Registrar};
use crate::host::duckdb::types::LogicalType;

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

impl Registrar for Connection {
    /// A function of this API takes any number of features.
    fn add(&self, function: Function, _: Arity) -> Result<()> {
        let answer = match &function.answer {
            Answer::Fixed(sql_type) => Some(LogicalType::of(sql_type)?),
            Answer::Model => None,
        };
        let resolve: Option<Resolve> = if answer.is_none() { Some(call::resolve) } else { None };
        let told =
            Told { name: &function.name.clone(), help: &function.help.clone(), takes_model: function.first() == 1 };
        let callbacks = Callbacks { resolve, bind: Some(call::bind), init: Some(call::init), execute: call::execute };
        self.register(&told, answer, Box::new(function), callbacks)
    }
}

impl Connection {
    pub fn open(api: &'static Api, database: duckdb_database) -> Result<Connection> {
        let mut connection = ptr::null_mut();
        // SAFETY: the database is valid, and begins as an instance does; the out-pointer is valid too.
        let code = unsafe { (api.connection_create)(database, &mut connection, ptr::null_mut()) };
        api::succeeded(code).map(|()| Connection { api, connection })
    }

    /// A function of any features, by position or by name, after the model's name where it takes one.
    pub fn register<T>(
        &self,
        told: &Told,
        answer: Option<LogicalType>,
        data: Box<T>,
        callbacks: Callbacks,
    ) -> Result<()> {
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
pub struct Told<'a> {
    pub name: &'a str,
    pub help: &'a str,
    /// As its first argument.
    pub takes_model: bool,
}

pub struct Callbacks {
    pub resolve: Option<Resolve>,
    pub bind: Option<Bind>,
    pub init: Option<Init>,
    pub execute: Execute,
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
