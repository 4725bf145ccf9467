//! Whole numbers over a power of ten → floating point, as the host's CAST has it. DuckDB 2 rounds the exact value once;
//! DuckDB 1 divides, above the numbers that it holds exactly in two parts.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the host rounds in two parts. One process has one DuckDB, or several that agree.
static IN_PARTS: AtomicBool = AtomicBool::new(false);

pub fn round_in_parts(in_parts: bool) {
    IN_PARTS.store(in_parts, Ordering::Relaxed);
}

const TENS: [f64; 40] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22, 1e23, 1e24, 1e25, 1e26, 1e27, 1e28, 1e29, 1e30, 1e31, 1e32, 1e33, 1e34, 1e35, 1e36, 1e37, 1e38, 1e39,
];
/// Powers of ten up to this one are held exactly by a double.
const EXACT_TENS: usize = 22;
const EXACT_DOUBLES: u128 = 1 << 53;
const EXACT_SINGLES: u128 = 1 << 24;

/// How a column's values become floating point.
#[derive(Clone, Copy)]
pub struct Rounding {
    scale: usize,
    in_parts: bool,
    /// The column's integers have 128 bits, which DuckDB 1 casts in parts of their own.
    is_wide: bool,
    /// The column's integers have 16 bits, which DuckDB 1 never divides in parts.
    is_narrow: bool,
}

impl Rounding {
    pub fn new(scale: u32, bits: usize) -> Rounding {
        let in_parts = IN_PARTS.load(Ordering::Relaxed);
        Rounding { scale: scale as usize, in_parts, is_wide: bits == 128, is_narrow: bits <= 16 }
    }

    pub fn f64(self, value: i128) -> f64 {
        let tens = TENS[self.scale];
        let is_exact = value.unsigned_abs() <= EXACT_DOUBLES;
        if is_exact && self.scale <= EXACT_TENS {
            return value as f64 / tens; // both are exact, so that this rounds once
        }
        if !self.in_parts {
            return format!("{value}e-{}", self.scale).parse().unwrap_or(f64::NAN);
        }
        if is_exact || self.scale == 0 {
            return self.whole(value) / tens;
        }
        let unit = 10i128.pow(self.scale as u32);
        self.whole(value / unit) + self.whole(value % unit) / tens
    }

    pub fn f32(self, value: i128) -> f32 {
        if !self.in_parts {
            let double = self.f64(value);
            let is_between = double.to_bits() & 0x1fff_ffff == 0x1000_0000;
            if self.scale == 0 && !self.is_wide {
                return value as f32;
            }
            return match is_between {
                // halfway between two singles the double has lost on which side the value is
                true => format!("{value}e-{}", self.scale).parse().unwrap_or(f32::NAN),
                false => double as f32,
            };
        }
        let tens = TENS[self.scale] as f32;
        if self.is_narrow || value.unsigned_abs() <= EXACT_SINGLES || self.scale == 0 {
            return self.single(value) / tens;
        }
        let unit = 10i128.pow(self.scale as u32);
        self.single(value / unit) + self.single(value % unit) / tens
    }

    fn single(self, value: i128) -> f32 {
        if self.is_wide { self.whole(value) as f32 } else { value as f32 }
    }

    /// A whole number, as DuckDB 1 casts it.
    fn whole(self, value: i128) -> f64 {
        if !self.is_wide {
            return value as f64;
        }
        let (upper, lower) = ((value >> 64) as i64, value as u64);
        match upper {
            -1 => -((u64::MAX - lower) as f64) - 1.0,
            _ => lower as f64 + upper as f64 * u64::MAX as f64,
        }
    }
}

/// A whole number without a sign, as the host casts it.
pub fn unsigned(value: u128) -> f64 {
    let (upper, lower) = ((value >> 64) as u64, value as u64);
    match IN_PARTS.load(Ordering::Relaxed) {
        true => lower as f64 + upper as f64 * u64::MAX as f64,
        false => value as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounding(scale: u32, in_parts: bool) -> Rounding {
        Rounding { in_parts, ..Rounding::new(scale, 128) }
    }

    #[test]
    fn the_exact_value_is_rounded_once() {
        assert_eq!(rounding(17, false).f64(333_333_333_333_438_062), 3.333_333_333_334_380_6);
        assert_eq!(rounding(38, false).f64(i128::from(i64::MAX) << 60), 1.063_382_396_627_932_7e37 / 1e38);
        assert_eq!(rounding(7, false).f32(-246_757_746), -24.675_776);
        assert_eq!(rounding(0, false).f64(-174_876_466_980_776_913), -1.748_764_669_807_769_3e17);
    }

    #[test]
    fn halfway_values_are_told_apart() {
        // 2^24 + 1 lies between two singles; a little more or less decides, and a double does not hold so little
        let half = 16_777_217_i128 * 10i128.pow(20);
        assert_eq!(rounding(20, false).f32(half + 1), 16_777_218.0);
        assert_eq!(rounding(20, false).f32(half - 1), 16_777_216.0);
        assert_eq!(rounding(20, false).f32(half), 16_777_216.0);
    }

    #[test]
    fn parts_are_those_of_duckdb_1() {
        assert_eq!(rounding(0, true).f64(-174_876_466_980_776_913), -1.748_764_669_807_769e17);
        assert_eq!(rounding(12, true).f32(-56_157_931), -5.615_793_3e-5);
        let narrow = Rounding { in_parts: true, ..Rounding::new(2, 16) };
        assert_eq!(narrow.f32(12_345), 123.45);
    }
}
