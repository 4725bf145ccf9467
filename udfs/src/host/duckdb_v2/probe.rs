//! A function that is called once, at LOAD: what API v2 hands out must be to API v1 what it is believed to be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use libduckdb_sys::{DUCKDB_TYPE_DUCKDB_TYPE_VARCHAR, duckdb_database};

use super::api::{self, Api, ExecInfo, Problem, Resolved};
use super::call::{Shown, Vectors, registered};
use super::functions::{self, Callbacks, Told};
use super::handles::lent;
use super::report::report;
use crate::core::column::Data;
use crate::core::error::{Error, Result};
use crate::core::names::Called;
use crate::core::sqltype::{ArgType, Number, Words};
use crate::host::duckdb::call::Arguments;
use crate::host::duckdb::connection::Connection;
use crate::host::duckdb::input::column;
use crate::host::duckdb::output::repeated;
use crate::host::duckdb::types::LogicalType;
use crate::host::duckdb::writing::written;
use crate::sys::caught::guard;

const NAME: &str = "sqlinfer_probe";
const ANSWER: &str = "as it must be";
/// Where DuckDB has what is named, and what is not, behind the model's name.
const PLACES: [usize; 3] = [3, 1, 2];

struct Probe {
    /// The context of the connection that asks.
    inside: usize,
    /// Until it has been asked.
    is_open: AtomicBool,
}

pub fn finds_what_it_must(api: &'static Api, database: duckdb_database, connection: &Connection) -> bool {
    let Some(inside) = connection.context().inside() else { return false };
    let probe = Arc::new(Probe { inside: inside.addr(), is_open: AtomicBool::new(true) });
    let callbacks = Callbacks { resolve: Some(resolve), bind: None, init: None, execute };
    let told = Told { name: NAME, help: "asked by sqlinfer alone", takes_model: true };
    let register = |over: functions::Connection| over.register(&told, None, Box::new(probe.clone()), callbacks);
    if functions::Connection::open(api, database).and_then(register).is_err() {
        return false;
    }
    let query = format!(
        "SELECT typeof({NAME}('m', e, s, b := d)), {NAME}('m', e, s, b := d) \
         FROM (SELECT 'y'::ENUM ('x', 'y') AS e, {{'a': [1.5::DECIMAL(9, 2)]}} AS s, 7 AS d)"
    );
    let answers = connection.row(&query);
    probe.is_open.store(false, Ordering::Relaxed);
    answers == ["VARCHAR", ANSWER]
}

/// In the order of `PLACES`.
fn expected() -> [ArgType; 3] {
    let decimals = ArgType::List(Box::new(ArgType::Number(Number::Decimal { width: 9, scale: 2 })));
    let words = Words::new(2, || vec!["x".to_string(), "y".to_string()]);
    [
        ArgType::Number(Number::Integer("INTEGER")),
        ArgType::Enum(words),
        ArgType::Struct(vec![("a".to_string(), decimals)]),
    ]
}

fn as_expected(shown: &Shown, probe: &Probe) -> Result<bool> {
    let is_here = shown.context().inside().is_some_and(|inside| inside.addr() == probe.inside);
    if !is_here || shown.constant(0).as_deref() != Some("m") {
        return Ok(false);
    }
    let given = shown.given().unwrap_or_default();
    let words = match given.get(2) {
        Some(ArgType::Enum(words)) => words.read(),
        _ => return Ok(false),
    };
    let called = [Called::Nothing, Called::Named("b".to_string()), Called::Nothing, Called::Nothing];
    let is_typed = format!("{:?}", &given[1..]) == format!("{:?}", expected());
    Ok(is_typed && *words == ["x", "y"] && shown.called()? == called)
}

unsafe extern "C" fn resolve(info: *mut api::BindInfo, result: *mut Resolved, of: *mut api::Context, problem: Problem) {
    let done = guard(|| {
        let api = api::api()?;
        // SAFETY: DuckDB calls with a valid info, of the function that was registered.
        let (probe, shown) = unsafe { (registered::<Arc<Probe>>(api, info)?, Shown::new(api, info, of, 1)?) };
        if !probe.is_open.load(Ordering::Relaxed) {
            return Err(Error::new(format!("{NAME}() is asked when sqlinfer is loaded, and by sqlinfer alone")));
        }
        if !as_expected(&shown, probe)? {
            return Err(Error::new("the arguments are not what they were".to_string()));
        }
        let answer = LogicalType::id(DUCKDB_TYPE_DUCKDB_TYPE_VARCHAR);
        // SAFETY: the result is that of this callback, and the type is copied.
        let set =
            unsafe { (api.scalar_function_resolve_types_set_return_type)(result, lent(&answer), std::ptr::null_mut()) };
        api::succeeded(set)
    });
    // SAFETY: the place is that of this callback.
    unsafe { report(problem, api::BINDER, done) };
}

unsafe extern "C-unwind" fn execute(info: *mut ExecInfo, _: *mut api::Context, problem: Problem) {
    let work = || {
        // SAFETY: the info is that of this callback, and the vectors have the types that `resolve` has seen.
        let (given, columns) = unsafe {
            let given = Vectors::flat(api::api()?, info, &PLACES)?;
            let read = |(vector, of)| column(vector, of, given.rows);
            let columns: Vec<_> = given.arguments.iter().copied().zip(&expected()).map(read).collect();
            (given, columns)
        };
        let [named, word, row] = columns.as_slice() else { return Err(Error::new("no columns".to_string())) };
        let is_decimal = match &row.data {
            Data::Struct(fields) => match fields.first().map(|field| &field.data) {
                Some(Data::List(_, child)) => matches!(child.data, Data::I32([150])),
                _ => false,
            },
            _ => false,
        };
        let is_right = matches!(named.data, Data::I32([7])) && matches!(word.data, Data::U8([1])) && is_decimal;
        repeated(given.output, if is_right { ANSWER } else { "" }, given.rows)
    };
    // SAFETY: the output is a vector of texts, with room for the rows; DuckDB calls.
    let result = unsafe { written(work) };
    // SAFETY: the place is that of this callback.
    unsafe { report(problem, api::INPUT_INVALID, result) };
}
