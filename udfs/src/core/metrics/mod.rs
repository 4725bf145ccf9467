//! How good predictions are: metrics as aggregates, by the names and the definitions of scikit-learn.
//!
//! Each is one entry of `AGGREGATES`. A host reads the columns of its arguments once (`given::read`), and adds the rows of
//! each group to the accumulator of the group.

use std::any::Any;

mod bins;
mod cell;
mod classes;
mod confusion;
mod evaluation;
pub mod given;
mod multiset;
mod positive;
mod probability;
mod ranking;
mod regression;
mod samples;
pub mod skew;
pub mod subjects;
mod sum;

pub use cell::Cell;
use given::{Given, Reads};

use super::column::Rows;
use super::error::{Error, Result};

/// The rows of one group as far as they were seen.
pub trait Accumulator: Send {
    /// Add these rows of what was read.
    fn add(&mut self, given: &Given, rows: Rows) -> Result<()>;
    /// Add the rows of another accumulator of the same aggregate, which stays as it is.
    fn merge(&mut self, other: &dyn Accumulator) -> Result<()>;
    fn answer(&self) -> Result<Cell>;
    fn as_any(&self) -> &dyn Any;
}

fn unlike() -> Error {
    Error::new("sqlinfer failed inside: rows of another aggregate; please report this")
}

/// An aggregate function of SQL.
pub struct Aggregate {
    pub name: &'static str,
    /// The type of what it answers, as `SqlType::parse` reads it.
    pub answer: &'static str,
    pub reads: Reads,
    pub start: fn() -> Box<dyn Accumulator>,
}

impl Aggregate {
    /// How many arguments it takes at least and at most: the positive class may be named, and features are many.
    pub fn arity(&self) -> std::ops::RangeInclusive<usize> {
        match self.reads {
            Reads::Features => 2..=1 + MOST_FEATURES,
            Reads::Numbers | Reads::Samples | Reads::NumberSamples => 2..=2,
            _ => 2..=3,
        }
    }
}

/// Features by position; a row can be of any width.
const MOST_FEATURES: usize = 64;

macro_rules! aggregates {
    ($($name:literal $reads:ident $answer:expr, $start:expr;)*) => {
        pub static AGGREGATES: &[Aggregate] = &[$(Aggregate {
            name: $name,
            answer: $answer,
            reads: Reads::$reads,
            start: || Box::new($start),
        },)*];
    };
}

fn labelled(score: confusion::Score) -> confusion::Labelled {
    confusion::Labelled { score, confusion: Default::default() }
}

fn ranked(score: ranking::Score) -> ranking::Ranked {
    ranking::Ranked { score, ranking: Default::default() }
}

fn scored(score: probability::Score) -> probability::Scored {
    probability::Scored { score, losses: probability::Losses::of(Some(score)) }
}

fn compared(measure: samples::Measure) -> samples::Compared {
    samples::Compared { measure, numbers: Default::default(), categories: Default::default() }
}

const MATRIX: &str = r#"STRUCT("actual" VARCHAR, "predicted" VARCHAR, "count" BIGINT)[]"#;
const ROC_CURVE: &str = r#"STRUCT("threshold" DOUBLE, "true_positive_rate" DOUBLE, "false_positive_rate" DOUBLE, "true_positives" BIGINT, "false_positives" BIGINT, "true_negatives" BIGINT, "false_negatives" BIGINT)[]"#;
const PRECISION_RECALL_CURVE: &str = r#"STRUCT("threshold" DOUBLE, "precision" DOUBLE, "recall" DOUBLE)[]"#;
const CALIBRATION_CURVE: &str = r#"STRUCT("lower" DOUBLE, "upper" DOUBLE, "mean_predicted" DOUBLE, "fraction_of_positives" DOUBLE, "count" BIGINT)[]"#;
const CLASSIFICATION: &str = r#"STRUCT("row_count" BIGINT, "accuracy_score" DOUBLE, "balanced_accuracy_score" DOUBLE, "precision_score" DOUBLE, "recall_score" DOUBLE, "f1_score" DOUBLE, "matthews_corrcoef" DOUBLE, "cohen_kappa_score" DOUBLE, "log_loss" DOUBLE, "roc_auc_score" DOUBLE, "average_precision_score" DOUBLE, "brier_score_loss" DOUBLE, "calibration_error" DOUBLE)"#;
const REGRESSION: &str = r#"STRUCT("row_count" BIGINT, "mean_absolute_error" DOUBLE, "mean_squared_error" DOUBLE, "root_mean_squared_error" DOUBLE, "mean_squared_log_error" DOUBLE, "mean_absolute_percentage_error" DOUBLE, "median_absolute_error" DOUBLE, "r2_score" DOUBLE, "explained_variance_score" DOUBLE)"#;
const COMPARED: &str = r#"STRUCT("value" DOUBLE, "method" VARCHAR, "threshold" DOUBLE, "is_anomaly" BOOLEAN, "bins" STRUCT("bin" VARCHAR, "reference" DOUBLE, "new" DOUBLE)[])"#;
const SKEWED: &str = r#"STRUCT("feature" VARCHAR, "metric" VARCHAR, "threshold" DOUBLE, "value" DOUBLE, "is_anomaly" BOOLEAN, "null_rate" DOUBLE, "new_categories" VARCHAR[])[]"#;

aggregates! {
    "accuracy_score" Labels "DOUBLE", labelled(confusion::Score::Accuracy);
    "balanced_accuracy_score" Labels "DOUBLE", labelled(confusion::Score::BalancedAccuracy);
    "precision_score" Labels "DOUBLE", labelled(confusion::Score::Precision);
    "recall_score" Labels "DOUBLE", labelled(confusion::Score::Recall);
    "f1_score" Labels "DOUBLE", labelled(confusion::Score::F1);
    "matthews_corrcoef" Labels "DOUBLE", labelled(confusion::Score::Matthews);
    "cohen_kappa_score" Labels "DOUBLE", labelled(confusion::Score::Kappa);
    "confusion_matrix" Labels MATRIX, labelled(confusion::Score::Matrix);
    "roc_auc_score" Scores "DOUBLE", ranked(ranking::Score::RocAuc);
    "average_precision_score" Scores "DOUBLE", ranked(ranking::Score::AveragePrecision);
    "roc_curve" Scores ROC_CURVE, ranked(ranking::Score::RocCurve);
    "precision_recall_curve" Scores PRECISION_RECALL_CURVE, ranked(ranking::Score::PrecisionRecallCurve);
    "log_loss" Probabilities "DOUBLE", scored(probability::Score::LogLoss);
    "brier_score_loss" Probabilities "DOUBLE", scored(probability::Score::Brier);
    "calibration_error" Probabilities "DOUBLE", scored(probability::Score::CalibrationError);
    "calibration_curve" Probabilities CALIBRATION_CURVE, scored(probability::Score::CalibrationCurve);
    "mean_absolute_error" Numbers "DOUBLE", regression::Mean::new(regression::Term::Absolute, false);
    "mean_squared_error" Numbers "DOUBLE", regression::Mean::new(regression::Term::Squared, false);
    "root_mean_squared_error" Numbers "DOUBLE", regression::Mean::new(regression::Term::Squared, true);
    "mean_squared_log_error" Numbers "DOUBLE", regression::Mean::new(regression::Term::SquaredLog, false);
    "mean_absolute_percentage_error" Numbers "DOUBLE", regression::Mean::new(regression::Term::AbsolutePercentage, false);
    "median_absolute_error" Numbers "DOUBLE", regression::Median::default();
    "r2_score" Numbers "DOUBLE", regression::Variance::new(false);
    "explained_variance_score" Numbers "DOUBLE", regression::Variance::new(true);
    "evaluate_classification" Predictions CLASSIFICATION, evaluation::Evaluation::default();
    "evaluate_regression" Numbers REGRESSION, regression::Evaluation::new();
    "population_stability_index" Samples COMPARED, compared(samples::Measure::StabilityIndex);
    "jensen_shannon" Samples COMPARED, compared(samples::Measure::JensenShannon);
    "kolmogorov_smirnov" NumberSamples COMPARED, compared(samples::Measure::KolmogorovSmirnov);
    "wasserstein" NumberSamples COMPARED, compared(samples::Measure::Wasserstein);
    "skew" Features SKEWED, skew::Skewed::default();
}
