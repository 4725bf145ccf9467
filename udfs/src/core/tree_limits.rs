//! Tree ensembles that ONNX Runtime does not survive, or answers from memory that nobody wrote. Registration refuses
//! them, in sqlinfer/graphs/tree_limits.py; a file of models may have been written by anybody.

use std::collections::{HashMap, HashSet};

use super::protobuf::{Field, fields, numbers};

/// ONNX Runtime goes down a tree by recursion: 15,000 levels are too many for the stack of a thread.
const MOST_LEVELS: usize = 4096;
/// What an array of DuckDB's holds; the sums of all are kept for each row.
const MOST_TARGETS: u64 = 100_000;
/// Graphs in one another: Protocol Buffers has the same limit.
const MOST_GRAPHS: usize = 100;
/// What the names of the operators begin with.
const OPERATORS: &str = "TreeEnsemble";
const CLASSIFIER: &str = "TreeEnsembleClassifier";

/// What a file holds of tree ensembles.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Trees {
    pub any: bool,
    /// Such as ONNX Runtime computes by itself.
    pub classifier: bool,
}

impl Trees {
    /// What a model file holds. The reason is why it is not to be given to ONNX Runtime.
    pub fn of(model: &[u8]) -> Result<Trees, String> {
        let holds = |text: &str| memchr::memmem::find(model, text.as_bytes()).is_some();
        if !holds(OPERATORS) {
            return Ok(Trees::default());
        }
        refusal(model).map_or_else(|| Ok(Trees { any: true, classifier: holds(CLASSIFIER) }), Err)
    }
}

/// Why some trees of the file cannot be accepted; None where all can.
fn refusal(model: &[u8]) -> Option<String> {
    fields(model).find_map(|field| match field {
        Field::Bytes(7, graph) => of_graph(graph, 1, MOST_GRAPHS),
        Field::Bytes(25, function) => of_graph(function, 7, MOST_GRAPHS),
        _ => None,
    })
}

/// `node`: the number of the field of its nodes.
fn of_graph(graph: &[u8], node: u32, levels: usize) -> Option<String> {
    let nodes = fields(graph).filter_map(|field| match field {
        Field::Bytes(number, message) if number == node => Some(message),
        _ => None,
    });
    nodes.into_iter().find_map(|node| of_node(node, levels))
}

fn of_node(node: &[u8], levels: usize) -> Option<String> {
    let (mut operator, mut attributes) = (&[][..], HashMap::new());
    let mut inner = None;
    for field in fields(node) {
        match field {
            Field::Bytes(4, name) => operator = name,
            Field::Bytes(5, message) => {
                let attribute = Attribute::of(message);
                if let (None, Some(levels)) = (&inner, levels.checked_sub(1)) {
                    inner = attribute.graphs.iter().find_map(|graph| of_graph(graph, 1, levels));
                }
                attributes.insert(attribute.name, attribute);
            }
            _ => {}
        }
    }
    inner.or_else(|| {
        let operator = std::str::from_utf8(operator).ok().filter(|name| name.starts_with(OPERATORS))?;
        Node { operator, attributes }.refusal()
    })
}

#[derive(Default)]
struct Attribute<'a> {
    name: &'a [u8],
    number: Option<u64>,
    text: &'a [u8],
    numbers: Vec<i64>,
    texts: Vec<&'a [u8]>,
    graphs: Vec<&'a [u8]>,
}

impl<'a> Attribute<'a> {
    fn of(message: &'a [u8]) -> Attribute<'a> {
        let mut attribute = Attribute::default();
        for field in fields(message) {
            match field {
                Field::Bytes(1, name) => attribute.name = name,
                Field::Number(3, number) => attribute.number = Some(number),
                Field::Bytes(4, text) => attribute.text = text,
                Field::Bytes(6 | 11, graph) => attribute.graphs.push(graph),
                Field::Number(8, number) => attribute.numbers.push(number as i64),
                Field::Bytes(8, packed) => attribute.numbers.extend(numbers(packed).map(|number| number as i64)),
                Field::Bytes(9, text) => attribute.texts.push(text),
                _ => {}
            }
        }
        attribute
    }
}

struct Node<'a> {
    operator: &'a str,
    attributes: HashMap<&'a [u8], Attribute<'a>>,
}

impl Node<'_> {
    fn refusal(&self) -> Option<String> {
        let operator = self.operator;
        let labels = self.texts("classlabels_strings").len().max(self.numbers("classlabels_int64s").len());
        let targets = self.attributes.get("n_targets".as_bytes()).and_then(|attribute| attribute.number);
        let targets = targets.filter(|targets| *targets <= i64::MAX as u64).unwrap_or(labels as u64);
        if targets > MOST_TARGETS {
            return Some(format!("{operator} has {targets} targets, of {MOST_TARGETS} at most"));
        }
        if operator == CLASSIFIER {
            if labels < 2 {
                return Some(format!("{operator} has {labels} class labels: it chooses between two or more"));
            }
            let one = self.numbers("class_ids").iter().collect::<HashSet<_>>().len() == 1;
            let probit =
                self.attributes.get("post_transform".as_bytes()).is_some_and(|attribute| attribute.text == b"PROBIT");
            if probit && labels == 2 && one {
                return Some(format!(
                    "{operator} has two classes and the weights of one, of which PROBIT makes one score"
                ));
            }
        }
        let children = match self.attributes.contains_key("nodes_nodeids".as_bytes()) {
            true => self.children_by_name(),
            false => self.children_by_place(),
        };
        children.filter(|children| levels(children) > MOST_LEVELS).map(|_| {
            format!("{operator} has a tree of more than {MOST_LEVELS} levels, or one that goes round in circles")
        })
    }

    fn numbers(&self, name: &str) -> &[i64] {
        self.attributes.get(name.as_bytes()).map_or(&[], |attribute| &attribute.numbers)
    }

    fn texts(&self, name: &str) -> &[&[u8]] {
        self.attributes.get(name.as_bytes()).map_or(&[], |attribute| &attribute.texts)
    }

    /// Versions 1 and 3: nodes are named by tree and number. None where the lists do not fit each other.
    fn children_by_name(&self) -> Option<Vec<[Option<usize>; 2]>> {
        let (trees, named) = (self.numbers("nodes_treeids"), self.numbers("nodes_nodeids"));
        let (yes, no, modes) =
            (self.numbers("nodes_truenodeids"), self.numbers("nodes_falsenodeids"), self.texts("nodes_modes"));
        let count = trees.len();
        if [named.len(), yes.len(), no.len(), modes.len()] != [count; 4] {
            return None;
        }
        let places: HashMap<(i64, i64), usize> = (0..count).rev().map(|i| ((trees[i], named[i]), i)).collect();
        let child = |i: usize, ways: &[i64]| {
            if modes[i] == b"LEAF" { None } else { places.get(&(trees[i], ways[i])).copied() }
        };
        Some((0..count).map(|i| [child(i, yes), child(i, no)]).collect())
    }

    /// Version 5: nodes are counted over all trees, and leaves apart.
    fn children_by_place(&self) -> Option<Vec<[Option<usize>; 2]>> {
        let count = self.numbers("nodes_featureids").len();
        let ways = [("nodes_truenodeids", "nodes_trueleafs"), ("nodes_falsenodeids", "nodes_falseleafs")];
        let ways = ways.map(|(places, leafs)| (self.numbers(places), self.numbers(leafs)));
        if ways.iter().any(|(places, leafs)| places.len() != count || leafs.len() != count) {
            return None;
        }
        let child = |i: usize, (places, leafs): (&[i64], &[i64])| {
            usize::try_from(places[i]).ok().filter(|place| leafs[i] == 0 && *place < count)
        };
        Some((0..count).map(|i| ways.map(|way| child(i, way))).collect())
    }
}

/// The longest way down, in nodes; more than the bound where it is longer, or has no end.
fn levels(children: &[[Option<usize>; 2]]) -> usize {
    let mut waiting = vec![0u32; children.len()];
    children.iter().flatten().flatten().for_each(|child| waiting[*child] += 1);
    let mut level: Vec<usize> = (0..children.len()).filter(|node| waiting[*node] == 0).collect();
    let (mut levels, mut done) = (0, 0);
    while !level.is_empty() && levels <= MOST_LEVELS {
        (levels, done) = (levels + 1, done + level.len());
        let mut below = Vec::new();
        for child in level.iter().flat_map(|node| children[*node]).flatten() {
            waiting[child] -= 1;
            if waiting[child] == 0 {
                below.push(child);
            }
        }
        level = below;
    }
    if done == children.len() { levels } else { MOST_LEVELS + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_way_down() {
        let chain = |count: usize| -> Vec<[Option<usize>; 2]> {
            (0..count).map(|i| [None, Some(i + 1).filter(|next| *next < count)]).collect()
        };
        assert_eq!(levels(&[]), 0);
        assert_eq!(levels(&chain(1)), 1);
        assert_eq!(levels(&chain(MOST_LEVELS)), MOST_LEVELS);
        assert!(levels(&chain(1_000_000)) > MOST_LEVELS);
        assert!(levels(&[[Some(1), None], [Some(0), None]]) > MOST_LEVELS);
        assert_eq!(levels(&[[Some(1), Some(1)], [Some(2), Some(2)], [None, None]]), 3);
    }

    #[test]
    fn what_a_file_holds() {
        let trees = |content: &[u8]| Trees::of(content).unwrap();
        assert_eq!(trees(b"a model"), Trees::default());
        assert_eq!(trees(b"..TreeEnsembleRegressor.."), Trees { any: true, classifier: false });
        assert_eq!(trees(b"..TreeEnsembleClassifier.."), Trees { any: true, classifier: true });
    }

    #[test]
    fn what_is_no_model_is_not_refused() {
        for content in [&b""[..], b"hello", &[0x3a, 0xff], &[0x3a, 3, 0x0a, 1, 0x2a]] {
            assert_eq!(refusal(content), None);
        }
    }
}
