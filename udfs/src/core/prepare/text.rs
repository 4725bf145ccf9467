//! Texts → token ids.

use tokenizers::Tokenizer;

use super::super::column::{Column, Rows};
use super::super::convert::{Place, stand_in, texts};
use super::super::error::{Error, Result};
use super::super::files::{read_intact, unreadable};
use super::super::manifest::{Feature, Manifest, NullPolicy};
use super::super::pack::{Group, Packed};
use super::super::plan::{Kind, Reader};
use super::super::tensor::{self, Buffer};
use super::TextFields;

/// Measured with 6 layers of 384: fewer tokens wait for the weights, more fall out of the nearest caches.
pub const TOKENS_PER_RUN: usize = 512;
/// What a run costs beside its tokens, in tokens.
const RUN_COSTS: usize = 16;

pub struct Texts {
    tokenizer: Tokenizer,
    ids: usize,
    mask: Option<usize>,
    types: Option<usize>,
    /// All texts have so many tokens, where the graph says so.
    length: Option<usize>,
    pad: i64,
}

impl Texts {
    pub fn open(manifest: &Manifest, feature: &Feature, fields: &TextFields) -> Result<Texts> {
        let path = manifest.folder.join(&fields.tokenizer);
        let content = read_intact(&path, &fields.sha256)?;
        let tokenizer = Tokenizer::from_bytes(content).map_err(|reason| unreadable(&path, &reason))?;
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
            pad: fields.pad.unwrap_or(0),
        })
    }

    pub fn pack(
        &self,
        reader: &Reader,
        null: &NullPolicy,
        column: &Column,
        rows: Rows,
        tensors: &mut [Packed],
    ) -> Result<Vec<(usize, Vec<usize>)>> {
        let words = match &reader.kind {
            Kind::Text(Some(words)) => Some(words.as_slice()),
            _ => None,
        };
        let mut given = Buffer::Text(tensor::Texts { bytes: Vec::new(), cells: vec![(0, 0); rows.len()] });
        if let Buffer::Text(out) = &mut given {
            texts(column, words, rows, out, 1, 0);
        }
        if let NullPolicy::Value(value) = null {
            stand_in(column, value, rows, Place { buffer: &mut given, start: 0, width: 1, at: 0 });
        }
        let Buffer::Text(given) = given else { return Err(Error("texts are no texts".to_string())) };
        let mut lengths = Vec::with_capacity(rows.len());
        self.filled().for_each(|number| tensors[number].buffer.reset(0));
        for row in 0..rows.len() {
            lengths.push(self.encode(&String::from_utf8_lossy(given.get(row)), tensors)?);
        }
        Ok(self.filled().map(|number| (number, lengths.clone())).collect())
    }

    fn filled(&self) -> impl Iterator<Item = usize> + use<> {
        [Some(self.ids), self.mask, self.types].into_iter().flatten()
    }

    /// Append the tokens of one text; how many there are.
    fn encode(&self, text: &str, tensors: &mut [Packed]) -> Result<usize> {
        let encoding = self
            .tokenizer
            .encode_fast(text, true)
            .map_err(|reason| Error(format!("a text cannot be made into tokens ({reason})")))?;
        let count = encoding.get_ids().len();
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

fn extend(buffer: &mut Buffer, values: impl Iterator<Item = i64>) -> Result<()> {
    match buffer {
        Buffer::I64(out) => out.extend(values),
        Buffer::I32(out) => out.extend(values.map(|value| value as i32)),
        _ => return Err(Error("token ids are int32 or int64".to_string())),
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
    let Some(last) = run.pop() else { return Err(Error("a run without rows".to_string())) };
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
    fn neighbours_are_padded() {
        let groups = vec![group(3, &[4]), group(2, &[0, 2]), group(200, &[1, 3])];
        let runs = padded(groups, 0, &[0, 1], 9).unwrap();
        assert_eq!(runs.iter().map(|run| run.rows.clone().unwrap()).collect::<Vec<_>>(), [vec![0, 2, 4], vec![1, 3]]);
        assert_eq!(runs[0].tensors[0].buffer, Buffer::I64(vec![1, 2, 9, 3, 4, 9, 1, 2, 3]));
        assert_eq!(runs[0].tensors[1].buffer, Buffer::I32(vec![1, 1, 0, 1, 1, 0, 1, 1, 1]));
        assert_eq!(runs[0].tensors[1].inner, [3]);
    }
}
