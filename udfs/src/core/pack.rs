//! Columns → packed tensors, one for each input of the graph. The hot path: buffers are kept and reused.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use super::cells::{Cells, leaves, same_shape, walk};
use super::column::{Column, Data, Rows};
use super::convert::{Slot, numbers, stand_in, texts};
use super::error::{Result, null_feature};
use super::interleave::{interleave, most_interleaved};
use super::leaves::{convert_leaves, misfits};
use super::manifest::{Feature, Input, NullPolicy};
use super::pack_list::pack_list;
use super::packed::{Group, Packed};
use super::plan::{ArgLayout, Plan, Reader, ReaderKind};
use super::preprocess::Preparer;
use crate::sys::tensor::Buffer;

const BLOCK_BYTES: usize = 24 << 10;

/// What is kept from batch to batch on one thread.
pub struct Packer {
    pub tensors: Vec<Packed>,
    /// The rows that are scored, when not all are.
    pub keep: Option<Vec<u32>>,
    /// Filled instead of `tensors` when the rows have different shapes.
    pub groups: Vec<Group>,
    pub count: usize,
    /// One for each feature, or none at all.
    pub preparers: Arc<[Option<Preparer>]>,
    /// How many threads they may use.
    pub threads: usize,
}

impl Packer {
    pub fn new(plan: &Plan) -> Packer {
        let packed = |(number, input): (usize, &Input)| {
            let columns = plan.manifest.features.iter().filter(|f| f.input == number && f.column.is_some()).count();
            Packed {
                buffer: Buffer::new(input.dtype),
                inner: if columns > 0 { vec![columns] } else { Vec::new() },
                width: columns.max(1),
            }
        };
        let tensors = plan.manifest.inputs.iter().enumerate().map(packed).collect();
        Packer { tensors, keep: None, groups: Vec::new(), count: 0, preparers: Arc::new([]), threads: 1 }
    }

    /// Pack `rows` rows. Errors are those of rows that the model cannot take.
    pub fn pack(&mut self, plan: &Plan, arguments: &[Column], rows: usize) -> Result<()> {
        self.groups.clear();
        match (&plan.form, arguments) {
            (ArgLayout::List, [list, ..]) => {
                (self.count, self.keep) = pack_list(plan, list, rows, &mut self.tensors[0])?;
            }
            _ => {
                let columns = plan.columns(arguments);
                let keep = kept(plan, &columns, rows)?;
                self.pack_features(plan, &columns, keep.as_deref().map_or(Rows::Range(0, rows), Rows::Picked))?;
                self.keep = keep;
            }
        }
        self.split(plan);
        Ok(())
    }

    /// Pack these rows, of which none is to be skipped.
    pub fn pack_rows(&mut self, plan: &Plan, columns: &[&Column], rows: Rows) -> Result<()> {
        self.groups.clear();
        self.pack_features(plan, columns, rows)?;
        self.split(plan);
        Ok(())
    }

    fn split(&mut self, plan: &Plan) {
        if self.count > 1 && plan.manifest.inputs.iter().any(|input| input.shared) {
            self.split_by_shared_value(plan);
        }
    }

    fn pack_features(&mut self, plan: &Plan, columns: &[&Column], picked: Rows) -> Result<()> {
        let features = &plan.manifest.features;
        self.count = picked.len();
        let mut cells: Vec<(usize, Vec<usize>)> = Vec::new();
        if self.count > 0 {
            let single = |f: &Feature| f.column.is_some() || plan.manifest.inputs[f.input].axes.is_empty();
            for number in 0..self.tensors.len() {
                if features.iter().any(|f| f.input == number && single(f)) {
                    let values = self.count * self.tensors[number].width;
                    self.tensors[number].buffer.reset(values);
                }
            }
            for (i, ((feature, reader), column)) in features.iter().zip(&plan.readers).zip(columns).enumerate() {
                if let Some(Some(preparer)) = self.preparers.get(i) {
                    cells.extend(preparer.pack(plan, i, column, picked, self.threads, &mut self.tensors)?);
                    continue;
                }
                let packed = &mut self.tensors[feature.input];
                if !single(feature) {
                    let shapes = pack_cells(plan, feature, reader, column, picked, &mut packed.buffer)?;
                    cells.push((feature.input, shapes));
                } else if let (ReaderKind::Text(words), Buffer::Text(out)) = (&reader.kind, &mut packed.buffer) {
                    let words = words.as_ref().map(|words| words.as_slice());
                    texts(column, words, picked, out, packed.width, feature.column.unwrap_or(0));
                }
            }
            self.pack_numbers(plan, columns, picked)?;
            self.stand_in(plan, columns, picked);
            self.shape(cells);
        }
        Ok(())
    }

    /// Column by column, in blocks of rows that stay in the nearest cache.
    fn pack_numbers(&mut self, plan: &Plan, columns: &[&Column], rows: Rows) -> Result<()> {
        let widest = self.tensors.iter().map(|t| t.width * t.buffer.bytes_per_value()).max().unwrap_or(1);
        let block = (BLOCK_BYTES / widest.max(1)).clamp(32, 2048);
        for start in (0..rows.len()).step_by(block) {
            let part = rows.part(start, block.min(rows.len() - start));
            let mut next = 0;
            while next < columns.len() {
                let (feature, reader) = (&plan.manifest.features[next], &plan.readers[next]);
                let packed = &mut self.tensors[feature.input];
                let (width, at) = (packed.width, feature.column.unwrap_or(0));
                let place = Slot { buffer: &mut packed.buffer, start: start * width, width, at };
                let side = most_interleaved(neighbours(&plan.manifest.features, columns, next), place.buffer);
                if let (Rows::Range(first, count), 2..) = (part, side) {
                    interleave(&columns[next..next + side], first, count, place);
                    next += side;
                    continue;
                }
                if let ReaderKind::Number(number) = reader.kind {
                    numbers(columns[next], number, part, place)
                        .map_err(|misfit| misfits(plan, feature, reader, &misfit.0))?;
                }
                next += 1;
            }
        }
        Ok(())
    }

    /// Replace the NULLs of single values whose policy says so.
    fn stand_in(&mut self, plan: &Plan, columns: &[&Column], picked: Rows) {
        for ((feature, reader), column) in plan.manifest.features.iter().zip(&plan.readers).zip(columns) {
            if let (NullPolicy::Value(value), ReaderKind::Number(_) | ReaderKind::Text(_) | ReaderKind::Null) =
                (&feature.null, &reader.kind)
                && feature.prepare.is_none()
                && !picked.all_valid(column)
            {
                let packed = &mut self.tensors[feature.input];
                let (width, at) = (packed.width, feature.column.unwrap_or(0));
                stand_in(column, value, picked, Slot { buffer: &mut packed.buffer, start: 0, width, at });
            }
        }
    }

    /// Rows that differ in what a run shares go to different groups.
    fn split_by_shared_value(&mut self, plan: &Plan) {
        if self.groups.is_empty() {
            let parts = by_shared_value(plan, &self.tensors, self.count);
            if parts.len() > 1 {
                let group = |rows: Vec<u32>| Group {
                    tensors: self.tensors.iter().map(|t| t.pick(&rows)).collect(),
                    rows: Some(rows),
                };
                self.groups = parts.into_iter().map(group).collect();
            }
            return;
        }
        for group in std::mem::take(&mut self.groups) {
            let places = group.rows.unwrap_or_default();
            for rows in by_shared_value(plan, &group.tensors, places.len()) {
                let tensors = group.tensors.iter().map(|tensor| tensor.pick(&rows)).collect();
                let rows = rows.into_iter().map(|row| places[row as usize]).collect();
                self.groups.push(Group { tensors, rows: Some(rows) });
            }
        }
    }

    /// Give whole tensors their shape; rows whose shapes differ go to different groups.
    fn shape(&mut self, cells: Vec<(usize, Vec<usize>)>) {
        if cells.is_empty() {
            return;
        }
        let rows = self.count;
        let depths: Vec<usize> = cells.iter().map(|(_, shapes)| shapes.len() / rows).collect();
        let depth = depths.iter().sum();
        let mut together = Vec::with_capacity(rows * depth);
        for row in 0..rows {
            for ((_, shapes), depth) in cells.iter().zip(&depths) {
                together.extend_from_slice(&shapes[row * depth..(row + 1) * depth]);
            }
        }
        let groups = same_shape(&together, depth);
        for ((number, shapes), depth) in cells.iter().zip(&depths) {
            self.tensors[*number].inner = shapes[..*depth].to_vec();
            self.tensors[*number].width = shapes[..*depth].iter().product();
        }
        if groups.len() == 1 {
            return;
        }
        let starts: Vec<Vec<usize>> =
            cells.iter().zip(&depths).map(|((_, shapes), depth)| starts(shapes, *depth)).collect();
        for rows in groups {
            let first = rows[0] as usize;
            let mut tensors = Vec::new();
            for (number, packed) in self.tensors.iter().enumerate() {
                let cell = cells.iter().position(|(n, _)| *n == number);
                tensors.push(match cell {
                    Some(cell) => {
                        let inner = cells[cell].1[first * depths[cell]..][..depths[cell]].to_vec();
                        ragged(&packed.buffer, &starts[cell], &rows, inner)
                    }
                    None => packed.pick(&rows),
                });
            }
            self.groups.push(Group { tensors, rows: Some(rows) });
        }
    }
}

/// The rows of the tensors, those whose shared inputs have equal values together.
fn by_shared_value(plan: &Plan, tensors: &[Packed], count: usize) -> Vec<Vec<u32>> {
    let inputs = plan.manifest.inputs.iter().zip(tensors);
    let shared: Vec<&Packed> = inputs.filter(|(input, _)| input.shared).map(|(_, packed)| packed).collect();
    let same = |a: u32, b: u32| shared.iter().all(|t| t.buffer.same_row(a as usize, &t.buffer, b as usize, t.width));
    let mut groups: Vec<Vec<u32>> = Vec::new();
    let mut by_hash: HashMap<u64, Vec<usize>> = HashMap::new();
    for row in 0..count as u32 {
        let mut hasher = DefaultHasher::new();
        shared.iter().for_each(|tensor| tensor.buffer.hash_row(row as usize, tensor.width, &mut hasher));
        let candidates = by_hash.entry(hasher.finish()).or_default();
        match candidates.iter().find(|group| same(groups[**group][0], row)) {
            Some(group) => groups[*group].push(row),
            None => {
                candidates.push(groups.len());
                groups.push(vec![row]);
            }
        }
    }
    groups
}

/// The columns of this feature and of the next ones that stand beside it in its tensor.
fn neighbours<'a>(
    features: &'a [Feature],
    columns: &'a [&'a Column<'a>],
    first: usize,
) -> impl Iterator<Item = &'a Column<'a>> {
    let (input, start) = (features[first].input, features[first].column);
    let beside = move |(i, feature): (usize, &Feature)| {
        feature.input == input && start.is_some_and(|start| feature.column == Some(start + i))
    };
    let run = features[first..].iter().enumerate().take_while(move |at| beside(*at)).count();
    columns[first..first + run].iter().copied()
}

/// The rows that are scored, as the null policies say; None when all are.
pub fn kept(plan: &Plan, columns: &[&Column], rows: usize) -> Result<Option<Vec<u32>>> {
    let mut keep: Option<Vec<bool>> = None;
    let mut skip = |gone: &dyn Fn(usize) -> bool| {
        let keep = keep.get_or_insert_with(|| vec![true; rows]);
        keep.iter_mut().enumerate().for_each(|(row, kept)| *kept &= !gone(row));
    };
    for (feature, column) in plan.manifest.features.iter().zip(columns) {
        let whole = feature.column.is_none()
            && feature.prepare.is_none()
            && !plan.manifest.inputs[feature.input].axes.is_empty();
        if whole && feature.null == NullPolicy::Null && column.may_hold_null() {
            skip(&|row| column.holds_null(row));
        }
        if column.all_valid(rows) {
            continue;
        }
        match feature.null {
            NullPolicy::Error => return Err(null_feature(&plan.model, &feature.name)),
            // a value stands in for a value, not for a tensor
            NullPolicy::Value(_) if !whole => {}
            _ => skip(&|row| !column.is_valid(row)),
        }
    }
    Ok(keep.map(|keep| (0..rows as u32).filter(|row| keep[*row as usize]).collect()))
}

fn pack_cells(
    plan: &Plan,
    feature: &Feature,
    reader: &Reader,
    column: &Column,
    rows: Rows,
    buffer: &mut Buffer,
) -> Result<Vec<usize>> {
    let axes = &plan.manifest.inputs[feature.input].axes;
    if let (Data::Text(values), Buffer::U8(out)) = (&column.data, &mut *buffer) {
        out.clear();
        let lengths: Vec<usize> = rows.iter().map(|row| values[row].len()).collect();
        rows.iter().for_each(|row| out.extend_from_slice(values[row]));
        let cells = Cells { leaf: column, runs: Vec::new(), shapes: lengths.clone(), lengths, depth: 1 };
        return cells.fitted(axes);
    }
    let cells = walk(column, rows)?;
    buffer.reset(cells.count());
    convert_leaves(plan, feature, reader, &cells, buffer)?;
    let total = cells.runs.iter().map(|(first, count)| first + count).max().unwrap_or(0);
    if !cells.leaf.all_valid(total) {
        for (i, leaf) in leaves(&cells).enumerate().filter(|(_, leaf)| !cells.leaf.is_valid(*leaf)) {
            let NullPolicy::Value(value) = &feature.null else {
                return Err(null_feature(&plan.model, &feature.name));
            };
            stand_in(cells.leaf, value, Rows::Range(leaf, 1), Slot { buffer, start: i, width: 1, at: 0 });
        }
    }
    cells.fitted(axes)
}

/// Where the cells of each row begin, out of cells of many shapes.
fn starts(shapes: &[usize], depth: usize) -> Vec<usize> {
    let mut total = 0;
    let begin = |shape: &[usize]| {
        let start = total;
        total += shape.iter().product::<usize>();
        start
    };
    shapes.chunks_exact(depth).map(begin).collect()
}

/// The cells of some rows, all of the shape `inner`.
fn ragged(buffer: &Buffer, starts: &[usize], rows: &[u32], inner: Vec<usize>) -> Packed {
    let width: usize = inner.iter().product();
    let starts = rows.iter().map(|row| starts[*row as usize]);
    Packed { buffer: buffer.gather(starts, width), inner, width }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::core::column::Entry;
    use crate::core::manifest::tests::{parsed, sample};
    use crate::core::sqltype::{ArgType, Number};
    use crate::sys::allocations::bytes_asked_for;

    #[test]
    fn cells_of_many_shapes_lie_one_behind_the_other() {
        let shapes = [2, 1, 0, 7, 1, 3];
        assert_eq!(starts(&shapes, 2), [0, 2, 2]);
        let buffer = Buffer::F32(vec![1.0, 2.0, 3.0, 4.0, 5.0]);
        let picked = ragged(&buffer, &starts(&shapes, 2), &[2], vec![1, 3]);
        assert_eq!((picked.buffer, picked.width), (Buffer::F32(vec![3.0, 4.0, 5.0]), 3));
        assert_eq!(starts(&[1 << 31, 1 << 31, 5, 1], 1), [0, 1 << 31, 1 << 32, (1 << 32) + 5]);
    }

    #[test]
    fn cells_of_many_shapes_are_gathered_once() {
        let list =
            |name: &str| json!({"name": name, "type": "DOUBLE[]", "null": "null", "tensor": name, "column": null});
        let input = |name: &str| json!({"name": name, "dtype": "float64", "shape": [null, null]});
        let mut fields = sample();
        fields["labels"] = serde_json::Value::Null;
        (fields["features"], fields["inputs"]) = (json!([list("x"), list("z")]), json!([input("x"), input("z")]));
        fields["outputs"] = json!([{"name": "y", "dtype": "float64", "shape": [null], "type": "DOUBLE"}]);
        fields["calls"] = json!({"predict": {"type": "DOUBLE", "decode": "tensor", "outputs": ["y"]}});
        let given = [(); 2].map(|()| ArgType::List(Box::new(ArgType::Number(Number::Double))));
        let plan = Plan::new("m", Arc::new(parsed(fields).unwrap()), &given).unwrap();

        // each length of the one beside each of the other: no two rows have the same shapes
        const LONGEST: usize = 80;
        let rows = LONGEST * LONGEST;
        let entries = |length: &dyn Fn(usize) -> usize| -> Vec<Entry> {
            let mut offset = 0;
            let entry = |row: usize| {
                offset += length(row) as u64;
                Entry { offset: offset - length(row) as u64, length: length(row) as u64 }
            };
            (0..rows).map(entry).collect()
        };
        let (x, z) = (entries(&|row| row / LONGEST), entries(&|row| row % LONGEST));
        let values = vec![1.0; rows * LONGEST];
        let leaf = || Box::new(Column { valid: None, data: Data::F64(&values) });
        let columns = [&x, &z].map(|entries| Column { valid: None, data: Data::List(entries, leaf()) });
        let mut packer = Packer::new(&plan);
        let asked = bytes_asked_for(|| packer.pack(&plan, &columns, rows).unwrap());
        assert_eq!(packer.groups.len(), rows);
        // the values are packed, and then gathered; what is as large as all rows for each shape has 300 MB
        let most = 4 * 8 * rows * LONGEST + 2_000 * rows;
        assert!(asked < most, "{rows} rows ask for {asked} bytes, of {most} at most");
    }
}
