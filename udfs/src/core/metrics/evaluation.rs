//! evaluate_classification(): all metrics of a classifier.

use super::cell::Cell;
use super::confusion::Confusion;
use super::given::Given;
use super::probability::{self, Losses};
use super::ranking::{self, Ranking};
use super::{Accumulator, unlike};
use crate::core::column::Rows;
use crate::core::error::Result;

/// What needs probabilities is NULL where there are labels alone.
#[derive(Default)]
pub struct Evaluation {
    confusion: Confusion,
    ranking: Ranking,
    losses: Losses,
}

impl Accumulator for Evaluation {
    fn add(&mut self, given: &Given, rows: Rows) -> Result<()> {
        let Given::Predictions(given) = given else { return Err(unlike()) };
        self.confusion.add_rows(given, rows)?;
        if let Some(scores) = &given.scores {
            self.ranking.add_rows(scores, rows)?;
            self.losses.add_rows(scores, rows)?;
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Accumulator) -> Result<()> {
        let other: &Evaluation = other.as_any().downcast_ref().ok_or_else(unlike)?;
        self.confusion.merge_counts(&other.confusion)?;
        self.ranking.merge_ranks(&other.ranking)?;
        self.losses.merge_losses(&other.losses)
    }

    fn answer(&self) -> Result<Cell> {
        let table = self.confusion.table();
        if table.rows == 0 {
            return Ok(Cell::Null);
        }
        Ok(Cell::Struct(vec![
            Cell::count(table.rows),
            Cell::Double(table.accuracy()),
            Cell::Double(table.balanced_accuracy()),
            Cell::Double(table.precision()?),
            Cell::Double(table.recall()?),
            Cell::Double(table.f1()?),
            Cell::Double(table.matthews_corrcoef()),
            Cell::Double(table.cohen_kappa()),
            self.losses.score(probability::Score::LogLoss)?,
            self.ranking.score(ranking::Score::RocAuc)?,
            self.ranking.score(ranking::Score::AveragePrecision)?,
            self.losses.score(probability::Score::Brier)?,
            self.losses.score(probability::Score::CalibrationError)?,
        ]))
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
