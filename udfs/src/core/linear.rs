//! Linear models on rows: ONNX Runtime multiplies a matrix with a column no faster than with many.

/// Products that are added up side by side: a sum waits for its own additions.
const LANES: usize = 4;

/// `targets` sums of weighted features, each with its intercept.
pub struct Linear {
    pub features: usize,
    pub targets: usize,
    /// [targets, features]
    weights: Vec<f32>,
    intercepts: Vec<f32>,
}

impl Linear {
    /// None where the numbers do not fit each other. `intercepts` may be empty.
    pub fn new(weights: Vec<f32>, mut intercepts: Vec<f32>, targets: usize) -> Option<Linear> {
        let features = weights.len().checked_div(targets)?;
        intercepts.resize(if intercepts.is_empty() { targets } else { intercepts.len() }, 0.0);
        let fits = weights.len() == features * targets && intercepts.len() == targets && features > 0;
        fits.then_some(Linear { features, targets, weights, intercepts })
    }

    /// `rows` are [n, width] and `answers` [n, targets], both row by row; `width` ≥ `features`.
    #[inline(always)]
    pub fn score(&self, rows: &[f32], width: usize, answers: &mut [f32]) {
        for (target, (weights, intercept)) in self.weights.chunks(self.features).zip(&self.intercepts).enumerate() {
            for (row, answers) in rows.chunks_exact(width).zip(answers.chunks_exact_mut(self.targets)) {
                answers[target] = dot(&row[..weights.len()], weights) + intercept;
            }
        }
    }
}

#[inline(always)]
fn dot(row: &[f32], weights: &[f32]) -> f32 {
    let whole = weights.len() / LANES * LANES;
    let (rows, rest) = row.split_at(whole);
    let (wholes, last) = weights.split_at(whole);
    let mut lanes = [0.0; LANES];
    for (values, weights) in rows.chunks_exact(LANES).zip(wholes.chunks_exact(LANES)) {
        for lane in 0..LANES {
            lanes[lane] += values[lane] * weights[lane];
        }
    }
    let sum = (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
    rest.iter().zip(last).fold(sum, |sum, (value, weight)| sum + value * weight)
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
}
