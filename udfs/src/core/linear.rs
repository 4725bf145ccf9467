//! Weighted sums. ONNX Runtime multiplies a matrix with one column no faster than with many.

use super::float::Float;

/// Products that are added up side by side: a sum waits for its own additions.
const LANES: usize = 4;
/// Rows of columns that are summed up at a time: their lanes fill the registers.
const ROWS: usize = 16;

/// `targets` sums of weighted features, each with its intercept.
#[derive(Debug)]
pub struct Linear<T> {
    pub features: usize,
    pub targets: usize,
    /// [targets, features]
    weights: Vec<T>,
    intercepts: Vec<T>,
}

impl<T: Float> Linear<T> {
    /// None where the numbers do not fit each other. `intercepts` may be empty.
    pub fn new(weights: Vec<T>, mut intercepts: Vec<T>, targets: usize) -> Option<Linear<T>> {
        let features = weights.len().checked_div(targets)?;
        intercepts.resize(if intercepts.is_empty() { targets } else { intercepts.len() }, T::default());
        let fits = weights.len() == features * targets && intercepts.len() == targets && features > 0;
        fits.then_some(Linear { features, targets, weights, intercepts })
    }

    /// `rows` are [n, width] and `answers` [n, targets], both row by row; `width` ≥ `features`.
    #[inline(always)]
    pub fn score(&self, rows: &[T], width: usize, answers: &mut [T]) {
        for (target, (weights, intercept)) in self.weights.chunks(self.features).zip(&self.intercepts).enumerate() {
            for (row, answers) in rows.chunks_exact(width).zip(answers.chunks_exact_mut(self.targets)) {
                answers[target] = dot(&row[..weights.len()], weights) + *intercept;
            }
        }
    }

    /// The same answers, of features that are columns of n rows.
    #[inline(always)]
    pub fn score_columns(&self, columns: &[&[T]], answers: &mut [T]) {
        let count = answers.len() / self.targets;
        for (target, (weights, intercept)) in self.weights.chunks(self.features).zip(&self.intercepts).enumerate() {
            let mut start = 0;
            while start + ROWS <= count {
                let sums = sums::<T, ROWS>(columns, weights, start);
                for (row, sum) in sums.into_iter().enumerate() {
                    answers[(start + row) * self.targets + target] = sum + *intercept;
                }
                start += ROWS;
            }
            for row in start..count {
                let [sum] = sums::<T, 1>(columns, weights, row);
                answers[row * self.targets + target] = sum + *intercept;
            }
        }
    }
}

#[inline(always)]
fn dot<T: Float>(row: &[T], weights: &[T]) -> T {
    let whole = weights.len() / LANES * LANES;
    let (rows, rest) = row.split_at(whole);
    let (wholes, last) = weights.split_at(whole);
    let mut lanes = [T::default(); LANES];
    for (values, weights) in rows.chunks_exact(LANES).zip(wholes.chunks_exact(LANES)) {
        for lane in 0..LANES {
            lanes[lane] = lanes[lane] + values[lane] * weights[lane];
        }
    }
    let sum = (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
    rest.iter().zip(last).fold(sum, |sum, (value, weight)| sum + *value * *weight)
}

/// As `dot` adds, of `N` rows.
#[inline(always)]
fn sums<T: Float, const N: usize>(columns: &[&[T]], weights: &[T], start: usize) -> [T; N] {
    let whole = weights.len() / LANES * LANES;
    let mut lanes = [[T::default(); N]; LANES];
    for first in (0..whole).step_by(LANES) {
        for lane in 0..LANES {
            add(&mut lanes[lane], &columns[first + lane][start..start + N], weights[first + lane]);
        }
    }
    let mut sums = [T::default(); N];
    for i in 0..N {
        sums[i] = (lanes[0][i] + lanes[2][i]) + (lanes[1][i] + lanes[3][i]);
    }
    for (column, weight) in columns[whole..].iter().zip(&weights[whole..]) {
        add(&mut sums, &column[start..start + N], *weight);
    }
    sums
}

#[inline(always)]
fn add<T: Float, const N: usize>(sums: &mut [T; N], values: &[T], weight: T) {
    for i in 0..N {
        sums[i] = sums[i] + values[i] * weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_any_number_of_rows() {
        for features in [1, 2, 4, 7, 12] {
            let weights: Vec<f32> = (0..2 * features).map(|i| (i % 5) as f32 - 2.0).collect();
            let linear = Linear::new(weights.clone(), vec![10.0, 0.0], 2).unwrap();
            let rows: Vec<f32> = (0..11 * 13).map(|x| (x % 17) as f32).collect();
            let mut answers = vec![0.0; 22];
            linear.score(&rows, 13, &mut answers);
            for (row, answer) in rows.chunks(13).zip(answers.chunks(2)) {
                let sum = |weights: &[f32]| row.iter().zip(weights).map(|(x, w)| x * w).sum::<f32>();
                assert_eq!(answer, [sum(&weights[..features]) + 10.0, sum(&weights[features..])]);
            }
        }
        assert!(Linear::new(vec![1.0; 3], vec![], 2).is_none());
        assert!(Linear::new(vec![1.0; 3], vec![1.0, 2.0], 1).is_none());
        assert!(Linear::new(vec![1.0; 3], vec![], 0).is_none());
    }

    #[test]
    fn columns_are_summed_up_as_rows_are() {
        for (features, count) in [(1, 1), (3, 15), (4, 16), (10, 37), (13, 48)] {
            let number = |i: usize| ((i * 7919) % 1013) as f32 / 7.0 - 60.0;
            let linear = Linear::new((0..2 * features).map(number).collect(), vec![0.1, 0.2], 2).unwrap();
            let columns: Vec<Vec<f32>> =
                (0..features).map(|k| (0..count).map(|row| number(row * features + k + 5)).collect()).collect();
            let rows: Vec<f32> = (0..count).flat_map(|row| columns.iter().map(move |column| column[row])).collect();
            let (mut by_row, mut by_column) = (vec![0.0; 2 * count], vec![0.0; 2 * count]);
            linear.score(&rows, features, &mut by_row);
            linear.score_columns(&columns.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut by_column);
            assert_eq!(by_row, by_column);
        }
    }
}
