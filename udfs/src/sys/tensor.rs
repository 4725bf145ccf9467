//! Tensors in memory: a typed buffer of values and its shape, batch axis first.

use std::hash::Hasher;
use std::ops::{Range, RangeInclusive};

use super::error::{Error, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    F32,
    F64,
    F16,
    Bf16,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Bool,
    Text,
}

impl Dtype {
    /// By ONNX's name, as model.json has it; None of what is none.
    pub fn parse(name: &str) -> Option<Dtype> {
        Some(match name {
            "float32" => Dtype::F32,
            "float64" => Dtype::F64,
            "float16" => Dtype::F16,
            "bfloat16" => Dtype::Bf16,
            "int8" => Dtype::I8,
            "int16" => Dtype::I16,
            "int32" => Dtype::I32,
            "int64" => Dtype::I64,
            "uint8" => Dtype::U8,
            "uint16" => Dtype::U16,
            "uint32" => Dtype::U32,
            "uint64" => Dtype::U64,
            "bool" => Dtype::Bool,
            "string" => Dtype::Text,
            _ => return None,
        })
    }

    /// The integers that it holds, BOOLEAN as 0 and 1; None of what holds none.
    pub fn limits(self) -> Option<RangeInclusive<i128>> {
        fn all<T: Into<i128>>(least: T, most: T) -> Option<RangeInclusive<i128>> {
            Some(least.into()..=most.into())
        }
        match self {
            Dtype::I8 => all(i8::MIN, i8::MAX),
            Dtype::I16 => all(i16::MIN, i16::MAX),
            Dtype::I32 => all(i32::MIN, i32::MAX),
            Dtype::I64 => all(i64::MIN, i64::MAX),
            Dtype::U8 => all(u8::MIN, u8::MAX),
            Dtype::U16 => all(u16::MIN, u16::MAX),
            Dtype::U32 => all(u32::MIN, u32::MAX),
            Dtype::U64 => all(u64::MIN, u64::MAX),
            Dtype::Bool => all(0, 1),
            Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 | Dtype::Text => None,
        }
    }

    pub fn is_float(self) -> bool {
        matches!(self, Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16)
    }
}

/// Texts: where each lies in the bytes. Several may share their bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Texts {
    pub bytes: Vec<u8>,
    pub cells: Vec<(usize, usize)>,
}

impl Texts {
    pub fn get(&self, i: usize) -> &[u8] {
        let (start, length) = self.cells[i];
        &self.bytes[start..start + length]
    }

    /// Keep a text; the cell that names it.
    pub fn keep(&mut self, text: &[u8]) -> (usize, usize) {
        let cell = (self.bytes.len(), text.len());
        self.bytes.extend_from_slice(text);
        cell
    }

    pub fn push(&mut self, text: &[u8]) {
        let cell = self.keep(text);
        self.cells.push(cell);
    }

    pub fn of<T: AsRef<[u8]>>(texts: impl IntoIterator<Item = T>) -> Texts {
        let mut all = Texts::default();
        texts.into_iter().for_each(|text| all.push(text.as_ref()));
        all
    }
}

/// Values of one type. Half precision is held as its bits, BOOLEAN as 0 and 1.
#[derive(Debug, Clone, PartialEq)]
pub enum Buffer {
    F32(Vec<f32>),
    F64(Vec<f64>),
    F16(Vec<u16>),
    Bf16(Vec<u16>),
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    Bool(Vec<u8>),
    Text(Texts),
}

/// Run `$body` on the vector of numbers in a buffer, or `$text` on its texts.
#[macro_export]
macro_rules! on_buffer {
    ($buffer:expr, $values:ident => $body:expr, $texts:ident => $text:expr) => {
        match $buffer {
            Buffer::F32($values) => $body,
            Buffer::F64($values) => $body,
            Buffer::F16($values) | Buffer::Bf16($values) => $body,
            Buffer::I8($values) => $body,
            Buffer::I16($values) => $body,
            Buffer::I32($values) => $body,
            Buffer::I64($values) => $body,
            Buffer::U8($values) | Buffer::Bool($values) => $body,
            Buffer::U16($values) => $body,
            Buffer::U32($values) => $body,
            Buffer::U64($values) => $body,
            Buffer::Text($texts) => $text,
        }
    };
}

/// Equality of bits: NaN is itself, and 0.0 is not -0.0.
pub trait Bits: Copy + Default {
    fn bits(self) -> u64;
}

macro_rules! bits {
    ($($t:ty => $x:ident $e:expr),*) => {$(impl Bits for $t {
        #[inline(always)]
        fn bits(self) -> u64 { let $x = self; $e }
    })*};
}
bits!(f32 => x u64::from(x.to_bits()), f64 => x x.to_bits(), i8 => x x as u64, i16 => x x as u64, i32 => x x as u64,
      i64 => x x as u64, u8 => x u64::from(x), u16 => x u64::from(x), u32 => x u64::from(x), u64 => x x);

impl Buffer {
    pub fn new(dtype: Dtype) -> Buffer {
        match dtype {
            Dtype::F32 => Buffer::F32(Vec::new()),
            Dtype::F64 => Buffer::F64(Vec::new()),
            Dtype::F16 => Buffer::F16(Vec::new()),
            Dtype::Bf16 => Buffer::Bf16(Vec::new()),
            Dtype::I8 => Buffer::I8(Vec::new()),
            Dtype::I16 => Buffer::I16(Vec::new()),
            Dtype::I32 => Buffer::I32(Vec::new()),
            Dtype::I64 => Buffer::I64(Vec::new()),
            Dtype::U8 => Buffer::U8(Vec::new()),
            Dtype::U16 => Buffer::U16(Vec::new()),
            Dtype::U32 => Buffer::U32(Vec::new()),
            Dtype::U64 => Buffer::U64(Vec::new()),
            Dtype::Bool => Buffer::Bool(Vec::new()),
            Dtype::Text => Buffer::Text(Texts::default()),
        }
    }

    /// A buffer of the same type without values.
    pub fn emptied(&self) -> Buffer {
        self.pick(&[], 1)
    }

    pub fn len(&self) -> usize {
        on_buffer!(self, v => v.len(), t => t.cells.len())
    }

    /// Make room for `count` values. What was there stays and is to be overwritten; texts are dropped.
    pub fn reset(&mut self, count: usize) {
        on_buffer!(self, v => v.resize(count, Default::default()), t => {
            t.bytes.clear();
            t.cells.clear();
            t.cells.resize(count, (0, 0));
        })
    }

    pub fn truncate(&mut self, count: usize) {
        on_buffer!(self, v => v.truncate(count), t => t.cells.truncate(count))
    }

    /// The bytes that `values` of them take, about.
    pub fn bytes_per_value(&self) -> usize {
        fn size<T>(_: &[T]) -> usize {
            size_of::<T>()
        }
        on_buffer!(self, v => size(v), t => t.bytes.len() / t.cells.len().max(1) + 32)
    }

    /// The rows `rows`, each of `width` values, in that order.
    pub fn pick(&self, rows: &[u32], width: usize) -> Buffer {
        self.gather(rows.iter().map(|row| *row as usize * width), width)
    }

    /// The `width` values from each start on.
    pub fn gather(&self, starts: impl ExactSizeIterator<Item = usize>, width: usize) -> Buffer {
        fn gathered<T: Copy>(values: &[T], starts: impl ExactSizeIterator<Item = usize>, width: usize) -> Vec<T> {
            if width == 1 {
                return starts.map(|start| values[start]).collect();
            }
            let mut picked = Vec::with_capacity(starts.len() * width);
            starts.for_each(|start| picked.extend_from_slice(&values[start..start + width]));
            picked
        }
        match self {
            Buffer::F32(v) => Buffer::F32(gathered(v, starts, width)),
            Buffer::F64(v) => Buffer::F64(gathered(v, starts, width)),
            Buffer::F16(v) => Buffer::F16(gathered(v, starts, width)),
            Buffer::Bf16(v) => Buffer::Bf16(gathered(v, starts, width)),
            Buffer::I8(v) => Buffer::I8(gathered(v, starts, width)),
            Buffer::I16(v) => Buffer::I16(gathered(v, starts, width)),
            Buffer::I32(v) => Buffer::I32(gathered(v, starts, width)),
            Buffer::I64(v) => Buffer::I64(gathered(v, starts, width)),
            Buffer::U8(v) => Buffer::U8(gathered(v, starts, width)),
            Buffer::U16(v) => Buffer::U16(gathered(v, starts, width)),
            Buffer::U32(v) => Buffer::U32(gathered(v, starts, width)),
            Buffer::U64(v) => Buffer::U64(gathered(v, starts, width)),
            Buffer::Bool(v) => Buffer::Bool(gathered(v, starts, width)),
            Buffer::Text(t) => {
                let mut picked = Texts::default();
                for &(start, length) in &gathered(&t.cells, starts, width) {
                    picked.push(&t.bytes[start..start + length]);
                }
                Buffer::Text(picked)
            }
        }
    }

    /// Put the values of `other`, of the same type, behind these.
    pub fn append(&mut self, other: &Buffer) -> Result<()> {
        self.append_range(other, 0..other.len())
    }

    /// Put some values of `other`, of the same type, behind these.
    pub fn append_range(&mut self, other: &Buffer, range: Range<usize>) -> Result<()> {
        match (self, other) {
            (Buffer::F32(a), Buffer::F32(b)) => a.extend_from_slice(&b[range]),
            (Buffer::F64(a), Buffer::F64(b)) => a.extend_from_slice(&b[range]),
            (Buffer::F16(a), Buffer::F16(b)) | (Buffer::Bf16(a), Buffer::Bf16(b)) => a.extend_from_slice(&b[range]),
            (Buffer::I8(a), Buffer::I8(b)) => a.extend_from_slice(&b[range]),
            (Buffer::I16(a), Buffer::I16(b)) => a.extend_from_slice(&b[range]),
            (Buffer::I32(a), Buffer::I32(b)) => a.extend_from_slice(&b[range]),
            (Buffer::I64(a), Buffer::I64(b)) => a.extend_from_slice(&b[range]),
            (Buffer::U8(a), Buffer::U8(b)) | (Buffer::Bool(a), Buffer::Bool(b)) => a.extend_from_slice(&b[range]),
            (Buffer::U16(a), Buffer::U16(b)) => a.extend_from_slice(&b[range]),
            (Buffer::U32(a), Buffer::U32(b)) => a.extend_from_slice(&b[range]),
            (Buffer::U64(a), Buffer::U64(b)) => a.extend_from_slice(&b[range]),
            (Buffer::Text(a), Buffer::Text(b)) => range.for_each(|i| a.push(b.get(i))),
            _ => return Err(Error::new("the model's answers changed their type".to_string())),
        }
        Ok(())
    }

    /// Whether row `i` here is, bit by bit, row `j` of `other`.
    pub fn same_row(&self, i: usize, other: &Buffer, j: usize, width: usize) -> bool {
        self.find(i, other, j, j + 1, width).is_some()
    }

    /// The first row of `other` in `from..to` that is, bit by bit, row `i` here.
    pub fn find(&self, i: usize, other: &Buffer, from: usize, to: usize, width: usize) -> Option<usize> {
        fn search<T: Bits>(mine: &[T], theirs: &[T], from: usize, to: usize) -> Option<usize> {
            let Some(first) = mine.first().map(|x| x.bits()) else { return Some(from).filter(|_| from < to) };
            let width = mine.len();
            let mut rows = theirs[from * width..to * width].chunks_exact(width);
            let found =
                rows.position(|row| row[0].bits() == first && row.iter().zip(mine).all(|(x, y)| x.bits() == y.bits()));
            found.map(|place| from + place)
        }
        let mine = i * width..(i + 1) * width;
        match (self, other) {
            (Buffer::F32(x), Buffer::F32(y)) => search(&x[mine], y, from, to),
            (Buffer::F64(x), Buffer::F64(y)) => search(&x[mine], y, from, to),
            (Buffer::F16(x), Buffer::F16(y)) | (Buffer::Bf16(x), Buffer::Bf16(y)) => search(&x[mine], y, from, to),
            (Buffer::I8(x), Buffer::I8(y)) => search(&x[mine], y, from, to),
            (Buffer::I16(x), Buffer::I16(y)) => search(&x[mine], y, from, to),
            (Buffer::I32(x), Buffer::I32(y)) => search(&x[mine], y, from, to),
            (Buffer::I64(x), Buffer::I64(y)) => search(&x[mine], y, from, to),
            (Buffer::U8(x), Buffer::U8(y)) | (Buffer::Bool(x), Buffer::Bool(y)) => search(&x[mine], y, from, to),
            (Buffer::U16(x), Buffer::U16(y)) => search(&x[mine], y, from, to),
            (Buffer::U32(x), Buffer::U32(y)) => search(&x[mine], y, from, to),
            (Buffer::U64(x), Buffer::U64(y)) => search(&x[mine], y, from, to),
            (Buffer::Text(x), Buffer::Text(y)) => {
                (from..to).find(|j| mine.clone().zip(j * width..(j + 1) * width).all(|(a, b)| x.get(a) == y.get(b)))
            }
            _ => None,
        }
    }

    pub fn hash_row(&self, i: usize, width: usize, hasher: &mut impl Hasher) {
        on_buffer!(self,
        v => v[i * width..(i + 1) * width].iter().for_each(|x| hasher.write_u64(x.bits())),
        t => (i * width..(i + 1) * width).for_each(|cell| {
            hasher.write(t.get(cell));
            hasher.write_u8(0xff);
        }))
    }
}

/// A tensor of `shape`, batch axis first.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub data: Buffer,
}

impl Tensor {
    /// Values in one row.
    pub fn width(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// Whether no number in it is NaN or infinite.
    pub fn is_finite(&self) -> bool {
        match &self.data {
            Buffer::F32(values) => values.iter().all(|value| value.is_finite()),
            Buffer::F64(values) => values.iter().all(|value| value.is_finite()),
            _ => true,
        }
    }

    pub fn truncate(&mut self, rows: usize) {
        if rows < self.rows() {
            self.data.truncate(rows * self.width());
            self.shape[0] = rows;
        }
    }

    pub fn pick(&self, rows: &[u32]) -> Tensor {
        let mut shape = self.shape.clone();
        shape[0] = rows.len();
        Tensor { shape, data: self.data.pick(rows, self.width()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_rows() {
        let numbers = Buffer::F32(vec![1.0, 2.0, 3.0, 4.0]);
        assert_eq!(numbers.pick(&[1, 0, 1], 2), Buffer::F32(vec![3.0, 4.0, 1.0, 2.0, 3.0, 4.0]));
        let texts = Buffer::Text(Texts::of(["a", "bc", ""]));
        assert_eq!(texts.pick(&[2, 1], 1), Buffer::Text(Texts::of(["", "bc"])));
        assert_eq!(numbers.gather([1, 0].into_iter(), 3), Buffer::F32(vec![2.0, 3.0, 4.0, 1.0, 2.0, 3.0]));
    }

    #[test]
    fn rows_are_compared_bit_by_bit() {
        let a = Buffer::F64(vec![f64::NAN, 0.0]);
        let b = Buffer::F64(vec![f64::NAN, -0.0]);
        assert!(a.same_row(0, &b, 0, 1));
        assert!(!a.same_row(1, &b, 1, 1));
    }
}
