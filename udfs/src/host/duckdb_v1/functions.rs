//! The functions that answer for each row: of any model, and of each one.

use std::collections::HashSet;
use std::sync::Arc;

use libduckdb_sys::*;

use super::layout::Layout;
use super::scalar;
use crate::core::calls::{self, CALLS};
use crate::core::error::{Error, Result};
use crate::core::reference::{DEFAULT, Pointer, Reference};
use crate::core::sqltype::SqlType;
use crate::host::duckdb::connection::{Connection, registered};
use crate::host::duckdb::instance::{Answer, Arity, Function, Instance, Registrar, Typing};
use crate::host::duckdb::types::{LogicalType, c_text};
use crate::host::duckdb::version::is_duckdb_1;
use crate::host::duckdb::writing;

/// What predict('model', …) takes by position on a host that refuses names; rows and lists can be of any width.
const MOST_POSITIONS: usize = 64;

/// All that the database does not have yet. `known`: those that it has.
pub fn register(
    connection: &Connection,
    database: duckdb_database,
    instance: &Arc<Instance>,
    known: &HashSet<String>,
) -> Result<()> {
    let registrar = registrar(connection, database, instance)?;
    for (function, arity) in generic(instance)? {
        if !known.contains(&function.name) {
            registrar.add(function, arity)?;
        }
    }
    register_typed(&*registrar, instance, known);
    Ok(())
}

/// Functions of each model that the database does not have yet; their number. A folder that cannot be read says so when
/// a model is asked for; it must not keep the extension from loading, nor may a model whose type this DuckDB has not.
pub fn register_typed(registrar: &dyn Registrar, instance: &Arc<Instance>, known: &HashSet<String>) -> usize {
    let all = typed(instance).unwrap_or_default().into_iter();
    let new = all.filter(|(function, _)| !known.contains(&function.name));
    new.filter(|(function, arity)| registrar.add(function.clone(), *arity).is_ok()).count()
}

/// What functions are registered with.
pub fn registrar<'a>(
    connection: &'a Connection,
    database: duckdb_database,
    instance: &'a Instance,
) -> Result<Box<dyn Registrar + 'a>> {
    match &instance.typing {
        Ok(typing) => typing.registrar(connection, database),
        Err(_) => Ok(Box::new(OverV1 { connection, layout: None })),
    }
}

struct OverV1<'a> {
    connection: &'a Connection,
    layout: Option<&'a Layout>,
}

impl Registrar for OverV1<'_> {
    fn add(&self, function: Function, arity: Arity) -> Result<()> {
        register_function(self.connection, self.layout, function, arity)
    }
}

impl Typing for Layout {
    fn registrar<'a>(&'a self, connection: &'a Connection, _: duckdb_database) -> Result<Box<dyn Registrar + 'a>> {
        Ok(Box::new(OverV1 { connection, layout: Some(self) }))
    }

    fn compares_values_alone(&self) -> bool {
        true
    }

    fn api(&self) -> Option<&'static str> {
        None
    }
}

/// The functions of any model, which is their first argument.
fn generic(instance: &Arc<Instance>) -> Result<Vec<(Function, Arity)>> {
    let mut functions = Vec::new();
    for call in &CALLS {
        let (answer, arity) = match (instance.typing.is_ok() && call.is_typed, call.fixed) {
            (true, _) => (Answer::Model, Arity::Any),
            (false, Some(fixed)) => (Answer::Fixed(SqlType::parse(fixed)?), Arity::UpTo(MOST_POSITIONS)),
            (false, None) => continue,
        };
        let help = format!(
            "{}. Of any model, which is named first; then its features, by position or by name, or a row",
            call.help
        );
        let name = call.name.to_string();
        functions.push((Function { name, help, call, answer, reference: None, instance: instance.clone() }, arity));
    }
    Ok(functions)
}

/// The typed functions of all models: one for each call of each alias and version.
fn typed(instance: &Arc<Instance>) -> Result<Vec<(Function, Arity)>> {
    let (registry, _) = instance.registry();
    let mut functions = Vec::new();
    for name in registry.names()? {
        let aliases = registry.aliases(&name).unwrap_or_default().into_keys().map(Pointer::Alias);
        let versions = registry.versions(&name).unwrap_or_default().into_iter().map(Pointer::Version);
        for pointer in aliases.chain(versions) {
            let public = pointer == Pointer::Alias(DEFAULT.to_string());
            let reference = Reference { name: name.clone(), pointer };
            // a damaged model says so when it is asked for; the others are not to suffer
            let Ok(manifest) = registry.get(&reference) else { continue };
            for call in calls::typed() {
                let Ok(answer) = call.of(&manifest) else { continue };
                let name = call.function_of(&reference);
                let is_plain = public && name == format!("predict_{reference}");
                let arity = if is_plain { Arity::About(manifest.features.len()) } else { Arity::Any };
                let answer = Answer::Fixed(answer.sql_type.clone());
                let reference = Some(reference.clone());
                let features = manifest.shown_features();
                let help = format!("{}. Of the model: {features}, by position or by name, or a row", call.help);
                functions.push((Function { name, help, call, answer, reference, instance: instance.clone() }, arity));
            }
        }
    }
    Ok(functions)
}

fn register_function(connection: &Connection, layout: Option<&Layout>, function: Function, arity: Arity) -> Result<()> {
    let name = function.name.clone();
    // DuckDB 2 refuses `f(b := x)` where a function has parameters without names; DuckDB 1 takes it for `f(x)`
    let counts: Vec<Option<usize>> = match arity {
        Arity::UpTo(most) if !is_duckdb_1() => (0..=most).map(Some).collect(),
        Arity::About(features) if !is_duckdb_1() => {
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
        Answer::Model => match layout {
            Some(layout) => layout.sign.clone(),
            None => return Err(Error::new(format!("sqlinfer: {name}() has no type"))),
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
            let extra =
                Box::into_raw(Box::new(scalar::Registered { function: function.clone(), layout: layout.cloned() }));
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
