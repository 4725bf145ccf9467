//! Functions whose type, and the names of whose arguments, are known when they are bound: what the stable API does not
//! offer is read of DuckDB's memory, and set there.
//!
//! | read | why | where |
//! |---|---|---|
//! | the answer's type in the function that is bound | DuckDB's own functions set it when they are bound; the API fixes it when the extension is loaded | [`Layout::answer`] |
//! | what the arguments are called | DuckDB 1.5 takes `f(b := x, a := y)` for `f(x, y)` | [`Layout::called`] |
//!
//! Before anything is believed: this version of DuckDB has been tried (`PLACES`), and at LOAD a function of ours is bound and run
//! on a connection of our own, and finds exactly what it must find. Each read is then checked again: memory is read by
//! the system, which says so where there is none, and what points to the place must be what it was at LOAD. Where one of these does not
//! hold, the functions have the types that the API gives them, and their errors say so.

use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use libduckdb_sys::*;

use crate::core::error::{Error, Result};
use crate::core::names::Called;
use crate::host::duckdb::connection::Connection;
use crate::host::duckdb::context::Binding;
use crate::host::duckdb::errors::report;
use crate::host::duckdb::layout::Memory;
use crate::host::duckdb::output::repeated;
use crate::host::duckdb::types::{LogicalType, c_text};
use crate::host::duckdb::version::{fixed_types, version};
use crate::host::duckdb::writing::{self, written};
use crate::sys::caught::{dropped, guard};

/// How far into their objects things are, in DuckDB as it is built for Linux (libstdc++, 64 bits).
#[derive(Clone, Copy)]
struct Places {
    version: &'static str,
    /// In a `CScalarFunctionInternalBindInfo`: `ClientContext &`, `ScalarFunction &`.
    context: usize,
    function: usize,
    /// In a `ScalarFunction`: `std::string name`, `LogicalType return_type`.
    name: usize,
    return_type: usize,
    /// In an `Expression`: `ExpressionClass`, `std::string alias`.
    class: usize,
    alias: usize,
}

const PLACES: [Places; 1] =
    [Places { version: "v1.5.6", context: 0, function: 8, name: 8, return_type: 208, class: 9, alias: 16 }];
/// In a `LogicalType`: id and physical type, padding, `shared_ptr` to all else.
const TYPE: usize = 24;
/// Classes of expressions that have a name only if they are given one: CASE, CAST, comparison, AND and OR, constant,
/// function, operator, parameter, BETWEEN. A column has its own, given one or not.
const NAMELESS: [u8; 9] = [26, 27, 29, 30, 31, 33, 34, 35, 39];

/// A DuckDB whose functions are typed, and told the names of their arguments, when they are bound.
#[derive(Clone)]
pub struct Layout {
    places: Places,
    /// What functions answer until they are bound: a type that nothing else has.
    pub sign: Arc<LogicalType>,
}

impl Layout {
    /// Raises what is said of a DuckDB where this cannot be done.
    pub fn find(connection: &Connection) -> Result<Layout> {
        let version = version();
        let places = PLACES.iter().find(|places| places.version == version);
        let places = *places.ok_or_else(|| fixed_types(&version))?;
        let layout = Layout { places, sign: Arc::new(LogicalType::sign()) };
        if probe::finds_what_it_must(&layout, connection) { Ok(layout) } else { Err(fixed_types(&version)) }
    }

    /// Give the call that is bound an answer of this type. Its function was registered with that of `sign`.
    ///
    /// # Safety
    /// `info` must be that of a running bind callback of a scalar function.
    pub unsafe fn answer(&self, info: duckdb_bind_info, name: &str, answer: LogicalType) -> Result<()> {
        // SAFETY: promised by the caller.
        let place = unsafe { self.return_type(&Memory::open()?, info, name) };
        let place = place.ok_or_else(|| Error::new(format!("{name}: {}", fixed_types(&version()).text)))?;
        // SAFETY: the place holds a LogicalType, one that is equal to `sign` in every byte that counts, of a function that
        // DuckDB has made for this call; `answer` points to another one. They change places, so nothing that they share is
        // counted anew, and `answer` drops what the function had.
        unsafe { ptr::swap_nonoverlapping(place, answer.0.cast::<u8>(), TYPE) };
        Ok(())
    }

    /// Where the function that is bound has the type `sign`; None if there is any doubt.
    ///
    /// # Safety
    /// As for `answer`.
    unsafe fn return_type(&self, memory: &Memory, info: duckdb_bind_info, name: &str) -> Option<*mut u8> {
        let info_bytes = info.cast::<u8>().cast_const();
        // SAFETY: promised by the caller.
        let context = unsafe { Binding::new(info) }.context().inside()?;
        if !ptr::addr_eq(memory.pointer(info_bytes.wrapping_add(self.places.context))?, context) {
            return None;
        }
        let function = memory.pointer(info_bytes.wrapping_add(self.places.function))?;
        if memory.text(function.wrapping_add(self.places.name))? != name {
            return None;
        }
        let place = function.wrapping_add(self.places.return_type);
        let (found, wanted) = (memory.read::<TYPE>(place)?, memory.read::<TYPE>(self.sign.0.cast())?);
        // between the ids and the pointers lies nothing
        let same = found[..2] == wanted[..2] && found[8..] == wanted[8..] && wanted[8..].iter().any(|byte| *byte != 0);
        same.then_some(place.cast_mut())
    }

    /// What an argument that DuckDB has shown is called; None if that cannot be read.
    fn called(&self, memory: &Memory, expression: duckdb_expression) -> Option<Called> {
        let expression = memory.pointer(expression.cast::<u8>().cast_const())?;
        let [class] = memory.read(expression.wrapping_add(self.places.class))?;
        let name = memory.text(expression.wrapping_add(self.places.alias))?;
        Some(match name.as_str() {
            "" => Called::Nothing,
            _ if NAMELESS.contains(&class) => Called::Named(name),
            _ => Called::Column(name),
        })
    }

    /// What the arguments of the call that is bound are called.
    pub fn all_called(&self, binding: &Binding) -> Result<Vec<Called>> {
        let unseen = || Error::new("the names of the arguments cannot be read; give the features in a row".to_string());
        let memory = Memory::open()?;
        (0..binding.count()).map(|i| self.called(&memory, binding.argument(i).0).ok_or_else(unseen)).collect()
    }
}

/// A function that is called once, at LOAD.
mod probe {
    use super::*;

    const NAME: &str = "sqlinfer_probe";
    const LONG: &str = "a name that has no room in the text's own sixteen bytes";
    const ANSWER: &str = "as it must be";

    struct Probe {
        layout: Layout,
        /// Until it has been asked.
        is_open: Mutex<bool>,
    }

    pub fn finds_what_it_must(layout: &Layout, connection: &Connection) -> bool {
        let probe = Arc::new(Probe { layout: layout.clone(), is_open: Mutex::new(true) });
        if !register(connection, &probe) {
            return false;
        }
        let query = format!(
            "SELECT typeof({NAME}(1, short := 2, \"{LONG}\" := 3, c, d := c + 1)), {NAME}(1, short := 2, \"{LONG}\" := 3, c, d \
             := c + 1) FROM (SELECT 4 AS c)"
        );
        let answers = connection.row(&query);
        *probe.is_open.lock().unwrap_or_else(PoisonError::into_inner) = false;
        answers == ["VARCHAR", ANSWER]
    }

    fn expected() -> [Called; 5] {
        let named = |name: &str| Called::Named(name.to_string());
        [Called::Nothing, named("short"), named(LONG), Called::Column("c".to_string()), named("d")]
    }

    fn register(connection: &Connection, probe: &Arc<Probe>) -> bool {
        let any = LogicalType::id(DUCKDB_TYPE_DUCKDB_TYPE_ANY);
        // SAFETY: all arguments are valid and copied; the function is ours and is destroyed once. It owns its extra info.
        unsafe {
            let mut function = duckdb_create_scalar_function();
            duckdb_scalar_function_set_name(function, c_text(NAME).as_ptr());
            duckdb_scalar_function_set_varargs(function, any.0);
            duckdb_scalar_function_set_return_type(function, probe.layout.sign.0);
            let extra = Box::into_raw(Box::new(probe.clone()));
            duckdb_scalar_function_set_extra_info(function, extra.cast(), Some(drop_probe));
            duckdb_scalar_function_set_bind(function, Some(bind));
            duckdb_scalar_function_set_function(function, writing::scalar(execute));
            let state = duckdb_register_scalar_function(connection.0, function);
            duckdb_destroy_scalar_function(&mut function);
            state == DuckDBSuccess
        }
    }

    unsafe extern "C" fn drop_probe(data: *mut c_void) {
        // SAFETY: the data is the probe that was registered, and DuckDB drops it once.
        unsafe { dropped::<Arc<Probe>>(data) };
    }

    unsafe extern "C" fn bind(info: duckdb_bind_info) {
        let result = guard(|| {
            // SAFETY: DuckDB calls with a valid info; the extra info is the probe that was registered.
            let (binding, probe) = unsafe {
                let probe = duckdb_scalar_function_bind_get_extra_info(info).cast::<Arc<Probe>>();
                (Binding::new(info), probe.as_ref().ok_or_else(|| Error::new("no probe".to_string()))?)
            };
            if !*probe.is_open.lock().unwrap_or_else(PoisonError::into_inner) {
                return Err(Error::new(format!("{NAME}() is asked when sqlinfer is loaded, and by sqlinfer alone")));
            }
            if probe.layout.all_called(&binding)? != expected() {
                return Err(Error::new("the names are not where they were".to_string()));
            }
            let answer = LogicalType::id(DUCKDB_TYPE_DUCKDB_TYPE_VARCHAR);
            // SAFETY: the info is that of this callback.
            unsafe { probe.layout.answer(info, NAME, answer) }
        });
        // SAFETY: the info is valid for the time of the callback.
        unsafe { report(info, duckdb_scalar_function_bind_set_error, result) };
    }

    unsafe extern "C-unwind" fn execute(_: duckdb_function_info, input: duckdb_data_chunk, output: duckdb_vector) {
        // SAFETY: the chunk is valid; binding has made the output one of texts, with room for the rows of the input.
        let _ = unsafe { written(|| repeated(output, ANSWER, duckdb_data_chunk_get_size(input) as usize)) };
    }
}
