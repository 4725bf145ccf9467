//! What computes rows: each answer is that of the plainest way to compute it.

use super::readers::{DTYPES, buffer};
use super::{Dice, Ended, fuzz};
use crate::core::batch_cache::BatchCache;
use crate::core::decimal::Rounding;
use crate::core::half::{f16_from_f32, f16_from_f64, f32_from_f16};
use crate::core::linear::Linear;
use crate::core::packed::Packed;
use crate::core::trees::random::{Draw, add_tree};
use crate::core::trees::{Answer, Ensemble, Flat, Kernel, Named, Next, Number, Test};
use crate::sys::tensor::{Buffer, Dtype, Tensor};

/// As many as a task of a run takes.
const PART: usize = 512;

impl Draw for Dice {
    fn below(&mut self, most: usize) -> usize {
        self.below(most)
    }

    fn split(&mut self) -> f64 {
        self.number()
    }

    fn weight(&mut self) -> f64 {
        self.number()
    }
}

/// Trees with a few leaves over `features` features, by places.
fn flat<T: Number>(features: usize, targets: usize, dice: &mut Dice) -> Flat<T> {
    let mut flat = Flat { targets: targets as i64, average: dice.one_in(4), ..Flat::default() };
    let leaves = *dice.of(&[2, 3, 8, 9, 17, 40]);
    for _ in 0..dice.below(6) {
        add_tree(&mut flat, leaves, features, dice);
    }
    flat
}

/// The same trees by name, each leaf a node of its own; comparisons of sets become those of one number.
fn named<T: Number>(flat: &Flat<T>, dice: &mut Dice) -> Named<T> {
    const MODES: [&str; 7] =
        ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_EQ"];
    let count = flat.features.len();
    let mut named = Named { targets: flat.targets, average: flat.average, ..Named::default() };
    let tree_of = |node: usize| flat.roots.iter().rposition(|root| *root as usize <= node).unwrap_or(0) as i64;
    let number = |place: i64, leaf: i64| if leaf == 0 { place } else { count as i64 + place };
    for node in 0..count {
        named.trees.push(tree_of(node));
        named.numbers.push(node as i64);
        named.features.push(flat.features[node]);
        named.modes.push(MODES[usize::from(flat.modes[node])].to_string());
        named.splits.push(flat.splits[node]);
        named.yes.push(number(flat.yes[node], flat.yes_is_leaf[node]));
        named.no.push(number(flat.no[node], flat.no_is_leaf[node]));
        named.missing_yes.push(flat.missing_yes[node]);
    }
    for node in 0..count {
        for (place, leaf) in [(flat.yes[node], flat.yes_is_leaf[node]), (flat.no[node], flat.no_is_leaf[node])] {
            if leaf != 0 {
                named.trees.push(tree_of(node));
                named.numbers.push(number(place, leaf));
                named.features.push(0);
                named.modes.push("LEAF".to_string());
                named.splits.push(T::default());
                [&mut named.yes, &mut named.no, &mut named.missing_yes].into_iter().for_each(|list| list.push(0));
                for target in 0..named.targets {
                    named.leaf_trees.push(tree_of(node));
                    named.leaf_numbers.push(number(place, leaf));
                    named.leaf_targets.push(target);
                    named.leaf_weights.push(T::of_double(dice.number()));
                }
            }
        }
    }
    named.base = (0..named.targets).map(|_| T::of_double(dice.number())).collect();
    named
}

/// Some of the numbers become others, or more, or fewer.
fn damaged(lists: &mut [&mut Vec<i64>], dice: &mut Dice) {
    for _ in 0..*dice.of(&[0, 0, 1, 1, 2]) {
        let list = &mut *lists[dice.below(lists.len())];
        let at = dice.below(list.len());
        match dice.below(5) {
            0 => list.push(dice.integer()),
            1 => drop(list.pop()),
            _ if list.is_empty() => {}
            2 => list[at] = dice.integer(),
            _ => list[at] = dice.below(list.len() + 1) as i64,
        }
    }
}

fn ensemble<T: Number>(features: usize, dice: &mut Dice) -> Option<Ensemble<T>> {
    let targets = *dice.of(&[1, 1, 2, 5]);
    let mut flat = flat::<T>(features, targets, dice);
    if dice.one_in(2) {
        let mut named = named(&flat, dice);
        let Named { trees, numbers, features, yes, no, missing_yes, leaf_trees, leaf_numbers, leaf_targets, .. } =
            &mut named;
        damaged(&mut [trees, numbers, features, yes, no, missing_yes, leaf_trees, leaf_numbers, leaf_targets], dice);
        return named.ensemble();
    }
    let Flat { roots, features, yes, no, yes_is_leaf, no_is_leaf, missing_yes, leaf_targets, .. } = &mut flat;
    damaged(&mut [roots, features, yes, no, yes_is_leaf, no_is_leaf, missing_yes, leaf_targets], dice);
    flat.ensemble()
}

/// Node by node, as the standard says.
fn walked<T: Number>(ensemble: &Ensemble<T>, row: &[T], sums: &mut [T]) {
    sums.fill(T::default());
    for root in &ensemble.roots {
        let mut next = *root;
        while let Next::Node(place) = next {
            let node = &ensemble.nodes[place];
            let passes = match (&node.test, row[node.feature]) {
                (_, value) if value.is_nan() => node.missing_yes,
                (Test::AtMost(split), value) => value <= *split,
                (Test::Below(split), value) => value < *split,
                (Test::Among(members), value) => members.contains(&value),
            };
            next = if passes { node.yes } else { node.no };
        }
        let Next::Leaf(leaf) = next else { continue };
        ensemble.leaves[leaf].iter().for_each(|(target, weight)| sums[*target] = sums[*target] + *weight);
    }
    for (target, sum) in sums.iter_mut().enumerate() {
        if ensemble.average {
            *sum = *sum / T::of_count(ensemble.roots.len());
        }
        if let Some(base) = ensemble.base.get(target) {
            *sum = *sum + *base;
        }
    }
}

fn scores<T: Number, A: Answer<T> + PartialEq + Into<f64>>(dice: &mut Dice) -> Option<()> {
    let features = 1 + dice.below(6);
    let ensemble = ensemble::<T>(features, dice)?;
    let kernel = Kernel::of(&ensemble)?;
    if kernel.features > 64 {
        return None; // as the operator refuses rows that are not so wide
    }
    let (rows, width) = (dice.rows(), kernel.features + dice.below(3));
    let matrix: Vec<T> = (0..rows * width).map(|_| T::of_double(dice.number())).collect();
    let targets = kernel.targets;
    let mut answers = vec![A::default(); rows * targets];
    kernel.score(&matrix, width, &mut answers);
    let mut expected = vec![T::default(); targets];
    let same = |a: A, b: A| a == b || (a.into().is_nan() && b.into().is_nan());
    for row in 0..rows {
        walked(&ensemble, &matrix[row * width..(row + 1) * width], &mut expected);
        let answers = &answers[row * targets..(row + 1) * targets];
        assert!(answers.iter().zip(&expected).all(|(a, b)| same(*a, A::of(*b))), "row {row} of {rows}");
    }
    for first in (0..rows).step_by(PART).filter(|_| rows <= 513) {
        let count = PART.min(rows - first);
        let mut part = vec![A::default(); count * targets];
        kernel.score(&matrix[first * width..(first + count) * width], width, &mut part);
        assert!(part.iter().zip(&answers[first * targets..]).all(|(a, b)| same(*a, *b)), "rows {first} to {count}");
    }
    Some(())
}

#[test]
fn trees() {
    fuzz("trees", |dice| {
        let scored = match dice.below(3) {
            0 => scores::<f32, f32>(dice),
            1 => scores::<f64, f64>(dice),
            _ => scores::<f64, f32>(dice),
        };
        scored.ok_or(()).into()
    });
}

#[test]
fn sums() {
    fuzz("sums", |dice| {
        let (features, targets) = (dice.below(20), dice.below(4));
        let mut numbers = |count: usize| -> Vec<f64> { (0..count).map(|_| dice.number()).collect() };
        let (weights, intercepts) = (numbers(features * targets), numbers(targets));
        let intercepts = if dice.one_in(4) { Vec::new() } else { intercepts };
        let targets = if dice.one_in(9) { dice.below(6) } else { targets };
        let Some(linear) = Linear::new(weights.clone(), intercepts.clone(), targets) else { return Ended::Refused };
        let (rows, width) = (dice.rows(), linear.features + dice.below(3));
        let matrix: Vec<f64> = (0..rows * width).map(|_| dice.number()).collect();
        let mut by_row = vec![0.0; rows * targets];
        linear.score(&matrix, width, &mut by_row);
        let columns: Vec<Vec<f64>> =
            (0..linear.features).map(|k| matrix.chunks_exact(width).map(|row| row[k]).collect()).collect();
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        let mut by_column = vec![0.0; rows * targets];
        linear.score_columns(&columns, &mut by_column);
        let bits = |values: &[f64]| values.iter().map(|x| if x.is_nan() { 1 } else { x.to_bits() }).collect::<Vec<_>>();
        assert_eq!(bits(&by_row), bits(&by_column));
        Ended::Answered
    });
}

#[test]
fn decimals() {
    fuzz("decimals", |dice| {
        let scale = dice.below(39) as u32;
        let value = (i128::from(dice.integer()) << dice.below(64)).wrapping_add(i128::from(dice.integer()));
        let rounding = Rounding::new(scale, *dice.of(&[16, 32, 64, 128]));
        let written = format!("{value}e-{scale}");
        assert_eq!(rounding.f64(value), written.parse::<f64>().unwrap(), "{written}");
        assert_eq!(rounding.f32(value), written.parse::<f32>().unwrap(), "{written}");
        let double = dice.number();
        if (double as f32).is_finite() && f64::from(double as f32) == double {
            assert_eq!(f16_from_f64(double), f16_from_f32(double as f32));
        }
        let near = f32_from_f16(f16_from_f64(double));
        assert!(
            double.is_nan() || near.is_infinite() || (f64::from(near) - double).abs() <= double.abs() / 2048.0 + 6e-8
        );
        Ended::Answered
    });
}

/// The bits of a value: texts by their hash.
fn value(buffer: &Buffer, i: usize) -> Vec<u8> {
    let one = buffer.pick(&[i as u32], 1);
    crate::on_buffer!(&one, v => format!("{:?}", v.iter().map(|x| crate::sys::tensor::Bits::bits(*x)).collect::<Vec<_>>()).into_bytes(),
        t => t.get(0).to_vec())
}

#[test]
fn tensors() {
    fuzz("tensors", |dice| {
        let (rows, width) = (dice.below(20), dice.below(4));
        let mut tensor = buffer(*dice.of(&DTYPES), rows * width, dice);
        let other = if dice.one_in(9) { buffer(*dice.of(&DTYPES), width, dice) } else { tensor.emptied() };
        let appended = tensor.append(&other);
        let rows = tensor.len().checked_div(width).unwrap_or(rows);
        let picked: Vec<u32> = (0..dice.below(9)).filter(|_| rows > 0).map(|_| dice.below(rows) as u32).collect();
        let gathered = tensor.pick(&picked, width);
        assert_eq!(gathered.len(), picked.len() * width);
        for (i, row) in picked.iter().enumerate() {
            assert!(gathered.same_row(i, &tensor, *row as usize, width));
            let found = gathered.find(i, &tensor, 0, rows, width).unwrap();
            assert!(found <= *row as usize);
            (0..width)
                .for_each(|k| assert_eq!(value(&gathered, i * width + k), value(&tensor, *row as usize * width + k)));
        }
        let mut whole = Tensor { shape: vec![rows, width], data: tensor };
        let again = whole.pick(&picked).data;
        (0..gathered.len()).for_each(|i| assert_eq!(value(&again, i), value(&gathered, i)));
        whole.truncate(dice.below(rows + 2));
        assert_eq!(whole.data.len(), whole.rows() * whole.width());
        appended.into()
    });
}

/// Rows of one number, and the answer to each.
fn asked(numbers: &[i64]) -> (Vec<Packed>, Vec<Tensor>) {
    let answers = numbers.iter().map(|x| x.wrapping_mul(3)).collect();
    let tensors = vec![Packed { buffer: Buffer::I64(numbers.to_vec()), inner: vec![1], width: 1 }];
    (tensors, vec![Tensor { shape: vec![numbers.len()], data: Buffer::I64(answers) }])
}

#[test]
fn memos() {
    fuzz("memos", |dice| {
        let (mut memo, mut recalled) = (BatchCache::default(), false);
        let hashed = dice.one_in(2);
        for _ in 0..dice.below(12) {
            let numbers: Vec<i64> = (0..1 + dice.below(30)).map(|_| dice.below(40) as i64).collect();
            let (tensors, answers) = asked(&numbers);
            let Buffer::I64(expected) = &answers[0].data else { unreachable!() };
            if let Some(found) = memo.recall(&tensors, numbers.len()) {
                (recalled, _) = (true, assert_eq!(found, answers));
            }
            for (row, place) in memo.lookup(&tensors, numbers.len()).into_iter().flatten().enumerate() {
                let Some((batch, place)) = place else { continue };
                let Buffer::I64(known) = &memo.outputs(batch)[0].data else { unreachable!() };
                (recalled, _) = (true, assert_eq!(known[place as usize], expected[row]));
            }
            let rows = numbers.len();
            memo.remember(tensors, answers, rows, hashed);
        }
        if recalled { Ended::Answered } else { Ended::Refused }
    });
}

#[test]
fn dtypes_are_all_there() {
    assert!(DTYPES.iter().all(|dtype| Buffer::new(*dtype).len() == 0) && DTYPES.contains(&Dtype::Text));
}
