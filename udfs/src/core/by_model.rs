//! A call whose model each row names: the rows of a batch are grouped by model, and each group is answered by its own. The
//! same as in sqlinfer/runtime/by_model.py.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::batch_cache::BatchCache;
use super::calls::Call;
use super::column::{Column, Data, Rows};
use super::error::{Error, Result, name_every_argument, no_text_for_model, other_answer};
use super::failing::score;
use super::gathered::Gathered;
use super::manifest::Manifest;
use super::names::{Called, are_named, name_of};
use super::outputs::Answers;
use super::plan::Plan;
use super::predictor::{Predictor, Sink, State};
use super::reference::Reference;
use super::session::Runs;
use super::sqltype::{ArgType, Plain, SqlType};
use crate::sys::interrupt::Interrupt;
use crate::sys::library::Runner;

/// What the caches of all models on a thread may hold together.
const MOST_BYTES: usize = 64 << 20;

/// What binding a call has found out; shared by the threads that run it.
pub struct ByModel {
    call: &'static Call,
    target: SqlType,
    /// The words of an ENUM that names the models.
    words: Option<Arc<Vec<String>>>,
    /// The types of the features.
    given: Vec<ArgType>,
    called: Vec<Called>,
    /// What the features are called, where any is given by its name: they are a row then.
    names: Option<Vec<String>>,
    predictors: Mutex<HashMap<String, Arc<Predictor>>>,
}

impl ByModel {
    /// `given`: the types of the arguments, that of the model's name first; `called`: what the features are called, or
    /// nothing. Answers are of the type `target`.
    pub fn new(call: &'static Call, target: SqlType, given: &[ArgType], called: Vec<Called>) -> Result<ByModel> {
        let (name, given) = given.split_first().ok_or_else(|| no_text_for_model(call.name, "missing"))?;
        let words = match name {
            ArgType::Text | ArgType::Null => None,
            ArgType::Enum(words) => Some(words.read()),
            other => return Err(no_text_for_model(call.name, &other.to_string())),
        };
        let mut given = given.to_vec();
        let mut names = None;
        if called.iter().any(|called| matches!(called, Called::Named(_))) {
            if called.contains(&Called::Nothing) {
                return Err(name_every_argument(call.name));
            }
            let all = called.iter().map(name_of).collect::<Result<Vec<_>>>()?;
            given = vec![ArgType::Struct(all.iter().cloned().zip(given).collect())];
            names = Some(all);
        }
        Ok(ByModel { call, target, words, given, called, names, predictors: Mutex::default() })
    }

    /// In which the features are given; None for a row.
    pub fn order(&self) -> Option<Vec<String>> {
        match &self.names {
            Some(names) => Some(names.clone()),
            None if matches!(self.given[..], [ArgType::Struct(_)]) => None,
            None => Some((0..self.given.len()).map(|place| place.to_string()).collect()),
        }
    }

    /// What answers for a model, the same for all threads.
    fn predictor(&self, text: &str, find: &Find) -> Result<Arc<Predictor>> {
        let reference = Reference::parse(text)?;
        let model = reference.to_string();
        let mut known = self.predictors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(predictor) = known.get(&model) {
            return Ok(predictor.clone());
        }
        let manifest = find(&reference)?;
        let spec = self.call.of(&manifest)?;
        let is_plain = spec.sql_type.is_scalar();
        let fits = match &self.target {
            SqlType::Plain(Plain::Double) => is_plain && spec.sql_type != SqlType::Plain(Plain::Varchar),
            SqlType::Plain(_) => is_plain,
            _ => matches!(spec.sql_type, SqlType::Map(..)),
        };
        if !fits {
            let (target, own) = (self.target.to_string(), spec.sql_type.to_string());
            return Err(other_answer(self.call.name, &model, &target, &own, is_plain));
        }
        if self.names.is_none() {
            are_named(&model, &manifest.feature_names(), &self.called)?;
        }
        let plan = Plan::new(&model, manifest, &self.given)?;
        let predictor = Arc::new(Predictor::new(plan, self.call, &self.target, None)?);
        known.insert(model, predictor.clone());
        Ok(predictor)
    }
}

/// What a reference means in this statement.
pub type Find = dyn Fn(&Reference) -> Result<Arc<Manifest>> + Send + Sync;

/// One thread's way through such a call.
pub struct Thread {
    by_model: Arc<ByModel>,
    find: Box<Find>,
    runner: Runner,
    runs: Arc<Runs>,
    caches: Arc<Mutex<Caches>>,
}

impl Thread {
    pub fn new(by_model: Arc<ByModel>, find: Box<Find>, runner: Runner, interrupt: Interrupt) -> Result<Thread> {
        let runs = Arc::new(Runs::new(&runner, interrupt)?);
        Ok(Thread { by_model, find, runner, runs, caches: shared_caches() })
    }

    /// The answers of `rows` rows; `columns`: the models' names, then the features. NULL where no model is named. An error
    /// is that of the model that is named first of those that fail.
    pub fn score(&mut self, mut columns: Vec<Column>, rows: usize, sink: &mut dyn Sink) -> Result<()> {
        if columns.is_empty() {
            return Err(no_text_for_model(self.by_model.call.name, "missing"));
        }
        let named = columns.remove(0);
        if self.by_model.names.is_some() {
            columns = vec![Column { valid: None, data: Data::Struct(columns) }];
        }
        let groups = self.groups(&named, rows)?;
        let mut nulls: Vec<u32> = (0..rows).filter(|row| !named.is_valid(*row)).map(|row| row as u32).collect();
        if let ([(text, _)], true) = (&groups[..], nulls.is_empty()) {
            return self.score_one(text, &columns, rows, sink);
        }
        for (text, mine) in &groups {
            let held: Vec<Gathered> = columns.iter().map(|column| Gathered::of(column, mine)).collect();
            let columns: Vec<Column> = held.iter().map(Gathered::column).collect();
            let mut placed = Placed { sink: &mut *sink, rows: mine, nulls: &mut nulls };
            self.score_one(text, &columns, mine.len(), &mut placed)?;
        }
        if !nulls.is_empty() {
            nulls.sort_unstable();
            let mut gone = nulls.into_iter().peekable();
            let keep: Vec<u32> = (0..rows as u32).filter(|row| gone.next_if_eq(row).is_none()).collect();
            sink.nulls_but(&keep, rows);
        }
        Ok(())
    }

    /// The rows of each model, in the order in which models are named first.
    fn groups<'a>(&'a self, named: &'a Column, rows: usize) -> Result<Vec<(Cow<'a, str>, Vec<usize>)>> {
        let mut groups: Vec<(Cow<str>, Vec<usize>)> = Vec::new();
        let mut places: HashMap<Cow<str>, usize> = HashMap::new();
        for row in (0..rows).filter(|row| named.is_valid(*row)) {
            let text = self.name(named, row)?;
            let place = *places.entry(text).or_insert_with_key(|text| {
                groups.push((text.clone(), Vec::new()));
                groups.len() - 1
            });
            groups[place].1.push(row);
        }
        Ok(groups)
    }

    fn name<'a>(&'a self, named: &'a Column, row: usize) -> Result<Cow<'a, str>> {
        let word = |code: usize| self.by_model.words.as_ref().and_then(|words| words.get(code));
        let text = match &named.data {
            Data::Text(texts) => Some(String::from_utf8_lossy(texts[row])),
            Data::U8(codes) => word(usize::from(codes[row])).map(|text| Cow::Borrowed(text.as_str())),
            Data::U16(codes) => word(usize::from(codes[row])).map(|text| Cow::Borrowed(text.as_str())),
            Data::U32(codes) => word(codes[row] as usize).map(|text| Cow::Borrowed(text.as_str())),
            _ => None,
        };
        text.ok_or_else(|| Error::new("a model's name is no text".to_string()))
    }

    fn score_one(&self, text: &str, columns: &[Column], rows: usize, sink: &mut dyn Sink) -> Result<()> {
        self.runs.interrupt.check()?;
        let predictor = self.by_model.predictor(text, &*self.find)?;
        let is_shared = Arc::strong_count(&self.caches) > 1;
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        let cache = caches.of(&predictor);
        drop(caches);
        let mut state = State::of(predictor, &self.runner, self.runs.clone(), cache, is_shared)?;
        score(&mut state, columns, rows, sink)?;
        Ok(())
    }
}

/// Answers of some of the rows go to their places.
struct Placed<'a> {
    sink: &'a mut dyn Sink,
    rows: &'a [usize],
    nulls: &'a mut Vec<u32>,
}

impl Sink for Placed<'_> {
    fn write(&mut self, answers: &Answers, rows: Rows) -> Result<()> {
        let places: Vec<u32> = rows.iter().map(|row| self.rows[row] as u32).collect();
        self.sink.write(answers, Rows::Picked(&places))
    }

    fn nulls_but(&mut self, keep: &[u32], rows: usize) {
        let mut kept = keep.iter().copied().peekable();
        let gone = (0..rows as u32).filter(|row| kept.next_if_eq(row).is_none());
        self.nulls.extend(gone.map(|row| self.rows[row as usize] as u32));
    }
}

/// What models have answered lately.
#[derive(Default)]
struct Caches {
    by_model: HashMap<CacheKey, (u64, Arc<Mutex<BatchCache>>)>,
    clock: u64,
}

/// Where a model lies, what its manifest says, and what of its outputs is asked for.
type CacheKey = (PathBuf, String, Vec<std::ffi::CString>);

impl Caches {
    fn of(&mut self, predictor: &Predictor) -> Arc<Mutex<BatchCache>> {
        self.clock += 1;
        let (used, cache) = self.by_model.entry(predictor.answers_key()).or_default();
        *used = self.clock;
        let cache = cache.clone();
        if self.clock.is_multiple_of(256) {
            self.shrink();
        }
        cache
    }

    /// The least recently used go first.
    fn shrink(&mut self) {
        let bytes = |cache: &Mutex<BatchCache>| cache.lock().unwrap_or_else(PoisonError::into_inner).bytes();
        let mut all: Vec<(u64, usize)> = self.by_model.values().map(|(used, cache)| (*used, bytes(cache))).collect();
        all.sort_unstable_by(|one, other| other.cmp(one));
        let mut total = 0;
        let over = all.into_iter().find(|(_, bytes)| {
            total += bytes;
            total > MOST_BYTES
        });
        if let Some((oldest, _)) = over {
            self.by_model.retain(|_, (used, _)| *used > oldest);
        }
    }
}

thread_local! {
    static CACHES: RefCell<Weak<Mutex<Caches>>> = RefCell::default();
}

/// As `predictor::shared_cache`, for all models that rows name on this thread.
fn shared_caches() -> Arc<Mutex<Caches>> {
    CACHES.with_borrow_mut(|known| {
        known.upgrade().unwrap_or_else(|| {
            let caches = Arc::new(Mutex::new(Caches::default()));
            *known = Arc::downgrade(&caches);
            caches
        })
    })
}
