//! Models that are nothing but weighted sums of their columns: they need neither tensors nor ONNX Runtime.

use std::borrow::Cow;

use super::column::{Column, Rows};
use super::convert::{Slot, numbers};
use super::float::Float;
use super::linear::Linear;
use super::manifest::{FormulaFields, Manifest};
use super::plan::{ArgLayout, Plan, Reader, ReaderKind};
use crate::sys::cpu;
use crate::sys::tensor::{Buffer, Dtype, Tensor};

/// The sums, in the type of the columns.
#[derive(Debug)]
pub enum Formula {
    Single(Linear<f32>),
    Double(Linear<f64>),
}

impl Formula {
    /// None where the graph is no such sums.
    pub fn of_manifest(manifest: &Manifest) -> Option<Formula> {
        match (&manifest.formula, manifest.inputs.as_slice()) {
            (Some(fields), [input]) => Formula::of(fields, input.dtype),
            _ => None,
        }
    }

    /// None where the numbers do not fit each other.
    fn of(fields: &FormulaFields, dtype: Dtype) -> Option<Formula> {
        let FormulaFields { weights, intercepts } = fields;
        let targets = weights.len();
        let weights = weights.iter().flatten().copied();
        let intercepts = intercepts.iter().copied();
        match dtype {
            Dtype::F32 => {
                let single = |x| x as f32;
                Linear::new(weights.map(single).collect(), intercepts.map(single).collect(), targets)
                    .map(Formula::Single)
            }
            Dtype::F64 => Linear::new(weights.collect(), intercepts.collect(), targets).map(Formula::Double),
            _ => None,
        }
    }

    /// The only output of the call, where its columns can be read as they are.
    pub fn of_arguments(&self, plan: &Plan, arguments: &[Column], rows: usize) -> Option<Tensor> {
        match plan.form {
            ArgLayout::List => None,
            _ => self.answers(&plan.columns(arguments), &plan.readers, rows),
        }
    }

    /// [rows, targets]; None where a column holds a NULL, or no numbers.
    fn answers(&self, columns: &[&Column], readers: &[Reader], rows: usize) -> Option<Tensor> {
        if !columns.iter().all(|column| column.all_valid(rows)) {
            return None;
        }
        let (targets, data) = match self {
            Formula::Single(linear) => (linear.targets, Buffer::F32(sums(linear, columns, readers, rows)?)),
            Formula::Double(linear) => (linear.targets, Buffer::F64(sums(linear, columns, readers, rows)?)),
        };
        Some(Tensor { shape: vec![rows, targets], data })
    }

    /// The same answers, of rows that are packed; None where they are of another type.
    pub fn answers_of_rows(&self, packed: &Buffer) -> Option<Tensor> {
        let (targets, data) = match (self, packed) {
            (Formula::Single(linear), Buffer::F32(rows)) => (linear.targets, Buffer::F32(sums_of_rows(linear, rows))),
            (Formula::Double(linear), Buffer::F64(rows)) => (linear.targets, Buffer::F64(sums_of_rows(linear, rows))),
            _ => return None,
        };
        Some(Tensor { shape: vec![data.len() / targets, targets], data })
    }
}

fn sums_of_rows<T: Float>(linear: &Linear<T>, rows: &[T]) -> Vec<T> {
    let mut answers = vec![T::default(); rows.len() / linear.features * linear.targets];
    cpu::widest(SummingRows { linear, rows, answers: &mut answers });
    answers
}

fn sums<T: Float>(linear: &Linear<T>, columns: &[&Column], readers: &[Reader], rows: usize) -> Option<Vec<T>> {
    let values: Option<Vec<Cow<[T]>>> =
        columns.iter().zip(readers).map(|(column, reader)| values(column, reader, rows)).collect();
    let values = values?;
    let columns: Vec<&[T]> = values.iter().map(Cow::as_ref).collect();
    let mut answers = vec![T::default(); rows * linear.targets];
    cpu::widest(Summing { linear, columns: &columns, answers: &mut answers });
    Some(answers)
}

/// The column itself where it is of this type.
fn values<'a, T: Float>(column: &'a Column, reader: &Reader, rows: usize) -> Option<Cow<'a, [T]>> {
    if let Some(own) = T::of(&column.data) {
        return Some(Cow::Borrowed(&own[..rows]));
    }
    let ReaderKind::Number(number) = reader.kind else { return None };
    let mut buffer = Buffer::new(T::DTYPE);
    buffer.reset(rows);
    let place = Slot { buffer: &mut buffer, start: 0, width: 1, at: 0 };
    numbers(column, number, Rows::Range(0, rows), place).ok()?;
    T::taken(buffer).map(Cow::Owned)
}

struct Summing<'a, T> {
    linear: &'a Linear<T>,
    columns: &'a [&'a [T]],
    answers: &'a mut [T],
}

impl<T: Float> cpu::Work for Summing<'_, T> {
    #[inline(always)]
    fn run(self) {
        self.linear.score_columns(self.columns, self.answers);
    }
}

struct SummingRows<'a, T> {
    linear: &'a Linear<T>,
    rows: &'a [T],
    answers: &'a mut [T],
}

impl<T: Float> cpu::Work for SummingRows<'_, T> {
    #[inline(always)]
    fn run(self) {
        self.linear.score(self.rows, self.linear.features, self.answers);
    }
}
