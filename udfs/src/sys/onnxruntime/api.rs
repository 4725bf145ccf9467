//! ONNX Runtime's table of functions: whole or made whole, what it says of errors and of tensors.

use std::ffi::CStr;
use std::ptr;

use ort_sys::{
    ONNXTensorElementDataType as Element, OrtApi, OrtApiBase, OrtStatusPtr, OrtTensorTypeAndShapeInfo, OrtValue,
};

/// The oldest version that serves.
pub const OLDEST: u32 = 17;

pub fn version_of(base: &OrtApiBase) -> String {
    // SAFETY: GetVersionString gives static text.
    unsafe { CStr::from_ptr((base.GetVersionString)()) }.to_string_lossy().into_owned()
}

/// Whether the runtime has this version of the API. Asked for one that it has not, it would print that.
pub fn supports(base: &OrtApiBase, api: u32) -> bool {
    let version = version_of(base);
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(1), Some(api))
}

/// An older table of functions as a whole one: those that it lacks answer with an error.
///
/// # Safety
/// `old` must point to a table of version `OLDEST` or later.
pub unsafe fn complete(old: *const OrtApi) -> OrtApi {
    let mut whole = ort_sys::stub::api();
    let known = std::mem::offset_of!(OrtApi, SessionOptionsAppendExecutionProvider_VitisAI); // the first of version 18
    // SAFETY: the caller promises that the first `known` bytes are there; both tables begin alike.
    unsafe { ptr::copy_nonoverlapping(old.cast::<u8>(), ptr::from_mut(&mut whole).cast::<u8>(), known) };
    whole
}

/// Ok, or what ONNX Runtime says went wrong.
pub fn check(api: &OrtApi, status: OrtStatusPtr) -> Result<(), String> {
    if status.0.is_null() {
        return Ok(());
    }
    // SAFETY: the status is not null; its message lives until it is released.
    let message = unsafe { CStr::from_ptr((api.GetErrorMessage)(status.0)) }.to_string_lossy().into_owned();
    // SAFETY: the status is ours and not used afterwards.
    unsafe { (api.ReleaseStatus)(status.0) };
    Err(message)
}

/// The shape and the type of a tensor.
pub fn facts(api: &OrtApi, tensor: *const OrtValue) -> Result<(Vec<usize>, Element), String> {
    let mut info: *mut OrtTensorTypeAndShapeInfo = ptr::null_mut();
    // SAFETY: the value is a tensor and the out-pointer is valid.
    check(api, unsafe { (api.GetTensorTypeAndShape)(tensor, &mut info) })?;
    let mut element = Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    let mut rank = 0;
    let mut shape: Vec<i64> = Vec::new();
    // SAFETY: `info` is valid until it is released below; `shape` has room for `rank` numbers.
    let statuses = unsafe {
        let first = [(api.GetTensorElementType)(info, &mut element), (api.GetDimensionsCount)(info, &mut rank)];
        shape.resize(rank, 0);
        let last = (api.GetDimensions)(info, shape.as_mut_ptr(), rank);
        (api.ReleaseTensorTypeAndShapeInfo)(info);
        first.into_iter().chain([last])
    };
    statuses.into_iter().map(|status| check(api, status)).collect::<Vec<_>>().into_iter().collect::<Result<(), _>>()?;
    let lengths: Result<Vec<usize>, _> = shape.iter().map(|length| usize::try_from(*length)).collect();
    Ok((lengths.map_err(|_| format!("a tensor of shape {shape:?}"))?, element))
}

/// How many values a tensor of this shape has.
pub fn product(shape: &[usize]) -> Result<usize, String> {
    if shape.contains(&0) {
        return Ok(0);
    }
    let product = shape.iter().try_fold(1usize, |product, length| product.checked_mul(*length));
    product.ok_or_else(|| format!("a tensor of shape {shape:?} has more values than can be counted"))
}
