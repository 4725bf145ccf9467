//! DuckDB's C extension API v1: everything that is registered when the extension is loaded.

pub mod call;
mod catalogue;
pub mod context;
mod entry;
pub mod input;
pub mod instance;
pub mod layout;
pub mod output;
mod refresh;
mod scalar;
mod table;
pub mod types;
pub mod writing;

use std::collections::HashSet;
use std::ffi::{CStr, c_void};
use std::ptr;
use std::sync::Arc;

use libduckdb_sys::*;

use self::call::{Answer, Function};
use self::catalogue::Listed;
use self::context::{Context, HOME, Value};
use self::instance::{Instance, Layouts};
use self::layout::{DatabaseLayout, InterruptFlag, Layout, TransactionLayout};
use self::types::{LogicalType, c_text, owned_text};
use super::{duckdb_v2, library};
use crate::core::caught::guard;
use crate::core::decimal::round_in_parts;
use crate::core::error::{Error, Result};
use crate::core::manifest::CALLS;
use crate::core::reference::{DEFAULT, Pointer, Reference};
use crate::core::sqltype::SqlType;

/// What predict('model', …) takes by position on a host that refuses names; rows and lists can be of any width.
const MOST_POSITIONS: usize = 64;

/// What a callback of DuckDB's does to drop data of ours.
///
/// # Safety
/// `data` must be a leaked box of a `T`, and is not used afterwards.
pub unsafe fn dropped<T>(data: *mut c_void) {
    let _ = guard(|| {
        // SAFETY: promised by the caller.
        drop(unsafe { Box::from_raw(data.cast::<T>()) });
        Ok(())
    });
}

/// Register everything on the database that loads the extension. Called again, under another name, it registers what is
/// new in the folder of models.
///
/// # Safety
/// `info` and `access` must be those that DuckDB gives to the entry point.
unsafe fn load(info: duckdb_extension_info, access: *const duckdb_extension_access) -> bool {
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
            unsafe { set_error(info, c_text(&error.0).as_ptr()) };
        }
        false
    })
}

/// What a function's type, and the names of its arguments, are known by when it is bound.
pub enum Typing {
    Layout(Layout),
    Api2(duckdb_v2::Host),
}

pub struct Connection(duckdb_connection);

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the connection is ours and is closed once.
        unsafe { duckdb_disconnect(&mut self.0) };
    }
}

impl Connection {
    fn open(database: duckdb_database) -> Result<Connection> {
        let mut connection = ptr::null_mut();
        // SAFETY: the database is valid and the out-pointer too.
        if unsafe { duckdb_connect(database, &mut connection) } == DuckDBSuccess {
            return Ok(Connection(connection));
        }
        Err(Error("sqlinfer: DuckDB gives no connection".to_string()))
    }

    pub fn context(&self) -> Context {
        let mut context = ptr::null_mut();
        // SAFETY: the connection is valid and the out-pointer too.
        unsafe { duckdb_connection_get_client_context(self.0, &mut context) };
        Context(context)
    }

    /// Whether there is a function of no arguments. It is not called.
    fn has(&self, function: &str) -> bool {
        let query = c_text(&format!("DESCRIBE SELECT \"{function}\"()"));
        // SAFETY: connection and query are valid, no result is asked for.
        unsafe { duckdb_query(self.0, query.as_ptr(), ptr::null_mut()) == DuckDBSuccess }
    }

    /// The functions of ours that are there already. DuckDB takes long to list all that it has.
    fn functions(&self) -> HashSet<String> {
        let query = c"SELECT DISTINCT function_name FROM duckdb_functions() WHERE regexp_matches(function_name, \
                      '^(predict|infer|sqlinfer_)')";
        let mut names = HashSet::new();
        // SAFETY: connection, query and result are valid; the result is destroyed once, the texts are ours.
        unsafe {
            let mut result: duckdb_result = std::mem::zeroed();
            if duckdb_query(self.0, query.as_ptr(), &mut result) == DuckDBSuccess {
                for row in 0..duckdb_row_count(&mut result) {
                    names.insert(owned_text(duckdb_value_varchar(&mut result, 0, row)));
                }
            }
            duckdb_destroy_result(&mut result);
        }
        names
    }

    /// What our functions in this database share; the connection has it from one of them.
    fn instance(&self) -> Option<Arc<Instance>> {
        // SAFETY: connection and query are valid, no result is asked for.
        unsafe { duckdb_query(self.0, c"SELECT sqlinfer_version()".as_ptr(), ptr::null_mut()) };
        Instance::last_bound()
    }
}

/// `function`: one of DuckDB's own.
fn register(connection: &Connection, database: duckdb_database, function: *const c_void) -> Result<()> {
    let given = instance::given(|function| connection.has(function));
    let is_new = given.as_ref().is_some_and(|given| given.is_new);
    let known = if is_new { HashSet::new() } else { connection.functions() };
    let instance = match known.contains("sqlinfer_version").then(|| connection.instance()).flatten() {
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
            register_table(connection, listed, &instance)?;
        }
    }
    if !known.contains("sqlinfer_version") {
        register_version(connection, &instance)?;
    }
    if !known.contains("sqlinfer_refresh") {
        refresh::register(connection, &instance)?;
    }
    let registry = Registering::open(connection, database, &instance)?;
    for (function, arity) in generic(&instance)? {
        if !known.contains(&function.name) {
            registry.add(function, arity)?;
        }
    }
    registry.typed(&instance, &known);
    Ok(())
}

fn layouts(connection: &Connection, database: duckdb_database, function: *const c_void) -> Layouts {
    let typing = match is_duckdb_1() {
        true => Layout::find(connection).map(Typing::Layout),
        false => duckdb_v2::Host::find(function, database, connection).map(Typing::Api2),
    };
    Layouts {
        interrupt_flag: InterruptFlag::find(connection.0, &connection.context()),
        typing,
        database: DatabaseLayout::find(database, connection),
        transaction: TransactionLayout::find(connection),
    }
}

/// The functions of any model, which is their first argument.
fn generic(instance: &Arc<Instance>) -> Result<Vec<(Function, Arity)>> {
    let function = |name: &str, call, answer| {
        let arity = if matches!(answer, Answer::Model) { Arity::Any } else { Arity::UpTo(MOST_POSITIONS) };
        let help =
            format!("{call}() of any model, which is named first; then its features, by position or by name, or a row");
        (Function { name: name.to_string(), help, call, answer, reference: None, instance: instance.clone() }, arity)
    };
    let fixed = |name, call, sql_type| Ok(function(name, call, Answer::Fixed(SqlType::parse(sql_type)?)));
    let label = fixed("predict_label", "predict", "VARCHAR")?;
    if instance.typing.is_ok() {
        let model = |call| function(call, call, Answer::Model);
        return Ok(CALLS.into_iter().map(model).chain([label]).collect());
    }
    let proba = fixed("predict_proba", "predict_proba", "MAP(VARCHAR, DOUBLE)")?;
    Ok(vec![fixed("predict", "predict", "DOUBLE")?, label, proba])
}

/// What functions are registered over.
enum Registering<'a> {
    Api1(&'a Connection),
    Api2(duckdb_v2::Connection),
}

impl Registering<'_> {
    fn open<'a>(connection: &'a Connection, database: duckdb_database, instance: &Instance) -> Result<Registering<'a>> {
        match &instance.typing {
            Ok(Typing::Api2(host)) => host.connect(database).map(Registering::Api2),
            _ => Ok(Registering::Api1(connection)),
        }
    }

    fn add(&self, function: Function, arity: Arity) -> Result<()> {
        match self {
            Registering::Api1(connection) => register_function(connection, function, arity),
            Registering::Api2(connection) => connection.register(function),
        }
    }

    /// Functions of each model that the database does not have yet; their number. A folder that cannot be read says so when
    /// a model is asked for; it must not keep the extension from loading, nor may a model whose type this DuckDB has not.
    fn typed(&self, instance: &Arc<Instance>, known: &HashSet<String>) -> usize {
        let all = typed(instance).unwrap_or_default().into_iter();
        let new = all.filter(|(function, _)| !known.contains(&function.name));
        new.filter(|(function, arity)| self.add(function.clone(), *arity).is_ok()).count()
    }
}

/// How many arguments a function takes.
#[derive(Clone, Copy)]
enum Arity {
    Any,
    /// About this many: a host that refuses names then does, which it would take for positions; see README.md.
    About(usize),
    UpTo(usize),
}

/// The typed functions of all models: one for each call of each alias and version.
fn typed(instance: &Arc<Instance>) -> Result<Vec<(Function, Arity)>> {
    let registry = instance.registry();
    let mut functions = Vec::new();
    for name in registry.names()? {
        let aliases = registry.aliases(&name).unwrap_or_default().into_keys().map(Pointer::Alias);
        let versions = registry.versions(&name).unwrap_or_default().into_iter().map(Pointer::Version);
        for pointer in aliases.chain(versions) {
            let public = pointer == Pointer::Alias(DEFAULT.to_string());
            let reference = Reference { name: name.clone(), pointer };
            // a damaged model says so when it is asked for; the others are not to suffer
            let Ok(manifest) = registry.get(&reference) else { continue };
            for call in CALLS {
                let Ok(answer) = manifest.call(call) else { continue };
                let (name, arity) = match call {
                    "predict" if public => (format!("predict_{reference}"), Arity::About(manifest.features.len())),
                    "predict" => (format!("predict_{reference}"), Arity::Any),
                    _ => (format!("{call}({reference})"), Arity::Any),
                };
                let answer = Answer::Fixed(answer.sql_type.clone());
                let reference = Some(reference.clone());
                let features = manifest.shown_features();
                let help = format!("{call}() of the model: {features}, by position or by name, or a row");
                functions.push((Function { name, help, call, answer, reference, instance: instance.clone() }, arity));
            }
        }
    }
    Ok(functions)
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

fn register_table(connection: &Connection, listed: Listed, instance: &Arc<Instance>) -> Result<()> {
    let (name, text) = (c_text(listed.name()), LogicalType::id(DUCKDB_TYPE_DUCKDB_TYPE_VARCHAR));
    // SAFETY: all arguments are valid and copied; the function is ours and is destroyed once. It owns its extra info.
    let state = unsafe {
        let mut function = duckdb_create_table_function();
        let extra = Box::into_raw(Box::new(catalogue::Function { listed, instance: instance.clone() }));
        duckdb_table_function_set_extra_info(function, extra.cast(), Some(catalogue::drop_function));
        duckdb_table_function_set_name(function, name.as_ptr());
        (0..listed.parameters()).for_each(|_| duckdb_table_function_add_parameter(function, text.0));
        duckdb_table_function_set_bind(function, Some(catalogue::bind));
        duckdb_table_function_set_init(function, Some(catalogue::init));
        duckdb_table_function_set_function(function, writing::table(catalogue::execute));
        let state = duckdb_register_table_function(connection.0, function);
        duckdb_destroy_table_function(&mut function);
        state
    };
    registered(state, listed.name())
}

fn register_version(connection: &Connection, instance: &Arc<Instance>) -> Result<()> {
    let text = LogicalType::of(&catalogue::text_type())?;
    // SAFETY: all arguments are valid and copied; the function is ours and is destroyed once. It owns its extra info.
    let state = unsafe {
        let mut function = duckdb_create_scalar_function();
        let extra = Box::into_raw(Box::new(instance.clone()));
        duckdb_scalar_function_set_extra_info(function, extra.cast(), Some(catalogue::drop_instance));
        duckdb_scalar_function_set_name(function, c"sqlinfer_version".as_ptr());
        duckdb_scalar_function_set_return_type(function, text.0);
        duckdb_scalar_function_set_bind(function, Some(catalogue::bind_version));
        duckdb_scalar_function_set_function(function, writing::scalar(catalogue::execute_version));
        let state = duckdb_register_scalar_function(connection.0, function);
        duckdb_destroy_scalar_function(&mut function);
        state
    };
    registered(state, "sqlinfer_version")
}

fn register_function(connection: &Connection, function: Function, arity: Arity) -> Result<()> {
    let name = function.name.clone();
    let counts: Vec<Option<usize>> = match arity {
        Arity::UpTo(most) if refuses_names() => (0..=most).map(Some).collect(),
        Arity::About(features) if refuses_names() => {
            let near = [0, 1, features.saturating_sub(1), features, features + 1, features + 2];
            let few = 0..=12.min(features + 3);
            let mut counts: Vec<usize> = near.into_iter().chain(few).collect();
            counts.sort_unstable();
            counts.dedup();
            counts.into_iter().map(Some).collect()
        }
        _ => vec![None],
    };
    let any = LogicalType::id(DUCKDB_TYPE_DUCKDB_TYPE_ANY);
    let text = LogicalType::id(DUCKDB_TYPE_DUCKDB_TYPE_VARCHAR);
    let made = match &function.answer {
        Answer::Fixed(sql_type) => Arc::new(LogicalType::of(sql_type)?),
        Answer::Model => match &function.instance.typing {
            Ok(Typing::Layout(layout)) => layout.sign.clone(),
            _ => return Err(Error(format!("sqlinfer: {name}() has no type"))),
        },
    };
    let is_typed_when_bound = matches!(function.answer, Answer::Model);
    let c_name = c_text(&name);
    // SAFETY: all arguments are valid and copied; functions and set are ours and are destroyed once. Each function
    // owns its extra info.
    let state = unsafe {
        let mut set = duckdb_create_scalar_function_set(c_name.as_ptr());
        for count in counts {
            let mut overload = duckdb_create_scalar_function();
            duckdb_scalar_function_set_name(overload, c_name.as_ptr());
            // a parameter of a type would be one that is known, and DuckDB would not bind the statement again with its value
            if function.reference.is_none() && !is_typed_when_bound {
                duckdb_scalar_function_add_parameter(overload, text.0);
            }
            match count {
                Some(count) => (0..count).for_each(|_| duckdb_scalar_function_add_parameter(overload, any.0)),
                None => duckdb_scalar_function_set_varargs(overload, any.0),
            }
            duckdb_scalar_function_set_return_type(overload, made.0);
            duckdb_scalar_function_set_special_handling(overload);
            let extra = Box::into_raw(Box::new(function.clone()));
            duckdb_scalar_function_set_extra_info(overload, extra.cast(), Some(scalar::drop_function));
            duckdb_scalar_function_set_bind(overload, Some(scalar::bind));
            duckdb_scalar_function_set_init(overload, Some(scalar::init));
            duckdb_scalar_function_set_function(overload, writing::scalar(scalar::execute));
            duckdb_add_scalar_function_to_set(set, overload);
            duckdb_destroy_scalar_function(&mut overload);
        }
        let state = duckdb_register_scalar_function_set(connection.0, set);
        duckdb_destroy_scalar_function_set(&mut set);
        state
    };
    registered(state, &name)
}

fn registered(state: duckdb_state, name: &str) -> Result<()> {
    if state == DuckDBSuccess {
        return Ok(());
    }
    Err(refused(name))
}

pub fn refused(name: &str) -> Error {
    Error(format!("sqlinfer: DuckDB refuses the function {name}()"))
}

/// DuckDB 2 refuses `f(b := x)` where a function has parameters without names; DuckDB 1 takes it for `f(x)`.
fn refuses_names() -> bool {
    !is_duckdb_1()
}

fn is_duckdb_1() -> bool {
    // SAFETY: the text is static.
    let version = unsafe { CStr::from_ptr(duckdb_library_version()) };
    version.to_bytes().starts_with(b"v1.")
}
