//! One call of one model: columns in, answers out.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};

use super::batch_cache::BatchCache;
use super::calls::Call;
use super::column::Rows;
use super::error::{Error, Result, of_model};
use super::formula::Formula;
use super::manifest::preprocess::Prepare;
use super::outputs::{Answers, Decoder};
use super::pack::Packer;
use super::packed::Packed;
use super::plan::Plan;
use super::preprocess::TOKENS_PER_RUN;
use super::session::{Runs, Session, session};
use super::sqltype::SqlType;
use crate::sys::interrupt::Interrupt;
use crate::sys::library::Runner;
use crate::sys::onnxruntime::Feed;
use crate::sys::tensor::Tensor;

/// An image model must not take a whole vector of rows at once: inputs of 4 MiB make activations of hundreds.
const BYTES_PER_RUN: usize = 4 << 20;
const NANOS_PER_RUN: f64 = 0.25e9;
/// How many rows show what a row costs.
const FIRST_ROWS: usize = 16;
/// Where answers go.
pub trait Sink {
    /// The answers of these rows.
    fn write(&mut self, answers: &Answers, rows: Rows) -> Result<()>;
    /// All rows but these, of `rows` rows, are NULL.
    fn nulls_but(&mut self, keep: &[u32], rows: usize);
}

/// What binding a call has found out; shared by the threads that run it.
#[derive(Debug)]
pub struct Predictor {
    pub(super) plan: Plan,
    decoder: Decoder,
    pub(super) formula: Option<Formula>,
    inputs: Vec<CString>,
    outputs: Vec<CString>,
}

impl Predictor {
    /// `call` answers in the type `target`; `class`: of the probabilities that of this class alone.
    pub fn new(plan: Plan, call: &Call, target: &SqlType, class: Option<usize>) -> Result<Predictor> {
        let manifest = plan.manifest.clone();
        let call = call.of(&manifest)?;
        let mut names = call.outputs.clone();
        names.sort_unstable();
        names.dedup();
        let text = |name: &String| CString::new(name.as_str()).map_err(|e| Error::new(e.to_string()));
        Ok(Predictor {
            decoder: Decoder::new(&manifest, call, target, &names).map_err(|e| of_model(&plan.model, e))?.only(class),
            inputs: manifest.inputs.iter().map(|input| text(&input.name)).collect::<Result<_>>()?,
            outputs: names.iter().map(text).collect::<Result<_>>()?,
            formula: Formula::of_manifest(&manifest),
            plan,
        })
    }

    fn session(&self, runner: &Runner) -> Result<Arc<Session>> {
        session(runner, &self.plan.model, &self.plan.manifest)
    }

    /// What tells its outputs from those of others.
    pub fn answers_key(&self) -> (PathBuf, String, Vec<CString>) {
        let manifest = &self.plan.manifest;
        (manifest.folder.clone(), manifest.digest.clone(), self.outputs.clone())
    }
}

/// One thread's way through one call: its buffers, and what it scored a moment ago.
pub struct State {
    pub(super) predictor: Arc<Predictor>,
    pub(super) session: Arc<Session>,
    pub(super) packer: Packer,
    pub(super) cache: Arc<Mutex<BatchCache>>,
    /// Whether another expression may ask for the same; where that is not known, those that hold the cache tell.
    is_shared: Option<bool>,
    pub(super) runs: Arc<Runs>,
}

impl State {
    /// Loads the model, if it is not loaded yet.
    pub fn new(predictor: Arc<Predictor>, runner: &Runner, interrupt: Interrupt) -> Result<State> {
        let session = predictor.session(runner)?;
        let cache = shared_cache(&session, &predictor.outputs);
        State::with(predictor, session, Arc::new(Runs::new(runner, interrupt)?), cache, None)
    }

    /// As `new`, for a moment: the cache outlives it, and the session need not.
    pub fn of(
        predictor: Arc<Predictor>,
        runner: &Runner,
        runs: Arc<Runs>,
        cache: Arc<Mutex<BatchCache>>,
        is_shared: bool,
    ) -> Result<State> {
        let session = predictor.session(runner)?;
        State::with(predictor, session, runs, cache, Some(is_shared))
    }

    fn with(
        predictor: Arc<Predictor>,
        session: Arc<Session>,
        runs: Arc<Runs>,
        cache: Arc<Mutex<BatchCache>>,
        is_shared: Option<bool>,
    ) -> Result<State> {
        let mut packer = Packer::new(&predictor.plan);
        if predictor.plan.manifest.features.iter().any(|feature| feature.prepare.is_some()) {
            packer.preparers = session.preparers()?;
        }
        Ok(State { packer, session, cache, predictor, is_shared, runs })
    }

    pub(super) fn is_shared(&self) -> bool {
        self.is_shared.unwrap_or_else(|| Arc::strong_count(&self.cache) > 1)
    }

    /// Run the rows in slices that the model takes; each with its first row.
    pub(super) fn run(&self, tensors: &[Packed], count: usize) -> Result<Vec<(usize, Vec<Tensor>)>> {
        let formula = self.predictor.formula.as_ref();
        let sums = formula.and_then(|formula| formula.answers_of_rows(&tensors[0].buffer));
        if let Some(sums) = sums {
            if !sums.is_finite() {
                self.run_graph(tensors, count)?;
            }
            return Ok(vec![(0, vec![sums])]);
        }
        self.run_graph(tensors, count)
    }

    /// On several threads where a run must keep to one.
    fn run_graph(&self, tensors: &[Packed], count: usize) -> Result<Vec<(usize, Vec<Tensor>)>> {
        let batch = self.predictor.plan.manifest.batch;
        let threads = if batch.is_one_thread() { self.session.sharers(count).min(count / FIRST_ROWS) } else { 1 };
        if threads < 2 {
            return self.run_rows(tensors, 0..count);
        }
        let share = batch.filled(count.div_ceil(threads));
        let rows = |thread: usize| (thread * share).min(count)..((thread + 1) * share).min(count);
        self.session.shared(threads, |thread| self.run_rows(tensors, rows(thread)))
    }

    fn run_rows(&self, tensors: &[Packed], range: Range<usize>) -> Result<Vec<(usize, Vec<Tensor>)>> {
        let mut parts = Vec::new();
        let Range { mut start, end } = range;
        while start < end {
            self.runs.interrupt.check()?;
            let rows = self.rows_per_run(tensors, end - start).min(end - start);
            parts.push((start, self.run_slice(tensors, start, rows)?));
            start += rows;
        }
        Ok(parts)
    }

    fn run_slice(&self, tensors: &[Packed], start: usize, rows: usize) -> Result<Vec<Tensor>> {
        let outputs: Vec<&CStr> = self.predictor.outputs.iter().map(CString::as_c_str).collect();
        let filled = self.predictor.plan.manifest.batch.filled(rows);
        if rows < filled {
            let last = (start + rows - 1) as u32;
            let places: Vec<u32> = (start as u32..last + 1).chain(std::iter::repeat(last)).take(filled).collect();
            let full: Vec<Packed> = tensors.iter().map(|tensor| tensor.pick(&places)).collect();
            let mut answers = self.session.run(&self.feeds(&full, 0, filled), &outputs, filled, &self.runs)?;
            answers.iter_mut().for_each(|tensor| tensor.truncate(rows));
            return Ok(answers);
        }
        self.session.run(&self.feeds(tensors, start, rows), &outputs, rows, &self.runs)
    }

    fn feeds<'a>(&'a self, tensors: &'a [Packed], start: usize, rows: usize) -> Vec<Feed<'a>> {
        let feed = |(tensor, name): (&'a Packed, &'a CString)| {
            let mut shape = vec![rows as i64];
            shape.extend(tensor.inner.iter().map(|axis| *axis as i64));
            let values = start * tensor.width..(start + rows) * tensor.width;
            Feed { name: name.as_c_str(), buffer: &tensor.buffer, values, shape }
        };
        tensors.iter().zip(&self.predictor.inputs).map(feed).collect()
    }

    fn rows_per_run(&self, tensors: &[Packed], count: usize) -> usize {
        let batch = self.predictor.plan.manifest.batch;
        if let Some(fixed) = batch.fixed {
            return fixed.min(batch.most.unwrap_or(fixed));
        }
        let size: usize = tensors.iter().map(|t| t.width * t.buffer.bytes_per_value()).sum();
        let by_bytes = (BYTES_PER_RUN / size.max(1)).max(1);
        let by_time = match self.session.nanos_per_row() {
            Some(nanos) => ((NANOS_PER_RUN / nanos.max(1.0)) as usize).max(1),
            None => FIRST_ROWS,
        };
        let tokens =
            self.predictor.plan.manifest.features.iter().filter(|f| matches!(f.prepare, Some(Prepare::Text(_))));
        let most = tokens.map(|feature| tensors[feature.input].width).max();
        let by_tokens = most.map_or(count, |most| (TOKENS_PER_RUN / most.max(1)).max(1));
        by_bytes.min(by_time).min(by_tokens).min(batch.most.unwrap_or(count)).min(count)
    }

    pub(super) fn write(&self, mut outputs: Vec<Tensor>, rows: Rows, start: usize, sink: &mut dyn Sink) -> Result<()> {
        let count = outputs.first().map_or(0, Tensor::rows);
        let answers =
            self.predictor.decoder.answers(&mut outputs).map_err(|e| of_model(&self.predictor.plan.model, e))?;
        sink.write(&answers, rows.part(start, count))
    }
}

/// The outputs of all slices as one; None when their inner shapes differ.
pub(super) fn joined(parts: &[(usize, Vec<Tensor>)]) -> Option<Vec<Tensor>> {
    let (_, first) = parts.first()?;
    let mut all = first.clone();
    for (_, part) in &parts[1..] {
        for (tensor, more) in all.iter_mut().zip(part) {
            if tensor.shape[1..] != more.shape[1..] {
                return None;
            }
            tensor.shape[0] += more.shape[0];
            tensor.data.append(&more.data).ok()?;
        }
    }
    Some(all)
}

type CacheKey = (usize, Vec<CString>);

thread_local! {
    static CACHES: RefCell<HashMap<CacheKey, Weak<Mutex<BatchCache>>>> = RefCell::default();
}

/// The expressions of a pipeline are prepared on one thread, one after the other, and run there together: those that
/// ask the same of the same model share a cache. An expression that is alone has one without a second owner.
fn shared_cache(session: &Arc<Session>, outputs: &[CString]) -> Arc<Mutex<BatchCache>> {
    CACHES.with_borrow_mut(|caches| {
        caches.retain(|_, cache| cache.strong_count() > 0);
        let key = (Arc::as_ptr(session) as usize, outputs.to_vec());
        if let Some(cache) = caches.get(&key).and_then(Weak::upgrade) {
            return cache;
        }
        let cache = Arc::new(Mutex::new(BatchCache::default()));
        caches.insert(key, Arc::downgrade(&cache));
        cache
    })
}
