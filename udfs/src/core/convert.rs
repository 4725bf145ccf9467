//! Columns of numbers and texts → one column of a packed tensor, row-major.

use std::collections::HashMap;

use super::column::{Column, Data, Rows, Wide};
use super::decimal::{Rounding, unsigned};
use super::half::{bf16_from_f32, f16_from_f64};
use super::literals::shown;
use super::manifest::StandIn;
use super::sqltype::Number;
use crate::sys::tensor::{Buffer, Texts};

/// A value that the tensor cannot hold without changing it, as text.
pub struct CastError(pub String);

/// Where the values go: the tensor, the first value that is written, values in a row, and the place in the row.
pub struct Slot<'a> {
    pub buffer: &'a mut Buffer,
    pub start: usize,
    pub width: usize,
    pub at: usize,
}

/// A number of the host.
trait Source: Copy {
    fn f32(self) -> f32;
    fn f64(self) -> f64;
    /// The integer that it is, if it is one.
    fn exact(self) -> Option<i128>;
    /// As a message has it.
    fn shown(self) -> String;
}

macro_rules! sources {
    ($($t:ty),*) => {$(impl Source for $t {
        #[inline(always)]
        fn f32(self) -> f32 { self as f32 }
        #[inline(always)]
        fn f64(self) -> f64 { self as f64 }
        #[inline(always)]
        fn exact(self) -> Option<i128> { Some(i128::from(self)) }
        fn shown(self) -> String { self.to_string() }
    })*};
}
sources!(i8, i16, i32, i64, u8, u16, u32, u64);

macro_rules! float_sources {
    ($($t:ty),*) => {$(impl Source for $t {
        #[inline(always)]
        fn f32(self) -> f32 { self as f32 }
        #[inline(always)]
        fn f64(self) -> f64 { self as f64 }
        #[inline(always)]
        fn exact(self) -> Option<i128> {
            (self.fract() == 0.0 && self.abs() < 1.7e38).then_some(self as i128)
        }
        fn shown(self) -> String { shown(f64::from(self)) }
    })*};
}
float_sources!(f32, f64);

#[derive(Clone, Copy)]
struct Signed(Wide);
#[derive(Clone, Copy)]
struct Unsigned(Wide);

impl Signed {
    fn value(self) -> i128 {
        (u128::from(self.0.upper) << 64 | u128::from(self.0.lower)) as i128
    }
}

impl Unsigned {
    fn value(self) -> u128 {
        u128::from(self.0.upper) << 64 | u128::from(self.0.lower)
    }
}

impl Source for Signed {
    fn f32(self) -> f32 {
        Rounding::new(0, 128).f32(self.value())
    }
    fn f64(self) -> f64 {
        Rounding::new(0, 128).f64(self.value())
    }
    fn exact(self) -> Option<i128> {
        Some(self.value())
    }
    fn shown(self) -> String {
        self.value().to_string()
    }
}

impl Source for Unsigned {
    fn f32(self) -> f32 {
        unsigned(self.value()) as f32
    }
    fn f64(self) -> f64 {
        unsigned(self.value())
    }
    fn exact(self) -> Option<i128> {
        i128::try_from(self.value()).ok()
    }
    fn shown(self) -> String {
        self.value().to_string()
    }
}

/// Copy the numbers of `rows` into the place. Rows that are NULL get whatever is there; see `stand_in`.
pub fn numbers(column: &Column, number: Number, rows: Rows, place: Slot) -> Result<(), CastError> {
    let scale = match number {
        Number::Decimal { scale, .. } => u32::from(scale),
        _ => 0,
    };
    match &column.data {
        Data::Bool(v) | Data::U8(v) => copy(v, |x| x, column, rows, scale, place),
        Data::I8(v) => copy(v, |x| x, column, rows, scale, place),
        Data::I16(v) => copy(v, |x| x, column, rows, scale, place),
        Data::I32(v) => copy(v, |x| x, column, rows, scale, place),
        Data::I64(v) => copy(v, |x| x, column, rows, scale, place),
        Data::I128(v) => copy(v, Signed, column, rows, scale, place),
        Data::U16(v) => copy(v, |x| x, column, rows, scale, place),
        Data::U32(v) => copy(v, |x| x, column, rows, scale, place),
        Data::U64(v) => copy(v, |x| x, column, rows, scale, place),
        Data::U128(v) => copy(v, Unsigned, column, rows, scale, place),
        Data::F32(v) => copy(v, |x| x, column, rows, scale, place),
        Data::F64(v) => copy(v, |x| x, column, rows, scale, place),
        Data::Null => Ok(()),
        _ => Err(CastError("no number".to_string())),
    }
}

fn copy<S: Copy, N: Source>(
    source: &[S],
    read: impl Fn(S) -> N + Copy,
    column: &Column,
    rows: Rows,
    scale: u32,
    place: Slot,
) -> Result<(), CastError> {
    let Slot { buffer, start, width, at } = place;
    let rounding = Rounding::new(scale, 8 * size_of::<S>());
    let whole = |x: S| read(x).exact().unwrap_or(0); // what has a scale is whole
    let single = |x: S| if scale == 0 { read(x).f32() } else { rounding.f32(whole(x)) };
    let double = |x: S| if scale == 0 { read(x).f64() } else { rounding.f64(whole(x)) };
    match buffer {
        Buffer::F32(out) if scale == 0 => each(source, rows, &mut out[start..], width, at, |x| read(x).f32()),
        Buffer::F32(out) => each(source, rows, &mut out[start..], width, at, single),
        Buffer::F64(out) if scale == 0 => each(source, rows, &mut out[start..], width, at, |x| read(x).f64()),
        Buffer::F64(out) => each(source, rows, &mut out[start..], width, at, double),
        Buffer::F16(out) => each(source, rows, &mut out[start..], width, at, |x| f16_from_f64(double(x))),
        Buffer::Bf16(out) => each(source, rows, &mut out[start..], width, at, |x| bf16_from_f32(single(x))),
        Buffer::Bool(out) => each(source, rows, &mut out[start..], width, at, |x| u8::from(read(x).f64() != 0.0)),
        Buffer::I8(out) => integers(source, read, column, rows, scale, &mut out[start..], width, at)?,
        Buffer::I16(out) => integers(source, read, column, rows, scale, &mut out[start..], width, at)?,
        Buffer::I32(out) => integers(source, read, column, rows, scale, &mut out[start..], width, at)?,
        Buffer::I64(out) => integers(source, read, column, rows, scale, &mut out[start..], width, at)?,
        Buffer::U8(out) => integers(source, read, column, rows, scale, &mut out[start..], width, at)?,
        Buffer::U16(out) => integers(source, read, column, rows, scale, &mut out[start..], width, at)?,
        Buffer::U32(out) => integers(source, read, column, rows, scale, &mut out[start..], width, at)?,
        Buffer::U64(out) => integers(source, read, column, rows, scale, &mut out[start..], width, at)?,
        Buffer::Text(_) => return Err(CastError("no text".to_string())),
    }
    Ok(())
}

#[inline(always)]
fn each<S: Copy, T>(source: &[S], rows: Rows, out: &mut [T], width: usize, at: usize, convert: impl Fn(S) -> T) {
    match rows {
        Rows::Range(start, count) if width == 1 => {
            for (to, from) in out.iter_mut().zip(&source[start..start + count]) {
                *to = convert(*from);
            }
        }
        Rows::Range(start, count) => {
            assert!(at < width);
            for (row, from) in out.chunks_exact_mut(width).zip(&source[start..start + count]) {
                row[at] = convert(*from);
            }
        }
        Rows::Picked(picked) => {
            assert!(at < width);
            for (row, from) in out.chunks_exact_mut(width).zip(picked) {
                row[at] = convert(source[*from as usize]);
            }
        }
    }
}

#[allow(clippy::too_many_arguments)]
fn integers<S: Copy, N: Source, T: TryFrom<i128> + Default>(
    source: &[S],
    read: impl Fn(S) -> N,
    column: &Column,
    rows: Rows,
    scale: u32,
    out: &mut [T],
    width: usize,
    at: usize,
) -> Result<(), CastError> {
    let unit = 10i128.pow(scale);
    for (i, row) in rows.iter().enumerate() {
        let value = read(source[row]);
        let whole = value.exact().filter(|x| scale == 0 || x % unit == 0);
        out[i * width + at] = match whole.and_then(|x| T::try_from(x / unit).ok()) {
            Some(fits) => fits,
            None if !column.is_valid(row) => T::default(),
            None => return Err(CastError(with_point(value.shown(), scale as usize))),
        };
    }
    Ok(())
}

/// The digits of a decimal, with the point where it is.
fn with_point(digits: String, scale: usize) -> String {
    if scale == 0 {
        return digits;
    }
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |rest| ("-", rest));
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, rest) = digits.split_at(digits.len() - scale);
    format!("{sign}{whole}.{rest}")
}

/// Copy texts into the place. A column of an enumeration names its texts by code.
pub fn texts(column: &Column, dictionary: Option<&[String]>, rows: Rows, out: &mut Texts, width: usize, at: usize) {
    let empty = (0, 0);
    match (&column.data, dictionary) {
        (Data::Text(values), _) => {
            for (i, row) in rows.iter().enumerate() {
                let valid = column.is_valid(row);
                out.cells[i * width + at] = if valid { out.keep(values[row]) } else { empty };
            }
        }
        (Data::U8(codes), Some(words)) => coded(codes, words, column, rows, out, width, at),
        (Data::U16(codes), Some(words)) => coded(codes, words, column, rows, out, width, at),
        (Data::U32(codes), Some(words)) => coded(codes, words, column, rows, out, width, at),
        _ => (0..rows.len()).for_each(|i| out.cells[i * width + at] = empty),
    }
}

fn coded<C: Copy + Into<u32>>(
    codes: &[C],
    words: &[String],
    column: &Column,
    rows: Rows,
    out: &mut Texts,
    width: usize,
    at: usize,
) {
    let mut known: HashMap<u32, (usize, usize)> = HashMap::new();
    for (i, row) in rows.iter().enumerate() {
        let code: u32 = codes[row].into();
        out.cells[i * width + at] = match words.get(code as usize) {
            Some(word) if column.is_valid(row) => *known.entry(code).or_insert_with(|| out.keep(word.as_bytes())),
            _ => (0, 0),
        };
    }
}

/// Put the stand-in at the rows of the column that are NULL.
pub fn stand_in(column: &Column, value: &StandIn, rows: Rows, place: Slot) {
    let Slot { buffer, start, width, at } = place;
    let nulls = rows.iter().enumerate().filter(|(_, row)| !column.is_valid(*row));
    let places = nulls.map(|(i, _)| start + i * width + at);
    match (value, buffer) {
        (StandIn::Text(text), Buffer::Text(out)) => {
            let cell = out.keep(text.as_bytes());
            places.for_each(|i| out.cells[i] = cell);
        }
        (StandIn::Number(x), Buffer::F32(out)) => places.for_each(|i| out[i] = *x as f32),
        (StandIn::Number(x), Buffer::F64(out)) => places.for_each(|i| out[i] = *x),
        (StandIn::Number(x), Buffer::F16(out)) => places.for_each(|i| out[i] = f16_from_f64(*x)),
        (StandIn::Number(x), Buffer::Bf16(out)) => places.for_each(|i| out[i] = bf16_from_f32(*x as f32)),
        (StandIn::Integer(x), Buffer::I8(out)) => places.for_each(|i| out[i] = *x as i8),
        (StandIn::Integer(x), Buffer::I16(out)) => places.for_each(|i| out[i] = *x as i16),
        (StandIn::Integer(x), Buffer::I32(out)) => places.for_each(|i| out[i] = *x as i32),
        (StandIn::Integer(x), Buffer::I64(out)) => places.for_each(|i| out[i] = *x as i64),
        (StandIn::Integer(x), Buffer::U8(out)) => places.for_each(|i| out[i] = *x as u8),
        (StandIn::Integer(x), Buffer::U16(out)) => places.for_each(|i| out[i] = *x as u16),
        (StandIn::Integer(x), Buffer::U32(out)) => places.for_each(|i| out[i] = *x as u32),
        (StandIn::Integer(x), Buffer::U64(out)) => places.for_each(|i| out[i] = *x as u64),
        (StandIn::Integer(x), Buffer::Bool(out)) => places.for_each(|i| out[i] = u8::from(*x != 0)),
        // reading the manifest has refused what does not fit
        (StandIn::Text(_) | StandIn::Number(_) | StandIn::Integer(_), _) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    fn run(data: Data, number: Number, mut buffer: Buffer) -> Result<Buffer, CastError> {
        let column = Column { valid: None, data };
        buffer.reset(4);
        numbers(&column, number, Rows::Range(0, 2), Slot { buffer: &mut buffer, start: 0, width: 2, at: 1 })?;
        Ok(buffer)
    }

    #[test]
    fn decimals_and_integers_become_floats() {
        let decimal = Number::Decimal { width: 9, scale: 2 };
        let packed = run(Data::I32(&[125, -50]), decimal, Buffer::F32(vec![])).ok();
        assert_eq!(packed, Some(Buffer::F32(vec![0.0, 1.25, 0.0, -0.5])));
        let wide = [Wide { lower: u64::MAX, upper: u64::MAX }, Wide { lower: 2, upper: 0 }];
        let packed = run(Data::I128(&wide), Number::Integer("HUGEINT"), Buffer::F64(vec![])).ok();
        assert_eq!(packed, Some(Buffer::F64(vec![0.0, -1.0, 0.0, 2.0])));
    }

    #[test]
    fn integers_are_exact_or_refused() {
        let packed = run(Data::F64(&[3.0, -4.0]), Number::Double, Buffer::I64(vec![])).ok();
        assert_eq!(packed, Some(Buffer::I64(vec![0, 3, 0, -4])));
        for (data, number) in [
            (Data::F64(&[3.5, 0.0]), Number::Double),
            (Data::F64(&[f64::NAN, 0.0]), Number::Double),
            (Data::I64(&[1 << 40, 0]), Number::Integer("BIGINT")),
            (Data::I16(&[125, 0]), Number::Decimal { width: 4, scale: 1 }),
        ] {
            assert!(run(data, number, Buffer::I32(vec![])).is_err());
        }
    }

    #[test]
    fn nulls_get_their_stand_in() {
        let column = Column { valid: Some(Cow::Owned(vec![0b01])), data: Data::F32(&[1.0, 9.0]) };
        let mut buffer = Buffer::F32(vec![0.0; 2]);
        let rows = Rows::Range(0, 2);
        assert!(numbers(&column, Number::Float, rows, Slot { buffer: &mut buffer, start: 0, width: 1, at: 0 }).is_ok());
        stand_in(&column, &StandIn::Number(7.0), rows, Slot { buffer: &mut buffer, start: 0, width: 1, at: 0 });
        assert_eq!(buffer, Buffer::F32(vec![1.0, 7.0]));
    }

    #[test]
    fn enumerations_share_their_words() {
        let words = ["no".to_string(), "yes".to_string()];
        let column = Column { valid: None, data: Data::U8(&[1, 0, 1]) };
        let mut out = Texts { bytes: vec![], cells: vec![(0, 0); 3] };
        texts(&column, Some(&words), Rows::Range(0, 3), &mut out, 1, 0);
        assert_eq!((out.get(0), out.get(1), out.get(2)), (&b"yes"[..], &b"no"[..], &b"yes"[..]));
        assert_eq!(out.bytes.len(), 5);
    }
}
