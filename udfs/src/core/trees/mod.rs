//! Decision trees at the speed of the vector units.
//!
//! ONNX Runtime walks each tree for each row: a chain of loads that the processor must wait for. Here all tests of a
//! tree are made for many rows at once, without branches, after QuickScorer (Lucchese et al., SIGIR 2015,
//! <https://doi.org/10.1145/2766462.2767733>) and RapidScorer (Ye et al., KDD 2018,
//! <https://doi.org/10.1145/3219819.3219857>): each tree keeps a bit for each of its leaves, left to right; a test that
//! fails clears the leaves on its `yes` side; the first leaf that is left is the row's.
//!
//! Values are first replaced by their rank among all the splits of their feature, which fits a byte or two, so that
//! one instruction makes a test for 32 rows (AVX2) or 64 (AVX-512).

mod ensemble;
mod kernel;
mod layout;
mod leafset;
mod number;
#[cfg(test)]
pub mod random;

pub use ensemble::{Ensemble, Flat, Named};
#[cfg(test)]
pub use ensemble::{Next, Test};
pub use kernel::Kernel;
pub use number::{Answer, Number};
