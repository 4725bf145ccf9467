//! An ensemble → columns of ranks, and the tests that each word of each tree undergoes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use super::ensemble::{Ensemble, Next, Node, Test};
use super::leafset::Word;
use super::number::Number;

/// Beyond this, walking a tree costs less than testing all of its nodes.
const MOST_LEAVES: usize = 2048;
/// Weights, and tests, of all trees: a file may let any number of leaves add to any number of outputs, and any number of
/// roots be the same tree.
const MOST_WEIGHTS: usize = if cfg!(test) { 1 << 20 } else { 1 << 26 };
const MOST_STRIKES: usize = MOST_WEIGHTS / 2;

/// How a feature becomes ranks, in one or two columns: for the nodes where missing values go to `no`, and to `yes`.
#[derive(Debug)]
pub struct Reading<T> {
    pub feature: usize,
    /// Ascending, and NaN at the end, to a length of 2ⁿ.
    pub scale: Vec<T>,
    /// The rank of a value that is on the scale is the lowest, of any other the highest; else it is the number of those
    /// that are below the value.
    pub members: bool,
    pub missing_no: Option<usize>,
    pub missing_yes: Option<usize>,
}

/// Rows whose rank in `column` is above `split` lose the leaves `cleared`.
#[derive(Clone, Copy)]
pub struct Mask<W: Word> {
    pub column: u32,
    pub split: W::Rank,
    pub cleared: W,
}

/// Some leaves of a tree, and the tests that concern them.
#[derive(Debug)]
pub struct Leaves<W> {
    pub start: W,
    pub masks: Range<usize>,
}

#[derive(Debug)]
pub struct Tree {
    pub words: Range<usize>,
    /// For each output that the tree adds to, where the weights of its leaves begin.
    pub weights: Vec<(usize, usize)>,
    /// Leaves, rounded up to whole words.
    pub width: usize,
}

pub struct Layout<T, W: Word> {
    pub readings: Vec<Reading<T>>,
    pub columns: usize,
    pub trees: Vec<Tree>,
    pub words: Vec<Leaves<W>>,
    pub masks: Vec<Mask<W>>,
    pub weights: Vec<T>,
}

impl<T: Number, W: Word> Layout<T, W> {
    /// None for trees that are too large, for more splits of a feature than a rank can tell apart, and for leaves that
    /// ONNX Runtime takes otherwise.
    pub fn of(ensemble: &Ensemble<T>) -> Option<Layout<T, W>> {
        let mut columns = Columns::of(&ensemble.nodes);
        if columns.splits.values().any(|splits| splits.len() > W::MOST_SPLITS) {
            return None;
        }
        let mut layout = Layout {
            readings: Vec::new(),
            columns: 0,
            trees: Vec::new(),
            words: Vec::new(),
            masks: Vec::new(),
            weights: Vec::new(),
        };
        let mut before: Option<Shape> = None;
        let mut met = vec![ensemble.base.is_empty() || ensemble.targets == 1; ensemble.targets];
        for root in &ensemble.roots {
            let shape = Shape::of(ensemble, *root)?;
            let weights = shape.weights(ensemble)?;
            if !met.iter().all(|met| *met) {
                shape.met_by_all(ensemble).for_each(|target| met[target] = true);
            }
            // a tree that adds to several outputs is written once for each: its tests are made once
            let joins = before.as_ref().is_some_and(|before| before.same_tests(&shape, ensemble))
                && layout.trees.last().is_some_and(|tree| tree.weights.iter().all(|(t, _)| !weights.contains_key(t)));
            if !joins {
                layout.plant(ensemble, &shape, &mut columns);
            }
            layout.weigh(weights);
            if layout.weights.len() > MOST_WEIGHTS || layout.masks.len() > MOST_STRIKES {
                return None;
            }
            before = Some(shape);
        }
        (layout.readings, layout.columns) = columns.finish();
        // it adds no base to an output that a row meets no weight of
        met.into_iter().all(|met| met).then_some(layout)
    }

    /// Add a tree's tests.
    fn plant(&mut self, ensemble: &Ensemble<T>, shape: &Shape, columns: &mut Columns<T>) {
        let words = shape.leaves.len().div_ceil(W::LEAVES);
        let mut starts = vec![W::ALL; words];
        let mut masks: Vec<Vec<Mask<W>>> = vec![Vec::new(); words];
        for Inner { node, yes } in &shape.inner {
            let test = columns.test(&ensemble.nodes[*node]);
            for word in yes.start / W::LEAVES..yes.end.div_ceil(W::LEAVES) {
                let first = word * W::LEAVES;
                let cleared = W::leaves(yes.start.max(first) - first, yes.end.min(first + W::LEAVES) - first);
                match test {
                    Some((column, rank)) => {
                        masks[word].push(Mask { column: column as u32, split: W::rank(rank), cleared });
                    }
                    None => starts[word] = starts[word].without(cleared),
                }
            }
        }
        let first = self.words.len();
        for (start, mut masks) in starts.into_iter().zip(masks) {
            masks.sort_by_key(|mask| mask.column);
            let begin = self.masks.len();
            self.masks.extend(masks);
            self.words.push(Leaves { start, masks: begin..self.masks.len() });
        }
        self.trees.push(Tree { words: first..self.words.len(), weights: Vec::new(), width: words * W::LEAVES });
    }

    /// Let the last tree add these weights of its leaves to these outputs.
    fn weigh(&mut self, by_target: BTreeMap<usize, Vec<T>>) {
        let Some(tree) = self.trees.last_mut() else { return };
        for (target, mut weights) in by_target {
            weights.resize(tree.width, T::default());
            tree.weights.push((target, self.weights.len()));
            self.weights.extend(weights);
        }
    }
}

/// A tree's leaves from left to right, where `yes` is left, and for each inner node the leaves on its `yes` side.
struct Shape {
    leaves: Vec<usize>,
    inner: Vec<Inner>,
}

struct Inner {
    node: usize,
    yes: Range<usize>,
}

impl Shape {
    /// None for a tree of too many leaves; this also rejects cycles.
    fn of<T>(ensemble: &Ensemble<T>, root: Next) -> Option<Shape> {
        enum Step {
            Enter(Next),
            /// The `yes` side of a node, which began at the leaf, is done.
            Turn(usize, usize),
        }
        let mut shape = Shape { leaves: Vec::new(), inner: Vec::new() };
        let mut steps = vec![Step::Enter(root)];
        while let Some(step) = steps.pop() {
            match step {
                Step::Enter(Next::Leaf(leaf)) => shape.leaves.push(leaf),
                Step::Enter(Next::Node(place)) => {
                    let node = &ensemble.nodes[place];
                    steps.push(Step::Enter(node.no));
                    steps.push(Step::Turn(place, shape.leaves.len()));
                    steps.push(Step::Enter(node.yes));
                }
                Step::Turn(node, start) => shape.inner.push(Inner { node, yes: start..shape.leaves.len() }),
            }
            if shape.leaves.len() > MOST_LEAVES || steps.len() > 3 * MOST_LEAVES {
                return None;
            }
        }
        Some(shape)
    }

    /// The outputs that each leaf adds to.
    fn met_by_all<T: Number>(&self, ensemble: &Ensemble<T>) -> impl Iterator<Item = usize> {
        let mut common: Option<BTreeSet<usize>> = None;
        for leaf in &self.leaves {
            let mine = ensemble.leaves[*leaf].iter().map(|(target, _)| *target);
            common = Some(match common {
                None => mine.collect(),
                Some(common) => mine.filter(|target| common.contains(target)).collect(),
            });
        }
        common.unwrap_or_default().into_iter()
    }

    /// For each output that the tree adds to, what each leaf adds. None where they are too many, or one adds twice, which
    /// is another sum than that of both.
    fn weights<T: Number>(&self, ensemble: &Ensemble<T>) -> Option<BTreeMap<usize, Vec<T>>> {
        let mut by_target: BTreeMap<usize, Vec<T>> = BTreeMap::new();
        for (place, leaf) in self.leaves.iter().enumerate() {
            let added = &ensemble.leaves[*leaf];
            if added.iter().map(|(target, _)| target).collect::<BTreeSet<_>>().len() < added.len() {
                return None;
            }
            for (target, weight) in added {
                let outputs = by_target.len();
                if outputs * self.leaves.len() > MOST_WEIGHTS {
                    return None;
                }
                let weights = by_target.entry(*target).or_insert_with(|| vec![T::default(); self.leaves.len()]);
                weights[place] = *weight;
            }
        }
        Some(by_target)
    }

    fn same_tests<T: Number>(&self, other: &Shape, ensemble: &Ensemble<T>) -> bool {
        let same = |(mine, theirs): (&Inner, &Inner)| {
            let (a, b) = (&ensemble.nodes[mine.node], &ensemble.nodes[theirs.node]);
            mine.yes == theirs.yes && a.feature == b.feature && a.missing_yes == b.missing_yes && a.test == b.test
        };
        self.leaves.len() == other.leaves.len() && self.inner.iter().zip(&other.inner).all(same)
    }
}

/// The columns that are needed, numbered as they are asked for.
struct Columns<T> {
    splits: BTreeMap<usize, Vec<T>>,
    numbers: HashMap<(usize, Vec<u64>, bool), usize>,
    members: HashMap<Vec<u64>, Vec<T>>,
}

impl<T: Number> Columns<T> {
    fn of(nodes: &[Node<T>]) -> Columns<T> {
        let mut splits: BTreeMap<usize, Vec<T>> = BTreeMap::new();
        for node in nodes {
            if let Some(split) = split_of(&node.test) {
                splits.entry(node.feature).or_default().push(split);
            }
        }
        splits.values_mut().for_each(|splits| *splits = ascending(splits));
        Columns { splits, numbers: HashMap::new(), members: HashMap::new() }
    }

    /// The column that a node looks at, and the rank above which a row goes to `no`; None where every row does.
    fn test(&mut self, node: &Node<T>) -> Option<(usize, usize)> {
        let (set, rank) = match &node.test {
            Test::Among(members) => {
                let members = ascending(members);
                let key: Vec<u64> = [1].into_iter().chain(members.iter().map(|member| member.key())).collect();
                self.members.insert(key.clone(), members);
                (key, 0)
            }
            test => match split_of(test) {
                Some(split) => (Vec::new(), self.splits[&node.feature].partition_point(|known| *known < split)),
                // nothing is below it, but a missing value may still go to `yes`
                None if node.missing_yes => {
                    self.members.insert(vec![1], Vec::new());
                    (vec![1], 0)
                }
                None => return None,
            },
        };
        let next = self.numbers.len();
        Some((*self.numbers.entry((node.feature, set, node.missing_yes)).or_insert(next), rank))
    }

    fn finish(self) -> (Vec<Reading<T>>, usize) {
        let columns = self.numbers.len();
        let mut readings: BTreeMap<(usize, Vec<u64>), Reading<T>> = BTreeMap::new();
        for ((feature, set, missing_yes), column) in self.numbers {
            let reading = readings.entry((feature, set.clone())).or_insert_with(|| Reading {
                feature,
                scale: padded(if set.is_empty() { &self.splits[&feature] } else { &self.members[&set] }),
                members: !set.is_empty(),
                missing_no: None,
                missing_yes: None,
            });
            let place = if missing_yes { &mut reading.missing_yes } else { &mut reading.missing_no };
            *place = Some(column);
        }
        (readings.into_values().collect(), columns)
    }
}

/// The greatest number that passes a comparison; None where none does.
fn split_of<T: Number>(test: &Test<T>) -> Option<T> {
    match test {
        Test::AtMost(split) => Some(*split).filter(|split| !split.is_nan()),
        Test::Below(split) => split.next_below(),
        Test::Among(_) => None,
    }
}

fn ascending<T: Number>(numbers: &[T]) -> Vec<T> {
    let mut sorted: Vec<T> = numbers.iter().copied().filter(|number| !number.is_nan()).collect();
    sorted.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    sorted.dedup_by(|a, b| a == b);
    sorted
}

/// The search in them halves their number, and must not run over the end.
fn padded<T: Number>(ascending: &[T]) -> Vec<T> {
    let mut padded = ascending.to_vec();
    padded.resize((ascending.len() + 1).next_power_of_two(), T::nan());
    padded
}
