//! ONNX Runtime's door: our operators for sessions that somebody else opens.

use ort_sys::{OrtApiBase, OrtSessionOptions, OrtStatusPtr};

use crate::core::operators::OPERATORS;
use crate::sys::caught::guard;
use crate::sys::onnxruntime::operators::register_in;

/// Called by ONNX Runtime for `SessionOptions.register_custom_ops_library`.
///
/// # Safety
/// To be called by ONNX Runtime, with options and its own API.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub unsafe extern "C" fn RegisterCustomOps(options: *mut OrtSessionOptions, base: *const OrtApiBase) -> OrtStatusPtr {
    // SAFETY: promised by the caller.
    guard(|| Ok(unsafe { register_in(options, base, &OPERATORS) })).unwrap_or_default()
}
