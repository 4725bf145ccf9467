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
use crate::core::column::{Column, Data};
use crate::core::error::{Code, Error, Result, other_order, reference_not_constant, subquery};
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

/// A call whose model is known, and so its type.
pub struct Asked {
    pub sql_type: SqlType,
    /// Those of the statement that the call is in.
    pub versions: Arc<Versions>,
    reference: Reference,
    manifest: Arc<Manifest>,
    class: Option<usize>,
    taken: Arc<Taken>,
    given: Vec<ArgType>,
    called: Vec<Called>,
    places: Vec<usize>,
}

/// What binding hands to the threads that run the call.
#[derive(Clone)]
pub struct Bound {
    /// None while a macro is defined or a statement prepared: the types of the arguments are known where it is called.
    call: Option<Ready>,
    /// None as above, where it is the model's.
    pub sql_type: Option<SqlType>,
    /// Where DuckDB has the features.
    pub places: Vec<usize>,
    /// The features' types; fields that are not read have a type that is not read.
    given: Vec<ArgType>,
    /// What they are called, where they are given by name, and so are a row.
    names: Option<Vec<String>>,
}

/// A call whose features are known.
#[derive(Clone)]
struct Ready {
    predictor: Arc<Predictor>,
    version: u64,
    class: Option<usize>,
    taken: Arc<Taken>,
    instance: Arc<Instance>,
    versions: Arc<Versions>,
    /// That of the features, where no other call may have another one.
    _order: Option<Arc<Vec<String>>>,
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
        Some(reference) => reference.clone(),
        None => {
            let text = arguments.constant(0);
            Reference::parse(&text.ok_or_else(|| reference_not_constant(&function.name))?)?
        }
    };
    given.drain(..first);
    called.drain(..first.min(called.len()));
    let context = arguments.context();
    let taken = function.instance.take(context)?;
    let instance = &function.instance;
    let versions = versions.unwrap_or_else(|| {
        let began = instance.transaction.and_then(|layout| layout.began(context));
        instance.statement(context.connection(), began)
    });
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
    Ok(Some(Asked { sql_type, versions, reference, manifest, class, taken, given, called, places }))
}

impl Asked {
    pub fn bound(self, function: &Function) -> Result<Bound> {
        let Asked { sql_type, versions, reference, manifest, class, taken, mut given, called, places } = self;
        let model = reference.to_string();
        let mut names = None;
        if are_named(&model, &manifest.feature_names(), &called)? {
            let all = called.iter().map(name_of).collect::<Result<Vec<_>>>()?;
            given = vec![ArgType::Struct(all.iter().cloned().zip(given).collect())];
            names = Some(all);
        }
        let _order = match &function.instance.typing {
            Ok(typing) if typing.compares_values_alone() => {
                one_order(function, &reference, &versions, &manifest.feature_names(), names.as_deref(), called.len())?
            }
            _ => None,
        };
        let version = manifest.version;
        let plan = Plan::new(&model, manifest, &given)?;
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
        let instance = function.instance.clone();
        let call = Some(Ready { predictor, version, class, taken, instance, versions, _order });
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
        let key = |bound: &Bound| bound.call.as_ref().map(|call| (call.version, call.class, bound.names.clone()));
        key(self).is_some() && key(self) == key(other)
    }

    /// What a thread needs to score.
    ///
    /// # Safety
    /// The context must be that of the query, which the state must not outlive.
    pub unsafe fn state(&self, context: &Context) -> Result<State> {
        let call = self.call.as_ref().ok_or_else(not_bound)?;
        call.versions.run();
        // SAFETY: promised by the caller; a connection outlives its queries.
        let interrupt = unsafe { context.interrupt(call.instance.interrupt_flag) };
        State::new(call.predictor.clone(), &call.taken.libraries.runner()?, interrupt)
    }

    /// Score rows; what is left to write.
    ///
    /// # Safety
    /// `features` must be the arguments at `places`, flat, with that many rows; `output` must be a writable flat vector of the
    /// type that was bound, with room for them.
    pub unsafe fn score(
        &self,
        state: &mut State,
        features: &[duckdb_vector],
        rows: usize,
        output: duckdb_vector,
    ) -> Result<Writes> {
        // SAFETY: promised by the caller.
        let read = |(vector, given): (&duckdb_vector, &ArgType)| unsafe { column(*vector, given, rows) };
        let columns: Vec<Column> = features.iter().zip(&self.given).map(read).collect();
        let row = |fields| vec![Column { valid: None, data: Data::Struct(fields) }];
        let columns = if self.names.is_some() { row(columns) } else { columns };
        // SAFETY: promised by the caller.
        let mut sink = unsafe { Output::new(output, self.sql_type.as_ref().ok_or_else(not_bound)?) };
        score(state, &columns, rows, &mut sink)?;
        Ok(sink.writes())
    }
}

/// Where DuckDB compares the values of two calls and not what they are called, the order must tell.
fn one_order(
    function: &Function,
    reference: &Reference,
    versions: &Versions,
    features: &[String],
    names: Option<&[String]>,
    count: usize,
) -> Result<Option<Arc<Vec<String>>>> {
    let order = match names {
        Some(names) => names,
        None if count == features.len() => features,
        None => return Ok(None),
    };
    let order = order.iter().map(|name| name.to_lowercase()).collect();
    let order = versions.in_order(format!("{} {reference}", function.name), order);
    order.map(Some).ok_or_else(|| other_order(&reference.to_string(), features))
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
