//! The functions of DuckDB's C API v2 that are used, declared by hand from `duckdb_v2.h` of DuckDB 2.0.0, which lies in `duckdb.tar.gz`
//! of the crate libduckdb-sys 1.20000.1. That API is unstable: the places in its table of functions moved between 2.0.0 and
//! 2.0.1, so each function is looked up by its name in the library that DuckDB itself is in. None of them lets a C++ exception
//! out: each gives a code, and what was wrong to whoever asks for it.

use std::ffi::{c_char, c_void};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libduckdb_sys::{duckdb_database, duckdb_value, duckdb_vector, idx_t};
use libloading::os::unix::{Library, RTLD_NOW};

use crate::core::error::{Error, Result};
use crate::sys::library::file_of;

/// What DuckDB hands out, to be handed back.
macro_rules! handles {
    ($($name:ident)*) => {$(
        #[repr(C)]
        pub struct $name([u8; 0]);
    )*};
}

handles! {
    Connection Context ErrorInfo Factory LogicalType Signature Docs ScalarFunction BindInfo Resolved Bindings InitInfo ExecInfo
}

pub type Code = u32;
pub const NONE: Code = 0;
pub const INPUT_INVALID: Code = 2001;
pub const BINDER: Code = 5003;
pub const PARAMETER_NOT_RESOLVED: Code = 5010;
pub const INTERRUPT: Code = 8003;

pub const POSITIONAL_ONLY: u32 = 0;
pub const POSITIONAL_VARIADIC: u32 = 2;
pub const NAMED_VARIADIC: u32 = 4;

pub const NULL_HANDLING: u32 = 65792;
pub const NULL_HANDLING_SPECIAL: u32 = 65793;

/// A text of so many bytes, lent.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Text {
    start: *const c_char,
    length: idx_t,
}

impl Text {
    pub const EMPTY: Text = Text { start: std::ptr::null(), length: 0 };

    pub fn of(text: &str) -> Text {
        Text { start: text.as_ptr().cast(), length: text.len() as idx_t }
    }

    /// # Safety
    /// DuckDB must lend it still.
    pub unsafe fn owned(self) -> String {
        if self.start.is_null() {
            return String::new();
        }
        // SAFETY: promised by the caller.
        let bytes = unsafe { std::slice::from_raw_parts(self.start.cast::<u8>(), self.length as usize) };
        String::from_utf8_lossy(bytes).into_owned()
    }
}

/// Data of ours that DuckDB keeps, and drops.
#[repr(C)]
pub struct Opaque {
    pub data: *mut c_void,
    pub destroy: unsafe extern "C" fn(*mut c_void),
    pub equals: Option<unsafe extern "C" fn(*mut c_void, *mut c_void) -> bool>,
}

/// Where a callback says what was wrong.
pub type Problem = *mut *mut ErrorInfo;
pub type Resolve = unsafe extern "C" fn(*mut BindInfo, *mut Resolved, *mut Context, Problem);
pub type Bind = unsafe extern "C" fn(*mut BindInfo, *mut Bindings, *mut Context, Problem);
pub type Init = unsafe extern "C" fn(*mut InitInfo, *mut Context, Problem);
/// It writes into vectors of DuckDB's, which throws where it has no memory, and catches that again.
pub type Execute = unsafe extern "C-unwind" fn(*mut ExecInfo, *mut Context, Problem);

macro_rules! functions {
    ($($name:ident($($argument:ty),*);)*) => {
        #[derive(Clone, Copy)]
        pub struct Api {
            $(pub $name: unsafe extern "C" fn($($argument),*) -> Code,)*
        }

        impl Api {
            fn of(library: &Library) -> Option<Api> {
                // SAFETY: DuckDB's versions that are asked have functions of these names and arguments.
                Some(unsafe { Api { $($name: *library.get(concat!("duckdb_v2_", stringify!($name), "\0").as_bytes()).ok()?,)* } })
            }
        }
    };
}

functions! {
    // an instance of v2 begins as a database of v1 does: see `mod.rs`
    connection_create(duckdb_database, *mut *mut Connection, Problem);
    connection_destroy(*mut *mut Connection);
    connection_get_factory(*mut Connection, *mut *mut Factory, Problem);
    connection_register_scalar_function(*mut Connection, *mut ScalarFunction, Problem);
    error_info_set_code(*mut ErrorInfo, Code);
    error_info_set_text(*mut ErrorInfo, *const Text);
    logical_type_destroy(*mut *mut LogicalType);
    function_signature_add_parameter(*mut Signature, *const Text, *mut LogicalType, duckdb_value, u32, Problem);
    function_docs_set_description(*mut Docs, *const Text, Problem);
    function_signature_set_return_type(*mut Signature, *mut LogicalType, Problem);
    function_bind_get_arg_count(*mut BindInfo, *mut idx_t, *mut idx_t, *mut idx_t, *mut idx_t, Problem);
    function_bind_get_arg_name(*mut BindInfo, idx_t, *mut Text, Problem);
    function_bind_get_arg_type(*mut BindInfo, idx_t, *mut *mut LogicalType, Problem);
    function_bind_get_arg_value(*mut BindInfo, idx_t, *mut duckdb_value, Problem);
    function_bind_get_user_data(*mut BindInfo, *mut *mut c_void, Problem);
    scalar_function_create(*mut Factory, *mut *mut ScalarFunction, Problem);
    scalar_function_destroy(*mut *mut ScalarFunction);
    scalar_function_set_name(*mut ScalarFunction, *const Text, Problem);
    scalar_function_get_docs(*mut ScalarFunction, *mut *mut Docs, Problem);
    scalar_function_get_signature(*mut ScalarFunction, *mut *mut Signature, Problem);
    scalar_function_set_user_data(*mut ScalarFunction, *mut Opaque, Problem);
    scalar_function_set_property(*mut ScalarFunction, u32, u32, Problem);
    scalar_function_set_resolve_types_callback(*mut ScalarFunction, Resolve, Problem);
    scalar_function_set_bind_callback(*mut ScalarFunction, Bind, Problem);
    scalar_function_set_init_callback(*mut ScalarFunction, Init, Problem);
    scalar_function_set_exec_callback(*mut ScalarFunction, Execute, Problem);
    scalar_function_resolve_types_set_return_type(*mut Resolved, *mut LogicalType, Problem);
    scalar_function_bind_set_bind_data(*mut Bindings, *mut Opaque, Problem);
    scalar_function_init_get_bind_data(*mut InitInfo, *mut *mut c_void, Problem);
    scalar_function_init_set_init_data(*mut InitInfo, *mut Opaque, Problem);
    scalar_function_exec_get_bind_data(*mut ExecInfo, *mut *mut c_void, Problem);
    scalar_function_exec_get_init_data(*mut ExecInfo, *mut *mut c_void, Problem);
    scalar_function_exec_get_row_count(*mut ExecInfo, *mut idx_t, Problem);
    scalar_function_exec_get_arg(*mut ExecInfo, idx_t, *mut duckdb_vector, Problem);
    scalar_function_exec_get_result(*mut ExecInfo, *mut duckdb_vector, Problem);
    vector_flatten(duckdb_vector, Problem);
}

static API: OnceLock<(PathBuf, Api)> = OnceLock::new();

/// Those of the DuckDB that `function` is of; None where one is not there, or another DuckDB of this process has them.
pub fn find(function: *const c_void) -> Option<&'static Api> {
    let file = file_of(function)?;
    if API.get().is_none() {
        let api = Api::of(&opened(&file)?)?;
        if file_of(api.connection_create as *const c_void)? != file {
            return None;
        }
        API.get_or_init(|| (file.clone(), api));
    }
    API.get().filter(|(of, _)| *of == file).map(|(_, api)| api)
}

/// A library that is loaded; the program itself where that is what is named.
fn opened(file: &Path) -> Option<Library> {
    const ONLY_IF_LOADED: i32 = libc::RTLD_NOLOAD | RTLD_NOW;
    // SAFETY: nothing is loaded, and so nothing runs.
    unsafe { Library::open(Some(file), ONLY_IF_LOADED) }.ok().or_else(|| Some(Library::this()))
}

pub fn api() -> Result<&'static Api> {
    API.get().map(|(_, api)| api).ok_or_else(|| Error::new("DuckDB's functions are not known".to_string()))
}

/// What is said of a function of DuckDB's that failed without saying why.
pub fn succeeded(code: Code) -> Result<()> {
    if code == NONE { Ok(()) } else { Err(Error::new(format!("DuckDB's API v2 gives error {code}"))) }
}
