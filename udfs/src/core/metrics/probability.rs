//! Metrics of probabilities themselves: whether they are near the truth, and whether they are as often right as they say.

use super::cell::Cell;
use super::given::{Binary, Given, Scores, Several};
use super::positive::Met;
use super::sum::Sum;
use super::{Accumulator, unlike};
use crate::core::column::Rows;
use crate::core::error::Result;

/// Bins of equal width between 0 and 1.
pub const BINS: usize = 10;

#[derive(Debug, Clone)]
struct Bin {
    rows: u64,
    positives: u64,
    probabilities: Sum,
}

/// log_loss(), brier_score_loss() and the calibration of one set of rows.
pub struct Losses {
    /// The one that is asked for; None for all.
    only: Option<Score>,
    met: Met,
    rows: u64,
    log_loss: Sum,
    brier: Sum,
    bins: Vec<Bin>,
}

impl Default for Losses {
    fn default() -> Losses {
        Losses::of(None)
    }
}

impl Losses {
    pub fn of(only: Option<Score>) -> Losses {
        let empty = Bin { rows: 0, positives: 0, probabilities: Sum::default() };
        Losses {
            only,
            met: Met::default(),
            rows: 0,
            log_loss: Sum::default(),
            brier: Sum::default(),
            bins: vec![empty; BINS],
        }
    }
}

/// The lower end of a bin, as numpy's linspace(0, 1) has it.
fn edge(bin: usize) -> f64 {
    if bin == BINS { 1.0 } else { bin as f64 * (1.0 / BINS as f64) }
}

impl Losses {
    /// Whether one of these is asked for.
    #[inline(always)]
    fn wants(&self, scores: &[Score]) -> bool {
        self.only.is_none_or(|only| scores.contains(&only))
    }

    pub fn add_rows(&mut self, given: &Scores, rows: Rows) -> Result<()> {
        self.rows += rows.len() as u64;
        match given {
            Scores::Binary(given) => {
                self.met.see(given, rows)?;
                rows.iter().for_each(|row| self.add_binary(given, row));
            }
            Scores::Several(given) => rows.iter().for_each(|row| self.add_several(given, row)),
        }
        Ok(())
    }

    fn add_binary(&mut self, given: &Binary, row: usize) {
        let (probability, is_positive) = (given.scores[row], given.is_positive[row]);
        if self.wants(&[Score::LogLoss]) {
            let right = if is_positive { probability } else { 1.0 - probability };
            self.log_loss.add(-right.clamp(given.margin, 1.0 - given.margin).ln());
        }
        if self.wants(&[Score::Brier]) {
            let error = if is_positive { 1.0 - probability } else { probability };
            self.brier.add(error * error);
        }
        if self.wants(&[Score::CalibrationError, Score::CalibrationCurve]) {
            self.count(probability, is_positive);
        }
    }

    fn add_several(&mut self, given: &Several, row: usize) {
        let width = given.classes.len();
        let probabilities = &given.scores[row * width..(row + 1) * width];
        let actual = given.actual[row] as usize;
        self.log_loss.add(-probabilities[actual].clamp(given.margin, 1.0 - given.margin).ln());
        let mut likeliest = 0;
        for (class, probability) in probabilities.iter().enumerate() {
            let error = probability - if class == actual { 1.0 } else { 0.0 };
            self.brier.add(error * error);
            if *probability > probabilities[likeliest] {
                likeliest = class;
            }
        }
        self.count(probabilities[likeliest], likeliest == actual);
    }

    /// A value on an edge is of the bin below.
    fn count(&mut self, probability: f64, is_right: bool) {
        let mut bin = ((probability * BINS as f64) as usize).min(BINS - 1);
        while bin > 0 && probability <= edge(bin) {
            bin -= 1;
        }
        while bin + 1 < BINS && probability > edge(bin + 1) {
            bin += 1;
        }
        let bin = &mut self.bins[bin];
        bin.rows += 1;
        bin.positives += u64::from(is_right);
        bin.probabilities.add(probability);
    }

    pub fn merge_losses(&mut self, other: &Losses) -> Result<()> {
        self.met.merge(&other.met)?;
        self.rows += other.rows;
        self.log_loss.merge(&other.log_loss);
        self.brier.merge(&other.brier);
        for (bin, part) in self.bins.iter_mut().zip(&other.bins) {
            bin.rows += part.rows;
            bin.positives += part.positives;
            bin.probabilities.merge(&part.probabilities);
        }
        Ok(())
    }

    fn calibration_error(&self) -> f64 {
        let off = |bin: &Bin| (bin.probabilities.value() - bin.positives as f64).abs();
        self.bins.iter().map(off).sum::<f64>() / self.rows as f64
    }

    /// The bins that are not empty.
    fn calibration_curve(&self) -> Cell {
        let point = |(i, bin): (usize, &Bin)| {
            let rows = bin.rows as f64;
            Cell::Struct(vec![
                Cell::Double(edge(i)),
                Cell::Double(edge(i + 1)),
                Cell::Double(bin.probabilities.value() / rows),
                Cell::Double(bin.positives as f64 / rows),
                Cell::count(bin.rows),
            ])
        };
        Cell::List(self.bins.iter().enumerate().filter(|(_, bin)| bin.rows > 0).map(point).collect())
    }

    pub fn score(&self, score: Score) -> Result<Cell> {
        self.met.require()?;
        let rows = self.rows as f64;
        Ok(match score {
            _ if self.rows == 0 => Cell::Null,
            Score::LogLoss => Cell::Double(self.log_loss.value() / rows),
            Score::Brier => Cell::Double(self.brier.value() / rows),
            Score::CalibrationError => Cell::Double(self.calibration_error()),
            Score::CalibrationCurve => self.calibration_curve(),
        })
    }
}

/// What is answered of the probabilities.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Score {
    LogLoss,
    Brier,
    CalibrationError,
    CalibrationCurve,
}

pub struct Scored {
    pub score: Score,
    pub losses: Losses,
}

impl Accumulator for Scored {
    fn add(&mut self, given: &Given, rows: Rows) -> Result<()> {
        let Given::Scores(given) = given else { return Err(unlike()) };
        self.losses.add_rows(given, rows)
    }

    fn merge(&mut self, other: &dyn Accumulator) -> Result<()> {
        let other: &Scored = other.as_any().downcast_ref().ok_or_else(unlike)?;
        self.losses.merge_losses(&other.losses)
    }

    fn answer(&self) -> Result<Cell> {
        self.losses.score(self.score)
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
