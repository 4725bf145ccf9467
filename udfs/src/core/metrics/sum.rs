//! Sums whose error does not grow with the rows, so that they do not depend on which thread added what.

use crate::sys::cpu::{Work, widest};

/// A sum of doubles in twice their precision: 106 bits.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    high: f64,
    low: f64,
}

/// Terms that are added side by side.
const LANES: usize = 8;

impl Sum {
    /// Knuth's two-sum: what is lost of `value` is kept.
    #[inline(always)]
    pub fn add(&mut self, value: f64) {
        let sum = self.high + value;
        let part = sum - self.high;
        self.low += (self.high - (sum - part)) + (value - part);
        self.high = sum;
    }

    /// The exact square of `value`.
    #[inline(always)]
    pub fn add_square(&mut self, value: f64) {
        let square = product(value, value);
        self.add(square.high);
        self.low += square.low;
    }

    pub fn merge(&mut self, other: &Sum) {
        self.add(other.high);
        self.low += other.low;
    }

    /// Infinite where a term was, or where they are more than a double holds.
    pub fn value(&self) -> f64 {
        if self.high.is_finite() { self.high + self.low } else { self.high }
    }

    /// `self - other`, in twice the precision until then.
    pub fn less(&self, other: Sum) -> f64 {
        let mut difference = *self;
        difference.merge(&Sum { high: -other.high, low: -other.low });
        difference.value()
    }

    /// The square of the sum, divided by `count`, in twice the precision.
    pub fn square_over(&self, count: f64) -> Sum {
        let mut square = Sum::default();
        square.add_square(self.value());
        let rest = self.high - self.value() + self.low;
        square.low += 2.0 * self.value() * rest;
        let high = square.value() / count;
        // what division leaves: square - high * count, exactly
        let mut rest = square;
        let product = product(high, count);
        rest.merge(&Sum { high: -product.high, low: -product.low });
        Sum { high, low: rest.value() / count }
    }
}

/// Dekker's product of two doubles: what is lost of it is kept.
#[inline(always)]
fn product(a: f64, b: f64) -> Sum {
    const SPLIT: f64 = 134_217_729.0; // 2^27 + 1
    let split = |value: f64| {
        let scaled = SPLIT * value;
        let upper = scaled - (scaled - value);
        (upper, value - upper)
    };
    let ((a1, a0), (b1, b0)) = (split(a), split(b));
    let high = a * b;
    Sum { high, low: ((a1 * b1 - high) + a1 * b0 + a0 * b1) + a0 * b0 }
}

/// Add to `sums` what `term` makes of each pair of values: `add` says how one is added to the lanes' sums.
pub fn add_pairs<const N: usize>(
    actual: &[f64],
    predicted: &[f64],
    sums: &mut [Sum; N],
    add: impl Fn(&mut [Sum; N], f64, f64) + Copy,
) {
    widest(Pairs { actual, predicted, sums, add });
}

struct Pairs<'a, const N: usize, F> {
    actual: &'a [f64],
    predicted: &'a [f64],
    sums: &'a mut [Sum; N],
    add: F,
}

impl<const N: usize, F: Fn(&mut [Sum; N], f64, f64) + Copy> Work for Pairs<'_, N, F> {
    #[inline(always)]
    fn run(self) {
        let mut lanes = [[Sum::default(); N]; LANES];
        let whole = self.actual.len() / LANES * LANES;
        let (actual, actual_rest) = self.actual.split_at(whole);
        let (predicted, predicted_rest) = self.predicted.split_at(whole);
        for (actual, predicted) in actual.chunks_exact(LANES).zip(predicted.chunks_exact(LANES)) {
            for lane in 0..LANES {
                (self.add)(&mut lanes[lane], actual[lane], predicted[lane]);
            }
        }
        for (actual, predicted) in actual_rest.iter().zip(predicted_rest) {
            (self.add)(self.sums, *actual, *predicted);
        }
        for lane in &lanes {
            for (sum, part) in self.sums.iter_mut().zip(lane) {
                sum.merge(part);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_to_large_terms() {
        let mut sum = Sum::default();
        for value in [1e16, 1.0, -1e16, 1e-30] {
            sum.add(value);
        }
        assert_eq!(sum.value(), 1.0);
        sum.add(f64::INFINITY);
        assert_eq!(sum.value(), f64::INFINITY);
    }

    #[test]
    fn squares_of_far_values_cancel_exactly() {
        let (mut squares, mut total) = (Sum::default(), Sum::default());
        for value in [1e9, 1e9 + 1.0, 1e9 + 2.0] {
            squares.add_square(value);
            total.add(value);
        }
        assert_eq!(squares.less(total.square_over(3.0)), 2.0);
    }
}
