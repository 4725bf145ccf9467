//! Columns in, answers out, by the shortest way there is: weighted sums of the columns as they are, each distinct text
//! or image once, rows that were scored a moment ago, and else the graph.

use std::collections::HashMap;
use std::sync::PoisonError;

use super::batch_cache::BatchCache;
use super::column::{Column, Rows};
use super::error::Result;
use super::packed::Packed;
use super::predictor::{Sink, State, joined};
use super::prepared::score_prepared;
use crate::sys::tensor::Tensor;

/// Above this, per row, an answer is found sooner than it is computed.
const RECALL_NANOS: f64 = 20.0;
/// Above this it pays to keep the rows of many batches.
const HASH_NANOS: f64 = 200.0;

/// Score `rows` rows of the arguments.
pub(super) fn score_rows(state: &mut State, arguments: &[Column], rows: usize, sink: &mut dyn Sink) -> Result<()> {
    state.runs.interrupt.check()?;
    state.predictor.plan.guard(arguments, rows)?;
    if state.predictor.plan.manifest.is_prepared() {
        return score_prepared(state, arguments, rows, sink);
    }
    let predictor = state.predictor.clone();
    // sums that are not finite may be of rows that the graph refuses
    let sums = predictor.formula.as_ref().and_then(|sums| sums.of_arguments(&predictor.plan, arguments, rows));
    if let Some(output) = sums.filter(Tensor::is_finite) {
        return state.write(vec![output], Rows::Range(0, rows), 0, sink);
    }
    state.packer.pack(&predictor.plan, arguments, rows)?;
    let keep = state.packer.keep.take();
    if let Some(keep) = &keep {
        sink.nulls_but(keep, rows);
    }
    if state.packer.count == 0 {
        return Ok(());
    }
    if state.packer.groups.is_empty() {
        let rows = keep.as_deref().map_or(Rows::Range(0, state.packer.count), Rows::Picked);
        return score_together(state, rows, sink);
    }
    for group in std::mem::take(&mut state.packer.groups) {
        let mine = group.rows.unwrap_or_default();
        let places: Vec<u32> = match &keep {
            Some(keep) => mine.iter().map(|row| keep[*row as usize]).collect(),
            None => mine,
        };
        for (start, outputs) in state.run(&group.tensors, places.len())? {
            state.write(outputs, Rows::Picked(&places), start, sink)?;
        }
    }
    Ok(())
}

/// Rows of one shape. Other expressions on this thread may have asked for them just before.
fn score_together(state: &mut State, rows: Rows, sink: &mut dyn Sink) -> Result<()> {
    let count = state.packer.count;
    let nanos = state.session.nanos_per_row();
    let worthwhile = state.is_shared() && nanos.is_some_and(|nanos| nanos > RECALL_NANOS);
    if !worthwhile {
        for (start, outputs) in state.run(&state.packer.tensors, count)? {
            state.write(outputs, rows, start, sink)?;
        }
        return Ok(());
    }
    let cache = state.cache.clone();
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(outputs) = cache.recall(&state.packer.tensors, count) {
        return state.write(outputs, rows, 0, sink);
    }
    let hashed = nanos.is_some_and(|nanos| nanos > HASH_NANOS);
    if let Some(places) = cache.lookup(&state.packer.tensors, count) {
        return score_rest(state, &cache, &places, rows, sink);
    }
    let parts = state.run(&state.packer.tensors, count)?;
    if let Some(outputs) = joined(&parts) {
        let fresh = state.packer.tensors.iter().map(Packed::like).collect();
        let tensors = std::mem::replace(&mut state.packer.tensors, fresh);
        if let Some(freed) = cache.remember(tensors, outputs, count, hashed) {
            for (mine, freed) in state.packer.tensors.iter_mut().zip(freed) {
                mine.buffer = freed.buffer;
            }
        }
    }
    for (start, outputs) in parts {
        state.write(outputs, rows, start, sink)?;
    }
    Ok(())
}

/// Some answers are at hand; score the other rows.
fn score_rest(
    state: &State,
    cache: &BatchCache,
    places: &[Option<(usize, u32)>],
    rows: Rows,
    sink: &mut dyn Sink,
) -> Result<()> {
    let mut by_batch: HashMap<usize, (Vec<u32>, Vec<u32>)> = HashMap::new();
    let mut rest = Vec::new();
    let mut rest_rows = Vec::new();
    for (i, place) in places.iter().enumerate() {
        match place {
            Some((batch, row)) => {
                let (from, to) = by_batch.entry(*batch).or_default();
                from.push(*row);
                to.push(rows.get(i) as u32);
            }
            None => {
                rest.push(i as u32);
                rest_rows.push(rows.get(i) as u32);
            }
        }
    }
    for (batch, (from, to)) in by_batch {
        let outputs = cache.outputs(batch).iter().map(|output| output.pick(&from)).collect();
        state.write(outputs, Rows::Picked(&to), 0, sink)?;
    }
    if rest.is_empty() {
        return Ok(());
    }
    let tensors: Vec<Packed> = state.packer.tensors.iter().map(|tensor| tensor.pick(&rest)).collect();
    for (start, outputs) in state.run(&tensors, rest.len())? {
        state.write(outputs, Rows::Picked(&rest_rows), start, sink)?;
    }
    Ok(())
}
