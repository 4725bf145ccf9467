//! Metrics of how rows are ranked: each score, and how many rows of the positive class and of others have it.

use std::sync::Arc;

use super::cell::Cell;
use super::classes::Label;
use super::given::{Given, Scores};
use super::multiset::{Multiset, descending, twice_above};
use super::positive::Met;
use super::sum::Sum;
use super::{Accumulator, unlike};
use crate::core::column::Rows;
use crate::core::error::{Code, Error, Result};

/// What rows of one class and of all others scored for it.
#[derive(Debug, Clone, Default)]
pub struct Ranks {
    positives: Multiset,
    negatives: Multiset,
}

/// A threshold, and how many rows at or above it are of the class and are not.
struct Step {
    threshold: f64,
    true_positives: u64,
    false_positives: u64,
}

impl Ranks {
    #[inline]
    fn add(&mut self, score: f64, is_positive: bool) {
        if is_positive { self.positives.add(score) } else { self.negatives.add(score) }
    }

    fn merge(&mut self, other: &Ranks) {
        self.positives.merge(&other.positives);
        self.negatives.merge(&other.negatives);
    }

    /// The chance that a row of the class scores higher than another row, which ties count half for; NaN where all rows
    /// are of one kind.
    fn roc_auc(&self) -> f64 {
        let (positives, negatives) = (self.positives.sorted(), self.negatives.sorted());
        let pairs = u128::from(positives.total()) * u128::from(negatives.total());
        twice_above(&positives, &negatives) as f64 / 2.0 / pairs as f64
    }

    fn average_precision(&self) -> f64 {
        let positives = self.positives.sorted();
        let (total, mut rows, mut found) = (positives.total(), 0u64, 0u64);
        let mut sum = Sum::default();
        descending(&positives, &self.negatives.sorted(), |_, in_class, others| {
            rows += in_class + others;
            found += in_class;
            if in_class > 0 {
                sum.add(in_class as f64 / total as f64 * (found as f64 / rows as f64));
            }
        });
        sum.value()
    }

    fn steps(&self) -> Vec<Step> {
        let (mut true_positives, mut false_positives) = (0, 0);
        let mut steps = Vec::new();
        descending(&self.positives.sorted(), &self.negatives.sorted(), |threshold, in_class, others| {
            true_positives += in_class;
            false_positives += others;
            steps.push(Step { threshold, true_positives, false_positives });
        });
        steps
    }

    /// From the highest threshold on; those between which the curve is straight are left out.
    fn roc_curve(&self) -> Cell {
        let mut steps = self.steps();
        let (positives, negatives) = (self.positives.len(), self.negatives.len());
        let corner = |i: usize| {
            let ends = i == 0 || i + 1 == steps.len();
            ends || {
                let (before, here, after) = (&steps[i - 1], &steps[i], &steps[i + 1]);
                let bends = |of: fn(&Step) -> u64| of(after) - of(here) != of(here) - of(before);
                bends(|step| step.true_positives) || bends(|step| step.false_positives)
            }
        };
        let kept: Vec<bool> = (0..steps.len()).map(corner).collect();
        let mut kept = kept.into_iter();
        steps.retain(|_| kept.next().unwrap_or(true));
        let start = Step { threshold: f64::INFINITY, true_positives: 0, false_positives: 0 };
        steps.insert(0, start);
        let point = |step: Step| {
            let rate = |part: u64, whole: u64| Cell::Double(part as f64 / whole as f64);
            Cell::Struct(vec![
                Cell::Double(step.threshold),
                rate(step.true_positives, positives),
                rate(step.false_positives, negatives),
                Cell::count(step.true_positives),
                Cell::count(step.false_positives),
                Cell::count(negatives - step.false_positives),
                Cell::count(positives - step.true_positives),
            ])
        };
        Cell::List(steps.into_iter().map(point).collect())
    }

    /// From the lowest threshold on; above all scores, the precision is 1 and the recall 0.
    fn precision_recall_curve(&self) -> Cell {
        let positives = self.positives.len();
        let point = |threshold: f64, precision: f64, recall: f64| {
            Cell::Struct(vec![Cell::Double(threshold), Cell::Double(precision), Cell::Double(recall)])
        };
        let of = |step: Step| {
            let found = step.true_positives as f64;
            let recall = if positives == 0 { 1.0 } else { found / positives as f64 };
            point(step.threshold, found / (step.true_positives + step.false_positives) as f64, recall)
        };
        let mut points: Vec<Cell> = self.steps().into_iter().rev().map(of).collect();
        points.push(point(f64::INFINITY, 1.0, 0.0));
        Cell::List(points)
    }
}

/// What is answered of the ranks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Score {
    RocAuc,
    AveragePrecision,
    RocCurve,
    PrecisionRecallCurve,
}

#[derive(Default)]
pub enum Ranking {
    #[default]
    Empty,
    Binary(Box<(Ranks, Met)>),
    /// Each class against the others.
    Several(Arc<Vec<Label>>, Vec<Ranks>),
}

pub fn other_classes() -> Error {
    Error::of(Code::Call, "the MAPs are not of the same classes in all rows; compare models of the same classes")
}

impl Ranking {
    pub fn add_rows(&mut self, given: &Scores, rows: Rows) -> Result<()> {
        if matches!(self, Ranking::Empty) {
            *self = match given {
                Scores::Binary(_) => Ranking::Binary(Box::default()),
                Scores::Several(given) => {
                    Ranking::Several(given.classes.clone(), vec![Ranks::default(); given.classes.len()])
                }
            };
        }
        match (self, given) {
            (Ranking::Binary(seen), Scores::Binary(given)) => {
                let (ranks, met) = &mut **seen;
                met.see(given, rows)?;
                rows.iter().for_each(|row| ranks.add(given.scores[row], given.is_positive[row]));
            }
            (Ranking::Several(classes, ranks), Scores::Several(given)) if *classes == given.classes => {
                for row in rows.iter() {
                    let scores = &given.scores[row * classes.len()..];
                    for ((class, ranks), score) in (0..).zip(ranks.iter_mut()).zip(scores) {
                        ranks.add(*score, given.actual[row] == class);
                    }
                }
            }
            _ => return Err(other_classes()),
        }
        Ok(())
    }

    pub fn merge_ranks(&mut self, other: &Ranking) -> Result<()> {
        match (&mut *self, other) {
            (_, Ranking::Empty) => {}
            (Ranking::Empty, Ranking::Binary(ranks)) => *self = Ranking::Binary(ranks.clone()),
            (Ranking::Empty, Ranking::Several(classes, ranks)) => {
                *self = Ranking::Several(classes.clone(), ranks.clone());
            }
            (Ranking::Binary(seen), Ranking::Binary(others)) => {
                seen.0.merge(&others.0);
                seen.1.merge(&others.1)?;
            }
            (Ranking::Several(classes, ranks), Ranking::Several(others, parts)) if classes == others => {
                ranks.iter_mut().zip(parts).for_each(|(ranks, part)| ranks.merge(part));
            }
            _ => return Err(other_classes()),
        }
        Ok(())
    }

    /// The mean over the classes where there are several.
    fn mean(&self, of: impl Fn(&Ranks) -> f64) -> Cell {
        match self {
            Ranking::Empty => Cell::Null,
            Ranking::Binary(seen) => Cell::Double(of(&seen.0)),
            Ranking::Several(_, ranks) => Cell::Double(ranks.iter().map(of).sum::<f64>() / ranks.len() as f64),
        }
    }

    pub fn score(&self, score: Score) -> Result<Cell> {
        if let Ranking::Binary(seen) = self {
            seen.1.require()?;
        }
        Ok(match (score, self) {
            (Score::RocAuc, _) => self.mean(Ranks::roc_auc),
            (Score::AveragePrecision, _) => self.mean(Ranks::average_precision),
            (_, Ranking::Empty) => Cell::Null,
            (Score::RocCurve, Ranking::Binary(seen)) => seen.0.roc_curve(),
            (Score::PrecisionRecallCurve, Ranking::Binary(seen)) => seen.0.precision_recall_curve(),
            (_, Ranking::Several(classes, _)) => {
                let example = classes.first().map_or_else(String::new, |class| class.key().to_string());
                return Err(Error::of(
                    Code::Call,
                    format!("the curve is that of one class: name it as a third argument, such as {example}"),
                ));
            }
        })
    }
}

pub struct Ranked {
    pub score: Score,
    pub ranking: Ranking,
}

impl Accumulator for Ranked {
    fn add(&mut self, given: &Given, rows: Rows) -> Result<()> {
        let Given::Scores(given) = given else { return Err(unlike()) };
        self.ranking.add_rows(given, rows)
    }

    fn merge(&mut self, other: &dyn Accumulator) -> Result<()> {
        let other: &Ranked = other.as_any().downcast_ref().ok_or_else(unlike)?;
        self.ranking.merge_ranks(&other.ranking)
    }

    fn answer(&self) -> Result<Cell> {
        self.ranking.score(self.score)
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
