//! Numbers, each with how often it was met: as many as there are different ones are kept, or a few times as many.

use std::sync::Arc;

/// So many values are sorted at a time, by the thread that adds them.
const BLOCK: usize = 1 << 20;
/// So many times more values are kept where they do not repeat, before it is looked again.
const GROWTH: usize = 4;
/// So many of them are looked at first.
const SAMPLE: usize = 1 << 12;

/// Doubles in order: -0.0 is 0.0, and there is no NaN. All are keys of `key_of`.
#[derive(Debug, Clone, Default)]
pub struct Multiset {
    /// In no order.
    tail: Vec<u64>,
    /// Each ascending. They are shared with the sets that this one was merged into.
    blocks: Vec<Arc<Vec<u64>>>,
    /// Ascending, each once, with how often it was met.
    counted: Arc<Vec<(u64, u64)>>,
    /// When so many are in blocks, it is looked whether they repeat.
    limit: usize,
}

/// The order of keys is that of the values.
fn key_of(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    bits ^ ((bits as i64 >> 63) as u64 | 1 << 63)
}

fn value_of(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key ^ 1 << 63 } else { !key })
}

/// The keys of a multiset, ascending; each stands as often as it was met where there are no counts.
pub struct Sorted {
    keys: Vec<u64>,
    counts: Option<Vec<u64>>,
}

impl Multiset {
    #[inline]
    pub fn add(&mut self, value: f64) {
        self.tail.push(key_of(value));
        if self.tail.len() == BLOCK {
            self.end_block();
        }
    }

    #[cold]
    fn end_block(&mut self) {
        let mut block = std::mem::take(&mut self.tail);
        block.sort_unstable();
        self.blocks.push(Arc::new(block));
        self.settle();
    }

    pub fn merge(&mut self, other: &Multiset) {
        self.limit = self.limit.max(other.limit);
        self.blocks.extend(other.blocks.iter().cloned());
        self.counted = merged(&self.counted, &other.counted);
        self.tail.extend_from_slice(&other.tail);
        match self.tail.len() >= BLOCK {
            true => self.end_block(),
            false => self.settle(),
        }
    }

    pub fn len(&self) -> u64 {
        self.in_blocks() as u64 + self.tail.len() as u64 + self.counted.iter().map(|(_, count)| count).sum::<u64>()
    }

    fn in_blocks(&self) -> usize {
        self.blocks.iter().map(|block| block.len()).sum()
    }

    /// Count the values in blocks where they repeat; else keep more of them.
    fn settle(&mut self) {
        let loose = self.in_blocks();
        if loose < self.limit.max(BLOCK) {
            return;
        }
        if self.seems_to_repeat(loose) {
            let keys = joined(&self.blocks, &[]);
            let runs = keys.chunk_by(|a, b| a == b).count();
            if runs <= loose / 2 {
                self.counted = merged(&self.counted, &Arc::new(runs_of(&keys).collect()));
                self.blocks.clear();
                self.limit = GROWTH * self.counted.len();
                return;
            }
        }
        self.limit = GROWTH * loose;
    }

    /// Whether a few of them are equal, of which there are some if each value is there a few times.
    fn seems_to_repeat(&self, loose: usize) -> bool {
        let all = self.blocks.iter().flat_map(|block| block.iter());
        let mut some: Vec<u64> = all.step_by(loose.div_ceil(SAMPLE)).copied().collect();
        some.sort_unstable();
        some.windows(2).any(|pair| pair[0] == pair[1])
    }

    pub fn sorted(&self) -> Sorted {
        let keys = joined(&self.blocks, &self.tail);
        if self.counted.is_empty() {
            return Sorted { keys, counts: None };
        }
        let fresh = Arc::new(runs_of(&keys).collect());
        let (keys, counts) = merged(&self.counted, &fresh).iter().copied().unzip();
        Sorted { keys, counts: Some(counts) }
    }

    /// The middle value, or the mean of the two in the middle; None of none.
    pub fn median(&self) -> Option<f64> {
        let count = self.len();
        if count == 0 {
            return None;
        }
        let (low, high) = if self.counted.is_empty() {
            let mut keys: Vec<u64> = self.tail.clone();
            self.blocks.iter().for_each(|block| keys.extend_from_slice(block));
            let half = keys.len() / 2;
            let (below, middle, _) = keys.select_nth_unstable(half);
            let high = *middle;
            (if count % 2 == 1 { high } else { below.iter().copied().max().unwrap_or(high) }, high)
        } else {
            let sorted = self.sorted();
            (sorted.nth((count - 1) / 2), sorted.nth(count / 2))
        };
        Some((value_of(low) + value_of(high)) / 2.0)
    }
}

fn runs_of(sorted: &[u64]) -> impl Iterator<Item = (u64, u64)> + '_ {
    sorted.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u64))
}

/// All of them, ascending.
fn joined(blocks: &[Arc<Vec<u64>>], tail: &[u64]) -> Vec<u64> {
    let mut all = Vec::with_capacity(blocks.iter().map(|block| block.len()).sum::<usize>() + tail.len());
    blocks.iter().for_each(|block| all.extend_from_slice(block));
    all.extend_from_slice(tail);
    all.sort(); // stable, which merges what is in order already
    all
}

fn merged(a: &Arc<Vec<(u64, u64)>>, b: &Arc<Vec<(u64, u64)>>) -> Arc<Vec<(u64, u64)>> {
    if a.is_empty() || b.is_empty() {
        return if a.is_empty() { b.clone() } else { a.clone() };
    }
    let mut all = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.iter().copied().peekable(), b.iter().copied().peekable());
    loop {
        let next = match (a.peek(), b.peek()) {
            (Some(x), Some(y)) if x.0 == y.0 => a.next().zip(b.next()).map(|(x, y)| (x.0, x.1 + y.1)),
            (Some(x), Some(y)) if x.0 < y.0 => a.next(),
            (Some(_), None) => a.next(),
            _ => b.next(),
        };
        match next {
            Some(pair) => all.push(pair),
            None => return Arc::new(all),
        }
    }
}

impl Sorted {
    /// The value that stands at the place, from 0.
    fn nth(&self, place: u64) -> u64 {
        let Some(counts) = &self.counts else { return self.keys[place as usize] };
        let mut passed = 0;
        for (key, count) in self.keys.iter().zip(counts) {
            passed += count;
            if passed > place {
                return *key;
            }
        }
        0
    }

    pub fn value(&self, place: u64) -> f64 {
        value_of(self.nth(place))
    }

    pub fn total(&self) -> u64 {
        self.counts.as_ref().map_or(self.keys.len() as u64, |counts| counts.iter().sum())
    }

    /// How often the largest key before `end` stands there, and where what is smaller ends.
    #[inline(always)]
    fn run(&self, end: usize) -> (u64, usize) {
        let key = self.keys[end - 1];
        match &self.counts {
            Some(counts) => (counts[end - 1], end - 1),
            None => {
                let mut start = end - 1;
                while start > 0 && self.keys[start - 1] == key {
                    start -= 1;
                }
                ((end - start) as u64, start)
            }
        }
    }
}

/// Twice the pairs of one of `a` and one of `b` in which that of `a` is larger, where equal ones count as one.
pub fn twice_above(a: &Sorted, b: &Sorted) -> u128 {
    if a.counts.is_none() && b.counts.is_none() {
        return twice_above_each(&a.keys, &b.keys);
    }
    let (mut above, mut twice) = (0u64, 0u128);
    descending(a, b, |_, in_a, in_b| {
        twice += u128::from(in_b) * u128::from(2 * above + in_a);
        above += in_a;
    });
    twice
}

/// The same, where each stands as often as it was met: without a branch that depends on which is larger, for one that is
/// seldom foretold takes longer than all else.
fn twice_above_each(a: &[u64], b: &[u64]) -> u128 {
    let (mut i, mut j, mut twice) = (0, 0, 0u128);
    while i < a.len() && j < b.len() {
        // sums that a word holds
        let end = (i + (1 << 16)).min(a.len());
        let mut part = 0u64;
        while i < end && j < b.len() {
            let (x, y) = (a[i], b[j]);
            if x == y {
                let equal = |keys: &[u64], from: usize| keys[from..].iter().take_while(|key| **key == x).count();
                let (in_a, in_b) = (equal(a, i), equal(b, j));
                twice += in_a as u128 * (2 * j + in_b) as u128;
                (i, j) = (i + in_a, j + in_b);
                continue;
            }
            let is_above = x > y;
            part += if is_above { 0 } else { 2 * j as u64 };
            j += usize::from(is_above);
            i += usize::from(!is_above);
        }
        twice += u128::from(part);
    }
    twice + (a.len() - i) as u128 * 2 * b.len() as u128
}

/// Each value of either, largest first, and how often it is in `a` and in `b`.
pub fn descending(a: &Sorted, b: &Sorted, mut each: impl FnMut(f64, u64, u64)) {
    let (mut i, mut j) = (a.keys.len(), b.keys.len());
    while i > 0 || j > 0 {
        let largest = |sorted: &Sorted, end: usize| (end > 0).then(|| sorted.keys[end - 1]);
        let (x, y) = (largest(a, i), largest(b, j));
        let (mut in_a, mut in_b) = (0, 0);
        if x >= y {
            (in_a, i) = a.run(i);
        }
        if y >= x {
            (in_b, j) = b.run(j);
        }
        each(value_of(x.max(y).unwrap_or_default()), in_a, in_b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Multiset {
        let mut all = Multiset::default();
        values.iter().for_each(|value| all.add(*value));
        all
    }

    #[test]
    fn values_keep_their_order() {
        let mut keys: Vec<u64> = [1.5, -0.0, f64::INFINITY, -3.0, 0.0, f64::NEG_INFINITY].map(key_of).to_vec();
        keys.sort_unstable();
        let values: Vec<f64> = keys.into_iter().map(value_of).collect();
        assert_eq!(values, [f64::NEG_INFINITY, -3.0, 0.0, 0.0, 1.5, f64::INFINITY]);
    }

    #[test]
    fn what_repeats_is_counted() {
        let mut all = Multiset::default();
        (0..5_000_000).for_each(|i| all.add(f64::from(i % 1000)));
        assert!(all.counted.len() == 1000 && all.blocks.is_empty());
        assert_eq!((all.len(), all.median()), (5_000_000, Some(499.5)));
        let mut twice = all.clone();
        twice.merge(&all);
        assert_eq!((twice.len(), twice.sorted().total(), twice.median()), (10_000_000, 10_000_000, Some(499.5)));
    }

    #[test]
    fn what_does_not_repeat_is_kept_in_blocks() {
        let mut all = Multiset::default();
        (0..3_000_000u32).for_each(|i| all.add(f64::from((u64::from(i) * 7919 % 3_000_017) as u32)));
        assert!(all.counted.is_empty() && all.blocks.len() == 2);
        let sorted = all.sorted();
        assert!(sorted.keys.is_sorted() && sorted.total() == 3_000_000);
        let (mut counted, mut each) = (0, twice_above(&of(&[5.0, 0.5]).sorted(), &sorted));
        descending(&of(&[5.0, 0.5]).sorted(), &sorted, |_, _, in_b| counted += in_b);
        assert_eq!(counted, 3_000_000);
        each -= 1; // one is equal to 5
        assert!(each % 2 == 0);
    }

    #[test]
    fn pairs_are_counted_alike() {
        let mut seed = 1u64;
        let mut next = |most: u64| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) % most
        };
        for most in [3, 40, 1 << 30] {
            let mut draw = |count: usize| -> Vec<f64> { (0..count).map(|_| next(most) as f64).collect() };
            let (a, b) = (draw(300), draw(200));
            let wanted: u128 =
                a.iter().flat_map(|a| b.iter().map(move |b| u128::from(a > b) + u128::from(a >= b))).sum();
            let (a, b) = (of(&a).sorted(), of(&b).sorted());
            let ones = Some(vec![1; a.keys.len()]);
            assert_eq!(twice_above(&a, &b), wanted);
            if most == 1 << 30 {
                assert_eq!(twice_above(&Sorted { keys: a.keys, counts: ones }, &b), wanted);
            }
        }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(of(&[]).median(), None);
        assert_eq!(of(&[3.0]).median(), Some(3.0));
        assert_eq!(of(&[4.0, 1.0]).median(), Some(2.5));
        assert_eq!(of(&[4.0, 1.0, 1.0, -7.0, 1.0]).median(), Some(1.0));
    }

    #[test]
    fn two_are_walked_together() {
        let mut seen = Vec::new();
        let [a, b] = [&[1.0, 3.0, 3.0][..], &[3.0, 2.0]].map(|values| of(values).sorted());
        descending(&a, &b, |value, in_a, in_b| seen.push((value, in_a, in_b)));
        assert_eq!(seen, [(3.0, 2, 1), (2.0, 0, 1), (1.0, 1, 0)]);
    }
}
