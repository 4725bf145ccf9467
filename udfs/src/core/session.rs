//! Sessions: one for each model file, shared by all threads of the process.
//!
//! The host already runs a query on every core, so a session computes on the thread that calls it. When a single
//! thread feeds a heavy model (a small table), a second session with a pool of all cores takes over.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use super::error::{Code, Error, Result, brief, model_failed};
use super::files::read_intact;
use super::manifest::Manifest;
use super::operators::OPERATORS;
use super::preprocess::{Preparer, preparers};
use super::tree_limits::Trees;
use crate::sys::caught::guard;
use crate::sys::interrupt::{Interrupt, interrupted};
use crate::sys::library::Runner;
use crate::sys::onnxruntime::{Feed, Graph, RunOptions};
use crate::sys::tensor::Tensor;
use crate::sys::watchdog::Watched;

/// A run that takes longer gains more from more threads than it loses by waking them.
const HEAVY_NANOS: f64 = 2e6;
/// So many stay however large they are, and more as long as all are small: one query may ask hundreds of models.
const MOST_SESSIONS: usize = 32;
const MOST_SMALL: usize = 1024;
const MOST_BYTES: u64 = 128 << 20;
/// What a session takes beside what its file does, about.
const BYTES_OF_NONE: u64 = 128 << 10;
const BYTES_PER_BYTE: u64 = 4;

/// What the runs of one query have in common: what ends them.
pub struct Runs {
    pub interrupt: Interrupt,
    options: RunOptions,
}

impl Runs {
    pub fn new(runner: &Runner, interrupt: Interrupt) -> Result<Runs> {
        Ok(Runs { interrupt, options: runner.runtime.run_options().map_err(Error::new)? })
    }
}

pub struct Session {
    name: String,
    manifest: Arc<Manifest>,
    /// What it takes of memory, about.
    bytes: u64,
    runner: Runner,
    narrow: Graph,
    /// Another number of threads would add in another order, or have each thread's part end elsewhere.
    one_thread: bool,
    wide: OnceLock<Option<Graph>>,
    running: AtomicUsize,
    runs: AtomicU64,
    nanos_per_row: AtomicU64,
    preparers: Mutex<Option<Arc<[Option<Preparer>]>>>,
}

impl Session {
    /// Of the files as they were registered.
    fn open(runner: &Runner, name: &str, manifest: Arc<Manifest>) -> Result<Session> {
        let content = read_intact(&manifest.onnx(), &manifest.sha256)?;
        let trees = Trees::of(&content).map_err(|reason| {
            Error::of(
                Code::InvalidModel,
                format!("sqlinfer cannot load '{name}': {reason}; register a model of other trees"),
            )
        })?;
        let runtime = runner.runtime;
        let narrow = Graph::open(runtime, &content, 1, runner.operators.as_deref(), &OPERATORS).map_err(|reason| {
            Error::of(
                Code::InvalidModel,
                format!("ONNX Runtime {} cannot load '{name}': {}", runtime.version(), brief(&reason)),
            )
        })?;
        Ok(Session {
            name: name.to_string(),
            bytes: BYTES_OF_NONE + BYTES_PER_BYTE * content.len() as u64,
            runner: runner.clone(),
            one_thread: trees.classifier || trees.any && !narrow.has_own_operators() || manifest.batch.is_one_thread(),
            manifest,
            narrow,
            wide: OnceLock::new(),
            running: AtomicUsize::new(0),
            runs: AtomicU64::new(0),
            nanos_per_row: AtomicU64::new(0),
            preparers: Mutex::new(None),
        })
    }

    /// What a row has cost lately; None before the first run.
    pub fn nanos_per_row(&self) -> Option<f64> {
        let known = self.runs.load(Ordering::Relaxed) > 0;
        known.then(|| f64::from_bits(self.nanos_per_row.load(Ordering::Relaxed)))
    }

    /// What reads the model's texts and images; loaded once.
    pub fn preparers(&self) -> Result<Arc<[Option<Preparer>]>> {
        let mut known = self.preparers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref() {
            return Ok(known.clone());
        }
        let loaded: Arc<[Option<Preparer>]> = preparers(&self.manifest)?.into();
        *known = Some(loaded.clone());
        Ok(loaded)
    }

    /// The outputs by name, each with `rows` rows.
    pub fn run(&self, feeds: &[Feed], outputs: &[&std::ffi::CStr], rows: usize, runs: &Runs) -> Result<Vec<Tensor>> {
        let heavy = self.nanos_per_row().is_some_and(|nanos| nanos * rows as f64 > HEAVY_NANOS);
        let _running = Running::new(&self.running);
        let alone = self.running.load(Ordering::Relaxed) == 1;
        let graph = if heavy && alone && !self.one_thread { self.widened() } else { &self.narrow };
        let started = Instant::now();
        let watched = Watched::new(runs.interrupt, &runs.options);
        let tensors = graph.run(feeds, outputs, &runs.options).map_err(|reason| {
            if runs.interrupt.is_set() { interrupted() } else { model_failed(&self.name, &reason) }
        })?;
        drop(watched);
        self.learn(started.elapsed().as_nanos() as f64 / rows.max(1) as f64, rows);
        match tensors.iter().find(|tensor| tensor.rows() != rows) {
            Some(odd) => {
                let reason = format!("it answers a tensor of shape {:?} for {rows} rows", odd.shape);
                Err(model_failed(&self.name, &reason))
            }
            None => Ok(tensors),
        }
    }

    /// How many threads may share the runs of so many rows: all cores when nobody else runs the model, and it pays.
    pub fn sharers(&self, rows: usize) -> usize {
        let pays = self.nanos_per_row().is_none_or(|nanos| nanos * rows as f64 > HEAVY_NANOS);
        let alone = self.running.load(Ordering::Relaxed) == 0;
        if pays && alone { std::thread::available_parallelism().map_or(1, usize::from) } else { 1 }
    }

    /// What `threads` of them make, each called with its number, in that order. Each run keeps to its own thread.
    pub fn shared<T: Send>(&self, threads: usize, work: impl Fn(usize) -> Result<Vec<T>> + Sync) -> Result<Vec<T>> {
        let _running = Running::new(&self.running);
        let work = |thread| guard(|| work(thread));
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|thread| scope.spawn(move || work(thread))).collect();
            let mut parts = work(0);
            for other in others {
                let theirs =
                    other.join().unwrap_or_else(|_| Err(Error::new("a run of the model panicked".to_string())));
                parts = parts.and_then(|mut parts| {
                    parts.extend(theirs?);
                    Ok(parts)
                });
            }
            parts
        })
    }

    /// The same graph for all cores; what runs is what was verified, so only of a file that is still the same.
    fn widened(&self) -> &Graph {
        let open = || {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            if cores == 1 {
                return None;
            }
            let content = read_intact(&self.manifest.onnx(), &self.manifest.sha256).ok()?;
            Graph::open(self.runner.runtime, &content, cores, self.runner.operators.as_deref(), &OPERATORS).ok()
        };
        self.wide.get_or_init(open).as_ref().unwrap_or(&self.narrow)
    }

    /// The first runs cost more than they should; later ones are averaged. In short runs the call costs more than the
    /// rows, so they count less.
    fn learn(&self, nanos: f64, rows: usize) {
        let weight = 0.1 * (rows as f64 / 512.0).min(1.0);
        let runs = self.runs.fetch_add(1, Ordering::Relaxed);
        let before = f64::from_bits(self.nanos_per_row.load(Ordering::Relaxed));
        let now = match runs {
            0 => nanos,
            1..4 => nanos.min(before),
            // a thread that was put aside in the middle of a run does not count for all of that time
            _ => (1.0 - weight) * before + weight * nanos.min(4.0 * before),
        };
        self.nanos_per_row.store(now.to_bits(), Ordering::Relaxed);
    }
}

/// Counts a run for as long as it goes on.
struct Running<'a>(&'a AtomicUsize);

impl<'a> Running<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Running(count)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where a model lies, what its manifest says, and what it is opened with.
type Key = (PathBuf, String, Option<PathBuf>);

/// Each model is loaded once, and two models can be loaded at the same time.
#[derive(Default)]
struct Slot {
    session: Mutex<Option<Arc<Session>>>,
    used: AtomicU64,
    bytes: AtomicU64,
}

static SLOTS: Mutex<Option<HashMap<Key, Arc<Slot>>>> = Mutex::new(None);
static CLOCK: AtomicU64 = AtomicU64::new(0);

/// Drop the least recently used, if another one is too many.
fn make_room(slots: &mut HashMap<Key, Arc<Slot>>) {
    let of = |slot: &Slot| slot.bytes.load(Ordering::Relaxed);
    let mut bytes: u64 = slots.values().map(|slot| of(slot)).sum();
    while slots.len() >= MOST_SMALL || slots.len() >= MOST_SESSIONS && bytes > MOST_BYTES {
        let oldest = slots.iter().min_by_key(|(_, slot)| slot.used.load(Ordering::Relaxed));
        let Some(key) = oldest.map(|(key, _)| key.clone()) else { return };
        bytes -= slots.remove(&key).map_or(0, |slot| of(&slot)).min(bytes);
    }
}

/// The session of a model: the one that is there, or a new one. The least recently used are dropped.
pub fn session(runner: &Runner, name: &str, manifest: &Arc<Manifest>) -> Result<Arc<Session>> {
    let key = (manifest.folder.clone(), manifest.digest.clone(), runner.operators.clone());
    let slot = {
        let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
        let slots = slots.get_or_insert_with(HashMap::new);
        if !slots.contains_key(&key) {
            make_room(slots);
        }
        slots.entry(key).or_default().clone()
    };
    slot.used.store(CLOCK.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    let mut session = slot.session.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(session) = session.as_ref() {
        return Ok(session.clone());
    }
    let opened = Arc::new(Session::open(runner, name, manifest.clone())?);
    slot.bytes.store(opened.bytes, Ordering::Relaxed);
    *session = Some(opened.clone());
    Ok(opened)
}
