//! Metrics of predicted numbers, each defined as scikit-learn does.

use super::cell::Cell;
use super::given::Given;
use super::multiset::Multiset;
use super::sum::{Sum, add_pairs};
use super::{Accumulator, unlike};
use crate::core::column::Rows;
use crate::core::error::{Code, Error, Result};
use crate::core::literals::shown;

/// A mean over rows of what `term` makes of actual and predicted.
pub struct Mean {
    pub term: Term,
    pub is_root: bool,
    rows: u64,
    sum: [Sum; 1],
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Term {
    Absolute,
    Squared,
    SquaredLog,
    AbsolutePercentage,
}

impl Mean {
    pub fn new(term: Term, is_root: bool) -> Mean {
        Mean { term, is_root, rows: 0, sum: Default::default() }
    }
}

/// What an error is divided by where the actual value is zero: scikit-learn's epsilon.
const LEAST: f64 = f64::EPSILON;

#[inline(always)]
fn percentage(actual: f64, predicted: f64) -> f64 {
    let size = actual.abs();
    (predicted - actual).abs() / if size > LEAST { size } else { LEAST }
}

#[inline(always)]
fn squared_log(actual: f64, predicted: f64) -> f64 {
    let error = predicted.ln_1p() - actual.ln_1p();
    error * error
}

#[inline(always)]
fn squared(actual: f64, predicted: f64) -> f64 {
    let error = predicted - actual;
    error * error
}

/// The numbers of a run of rows; those of picked rows are copied.
fn with_rows(given: &Given, rows: Rows, work: impl FnOnce(&[f64], &[f64])) -> Result<()> {
    let Given::Numbers(actual, predicted) = given else { return Err(unlike()) };
    match rows {
        Rows::Range(start, count) => work(&actual[start..start + count], &predicted[start..start + count]),
        Rows::Picked(_) => {
            let picked = |values: &[f64]| -> Vec<f64> { rows.iter().map(|row| values[row]).collect() };
            work(&picked(actual), &picked(predicted));
        }
    }
    Ok(())
}

fn require_finite(actual: &[f64], predicted: &[f64]) -> Result<()> {
    match actual.iter().chain(predicted).find(|value| !value.is_finite()) {
        None => Ok(()),
        Some(value) => Err(Error::of(
            Code::Call,
            format!("a value is {}; leave such rows out, as by FILTER (WHERE isfinite(x))", shown(*value)),
        )),
    }
}

impl Accumulator for Mean {
    fn add(&mut self, given: &Given, rows: Rows) -> Result<()> {
        self.rows += rows.len() as u64;
        let (sum, term) = (&mut self.sum, self.term);
        let mut result = Ok(());
        with_rows(given, rows, |actual, predicted| {
            match term {
                Term::Absolute => add_pairs(
                    actual,
                    predicted,
                    sum,
                    #[inline(always)]
                    |sum, a, p| sum[0].add((p - a).abs()),
                ),
                Term::Squared => add_pairs(
                    actual,
                    predicted,
                    sum,
                    #[inline(always)]
                    |sum, a, p| sum[0].add(squared(a, p)),
                ),
                Term::SquaredLog => add_pairs(
                    actual,
                    predicted,
                    sum,
                    #[inline(always)]
                    |sum, a, p| sum[0].add(squared_log(a, p)),
                ),
                Term::AbsolutePercentage => add_pairs(
                    actual,
                    predicted,
                    sum,
                    #[inline(always)]
                    |sum, a, p| sum[0].add(percentage(a, p)),
                ),
            }
            if !sum[0].value().is_finite() {
                result = require_finite(actual, predicted);
                if let Some(value) = actual.iter().chain(predicted).find(|value| **value <= -1.0)
                    && term == Term::SquaredLog
                    && result.is_ok()
                {
                    result = Err(Error::of(
                        Code::Call,
                        format!("the logarithm of 1 + x needs values above -1, and one is {}", shown(*value)),
                    ));
                }
            }
        })?;
        result
    }

    fn merge(&mut self, other: &dyn Accumulator) -> Result<()> {
        let other: &Mean = other.as_any().downcast_ref().ok_or_else(unlike)?;
        self.rows += other.rows;
        self.sum[0].merge(&other.sum[0]);
        Ok(())
    }

    fn answer(&self) -> Result<Cell> {
        if self.rows == 0 {
            return Ok(Cell::Null);
        }
        let mean = self.sum[0].value() / self.rows as f64;
        Ok(Cell::Double(if self.is_root { mean.sqrt() } else { mean }))
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// What is explained of the variance: of the errors and of the actual values.
#[derive(Default)]
pub struct Variance {
    pub is_centered: bool,
    rows: u64,
    sums: [Sum; 4],
}

const ERRORS: usize = 0;
const SQUARED_ERRORS: usize = 1;
const ACTUAL: usize = 2;
const SQUARED_ACTUAL: usize = 3;

impl Variance {
    /// `is_centered`: the mean of the errors is taken from them, as by explained_variance_score().
    pub fn new(is_centered: bool) -> Variance {
        Variance { is_centered, ..Variance::default() }
    }

    fn r2(&self) -> f64 {
        if self.rows < 2 {
            return f64::NAN;
        }
        let count = self.rows as f64;
        let variance = self.sums[SQUARED_ACTUAL].less(self.sums[ACTUAL].square_over(count));
        score(self.sums[SQUARED_ERRORS].value(), variance)
    }

    fn explained(&self) -> f64 {
        let count = self.rows as f64;
        let spread = |of: usize, squares: usize| self.sums[squares].less(self.sums[of].square_over(count));
        score(spread(ERRORS, SQUARED_ERRORS), spread(ACTUAL, SQUARED_ACTUAL))
    }

    fn add_rows(&mut self, actual: &[f64], predicted: &[f64]) -> Result<()> {
        self.rows += actual.len() as u64;
        add_pairs(
            actual,
            predicted,
            &mut self.sums,
            #[inline(always)]
            |sums, a, p| {
                let error = a - p;
                sums[ERRORS].add(error);
                sums[SQUARED_ERRORS].add_square(error);
                sums[ACTUAL].add(a);
                sums[SQUARED_ACTUAL].add_square(a);
            },
        );
        match self.sums.iter().all(|sum| sum.value().is_finite()) {
            true => Ok(()),
            false => require_finite(actual, predicted),
        }
    }
}

/// As scikit-learn: without variance, 1 where there are no errors, else 0.
fn score(unexplained: f64, variance: f64) -> f64 {
    match (unexplained > 0.0, variance > 0.0) {
        (_, true) => 1.0 - unexplained / variance,
        (false, false) => 1.0,
        (true, false) => 0.0,
    }
}

impl Accumulator for Variance {
    fn add(&mut self, given: &Given, rows: Rows) -> Result<()> {
        let mut result = Ok(());
        with_rows(given, rows, |actual, predicted| result = self.add_rows(actual, predicted))?;
        result
    }

    fn merge(&mut self, other: &dyn Accumulator) -> Result<()> {
        let other: &Variance = other.as_any().downcast_ref().ok_or_else(unlike)?;
        self.rows += other.rows;
        self.sums.iter_mut().zip(&other.sums).for_each(|(sum, part)| sum.merge(part));
        Ok(())
    }

    fn answer(&self) -> Result<Cell> {
        Ok(match (self.rows, self.is_centered) {
            (0, _) => Cell::Null,
            (_, true) => Cell::Double(self.explained()),
            (_, false) => Cell::Double(self.r2()),
        })
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// The median of the absolute errors.
#[derive(Default)]
pub struct Median {
    errors: Multiset,
}

impl Median {
    fn add_rows(&mut self, actual: &[f64], predicted: &[f64]) -> Result<()> {
        for (actual, predicted) in actual.iter().zip(predicted) {
            let error = (predicted - actual).abs();
            if !error.is_finite() {
                require_finite(&[*actual], &[*predicted])?;
            }
            self.errors.add(error);
        }
        Ok(())
    }
}

impl Accumulator for Median {
    fn add(&mut self, given: &Given, rows: Rows) -> Result<()> {
        let mut result = Ok(());
        with_rows(given, rows, |actual, predicted| result = self.add_rows(actual, predicted))?;
        result
    }

    fn merge(&mut self, other: &dyn Accumulator) -> Result<()> {
        let other: &Median = other.as_any().downcast_ref().ok_or_else(unlike)?;
        self.errors.merge(&other.errors);
        Ok(())
    }

    fn answer(&self) -> Result<Cell> {
        Ok(Cell::optional(self.errors.median()))
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// evaluate_regression(): all of them.
pub struct Evaluation {
    means: [Mean; 4],
    variance: Variance,
    median: Median,
}

impl Evaluation {
    pub fn new() -> Evaluation {
        let terms = [Term::Absolute, Term::Squared, Term::SquaredLog, Term::AbsolutePercentage];
        Evaluation {
            means: terms.map(|term| Mean::new(term, false)),
            variance: Variance::default(),
            median: Median::default(),
        }
    }
}

impl Accumulator for Evaluation {
    fn add(&mut self, given: &Given, rows: Rows) -> Result<()> {
        self.variance.add(given, rows)?;
        self.median.add(given, rows)?;
        for mean in &mut self.means {
            // what has no logarithm has no squared_log_error: it is NULL
            let added = mean.add(given, rows);
            if mean.term != Term::SquaredLog {
                added?;
            }
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Accumulator) -> Result<()> {
        let other: &Evaluation = other.as_any().downcast_ref().ok_or_else(unlike)?;
        for (mean, part) in self.means.iter_mut().zip(&other.means) {
            mean.merge(part)?;
        }
        self.variance.merge(&other.variance)?;
        self.median.merge(&other.median)
    }

    fn answer(&self) -> Result<Cell> {
        let rows = self.variance.rows;
        if rows == 0 {
            return Ok(Cell::Null);
        }
        let [absolute, squared, squared_log, percentage] =
            [0, 1, 2, 3].map(|i: usize| self.means[i].sum[0].value() / rows as f64);
        Ok(Cell::Struct(vec![
            Cell::count(rows),
            Cell::Double(absolute),
            Cell::Double(squared),
            Cell::Double(squared.sqrt()),
            Cell::optional(squared_log.is_finite().then_some(squared_log)),
            Cell::Double(percentage),
            Cell::optional(self.median.errors.median()),
            Cell::Double(self.variance.r2()),
            Cell::Double(self.variance.explained()),
        ]))
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
