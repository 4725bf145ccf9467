//! Rows compared with the sample that a model was registered with, feature by feature.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use super::classes::{Key, Labels};
use super::given::{Argument, Given};
use super::samples::jensen_shannon;
use super::subjects::{Before, Feature, FeatureValues, Features, Subject, Subjects};
use super::{Accumulator, Cell, unlike};
use crate::core::column::{Column, Data, Rows};
use crate::core::error::{Code, Error, Result, reference_not_constant, row_needed};
use crate::core::plan::{ArgLayout, Plan, ReaderKind};
use crate::core::registry::Registry;
use crate::core::sqltype::ArgType;

/// BigQuery's names and thresholds.
const NUMBERS: &str = "JENSEN_SHANNON_DIVERGENCE";
const CATEGORIES: &str = "L_INFTY";
const THRESHOLD: f64 = 0.3;
/// Of new categories the most frequent ones are named.
const MOST_NAMED: usize = 100;
/// The first argument names the model. `tells_names`: whether the host would refuse arguments with names.
pub fn read<'a>(
    subjects: &Subjects,
    registry: &Registry,
    arguments: &'a [Argument<'a>],
    count: usize,
    tells_names: bool,
) -> Result<Features<'a>> {
    let [reference, features @ ..] = arguments else { return Err(unlike()) };
    let subject = subjects.of(registry, constant(reference, count)?)?;
    let given: Vec<ArgType> = features.iter().map(|argument| argument.given.clone()).collect();
    let plan = Plan::new(&subject.model, subject.known.manifest.clone(), &given)?;
    let names = plan.manifest.feature_names();
    let places: Vec<(&ArgType, &Column)> = match (&plan.form, features) {
        (ArgLayout::Row(places), [Argument { given: ArgType::Struct(types), column, .. }]) => {
            let Data::Struct(fields) = &column.data else { return Err(unlike()) };
            places.iter().map(|i| (&types[*i].1, &fields[*i])).collect()
        }
        (ArgLayout::Position, [_, _, ..]) if !tells_names => return Err(row_needed(&subject.model, &names)),
        (ArgLayout::Position, _) => features.iter().map(|argument| (argument.given, argument.column)).collect(),
        _ => return Err(row_needed(&subject.model, &names)),
    };
    let columns = places.into_iter().zip(&plan.readers).map(|((given, column), reader)| {
        let picked: Vec<u32>;
        let rows = match column.all_valid(count) {
            true => Rows::Range(0, count),
            false => {
                picked = (0..count as u32).filter(|row| column.is_valid(*row as usize)).collect();
                Rows::Picked(&picked)
            }
        };
        let values = match reader.kind {
            ReaderKind::Number(_) => FeatureValues::Numbers(Argument { given, column, count }.doubles(rows)?),
            ReaderKind::Text(_) => FeatureValues::Texts(Labels::read(given, column, count, rows)?),
            _ => FeatureValues::Other,
        };
        Ok(Feature { column, values })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(Features { subject, columns })
}

/// The one text that all rows have.
fn constant<'a>(reference: &'a Argument<'a>, count: usize) -> Result<&'a str> {
    let not_constant = || reference_not_constant("skew");
    let Data::Text(texts) = &reference.column.data else { return Err(not_constant()) };
    let first = *texts.first().ok_or_else(not_constant)?;
    if !reference.column.all_valid(count) || texts.iter().any(|text| *text != first) {
        return Err(not_constant());
    }
    std::str::from_utf8(first).map_err(|_| not_constant())
}

#[derive(Default)]
pub struct Skewed {
    subject: Option<Arc<Subject>>,
    rows: u64,
    features: Vec<Now>,
}

/// How a feature is.
#[derive(Default)]
struct Now {
    missing: u64,
    /// As those of `Before`.
    counts: Vec<u64>,
    /// Categories that the sample did not have.
    new: HashMap<Box<[u8]>, u64>,
}

impl Skewed {
    fn begin(&mut self, subject: &Arc<Subject>) -> Result<()> {
        match &self.subject {
            Some(own) if own.known.is_of(&subject.known.manifest) => Ok(()),
            Some(own) => Err(Error::of(
                Code::Call,
                match own.model == subject.model {
                    true => format!("the model '{}' became another version while the query ran; ask again", own.model),
                    false => reference_not_constant("skew").text,
                },
            )),
            None => {
                let start = |before: &Before| match before {
                    Before::Numbers { counts, .. } | Before::Categories { counts, .. } => {
                        Now { counts: vec![0; counts.len()], ..Now::default() }
                    }
                    Before::Other => Now::default(),
                };
                self.features = subject.known.features.iter().map(start).collect();
                self.subject = Some(subject.clone());
                Ok(())
            }
        }
    }
}

impl Now {
    fn add(&mut self, before: &Before, feature: &Feature, rows: Rows) {
        for row in rows.iter() {
            if !feature.column.is_valid(row) {
                self.missing += 1;
                continue;
            }
            match (before, &feature.values) {
                (Before::Numbers { edges, .. }, FeatureValues::Numbers(values)) => match values[row] {
                    value if value.is_nan() => self.missing += 1,
                    value => self.counts[place(edges, value)] += 1,
                },
                (Before::Categories { places, has_others, .. }, FeatureValues::Texts(labels)) => {
                    let Key::Text(text) = labels.get(row) else { continue };
                    match places.get(text) {
                        Some(place) => self.counts[*place] += 1,
                        None if *has_others => self.counts[places.len()] += 1,
                        None => match self.new.get_mut(text) {
                            Some(count) => *count += 1,
                            None => drop(self.new.insert(text.into(), 1)),
                        },
                    }
                }
                (_, FeatureValues::Numbers(values)) if values[row].is_nan() => self.missing += 1,
                _ => {}
            }
        }
    }

    fn merge(&mut self, other: &Now) {
        self.missing += other.missing;
        self.counts.iter_mut().zip(&other.counts).for_each(|(own, other)| *own += other);
        for (text, count) in &other.new {
            *self.new.entry(text.clone()).or_default() += count;
        }
    }

    /// Metric, value, and the categories that are new.
    fn compared(&self, before: &Before) -> (Cell, Option<f64>, Cell) {
        let total = |counts: &[u64]| counts.iter().sum::<u64>();
        match before {
            Before::Numbers { counts, .. } => {
                let (all, now) = (total(counts), total(&self.counts));
                let pairs = counts.iter().zip(&self.counts);
                let shares = pairs.map(|(a, b)| (*a as f64 / all as f64, *b as f64 / now as f64));
                let value = (all > 0 && now > 0).then(|| jensen_shannon(shares));
                (Cell::Text(NUMBERS.to_string()), value, Cell::Null)
            }
            Before::Categories { counts, has_others, .. } => {
                let (all, now) = (total(counts), total(&self.counts) + self.new.values().sum::<u64>());
                let pairs = counts.iter().zip(&self.counts);
                let known = pairs.map(|(a, b)| (*a as f64 / all as f64 - *b as f64 / now as f64).abs());
                let new = self.new.values().map(|count| *count as f64 / now as f64);
                let value = (now > 0).then(|| known.chain(new).fold(0.0, f64::max));
                let named = if *has_others { Cell::Null } else { self.named() };
                (Cell::Text(CATEGORIES.to_string()), value, named)
            }
            Before::Other => (Cell::Null, None, Cell::Null),
        }
    }

    /// The categories that the sample did not have, the most frequent ones first.
    fn named(&self) -> Cell {
        let mut new: Vec<(&[u8], u64)> = self.new.iter().map(|(text, count)| (&text[..], *count)).collect();
        new.sort_unstable_by(|(a, in_a), (b, in_b)| in_b.cmp(in_a).then(a.cmp(b)));
        new.truncate(MOST_NAMED);
        Cell::List(new.iter().map(|(text, _)| Cell::Text(String::from_utf8_lossy(text).into_owned())).collect())
    }
}

/// Which of the counts of `Before::Numbers` a number belongs to. There are two edges at least.
fn place(edges: &[f64], value: f64) -> usize {
    let bins = edges.len() - 1;
    match value {
        _ if value.is_infinite() => bins + 2,
        _ if value > edges[bins] => bins + 1,
        _ => edges[..bins].partition_point(|edge| *edge <= value),
    }
}

impl Accumulator for Skewed {
    fn add(&mut self, given: &Given, rows: Rows) -> Result<()> {
        let Given::Features(given) = given else { return Err(unlike()) };
        self.begin(&given.subject)?;
        self.rows += rows.len() as u64;
        let features = self.features.iter_mut().zip(&given.subject.known.features).zip(&given.columns);
        features.for_each(|((now, before), feature)| now.add(before, feature, rows));
        Ok(())
    }

    fn merge(&mut self, other: &dyn Accumulator) -> Result<()> {
        let other = other.as_any().downcast_ref::<Skewed>().ok_or_else(unlike)?;
        let Some(subject) = &other.subject else { return Ok(()) };
        self.begin(subject)?;
        self.rows += other.rows;
        self.features.iter_mut().zip(&other.features).for_each(|(own, other)| own.merge(other));
        Ok(())
    }

    fn answer(&self) -> Result<Cell> {
        let Some(subject) = &self.subject else { return Ok(Cell::Null) };
        let known = &subject.known;
        let features = known.manifest.features.iter().zip(&known.features).zip(&self.features);
        let cells = features.map(|((feature, before), now)| {
            let (metric, value, new) = now.compared(before);
            let threshold = if metric == Cell::Null { Cell::Null } else { Cell::Double(THRESHOLD) };
            Cell::Struct(vec![
                Cell::Text(feature.name.clone()),
                metric,
                threshold,
                Cell::optional(value),
                value.map_or(Cell::Null, |value| Cell::Boolean(value > THRESHOLD)),
                Cell::Double(now.missing as f64 / self.rows as f64),
                new,
            ])
        });
        Ok(Cell::List(cells.collect()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_those_of_the_profile() {
        let edges = [0.0, 0.0, 0.0, 1.0, 2.0];
        let places = [-0.5, 0.0, 0.9, 1.0, 2.0, 2.1, f64::INFINITY].map(|value| place(&edges, value));
        assert_eq!(places, [0, 3, 3, 4, 4, 5, 6]);
        assert_eq!([0.9, 1.0, 1.1].map(|value| place(&[1.0, 1.0], value)), [0, 1, 2]);
    }

    #[test]
    fn texts_of_many_values_are_no_categories() {
        let before = |distinct: u64, top: &[(&str, u64)], rows| {
            let top: Vec<_> = top.iter().map(|(text, count)| (text.to_string(), *count)).collect();
            let texts = Some(crate::core::profile::Texts { distinct, top });
            Before::of(
                &crate::core::profile::FeatureProfile { name: "a".to_string(), nulls: 1, numbers: None, texts },
                rows,
            )
        };
        assert!(matches!(before(2, &[("x", 5), ("y", 4)], 10), Before::Categories { has_others: false, .. }));
        assert!(matches!(before(5, &[("x", 5), ("y", 2)], 11), Before::Categories { has_others: true, .. }));
        assert!(matches!(before(9, &[("x", 1), ("y", 1)], 10), Before::Other));
        assert!(matches!(before(0, &[], 1), Before::Other));
    }
}
