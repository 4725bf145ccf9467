//! What an aggregate is given: columns of the host → numbers, labels and probabilities.

use std::borrow::Cow;
use std::sync::Arc;

use super::classes::{Kind, Label, Labels, TOLD_APART, doubles, not_constant, require_alike, require_same};
use super::subjects::Features;
use crate::core::column::{Column, Data, Rows};
use crate::core::error::{Code, Error, Result};
use crate::core::literals::shown;
use crate::core::sqltype::{ArgType, Number};

/// An argument as the host gives it, of the first `count` rows.
pub struct Argument<'a> {
    pub given: &'a ArgType,
    pub column: &'a Column<'a>,
    pub count: usize,
}

/// What of the arguments an aggregate reads, and what it asks of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reads {
    /// Two numbers: actual and predicted.
    Numbers,
    /// Two labels, and the positive class where it is named.
    Labels,
    /// A label, and what the positive class scored, or a MAP of what each class scored.
    Scores,
    /// As `Scores`; each score is a probability.
    Probabilities,
    /// A label, and a label or a MAP of probabilities.
    Predictions,
    /// A number or a category, and whether it is new.
    Samples,
    /// A number, and whether it is new.
    NumberSamples,
    /// A model, and rows of its features: `skew::read`.
    Features,
}

/// Rows that are NULL in an argument hold anything.
pub enum Given<'a> {
    Numbers(Cow<'a, [f64]>, Cow<'a, [f64]>),
    Predictions(Predictions<'a>),
    Scores(Scores<'a>),
    Samples(Values<'a>, Vec<bool>),
    Features(Features<'a>),
}

pub enum Values<'a> {
    Numbers(Cow<'a, [f64]>),
    Categories(Labels<'a>),
}

pub struct Predictions<'a> {
    pub actual: Labels<'a>,
    pub predicted: Labels<'a>,
    pub positive: Option<Label>,
    pub scores: Option<Scores<'a>>,
}

pub enum Scores<'a> {
    Binary(Binary<'a>),
    Several(Several),
}

/// What the positive class scored in each row. `margin`: what a probability is kept away from 0 and 1 by, for logarithms.
pub struct Binary<'a> {
    /// What the rows were labelled with, where anything could be in it but TRUE and FALSE.
    pub labels: Option<Labels<'a>>,
    /// The positive class, where it was named.
    pub positive: Option<Label>,
    pub is_positive: Vec<bool>,
    pub scores: Cow<'a, [f64]>,
    pub margin: f64,
}

/// What each class scored in each row, [rows, classes]; the classes ascend.
pub struct Several {
    pub classes: Arc<Vec<Label>>,
    pub actual: Vec<u32>,
    pub scores: Vec<f64>,
    pub margin: f64,
}

fn wrong(text: impl Into<String>) -> Error {
    Error::of(Code::Call, text)
}

/// Read the rows that hold a value in each argument. `arguments`: two, and perhaps the positive class.
pub fn read<'a>(reads: Reads, arguments: &[Argument<'a>], rows: Rows) -> Result<Given<'a>> {
    let [actual, predicted, options @ ..] = arguments else { return Err(Error::new("two arguments are needed")) };
    if reads == Reads::Numbers {
        return Ok(Given::Numbers(actual.doubles(rows)?, predicted.doubles(rows)?));
    }
    if matches!(reads, Reads::Samples | Reads::NumberSamples) {
        let values =
            if reads == Reads::Samples { actual.values(rows) } else { actual.told_apart(rows).map(Values::Numbers) };
        return Ok(Given::Samples(values?, predicted.flags(rows)?));
    }
    let positive = options.first().map(|option| option.constant(rows)).transpose()?.flatten();
    let labels = |argument: &Argument<'a>| Labels::read(argument.given, argument.column, argument.count, rows);
    let actual = labels(actual)?;
    match (reads, predicted.classes(rows)) {
        (Reads::Labels, None) => {
            let predicted = labels(predicted)?;
            Ok(Given::Predictions(Predictions { actual, predicted, positive, scores: None }))
        }
        (Reads::Labels, Some(_)) => {
            Err(wrong("a predicted label is needed, and this is a MAP of probabilities; write predict('model', …)"))
        }
        (Reads::Predictions, None) => {
            let predicted = labels(predicted).map_err(|error| match predicted.given {
                ArgType::Number(Number::Float | Number::Double) => {
                    wrong(format!("{error}; a probability is judged as the MAP that predict_proba() answers"))
                }
                _ => error,
            })?;
            Ok(Given::Predictions(Predictions { actual, predicted, positive, scores: None }))
        }
        (Reads::Predictions, Some(map)) => {
            let table = map.table(predicted.count, rows)?;
            require_probabilities(&table.scores, table.classes.len(), rows)?;
            let predicted = table.likeliest(rows);
            let scores = table.scores_of(&actual, positive.as_ref(), rows, predicted.kind)?;
            Ok(Given::Predictions(Predictions { actual, predicted, positive, scores: Some(scores) }))
        }
        (_, Some(map)) => {
            let table = map.table(predicted.count, rows)?;
            if reads == Reads::Probabilities {
                require_probabilities(&table.scores, table.classes.len(), rows)?;
            }
            let kind = table.kind;
            table.scores_of(&actual, positive.as_ref(), rows, kind).map(Given::Scores)
        }
        (_, None) => {
            let scores = predicted.told_apart(rows)?;
            if reads == Reads::Probabilities {
                require_within(&scores, 1, rows)?;
            }
            if let Some(row) = rows.iter().find(|row| scores[*row].is_nan()) {
                return Err(wrong(format!("a score is {}", shown(scores[row]))));
            }
            let is_positive = positives(&actual, positive.as_ref(), predicted.count, rows)?;
            let labels = (actual.kind != Kind::Boolean).then_some(actual);
            let margin = margin(predicted.given);
            Ok(Given::Scores(Scores::Binary(Binary { labels, positive, is_positive, scores, margin })))
        }
    }
}

impl<'a> Argument<'a> {
    pub fn doubles(&self, rows: Rows) -> Result<Cow<'a, [f64]>> {
        match (self.given, &self.column.data) {
            (ArgType::Number(Number::Double), Data::F64(values)) => Ok(Cow::Borrowed(values)),
            (ArgType::Number(number), _) => Ok(Cow::Owned(doubles(*number, self.column, self.count, rows)?)),
            (ArgType::Null, _) => Ok(Cow::Owned(vec![0.0; self.count])),
            _ => Err(wrong(format!("numbers are needed, and this is {}; write a cast, such as x::DOUBLE", self.given))),
        }
    }

    /// Numbers whose order counts: integers that are not alike must not become so.
    fn told_apart(&self, rows: Rows) -> Result<Cow<'a, [f64]>> {
        let values = self.doubles(rows)?;
        if let ArgType::Number(Number::Integer(name)) = self.given
            && let Some(row) = rows.iter().find(|row| values[*row].abs() >= TOLD_APART)
        {
            return Err(wrong(format!(
                "{} is a {name} beyond 2^53, where DOUBLE does not tell integers apart; take a number from it, such as x - min(x), or cast it to DOUBLE",
                values[row]
            )));
        }
        Ok(values)
    }

    /// Numbers, or categories.
    fn values(&self, rows: Rows) -> Result<Values<'a>> {
        match self.given {
            ArgType::Text | ArgType::Enum(_) | ArgType::Number(Number::Boolean) => {
                Labels::read(self.given, self.column, self.count, rows).map(Values::Categories)
            }
            ArgType::Number(_) | ArgType::Null => self.told_apart(rows).map(Values::Numbers),
            other => {
                Err(wrong(format!("numbers or categories (VARCHAR, ENUM, BOOLEAN) are compared, and not {other}")))
            }
        }
    }

    /// TRUE and FALSE, or 1 and 0.
    fn flags(&self, rows: Rows) -> Result<Vec<bool>> {
        let said = |given: &dyn std::fmt::Display| {
            wrong(format!(
                "whether a row is new is TRUE or FALSE, and this is {given}; write a condition, such as day >= '2026-01-01'"
            ))
        };
        match self.given {
            ArgType::Null => return Ok(vec![false; self.count]),
            ArgType::Number(_) => {}
            other => return Err(said(other)),
        }
        let numbers = self.doubles(rows)?;
        match rows.iter().find(|row| numbers[*row] != 0.0 && numbers[*row] != 1.0) {
            Some(row) => Err(said(&shown(numbers[row]))),
            None => Ok(numbers.iter().map(|number| *number == 1.0).collect()),
        }
    }

    /// The one value of an option; None where there are no rows.
    fn constant(&self, rows: Rows) -> Result<Option<Label>> {
        let Some(first) = rows.iter().next() else { return Ok(None) };
        if !self.column.is_valid(first) {
            return Err(wrong("the positive class is NULL"));
        }
        let labels = Labels::read(self.given, self.column, self.count, rows)?;
        let key = labels.get(first);
        if rows.iter().any(|row| !self.column.is_valid(row) || labels.get(row) != key) {
            return Err(not_constant());
        }
        Ok(Some(key.label()))
    }

    fn classes(&self, rows: Rows) -> Option<Map<'a>> {
        let (ArgType::List(pair), Data::List(entries, pairs)) = (self.given, &self.column.data) else { return None };
        let (ArgType::Struct(fields), Data::Struct(columns)) = (&**pair, &pairs.data) else { return None };
        let ([(_, key), (_, value)], [keys, values]) = (&fields[..], &columns[..]) else { return None };
        let end = |row: usize| (entries[row].offset + entries[row].length) as usize;
        let most = rows.iter().map(end).max().unwrap_or(0);
        Some(Map {
            entries,
            keys: Argument { given: key, column: keys, count: most },
            values: Argument { given: value, column: values, count: most },
        })
    }
}

/// What a probability is kept away from 0 and 1 by: the epsilon of its type, as scikit-learn's log_loss() does it.
fn margin(given: &ArgType) -> f64 {
    match given {
        ArgType::Number(Number::Float) => f64::from(f32::EPSILON),
        _ => f64::EPSILON,
    }
}

/// Which rows are of the positive class: it is named, or TRUE, or 1.
fn positives(actual: &Labels, positive: Option<&Label>, count: usize, rows: Rows) -> Result<Vec<bool>> {
    let mut is_positive = vec![false; count];
    match (positive, actual.integers()) {
        (Some(positive), _) => {
            require_alike(actual.kind, positive)?;
            let key = positive.key();
            rows.iter().for_each(|row| is_positive[row] = actual.get(row) == key);
        }
        (None, Some(values)) => {
            for row in rows.iter() {
                let value = values[row];
                if !(-1..=1).contains(&value) {
                    return Err(wrong(format!(
                        "the label {value} is neither 0 nor 1: name the positive class as a third argument, such as {value}"
                    )));
                }
                is_positive[row] = value == 1;
            }
        }
        (None, None) => {
            if let Some(row) = rows.iter().next() {
                let example = actual.get(row);
                return Err(wrong(format!(
                    "labels are texts: name the positive class as a third argument, such as {example}"
                )));
            }
        }
    }
    Ok(is_positive)
}

fn require_within(values: &[f64], width: usize, rows: Rows) -> Result<()> {
    for row in rows.iter() {
        for value in &values[row * width..(row + 1) * width] {
            if !(0.0..=1.0).contains(value) {
                return Err(wrong(format!("{} is no probability: it does not lie between 0 and 1", shown(*value))));
            }
        }
    }
    Ok(())
}

fn require_probabilities(values: &[f64], width: usize, rows: Rows) -> Result<()> {
    /// What FLOATs may be off by.
    const MARGIN: f64 = 1e-4;
    require_within(values, width, rows)?;
    for row in rows.iter() {
        let sum: f64 = values[row * width..(row + 1) * width].iter().sum();
        if (sum - 1.0).abs() > MARGIN {
            return Err(wrong(format!("the probabilities of the classes add up to {}, and not to 1", shown(sum))));
        }
    }
    Ok(())
}

struct Map<'a> {
    entries: &'a [crate::core::column::Entry],
    keys: Argument<'a>,
    values: Argument<'a>,
}

/// What each class scored in each row.
struct Table {
    classes: Vec<Label>,
    kind: Kind,
    /// [rows, classes]
    scores: Vec<f64>,
    margin: f64,
}

impl Map<'_> {
    fn table(&self, count: usize, rows: Rows) -> Result<Table> {
        let (margin, kind) = (margin(self.values.given), Kind::Integer);
        let Some(first) = rows.iter().next() else {
            return Ok(Table { classes: Vec::new(), kind, scores: Vec::new(), margin });
        };
        let picked = self.picked(rows)?;
        let (keys, values) = (
            Labels::read(self.keys.given, self.keys.column, self.keys.count, Rows::Picked(&picked))?,
            self.values.doubles(Rows::Picked(&picked))?,
        );
        let places = |row: usize| {
            let entry = self.entries[row];
            entry.offset as usize..(entry.offset + entry.length) as usize
        };
        let mut classes: Vec<Label> = places(first).map(|place| keys.get(place).label()).collect();
        classes.sort();
        let width = classes.len();
        let mut scores = vec![f64::NAN; count * width];
        for row in rows.iter() {
            let out = &mut scores[row * width..(row + 1) * width];
            // most often in the order of the classes
            for (guess, place) in places(row).enumerate() {
                let key = keys.get(place);
                let is_guess = classes.get(guess).is_some_and(|class| class.key() == key);
                let found = if is_guess { Some(guess) } else { classes.iter().position(|class| class.key() == key) };
                let Some(class) = found else {
                    return Err(wrong(format!(
                        "the MAPs are not of the same classes: {key} is in one row and not in another"
                    )));
                };
                out[class] = values[place];
            }
            if places(row).len() != width || out.iter().any(|score| score.is_nan()) {
                return Err(wrong("a MAP does not have a number for each class that another row has"));
            }
        }
        Ok(Table { classes, kind: keys.kind, scores, margin })
    }

    /// The entries of the rows, which all hold a value.
    fn picked(&self, rows: Rows) -> Result<Vec<u32>> {
        let mut picked = Vec::new();
        for row in rows.iter() {
            let entry = self.entries[row];
            picked.extend((entry.offset..entry.offset + entry.length).map(|place| place as u32));
        }
        match picked.iter().any(|place| !self.values.column.is_valid(*place as usize)) {
            true => Err(wrong("a MAP holds NULL for a class")),
            false => Ok(picked),
        }
    }
}

impl Table {
    /// The class of the largest probability; the first of equals, as scikit-learn predicts.
    fn likeliest(&self, rows: Rows) -> Labels<'static> {
        let width = self.classes.len();
        let rows_of_table = self.scores.len().checked_div(width).unwrap_or(0);
        let mut codes = vec![0u32; rows_of_table];
        for row in rows.iter().take_while(|row| *row < rows_of_table) {
            let scores = &self.scores[row * width..(row + 1) * width];
            let mut best = 0;
            for class in 1..width {
                if scores[class] > scores[best] {
                    best = class;
                }
            }
            codes[row] = best as u32;
        }
        if self.kind == Kind::Text {
            let words = self.classes.iter().map(|class| class.key().text(Kind::Text)).collect();
            return Labels::of_words(Arc::new(words), codes);
        }
        let value = |code: u32| match self.classes.get(code as usize) {
            Some(Label::Integer(value)) => *value,
            _ => 0,
        };
        Labels::of_integers(self.kind, codes.into_iter().map(value).collect())
    }

    /// Of two classes, what one of them scored: which one is the same to all that does not name it.
    fn scores_of(self, actual: &Labels, positive: Option<&Label>, rows: Rows, kind: Kind) -> Result<Scores<'static>> {
        let width = self.classes.len();
        let count = self.scores.len().checked_div(width).unwrap_or(0);
        let mut ids = vec![0u32; count];
        for row in rows.iter() {
            let key = actual.get(row);
            require_same(actual.kind, kind)?;
            let Some(class) = self.classes.iter().position(|class| class.key() == key) else {
                let known: Vec<String> = self.classes.iter().map(|class| class.key().to_string()).collect();
                return Err(wrong(format!("the label {key} is no class of the MAP, which has {}", known.join(", "))));
            };
            ids[row] = class as u32;
        }
        let named = match positive {
            None => None,
            Some(positive) => Some(
                self.classes
                    .iter()
                    .position(|class| class == positive)
                    .ok_or_else(|| wrong(format!("the positive class {} is no class of the MAP", positive.key())))?,
            ),
        };
        let one = Label::Integer(1);
        let of_two = (width == 2).then(|| self.classes.iter().position(|class| *class == one).unwrap_or(1));
        match named.or(of_two) {
            Some(class) => Ok(Scores::Binary(Binary {
                labels: None,
                positive: None,
                is_positive: ids.iter().map(|id| *id as usize == class).collect(),
                scores: Cow::Owned(self.scores.chunks_exact(width).map(|row| row[class]).collect()),
                margin: self.margin,
            })),
            None => Ok(Scores::Several(Several {
                classes: Arc::new(self.classes),
                actual: ids,
                scores: self.scores,
                margin: self.margin,
            })),
        }
    }
}
