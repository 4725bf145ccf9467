//! Rows in, sums out.

use std::hint::select_unpredictable;

use super::ensemble::Ensemble;
use super::layout::{Layout, Reading};
use super::leafset::{ROWS, Word};
use super::number::{Answer, Number};

/// Values that are searched at once.
const TOGETHER: usize = 8;

/// The sums of a tile of rows stay in the caches.
const MOST_TARGETS: usize = 10_000;

/// An ensemble made ready: its nodes tested in bytes, or in pairs of bytes where a feature has many splits.
pub struct Kernel<T> {
    layout: Width<T>,
    /// Values that a row must have at least.
    pub features: usize,
    pub targets: usize,
    base: Vec<T>,
    divisor: Option<T>,
}

enum Width<T> {
    Narrow(Layout<T, u8>),
    Wide(Layout<T, u16>),
}

impl<T: Number> Kernel<T> {
    /// None for an ensemble that is better walked.
    pub fn of(ensemble: &Ensemble<T>) -> Option<Kernel<T>> {
        if ensemble.targets > MOST_TARGETS {
            return None;
        }
        let layout = match Layout::of(ensemble) {
            Some(narrow) => Width::Narrow(narrow),
            None => Width::Wide(Layout::of(ensemble)?),
        };
        Some(Kernel {
            layout,
            features: ensemble.nodes.iter().map(|node| node.feature + 1).max().unwrap_or(0),
            targets: ensemble.targets,
            base: ensemble.base.clone(),
            divisor: ensemble.average.then(|| T::of_count(ensemble.roots.len())),
        })
    }

    /// `rows` are [n, width] and `answers` [n, targets], both row by row; `width` ≥ `features`.
    #[inline(always)]
    pub fn score<A: Answer<T>>(&self, rows: &[T], width: usize, answers: &mut [A]) {
        match &self.layout {
            Width::Narrow(layout) => self.score_by(layout, rows, width, answers),
            Width::Wide(layout) => self.score_by(layout, rows, width, answers),
        }
    }

    #[inline(always)]
    fn score_by<W: Word, A: Answer<T>>(&self, layout: &Layout<T, W>, rows: &[T], width: usize, answers: &mut [A]) {
        if self.targets == 0 {
            return;
        }
        let mut ranks = vec![[W::Rank::default(); ROWS]; layout.columns];
        let mut sums = vec![[T::default(); ROWS]; self.targets];
        // no features leave no values to count the rows by
        let tiles = rows.chunks(ROWS * width.max(1)).map(Some).chain(std::iter::repeat(None));
        for (rows, answers) in tiles.zip(answers.chunks_mut(ROWS * self.targets)) {
            if let Some(rows) = rows {
                for reading in &layout.readings {
                    rank::<T, W>(reading, rows, width, &mut ranks);
                }
            }
            sums.fill([T::default(); ROWS]);
            add_trees(layout, &ranks, &mut sums);
            for (target, sums) in sums.iter().enumerate() {
                for (answers, sum) in answers.chunks_exact_mut(self.targets).zip(sums) {
                    answers[target] = A::of(self.finished(target, *sum));
                }
            }
        }
    }

    #[inline(always)]
    fn finished(&self, target: usize, sum: T) -> T {
        let sum = self.divisor.map_or(sum, |divisor| sum / divisor);
        self.base.get(target).map_or(sum, |base| sum + *base)
    }
}

/// The ranks of a feature in up to `ROWS` rows.
#[inline(always)]
fn rank<T: Number, W: Word>(reading: &Reading<T>, rows: &[T], width: usize, ranks: &mut [[W::Rank; ROWS]]) {
    let mut values = [T::default(); ROWS];
    for (value, row) in values.iter_mut().zip(rows.chunks_exact(width)) {
        *value = row[reading.feature];
    }
    let mut found = [W::LOWEST; ROWS];
    for (found, values) in found.chunks_exact_mut(TOGETHER).zip(values.chunks_exact(TOGETHER)) {
        let below = places(&reading.scale, values);
        for i in 0..TOGETHER {
            found[i] = match reading.members {
                false => W::rank(below[i]),
                true if reading.scale.get(below[i]) == Some(&values[i]) => W::LOWEST,
                true => W::HIGHEST,
            };
        }
    }
    for (column, missing) in [(reading.missing_no, W::HIGHEST), (reading.missing_yes, W::LOWEST)] {
        if let Some(column) = column {
            for row in 0..ROWS {
                ranks[column][row] = if values[row].is_nan() { missing } else { found[row] };
            }
        }
    }
}

/// For each of some values how many of the ascending numbers are below it. There are 2ⁿ numbers, NaN at the end.
///
/// A search waits for its own comparisons; several of them wait together.
#[inline(always)]
fn places<T: Number>(ascending: &[T], values: &[T]) -> [usize; TOGETHER] {
    let mut below = [0usize; TOGETHER];
    let mut step = ascending.len() / 2;
    while step > 0 {
        for i in 0..TOGETHER {
            // no sum here is longer than the numbers are many: a check would keep the searches from waiting together
            let middle = below[i].wrapping_add(step).wrapping_sub(1);
            below[i] = below[i].wrapping_add(select_unpredictable(ascending[middle] < values[i], step, 0));
        }
        step /= 2;
    }
    below
}

/// Each tree adds the weight of the leaf that a row falls into; in the order of the trees, as ONNX Runtime adds.
#[inline(always)]
fn add_trees<T: Number, W: Word>(layout: &Layout<T, W>, ranks: &[[W::Rank; ROWS]], sums: &mut [[T; ROWS]]) {
    let mut leaf = [0u16; ROWS];
    for tree in &layout.trees {
        let mut first = [W::default(); ROWS];
        let mut number = [W::default(); ROWS];
        for (place, word) in layout.words[tree.words.clone()].iter().enumerate().rev() {
            let mut alive = [word.start; ROWS];
            for mask in &layout.masks[word.masks.clone()] {
                W::mask(&mut alive, &ranks[mask.column as usize], mask.split, mask.cleared);
            }
            W::overwrite(&mut first, &mut number, &alive, place);
        }
        W::find(&first, &number, &mut leaf);
        for (target, begin) in &tree.weights {
            let weights = &layout.weights[*begin..*begin + tree.width];
            for (sum, leaf) in sums[*target].iter_mut().zip(&leaf) {
                *sum = *sum + weights[usize::from(*leaf)];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::trees::ensemble::{Flat, Named, Next, Node, Test};
    use crate::core::trees::random::{Draw, add_tree};

    /// The same numbers at each run.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, most: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % most
        }

        fn number(&mut self, distinct: usize) -> f64 {
            match self.below(distinct + 3) {
                0 => f64::NEG_INFINITY,
                1 => f64::INFINITY,
                place => (place as f64 - 2.0) / 7.0 - 2.0,
            }
        }
    }

    /// With so many `distinct` splits.
    struct Splits<'a>(&'a mut Dice, usize);

    impl Draw for Splits<'_> {
        fn below(&mut self, most: usize) -> usize {
            self.0.below(most)
        }

        fn split(&mut self) -> f64 {
            self.0.number(self.1)
        }

        fn weight(&mut self) -> f64 {
            self.split().clamp(-9.0, 9.0)
        }
    }

    /// Trees of `leaves` leaves each over 5 features, of comparisons of every kind, for 2 outputs.
    fn grown<T: Number>(dice: &mut Dice, trees: usize, leaves: usize, distinct: usize) -> Ensemble<T> {
        let mut flat = Flat { targets: 2, ..Flat::default() };
        for _ in 0..trees {
            add_tree(&mut flat, leaves, 5, &mut Splits(dice, distinct));
        }
        flat.ensemble().unwrap()
    }

    /// Node by node, as the standard says.
    fn walked<T: Number>(ensemble: &Ensemble<T>, row: &[T]) -> Vec<T> {
        let passes = |node: &Node<T>| match (&node.test, row[node.feature]) {
            (_, value) if value.is_nan() => node.missing_yes,
            (Test::AtMost(split), value) => value <= *split,
            (Test::Below(split), value) => value < *split,
            (Test::Among(members), value) => members.contains(&value),
        };
        let mut sums = vec![T::default(); ensemble.targets];
        for root in &ensemble.roots {
            let mut next = *root;
            while let Next::Node(place) = next {
                let node = &ensemble.nodes[place];
                next = if passes(node) { node.yes } else { node.no };
            }
            let Next::Leaf(leaf) = next else { continue };
            ensemble.leaves[leaf].iter().for_each(|(target, weight)| sums[*target] = sums[*target] + *weight);
        }
        sums
    }

    fn agrees<T: Number + Answer<T> + std::fmt::Debug>(trees: usize, leaves: usize, distinct: usize, rows: usize) {
        let mut dice = Dice((leaves * distinct) as u64);
        let ensemble = grown::<T>(&mut dice, trees, leaves, distinct);
        let kernel = Kernel::of(&ensemble).unwrap();
        let value = |dice: &mut Dice| if dice.below(9) == 0 { T::nan() } else { T::of_double(dice.number(distinct)) };
        let matrix: Vec<T> = (0..rows * 6).map(|_| value(&mut dice)).collect();
        let mut answers = vec![T::nan(); rows * 2];
        kernel.score(&matrix, 6, &mut answers);
        let expected: Vec<T> = matrix.chunks(6).flat_map(|row| walked(&ensemble, row)).collect();
        assert_eq!(answers, expected, "{trees} trees of {leaves} leaves, {distinct} splits");
    }

    #[test]
    fn scoring_is_walking() {
        for leaves in [2, 3, 8, 9, 31, 64, 65, 300] {
            for (distinct, rows) in [(3, 1), (30, 127), (250, 128), (3000, 300)] {
                agrees::<f32>(6, leaves, distinct, rows);
                agrees::<f64>(6, leaves, distinct, rows);
            }
        }
    }

    #[test]
    fn what_is_better_walked_is_left_alone() {
        assert!(Kernel::of(&grown::<f32>(&mut Dice(1), 1, 2049, 100)).is_none());
        let mut tail = grown::<f32>(&mut Dice(1), 1, 3, 100);
        (tail.nodes[1].yes, tail.nodes[1].no) = (Next::Node(0), Next::Node(0));
        assert!(Kernel::of(&tail).is_none());
    }

    #[test]
    fn sums_that_onnx_runtime_makes_otherwise_are_left_alone() {
        let forest = |leaves: Vec<Vec<(usize, f32)>>, base: Vec<f32>| Ensemble {
            nodes: vec![Node {
                feature: 0,
                test: Test::AtMost(0.0),
                yes: Next::Leaf(0),
                no: Next::Leaf(1),
                missing_yes: false,
            }],
            leaves,
            roots: vec![Next::Node(0)],
            targets: 2,
            base,
            average: false,
        };
        let both = vec![(0, 1.0), (1, 2.0)];
        assert!(Kernel::of(&forest(vec![both.clone(), both.clone()], vec![5.0, 6.0])).is_some());
        assert!(Kernel::of(&forest(vec![both.clone(), vec![(0, 1.0)]], vec![])).is_some());
        assert!(Kernel::of(&forest(vec![both.clone(), vec![(0, 1.0)]], vec![5.0, 6.0])).is_none());
        assert!(Kernel::of(&forest(vec![both, vec![(0, 1.0), (0, 2.0)]], vec![])).is_none());
    }

    #[test]
    fn what_would_take_too_much_memory_is_left_alone() {
        let wide = Ensemble { targets: MOST_TARGETS + 1, ..grown::<f32>(&mut Dice(1), 1, 3, 100) };
        assert!(Kernel::of(&wide).is_none());
        // one tree, named by a million roots
        let mut many = grown::<f32>(&mut Dice(1), 1, 300, 100);
        many.roots = vec![many.roots[0]; 1_000_000];
        assert!(Kernel::of(&many).is_none());
        // each leaf adds to all outputs
        let mut broad = grown::<f32>(&mut Dice(1), 1, 300, 100);
        (broad.targets, broad.leaves) = (MOST_TARGETS, vec![(0..MOST_TARGETS).map(|k| (k, 1.0)).collect(); 300]);
        assert!(Kernel::of(&broad).is_none());
    }

    #[test]
    fn a_leaf_needs_no_columns() {
        let leaf = Ensemble {
            nodes: Vec::new(),
            leaves: vec![vec![(0, 7.0f32)]],
            roots: vec![Next::Leaf(0)],
            targets: 1,
            base: Vec::new(),
            average: false,
        };
        for rows in [1, 127, 128, 1000] {
            let mut answers = vec![0.0f32; rows];
            Kernel::of(&leaf).unwrap().score(&[], 0, &mut answers);
            assert_eq!(answers, vec![7.0; rows]);
        }
    }

    #[test]
    fn a_stump_that_is_named() {
        let stump = || Named {
            trees: vec![7, 7, 7, 9],
            numbers: vec![3, 1, 2, 0],
            features: vec![0; 4],
            modes: ["BRANCH_LT", "LEAF", "LEAF", "LEAF"].map(String::from).to_vec(),
            splits: vec![1.0, 0.0, 0.0, 0.0],
            yes: vec![1, 0, 0, 0],
            no: vec![2, 0, 0, 0],
            missing_yes: vec![1, 0, 0, 0],
            leaf_trees: vec![7, 7, 9],
            leaf_numbers: vec![1, 2, 0],
            leaf_targets: vec![0, 0, 0],
            leaf_weights: vec![10.0, 20.0, 4.0],
            base: vec![100.0],
            targets: 1,
            average: true,
        };
        let kernel = Kernel::<f32>::of(&stump().ensemble().unwrap()).unwrap();
        let mut answers = [0.0f32; 3];
        kernel.score(&[0.5, 1.0, f32::NAN], 1, &mut answers);
        assert_eq!(answers, [107.0, 112.0, 107.0]);
        assert!(Named { yes: vec![5, 0, 0, 0], ..stump() }.ensemble().is_none());
        assert!(Named { leaf_targets: vec![0, 1, 0], ..stump() }.ensemble().is_none());
        assert!(Named { modes: vec!["BRANCH_LT".to_string(); 4], ..stump() }.ensemble().is_none());
        assert!(Named { base: vec![1.0, 2.0], ..stump() }.ensemble().is_none());
    }
}
