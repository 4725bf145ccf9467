//! Answers by what is in a row, of the batches that were scored a moment ago.

use std::collections::{HashMap, VecDeque};

use crate::sys::tensor::Tensor;

const MOST_BATCHES: usize = 128;
const MOST_BYTES: usize = 16 << 20;

struct Batch {
    keys: Vec<u128>,
    outputs: Vec<Tensor>,
    bytes: usize,
}

#[derive(Default)]
pub struct ContentCache {
    batches: VecDeque<Batch>,
    /// The number of the batch, and the row there.
    places: HashMap<u128, (u64, u32)>,
    dropped: u64,
    bytes: usize,
}

impl ContentCache {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn find(&self, key: u128) -> Option<(u64, u32)> {
        self.places.get(&key).copied()
    }

    /// The outputs of a batch that `find` has named since the last `remember`.
    pub fn outputs(&self, number: u64) -> &[Tensor] {
        &self.batches[(number - self.dropped) as usize].outputs
    }

    pub fn remember(&mut self, keys: Vec<u128>, outputs: Vec<Tensor>) {
        let number = self.dropped + self.batches.len() as u64;
        for (row, key) in keys.iter().enumerate() {
            self.places.insert(*key, (number, row as u32));
        }
        let bytes = outputs.iter().map(|tensor| tensor.data.len() * tensor.data.bytes_per_value()).sum();
        self.bytes += bytes;
        self.batches.push_back(Batch { keys, outputs, bytes });
        while self.batches.len() > 1 && (self.batches.len() > MOST_BATCHES || self.bytes > MOST_BYTES) {
            let Some(old) = self.batches.pop_front() else { break };
            self.bytes -= old.bytes;
            for key in old.keys {
                self.places.remove(&key);
            }
            self.dropped += 1;
        }
    }
}
