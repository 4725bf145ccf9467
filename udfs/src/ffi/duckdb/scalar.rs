//! The scalar functions: what happens when DuckDB binds, prepares and runs a call.

use std::collections::HashSet;
use std::ffi::c_void;
use std::sync::Arc;

use libduckdb_sys::*;

use super::context::{Binding, Context};
use super::input::column;
use super::instance::{Instance, Taken, Versions};
use super::output::Output;
use super::types::c_text;
use super::{dropped, guard};
use crate::core::error::{Error, Result, reference_not_constant, subquery};
use crate::core::manifest::Call;
use crate::core::plan::{Form, Plan};
use crate::core::predictor::{Predictor, State};
use crate::core::reference::Reference;
use crate::core::sqltype::{Given, Plain, SqlType};

/// A function as it was registered: DuckDB fixes its type then.
#[derive(Clone)]
pub struct Function {
    pub name: String,
    pub call: &'static str,
    pub sql_type: SqlType,
    /// The model; None for functions whose first argument names it.
    pub reference: Option<Reference>,
    pub instance: Arc<Instance>,
}

/// What binding hands to the threads that run the call.
#[derive(Clone)]
struct Bound {
    /// None while a macro is defined or a statement prepared: the types of the arguments are known where it is called.
    call: Option<Ready>,
    sql_type: SqlType,
    /// The arguments' types; fields that are not read have a type that is not read.
    given: Vec<Given>,
}

/// A call whose model is known.
#[derive(Clone)]
struct Ready {
    predictor: Arc<Predictor>,
    taken: Arc<Taken>,
    instance: Arc<Instance>,
    /// Those of the statement that the call is in.
    versions: Arc<Versions>,
}

pub unsafe extern "C" fn bind(info: duckdb_bind_info) {
    let result = guard(|| {
        // SAFETY: DuckDB calls with a valid info; the extra info is the Function that was registered.
        let (binding, function) = unsafe {
            let function = duckdb_scalar_function_bind_get_extra_info(info).cast::<Function>();
            (Binding::new(info), function.as_ref().ok_or_else(|| Error("no function".to_string()))?)
        };
        let bound = Box::into_raw(Box::new(bound(&binding, function)?));
        // SAFETY: DuckDB takes the data over, copies it by `copy` and drops it by `drop_bound`.
        unsafe {
            duckdb_scalar_function_set_bind_data(info, bound.cast(), Some(drop_bound));
            duckdb_scalar_function_set_bind_data_copy(info, Some(copy_bound));
        }
        Ok(())
    });
    if let Err(error) = result {
        // SAFETY: the info is valid for the time of the callback.
        unsafe { duckdb_scalar_function_bind_set_error(info, c_text(&error.0).as_ptr()) };
    }
}

unsafe extern "C" fn drop_bound(data: *mut c_void) {
    // SAFETY: the data was made by `bind` or `copy_bound`, and DuckDB drops it once.
    unsafe { dropped::<Bound>(data) };
}

unsafe extern "C" fn copy_bound(data: *mut c_void) -> *mut c_void {
    // SAFETY: the data was made by `bind` or `copy_bound` and is alive.
    let copied = guard(|| Ok(Box::new(unsafe { &*data.cast::<Bound>() }.clone())));
    copied.map_or(std::ptr::null_mut(), |bound| Box::into_raw(bound).cast())
}

fn bound(binding: &Binding, function: &Function) -> Result<Bound> {
    let context = binding.context();
    let mut given = binding.given().ok_or_else(|| subquery(&function.name))?;
    let sql_type = function.sql_type.clone();
    if !given.iter().all(Given::is_known) {
        return Ok(Bound { call: None, sql_type, given: Vec::new() });
    }
    let reference = match &function.reference {
        Some(reference) => reference.clone(),
        None => {
            let text = binding.constant(0, &context);
            given.remove(0);
            Reference::parse(&text.ok_or_else(|| reference_not_constant(&function.name))?)?
        }
    };
    let instance = function.instance.clone();
    let taken = instance.take(&context)?;
    let versions = instance.statement(context.connection());
    let version = versions.of(&taken.registry, &reference)?;
    let manifest = taken.registry.version(&reference.name, version)?;
    let call = manifest.call(function.call)?;
    check_type(function, &reference, call)?;
    let plan = Plan::new(&reference.to_string(), manifest.clone(), &given)?;
    if let (Form::Row(places), [Given::Struct(fields)]) = (&plan.form, given.as_mut_slice()) {
        let places: HashSet<usize> = places.iter().copied().collect();
        for (i, (_, field)) in fields.iter_mut().enumerate() {
            if !places.contains(&i) {
                *field = Given::Other("unused");
            }
        }
    }
    let predictor = Arc::new(Predictor::new(plan, function.call, &function.sql_type)?);
    Ok(Bound { call: Some(Ready { predictor, taken, instance, versions }), sql_type, given })
}

/// The model's answer must fit the type that the function was registered with.
fn check_type(function: &Function, reference: &Reference, call: &Call) -> Result<()> {
    let (name, answer) = (&function.name, &call.sql_type);
    if function.reference.is_some() {
        if *answer == function.sql_type {
            return Ok(());
        }
        return Err(Error(format!(
            "{name}() of this database answers {}, and the model '{reference}' now answers {answer}: a function's \
             type is fixed when the extension is loaded; open the database again",
            function.sql_type
        )));
    }
    let fits = match &function.sql_type {
        SqlType::Plain(Plain::Double) => answer.is_scalar() && *answer != SqlType::Plain(Plain::Varchar),
        SqlType::Plain(_) => answer.is_scalar(),
        _ => true,
    };
    if fits {
        return Ok(());
    }
    let typed = match reference.to_string() {
        plain if plain == reference.name => format!("predict_{plain}(…)"),
        other => format!("\"predict_{other}\"(…)"),
    };
    let label = match answer.is_scalar() {
        true => format!("predict_label('{reference}', …) or "),
        false => String::new(),
    };
    Err(Error(format!(
        "{name}() answers {}, and the model '{reference}' answers {answer}: call {label}{typed}",
        function.sql_type
    )))
}

pub unsafe extern "C" fn init(info: duckdb_init_info) {
    let result = guard(|| {
        // SAFETY: the bind data is the Bound that `bind` set.
        let bound = unsafe { duckdb_scalar_function_init_get_bind_data(info).cast::<Bound>().as_ref() };
        let unbound = || Error("the call was not bound".to_string());
        let call = bound.and_then(|bound| bound.call.as_ref()).ok_or_else(unbound)?;
        call.versions.close();
        let mut context = std::ptr::null_mut();
        // SAFETY: the info is valid, and the out-pointer too.
        unsafe { duckdb_scalar_function_init_get_client_context(info, &mut context) };
        // SAFETY: DuckDB drops the state with the query, which its connection outlives.
        let interrupt = unsafe { Context(context).interrupt(call.instance.interrupt_flag) };
        let state = State::new(call.predictor.clone(), &call.taken.libraries.runner()?, interrupt)?;
        // SAFETY: DuckDB takes the state over and drops it by `drop_state`.
        unsafe {
            duckdb_scalar_function_init_set_state(info, Box::into_raw(Box::new(state)).cast(), Some(drop_state));
        }
        Ok(())
    });
    if let Err(error) = result {
        // SAFETY: the info is valid for the time of the callback.
        unsafe { duckdb_scalar_function_init_set_error(info, c_text(&error.0).as_ptr()) };
    }
}

unsafe extern "C" fn drop_state(data: *mut c_void) {
    // SAFETY: the state was made by `init`, and DuckDB drops it once.
    unsafe { dropped::<State>(data) };
}

pub unsafe extern "C" fn execute(info: duckdb_function_info, input: duckdb_data_chunk, output: duckdb_vector) {
    let result = guard(|| {
        // SAFETY: state and bind data are those that `init` and `bind` set; a state is used by one thread at a time.
        let (state, bound) = unsafe {
            let state = duckdb_scalar_function_get_state(info).cast::<State>().as_mut();
            let bound = duckdb_scalar_function_get_bind_data(info).cast::<Bound>().as_ref();
            let lost = || Error("the call was not prepared".to_string());
            (state.ok_or_else(lost)?, bound.ok_or_else(lost)?)
        };
        // SAFETY: the chunk is valid; DuckDB has flattened its vectors, whose types are those that were bound.
        let (rows, columns) = unsafe {
            let rows = duckdb_data_chunk_get_size(input) as usize;
            let first = duckdb_data_chunk_get_column_count(input) - bound.given.len() as u64;
            let read = |(i, given)| column(duckdb_data_chunk_get_vector(input, first + i as u64), given, rows);
            (rows, bound.given.iter().enumerate().map(read).collect::<Vec<_>>())
        };
        // SAFETY: the output vector has the registered type and room for the rows of the input.
        let mut sink = unsafe { Output::new(output, &bound.sql_type) };
        state.score(&columns, rows, &mut sink)
    });
    if let Err(error) = result {
        // SAFETY: the info is valid for the time of the callback.
        unsafe { duckdb_scalar_function_set_error(info, c_text(&error.0).as_ptr()) };
    }
}

pub unsafe extern "C" fn drop_function(data: *mut c_void) {
    // SAFETY: the extra info is the Function that was registered, and DuckDB drops it once.
    unsafe { dropped::<Function>(data) };
}
