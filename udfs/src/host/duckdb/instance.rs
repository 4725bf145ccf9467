//! What belongs to one database: where its models and libraries are, taken once, and which versions its statements see.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use libduckdb_sys::duckdb_database;

use super::connection::Connection;
use super::context::{Context, HOME, InterruptFlag, Setting};
use super::layout::{DatabaseLayout, TransactionLayout};
use super::versions::Versions;
use crate::core::calls::Call;
use crate::core::error::{Code, Error, Result};
use crate::core::reference::Reference;
use crate::core::registry::Registry;
use crate::core::sqltype::SqlType;
use crate::sys::library::{self, Libraries};

const SETTINGS: [&str; 3] = [HOME, library::SETTING, library::OPERATORS_SETTING];
/// The calls of one statement are bound one right after the other, as far as can be told where DuckDB does not show it.
const BETWEEN_CALLS: Duration = Duration::from_millis(100);
/// No more connections bind statements at the same time.
const CONNECTIONS: usize = 1024;

/// Shared by all functions of one database.
pub struct Instance {
    taken: Mutex<Option<Arc<Taken>>>,
    /// The last one of each connection; the one that was bound last is the last.
    statements: Mutex<VecDeque<Statement>>,
    pub interrupt_flag: Option<InterruptFlag>,
    /// Or why functions have one type each.
    pub typing: Result<Box<dyn Typing>>,
    pub database: Option<DatabaseLayout>,
    pub transaction: Option<TransactionLayout>,
    refreshing: Mutex<()>,
}

/// How functions get their type, and the names of their arguments, when they are bound.
pub trait Typing: Send + Sync {
    /// What registers functions in a database; `connection` is one to it.
    fn registrar<'a>(
        &'a self,
        connection: &'a Connection,
        database: duckdb_database,
    ) -> Result<Box<dyn Registrar + 'a>>;
    /// Whether DuckDB takes calls of equal values for one, whatever the values are called.
    fn compares_values_alone(&self) -> bool;
    /// The API beside v1 that it comes by.
    fn api(&self) -> Option<&'static str>;
}

pub trait Registrar {
    fn add(&self, function: Function, arity: Arity) -> Result<()>;
}

/// A function as it was registered.
#[derive(Clone)]
pub struct Function {
    pub name: String,
    /// In `duckdb_functions()`, where the API has a place for it.
    pub help: String,
    pub call: &'static Call,
    pub answer: Answer,
    /// The model; None for functions whose first argument names it.
    pub reference: Option<Reference>,
    pub instance: Arc<Instance>,
}

impl Function {
    /// Arguments before the first feature.
    pub fn first(&self) -> usize {
        usize::from(self.reference.is_none())
    }
}

#[derive(Clone)]
pub enum Answer {
    /// DuckDB fixes the type when the function is registered.
    Fixed(SqlType),
    /// It is the model's own in each call.
    Model,
}

/// How many arguments a function takes.
#[derive(Clone, Copy)]
pub enum Arity {
    Any,
    /// About this many: a host that refuses names then does, which it would take for positions; see README.md.
    About(usize),
    UpTo(usize),
}

/// What was found out of the DuckDB that runs.
pub struct Layouts {
    pub interrupt_flag: Option<InterruptFlag>,
    pub typing: Result<Box<dyn Typing>>,
    pub database: Option<DatabaseLayout>,
    pub transaction: Option<TransactionLayout>,
}

/// Where models and libraries are, and what the settings said when this was found out.
pub struct Taken {
    pub registry: Registry,
    pub libraries: Libraries,
    settings: [Setting; 3],
}

/// What the program that loads the extension says itself, so that no SQL can say otherwise.
#[derive(Clone, Default)]
pub struct Given {
    pub texts: [Option<String>; 3],
    /// The database has no functions but DuckDB's own.
    pub is_new: bool,
}

/// By the name of a function that only the database has that it is meant for.
static GIVEN: Mutex<Vec<(String, Given)>> = Mutex::new(Vec::new());

thread_local! {
    static LAST: RefCell<Option<Weak<Instance>>> = const { RefCell::new(None) };
}

/// For the database with this function, until it is taken back.
pub fn give(function: String, given: Option<Given>) {
    let mut all = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|(other, _)| *other != function);
    all.extend(given.map(|given| (function, given)));
}

/// What was given for a database by whether it has a function.
pub fn given(has: impl Fn(&str) -> bool) -> Option<Given> {
    let all = GIVEN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    all.into_iter().find(|(function, _)| has(function)).map(|(_, given)| given)
}

impl Instance {
    pub fn new(given: Option<Given>, layouts: Layouts) -> Instance {
        let taken = given.map(|given| {
            let [home, onnxruntime, operators] = given.texts.clone();
            Arc::new(Taken {
                registry: Registry::open(home.as_deref()),
                libraries: Libraries::of(onnxruntime, operators),
                settings: given.texts.map(|text| Setting { text, is_own: false }),
            })
        });
        let Layouts { interrupt_flag, typing, database, transaction } = layouts;
        let (taken, statements, refreshing) = (Mutex::new(taken), Mutex::default(), Mutex::default());
        Instance { taken, statements, interrupt_flag, typing, database, transaction, refreshing }
    }

    /// The instance whose function was bound last on this thread.
    pub fn last_bound() -> Option<Arc<Instance>> {
        LAST.take()?.upgrade()
    }

    pub fn was_bound(self: &Arc<Self>) {
        LAST.set(Some(Arc::downgrade(self)));
    }

    /// Functions are added by one at a time.
    pub fn refreshing(&self) -> MutexGuard<'_, ()> {
        self.refreshing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where models are, as far as that is known before anybody asks for one; and whether it is.
    pub fn registry(&self) -> (Registry, bool) {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone();
        taken.map_or_else(|| (Registry::open(None), false), |taken| (taken.registry.clone(), true))
    }

    /// Taken from the settings when they are needed for the first time. From then on they cannot be changed: whoever may
    /// only ask must not make the process load a library, or read a folder.
    pub fn take(&self, context: &Context) -> Result<Arc<Taken>> {
        let settings = SETTINGS.map(|name| context.setting(name));
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = taken.as_ref() {
            return taken.unchanged(&settings).map(|()| taken.clone());
        }
        let [home, onnxruntime, operators] = settings.clone().map(|setting| setting.text);
        let mut registry = Registry::open(home.as_deref());
        if !context.may_reach_outside() {
            refuse_libraries(&onnxruntime, &operators)?;
            if let Some(home) = &home {
                registry.home = context.reached(&registry.home).ok_or_else(|| no_access(home))?;
            }
        }
        let found = Arc::new(Taken { registry, libraries: Libraries::of(onnxruntime, operators), settings });
        Ok(taken.insert(found).clone())
    }

    /// One transaction sees one version, and so does each statement: what the first of its calls took a reference for, all
    /// of them do. `began`: when the transaction did; None where DuckDB does not show it.
    pub fn statement(&self, connection: u64, began: Option<u64>) -> Arc<Versions> {
        let mut statements = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
        let known = statements.iter().position(|known| known.connection == connection);
        let known = known.and_then(|i| statements.remove(i)).filter(|known| known.goes_on(began));
        let versions = known.map_or_else(Arc::default, |known| known.versions);
        statements.push_back(Statement { connection, began, versions: versions.clone(), bound: Instant::now() });
        if statements.len() > CONNECTIONS {
            statements.pop_front();
        }
        versions
    }
}

impl Taken {
    /// An error for a connection that says otherwise. What another one says for the whole database afterwards is passed
    /// over, so that nobody can end the queries of all.
    fn unchanged(&self, settings: &[Setting; 3]) -> Result<()> {
        for ((name, then), now) in SETTINGS.iter().zip(&self.settings).zip(settings) {
            if now.text != then.text && (now.is_own || then.is_own) {
                return Err(cannot_change(name, then.text.as_deref()));
            }
        }
        Ok(())
    }
}

struct Statement {
    connection: u64,
    began: Option<u64>,
    versions: Arc<Versions>,
    bound: Instant,
}

impl Statement {
    /// Whether a call that is bound now is of this one. Where DuckDB does not show it: calls that are bound soon after one
    /// another, before any of them runs, and while one of them is alive.
    fn goes_on(&self, began: Option<u64>) -> bool {
        let is_bound = || {
            let runs = self.versions.runs.load(Ordering::Relaxed);
            !runs && Arc::strong_count(&self.versions) > 1 && self.bound.elapsed() < BETWEEN_CALLS
        };
        self.began == began && (began.is_some() || is_bound())
    }
}

fn cannot_change(name: &str, value: Option<&str>) -> Error {
    let value = value.map_or("it was not set".to_string(), |value| format!("it was '{value}'"));
    Error::of(
        Code::Engine,
        format!(
            "{name} cannot be changed once sqlinfer has used it ({value}); RESET {name}, or set it to what it was, or open the \
         database again"
        ),
    )
}

fn no_access(home: &str) -> Error {
    Error::of(
        Code::Engine,
        format!(
            "{HOME} is '{home}', which enable_external_access = false does not allow: name a folder that is there, without \
         '..', in one of allowed_directories, or ask for sqlinfer_version() before external access is switched off"
        ),
    )
}

/// A file that SQL itself has written, where it may, must not be run.
fn refuse_libraries(onnxruntime: &Option<String>, operators: &Option<String>) -> Result<()> {
    let named = [
        (library::SETTING, library::VARIABLE, onnxruntime),
        (library::OPERATORS_SETTING, library::OPERATORS_VARIABLE, operators),
    ];
    for (name, variable, place) in named {
        if let Some(place) = place {
            return Err(Error::of(
                Code::Engine,
                format!(
                    "{name} is '{place}', which enable_external_access = false does not allow: only whoever opens the \
                 database names a library, and asks for sqlinfer_version() before external access is switched off, or \
                 sets the environment variable {variable}; RESET {name}"
                ),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    fn instance() -> Instance {
        let typing = Err(Error::new("not here".to_string()));
        Instance::new(None, Layouts { interrupt_flag: None, typing, database: None, transaction: None })
    }

    /// Whether a first call, and one that is bound then, are of one statement.
    fn share(first: Option<u64>, second: Option<u64>, runs: bool, is_alive: bool) -> bool {
        let instance = instance();
        let versions = instance.statement(1, first);
        let place = Arc::downgrade(&versions); // so that no other takes its place
        versions.runs.store(runs, Ordering::Relaxed);
        let _alive = is_alive.then_some(versions);
        let is_same = |other: Arc<Versions>| ptr::eq(Arc::as_ptr(&other), place.as_ptr());
        assert!(!is_same(instance.statement(2, second)), "another connection");
        is_same(instance.statement(1, second))
    }

    #[test]
    fn the_calls_of_a_statement_share_their_versions() {
        for (runs, is_alive) in [(false, false), (false, true), (true, false), (true, true)] {
            assert!(share(Some(7), Some(7), runs, is_alive));
            assert!(!share(Some(7), Some(8), runs, is_alive));
            assert!(!share(Some(7), None, runs, is_alive));
            assert!(!share(None, Some(7), runs, is_alive));
            assert_eq!(share(None, None, runs, is_alive), !runs && is_alive);
        }
    }

    #[test]
    fn few_statements_are_remembered() {
        let instance = instance();
        (0..2 * CONNECTIONS as u64).for_each(|connection| drop(instance.statement(connection, None)));
        assert_eq!(instance.statements.lock().unwrap().len(), CONNECTIONS);
    }

    #[test]
    fn only_a_connection_of_another_opinion_is_refused() {
        let setting = |text: Option<&str>, is_own| Setting { text: text.map(str::to_string), is_own };
        let asked = |then: Setting, now: Setting| {
            let settings = [then, Setting::default(), Setting::default()];
            let taken = Taken { registry: Registry::open(None), libraries: Libraries::of(None, None), settings };
            taken.unchanged(&[now, Setting::default(), Setting::default()]).is_ok()
        };
        let (all, own) = (setting(Some("a"), false), setting(Some("a"), true));
        assert!(asked(all.clone(), own.clone()) && asked(own.clone(), all.clone()));
        assert!(asked(all.clone(), setting(Some("b"), false)) && asked(all.clone(), setting(None, false)));
        assert!(!asked(all, setting(Some("b"), true)) && !asked(own, setting(None, false)));
    }
}
