//! Two samples compared: what was there before, and what is new.

use std::any::Any;

use super::bins::Bins;
use super::classes::{Classes, Labels};
use super::given::{Given, Values};
use super::multiset::{Multiset, Sorted, descending};
use super::sum::Sum;
use super::{Accumulator, Cell, unlike};
use crate::core::column::Rows;
use crate::core::error::{Code, Error, Result};

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    StabilityIndex,
    JensenShannon,
    KolmogorovSmirnov,
    Wasserstein,
}

/// Shares are not smaller than this to the population stability index.
const LEAST: f64 = 1e-4;

impl Measure {
    /// Above it a difference is worth a look. The distance of Wasserstein is in the unit of the numbers: none fits all.
    fn threshold(self) -> Option<f64> {
        match self {
            Measure::StabilityIndex => Some(0.2),
            Measure::JensenShannon => Some(0.3),
            Measure::KolmogorovSmirnov => Some(0.1),
            Measure::Wasserstein => None,
        }
    }

    fn method(self, is_number: bool) -> String {
        let bins = if is_number { "10 quantile bins of the reference" } else { "the categories" };
        match self {
            Measure::StabilityIndex => format!("population stability index over {bins}, at least 0.0001 in each"),
            Measure::JensenShannon => format!("Jensen-Shannon divergence (base 2) over {bins}"),
            Measure::KolmogorovSmirnov => {
                "largest difference of the cumulative distributions, of all values".to_string()
            }
            Measure::Wasserstein => "area between the cumulative distributions, of all values".to_string(),
        }
    }
}

/// The reference, and what is new.
pub struct Compared {
    pub measure: Measure,
    pub numbers: [Multiset; 2],
    pub categories: Categories,
}

/// How often each category was met in the reference, and among what is new.
#[derive(Default)]
pub struct Categories {
    classes: Classes,
    counts: Vec<[u64; 2]>,
}

impl Categories {
    fn add(&mut self, labels: &Labels, is_new: &[bool], rows: Rows) -> Result<()> {
        self.classes.admit(labels.kind)?;
        for row in rows.iter() {
            self.count(labels.get(row))[usize::from(is_new[row])] += 1;
        }
        Ok(())
    }

    fn count(&mut self, key: super::classes::Key) -> &mut [u64; 2] {
        let id = self.classes.id(key) as usize;
        self.counts_of(id)
    }

    /// Of a class that may have been met just now.
    fn counts_of(&mut self, id: usize) -> &mut [u64; 2] {
        if id == self.counts.len() {
            self.counts.push([0; 2]);
        }
        &mut self.counts[id]
    }

    fn merge(&mut self, other: &Categories) -> Result<()> {
        for (id, counts) in self.classes.merge(&other.classes)?.into_iter().zip(&other.counts) {
            let own = self.counts_of(id as usize);
            own[0] += counts[0];
            own[1] += counts[1];
        }
        Ok(())
    }

    fn bins(&self) -> Vec<Bin> {
        let bin = |id: u32| Bin {
            name: self.classes.labels()[id as usize].key().text(self.classes.kind()),
            counts: self.counts[id as usize],
        };
        self.classes.ascending().into_iter().map(bin).collect()
    }
}

struct Bin {
    name: String,
    counts: [u64; 2],
}

impl Accumulator for Compared {
    fn add(&mut self, given: &Given, rows: Rows) -> Result<()> {
        let Given::Samples(values, is_new) = given else { return Err(unlike()) };
        match values {
            Values::Categories(labels) => self.categories.add(labels, is_new, rows),
            Values::Numbers(numbers) => {
                for row in rows.iter() {
                    let value = numbers[row];
                    if value.is_nan() || (value.is_infinite() && self.measure == Measure::Wasserstein) {
                        let (shown, test) =
                            if value.is_nan() { ("NaN", "NOT isnan") } else { ("infinite", "isfinite") };
                        let text = format!("a value is {shown}; leave such rows out, such as FILTER ({test}(x))");
                        return Err(Error::of(Code::Call, text));
                    }
                    self.numbers[usize::from(is_new[row])].add(value);
                }
                Ok(())
            }
        }
    }

    fn merge(&mut self, other: &dyn Accumulator) -> Result<()> {
        let other = other.as_any().downcast_ref::<Compared>().ok_or_else(unlike)?;
        self.numbers.iter_mut().zip(&other.numbers).for_each(|(own, other)| own.merge(other));
        self.categories.merge(&other.categories)
    }

    /// Without a reference, or without anything new, there is nothing to compare, and no value.
    fn answer(&self) -> Result<Cell> {
        let [reference, new] = [0, 1].map(|i| self.numbers[i].sorted());
        let is_number = reference.total() + new.total() > 0;
        let bins = match is_number {
            true => numbers_in_bins(&reference, &new),
            false => self.categories.bins(),
        };
        let totals = match is_number {
            true => [reference.total(), new.total()],
            false => [0, 1].map(|i| bins.iter().map(|bin| bin.counts[i]).sum()),
        };
        let value = (totals[0] > 0 && totals[1] > 0).then(|| match self.measure {
            Measure::StabilityIndex => stability_index(&bins, totals),
            Measure::JensenShannon => jensen_shannon(shares(&bins, totals)),
            Measure::KolmogorovSmirnov => kolmogorov_smirnov(&reference, &new),
            Measure::Wasserstein => wasserstein(&reference, &new),
        });
        let threshold = self.measure.threshold();
        let is_anomaly = value.zip(threshold).map(|(value, threshold)| value > threshold);
        let cells = bins.into_iter().map(|bin| {
            let share = |i: usize| Cell::optional((totals[i] > 0).then(|| bin.counts[i] as f64 / totals[i] as f64));
            Cell::Struct(vec![Cell::Text(bin.name.clone()), share(0), share(1)])
        });
        Ok(Cell::Struct(vec![
            Cell::optional(value),
            Cell::Text(self.measure.method(is_number)),
            Cell::optional(threshold),
            is_anomaly.map_or(Cell::Null, Cell::Boolean),
            Cell::List(cells.collect()),
        ]))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// None without a reference, which says where they begin.
fn numbers_in_bins(reference: &Sorted, new: &Sorted) -> Vec<Bin> {
    if reference.total() == 0 {
        return Vec::new();
    }
    let bins = Bins::of(reference);
    let mut all: Vec<Bin> = bins.names().into_iter().map(|name| Bin { name, counts: [0; 2] }).collect();
    descending(reference, new, |value, before, now| {
        let counts = &mut all[bins.place(value)].counts;
        counts[0] += before;
        counts[1] += now;
    });
    all
}

fn shares(bins: &[Bin], totals: [u64; 2]) -> impl Iterator<Item = (f64, f64)> {
    bins.iter().map(move |bin| (bin.counts[0] as f64 / totals[0] as f64, bin.counts[1] as f64 / totals[1] as f64))
}

fn stability_index(bins: &[Bin], totals: [u64; 2]) -> f64 {
    let mut sum = Sum::default();
    for (before, now) in shares(bins, totals) {
        let (before, now) = (before.max(LEAST), now.max(LEAST));
        sum.add((now - before) * (now / before).ln());
    }
    sum.value()
}

/// The divergence, with logarithms of base 2: from 0 to 1. Its root is a distance.
pub fn jensen_shannon(shares: impl Iterator<Item = (f64, f64)>) -> f64 {
    let mut sum = Sum::default();
    for (before, now) in shares {
        let middle = (before + now) / 2.0;
        for share in [before, now] {
            if share > 0.0 {
                sum.add(share * (share / middle).log2() / 2.0);
            }
        }
    }
    sum.value().clamp(0.0, 1.0)
}

/// Each value, largest first, and what share of either sample is larger or equal: their difference, exactly, of `of`.
fn differences(reference: &Sorted, new: &Sorted, mut each: impl FnMut(f64, u128)) -> f64 {
    let (all, all_new) = (u128::from(reference.total()), u128::from(new.total()));
    let (mut above, mut above_new) = (0u128, 0u128);
    descending(reference, new, |value, before, now| {
        above += u128::from(before);
        above_new += u128::from(now);
        each(value, (above * all_new).abs_diff(above_new * all));
    });
    (all * all_new) as f64
}

fn kolmogorov_smirnov(reference: &Sorted, new: &Sorted) -> f64 {
    let mut largest = 0;
    let of = differences(reference, new, |_, difference| largest = largest.max(difference));
    largest as f64 / of
}

fn wasserstein(reference: &Sorted, new: &Sorted) -> f64 {
    let of = (u128::from(reference.total()) * u128::from(new.total())) as f64;
    let (mut area, mut last) = (Sum::default(), None);
    differences(reference, new, |value, difference| {
        if let Some((above, share)) = last {
            let width: f64 = above - value;
            // of the largest numbers, which a double does not hold the width of
            area.add(if width.is_finite() { width * share } else { above * share - value * share });
        }
        last = Some((value, difference as f64 / of));
    });
    area.value()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(values: &[f64]) -> Sorted {
        let mut all = Multiset::default();
        values.iter().for_each(|value| all.add(*value));
        all.sorted()
    }

    #[test]
    fn distributions_are_compared_over_all_values() {
        let (a, b) = (sample(&[1.0, 2.0, 2.0, 4.0]), sample(&[2.0, 3.0]));
        assert_eq!(kolmogorov_smirnov(&a, &b), 0.25);
        assert_eq!(wasserstein(&a, &b), 0.75);
        assert_eq!(kolmogorov_smirnov(&a, &a), 0.0);
        assert_eq!(wasserstein(&sample(&[-1e308, -1e308]), &sample(&[1e308, -1e308])), 1e308);
    }

    #[test]
    fn the_divergence_is_between_0_and_1() {
        assert_eq!(jensen_shannon([(1.0, 0.0), (0.0, 1.0)].into_iter()), 1.0);
        assert_eq!(jensen_shannon([(0.5, 0.5), (0.5, 0.5), (0.0, 0.0)].into_iter()), 0.0);
    }
}
