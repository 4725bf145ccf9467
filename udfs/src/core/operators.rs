//! The operators that ONNX Runtime is given in place of its own: decision trees, and linear models.

use std::ffi::CStr;
use std::marker::PhantomData;

use super::linear::Linear;
use super::trees::{Answer, Ensemble, Flat, Kernel, Named, Number};
use crate::sys::onnxruntime::attributes::{Attributes, Element};
use crate::sys::onnxruntime::operators::{Computation, Operators, Standard, operator};

pub static OPERATORS: Operators = Operators {
    names: &["TreeEnsemble", "LinearRegressor"],
    all: &[
        operator::<TreeEnsembleRegressor<f32>>,
        operator::<TreeEnsembleRegressor<f64>>,
        operator::<TreeEnsemble<f32>>,
        operator::<TreeEnsemble<f64>>,
        operator::<LinearRegressor>,
    ],
};

/// A precision that trees compute in, and ONNX has.
trait Precision: Number + Element {}

impl<T: Number + Element> Precision for T {}

/// Trees that compute in `T` and answer in `A`.
struct Trees<T, A> {
    kernel: Kernel<T>,
    answer: PhantomData<A>,
}

impl<T: Precision, A> Trees<T, A> {
    fn of(ensemble: &Ensemble<T>) -> Result<Self, String> {
        let kernel = Kernel::of(ensemble).ok_or("the trees are too large")?;
        Ok(Trees { kernel, answer: PhantomData })
    }
}

impl<T: Precision, A: Precision + Answer<T>> Computation for Trees<T, A> {
    type Input = T;
    type Output = A;

    fn features(&self) -> usize {
        self.kernel.features
    }

    fn targets(&self) -> usize {
        self.kernel.targets
    }

    #[inline(always)]
    fn score(&self, rows: &[T], width: usize, answers: &mut [A]) {
        self.kernel.score(rows, width, answers);
    }
}

impl Computation for Linear<f32> {
    type Input = f32;
    type Output = f32;

    fn features(&self) -> usize {
        self.features
    }

    fn targets(&self) -> usize {
        self.targets
    }

    #[inline(always)]
    fn score(&self, rows: &[f32], width: usize, answers: &mut [f32]) {
        self.score(rows, width, answers);
    }
}

/// Trees of version 1 or 3.
struct TreeEnsembleRegressor<T>(PhantomData<T>);

impl<T: Precision> Standard for TreeEnsembleRegressor<T>
where
    f32: Answer<T>,
{
    type Node = Trees<T, f32>;
    const NAME: &CStr = c"TreeEnsembleRegressor";

    fn node(attributes: &Attributes) -> Result<Self::Node, String> {
        Trees::of(&named_trees(attributes)?)
    }
}

/// Trees of version 5.
struct TreeEnsemble<T>(PhantomData<T>);

impl<T: Precision + Answer<T>> Standard for TreeEnsemble<T> {
    type Node = Trees<T, T>;
    const NAME: &CStr = c"TreeEnsemble";

    fn node(attributes: &Attributes) -> Result<Self::Node, String> {
        Trees::of(&flat_trees(attributes)?)
    }
}

struct LinearRegressor;

impl Standard for LinearRegressor {
    type Node = Linear<f32>;
    const NAME: &CStr = c"LinearRegressor";

    fn node(attributes: &Attributes) -> Result<Self::Node, String> {
        linear(attributes)
    }
}

const UNFIT: &str = "the lists do not fit each other";

/// TreeEnsembleRegressor.
fn named_trees<T: Precision>(attributes: &Attributes) -> Result<Ensemble<T>, String> {
    if attributes.text(c"post_transform").is_some_and(|name| name != "NONE") {
        return Err("trees are not followed by a transformation here".to_string());
    }
    let average = match attributes.text(c"aggregate_function").as_deref() {
        None | Some("SUM") => false,
        Some("AVERAGE") => true,
        Some(other) => return Err(format!("trees are not aggregated by {other} here")),
    };
    let numbers = |name: &CStr, double: &CStr| {
        let doubles = attributes.tensor::<f64>(double);
        let singles = attributes.floats(name).into_iter().map(|single| T::of_double(single.into())).collect();
        if doubles.is_empty() { singles } else { doubles.into_iter().map(T::of_double).collect() }
    };
    let named = Named {
        trees: attributes.integers(c"nodes_treeids"),
        numbers: attributes.integers(c"nodes_nodeids"),
        features: attributes.integers(c"nodes_featureids"),
        modes: attributes.texts(c"nodes_modes"),
        splits: numbers(c"nodes_values", c"nodes_values_as_tensor"),
        yes: attributes.integers(c"nodes_truenodeids"),
        no: attributes.integers(c"nodes_falsenodeids"),
        missing_yes: attributes.integers(c"nodes_missing_value_tracks_true"),
        leaf_trees: attributes.integers(c"target_treeids"),
        leaf_numbers: attributes.integers(c"target_nodeids"),
        leaf_targets: attributes.integers(c"target_ids"),
        leaf_weights: numbers(c"target_weights", c"target_weights_as_tensor"),
        base: numbers(c"base_values", c"base_values_as_tensor"),
        targets: attributes.integer(c"n_targets").unwrap_or(1),
        average,
    };
    named.ensemble().ok_or_else(|| UNFIT.to_string())
}

/// TreeEnsemble.
fn flat_trees<T: Precision>(attributes: &Attributes) -> Result<Ensemble<T>, String> {
    if attributes.integer(c"post_transform").is_some_and(|number| number != 0) {
        return Err("trees are not followed by a transformation here".to_string());
    }
    let average = match attributes.integer(c"aggregate_function") {
        None | Some(1) => false,
        Some(0) => true,
        Some(_) => return Err("trees are not aggregated by their extremes here".to_string()),
    };
    let flat = Flat {
        roots: attributes.integers(c"tree_roots"),
        features: attributes.integers(c"nodes_featureids"),
        modes: attributes.tensor(c"nodes_modes"),
        splits: attributes.tensor(c"nodes_splits"),
        yes: attributes.integers(c"nodes_truenodeids"),
        no: attributes.integers(c"nodes_falsenodeids"),
        yes_is_leaf: attributes.integers(c"nodes_trueleafs"),
        no_is_leaf: attributes.integers(c"nodes_falseleafs"),
        missing_yes: attributes.integers(c"nodes_missing_value_tracks_true"),
        members: attributes.tensor(c"membership_values"),
        leaf_targets: attributes.integers(c"leaf_targetids"),
        leaf_weights: attributes.tensor(c"leaf_weights"),
        targets: attributes.integer(c"n_targets").unwrap_or(1),
        average,
    };
    flat.ensemble().ok_or_else(|| UNFIT.to_string())
}

/// LinearRegressor.
fn linear(attributes: &Attributes) -> Result<Linear<f32>, String> {
    if attributes.text(c"post_transform").is_some_and(|name| name != "NONE") {
        return Err("sums are not followed by a transformation here".to_string());
    }
    let targets = usize::try_from(attributes.integer(c"targets").unwrap_or(1)).unwrap_or(0);
    Linear::new(attributes.floats(c"coefficients"), attributes.floats(c"intercepts"), targets)
        .ok_or_else(|| UNFIT.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::onnxruntime::operators::tests::in_tasks;

    #[test]
    fn tasks_share_the_rows() {
        let linear = Linear::new(vec![1.0f32, 2.0], vec![0.5, -0.5], 2).unwrap();
        for (count, width) in [(0, 1), (1, 1), (511, 3), (512, 1), (513, 2), (100_000, 1)] {
            let rows: Vec<f32> = (0..count * width).map(|i| (i % 1000) as f32).collect();
            let answers = in_tasks(&linear, &rows, count, width).unwrap();
            let expected: Vec<f32> = rows.chunks(width).flat_map(|row| [row[0] + 0.5, 2.0 * row[0] - 0.5]).collect();
            assert_eq!(answers, expected);
        }
    }

    #[test]
    fn rows_of_no_width_are_rows() {
        let leaf = Ensemble {
            nodes: vec![],
            leaves: vec![vec![(0, 7.0f32)]],
            roots: vec![],
            targets: 1,
            base: vec![7.0],
            average: false,
        };
        let trees = Trees::<f32, f32>::of(&leaf).unwrap();
        for count in [0, 1, 511, 512, 513, 100_000] {
            assert_eq!(in_tasks(&trees, &[], count, 0).unwrap(), vec![7.0; count]);
        }
    }
}
