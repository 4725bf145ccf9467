//! The attributes of a node of a graph, as ONNX Runtime tells them to its kernel.

use std::ffi::{CStr, c_char};
use std::ptr;

use ort_sys::{ONNXTensorElementDataType, OrtAllocator, OrtApi, OrtKernelInfo, OrtStatusPtr, OrtValue};

use super::api::{check, facts, product};

pub struct Attributes {
    api: &'static OrtApi,
    info: *const OrtKernelInfo,
    allocator: *mut OrtAllocator,
}

impl Attributes {
    /// # Safety
    /// The info must be valid for as long as this is used.
    pub unsafe fn of(api: &'static OrtApi, info: *const OrtKernelInfo) -> Result<Attributes, String> {
        let mut allocator = ptr::null_mut();
        // SAFETY: the out-pointer is valid; the default allocator lives as long as the library.
        check(api, unsafe { (api.GetAllocatorWithDefaultOptions)(&mut allocator) })?;
        Ok(Attributes { api, info, allocator })
    }

    /// Whether the call went well; an attribute that is not there is no error here.
    fn given(&self, status: OrtStatusPtr) -> bool {
        check(self.api, status).is_ok()
    }

    pub fn integer(&self, name: &CStr) -> Option<i64> {
        let mut value = 0;
        // SAFETY: name and out-pointer are valid.
        let status = unsafe { (self.api.KernelInfoGetAttribute_int64)(self.info, name.as_ptr(), &mut value) };
        self.given(status).then_some(value)
    }

    pub fn integers(&self, name: &CStr) -> Vec<i64> {
        self.list(name, self.api.KernelInfoGetAttributeArray_int64)
    }

    pub fn floats(&self, name: &CStr) -> Vec<f32> {
        self.list(name, self.api.KernelInfoGetAttributeArray_float)
    }

    fn list<T: Copy + Default>(
        &self,
        name: &CStr,
        get: unsafe extern "system" fn(*const OrtKernelInfo, *const c_char, *mut T, *mut usize) -> OrtStatusPtr,
    ) -> Vec<T> {
        let mut size = 0;
        // SAFETY: without a buffer the function tells the size.
        if !self.given(unsafe { get(self.info, name.as_ptr(), ptr::null_mut(), &mut size) }) {
            return Vec::new();
        }
        let mut values = vec![T::default(); size];
        // SAFETY: the buffer has room for `size` values.
        let status = unsafe { get(self.info, name.as_ptr(), values.as_mut_ptr(), &mut size) };
        if self.given(status) { values } else { Vec::new() }
    }

    pub fn text(&self, name: &CStr) -> Option<String> {
        let mut size = 0;
        let get = self.api.KernelInfoGetAttribute_string;
        // SAFETY: without a buffer the function tells the size.
        if !self.given(unsafe { get(self.info, name.as_ptr(), ptr::null_mut(), &mut size) }) {
            return None;
        }
        let mut bytes = vec![0u8; size];
        // SAFETY: the buffer has room for `size` bytes.
        let status = unsafe { get(self.info, name.as_ptr(), bytes.as_mut_ptr().cast(), &mut size) };
        let text = CStr::from_bytes_until_nul(&bytes).ok().map(|text| text.to_string_lossy().into_owned());
        text.filter(|_| self.given(status))
    }

    pub fn texts(&self, name: &CStr) -> Vec<String> {
        let (mut texts, mut size) = (ptr::null_mut(), 0);
        let get = self.api.KernelInfoGetAttributeArray_string;
        // SAFETY: name, allocator and out-pointers are valid.
        if !self.given(unsafe { get(self.info, name.as_ptr(), self.allocator, &mut texts, &mut size) }) {
            return Vec::new();
        }
        let read = |place: usize| {
            // SAFETY: the list has `size` NUL-terminated texts.
            let text = unsafe { *texts.add(place) };
            // SAFETY: as above.
            let owned = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
            self.free(text.cast());
            owned
        };
        let owned = (0..size).map(read).collect();
        self.free(texts.cast());
        owned
    }

    fn free(&self, memory: *mut std::ffi::c_void) {
        // SAFETY: the memory came from this allocator, and is not used afterwards.
        let status = unsafe { (self.api.AllocatorFree)(self.allocator, memory) };
        self.given(status);
    }

    /// The values of a tensor of this type; none where the attribute is missing, or a tensor of another type.
    pub fn tensor<T: Element>(&self, name: &CStr) -> Vec<T> {
        let mut value = ptr::null_mut();
        let get = self.api.KernelInfoGetAttribute_tensor;
        // SAFETY: name, allocator and out-pointer are valid.
        if !self.given(unsafe { get(self.info, name.as_ptr(), self.allocator, &mut value) }) {
            return Vec::new();
        }
        let values = self.copied(value).unwrap_or_default();
        // SAFETY: the value is ours and is released once.
        unsafe { (self.api.ReleaseValue)(value) };
        values
    }

    fn copied<T: Element>(&self, tensor: *mut OrtValue) -> Option<Vec<T>> {
        let (shape, element) = facts(self.api, tensor).ok()?;
        let mut data = ptr::null_mut();
        // SAFETY: the value is a tensor and the out-pointer valid.
        let status = unsafe { (self.api.GetTensorMutableData)(tensor, &mut data) };
        let count = product(&shape).ok()?;
        if !self.given(status) || element != T::TYPE || count == 0 {
            return None;
        }
        // SAFETY: ONNX Runtime says that the tensor holds `count` values of this type; it aligns tensors.
        Some(unsafe { std::slice::from_raw_parts(data.cast::<T>(), count) }.to_vec())
    }
}

/// What tensors hold that attributes and operators have.
pub trait Element: Copy + Default + Send + Sync + 'static {
    const TYPE: ONNXTensorElementDataType;
}

impl Element for u8 {
    const TYPE: ONNXTensorElementDataType = ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
}

impl Element for f32 {
    const TYPE: ONNXTensorElementDataType = ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
}

impl Element for f64 {
    const TYPE: ONNXTensorElementDataType = ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE;
}
