//! What belongs to one database: where its models and libraries are, taken once, and which versions its statements see.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::context::{Context, HOME};
use super::layout::{DatabaseLayout, InterruptFlag, Layout};
use crate::core::error::{Error, Result};
use crate::core::reference::Reference;
use crate::core::registry::Registry;
use crate::ffi::library::{self, Libraries};

const SETTINGS: [&str; 3] = [HOME, library::SETTING, library::OPERATORS_SETTING];
/// The calls of one statement are bound one right after the other.
const BETWEEN_CALLS: Duration = Duration::from_millis(100);

/// Shared by all functions of one database.
pub struct Instance {
    taken: Mutex<Option<Arc<Taken>>>,
    statements: Mutex<HashMap<u64, Statement>>,
    pub interrupt_flag: Option<InterruptFlag>,
    /// Or why functions have one type each.
    pub layout: Result<Layout>,
    pub database: Option<DatabaseLayout>,
    refreshing: Mutex<()>,
}

/// What was found out of the DuckDB that runs.
pub struct Layouts {
    pub interrupt_flag: Option<InterruptFlag>,
    pub layout: Result<Layout>,
    pub database: Option<DatabaseLayout>,
}

/// Where models and libraries are, and what the settings said when this was found out.
pub struct Taken {
    pub registry: Registry,
    pub libraries: Libraries,
    settings: [Option<String>; 3],
}

/// What the program that loads the extension says itself, so that no SQL can say otherwise.
#[derive(Clone, Default)]
pub struct Given(pub [Option<String>; 3]);

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

pub fn given(functions: &HashSet<String>) -> Option<Given> {
    let all = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    all.iter().find(|(function, _)| functions.contains(function)).map(|(_, given)| given.clone())
}

impl Instance {
    pub fn new(given: Option<Given>, layouts: Layouts) -> Instance {
        let taken = given.map(|given| {
            let [home, onnxruntime, operators] = given.0.clone();
            Arc::new(Taken {
                registry: Registry::open(home.as_deref()),
                libraries: Libraries::of(onnxruntime, operators),
                settings: given.0,
            })
        });
        let Layouts { interrupt_flag, layout, database } = layouts;
        let (taken, statements, refreshing) = (Mutex::new(taken), Mutex::default(), Mutex::default());
        Instance { taken, statements, interrupt_flag, layout, database, refreshing }
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

    /// Where models are, as far as that is known before anybody asks for one.
    pub fn registry(&self) -> Registry {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone();
        taken.map_or_else(|| Registry::open(None), |taken| taken.registry.clone())
    }

    /// Taken from the settings when they are needed for the first time. From then on they cannot be changed: whoever may
    /// only ask must not make the process load a library, or read a folder.
    pub fn take(&self, context: &Context) -> Result<Arc<Taken>> {
        let settings = SETTINGS.map(|name| context.setting(name));
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = taken.as_ref() {
            let same = |i: &usize| settings[*i] == taken.settings[*i];
            return match (0..SETTINGS.len()).find(|i| !same(i)) {
                None => Ok(taken.clone()),
                Some(i) => Err(cannot_change(SETTINGS[i], taken.settings[i].as_deref())),
            };
        }
        if !context.may_reach_outside() {
            for (name, place) in SETTINGS.iter().zip(&settings).filter_map(|(name, set)| Some((name, set.as_ref()?))) {
                if !context.may_reach(Path::new(place)) {
                    return Err(no_access(name, place));
                }
            }
        }
        let [home, onnxruntime, operators] = settings.clone();
        let registry = Registry::open(home.as_deref());
        let found = Arc::new(Taken { registry, libraries: Libraries::of(onnxruntime, operators), settings });
        Ok(taken.insert(found).clone())
    }

    /// One statement sees one version: what the first of its calls took `reference` for, all of them do. The API does
    /// not say which calls are of one statement: those of a connection that are bound soon after one another, before any
    /// of them runs, and while all of them are alive.
    pub fn statement(&self, connection: u64) -> Arc<Versions> {
        let mut statements = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
        statements.retain(|_, statement| statement.versions.strong_count() > 0);
        let now = Instant::now();
        let known = statements.get_mut(&connection).filter(|known| now - known.bound < BETWEEN_CALLS);
        if let Some(known) = known
            && let Some(versions) = known.versions.upgrade()
            && !versions.runs.load(Ordering::Relaxed)
        {
            known.bound = now;
            return versions;
        }
        let versions = Arc::new(Versions::default());
        statements.insert(connection, Statement { versions: Arc::downgrade(&versions), bound: now });
        versions
    }
}

struct Statement {
    versions: Weak<Versions>,
    bound: Instant,
}

/// What the calls of one statement mean; each of them holds it.
#[derive(Default)]
pub struct Versions {
    known: Mutex<Vec<(Reference, u64)>>,
    runs: AtomicBool,
}

impl Versions {
    pub fn of(&self, registry: &Registry, reference: &Reference) -> Result<u64> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, version)) = known.iter().find(|(other, _)| other == reference) {
            return Ok(*version);
        }
        let version = registry.resolve(reference)?;
        known.push((reference.clone(), version));
        Ok(version)
    }

    /// What is bound from now on is another statement.
    pub fn close(&self) {
        self.runs.store(true, Ordering::Relaxed);
    }
}

fn cannot_change(name: &str, value: Option<&str>) -> Error {
    let value = value.map_or("it was not set".to_string(), |value| format!("it was '{value}'"));
    Error(format!(
        "{name} cannot be changed once sqlinfer has used it ({value}); RESET {name}, or set it to what it was, or open the \
         database again"
    ))
}

fn no_access(name: &str, place: &str) -> Error {
    Error(format!(
        "{name} is '{place}', which enable_external_access = false does not allow: add its folder to allowed_directories, \
         or ask for sqlinfer_version() before external access is switched off"
    ))
}

/// Whether one of the folders holds the place, with links followed.
pub fn holds(folders: &[String], place: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    let place = real(place);
    folders.iter().any(|folder| place.starts_with(real(Path::new(folder))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance() -> Instance {
        let layout = Err(Error("not here".to_string()));
        Instance::new(None, Layouts { interrupt_flag: None, layout, database: None })
    }

    #[test]
    fn the_calls_of_a_statement_share_their_versions() {
        let instance = instance();
        let first = instance.statement(1);
        assert!(Arc::ptr_eq(&first, &instance.statement(1)) && !Arc::ptr_eq(&first, &instance.statement(2)));
        first.close();
        assert!(!Arc::ptr_eq(&first, &instance.statement(1)));
    }

    #[test]
    fn a_statement_that_is_gone_shares_nothing() {
        let instance = instance();
        drop(instance.statement(1));
        assert!(instance.statements.lock().unwrap()[&1].versions.upgrade().is_none());
    }

    #[test]
    fn places_are_held_by_their_folders() {
        let folder = std::env::temp_dir();
        let folders = [folder.to_string_lossy().into_owned()];
        assert!(holds(&folders, &folder.join("x/y")) && holds(&folders, &folder));
        assert!(!holds(&folders, Path::new("/etc")) && !holds(&[], &folder));
        assert!(!holds(&folders, &PathBuf::from(format!("{}x", folders[0].trim_end_matches('/')))));
    }
}
