//! Output tensors → answers of the type that was promised.

use std::collections::HashMap;

use super::error::{Code, Error, Result, inexact};
use super::half::{f32_from_bf16, f32_from_f16};
use super::literals::{f32_text, f64_text};
use super::manifest::{CallSpec, Decode, Labels, Manifest, Output};
use super::sqltype::{Plain, SqlType};
use crate::sys::tensor::{Buffer, Tensor, Texts};

/// Answers of some rows, one after the other, as the columns of the host want them.
#[derive(Debug, Clone, PartialEq)]
pub enum Answers {
    Plain(Buffer),
    /// `size` values of the child for each row, as a list or as an array.
    Nested {
        fixed: bool,
        size: usize,
        child: Box<Answers>,
    },
    Struct(Vec<Answers>),
    /// All keys for each row, and as many values.
    Map {
        keys: Buffer,
        values: Buffer,
    },
}

/// How the outputs of a call become answers of the type `target`.
#[derive(Debug)]
pub struct Decoder {
    decode: Decode,
    /// What the model was registered to answer.
    own: SqlType,
    target: SqlType,
    /// For each output of the call: which of the tensors it is, and its type.
    outputs: Vec<(usize, SqlType)>,
    labels: Option<Buffer>,
    /// The only class whose probability is asked for.
    class: Option<usize>,
}

impl Decoder {
    /// `tensors` are the names of the outputs that are computed.
    pub fn new(manifest: &Manifest, call: &CallSpec, target: &SqlType, tensors: &[String]) -> Result<Decoder> {
        let numbers: HashMap<&String, usize> = tensors.iter().enumerate().map(|(i, name)| (name, i)).collect();
        let known: HashMap<&String, &Output> = manifest.outputs.iter().map(|output| (&output.name, output)).collect();
        let place = |name: &String| Some((*numbers.get(name)?, known.get(name)?.sql_type.clone()));
        let outputs: Option<Vec<_>> = call.outputs.iter().map(place).collect();
        let outputs = outputs.ok_or_else(|| Error::new("model.json: an output is missing".to_string()))?;
        let label_type = match (call.decode, target) {
            (Decode::Argmax, SqlType::Plain(plain)) => Some(*plain),
            (Decode::Labelled, SqlType::Struct(fields)) => match fields.first() {
                Some((_, SqlType::Plain(plain))) => Some(*plain),
                _ => None,
            },
            (Decode::Map, SqlType::Map(key, _)) => match key.as_ref() {
                SqlType::Plain(plain) => Some(*plain),
                _ => None,
            },
            _ => None,
        };
        let labels = match (label_type, &manifest.labels) {
            (Some(plain), Some(labels)) => Some(cast(label_values(labels), plain)?),
            _ => None,
        };
        Ok(Decoder {
            decode: call.decode,
            own: call.sql_type.clone(),
            target: target.clone(),
            outputs,
            labels,
            class: None,
        })
    }

    pub fn only(self, class: Option<usize>) -> Decoder {
        Decoder { class, ..self }
    }

    pub fn answers(&self, tensors: &mut [Tensor]) -> Result<Answers> {
        let take = |tensors: &mut [Tensor], place: usize| {
            let empty = Tensor { shape: Vec::new(), data: Buffer::U8(Vec::new()) };
            std::mem::replace(&mut tensors[place], empty)
        };
        if let (Decode::Struct | Decode::Labelled, SqlType::Struct(_)) = (self.decode, &self.target) {
            let label = match self.decode {
                Decode::Labelled => Some(self.label(&tensors[self.outputs[0].0])),
                _ => None,
            };
            let fields = self.outputs.iter().map(|(place, sql_type)| nested(take(tensors, *place), sql_type));
            return Ok(Answers::Struct(label.into_iter().chain(fields).collect::<Result<_>>()?));
        }
        let tensor = take(tensors, self.outputs[0].0);
        if let (Some(class), Decode::Map, SqlType::Plain(plain)) = (self.class, self.decode, &self.target) {
            let (rows, width) = (tensor.rows(), tensor.width());
            if class >= width {
                return Err(reshaped());
            }
            let places: Vec<u32> = (0..rows).map(|row| (row * width + class) as u32).collect();
            return Ok(Answers::Plain(cast(tensor.data.pick(&places, 1), *plain)?));
        }
        match (self.decode, &self.target, &self.labels) {
            (Decode::Label, SqlType::Plain(plain), _) => match self.own {
                SqlType::Plain(own) if tensor.width() == 1 => {
                    Ok(Answers::Plain(cast(cast(tensor.data, own)?, *plain)?))
                }
                _ => Err(reshaped()),
            },
            (Decode::Argmax, SqlType::Plain(_), _) => self.label(&tensor),
            (Decode::Map, SqlType::Map(_, value), Some(labels)) => {
                let SqlType::Plain(plain) = **value else { return Err(reshaped()) };
                if tensor.width() != labels.len() {
                    return Err(reshaped());
                }
                Ok(Answers::Map { keys: labels.clone(), values: cast(tensor.data, plain)? })
            }
            (_, target, _) => nested(tensor, target),
        }
    }
}

impl Decoder {
    /// That of the highest score in each row.
    fn label(&self, scores: &Tensor) -> Result<Answers> {
        let highest = highest(scores)?;
        match &self.labels {
            Some(labels) if highest.iter().all(|class| (*class as usize) < labels.len()) => {
                Ok(Answers::Plain(labelled(labels, &highest)))
            }
            _ => Err(reshaped()),
        }
    }
}

fn reshaped() -> Error {
    Error::of(
        Code::ModelFailed,
        "the answers have another shape than when the model was registered; register it again".to_string(),
    )
}

fn nested(tensor: Tensor, sql_type: &SqlType) -> Result<Answers> {
    fn level(data: Buffer, axes: &[usize], sql_type: &SqlType) -> Result<Answers> {
        let (child, fixed) = match sql_type {
            SqlType::Plain(plain) if axes.iter().product::<usize>() == 1 => {
                return Ok(Answers::Plain(cast(data, *plain)?));
            }
            SqlType::Array(child, size) if axes.first() == Some(size) => (child, true),
            SqlType::List(child) if !axes.is_empty() => (child, false),
            _ => return Err(reshaped()),
        };
        let child = Box::new(level(data, &axes[1..], child)?);
        Ok(Answers::Nested { fixed, size: axes[0], child })
    }
    level(tensor.data, tensor.shape.get(1..).unwrap_or_default(), sql_type)
}

fn label_values(labels: &Labels) -> Buffer {
    match labels {
        Labels::Text(texts) => Buffer::Text(Texts::of(texts)),
        Labels::Integer(integers) => Buffer::I64(integers.clone()),
        Labels::Boolean(flags) => Buffer::Bool(flags.iter().map(|flag| u8::from(*flag)).collect()),
    }
}

/// The label of each class; texts share their bytes.
fn labelled(labels: &Buffer, classes: &[u32]) -> Buffer {
    match labels {
        Buffer::Text(texts) => Buffer::Text(Texts {
            bytes: texts.bytes.clone(),
            cells: classes.iter().map(|class| texts.cells[*class as usize]).collect(),
        }),
        other => other.pick(classes, 1),
    }
}

/// For each row the column of the highest score, the first of equals; NaN is the highest.
fn highest(tensor: &Tensor) -> Result<Vec<u32>> {
    fn of<T: Copy>(values: &[T], width: usize, number: impl Fn(T) -> f64) -> Vec<u32> {
        let best = |row: &[T]| {
            let (mut best, mut at) = (f64::NEG_INFINITY, 0);
            for (i, value) in row.iter().enumerate() {
                let value = number(*value);
                if value.is_nan() {
                    return i as u32;
                }
                if value > best {
                    (best, at) = (value, i as u32);
                }
            }
            at
        };
        values.chunks_exact(width).map(best).collect()
    }
    let width = tensor.width().max(1);
    Ok(match &tensor.data {
        Buffer::F32(v) => of(v, width, f64::from),
        Buffer::F64(v) => of(v, width, |x| x),
        Buffer::F16(v) => of(v, width, |x| f64::from(f32_from_f16(x))),
        Buffer::Bf16(v) => of(v, width, |x| f64::from(f32_from_bf16(x))),
        Buffer::I8(v) => of(v, width, f64::from),
        Buffer::I16(v) => of(v, width, f64::from),
        Buffer::I32(v) => of(v, width, f64::from),
        Buffer::I64(v) => of(v, width, |x| x as f64),
        Buffer::U8(v) | Buffer::Bool(v) => of(v, width, f64::from),
        Buffer::U16(v) => of(v, width, f64::from),
        Buffer::U32(v) => of(v, width, f64::from),
        Buffer::U64(v) => of(v, width, |x| x as f64),
        Buffer::Text(_) => return Err(reshaped()),
    })
}

/// Values as the SQL type holds them; nothing is copied when it holds them as they are.
pub fn cast(buffer: Buffer, plain: Plain) -> Result<Buffer> {
    Ok(match (buffer, plain) {
        (same @ Buffer::F32(_), Plain::Float)
        | (same @ Buffer::F64(_), Plain::Double)
        | (same @ Buffer::Text(_), Plain::Varchar)
        | (same @ Buffer::Bool(_), Plain::Boolean)
        | (same @ Buffer::I8(_), Plain::TinyInt)
        | (same @ Buffer::I16(_), Plain::SmallInt)
        | (same @ Buffer::I32(_), Plain::Integer)
        | (same @ Buffer::I64(_), Plain::BigInt)
        | (same @ Buffer::U8(_), Plain::UTinyInt)
        | (same @ Buffer::U16(_), Plain::USmallInt)
        | (same @ Buffer::U32(_), Plain::UInteger)
        | (same @ Buffer::U64(_), Plain::UBigInt) => same,
        (Buffer::F16(v), Plain::Float) => Buffer::F32(v.into_iter().map(f32_from_f16).collect()),
        (Buffer::Bf16(v), Plain::Float) => Buffer::F32(v.into_iter().map(f32_from_bf16).collect()),
        (Buffer::Text(_), _) => {
            return Err(Error::new("the model answers texts where numbers were promised".to_string()));
        }
        (Buffer::Bool(v), Plain::Varchar) => Buffer::Text(Texts::of(v.iter().map(|x| (*x != 0).to_string()))),
        (Buffer::F32(v), Plain::Varchar) => Buffer::Text(Texts::of(v.into_iter().map(f32_text))),
        (Buffer::F64(v), Plain::Varchar) => Buffer::Text(Texts::of(v.into_iter().map(f64_text))),
        (integers, Plain::Varchar) => {
            let texts = Texts::of(whole_numbers(integers)?.iter().map(i128::to_string));
            Buffer::Text(texts)
        }
        (numbers, Plain::Float) => Buffer::F32(floating(numbers)?.into_iter().map(|x| x as f32).collect()),
        (numbers, Plain::Double) => Buffer::F64(floating(numbers)?),
        (numbers, Plain::Boolean) => Buffer::Bool(floating(numbers)?.into_iter().map(|x| u8::from(x != 0.0)).collect()),
        (numbers, Plain::TinyInt) => Buffer::I8(narrowed(numbers)?),
        (numbers, Plain::SmallInt) => Buffer::I16(narrowed(numbers)?),
        (numbers, Plain::Integer) => Buffer::I32(narrowed(numbers)?),
        (numbers, Plain::BigInt) => Buffer::I64(narrowed(numbers)?),
        (numbers, Plain::UTinyInt) => Buffer::U8(narrowed(numbers)?),
        (numbers, Plain::USmallInt) => Buffer::U16(narrowed(numbers)?),
        (numbers, Plain::UInteger) => Buffer::U32(narrowed(numbers)?),
        (numbers, Plain::UBigInt) => Buffer::U64(narrowed(numbers)?),
    })
}

fn floating(buffer: Buffer) -> Result<Vec<f64>> {
    Ok(match buffer {
        Buffer::F32(v) => v.into_iter().map(f64::from).collect(),
        Buffer::F64(v) => v,
        Buffer::F16(v) => v.into_iter().map(|x| f64::from(f32_from_f16(x))).collect(),
        Buffer::Bf16(v) => v.into_iter().map(|x| f64::from(f32_from_bf16(x))).collect(),
        integers => whole_numbers(integers)?.into_iter().map(exactly).collect::<Result<_>>()?,
    })
}

/// Where doubles hold every integer.
fn exactly(whole: i128) -> Result<f64> {
    if whole.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS { Ok(whole as f64) } else { Err(inexact(whole)) }
}

fn whole_numbers(buffer: Buffer) -> Result<Vec<i128>> {
    fn wide<T: Into<i128>>(values: Vec<T>) -> Vec<i128> {
        values.into_iter().map(Into::into).collect()
    }
    Ok(match buffer {
        Buffer::I8(v) => wide(v),
        Buffer::I16(v) => wide(v),
        Buffer::I32(v) => wide(v),
        Buffer::I64(v) => wide(v),
        Buffer::U8(v) | Buffer::Bool(v) => wide(v),
        Buffer::U16(v) => wide(v),
        Buffer::U32(v) => wide(v),
        Buffer::U64(v) => wide(v),
        _ => return Err(Error::new("the model answers fractions where integers were promised".to_string())),
    })
}

fn narrowed<T: TryFrom<i128>>(buffer: Buffer) -> Result<Vec<T>> {
    let too_large = |_| Error::new("an answer of the model does not fit its SQL type".to_string());
    whole_numbers(buffer)?.into_iter().map(|x| T::try_from(x).map_err(too_large)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::manifest::tests::{parsed, sample};

    fn decoded(call: &str, target: &str, tensor: Tensor) -> Result<Answers> {
        let manifest = parsed(sample()).unwrap();
        let call = &manifest.calls[call];
        let target = SqlType::parse(target).unwrap();
        Decoder::new(&manifest, call, &target, &call.outputs).unwrap().answers(&mut [tensor])
    }

    #[test]
    fn scores_become_maps() {
        let scores = Tensor { shape: vec![1, 2], data: Buffer::F32(vec![0.25, 0.75]) };
        let answers = decoded("predict_proba", "MAP(VARCHAR, DOUBLE)", scores).unwrap();
        let keys = Buffer::Text(Texts::of(["no", "yes"]));
        assert_eq!(answers, Answers::Map { keys, values: Buffer::F64(vec![0.25, 0.75]) });
        let three = Tensor { shape: vec![1, 3], data: Buffer::F32(vec![0.0; 3]) };
        assert!(decoded("predict_proba", "MAP(VARCHAR, FLOAT)", three).is_err());
    }

    #[test]
    fn one_class_is_one_column() {
        let manifest = parsed(sample()).unwrap();
        let call = &manifest.calls["predict_proba"];
        let target = SqlType::Plain(Plain::Double);
        let decoder = |class| Decoder::new(&manifest, call, &target, &call.outputs).unwrap().only(Some(class));
        let scores = || Tensor { shape: vec![2, 2], data: Buffer::F32(vec![0.25, 0.75, 0.5, 0.125]) };
        assert_eq!(decoder(1).answers(&mut [scores()]).unwrap(), Answers::Plain(Buffer::F64(vec![0.75, 0.125])));
        assert!(decoder(2).answers(&mut [scores()]).is_err());
    }

    #[test]
    fn nested_answers_keep_their_shape() {
        let tensor = Tensor { shape: vec![1, 2, 3], data: Buffer::F32(vec![0.0; 6]) };
        let answers = nested(tensor, &SqlType::parse("FLOAT[3][]").unwrap()).unwrap();
        let Answers::Nested { fixed: false, size: 2, child } = answers else { panic!() };
        assert!(matches!(*child, Answers::Nested { fixed: true, size: 3, .. }));
    }

    #[test]
    fn labels_take_the_promised_type() {
        let ones = || Buffer::I64(vec![0, 1]);
        assert_eq!(cast(ones(), Plain::Boolean).unwrap(), Buffer::Bool(vec![0, 1]));
        assert_eq!(cast(ones(), Plain::Double).unwrap(), Buffer::F64(vec![0.0, 1.0]));
        assert_eq!(cast(ones(), Plain::Varchar).unwrap(), Buffer::Text(Texts::of(["0", "1"])));
        assert!(cast(Buffer::Text(Texts::of(["a"])), Plain::Double).is_err());
        assert!(cast(Buffer::I64(vec![300]), Plain::TinyInt).is_err());
    }

    #[test]
    fn the_first_of_the_highest_wins() {
        let tensor = |row: &[f32]| Tensor { shape: vec![1, row.len()], data: Buffer::F32(row.to_vec()) };
        assert_eq!(highest(&tensor(&[1.0, 3.0, 3.0])).unwrap(), [1]);
        assert_eq!(highest(&tensor(&[1.0, f32::NAN, 3.0])).unwrap(), [1]);
    }
}
