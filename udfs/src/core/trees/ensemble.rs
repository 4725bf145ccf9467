//! Decision trees as ai.onnx.ml writes them: <https://onnx.ai/onnx/operators/index_ai_onnx_ml.html>.
//!
//! Both forms become one: version 3 (`TreeEnsembleRegressor`) names nodes by tree and number and weights by leaf,
//! version 5 (`TreeEnsemble`) counts nodes and leaves over all trees.

use std::collections::{HashMap, HashSet};

use super::number::Number;

/// What a row is asked. A missing value (NaN) goes where the node says.
#[derive(Debug, Clone, PartialEq)]
pub enum Test<T> {
    AtMost(T),
    Below(T),
    Among(Vec<T>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Next {
    Node(usize),
    Leaf(usize),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Node<T> {
    pub feature: usize,
    pub test: Test<T>,
    pub yes: Next,
    pub no: Next,
    pub missing_yes: bool,
}

/// Trees that add to `targets` sums; a leaf adds its weights to some of them.
#[derive(Debug, PartialEq)]
pub struct Ensemble<T> {
    pub nodes: Vec<Node<T>>,
    pub leaves: Vec<Vec<(usize, T)>>,
    pub roots: Vec<Next>,
    pub targets: usize,
    /// Added to each sum at the end; empty for nothing.
    pub base: Vec<T>,
    /// Sums are divided by the number of trees.
    pub average: bool,
}

/// The comparisons of both versions, as version 5 numbers them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    AtMost,
    Below,
    AtLeast,
    Above,
    Equal,
    Unequal,
    Member,
}

impl Mode {
    pub fn of_code(code: u8) -> Option<Mode> {
        let all = [Mode::AtMost, Mode::Below, Mode::AtLeast, Mode::Above, Mode::Equal, Mode::Unequal, Mode::Member];
        all.get(usize::from(code)).copied()
    }

    /// None for a leaf, and for what is no mode.
    pub fn of_name(name: &str) -> Option<Mode> {
        Some(match name {
            "BRANCH_LEQ" => Mode::AtMost,
            "BRANCH_LT" => Mode::Below,
            "BRANCH_GTE" => Mode::AtLeast,
            "BRANCH_GT" => Mode::Above,
            "BRANCH_EQ" => Mode::Equal,
            "BRANCH_NEQ" => Mode::Unequal,
            _ => return None,
        })
    }
}

/// The attributes of version 5.
#[derive(Default)]
pub struct Flat<T> {
    pub roots: Vec<i64>,
    pub features: Vec<i64>,
    pub modes: Vec<u8>,
    pub splits: Vec<T>,
    pub yes: Vec<i64>,
    pub no: Vec<i64>,
    pub yes_is_leaf: Vec<i64>,
    pub no_is_leaf: Vec<i64>,
    pub missing_yes: Vec<i64>,
    pub members: Vec<T>,
    pub leaf_targets: Vec<i64>,
    pub leaf_weights: Vec<T>,
    pub targets: i64,
    pub average: bool,
}

/// The attributes of version 3.
#[derive(Default)]
pub struct Named<T> {
    pub trees: Vec<i64>,
    pub numbers: Vec<i64>,
    pub features: Vec<i64>,
    pub modes: Vec<String>,
    pub splits: Vec<T>,
    pub yes: Vec<i64>,
    pub no: Vec<i64>,
    pub missing_yes: Vec<i64>,
    pub leaf_trees: Vec<i64>,
    pub leaf_numbers: Vec<i64>,
    pub leaf_targets: Vec<i64>,
    pub leaf_weights: Vec<T>,
    pub base: Vec<T>,
    pub targets: i64,
    pub average: bool,
}

impl<T: Number> Flat<T> {
    /// None where the lists do not fit each other.
    pub fn ensemble(self) -> Option<Ensemble<T>> {
        let count = self.features.len();
        let lists = [self.yes.len(), self.no.len(), self.yes_is_leaf.len(), self.no_is_leaf.len()];
        let fits = lists.iter().chain([&self.modes.len(), &self.splits.len()]).all(|length| *length == count)
            && self.leaf_targets.len() == self.leaf_weights.len()
            && (self.missing_yes.is_empty() || self.missing_yes.len() == count);
        let targets = usize::try_from(self.targets).ok()?;
        if !fits {
            return None;
        }
        let next = |place: i64, leaf: i64| {
            let place = usize::try_from(place).ok()?;
            let (next, most) = match leaf {
                0 => (Next::Node(place), count),
                _ => (Next::Leaf(place), self.leaf_weights.len()),
            };
            (place < most).then_some(next)
        };
        let mut sets = self.members.split(|member| member.is_nan());
        let mut nodes = Vec::with_capacity(count);
        for i in 0..count {
            let mode = Mode::of_code(self.modes[i])?;
            let set = if mode == Mode::Member { sets.next()?.to_vec() } else { vec![self.splits[i]] };
            let feature = usize::try_from(self.features[i]).ok()?;
            let (yes, no) = (next(self.yes[i], self.yes_is_leaf[i])?, next(self.no[i], self.no_is_leaf[i])?);
            nodes.push(node(feature, mode, self.splits[i], set, yes, no, self.missing_yes.get(i) == Some(&1)));
        }
        let leaf = |(target, weight): (&i64, &T)| {
            let target = usize::try_from(*target).ok()?;
            (target < targets).then(|| vec![(target, *weight)])
        };
        let ensemble = Ensemble {
            nodes,
            leaves: self.leaf_targets.iter().zip(&self.leaf_weights).map(leaf).collect::<Option<_>>()?,
            roots: self.roots.iter().map(|root| next(*root, 0)).collect::<Option<_>>()?,
            targets,
            base: Vec::new(),
            average: self.average,
        };
        Some(ensemble.merged())
    }
}

impl<T: Number> Ensemble<T> {
    /// Trees that ask the same, one after the other, as one whose leaves add to several sums: version 5 has a tree for
    /// each sum.
    fn merged(mut self) -> Ensemble<T> {
        if self.average {
            return self; // by the number of trees
        }
        let mut kept: Vec<Next> = Vec::new();
        for root in std::mem::take(&mut self.roots) {
            match kept.last().and_then(|last| self.same_leaves(*last, root)) {
                Some(pairs) => {
                    for (into, from) in pairs {
                        let weights = std::mem::take(&mut self.leaves[from]);
                        self.leaves[into].extend(weights);
                    }
                }
                None => kept.push(root),
            }
        }
        self.roots = kept;
        self
    }

    /// The leaves of two trees that stand in the same places; None where the trees differ.
    fn same_leaves(&self, one: Next, other: Next) -> Option<Vec<(usize, usize)>> {
        let (mut pairs, mut known) = (Vec::new(), HashSet::new());
        let mut open = vec![(one, other)];
        let mut steps = 2 * self.nodes.len() + 1; // a damaged tree may go round in circles
        while let Some(places) = open.pop() {
            steps = steps.checked_sub(1)?;
            match places {
                (Next::Leaf(into), Next::Leaf(from)) => {
                    if known.insert((into, from)) {
                        pairs.push((into, from));
                    }
                }
                (Next::Node(one), Next::Node(other)) => {
                    let (one, other) = (&self.nodes[one], &self.nodes[other]);
                    let alike =
                        one.feature == other.feature && one.missing_yes == other.missing_yes && one.test == other.test;
                    if !alike {
                        return None;
                    }
                    open.extend([(one.no, other.no), (one.yes, other.yes)]);
                }
                _ => return None,
            }
        }
        let leaves: HashSet<usize> = pairs.iter().flat_map(|(into, from)| [*into, *from]).collect();
        (leaves.len() == 2 * pairs.len()).then_some(pairs)
    }
}

impl<T: Number> Named<T> {
    /// None where the lists do not fit each other.
    pub fn ensemble(self) -> Option<Ensemble<T>> {
        let count = self.trees.len();
        let lists = [&self.numbers, &self.features, &self.yes, &self.no];
        let fits = lists.iter().all(|list| list.len() == count)
            && self.modes.len() == count
            && self.splits.len() == count
            && (self.missing_yes.is_empty() || self.missing_yes.len() == count);
        let weights = self.leaf_weights.len();
        let weighed =
            [&self.leaf_trees, &self.leaf_numbers, &self.leaf_targets].iter().all(|list| list.len() == weights);
        let targets = usize::try_from(self.targets).ok()?;
        if !fits || !weighed || targets == 0 || !(self.base.is_empty() || self.base.len() == targets) {
            return None;
        }
        // leaves and inner nodes are counted apart
        let mut places = HashMap::with_capacity(count);
        let (mut inner, mut outer) = (0, 0);
        for i in 0..count {
            let leaf = self.modes[i] == "LEAF";
            let (next, counted) = if leaf { (Next::Leaf(outer), &mut outer) } else { (Next::Node(inner), &mut inner) };
            *counted += 1;
            if places.insert((self.trees[i], self.numbers[i]), next).is_some() {
                return None;
            }
        }
        let mut leaves = vec![Vec::new(); outer];
        for i in 0..weights {
            let Some(Next::Leaf(leaf)) = places.get(&(self.leaf_trees[i], self.leaf_numbers[i])) else { return None };
            let target = usize::try_from(self.leaf_targets[i]).ok().filter(|target| *target < targets)?;
            leaves[*leaf].push((target, self.leaf_weights[i]));
        }
        let mut nodes = Vec::with_capacity(inner);
        let mut children = HashSet::with_capacity(count);
        for i in (0..count).filter(|i| self.modes[*i] != "LEAF") {
            let mode = Mode::of_name(&self.modes[i])?;
            let (yes, no) = ((self.trees[i], self.yes[i]), (self.trees[i], self.no[i]));
            let (yes_next, no_next) = (*places.get(&yes)?, *places.get(&no)?);
            children.extend([yes, no]);
            let feature = usize::try_from(self.features[i]).ok()?;
            let set = vec![self.splits[i]];
            let missing = self.missing_yes.get(i) == Some(&1);
            nodes.push(node(feature, mode, self.splits[i], set, yes_next, no_next, missing));
        }
        let mut begun = HashSet::new();
        let mut roots = Vec::new();
        for key in self.trees.iter().copied().zip(self.numbers.iter().copied()).filter(|key| !children.contains(key)) {
            if !begun.insert(key.0) {
                return None; // a tree of two roots
            }
            roots.push(*places.get(&key)?);
        }
        let whole = self.trees.iter().all(|tree| begun.contains(tree));
        whole.then_some(Ensemble { nodes, leaves, roots, targets, base: self.base, average: self.average })
    }
}

/// Comparisons that are the opposite of another are that other one, with its ways exchanged.
fn node<T>(feature: usize, mode: Mode, split: T, set: Vec<T>, yes: Next, no: Next, missing_yes: bool) -> Node<T> {
    match mode {
        Mode::AtMost => Node { feature, test: Test::AtMost(split), yes, no, missing_yes },
        Mode::Below => Node { feature, test: Test::Below(split), yes, no, missing_yes },
        Mode::Above => Node { feature, test: Test::AtMost(split), yes: no, no: yes, missing_yes: !missing_yes },
        Mode::AtLeast => Node { feature, test: Test::Below(split), yes: no, no: yes, missing_yes: !missing_yes },
        Mode::Equal | Mode::Member => Node { feature, test: Test::Among(set), yes, no, missing_yes },
        // NaN differs from every number, wherever missing values go
        Mode::Unequal => Node { feature, test: Test::Among(set), yes: no, no: yes, missing_yes: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Trees of one test each, whose leaves add to one target.
    fn stumps(splits: &[f64], targets: &[i64], average: bool) -> Ensemble<f64> {
        let count = splits.len();
        let flat = Flat {
            roots: (0..count as i64).collect(),
            features: vec![0; count],
            modes: vec![0; count],
            splits: splits.to_vec(),
            yes: (0..count as i64).map(|i| 2 * i).collect(),
            no: (0..count as i64).map(|i| 2 * i + 1).collect(),
            yes_is_leaf: vec![1; count],
            no_is_leaf: vec![1; count],
            leaf_targets: targets.iter().flat_map(|target| [*target, *target]).collect(),
            leaf_weights: (0..2 * count).map(|i| i as f64).collect(),
            targets: 3,
            average,
            ..Flat::default()
        };
        flat.ensemble().unwrap()
    }

    #[test]
    fn trees_that_ask_the_same_are_one() {
        let merged = stumps(&[0.5, 0.5, 0.5, 0.7, 0.5], &[0, 1, 2, 0, 0], false);
        assert_eq!(merged.roots, [Next::Node(0), Next::Node(3), Next::Node(4)]);
        assert_eq!(merged.leaves[0], [(0, 0.0), (1, 2.0), (2, 4.0)]);
        assert_eq!(merged.leaves[1], [(0, 1.0), (1, 3.0), (2, 5.0)]);
        assert_eq!(merged.leaves[6], [(0, 6.0)]);
        assert_eq!(stumps(&[0.5, 0.5], &[0, 1], true).roots.len(), 2);
    }

    #[test]
    fn a_tree_that_goes_round_in_circles_ends() {
        let mut ensemble = stumps(&[0.5, 0.5], &[0, 1], false);
        let circle =
            Node { feature: 0, test: Test::AtMost(0.5), yes: Next::Node(0), no: Next::Node(0), missing_yes: false };
        ensemble.nodes = vec![circle.clone(), circle];
        ensemble.roots = vec![Next::Node(0), Next::Node(1)];
        assert_eq!(ensemble.merged().roots.len(), 2);
    }
}
