//! Answers → an array of Arrow's.

use std::ffi::{CString, c_void};
use std::ptr;

use super::abi::{ArrowArray, ArrowSchema, NULLABLE};
use super::types::format_of;
use crate::core::column::Rows;
use crate::core::error::{Code, Error, Result};
use crate::core::outputs::Answers;
use crate::core::predictor::Sink;
use crate::core::sqltype::{Plain, SqlType};
use crate::on_buffer;
use crate::sys::caught::guard;
use crate::sys::tensor::Buffer;

/// The answers of some rows: what was computed, and where each row has its own; a row without one is NULL.
#[derive(Default)]
pub struct Collected {
    pieces: Vec<Answers>,
    runs: Vec<Run>,
}

/// Neighbouring rows whose answers are neighbours in a piece; of no piece, NULLs.
#[derive(Clone, Copy)]
struct Run {
    piece: Option<usize>,
    start: usize,
    count: usize,
}

/// Where the answers of one batch are written.
pub struct Batch {
    pieces: Vec<Answers>,
    /// For each row the piece, and the row there.
    places: Vec<Option<(usize, usize)>>,
}

impl Batch {
    pub fn new(rows: usize) -> Batch {
        Batch { pieces: Vec::new(), places: vec![None; rows] }
    }
}

impl Sink for Batch {
    fn write(&mut self, answers: &Answers, rows: Rows) -> Result<()> {
        let piece = self.pieces.len();
        rows.iter().enumerate().for_each(|(i, row)| self.places[row] = Some((piece, i)));
        self.pieces.push(answers.clone());
        Ok(())
    }

    /// Rows that nothing is written of are NULL anyway.
    fn nulls_but(&mut self, _: &[u32], _: usize) {}
}

impl Collected {
    /// Put the answers of the next rows behind those that are there.
    pub fn add(&mut self, batch: Batch) {
        let before = self.pieces.len();
        for place in batch.places {
            let place = place.map(|(piece, row)| (piece + before, row));
            let follows = |run: &Run| match place {
                Some((piece, row)) => run.piece == Some(piece) && run.start + run.count == row,
                None => run.piece.is_none(),
            };
            match self.runs.last_mut().filter(|run| follows(run)) {
                Some(run) => run.count += 1,
                None => {
                    let (piece, start) = place.map_or((None, 0), |(piece, row)| (Some(piece), row));
                    self.runs.push(Run { piece, start, count: 1 });
                }
            }
        }
        self.pieces.extend(batch.pieces);
    }

    pub fn array(&self, sql_type: &SqlType) -> Result<ArrowArray> {
        array(sql_type, &self.pieces.iter().collect::<Vec<_>>(), &self.runs)
    }
}

fn array(sql_type: &SqlType, pieces: &[&Answers], runs: &[Run]) -> Result<ArrowArray> {
    let other = || Error::new(format!("the model's answers are not of the type {sql_type}"));
    let rows: usize = runs.iter().map(|run| run.count).sum();
    let mut made = Made { rows, ..Made::default() };
    made.valid(runs);
    match sql_type {
        SqlType::Plain(plain) => {
            let buffers = pieces.iter().map(|piece| match piece {
                Answers::Plain(buffer) => Ok(buffer),
                _ => Err(other()),
            });
            made.plain(*plain, &buffers.collect::<Result<Vec<_>>>()?, runs)?;
        }
        SqlType::List(child) | SqlType::Array(child, _) => {
            let parts = pieces.iter().map(|piece| match piece {
                Answers::Nested { size, child, .. } => Ok((*size, child.as_ref())),
                _ => Err(other()),
            });
            let (sizes, children): (Vec<usize>, Vec<&Answers>) = parts.collect::<Result<Vec<_>>>()?.into_iter().unzip();
            // a row of an array has its values, also where it is NULL
            let fixed = if let SqlType::Array(_, size) = sql_type { Some(*size) } else { None };
            if fixed.is_some_and(|size| sizes.iter().any(|other| *other != size)) {
                return Err(other());
            }
            if fixed.is_none() {
                made.offsets(runs, |piece| sizes[piece])?;
            }
            made.children.push(array(child, &children, &inside(runs, |piece| sizes[piece], fixed.unwrap_or(0)))?);
        }
        SqlType::Struct(fields) => {
            for (i, (_, field)) in fields.iter().enumerate() {
                let parts = pieces.iter().map(|piece| match piece {
                    Answers::Struct(parts) => parts.get(i).ok_or_else(other),
                    _ => Err(other()),
                });
                made.children.push(array(field, &parts.collect::<Result<Vec<_>>>()?, runs)?);
            }
        }
        SqlType::Map(key, value) => {
            let (SqlType::Plain(key), SqlType::Plain(value)) = (key.as_ref(), value.as_ref()) else {
                return Err(other());
            };
            let parts = pieces.iter().map(|piece| match piece {
                Answers::Map { keys, values } => Ok((keys, values)),
                _ => Err(other()),
            });
            let (keys, values): (Vec<&Buffer>, Vec<&Buffer>) = parts.collect::<Result<Vec<_>>>()?.into_iter().unzip();
            made.offsets(runs, |piece| keys[piece].len())?;
            made.children.push(entries([(*key, &keys), (*value, &values)], runs)?);
        }
    }
    Ok(made.array())
}

/// The keys and values of maps: the same keys in each row.
fn entries([(key, keys), (value, values)]: [(Plain, &[&Buffer]); 2], runs: &[Run]) -> Result<ArrowArray> {
    let inner = inside(runs, |piece| keys[piece].len(), 0);
    let each = runs.iter().flat_map(|run| {
        let count = run.piece.map_or(0, |piece| keys[piece].len());
        let repeated = if count > 0 { run.count } else { 0 };
        std::iter::repeat_n(Run { piece: run.piece, start: 0, count }, repeated)
    });
    let mut pairs = [Made::default(), Made::default()];
    let sides = [(key, keys, each.collect::<Vec<_>>()), (value, values, inner)];
    for (made, (plain, buffers, runs)) in pairs.iter_mut().zip(sides) {
        made.rows = runs.iter().map(|run| run.count).sum();
        made.valid(&runs);
        made.plain(plain, buffers, &runs)?;
    }
    let rows = pairs[0].rows;
    let mut made = Made { rows, ..Made::default() };
    made.valid(&[]);
    made.children = pairs.into_iter().map(Made::array).collect();
    Ok(made.array())
}

/// The runs of the values of nested rows; `empty` for each NULL.
fn inside(runs: &[Run], size: impl Fn(usize) -> usize, empty: usize) -> Vec<Run> {
    let inner = |run: &Run| match run.piece {
        Some(piece) => Run { start: run.start * size(piece), count: run.count * size(piece), ..*run },
        None => Run { count: run.count * empty, ..*run },
    };
    runs.iter().map(inner).filter(|run| run.count > 0).collect()
}

/// An array that is made, buffer by buffer.
#[derive(Default)]
struct Made {
    rows: usize,
    nulls: usize,
    buffers: Vec<Bytes>,
    children: Vec<ArrowArray>,
}

/// A buffer of any type; none where an array needs none.
type Bytes = Option<Box<dyn Held>>;

/// What a buffer is made of.
trait Held: Send {
    fn place(&self) -> *const c_void;
}

impl<T: Send> Held for Vec<T> {
    fn place(&self) -> *const c_void {
        self.as_ptr().cast()
    }
}

impl Made {
    /// The buffer of which rows have a value; none where all have.
    fn valid(&mut self, runs: &[Run]) {
        self.nulls = runs.iter().filter(|run| run.piece.is_none()).map(|run| run.count).sum();
        if self.nulls == 0 {
            return self.buffers.push(None);
        }
        let mut bits = vec![0u8; self.rows.div_ceil(8)];
        let mut row = 0;
        for run in runs {
            if run.piece.is_some() {
                (row..row + run.count).for_each(|row| bits[row / 8] |= 1 << (row % 8));
            }
            row += run.count;
        }
        self.buffers.push(Some(Box::new(bits)));
    }

    /// Where the lists of the rows begin, and the last one ends.
    fn offsets(&mut self, runs: &[Run], length: impl Fn(usize) -> usize) -> Result<()> {
        let mut offsets = Offsets::new(self.rows);
        for run in runs {
            let length = run.piece.map_or(0, &length);
            (0..run.count).try_for_each(|_| offsets.add(length))?;
        }
        self.buffers.push(Some(Box::new(offsets.0)));
        Ok(())
    }

    fn plain(&mut self, plain: Plain, pieces: &[&Buffer], runs: &[Run]) -> Result<()> {
        let lost = || Error::new("the model answers another number of values than rows");
        let within = |run: &Run| run.piece.is_none_or(|piece| run.start + run.count <= pieces[piece].len());
        if !runs.iter().all(within) {
            return Err(lost());
        }
        if plain == Plain::Varchar {
            return self.texts(pieces, runs);
        }
        let mut all = plain.buffer();
        for run in runs {
            match run.piece {
                Some(piece) => all.append_range(pieces[piece], run.start..run.start + run.count)?,
                None => all.reset(all.len() + run.count),
            }
        }
        if let Buffer::Bool(flags) = &all {
            let mut bits = vec![0u8; flags.len().div_ceil(8)];
            flags.iter().enumerate().for_each(|(i, flag)| bits[i / 8] |= u8::from(*flag != 0) << (i % 8));
            self.buffers.push(Some(Box::new(bits)));
            return Ok(());
        }
        self.buffers
            .push(Some(on_buffer!(all, values => Box::new(values) as Box<dyn Held>, _texts => return Err(lost()))));
        Ok(())
    }

    fn texts(&mut self, pieces: &[&Buffer], runs: &[Run]) -> Result<()> {
        let (mut offsets, mut bytes) = (Offsets::new(self.rows), Vec::new());
        for run in runs {
            let Some(piece) = run.piece else {
                (0..run.count).try_for_each(|_| offsets.add(0))?;
                continue;
            };
            let Buffer::Text(texts) = pieces[piece] else {
                return Err(Error::new("the model answers texts and numbers where one was promised"));
            };
            for row in run.start..run.start + run.count {
                let text = texts.get(row);
                bytes.extend_from_slice(text);
                offsets.add(text.len())?;
            }
        }
        self.buffers.extend([Some(Box::new(offsets.0) as Box<dyn Held>), Some(Box::new(bytes))]);
        Ok(())
    }

    fn array(self) -> ArrowArray {
        let Made { rows, nulls, buffers, children } = self;
        let places: Vec<*const c_void> =
            buffers.iter().map(|buffer| buffer.as_ref().map_or(ptr::null(), |held| held.place())).collect();
        let children: Vec<*mut ArrowArray> = children.into_iter().map(|child| Box::into_raw(Box::new(child))).collect();
        let mut own = Box::new(OwnArray { places, children, _buffers: buffers });
        ArrowArray {
            length: rows as i64,
            null_count: nulls as i64,
            offset: 0,
            n_buffers: own.places.len() as i64,
            n_children: own.children.len() as i64,
            buffers: own.places.as_mut_ptr(),
            children: own.children.as_mut_ptr(),
            dictionary: ptr::null_mut(),
            release: Some(release_array),
            private_data: Box::into_raw(own).cast(),
        }
    }
}

/// Offsets of 32 bits, as Arrow's lists and texts have them.
struct Offsets(Vec<i32>);

impl Offsets {
    fn new(rows: usize) -> Offsets {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Offsets(offsets)
    }

    fn add(&mut self, length: usize) -> Result<()> {
        let end = self.0.last().copied().unwrap_or(0);
        let next = i32::try_from(length).ok().and_then(|length| end.checked_add(length));
        let too_many = || {
            let most = i32::MAX;
            Error::of(
                Code::ModelFailed,
                format!("the answers hold more than {most} values in lists, or bytes of texts; ask fewer rows at once"),
            )
        };
        self.0.push(next.ok_or_else(too_many)?);
        Ok(())
    }
}

/// What an array that was handed out keeps.
struct OwnArray {
    places: Vec<*const c_void>,
    children: Vec<*mut ArrowArray>,
    _buffers: Vec<Bytes>,
}

unsafe extern "C" fn release_array(array: *mut ArrowArray) {
    let _ = guard(|| {
        // SAFETY: whoever has the array releases it once.
        let Some(array) = (unsafe { array.as_mut() }) else { return Ok(()) };
        array.release = None;
        // SAFETY: made above; its children are ours, and may have been moved out, which then are released.
        let own = unsafe { Box::from_raw(array.private_data.cast::<OwnArray>()) };
        for child in own.children {
            // SAFETY: as above.
            let mut child = unsafe { Box::from_raw(child) };
            if let Some(release) = child.release {
                // SAFETY: as above.
                unsafe { release(&mut *child) };
            }
        }
        Ok(())
    });
}

/// The schema of an answer of this type, or of a feature.
pub fn schema(name: &str, sql_type: &SqlType) -> ArrowSchema {
    let children = match sql_type {
        SqlType::Plain(_) => Vec::new(),
        SqlType::List(child) | SqlType::Array(child, _) => vec![schema("item", child)],
        SqlType::Struct(fields) => fields.iter().map(|(name, field)| schema(name, field)).collect(),
        SqlType::Map(key, value) => {
            let mut key = schema("key", key);
            key.flags = 0;
            let mut entries = made_schema("entries", "+s", vec![key, schema("value", value)]);
            entries.flags = 0;
            vec![entries]
        }
    };
    made_schema(name, &format_of(sql_type), children)
}

pub fn made_schema(name: &str, format: &str, children: Vec<ArrowSchema>) -> ArrowSchema {
    let text = |text: &str| CString::new(text.replace('\0', "\u{2400}")).unwrap_or_default();
    let children = children.into_iter().map(|child| Box::into_raw(Box::new(child))).collect();
    let mut own = Box::new(OwnSchema { format: text(format), name: text(name), children });
    ArrowSchema {
        format: own.format.as_ptr(),
        name: own.name.as_ptr(),
        metadata: ptr::null(),
        flags: NULLABLE,
        n_children: own.children.len() as i64,
        children: own.children.as_mut_ptr(),
        dictionary: ptr::null_mut(),
        release: Some(release_schema),
        private_data: Box::into_raw(own).cast(),
    }
}

struct OwnSchema {
    format: CString,
    name: CString,
    children: Vec<*mut ArrowSchema>,
}

unsafe extern "C" fn release_schema(schema: *mut ArrowSchema) {
    let _ = guard(|| {
        // SAFETY: whoever has the schema releases it once.
        let Some(schema) = (unsafe { schema.as_mut() }) else { return Ok(()) };
        schema.release = None;
        // SAFETY: made above; its children are ours, and may have been moved out, which then are released.
        let own = unsafe { Box::from_raw(schema.private_data.cast::<OwnSchema>()) };
        for child in own.children {
            // SAFETY: as above.
            let mut child = unsafe { Box::from_raw(child) };
            if let Some(release) = child.release {
                // SAFETY: as above.
                unsafe { release(&mut *child) };
            }
        }
        Ok(())
    });
}
