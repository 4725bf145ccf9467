//! One version of a registry, opened for as long as somebody holds it: which calls of it have been bound, and their runs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::abi::{ArrowArray, ArrowSchema};
use super::input::held;
use super::output::{Batch, Collected, made_schema, schema};
use super::types::given;
use crate::core::calls::{self, Call};
use crate::core::column::{Column, Data};
use crate::core::error::{Code, Error, Result};
use crate::core::failing::score;
use crate::core::manifest::{Feature, Manifest};
use crate::core::plan::Plan;
use crate::core::predictor::{Predictor, State};
use crate::core::reference::Reference;
use crate::core::registry::Registry;
use crate::core::sqltype::{ArgType, SqlType};
use crate::sys::caught::guard;
use crate::sys::interrupt::Interrupt;
use crate::sys::library::Libraries;

/// As many as DuckDB hands over at a time: what depends on the rows that are put together is then the same.
const ROWS: usize = 2048;
/// Fewer batches are done sooner by one thread.
const BATCHES_PER_THREAD: usize = 4;
/// Types of arguments that are remembered.
const MOST_BOUND: usize = 64;

pub struct Model {
    /// What messages call it.
    name: String,
    manifest: Arc<Manifest>,
    libraries: Libraries,
    bound: Mutex<HashMap<String, Arc<Bound>>>,
}

/// A call whose arguments have these types.
pub struct Bound {
    predictor: Arc<Predictor>,
    given: ArgType,
    /// The only field is a list of all features.
    is_list: bool,
    pub sql_type: SqlType,
}

/// What is asked of a model.
#[derive(Clone)]
pub struct Asked {
    pub call: &'static Call,
    /// Of the probabilities that of this class alone.
    pub class: Option<usize>,
}

impl Model {
    pub fn open(home: Option<&str>, reference: &str, name: Option<&str>, libraries: Libraries) -> Result<Model> {
        let reference = Reference::parse(reference)?;
        let manifest = Registry::open(home).get(&reference)?;
        let name = name.map_or_else(|| reference.to_string(), str::to_string);
        Ok(Model { name, manifest, libraries, bound: Mutex::default() })
    }

    pub fn asked(&self, call: &str, class: Option<&str>) -> Result<Asked> {
        let known = || calls::CALLS.iter().map(|call| call.name).collect::<Vec<_>>().join(", ");
        let call = calls::find(call)
            .ok_or_else(|| Error::of(Code::Call, format!("there is no call '{call}'; calls: {}", known())))?;
        let class = match class {
            Some(class) if call.takes_class => Some(self.manifest.class(&self.name, Some(class))?),
            Some(_) => return Err(Error::of(Code::Call, format!("{}() takes no class", call.name))),
            None => None,
        };
        Ok(Asked { call, class })
    }

    /// A struct of the features.
    pub fn takes(&self) -> Result<ArrowSchema> {
        let feature = |feature: &Feature| match feature.sql_type.as_str() {
            "BLOB" => Ok(made_schema(&feature.name, "z", Vec::new())),
            other => Ok(schema(&feature.name, &SqlType::parse(other)?)),
        };
        let features = self.manifest.features.iter().map(feature).collect::<Result<_>>()?;
        Ok(made_schema("", "+s", features))
    }

    pub fn gives(&self, asked: &Asked) -> Result<ArrowSchema> {
        Ok(schema(asked.call.name, &self.type_of(asked)?))
    }

    fn type_of(&self, asked: &Asked) -> Result<SqlType> {
        let spec = asked.call.of(&self.manifest)?;
        match asked.call.fixed {
            Some(fixed) if !asked.call.is_typed => SqlType::parse(fixed),
            _ => Ok(asked.call.type_of(spec, asked.class)),
        }
    }

    /// # Safety
    /// The schema must be one that is not released.
    pub unsafe fn bind(&self, asked: &Asked, schema: &ArrowSchema) -> Result<Arc<Bound>> {
        // SAFETY: promised by the caller.
        let given = unsafe { given(schema) }?;
        let ArgType::Struct(fields) = &given else {
            return Err(Error::of(Code::Call, format!("rows are given as a struct of features, not as {given}")));
        };
        let list = match fields.as_slice() {
            [(_, list)] if list.is_list() && self.manifest.takes_list() => Some(list),
            _ => None,
        };
        let key = format!("{} {:?} {given:?}", asked.call.name, asked.class);
        let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bound) = bound.get(&key) {
            return Ok(bound.clone());
        }
        let sql_type = self.type_of(asked)?;
        let plan = Plan::new(&self.name, self.manifest.clone(), std::slice::from_ref(list.unwrap_or(&given)))?;
        let predictor = Arc::new(Predictor::new(plan, asked.call, &sql_type, asked.class)?);
        if bound.len() >= MOST_BOUND {
            bound.clear();
        }
        let new = Arc::new(Bound { predictor, is_list: list.is_some(), given, sql_type });
        bound.insert(key, new.clone());
        Ok(new)
    }

    /// Score all rows of an array, with at most so many threads, 0 for as many as there are cores.
    ///
    /// # Safety
    /// Array and schema must be of one another, and not released; `bound` must be of that schema.
    pub unsafe fn run(
        &self,
        bound: &Bound,
        array: &ArrowArray,
        schema: &ArrowSchema,
        threads: usize,
        interrupt: Interrupt,
    ) -> Result<ArrowArray> {
        let rows = usize::try_from(array.length).map_err(|_| Error::new("an array of fewer than no rows"))?;
        let runner = self.libraries.runner()?;
        let batches = rows.div_ceil(ROWS);
        let score = |state: &mut State, number: usize| {
            let (start, count) = (number * ROWS, ROWS.min(rows - number * ROWS));
            // SAFETY: promised by the caller.
            let held = unsafe { held(array, schema, &bound.given, start, count) }?;
            let mut batch = Batch::new(count);
            score(state, &bound.arguments(held.column()), count, &mut batch)?;
            Ok(batch)
        };
        let done = in_threads(
            batches,
            threads_for(batches, threads),
            &|| State::new(bound.predictor.clone(), &runner, interrupt),
            &score,
        )?;
        let mut collected = Collected::default();
        done.into_iter().for_each(|batch| collected.add(batch));
        collected.array(&bound.sql_type)
    }
}

impl Bound {
    /// The rows as the plan has them: a row by name, or a list.
    fn arguments<'a>(&self, rows: Column<'a>) -> Vec<Column<'a>> {
        match rows.data {
            Data::Struct(fields) if self.is_list => fields,
            data => vec![Column { data, ..rows }],
        }
    }
}

fn threads_for(batches: usize, most: usize) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let most = if most == 0 { cores() } else { most };
    (batches / BATCHES_PER_THREAD).clamp(1, most.max(1))
}

/// The batches in their order; of several errors that of the first batch.
fn in_threads<S: Send>(
    batches: usize,
    threads: usize,
    state: &(impl Fn() -> Result<S> + Sync),
    score: &(impl Fn(&mut S, usize) -> Result<Batch> + Sync),
) -> Result<Vec<Batch>> {
    if batches == 0 {
        state()?; // whether the model can be loaded does not depend on the rows
        return Ok(Vec::new());
    }
    let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        let mut done: Vec<(usize, Result<Batch>)> = Vec::new();
        let scored = guard(|| {
            let mut state = state()?;
            while !has_failed.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= batches {
                    break;
                }
                let batch = guard(|| score(&mut state, number));
                has_failed.fetch_or(batch.is_err(), Ordering::Relaxed);
                done.push((number, batch));
            }
            Ok(())
        });
        if let Err(error) = scored {
            has_failed.store(true, Ordering::Relaxed);
            done.push((batches, Err(error)));
        }
        done
    };
    let mut done = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for other in others {
            let panicked = |_| vec![(batches, Err(Error::new("a thread panicked")))];
            done.extend(other.join().unwrap_or_else(panicked));
        }
        done
    });
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, batch)| batch).collect()
}
