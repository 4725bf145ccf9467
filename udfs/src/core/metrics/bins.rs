//! Bins of numbers: ten that hold a tenth of a sample each, as far as its values can be told apart.

use super::multiset::Sorted;
use crate::core::literals::shown;

/// Where a bin ends and the next one begins: before the value, or after it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cut {
    at: f64,
    is_after: bool,
}

/// The first and the last one are open: there is a bin for each number.
#[derive(Debug, Clone, Default)]
pub struct Bins {
    cuts: Vec<Cut>,
}

const BINS: u64 = 10;

impl Bins {
    /// From a decile up to the next one. A value that is several deciles is a bin of its own: what lies above it, or below
    /// it, is not to be taken for it.
    pub fn of(sample: &Sorted) -> Bins {
        let edges: Vec<f64> = (0..=BINS).map(|i| quantile(sample, i)).collect();
        let mut cuts = Vec::new();
        for (i, run) in runs(&edges) {
            let is_end = i == 0 || i == edges.len() - 1;
            if run > 1 || !is_end {
                cuts.push(Cut { at: edges[i], is_after: false });
            }
            if run > 1 {
                cuts.push(Cut { at: edges[i], is_after: true });
            }
        }
        Bins { cuts }
    }

    /// Which bin holds the number.
    pub fn place(&self, value: f64) -> usize {
        self.cuts.partition_point(|cut| if cut.is_after { cut.at < value } else { cut.at <= value })
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.cuts.len() + 1
    }

    /// As intervals are written: `[1, 2.5)`.
    pub fn names(&self) -> Vec<String> {
        let lower = |cut: &Cut| format!("{}{}", if cut.is_after { '(' } else { '[' }, shown(cut.at));
        let upper = |cut: &Cut| format!("{}{}", shown(cut.at), if cut.is_after { ']' } else { ')' });
        let lowers = std::iter::once("(-inf".to_string()).chain(self.cuts.iter().map(lower));
        let uppers = self.cuts.iter().map(upper).chain(["inf)".to_string()]);
        lowers.zip(uppers).map(|(lower, upper)| format!("{lower}, {upper}")).collect()
    }
}

/// Where each run of equal edges begins, and how long it is.
fn runs(edges: &[f64]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut start = 0;
    edges.chunk_by(|a, b| a == b).map(move |run| {
        start += run.len();
        (start - run.len(), run.len())
    })
}

/// The value at `tenths` of the sample, between the two that are next to it, as quantile_cont() and numpy have it.
fn quantile(sample: &Sorted, tenths: u64) -> f64 {
    let last = u128::from(sample.total().saturating_sub(1));
    let place = last * u128::from(tenths);
    let low = (place / u128::from(BINS)) as u64;
    let part = (place % u128::from(BINS)) as f64 / BINS as f64;
    let below = sample.value(low);
    if part == 0.0 {
        return below;
    }
    let above = sample.value(low + 1);
    let between = if part < 0.5 { below + (above - below) * part } else { above - (above - below) * (1.0 - part) };
    if between.is_finite() { between } else { below }
}

#[cfg(test)]
mod tests {
    use super::super::multiset::Multiset;
    use super::*;

    fn bins(values: impl IntoIterator<Item = f64>) -> Bins {
        let mut sample = Multiset::default();
        values.into_iter().for_each(|value| sample.add(value));
        Bins::of(&sample.sorted())
    }

    #[test]
    fn each_holds_a_tenth() {
        let all = bins((0..1000).map(f64::from));
        let mut counts = vec![0; all.len()];
        (0..1000).for_each(|value| counts[all.place(f64::from(value))] += 1);
        assert_eq!(counts, [100; 10]);
        assert_eq!([all.place(-1e9), all.place(f64::INFINITY)], [0, 9]);
        assert_eq!(all.names()[..2], ["(-inf, 99.9)", "[99.9, 199.8)"]);
    }

    #[test]
    fn a_value_that_repeats_is_a_bin() {
        let constant = bins([7.0; 5]);
        assert_eq!(constant.names(), ["(-inf, 7)", "[7, 7]", "(7, inf)"]);
        assert_eq!([6.9, 7.0, 7.1].map(|value| constant.place(value)), [0, 1, 2]);
        let two = bins([0.0, 0.0, 0.0, 1.0]);
        assert_ne!(two.place(0.0), two.place(1.0));
        assert_ne!(two.place(0.0), two.place(-1.0));
    }

    #[test]
    fn huge_values_have_edges() {
        let all = bins([f64::NEG_INFINITY, -1e308, 1e308, f64::INFINITY]);
        assert!(all.cuts.iter().all(|cut| !cut.at.is_nan()));
        assert!(all.cuts.is_sorted_by(|a, b| a.at <= b.at));
    }
}
