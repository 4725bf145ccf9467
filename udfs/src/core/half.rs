//! Half precision: float16 (IEEE 754 binary16) and bfloat16, held as their bits.

pub fn f16_from_f32(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let exponent = ((bits >> 23) & 0xff) as i32;
    let mantissa = bits & 0x7f_ffff;
    if exponent == 0xff {
        return sign | 0x7c00 | if mantissa != 0 { 0x200 | (mantissa >> 13) as u16 } else { 0 };
    }
    let unbiased = exponent - 127;
    if unbiased > 15 {
        return sign | 0x7c00;
    }
    // how many bits of the 24-bit significand fall off: 13 for normal numbers, more for subnormal ones
    let (significand, drop, base) = if unbiased >= -14 {
        (mantissa, 13, ((unbiased + 15) as u16) << 10)
    } else if unbiased >= -25 {
        (mantissa | 0x80_0000, (-1 - unbiased) as u32, 0)
    } else {
        return sign;
    };
    let kept = (significand >> drop) as u16;
    let rest = significand & ((1 << drop) - 1);
    let half = 1 << (drop - 1);
    let up = rest > half || (rest == half && kept & 1 == 1);
    sign | (base + kept + u16::from(up))
}

/// Rounded once: by way of a single that is rounded to an odd last bit where it is not exact, no tie comes up that is
/// none.
pub fn f16_from_f64(value: f64) -> u16 {
    let near = value as f32;
    if f64::from(near) == value || value.is_nan() {
        return f16_from_f32(near);
    }
    let above = f64::from(near).abs() > value.abs();
    f16_from_f32(f32::from_bits((near.to_bits() - u32::from(above)) | 1))
}

pub fn f32_from_f16(bits: u16) -> f32 {
    let sign = if bits & 0x8000 != 0 { -1.0 } else { 1.0 };
    let exponent = i32::from((bits >> 10) & 0x1f);
    let mantissa = f32::from(bits & 0x3ff);
    match exponent {
        0 => sign * mantissa * 2f32.powi(-24),
        0x1f if mantissa == 0.0 => sign * f32::INFINITY,
        0x1f => f32::NAN,
        _ => sign * (1.0 + mantissa / 1024.0) * 2f32.powi(exponent - 15),
    }
}

pub fn bf16_from_f32(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    let up = 0x7fff + ((bits >> 16) & 1);
    (bits.wrapping_add(up) >> 16) as u16
}

pub fn f32_from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_round_trips() {
        for bits in 0..=u16::MAX {
            let value = f32_from_f16(bits);
            if value.is_nan() {
                assert!(f32_from_f16(f16_from_f32(value)).is_nan());
            } else {
                assert_eq!(f16_from_f32(value), bits);
            }
        }
    }

    #[test]
    fn rounds_to_even() {
        assert_eq!(f16_from_f32(1.0 + 1.0 / 2048.0), 0x3c00);
        assert_eq!(f16_from_f32(1.0 + 3.0 / 2048.0), 0x3c02);
        assert_eq!(f16_from_f32(65520.0), 0x7c00);
        assert_eq!(f16_from_f64(1.0 + 1.0 / 2048.0 + 2f64.powi(-40)), 0x3c01);
        assert_eq!(f16_from_f64(1.0 + 3.0 / 2048.0 - 2f64.powi(-40)), 0x3c01);
        assert_eq!(f16_from_f64(-1e300), 0xfc00);
        assert_eq!(f16_from_f64(1e-300), 0);
        assert!(f32_from_f16(f16_from_f64(f64::NAN)).is_nan());
        assert_eq!(f16_from_f32(2f32.powi(-25)), 0);
        assert_eq!(f32_from_bf16(bf16_from_f32(1.5)), 1.5);
        assert!(f32_from_bf16(bf16_from_f32(f32::NAN)).is_nan());
    }
}
