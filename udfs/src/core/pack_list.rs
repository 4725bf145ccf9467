//! One list a row in place of all features: its values are the columns of the only tensor.

use super::cells::{Cells, leaves, walk};
use super::column::{Column, Rows};
use super::convert::{Slot, stand_in};
use super::error::{Result, list_width, null_feature};
use super::leaves::convert_leaves;
use super::manifest::{Feature, NullPolicy};
use super::packed::Packed;
use super::plan::Plan;

/// Fill the tensor; gives how many rows there are in it, and which they are where those are not all.
pub fn pack_list(plan: &Plan, list: &Column, rows: usize, packed: &mut Packed) -> Result<(usize, Option<Vec<u32>>)> {
    let features = &plan.manifest.features;
    let whole = list.all_valid(rows);
    if !whole && features.iter().any(|f| f.null == NullPolicy::Error) {
        return Err(null_feature(&plan.model, &features[0].name));
    }
    let valid = || (0..rows as u32).filter(|row| list.is_valid(*row as usize)).collect::<Vec<_>>();
    let mut keep = (!whole).then(valid);
    let mut cells = walk_list(plan, list, keep.as_deref(), rows)?;
    let total = cells.runs.iter().map(|(first, count)| first + count).max().unwrap_or(0);
    let by_column = columns(features);
    if !cells.leaf.all_valid(total) {
        let all = || (0..rows as u32).collect();
        keep = Some(without_nulls(plan, &cells, &by_column, keep.unwrap_or_else(all))?);
        cells = walk_list(plan, list, keep.as_deref(), rows)?;
    }
    let count = cells.lengths.len();
    packed.buffer.reset(count * features.len());
    convert_leaves(plan, &features[0], &plan.readers[0], &cells, &mut packed.buffer)?;
    if !cells.leaf.all_valid(total) {
        for (i, leaf) in leaves(&cells).enumerate().filter(|(_, leaf)| !cells.leaf.is_valid(*leaf)) {
            if let NullPolicy::Value(value) = &by_column[i % features.len()].null {
                let place = Slot { buffer: &mut packed.buffer, start: i, width: 1, at: 0 };
                stand_in(cells.leaf, value, Rows::Range(leaf, 1), place);
            }
        }
    }
    Ok((count, keep))
}

fn walk_list<'a>(plan: &Plan, list: &'a Column<'a>, keep: Option<&[u32]>, rows: usize) -> Result<Cells<'a>> {
    let expected = plan.manifest.features.len();
    let cells = walk(list, keep.map_or(Rows::Range(0, rows), Rows::Picked))?;
    match cells.lengths.iter().find(|length| **length != expected) {
        Some(length) => Err(list_width(&plan.model, *length, expected)),
        None => Ok(cells),
    }
}

fn columns(features: &[Feature]) -> Vec<&Feature> {
    let mut columns: Vec<&Feature> = features.iter().collect();
    columns.sort_by_key(|feature| feature.column);
    columns
}

fn without_nulls(plan: &Plan, cells: &Cells, by_column: &[&Feature], keep: Vec<u32>) -> Result<Vec<u32>> {
    let mut dropped = vec![false; keep.len()];
    for (i, _) in leaves(cells).enumerate().filter(|(_, leaf)| !cells.leaf.is_valid(*leaf)) {
        let feature = by_column[i % by_column.len()];
        match feature.null {
            NullPolicy::Error => return Err(null_feature(&plan.model, &feature.name)),
            NullPolicy::Null => dropped[i / by_column.len()] = true,
            NullPolicy::Value(_) => {}
        }
    }
    Ok(keep.into_iter().zip(dropped).filter(|(_, dropped)| !dropped).map(|(row, _)| row).collect())
}
