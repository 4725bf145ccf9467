//! Metrics of predicted labels: how often each class was taken for each. Defined as scikit-learn does.

use std::collections::HashMap;

use super::cell::Cell;
use super::classes::{Classes, Key, Label, name, no_positive, require_alike};
use super::given::{Given, Predictions};
use super::{Accumulator, unlike};
use crate::core::column::Rows;
use crate::core::error::{Code, Error, Result};

#[derive(Default)]
pub struct Confusion {
    classes: Classes,
    positive: Option<Label>,
    counts: Counts,
}

/// How many rows of one class were predicted to be of another: classes by number.
#[derive(Default)]
struct Counts {
    /// Of the first classes, [actual, predicted].
    few: [[u64; FEW]; FEW],
    others: HashMap<(u32, u32), u64>,
}

const FEW: usize = 8;
/// More classes make no matrix that anybody could read.
const MOST_CLASSES: usize = 1000;

impl Counts {
    fn add(&mut self, actual: u32, predicted: u32, count: u64) {
        let few = self.few.get_mut(actual as usize).and_then(|row| row.get_mut(predicted as usize));
        match few {
            Some(place) => *place += count,
            None => *self.others.entry((actual, predicted)).or_insert(0) += count,
        }
    }

    /// Each pair that was met.
    fn pairs(&self) -> impl Iterator<Item = ((u32, u32), u64)> + '_ {
        let few = self.few.iter().zip(0..).flat_map(|(row, actual)| {
            row.iter()
                .zip(0..)
                .filter(|(count, _)| **count > 0)
                .map(move |(count, predicted)| ((actual, predicted), *count))
        });
        few.chain(self.others.iter().map(|(pair, count)| (*pair, *count)))
    }
}

impl Confusion {
    pub fn add_rows(&mut self, given: &Predictions, rows: Rows) -> Result<()> {
        self.classes.admit(given.actual.kind)?;
        self.classes.admit(given.predicted.kind)?;
        self.name_positive(given.positive.as_ref())?;
        if let (Some(positive), Some(_)) = (&given.positive, &given.scores) {
            self.classes.id(positive.key()); // the model knows it, whether or not a row is of it
        }
        let actual = self.classes.ids(&given.actual, rows);
        let predicted = self.classes.ids(&given.predicted, rows);
        for (actual, predicted) in actual.into_iter().zip(predicted) {
            self.counts.add(actual, predicted, 1);
        }
        Ok(())
    }

    fn name_positive(&mut self, positive: Option<&Label>) -> Result<()> {
        if let (None, Some(positive)) = (&self.positive, positive) {
            require_alike(self.classes.kind(), positive)?;
        }
        name(&mut self.positive, positive)
    }

    pub fn merge_counts(&mut self, other: &Confusion) -> Result<()> {
        let ids = self.classes.merge(&other.classes)?;
        self.name_positive(other.positive.as_ref())?;
        for ((actual, predicted), count) in other.counts.pairs() {
            self.counts.add(ids[actual as usize], ids[predicted as usize], count);
        }
        Ok(())
    }

    pub fn table(&self) -> Table<'_> {
        let order = self.classes.ascending();
        let mut rank = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, id)| rank[*id as usize] = place);
        let mut table = Table {
            confusion: self,
            order,
            right: vec![0; rank.len()],
            actual: vec![0; rank.len()],
            predicted: vec![0; rank.len()],
            rank,
            rows: 0,
        };
        for ((actual, predicted), count) in self.counts.pairs() {
            let (actual, predicted) = (table.rank[actual as usize], table.rank[predicted as usize]);
            table.actual[actual] += count;
            table.predicted[predicted] += count;
            table.rows += count;
            if actual == predicted {
                table.right[actual] += count;
            }
        }
        table
    }
}

/// The counts of each class, in the order of the classes.
pub struct Table<'a> {
    confusion: &'a Confusion,
    /// Which class stands where, and where each stands.
    order: Vec<u32>,
    rank: Vec<usize>,
    right: Vec<u64>,
    actual: Vec<u64>,
    predicted: Vec<u64>,
    pub rows: u64,
}

/// 0 where there is nothing to divide by, as scikit-learn's zero_division.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

impl Table<'_> {
    pub fn accuracy(&self) -> f64 {
        self.right.iter().sum::<u64>() as f64 / self.rows as f64
    }

    /// The mean of the recall of the classes that there are.
    pub fn balanced_accuracy(&self) -> f64 {
        let there = || (0..self.actual.len()).filter(|class| self.actual[*class] > 0);
        there().map(|class| self.recall_of(class)).sum::<f64>() / there().count() as f64
    }

    fn precision_of(&self, class: usize) -> f64 {
        ratio(self.right[class] as f64, self.predicted[class] as f64)
    }

    fn recall_of(&self, class: usize) -> f64 {
        ratio(self.right[class] as f64, self.actual[class] as f64)
    }

    fn f1_of(&self, class: usize) -> f64 {
        ratio(2.0 * self.right[class] as f64, (self.actual[class] + self.predicted[class]) as f64)
    }

    /// Of the positive class; where there is none, the mean over all classes.
    fn of(&self, score: impl Fn(usize) -> f64) -> Result<f64> {
        Ok(match self.positive()? {
            Positive::Class(class) => score(class),
            Positive::Missing => 0.0,
            Positive::None => (0..self.order.len()).map(score).sum::<f64>() / self.order.len() as f64,
        })
    }

    pub fn precision(&self) -> Result<f64> {
        self.of(|class| self.precision_of(class))
    }

    pub fn recall(&self) -> Result<f64> {
        self.of(|class| self.recall_of(class))
    }

    pub fn f1(&self) -> Result<f64> {
        self.of(|class| self.f1_of(class))
    }

    fn positive(&self) -> Result<Positive> {
        let labels = self.confusion.classes.labels();
        let find = |key: Key| self.order.iter().position(|id| labels[*id as usize].key() == key);
        if let Some(named) = &self.confusion.positive {
            return match find(named.key()) {
                Some(class) => Ok(Positive::Class(class)),
                None if labels.len() < 2 => Ok(Positive::Missing),
                None => {
                    let known: Vec<String> =
                        self.order.iter().take(10).map(|id| labels[*id as usize].key().to_string()).collect();
                    Err(no_positive(named, &known))
                }
            };
        }
        let binary = |zero: i64| {
            labels.iter().all(|label| matches!(label, Label::Integer(value) if *value == zero || *value == 1))
        };
        Ok(match binary(0) || binary(-1) {
            true => find(Key::Integer(1)).map_or(Positive::Missing, Positive::Class),
            false => Positive::None,
        })
    }

    /// For several classes: Gorodkin's R_K.
    pub fn matthews_corrcoef(&self) -> f64 {
        let rows = self.rows as f64;
        let right = self.right.iter().sum::<u64>() as f64;
        let dot = |a: &[u64], b: &[u64]| a.iter().zip(b).map(|(a, b)| *a as f64 * *b as f64).sum::<f64>();
        let together = right * rows - dot(&self.actual, &self.predicted);
        let spread = |of: &[u64]| rows * rows - dot(of, of);
        let spread = spread(&self.predicted) * spread(&self.actual);
        if spread == 0.0 { 0.0 } else { together / spread.sqrt() }
    }

    pub fn cohen_kappa(&self) -> f64 {
        let rows = self.rows as f64;
        let by_chance: f64 =
            self.actual.iter().zip(&self.predicted).map(|(a, b)| *a as f64 * *b as f64).sum::<f64>() / rows;
        let right = self.right.iter().sum::<u64>() as f64;
        1.0 - (rows - right) / (rows - by_chance)
    }

    /// Every pair of classes.
    fn matrix(&self) -> Result<Cell> {
        let (classes, count) = (&self.confusion.classes, self.order.len());
        if count > MOST_CLASSES {
            let example = classes.labels()[0].key();
            return Err(Error::of(
                Code::Call,
                format!(
                    "there are {count} different labels, such as {example}: a matrix has at most {MOST_CLASSES} classes"
                ),
            ));
        }
        let mut counts = vec![0; count * count];
        for ((actual, predicted), rows) in self.confusion.counts.pairs() {
            counts[self.rank[actual as usize] * count + self.rank[predicted as usize]] += rows;
        }
        let name = |place: usize| Cell::Text(classes.labels()[self.order[place] as usize].key().text(classes.kind()));
        let pair = |(place, rows): (usize, &u64)| {
            Cell::Struct(vec![name(place / count), name(place % count), Cell::count(*rows)])
        };
        Ok(Cell::List(counts.iter().enumerate().map(pair).collect()))
    }
}

enum Positive {
    Class(usize),
    /// There is one, and no row is of it or predicted to be.
    Missing,
    None,
}

/// What is answered of the counts.
#[derive(Debug, Clone, Copy)]
pub enum Score {
    Accuracy,
    BalancedAccuracy,
    Precision,
    Recall,
    F1,
    Matthews,
    Kappa,
    Matrix,
}

pub struct Labelled {
    pub score: Score,
    pub confusion: Confusion,
}

impl Accumulator for Labelled {
    fn add(&mut self, given: &Given, rows: Rows) -> Result<()> {
        let Given::Predictions(given) = given else { return Err(unlike()) };
        self.confusion.add_rows(given, rows)
    }

    fn merge(&mut self, other: &dyn Accumulator) -> Result<()> {
        let other: &Labelled = other.as_any().downcast_ref().ok_or_else(unlike)?;
        self.confusion.merge_counts(&other.confusion)
    }

    fn answer(&self) -> Result<Cell> {
        let table = self.confusion.table();
        if table.rows == 0 {
            return Ok(Cell::Null);
        }
        Ok(Cell::Double(match self.score {
            Score::Accuracy => table.accuracy(),
            Score::BalancedAccuracy => table.balanced_accuracy(),
            Score::Precision => table.precision()?,
            Score::Recall => table.recall()?,
            Score::F1 => table.f1()?,
            Score::Matthews => table.matthews_corrcoef(),
            Score::Kappa => table.cohen_kappa(),
            Score::Matrix => return table.matrix(),
        }))
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
