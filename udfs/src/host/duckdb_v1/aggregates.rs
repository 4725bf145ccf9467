//! The aggregate functions over API v1. What is aggregated, and how, is in core/metrics.

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Arc;

use libduckdb_sys::*;

use crate::core::column::{Column, Rows};
use crate::core::error::{Code, Error, Result};
use crate::core::metrics::given::{Argument, Given, Reads, read};
use crate::core::metrics::skew;
use crate::core::metrics::subjects::{Features, Subjects};
use crate::core::metrics::{AGGREGATES, Accumulator, Aggregate, Cell};
use crate::core::registry::Registry;
use crate::core::sqltype::{ArgType, SqlType};
use crate::host::duckdb::connection::{Connection, registered};
use crate::host::duckdb::errors::report;
use crate::host::duckdb::input;
use crate::host::duckdb::instance::Instance;
use crate::host::duckdb::types::{LogicalType, c_text};
use crate::host::duckdb::version::is_duckdb_1;
use crate::host::duckdb::writing::{self, Write, Writes, written};
use crate::sys::caught::{dropped, guard};

/// An aggregate as it was registered.
struct Registered {
    aggregate: &'static Aggregate,
    answer: SqlType,
    instance: Arc<Instance>,
    subjects: Arc<Subjects>,
}

/// What DuckDB keeps for each group: null as long as there are no rows.
type State = *mut Box<dyn Accumulator>;

pub fn register(connection: &Connection, instance: &Arc<Instance>) -> Result<()> {
    AGGREGATES.iter().try_for_each(|aggregate| register_one(connection, aggregate, instance))
}

fn register_one(connection: &Connection, aggregate: &'static Aggregate, instance: &Arc<Instance>) -> Result<()> {
    let subjects = Arc::<Subjects>::default();
    let name = c_text(aggregate.name);
    let any = LogicalType::id(DUCKDB_TYPE_DUCKDB_TYPE_ANY);
    let answer = SqlType::parse(aggregate.answer)?;
    let made = LogicalType::of(&answer)?;
    // SAFETY: all arguments are valid and copied; functions and set are ours and are destroyed once. Each function owns
    // its extra info.
    let state = unsafe {
        let mut set = duckdb_create_aggregate_function_set(name.as_ptr());
        for count in aggregate.arity() {
            let mut overload = duckdb_create_aggregate_function();
            duckdb_aggregate_function_set_name(overload, name.as_ptr());
            (0..count).for_each(|_| duckdb_aggregate_function_add_parameter(overload, any.0));
            duckdb_aggregate_function_set_return_type(overload, made.0);
            duckdb_aggregate_function_set_special_handling(overload);
            duckdb_aggregate_function_set_functions(
                overload,
                Some(state_size),
                Some(start),
                Some(update),
                Some(combine),
                writing::finalize(finalize),
            );
            duckdb_aggregate_function_set_destructor(overload, Some(destroy));
            let extra = Box::into_raw(Box::new(Registered {
                aggregate,
                answer: answer.clone(),
                instance: instance.clone(),
                subjects: subjects.clone(),
            }));
            duckdb_aggregate_function_set_extra_info(overload, extra.cast(), Some(drop_registered));
            duckdb_add_aggregate_function_to_set(set, overload);
            duckdb_destroy_aggregate_function(&mut overload);
        }
        let state = duckdb_register_aggregate_function_set(connection.0, set);
        duckdb_destroy_aggregate_function_set(&mut set);
        state
    };
    registered(state, aggregate.name)
}

unsafe extern "C" fn drop_registered(data: *mut c_void) {
    // SAFETY: the extra info is what was registered, and DuckDB drops it once.
    unsafe { dropped::<Registered>(data) };
}

unsafe extern "C" fn state_size(_: duckdb_function_info) -> idx_t {
    guard(|| Ok(size_of::<State>() as idx_t)).unwrap_or_default()
}

unsafe extern "C" fn start(_: duckdb_function_info, state: duckdb_aggregate_state) {
    let _ = guard(|| {
        // SAFETY: DuckDB gives room for a state.
        unsafe { state.cast::<State>().write(null_mut()) };
        Ok(())
    });
}

/// # Safety
/// The info must be that of a running callback of an aggregate of ours.
unsafe fn function<'a>(info: duckdb_function_info) -> Result<&'a Registered> {
    // SAFETY: promised by the caller; the extra info lives as long as the function.
    let extra = unsafe { duckdb_aggregate_function_get_extra_info(info).cast::<Registered>().as_ref() };
    extra.ok_or_else(|| Error::new("no function"))
}

/// Errors say of which function they are.
fn of(aggregate: &Aggregate, error: Error) -> Error {
    match error.text.starts_with(aggregate.name) {
        true => error,
        false => Error::of(error.code, format!("{}(): {error}", aggregate.name)),
    }
}

unsafe extern "C" fn update(info: duckdb_function_info, input: duckdb_data_chunk, states: *mut duckdb_aggregate_state) {
    let result = guard(|| {
        // SAFETY: DuckDB calls: info, chunk and states are valid, one state for each row.
        let (function, count) = unsafe { (function(info)?, duckdb_data_chunk_get_size(input) as usize) };
        // SAFETY: as above; states are what `start` made.
        let states = unsafe { std::slice::from_raw_parts(states.cast::<*mut State>(), count) };
        // SAFETY: the vectors live until the callback returns.
        let columns = unsafe { columns(input, count) };
        add(function, &columns, count, states).map_err(|error| of(function.aggregate, error))
    });
    // SAFETY: the info is valid for the time of the callback.
    unsafe { report(info, duckdb_aggregate_function_set_error, result) };
}

/// # Safety
/// The chunk must be valid, and must outlive the columns.
unsafe fn columns<'a>(chunk: duckdb_data_chunk, count: usize) -> Vec<(ArgType, Column<'a>)> {
    // SAFETY: promised by the caller; the chunk's vectors are flat, and of the types that they say.
    unsafe {
        (0..duckdb_data_chunk_get_column_count(chunk))
            .map(|i| {
                let vector = duckdb_data_chunk_get_vector(chunk, i);
                let given = given(LogicalType(duckdb_vector_get_column_type(vector)));
                let column = input::column(vector, &given, count);
                (given, column)
            })
            .collect()
    }
}

/// A MAP lies in memory as a list of pairs.
fn given(logical: LogicalType) -> ArgType {
    // SAFETY: the type is valid; the types of a map's keys and values are ours.
    let pair = unsafe {
        (duckdb_get_type_id(logical.0) == DUCKDB_TYPE_DUCKDB_TYPE_MAP).then(|| {
            [duckdb_map_type_key_type(logical.0), duckdb_map_type_value_type(logical.0)]
                .map(|part| LogicalType(part).given())
        })
    };
    match pair {
        Some([key, value]) => {
            ArgType::List(Box::new(ArgType::Struct(vec![("key".to_string(), key), ("value".to_string(), value)])))
        }
        None => logical.given(),
    }
}

fn add(function: &Registered, columns: &[(ArgType, Column)], count: usize, states: &[*mut State]) -> Result<()> {
    let aggregate = function.aggregate;
    // a missing feature is one of the things that skew() tells of
    let judged = &columns[..if aggregate.reads == Reads::Features { 0 } else { columns.len().min(2) }];
    let picked: Vec<u32>;
    let rows = if judged.iter().all(|(_, column)| column.all_valid(count)) {
        Rows::Range(0, count)
    } else {
        let holds = |row: &u32| judged.iter().all(|(_, column)| column.is_valid(*row as usize));
        picked = (0..count as u32).filter(holds).collect();
        Rows::Picked(&picked)
    };
    if rows.len() == 0 {
        return Ok(());
    }
    let arguments: Vec<Argument> = columns.iter().map(|(given, column)| Argument { given, column, count }).collect();
    let given = match aggregate.reads {
        Reads::Features => Given::Features(features(function, &arguments, count)?),
        reads => read(reads, &arguments, rows)?,
    };
    let mut first = 0;
    while first < rows.len() {
        let state = states[rows.get(first)];
        let alike = (first + 1..rows.len()).take_while(|i| states[rows.get(*i)] == state).count();
        let length = 1 + alike;
        // SAFETY: the state is one that `start` made, and nobody else uses it meanwhile.
        let accumulator = unsafe { accumulator(aggregate, state) };
        accumulator.add(&given, rows.part(first, length))?;
        first += length;
    }
    Ok(())
}

/// DuckDB shows an aggregate no settings: models are where another function has found them, or where the environment says.
fn features<'a>(function: &Registered, arguments: &'a [Argument<'a>], count: usize) -> Result<Features<'a>> {
    let (registry, is_taken) = function.instance.registry();
    let hint = "ask for sqlinfer_version() once, because DuckDB shows an aggregate no settings";
    if !is_taken && !Registry::is_in_environment() {
        return Err(Error::of(Code::Registry, format!("where the models are is not known yet: {hint}")));
    }
    skew::read(&function.subjects, &registry, arguments, count, !is_duckdb_1()).map_err(|error| {
        if is_taken || error.code != Code::ModelNotFound {
            return error;
        }
        Error::of(error.code, format!("{error}; after SET sqlinfer_home, {hint}"))
    })
}

/// What the state holds, which is new where there was nothing.
///
/// # Safety
/// The state must be one that `start` made, and is used by nobody else as long as the answer.
unsafe fn accumulator<'a>(aggregate: &Aggregate, state: *mut State) -> &'a mut dyn Accumulator {
    // SAFETY: promised by the caller; what it holds is a leaked box.
    unsafe {
        if (*state).is_null() {
            state.write(Box::into_raw(Box::new((aggregate.start)())));
        }
        &mut ***state
    }
}

unsafe extern "C" fn combine(
    info: duckdb_function_info,
    from: *mut duckdb_aggregate_state,
    into: *mut duckdb_aggregate_state,
    count: idx_t,
) {
    let result = guard(|| {
        // SAFETY: DuckDB calls: there are so many states on both sides, which `start` made.
        unsafe {
            let aggregate = function(info)?.aggregate;
            let states =
                |all: *mut duckdb_aggregate_state| std::slice::from_raw_parts(all.cast::<*mut State>(), count as usize);
            for (from, into) in states(from).iter().zip(states(into)) {
                if let Some(part) = (**from).as_ref() {
                    accumulator(aggregate, *into).merge(&**part).map_err(|error| of(aggregate, error))?;
                }
            }
        }
        Ok(())
    });
    // SAFETY: the info is valid for the time of the callback.
    unsafe { report(info, duckdb_aggregate_function_set_error, result) };
}

unsafe extern "C-unwind" fn finalize(
    info: duckdb_function_info,
    states: *mut duckdb_aggregate_state,
    output: duckdb_vector,
    count: idx_t,
    offset: idx_t,
) {
    let work = || {
        // SAFETY: DuckDB calls: there are so many states, which `start` made.
        let (function, states) =
            unsafe { (function(info)?, std::slice::from_raw_parts(states.cast::<*mut State>(), count as usize)) };
        let mut steps = Vec::new();
        for (i, state) in states.iter().enumerate() {
            // SAFETY: as above.
            let cell = match unsafe { (**state).as_ref() } {
                Some(accumulator) => accumulator.answer().map_err(|error| of(function.aggregate, error))?,
                None => Cell::Null,
            };
            write(output, &function.answer, cell, offset as usize + i, &mut steps);
        }
        Ok(Writes { steps, chunk: None })
    };
    // SAFETY: the output has room for the states' answers, of the type that was registered; DuckDB calls.
    let result = unsafe { written(work) };
    // SAFETY: the info is valid for the time of the callback.
    unsafe { report(info, duckdb_aggregate_function_set_error, result) };
}

/// A NULL of a type that has parts is one of all parts.
fn write(output: duckdb_vector, answer: &SqlType, cell: Cell, row: usize, steps: &mut Vec<Write>) {
    if let (Cell::Null, Some(parts)) = (&cell, nothing(answer)) {
        steps.push(Write::Cell(output, parts, row));
    }
    steps.push(Write::Cell(output, cell, row));
}

fn nothing(answer: &SqlType) -> Option<Cell> {
    match answer {
        SqlType::Struct(fields) => {
            Some(Cell::Struct(fields.iter().map(|(_, field)| nothing(field).unwrap_or(Cell::Null)).collect()))
        }
        SqlType::List(_) | SqlType::Map(..) => Some(Cell::List(Vec::new())),
        SqlType::Plain(_) | SqlType::Array(..) => None,
    }
}

unsafe extern "C" fn destroy(states: *mut duckdb_aggregate_state, count: idx_t) {
    let _ = guard(|| {
        // SAFETY: DuckDB calls: there are so many states, which `start` made, and it uses them no more.
        unsafe {
            for state in std::slice::from_raw_parts(states.cast::<*mut State>(), count as usize) {
                let held = state.replace(null_mut());
                if !held.is_null() {
                    drop(Box::from_raw(held));
                }
            }
        }
        Ok(())
    });
}
