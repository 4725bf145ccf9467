//! Lists, arrays and bytes in a cell → tensors of equal shape.

use std::collections::HashMap;

use super::column::{Column, Data, Rows};
use super::error::{Code, Error, Result};

/// The cells of a column, laid flat: where their values are, and each row's shape.
pub struct Cells<'a> {
    pub leaf: &'a Column<'a>,
    /// Runs of values in the leaf, as (first, count), in the order of the rows.
    pub runs: Vec<(usize, usize)>,
    /// Values in each row.
    pub lengths: Vec<usize>,
    /// `depth` numbers for each row.
    pub shapes: Vec<usize>,
    pub depth: usize,
}

/// Walk the (nested) lists of the rows. Inner lists of different lengths in one row are an error.
pub fn walk<'a>(column: &'a Column<'a>, rows: Rows) -> Result<Cells<'a>> {
    let (leaf, depth) = leaf(column);
    let mut cells = Cells {
        leaf,
        runs: Vec::new(),
        lengths: Vec::with_capacity(rows.len()),
        shapes: Vec::with_capacity(rows.len() * depth),
        depth,
    };
    let mut shape = vec![None; depth];
    for row in rows.iter() {
        shape.fill(None);
        let count = cells.descend(column, row, &mut shape);
        let Some(count) = count else {
            let text = "a row holds lists of different lengths; a tensor needs equal ones";
            return Err(Error::of(Code::FeatureCount, text));
        };
        cells.lengths.push(count);
        cells.shapes.extend(shape.iter().map(|size| size.unwrap_or(0)));
    }
    Ok(cells)
}

fn leaf<'a>(column: &'a Column<'a>) -> (&'a Column<'a>, usize) {
    match &column.data {
        Data::List(_, child) | Data::Array(_, child) => {
            let (found, depth) = leaf(child);
            (found, depth + 1)
        }
        _ => (column, 0),
    }
}

impl Cells<'_> {
    pub fn count(&self) -> usize {
        self.lengths.iter().sum()
    }

    fn descend(&mut self, column: &Column, index: usize, shape: &mut [Option<usize>]) -> Option<usize> {
        let (child, first, count) = match &column.data {
            Data::List(entries, child) => {
                let entry = entries[index];
                (child, entry.offset as usize, entry.length as usize)
            }
            Data::Array(size, child) => (child, index * size, *size),
            _ => return Some(0),
        };
        let count = if column.is_valid(index) { count } else { 0 };
        let (size, inner) = shape.split_first_mut()?;
        if *size.get_or_insert(count) != count {
            return None;
        }
        if inner.is_empty() {
            self.run(first, count);
            return Some(count);
        }
        let mut total = 0;
        for i in first..first + count {
            total += self.descend(child, i, inner)?;
        }
        Some(total)
    }

    fn run(&mut self, first: usize, count: usize) {
        match self.runs.last_mut() {
            Some((start, length)) if *start + *length == first => *length += count,
            _ if count == 0 => {}
            _ => self.runs.push((first, count)),
        }
    }

    /// Each row's shape as the tensor's axes want it: as it is nested, or, for a flat list, as the axes say.
    pub fn fitted(&self, axes: &[Option<usize>]) -> Result<Vec<usize>> {
        if self.depth == axes.len() {
            let mut shapes = self.shapes.clone();
            for shape in shapes.chunks_exact_mut(self.depth.max(1)) {
                behind_nothing(shape, axes);
                if shape.iter().zip(axes).any(|(size, axis)| axis.is_some_and(|axis| axis != *size)) {
                    return Err(Error::of(
                        Code::FeatureCount,
                        format!("a row has the shape {shape:?}, the model takes {}", written(axes)),
                    ));
                }
            }
            return Ok(shapes);
        }
        let fixed: usize = axes.iter().flatten().product();
        let free = axes.iter().filter(|axis| axis.is_none()).count();
        let mut fitted = Vec::with_capacity(self.lengths.len() * axes.len());
        for length in &self.lengths {
            let fits = match free {
                0 => *length == fixed,
                1 => fixed > 0 && length % fixed == 0,
                _ => false,
            };
            if !fits {
                return Err(Error::of(
                    Code::FeatureCount,
                    format!("a row has {length} values, which do not fill a tensor of shape {}", written(axes)),
                ));
            }
            fitted.extend(axes.iter().map(|axis| axis.unwrap_or(length / fixed.max(1))));
        }
        Ok(fitted)
    }
}

/// The inner sizes of an empty list are unknown: take those of the model's axes.
fn behind_nothing(shape: &mut [usize], axes: &[Option<usize>]) {
    let mut empty = false;
    for (size, axis) in shape.iter_mut().zip(axes) {
        if let (true, Some(axis)) = (empty, axis) {
            *size = *axis;
        }
        empty |= *size == 0;
    }
}

fn written(axes: &[Option<usize>]) -> String {
    let sizes: Vec<String> = axes.iter().map(|a| a.map_or("any".to_string(), |a| a.to_string())).collect();
    format!("[{}]", sizes.join(", "))
}

/// Rows of equal shape: `shapes` holds `depth` numbers for each row.
pub fn same_shape(shapes: &[usize], depth: usize) -> Vec<Vec<u32>> {
    let mut groups: Vec<Vec<u32>> = Vec::new();
    let mut known: HashMap<&[usize], usize> = HashMap::new();
    for (row, shape) in shapes.chunks_exact(depth.max(1)).enumerate() {
        let group = *known.entry(shape).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(row as u32);
    }
    groups
}

/// Where the values of the rows are, one after the other.
pub fn leaves(cells: &Cells) -> impl Iterator<Item = usize> {
    cells.runs.iter().flat_map(|(first, count)| *first..first + count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::column::Entry;

    fn numbers() -> Box<Column<'static>> {
        Box::new(Column { valid: None, data: Data::F32(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]) })
    }

    const ENTRIES: [Entry; 3] =
        [Entry { offset: 0, length: 2 }, Entry { offset: 2, length: 2 }, Entry { offset: 4, length: 1 }];

    #[test]
    fn lists_are_walked_and_grouped() {
        let column = Column { valid: None, data: Data::List(&ENTRIES, numbers()) };
        let cells = walk(&column, Rows::Range(0, 3)).unwrap();
        assert_eq!((cells.runs.as_slice(), cells.lengths.as_slice()), (&[(0, 5)][..], &[2, 2, 1][..]));
        assert_eq!(cells.fitted(&[None]).unwrap(), [2, 2, 1]);
        assert_eq!(same_shape(&cells.shapes, 1), [vec![0, 1], vec![2]]);
        let error = cells.fitted(&[Some(2)]).unwrap_err().to_string();
        assert_eq!(error, "a row has the shape [1], the model takes [2]");
        let picked = walk(&column, Rows::Picked(&[2, 0])).unwrap();
        assert_eq!(picked.runs, [(4, 1), (0, 2)]);
    }

    #[test]
    fn nested_lists_need_equal_lengths() {
        let inner = Column { valid: None, data: Data::List(&ENTRIES, numbers()) };
        let outer = [Entry { offset: 0, length: 2 }, Entry { offset: 1, length: 2 }];
        let column = Column { valid: None, data: Data::List(&outer, Box::new(inner)) };
        let cells = walk(&column, Rows::Range(0, 1)).unwrap();
        assert_eq!((cells.shapes.as_slice(), cells.count()), (&[2, 2][..], 4));
        assert_eq!(cells.fitted(&[None, Some(2)]).unwrap(), [2, 2]);
        assert!(walk(&column, Rows::Range(0, 2)).is_err());
    }

    #[test]
    fn flat_lists_fill_the_axes() {
        let column = Column { valid: None, data: Data::Array(6, numbers()) };
        let cells = walk(&column, Rows::Range(0, 1)).unwrap();
        assert_eq!(cells.fitted(&[Some(2), None]).unwrap(), [2, 3]);
        assert!(cells.fitted(&[Some(4), None]).is_err());
        assert!(cells.fitted(&[None, None]).is_err());
    }
}
