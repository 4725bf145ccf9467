//! What this processor can do beyond what every processor of its kind can.

use std::ffi::CStr;

/// What the widest vectors are called that `widest` computes with.
pub fn vectors() -> &'static CStr {
    #[cfg(target_arch = "x86_64")]
    return match () {
        () if avx512() => c"AVX-512",
        () if avx2() => c"AVX2",
        () => c"SSE2",
    };
    #[cfg(target_arch = "aarch64")]
    return c"NEON";
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return c"portable";
}

#[cfg(target_arch = "x86_64")]
fn avx512() -> bool {
    is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl") && is_x86_feature_detected!("avx512dq")
}

#[cfg(target_arch = "x86_64")]
fn avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2")
}

/// Work that gains from wide vectors. `run` and all that it calls must be `#[inline(always)]`: only what is inlined is
/// compiled for them.
pub trait Work {
    fn run(self);
}

/// Do the work with the widest vectors there are.
pub fn widest(work: impl Work) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512bw,avx512vl,avx512dq,bmi2")]
        fn with_avx512(work: impl Work) {
            work.run();
        }
        #[target_feature(enable = "avx2,bmi2")]
        fn with_avx2(work: impl Work) {
            work.run();
        }
        if avx512() {
            // SAFETY: the processor has just said that it can.
            return unsafe { with_avx512(work) };
        }
        if avx2() {
            // SAFETY: the processor has just said that it can.
            return unsafe { with_avx2(work) };
        }
    }
    work.run();
}
