//! A call of a function, by whichever of DuckDB's APIs it comes: what is found out when it is bound, and how its rows are scored.

use std::collections::HashSet;
use std::sync::Arc;

use libduckdb_sys::duckdb_vector;

use super::context::Context;
use super::input::column;
use super::instance::{Answer, Function, Instance, Taken};
use super::output::Output;
use super::versions::Versions;
use super::writing::Writes;
use crate::core::by_model::{ByModel, Thread};
use crate::core::column::{Column, Data};
use crate::core::error::{Code, Error, Result, other_order, other_orders, reference_not_constant, subquery};
use crate::core::failing::score;
use crate::core::manifest::{CallSpec, Manifest};
use crate::core::names::{Called, are_named, name_of};
use crate::core::plan::{ArgLayout, Plan};
use crate::core::predictor::{Predictor, State};
use crate::core::reference::Reference;
use crate::core::sqltype::{ArgType, Plain, SqlType};

/// The arguments of a call that is bound, as the host shows them.
pub trait Arguments {
    fn context(&self) -> &Context;
    /// Their types; None when one is not shown.
    fn given(&self) -> Option<Vec<ArgType>>;
    /// A constant's value as text; None when it is not constant, or NULL.
    fn constant(&self, i: usize) -> Option<String>;
    /// What they are called; nothing where the host does not tell.
    fn called(&self) -> Result<Vec<Called>>;
    /// Where DuckDB has them.
    fn place(&self, i: usize) -> usize;
}

/// A call whose type is known.
pub struct Asked {
    pub sql_type: SqlType,
    /// Those of the statement that the call is in.
    pub versions: Arc<Versions>,
    model: Option<Model>,
    taken: Arc<Taken>,
    given: Vec<ArgType>,
    called: Vec<Called>,
    places: Vec<usize>,
}

/// The model of a call; there is none where each row names its own.
struct Model {
    reference: Reference,
    manifest: Arc<Manifest>,
    class: Option<usize>,
}

/// What binding hands to the threads that run the call.
#[derive(Clone)]
pub struct Bound {
    /// None while a macro is defined or a statement prepared: the types of the arguments are known where it is called.
    call: Option<Ready>,
    /// None as above, where it is the model's.
    pub sql_type: Option<SqlType>,
    /// Where DuckDB has the features; before them the names of the models, where rows name them.
    pub places: Vec<usize>,
    /// Their types; fields that are not read have a type that is not read.
    given: Vec<ArgType>,
    /// What they are called, where they are given by name, and so are a row.
    names: Option<Vec<String>>,
}

/// A call whose features are known.
#[derive(Clone)]
struct Ready {
    of: Of,
    taken: Arc<Taken>,
    instance: Arc<Instance>,
    versions: Arc<Versions>,
    /// That of the features, where no other call may have another one.
    _order: Option<Arc<Vec<String>>>,
}

#[derive(Clone)]
enum Of {
    Model { predictor: Arc<Predictor>, version: u64, class: Option<usize> },
    EachRow(Arc<ByModel>),
}

/// One thread's way through a call.
pub enum Running {
    Model(Box<State>),
    EachRow(Box<Thread>),
}

/// None where the types of the arguments are not known yet. `versions`: those that the statement is known to have.
pub fn asked(
    arguments: &impl Arguments,
    function: &Function,
    versions: Option<Arc<Versions>>,
) -> Result<Option<Asked>> {
    let mut given = arguments.given().ok_or_else(|| subquery(&function.name))?;
    if !given.iter().all(ArgType::is_known) {
        return Ok(None);
    }
    let mut called = arguments.called()?;
    let count = given.len();
    let first = function.first();
    let reference = match &function.reference {
        Some(reference) => Some(reference.clone()),
        None => arguments.constant(0).map(|text| Reference::parse(&text)).transpose()?,
    };
    let context = arguments.context();
    let taken = function.instance.take(context)?;
    let instance = &function.instance;
    let versions = versions.unwrap_or_else(|| {
        let began = instance.transaction.and_then(|layout| layout.began(context));
        instance.statement(context.connection(), began)
    });
    let Some(reference) = reference else {
        let sql_type = type_of_any(function)?;
        called.drain(..1.min(called.len()));
        let places = (0..count).map(|i| arguments.place(i)).collect();
        return Ok(Some(Asked { sql_type, versions, model: None, taken, given, called, places }));
    };
    given.drain(..first);
    called.drain(..first.min(called.len()));
    let version = versions.of(&taken.registry, &reference)?;
    let manifest = taken.registry.version(&reference.name, version)?;
    let call = function.call.of(&manifest)?;
    let class = match function.call.takes_class && manifest.class_follows(&given) {
        true => Some(manifest.class(&reference.to_string(), arguments.constant(count - 1).as_deref())?),
        false => None,
    };
    if class.is_some() {
        given.pop();
        called.truncate(given.len());
    }
    let sql_type = answer_type(function, &reference, call, class)?;
    let places = (first..first + given.len()).map(|i| arguments.place(i)).collect();
    let model = Some(Model { reference, manifest, class });
    Ok(Some(Asked { sql_type, versions, model, taken, given, called, places }))
}

/// What a call answers that must answer for every model.
fn type_of_any(function: &Function) -> Result<SqlType> {
    SqlType::parse(function.call.fixed.ok_or_else(|| reference_not_constant(&function.name))?)
}

impl Asked {
    pub fn bound(self, function: &Function) -> Result<Bound> {
        let Asked { sql_type, versions, model, taken, given, called, places } = self;
        let instance = function.instance.clone();
        let one_order = |order| match &instance.typing {
            Ok(typing) if typing.compares_values_alone() => order_of(&versions, order),
            _ => Ok(None),
        };
        let Some(Model { reference, manifest, class }) = model else {
            let by_model = ByModel::new(function.call, sql_type.clone(), &given, called)?;
            let _order =
                one_order(by_model.order().map(|order| (function.name.clone(), order, other_orders(&function.name))))?;
            let of = Of::EachRow(Arc::new(by_model));
            let call = Some(Ready { of, taken, instance, versions, _order });
            return Ok(Bound { call, sql_type: Some(sql_type), places, given, names: None });
        };
        let (named, features) = (reference.to_string(), manifest.feature_names());
        let mut given = given;
        let mut names = None;
        if are_named(&named, &features, &called)? {
            let all = called.iter().map(name_of).collect::<Result<Vec<_>>>()?;
            given = vec![ArgType::Struct(all.iter().cloned().zip(given).collect())];
            names = Some(all);
        }
        let order = names.as_ref().or((called.len() == features.len()).then_some(&features));
        let key = format!("{} {named}", function.name);
        let _order = one_order(order.map(|order| (key, order.clone(), other_order(&named, &features))))?;
        let version = manifest.version;
        let plan = Plan::new(&named, manifest, &given)?;
        if let (ArgLayout::Row(places), [ArgType::Struct(fields)]) = (&plan.form, given.as_mut_slice()) {
            let places: HashSet<usize> = places.iter().copied().collect();
            for (i, (_, field)) in fields.iter_mut().enumerate() {
                if !places.contains(&i) {
                    *field = ArgType::Other("unused");
                }
            }
        }
        if let (true, [ArgType::Struct(fields)]) = (names.is_some(), given.as_mut_slice()) {
            given = std::mem::take(fields).into_iter().map(|(_, given)| given).collect();
        }
        let predictor = Arc::new(Predictor::new(plan, function.call, &sql_type, class)?);
        let of = Of::Model { predictor, version, class };
        let call = Some(Ready { of, taken, instance, versions, _order });
        Ok(Bound { call, sql_type: Some(sql_type), places, given, names })
    }
}

impl Bound {
    /// A call that is bound again when the types of its arguments are known.
    pub fn later(function: &Function) -> Bound {
        let sql_type = match &function.answer {
            Answer::Fixed(sql_type) => Some(sql_type.clone()),
            Answer::Model => None,
        };
        Bound { call: None, sql_type, places: Vec::new(), given: Vec::new(), names: None }
    }

    /// Whether two calls of a function that have the same arguments have the same answers.
    pub fn answers_as(&self, other: &Bound) -> bool {
        match (&self.call, &other.call) {
            (Some(Ready { of: Of::EachRow(one), .. }), Some(Ready { of: Of::EachRow(other), .. })) => {
                one.order() == other.order()
            }
            (Some(Ready { of: one, .. }), Some(Ready { of: two, .. })) => match (one, two) {
                (Of::Model { version: v, class: c, .. }, Of::Model { version, class, .. }) => {
                    (v, c, &self.names) == (version, class, &other.names)
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// What a thread needs to score.
    ///
    /// # Safety
    /// The context must be that of the query, which the state must not outlive.
    pub unsafe fn state(&self, context: &Context) -> Result<Running> {
        let Ready { of, taken, instance, versions, .. } = self.call.as_ref().ok_or_else(not_bound)?;
        versions.run();
        // SAFETY: promised by the caller; a connection outlives its queries.
        let interrupt = unsafe { context.interrupt(instance.interrupt_flag) };
        let runner = taken.libraries.runner()?;
        Ok(match of {
            Of::Model { predictor, .. } => Running::Model(Box::new(State::new(predictor.clone(), &runner, interrupt)?)),
            Of::EachRow(by_model) => {
                let (taken, versions) = (taken.clone(), versions.clone());
                let find = move |reference: &Reference| {
                    taken.registry.version(&reference.name, versions.of(&taken.registry, reference)?)
                };
                Running::EachRow(Box::new(Thread::new(by_model.clone(), Box::new(find), runner, interrupt)?))
            }
        })
    }

    /// Score rows; what is left to write.
    ///
    /// # Safety
    /// `given` must be the arguments at `places`, flat, with that many rows; `output` must be a writable flat vector of the
    /// type that was bound, with room for them.
    pub unsafe fn score(
        &self,
        running: &mut Running,
        given: &[duckdb_vector],
        rows: usize,
        output: duckdb_vector,
    ) -> Result<Writes> {
        // SAFETY: promised by the caller.
        let read = |(vector, given): (&duckdb_vector, &ArgType)| unsafe { column(*vector, given, rows) };
        let columns: Vec<Column> = given.iter().zip(&self.given).map(read).collect();
        // SAFETY: promised by the caller.
        let mut sink = unsafe { Output::new(output, self.sql_type.as_ref().ok_or_else(not_bound)?) };
        match running {
            Running::Model(state) => {
                let row = |fields| vec![Column { valid: None, data: Data::Struct(fields) }];
                let columns = if self.names.is_some() { row(columns) } else { columns };
                score(state, &columns, rows, &mut sink)?;
            }
            Running::EachRow(thread) => thread.score(columns, rows, &mut sink)?,
        }
        Ok(sink.writes())
    }
}

/// Where DuckDB compares the values of two calls and not what they are called, the order must tell. `order`: of the calls
/// that are compared, this one's, and what is said of another one.
fn order_of(versions: &Versions, order: Option<(String, Vec<String>, Error)>) -> Result<Option<Arc<Vec<String>>>> {
    let Some((calls, order, error)) = order else { return Ok(None) };
    let order = order.iter().map(|name| name.to_lowercase()).collect();
    versions.in_order(calls, order).map(Some).ok_or(error)
}

fn not_bound() -> Error {
    Error::new("the call was not bound".to_string())
}

/// What the call answers; an error where it does not fit the type that the function was registered with.
fn answer_type(function: &Function, reference: &Reference, call: &CallSpec, class: Option<usize>) -> Result<SqlType> {
    let Answer::Fixed(sql_type) = &function.answer else {
        return Ok(function.call.type_of(call, class));
    };
    let (name, own) = (&function.name, &call.sql_type);
    if class.is_some() {
        return Err(Error::new(format!(
            "{name}() answers {sql_type}, the probabilities of all classes: take that of one by {name}(…)[class]{}",
            why_fixed(&function.instance)
        )));
    }
    if function.reference.is_some() {
        if own == sql_type {
            return Ok(sql_type.clone());
        }
        return Err(Error::of(
            Code::Engine,
            format!(
                "{name}() of this database answers {sql_type}, and the model '{reference}' now answers {own}: a function's \
             type is fixed when the extension is loaded; open the database again"
            ),
        ));
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
    Err(Error::new(format!(
        "{name}() answers {sql_type}, and the model '{reference}' answers {own}: call {label}{typed}{}",
        why_fixed(&function.instance)
    )))
}

fn why_fixed(instance: &Instance) -> String {
    instance.typing.as_ref().err().map_or(String::new(), |why| format!("; {why}"))
}
