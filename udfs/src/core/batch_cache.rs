//! Once per row: the answers of the rows that were scored a moment ago.
//!
//! The host evaluates `SELECT predict(x) … WHERE predict(x) > k` twice: for every row, then, on the same thread and
//! right after, for the rows that survive the filter, in their order. Survivors of a strict filter are gathered from
//! many vectors first, so for models where it pays the rows of many batches are kept by their hash.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use super::content_cache::ContentCache;
use super::packed::Packed;
use crate::sys::tensor::Tensor;

const RECENT: usize = 2;
const MOST_BATCHES: usize = 128;
const MOST_BYTES: usize = 4 << 20;

struct Batch {
    number: u64,
    tensors: Vec<Packed>,
    outputs: Vec<Tensor>,
    rows: usize,
    bytes: usize,
    hashed: bool,
}

/// Batches that were scored and their answers, newest last.
#[derive(Default)]
pub struct BatchCache {
    batches: VecDeque<Batch>,
    index: HashMap<u64, (u64, u32), BuildHasherDefault<Same>>,
    bytes: usize,
    next: u64,
    /// For models of texts and images, in place of all the above.
    pub contents: ContentCache,
}

/// Where an answer is: in which batch, and in which row.
type Place = (usize, u32);

impl BatchCache {
    /// The answers of all the rows, if they are an ordered part of a recent batch.
    pub fn recall(&self, tensors: &[Packed], rows: usize) -> Option<Vec<Tensor>> {
        self.batches.iter().rev().take(RECENT).find_map(|batch| {
            let picked = subsequence(tensors, rows, batch)?;
            Some(batch.outputs.iter().map(|output| output.pick(&picked)).collect())
        })
    }

    /// For each row the place of its answer, if it is known by its hash. None when no row is.
    pub fn lookup(&self, tensors: &[Packed], rows: usize) -> Option<Vec<Option<Place>>> {
        if self.index.is_empty() {
            return None;
        }
        let oldest = self.batches.front()?.number;
        let mut any = false;
        let places = (0..rows).map(|row| {
            let (number, place) = *self.index.get(&hash(tensors, row))?;
            let batch = usize::try_from(number.checked_sub(oldest)?).ok()?;
            let known = self.batches.get(batch)?;
            let same = alike(tensors, &known.tensors)
                && tensors
                    .iter()
                    .zip(&known.tensors)
                    .all(|(mine, theirs)| mine.buffer.same_row(row, &theirs.buffer, place as usize, mine.width));
            any |= same;
            same.then_some((batch, place))
        });
        let places = places.collect();
        any.then_some(places)
    }

    /// What the answers that are kept take.
    pub fn bytes(&self) -> usize {
        self.bytes + self.contents.bytes()
    }

    pub fn outputs(&self, batch: usize) -> &[Tensor] {
        &self.batches[batch].outputs
    }

    /// Keep a batch; with `hashed`, find its rows again by `lookup`. Gives back buffers to be used again.
    pub fn remember(
        &mut self,
        tensors: Vec<Packed>,
        outputs: Vec<Tensor>,
        rows: usize,
        hashed: bool,
    ) -> Option<Vec<Packed>> {
        let bytes = tensors.iter().map(|t| t.buffer.len() * t.buffer.bytes_per_value()).sum();
        if hashed {
            for row in 0..rows {
                self.index.insert(hash(&tensors, row), (self.next, row as u32));
            }
        }
        self.batches.push_back(Batch { number: self.next, tensors, outputs, rows, bytes, hashed });
        self.next += 1;
        self.bytes += bytes;
        let most = if hashed { MOST_BATCHES } else { RECENT };
        let mut freed = None;
        while self.batches.len() > 1 && (self.batches.len() > most || self.bytes > MOST_BYTES) {
            let Some(old) = self.batches.pop_front() else { break };
            self.bytes -= old.bytes;
            if old.hashed {
                for row in 0..old.rows {
                    let key = hash(&old.tensors, row);
                    if self.index.get(&key).is_some_and(|(number, _)| *number == old.number) {
                        self.index.remove(&key);
                    }
                }
            }
            freed = Some(old.tensors);
        }
        freed
    }
}

fn alike(a: &[Packed], b: &[Packed]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.inner == y.inner)
}

/// The rows of the batch that the rows are, in their order; None when one is not there.
fn subsequence(tensors: &[Packed], rows: usize, batch: &Batch) -> Option<Vec<u32>> {
    if rows > batch.rows || !alike(tensors, &batch.tensors) {
        return None;
    }
    let mut picked = Vec::new();
    let mut from = 0;
    for row in 0..rows {
        let place = find(tensors, row, batch, from)?;
        if picked.is_empty() {
            picked.reserve(rows);
        }
        picked.push(place as u32);
        from = place + 1;
    }
    Some(picked)
}

fn find(tensors: &[Packed], row: usize, batch: &Batch, mut from: usize) -> Option<usize> {
    let (first, rest) = tensors.split_first()?;
    let (their_first, their_rest) = batch.tensors.split_first()?;
    loop {
        let place = first.buffer.find(row, &their_first.buffer, from, batch.rows, first.width)?;
        let same = |(mine, theirs): (&Packed, &Packed)| mine.buffer.same_row(row, &theirs.buffer, place, mine.width);
        if rest.iter().zip(their_rest).all(same) {
            return Some(place);
        }
        from = place + 1;
    }
}

fn hash(tensors: &[Packed], row: usize) -> u64 {
    let mut hasher = Mix(0);
    tensors.iter().for_each(|tensor| tensor.buffer.hash_row(row, tensor.width, &mut hasher));
    hasher.finish()
}

/// A quick hash of words; equality is checked on the rows themselves.
struct Mix(u64);

impl Hasher for Mix {
    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(26) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
    fn write_u8(&mut self, byte: u8) {
        self.write_u64(u64::from(byte));
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

/// The keys of the index are hashes already.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
    fn write(&mut self, _: &[u8]) {}
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::tensor::{Buffer, Texts};

    fn packed(numbers: &[f32], texts: &[&str]) -> Vec<Packed> {
        vec![
            Packed { buffer: Buffer::F32(numbers.to_vec()), inner: vec![2], width: 2 },
            Packed { buffer: Buffer::Text(Texts::of(texts)), inner: vec![1], width: 1 },
        ]
    }

    fn answers(values: &[f32]) -> Vec<Tensor> {
        vec![Tensor { shape: vec![values.len()], data: Buffer::F32(values.to_vec()) }]
    }

    #[test]
    fn survivors_in_order_are_recalled() {
        let mut cache = BatchCache::default();
        let batch = packed(&[1.0, 2.0, 1.0, 2.0, f32::NAN, 4.0], &["a", "b", "c"]);
        cache.remember(batch, answers(&[10.0, 20.0, 30.0]), 3, false);
        let survivors = packed(&[1.0, 2.0, f32::NAN, 4.0], &["b", "c"]);
        assert_eq!(cache.recall(&survivors, 2), Some(answers(&[20.0, 30.0])));
        assert_eq!(cache.recall(&packed(&[1.0, 2.0], &["x"]), 1), None);
        assert_eq!(cache.recall(&packed(&[f32::NAN, 4.0, 1.0, 2.0], &["c", "b"]), 2), None);
        assert!(cache.lookup(&survivors, 2).is_none());
    }

    #[test]
    fn rows_of_many_batches_are_looked_up() {
        let mut cache = BatchCache::default();
        for i in 0..200 {
            let batch = packed(&[i as f32, 0.0, i as f32, 1.0], &["a", "b"]);
            cache.remember(batch, answers(&[i as f32, -(i as f32)]), 2, true);
        }
        let places = cache.lookup(&packed(&[199.0, 1.0, 198.0, 0.0, 5.0, 0.0], &["b", "a", "a"]), 3).unwrap();
        let answer = |(batch, row): Place| cache.outputs(batch)[0].pick(&[row]).data;
        assert_eq!(places[0].map(answer), Some(Buffer::F32(vec![-199.0])));
        assert_eq!(places[1].map(answer), Some(Buffer::F32(vec![198.0])));
        assert_eq!(places[2], None);
        assert_eq!(cache.index.len(), 2 * MOST_BATCHES);
    }
}
