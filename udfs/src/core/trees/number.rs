//! The two precisions that trees compute in.

use std::ops::{Add, Div};

pub trait Number:
    Copy + Default + PartialOrd + Add<Output = Self> + Div<Output = Self> + Send + Sync + 'static
{
    fn is_nan(self) -> bool;
    /// The next number below; None below all others, and for NaN.
    fn next_below(self) -> Option<Self>;
    /// Equal for equal numbers: 0.0 and -0.0 are one.
    fn key(self) -> u64;
    fn nan() -> Self;
    fn of_count(count: usize) -> Self;
    fn of_double(double: f64) -> Self;
}

macro_rules! number {
    ($($float:ty),*) => {$(
        impl Number for $float {
            #[inline(always)]
            fn is_nan(self) -> bool {
                self.is_nan()
            }
            fn next_below(self) -> Option<Self> {
                (self > Self::NEG_INFINITY).then(|| self.next_down())
            }
            fn key(self) -> u64 {
                u64::from((self + 0.0).to_bits())
            }
            fn nan() -> Self {
                Self::NAN
            }
            fn of_count(count: usize) -> Self {
                count as Self
            }
            fn of_double(double: f64) -> Self {
                double as Self
            }
        }
    )*};
}
number!(f32, f64);

/// What a sum of `T` is answered as.
pub trait Answer<T>: Copy + Default + 'static {
    fn of(sum: T) -> Self;
}

impl<T: Number> Answer<T> for T {
    #[inline(always)]
    fn of(sum: T) -> T {
        sum
    }
}

impl Answer<f64> for f32 {
    #[inline(always)]
    fn of(sum: f64) -> f32 {
        sum as f32
    }
}
