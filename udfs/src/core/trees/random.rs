//! Random trees for tests: of comparisons of every kind, by places.

use super::ensemble::Flat;
use super::number::Number;

/// Where the numbers of a tree come from.
pub trait Draw {
    fn below(&mut self, most: usize) -> usize;

    fn split(&mut self) -> f64;

    fn weight(&mut self) -> f64;
}

/// Add a tree of so many `leaves`, two at least, over `features` features, for any of the targets.
pub fn add_tree<T: Number>(flat: &mut Flat<T>, leaves: usize, features: usize, draw: &mut impl Draw) {
    let first = flat.features.len();
    flat.roots.push(first as i64);
    let mut open: Vec<(usize, bool)> = Vec::new();
    for grown in 0..leaves - 1 {
        if grown > 0 {
            let (parent, yes) = open.swap_remove(draw.below(open.len()));
            let (ways, leaf) =
                if yes { (&mut flat.yes, &mut flat.yes_is_leaf) } else { (&mut flat.no, &mut flat.no_is_leaf) };
            (ways[parent], leaf[parent]) = ((first + grown) as i64, 0);
        }
        let mode = draw.below(7) as u8;
        flat.modes.push(mode);
        flat.features.push(draw.below(features) as i64);
        flat.splits.push(T::of_double(draw.split()));
        flat.missing_yes.push(draw.below(2) as i64);
        if mode == 6 {
            flat.members.extend((0..draw.below(4)).map(|_| T::of_double(draw.split())));
            flat.members.push(T::nan());
        }
        open.extend([(first + grown, true), (first + grown, false)]);
        [&mut flat.yes, &mut flat.no].into_iter().for_each(|ways| ways.push(0));
        [&mut flat.yes_is_leaf, &mut flat.no_is_leaf].into_iter().for_each(|leaf| leaf.push(1));
    }
    for (parent, yes) in open {
        let ways = if yes { &mut flat.yes } else { &mut flat.no };
        ways[parent] = flat.leaf_targets.len() as i64;
        flat.leaf_targets.push(draw.below(flat.targets as usize) as i64);
        flat.leaf_weights.push(T::of_double(draw.weight()));
    }
}
