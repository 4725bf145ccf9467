//! The rows of a batch, each distinct one scored once.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::column::{Column, Rows};
use super::error::Result;
use super::keys::key;
use super::manifest::preprocess::Prepare;
use super::pack::kept;
use super::packed::Group;
use super::plan::Reader;
use super::predictor::{Sink, State, joined};
use super::preprocess::{Preparer, text};
use crate::sys::tensor::Tensor;

/// What is prepared at a time; a single row may take more.
const PREPARED_BYTES: usize = 32 << 20;

/// Answers of some of the rows that were run: which, by their numbers, and the outputs.
type Part = (Vec<u32>, Vec<Tensor>);

/// As `score`, for a model whose features are prepared.
pub fn score_prepared(state: &mut State, arguments: &[Column], rows: usize, sink: &mut dyn Sink) -> Result<()> {
    let predictor = state.predictor.clone();
    let plan = &predictor.plan;
    let columns = plan.columns(arguments);
    let keep = kept(plan, &columns, rows)?;
    if let Some(keep) = &keep {
        sink.nulls_but(keep, rows);
    }
    let rows: Vec<u32> = keep.unwrap_or_else(|| (0..rows as u32).collect());
    let cache = state.cache.clone();
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    let contents = &mut cache.contents;
    // where the answers of known rows are, and the rows that ask for the same unknown one
    let mut known: HashMap<u64, (Vec<u32>, Vec<u32>)> = HashMap::new();
    let mut fresh: HashMap<u128, usize> = HashMap::new();
    let mut asking: Vec<Vec<u32>> = Vec::new();
    for row in rows {
        let key = key(&columns, &plan.readers, row as usize);
        if let Some((batch, place)) = contents.find(key) {
            let (from, to) = known.entry(batch).or_default();
            from.push(place);
            to.push(row);
            continue;
        }
        let number = *fresh.entry(key).or_insert(asking.len());
        match asking.get_mut(number) {
            Some(rows) => rows.push(row),
            None => asking.push(vec![row]),
        }
    }
    for (batch, (from, to)) in known {
        let outputs = contents.outputs(batch).iter().map(|output| output.pick(&from)).collect();
        state.write(outputs, Rows::Picked(&to), 0, sink)?;
    }
    if asking.is_empty() {
        return Ok(());
    }
    let first: Vec<u32> = asking.iter().map(|rows| rows[0]).collect();
    let parts = run_prepared(state, &columns, &first)?;
    for (numbers, outputs) in &parts {
        let (from, to) = spread(numbers, &asking);
        let outputs = outputs.iter().map(|output| output.pick(&from)).collect();
        state.write(outputs, Rows::Picked(&to), 0, sink)?;
    }
    let mut keys = vec![0; asking.len()];
    fresh.into_iter().for_each(|(key, number)| keys[number] = key);
    let order: Vec<u128> =
        parts.iter().flat_map(|(numbers, _)| numbers.iter().map(|number| keys[*number as usize])).collect();
    let parts: Vec<(usize, Vec<Tensor>)> = parts.into_iter().map(|(_, outputs)| (0, outputs)).collect();
    if let Some(outputs) = joined(&parts) {
        contents.remember(order, outputs);
    }
    Ok(())
}

/// Run these rows of the columns; a row's number is its place among them.
fn run_prepared(state: &mut State, columns: &[&Column], rows: &[u32]) -> Result<Vec<Part>> {
    let predictor = state.predictor.clone();
    let mut parts = Vec::new();
    let mut first = 0;
    while first < rows.len() {
        let count = fitting(state, columns, &rows[first..]);
        state.packer.threads = state.session.sharers(count);
        state.packer.pack_rows(&predictor.plan, columns, Rows::Picked(&rows[first..first + count]))?;
        let groups = prepared_groups(state, count)?;
        parts.extend(run_groups(state, &groups, first as u32, count)?);
        first += count;
    }
    Ok(parts)
}

/// Many small runs: several threads with a run each are done sooner than several threads in one run.
fn run_groups(state: &State, groups: &[Group], first: u32, rows: usize) -> Result<Vec<Part>> {
    let threads = state.session.sharers(rows).min(groups.len());
    if threads < 2 {
        let parts: Vec<_> = groups.iter().map(|group| run_group(state, group, first)).collect::<Result<_>>()?;
        return Ok(parts.into_iter().flatten().collect());
    }
    let next = AtomicUsize::new(0);
    state.session.shared(threads, |_| {
        let mut parts = Vec::new();
        // the longest texts first, so that nobody waits for them in the end
        while let Some(group) = groups.iter().rev().nth(next.fetch_add(1, Ordering::Relaxed)) {
            parts.extend(run_group(state, group, first)?);
        }
        Ok(parts)
    })
}

fn run_group(state: &State, group: &Group, first: u32) -> Result<Vec<Part>> {
    let numbers: Vec<u32> = group.rows.iter().flatten().map(|number| number + first).collect();
    let part = |(start, outputs): (usize, Vec<Tensor>)| {
        let count = outputs.first().map_or(0, Tensor::rows);
        (numbers[start..start + count].to_vec(), outputs)
    };
    Ok(state.run(&group.tensors, numbers.len())?.into_iter().map(part).collect())
}

/// How many of the rows are prepared at a time, so that their tokens and pixels fit in memory.
fn fitting(state: &State, columns: &[&Column], rows: &[u32]) -> usize {
    let readers = &state.predictor.plan.readers;
    let bytes = |row: u32| -> usize {
        let one = |((preparer, reader), column): ((&Option<Preparer>, &Reader), &&Column)| {
            preparer.as_ref().map_or(0, |preparer| preparer.bytes_of(reader, column, row as usize))
        };
        state.packer.preparers.iter().zip(readers).zip(columns).map(one).sum()
    };
    let mut total = 0;
    let over = rows.iter().position(|row| {
        total += bytes(*row);
        total > PREPARED_BYTES
    });
    over.unwrap_or(rows.len()).max(1)
}

fn prepared_groups(state: &mut State, rows: usize) -> Result<Vec<Group>> {
    if state.packer.groups.is_empty() {
        let fresh = state.packer.tensors.iter().map(|tensor| tensor.like()).collect();
        let tensors = std::mem::replace(&mut state.packer.tensors, fresh);
        return Ok(vec![Group { tensors, rows: Some((0..rows as u32).collect()) }]);
    }
    let groups = std::mem::take(&mut state.packer.groups);
    let manifest = &state.predictor.plan.manifest;
    let free = |input: usize| manifest.inputs[input].axes.iter().any(Option::is_none);
    let mut ragged = manifest.features.iter().filter(|feature| free(feature.input));
    if manifest.inputs.iter().any(|input| input.shared) {
        return Ok(groups);
    }
    match (ragged.next().map(|f| (f, &f.prepare)), ragged.next()) {
        (Some((feature, Some(Prepare::Text(fields)))), None) if fields.pad.is_some() => {
            let mut tokens = vec![feature.input];
            for name in feature.prepare.iter().flat_map(Prepare::companions) {
                tokens.push(manifest.input_number(name)?);
            }
            text::padded(groups, feature.input, &tokens, fields.pad.unwrap_or(0))
        }
        _ => Ok(groups),
    }
}

/// The rows that asked for these numbers, each with its number's place.
fn spread(numbers: &[u32], asking: &[Vec<u32>]) -> (Vec<u32>, Vec<u32>) {
    let pairs =
        numbers.iter().enumerate().flat_map(|(i, n)| asking[*n as usize].iter().map(move |row| (i as u32, *row)));
    pairs.unzip()
}
