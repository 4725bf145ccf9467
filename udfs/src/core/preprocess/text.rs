//! Texts → token ids.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use tokenizers::{Encoding, NormalizedString, Normalizer, Tokenizer};

use crate::core::column::{Column, Data, Rows};
use crate::core::error::{Error, Result};
use crate::core::files::{read_intact, unreadable};
use crate::core::manifest::preprocess::TextFields;
use crate::core::manifest::{Feature, Manifest, NullPolicy};
use crate::core::packed::{Group, Packed};
use crate::core::plan::{Reader, ReaderKind};
use crate::sys::caught::caught;
use crate::sys::room;
use crate::sys::tensor::Buffer;

/// Measured with 6 layers of 384: fewer tokens wait for the weights, more fall out of the nearest caches.
pub const TOKENS_PER_RUN: usize = 512;
/// What a run costs beside its tokens, in tokens.
const RUN_COSTS: usize = 16;
/// A text of more bytes is refused, and one that has more once it is normalised: a novel has a few millions. The Python
/// package has the same bounds, in runtime/texts.py.
const MOST_BYTES: usize = 8 << 20;
const MOST_NORMALISED: usize = 16 << 20;
/// Texts of more characters are looked at first, in pieces of so many.
const LONG: usize = 1 << 14;
/// What tokenizers takes for each byte of a text that is nothing but short words: 400 was seen.
const WORK_SPACE: usize = 512;
/// One of these at a time in a process.
const HUGE: usize = 1 << 20;
static HUGE_ONE: Mutex<()> = Mutex::new(());

pub struct Texts {
    tokenizer: Tokenizer,
    ids: usize,
    mask: Option<usize>,
    types: Option<usize>,
    /// All texts have so many tokens, where the graph says so.
    length: Option<usize>,
    most: usize,
    pad: i64,
}

impl Texts {
    pub fn open(manifest: &Manifest, feature: &Feature, fields: &TextFields) -> Result<Texts> {
        let path = manifest.folder.join(&fields.tokenizer);
        let content = read_intact(&path, &fields.sha256)?;
        let tokenizer = caught(|| Tokenizer::from_bytes(content)).map_err(|reason| unreadable(&path, &reason))?;
        let tokenizer = tokenizer.map_err(|reason| unreadable(&path, &reason))?;
        let input = |name: &Option<String>| match name {
            Some(name) => manifest.input_number(name).map(Some),
            None => Ok(None),
        };
        Ok(Texts {
            tokenizer,
            ids: feature.input,
            mask: input(&fields.mask)?,
            types: input(&fields.types)?,
            length: manifest.inputs[feature.input].axes.first().copied().flatten(),
            most: fields.max_length,
            pad: fields.pad.unwrap_or(0),
        })
    }

    /// How much memory the tokens of a text will take at most.
    pub fn bytes_of(&self, reader: &Reader, column: &Column, row: usize) -> usize {
        let tokens = text(column, words(reader), row).map_or(0, <[u8]>::len).max(self.length.unwrap_or(0));
        tokens.min(self.most) * size_of::<i64>() * self.filled().count()
    }

    pub fn pack(
        &self,
        reader: &Reader,
        null: &NullPolicy,
        column: &Column,
        rows: Rows,
        tensors: &mut [Packed],
    ) -> std::result::Result<Vec<(usize, Vec<usize>)>, String> {
        let fill = null.text();
        let mut lengths = Vec::with_capacity(rows.len());
        self.filled().for_each(|number| tensors[number].buffer.reset(0));
        for place in rows.iter() {
            let given = text(column, words(reader), place).unwrap_or(fill);
            let encoding = self.encode(given)?;
            lengths.push(self.put(&encoding, tensors).map_err(|error| error.text)?);
        }
        Ok(self.filled().map(|number| (number, lengths.clone())).collect())
    }

    fn filled(&self) -> impl Iterator<Item = usize> + use<> {
        [Some(self.ids), self.mask, self.types].into_iter().flatten()
    }

    fn encode(&self, given: &[u8]) -> std::result::Result<Encoding, String> {
        if given.len() > MOST_BYTES {
            return Err(format!("it has {} bytes, of {MOST_BYTES} at most", given.len()));
        }
        let text = String::from_utf8_lossy(given);
        let _alone = (text.len() > HUGE).then(|| HUGE_ONE.lock().unwrap_or_else(PoisonError::into_inner));
        if text.len() > LONG && text.chars().count() > LONG {
            self.require_room(&text)?;
        }
        let encoding = caught(|| self.tokenizer.encode_fast(Cow::as_ref(&text), true))?;
        let encoding = encoding.map_err(|reason| reason.to_string())?;
        let count = encoding.len();
        if count > self.most {
            return Err(format!("it makes {count} tokens, of {} at most", self.most));
        }
        Ok(encoding)
    }

    /// What is normalised may be longer, and the library would not survive that there is no memory for it.
    fn require_room(&self, text: &str) -> std::result::Result<(), String> {
        let mut length = 0;
        match self.tokenizer.get_normalizer() {
            None => length = text.len(),
            Some(normalizer) => {
                for piece in pieces(text) {
                    let mut normalized = NormalizedString::from(piece);
                    let done = caught(|| normalizer.normalize(&mut normalized).map_err(|reason| reason.to_string()))?;
                    done?;
                    length += normalized.get().len();
                    if length > MOST_NORMALISED {
                        return Err(format!("normalised, it has more than {MOST_NORMALISED} bytes"));
                    }
                }
            }
        }
        match room::is_there(length * WORK_SPACE) {
            true => Ok(()),
            false => Err(format!("there is no memory for the tokens of {length} bytes")),
        }
    }

    /// Append the tokens of one text; how many there are.
    fn put(&self, encoding: &Encoding, tensors: &mut [Packed]) -> Result<usize> {
        let count = encoding.len();
        let padding = self.length.unwrap_or(0).saturating_sub(count);
        let mut put = |number: usize, values: &mut dyn Iterator<Item = i64>, fill: i64| {
            extend(&mut tensors[number].buffer, values.chain(std::iter::repeat_n(fill, padding)))
        };
        put(self.ids, &mut encoding.get_ids().iter().map(|id| i64::from(*id)), self.pad)?;
        if let Some(mask) = self.mask {
            put(mask, &mut std::iter::repeat_n(1, count), 0)?;
        }
        if let Some(types) = self.types {
            put(types, &mut encoding.get_type_ids().iter().map(|id| i64::from(*id)), 0)?;
        }
        Ok(count + padding)
    }
}

/// The words of an enumeration.
pub(super) fn words(reader: &Reader) -> Option<&[String]> {
    match &reader.kind {
        ReaderKind::Text(Some(words)) => Some(words.as_slice()),
        _ => None,
    }
}

/// The bytes of a text; None for NULL.
pub(super) fn text<'a>(column: &'a Column, words: Option<&'a [String]>, row: usize) -> Option<&'a [u8]> {
    let word = |code: usize| words.and_then(|words| words.get(code)).map(String::as_bytes);
    match &column.data {
        _ if !column.is_valid(row) => None,
        Data::Text(values) => Some(values[row]),
        Data::U8(codes) => word(codes[row].into()),
        Data::U16(codes) => word(codes[row].into()),
        Data::U32(codes) => word(codes[row] as usize),
        _ => None,
    }
}

/// A text in parts of `LONG` characters.
fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let end = text.char_indices().nth(LONG).map_or(text.len(), |(end, _)| end);
        let (piece, rest) = text.split_at(end);
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

fn extend(buffer: &mut Buffer, values: impl Iterator<Item = i64>) -> Result<()> {
    match buffer {
        Buffer::I64(out) => out.extend(values),
        Buffer::I32(out) => {
            for value in values {
                out.push(i32::try_from(value).map_err(|_| Error::new(format!("the model takes no token {value}")))?);
            }
        }
        _ => return Err(Error::new("token ids are int32 or int64".to_string())),
    }
    Ok(())
}

/// Groups of neighbouring lengths made one where padding costs less than another run. All free axes are of tokens.
pub fn padded(mut groups: Vec<Group>, ids: usize, tokens: &[usize], pad: i64) -> Result<Vec<Group>> {
    groups.sort_by_key(|group| group.tensors[ids].width);
    let mut merged: Vec<Vec<Group>> = Vec::new();
    let (mut rows, mut before) = (0, 0);
    for group in groups {
        let (length, count) = (group.tensors[ids].width, group.rows.as_ref().map_or(0, Vec::len));
        match merged.last_mut() {
            Some(run) if rows * (length - before) <= RUN_COSTS && (rows + count) * length <= TOKENS_PER_RUN => {
                run.push(group);
                rows += count;
            }
            _ => {
                merged.push(vec![group]);
                rows = count;
            }
        }
        before = length;
    }
    merged.into_iter().map(|run| joined(run, ids, tokens, pad)).collect()
}

fn joined(mut run: Vec<Group>, ids: usize, tokens: &[usize], pad: i64) -> Result<Group> {
    let Some(last) = run.pop() else { return Err(Error::new("a run without rows".to_string())) };
    if run.is_empty() {
        return Ok(last);
    }
    let longest = last.tensors[ids].width;
    run.push(last);
    let mut rows = Vec::new();
    let mut tensors: Vec<Packed> = run[0]
        .tensors
        .iter()
        .map(|like| Packed { buffer: like.buffer.emptied(), inner: like.inner.clone(), width: like.width })
        .collect();
    for group in run {
        let mine = group.rows.unwrap_or_default();
        for (number, (all, part)) in tensors.iter_mut().zip(&group.tensors).enumerate() {
            if !tokens.contains(&number) {
                all.buffer.append(&part.buffer)?;
                continue;
            }
            let fill = if number == ids { pad } else { 0 };
            for row in 0..mine.len() as u32 {
                all.buffer.append(&part.buffer.pick(&[row], part.width))?;
                extend(&mut all.buffer, std::iter::repeat_n(fill, longest - part.width))?;
            }
            (all.inner, all.width) = (vec![longest], longest);
        }
        rows.extend(mine);
    }
    Ok(Group { tensors, rows: Some(rows) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(length: usize, rows: &[u32]) -> Group {
        let ids = (0..length * rows.len()).map(|i| i as i64 + 1).collect();
        let ones = vec![1; length * rows.len()];
        let packed = |buffer| Packed { buffer, inner: vec![length], width: length };
        Group { tensors: vec![packed(Buffer::I64(ids)), packed(Buffer::I32(ones))], rows: Some(rows.to_vec()) }
    }

    #[test]
    fn pieces_are_cut_between_characters() {
        let text = "aé".repeat(LONG);
        let parts: Vec<&str> = pieces(&text).collect();
        assert_eq!(parts.concat(), text);
        assert_eq!(parts.iter().map(|part| part.chars().count()).collect::<Vec<_>>(), [LONG, LONG]);
        assert_eq!(pieces("").count(), 0);
    }

    #[test]
    fn neighbours_are_padded() {
        let groups = vec![group(3, &[4]), group(2, &[0, 2]), group(200, &[1, 3])];
        let runs = padded(groups, 0, &[0, 1], 9).unwrap();
        assert_eq!(runs.iter().map(|run| run.rows.clone().unwrap()).collect::<Vec<_>>(), [vec![0, 2, 4], vec![1, 3]]);
        assert_eq!(runs[0].tensors[0].buffer, Buffer::I64(vec![1, 2, 9, 3, 4, 9, 1, 2, 3]));
        assert_eq!(runs[0].tensors[1].buffer, Buffer::I32(vec![1, 1, 0, 1, 1, 0, 1, 1, 1]));
        assert_eq!(runs[0].tensors[1].inner, [3]);
    }
}
