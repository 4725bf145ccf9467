//! The scalar functions: what happens when DuckDB binds, prepares and runs a call.

use std::collections::HashSet;
use std::ffi::c_void;
use std::sync::Arc;

use libduckdb_sys::*;

use super::context::{Binding, Context};
use super::input::column;
use super::instance::{Instance, Taken, Versions};
use super::output::Output;
use super::types::{LogicalType, report};
use super::writing::written;
use super::{dropped, guard};
use crate::core::column::{Column, Data};
use crate::core::error::{Error, Result, reference_not_constant, subquery};
use crate::core::manifest::Call;
use crate::core::names::{are_named, name_of};
use crate::core::plan::{Form, Plan};
use crate::core::predictor::{Predictor, State};
use crate::core::reference::Reference;
use crate::core::sqltype::{Given, Plain, SqlType};

/// A function as it was registered.
#[derive(Clone)]
pub struct Function {
    pub name: String,
    pub call: &'static str,
    pub answer: Answer,
    /// The model; None for functions whose first argument names it.
    pub reference: Option<Reference>,
    pub instance: Arc<Instance>,
}

#[derive(Clone)]
pub enum Answer {
    /// DuckDB fixes the type when the function is registered.
    Fixed(SqlType),
    /// It is the model's own in each call; until then it is this one.
    Model(Arc<LogicalType>),
}

/// What binding hands to the threads that run the call.
#[derive(Clone)]
struct Bound {
    /// None while a macro is defined or a statement prepared: the types of the arguments are known where it is called.
    call: Option<Ready>,
    /// None as above, where it is the model's.
    sql_type: Option<SqlType>,
    /// Arguments before the first feature.
    first: u64,
    /// The features' types; fields that are not read have a type that is not read.
    given: Vec<Given>,
    /// The features are given by name, and so are a row.
    named: bool,
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
        let bound = bound(&binding, function)?;
        if let Answer::Model(sign) = &function.answer {
            let unknown = || Ok(LogicalType::id(DUCKDB_TYPE_DUCKDB_TYPE_SQLNULL));
            let answer = bound.sql_type.as_ref().map_or_else(unknown, LogicalType::of)?;
            // SAFETY: the info is that of this callback.
            unsafe { function.instance.layout.clone()?.answer(info, &function.name, sign, answer)? };
        }
        let bound = Box::into_raw(Box::new(bound));
        // SAFETY: DuckDB takes the data over, copies it by `copy` and drops it by `drop_bound`.
        unsafe {
            duckdb_scalar_function_set_bind_data(info, bound.cast(), Some(drop_bound));
            duckdb_scalar_function_set_bind_data_copy(info, Some(copy_bound));
        }
        Ok(())
    });
    // SAFETY: the info is valid for the time of the callback.
    unsafe { report(info, duckdb_scalar_function_bind_set_error, result) };
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
    if !given.iter().all(Given::is_known) {
        let sql_type = match &function.answer {
            Answer::Fixed(sql_type) => Some(sql_type.clone()),
            Answer::Model(_) => None,
        };
        return Ok(Bound { call: None, sql_type, first: 0, given: Vec::new(), named: false });
    }
    let instance = function.instance.clone();
    let mut called = instance.layout.as_ref().map_or(Ok(Vec::new()), |layout| layout.all_called(binding))?;
    let first = usize::from(function.reference.is_none());
    let reference = match &function.reference {
        Some(reference) => reference.clone(),
        None => {
            let text = binding.constant(0, &context);
            Reference::parse(&text.ok_or_else(|| reference_not_constant(&function.name))?)?
        }
    };
    given.drain(..first);
    called.drain(..first.min(called.len()));
    let taken = instance.take(&context)?;
    let began = instance.transaction.and_then(|layout| layout.began(&context));
    let versions = instance.statement(context.connection(), began);
    let version = versions.of(&taken.registry, &reference)?;
    let manifest = taken.registry.version(&reference.name, version)?;
    let call = manifest.call(function.call)?;
    let model = reference.to_string();
    let class = match function.call == "predict_proba" && manifest.class_follows(&given) {
        true => Some(manifest.class(&model, binding.constant(binding.count() - 1, &context).as_deref())?),
        false => None,
    };
    if class.is_some() {
        given.pop();
        called.truncate(given.len());
    }
    let sql_type = answer_type(function, &reference, call, class)?;
    let named = are_named(&model, &manifest.feature_names(), &called)?;
    if named {
        let fields = called.iter().map(name_of).zip(given).map(|(name, given)| Ok((name?, given)));
        given = vec![Given::Struct(fields.collect::<Result<_>>()?)];
    }
    let plan = Plan::new(&model, manifest.clone(), &given)?;
    if let (Form::Row(places), [Given::Struct(fields)]) = (&plan.form, given.as_mut_slice()) {
        let places: HashSet<usize> = places.iter().copied().collect();
        for (i, (_, field)) in fields.iter_mut().enumerate() {
            if !places.contains(&i) {
                *field = Given::Other("unused");
            }
        }
    }
    if let (true, [Given::Struct(fields)]) = (named, given.as_mut_slice()) {
        given = std::mem::take(fields).into_iter().map(|(_, given)| given).collect();
    }
    let predictor = Arc::new(Predictor::new(plan, function.call, &sql_type, class)?);
    let call = Some(Ready { predictor, taken, instance, versions });
    Ok(Bound { call, sql_type: Some(sql_type), first: first as u64, given, named })
}

/// What the call answers; an error where it does not fit the type that the function was registered with.
fn answer_type(function: &Function, reference: &Reference, call: &Call, class: Option<usize>) -> Result<SqlType> {
    let Answer::Fixed(sql_type) = &function.answer else {
        return match (class, &call.sql_type) {
            (Some(_), SqlType::Map(_, probability)) => Ok(*probability.clone()),
            (_, own) => Ok(own.clone()),
        };
    };
    let (name, own) = (&function.name, &call.sql_type);
    if class.is_some() {
        return Err(Error(format!(
            "{name}() answers {sql_type}, the probabilities of all classes: take that of one by {name}(…)[class]{}",
            why_fixed(&function.instance)
        )));
    }
    if function.reference.is_some() {
        if own == sql_type {
            return Ok(sql_type.clone());
        }
        return Err(Error(format!(
            "{name}() of this database answers {sql_type}, and the model '{reference}' now answers {own}: a function's \
             type is fixed when the extension is loaded; open the database again"
        )));
    }
    let fits = match sql_type {
        SqlType::Plain(Plain::Double) => own.is_scalar() && *own != SqlType::Plain(Plain::Varchar),
        SqlType::Plain(_) => own.is_scalar(),
        _ => true,
    };
    if fits {
        return Ok(sql_type.clone());
    }
    let typed = match reference.to_string() {
        plain if plain == reference.name => format!("predict_{plain}(…)"),
        other => format!("\"predict_{other}\"(…)"),
    };
    let label = match own.is_scalar() {
        true => format!("predict_label('{reference}', …) or "),
        false => String::new(),
    };
    Err(Error(format!(
        "{name}() answers {sql_type}, and the model '{reference}' answers {own}: call {label}{typed}{}",
        why_fixed(&function.instance)
    )))
}

fn why_fixed(instance: &Instance) -> String {
    instance.layout.as_ref().err().map_or(String::new(), |why| format!("; {why}"))
}

pub unsafe extern "C" fn init(info: duckdb_init_info) {
    let result = guard(|| {
        // SAFETY: the bind data is the Bound that `bind` set.
        let bound = unsafe { duckdb_scalar_function_init_get_bind_data(info).cast::<Bound>().as_ref() };
        let unbound = || Error("the call was not bound".to_string());
        let call = bound.and_then(|bound| bound.call.as_ref()).ok_or_else(unbound)?;
        let mut context = std::ptr::null_mut();
        // SAFETY: the info is valid, and the out-pointer too.
        unsafe { duckdb_scalar_function_init_get_client_context(info, &mut context) };
        let context = Context(context);
        call.versions.run();
        // SAFETY: DuckDB drops the state with the query, which its connection outlives.
        let interrupt = unsafe { context.interrupt(call.instance.interrupt_flag) };
        let state = State::new(call.predictor.clone(), &call.taken.libraries.runner()?, interrupt)?;
        // SAFETY: DuckDB takes the state over and drops it by `drop_state`.
        unsafe {
            duckdb_scalar_function_init_set_state(info, Box::into_raw(Box::new(state)).cast(), Some(drop_state));
        }
        Ok(())
    });
    // SAFETY: the info is valid for the time of the callback.
    unsafe { report(info, duckdb_scalar_function_init_set_error, result) };
}

unsafe extern "C" fn drop_state(data: *mut c_void) {
    // SAFETY: the state was made by `init`, and DuckDB drops it once.
    unsafe { dropped::<State>(data) };
}

pub unsafe extern "C-unwind" fn execute(info: duckdb_function_info, input: duckdb_data_chunk, output: duckdb_vector) {
    let work = || {
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
            let read = |(i, given)| column(duckdb_data_chunk_get_vector(input, bound.first + i as u64), given, rows);
            (rows, bound.given.iter().enumerate().map(read).collect::<Vec<_>>())
        };
        let row = |fields| vec![Column { valid: None, data: Data::Struct(fields) }];
        let columns = if bound.named { row(columns) } else { columns };
        let sql_type = bound.sql_type.as_ref().ok_or_else(|| Error("the call was not bound".to_string()))?;
        // SAFETY: the output vector has the type that the call was bound with, and room for the rows of the input.
        let mut sink = unsafe { Output::new(output, sql_type) };
        state.score(&columns, rows, &mut sink)?;
        Ok(sink.writes())
    };
    // SAFETY: as said there; DuckDB calls.
    let result = unsafe { written(work) };
    // SAFETY: the info is valid for the time of the callback.
    unsafe { report(info, duckdb_scalar_function_set_error, result) };
}

pub unsafe extern "C" fn drop_function(data: *mut c_void) {
    // SAFETY: the extra info is the Function that was registered, and DuckDB drops it once.
    unsafe { dropped::<Function>(data) };
}
