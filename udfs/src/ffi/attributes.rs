//! The attributes of a node of a graph, as ONNX Runtime tells them to its kernel.

use std::ffi::{CStr, c_char};
use std::ptr;

use ort_sys::{ONNXTensorElementDataType as Element, OrtAllocator, OrtApi, OrtKernelInfo, OrtStatusPtr, OrtValue};

use super::onnxruntime::{check, facts, product};
use crate::core::linear::Linear;
use crate::core::trees::{Ensemble, Flat, Named, Number};

/// A precision that ONNX has.
pub trait Precision: Number {
    const ELEMENT: Element;
}

impl Precision for f32 {
    const ELEMENT: Element = Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
}

impl Precision for f64 {
    const ELEMENT: Element = Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE;
}

const UNFIT: &str = "the lists do not fit each other";

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

    /// TreeEnsembleRegressor.
    pub fn named_trees<T: Precision>(&self) -> Result<Ensemble<T>, String> {
        if self.text(c"post_transform").is_some_and(|name| name != "NONE") {
            return Err("trees are not followed by a transformation here".to_string());
        }
        let average = match self.text(c"aggregate_function").as_deref() {
            None | Some("SUM") => false,
            Some("AVERAGE") => true,
            Some(other) => return Err(format!("trees are not aggregated by {other} here")),
        };
        let numbers = |name: &CStr, double: &CStr| {
            let doubles = self.tensor::<f64>(double);
            let singles = self.floats(name).into_iter().map(|single| T::of_double(single.into())).collect();
            if doubles.is_empty() { singles } else { doubles.into_iter().map(T::of_double).collect() }
        };
        let named = Named {
            trees: self.integers(c"nodes_treeids"),
            numbers: self.integers(c"nodes_nodeids"),
            features: self.integers(c"nodes_featureids"),
            modes: self.texts(c"nodes_modes"),
            splits: numbers(c"nodes_values", c"nodes_values_as_tensor"),
            yes: self.integers(c"nodes_truenodeids"),
            no: self.integers(c"nodes_falsenodeids"),
            missing_yes: self.integers(c"nodes_missing_value_tracks_true"),
            leaf_trees: self.integers(c"target_treeids"),
            leaf_numbers: self.integers(c"target_nodeids"),
            leaf_targets: self.integers(c"target_ids"),
            leaf_weights: numbers(c"target_weights", c"target_weights_as_tensor"),
            base: numbers(c"base_values", c"base_values_as_tensor"),
            targets: self.integer(c"n_targets").unwrap_or(1),
            average,
        };
        named.ensemble().ok_or_else(|| UNFIT.to_string())
    }

    /// TreeEnsemble.
    pub fn flat_trees<T: Precision>(&self) -> Result<Ensemble<T>, String> {
        if self.integer(c"post_transform").is_some_and(|number| number != 0) {
            return Err("trees are not followed by a transformation here".to_string());
        }
        let average = match self.integer(c"aggregate_function") {
            None | Some(1) => false,
            Some(0) => true,
            Some(_) => return Err("trees are not aggregated by their extremes here".to_string()),
        };
        let flat = Flat {
            roots: self.integers(c"tree_roots"),
            features: self.integers(c"nodes_featureids"),
            modes: self.tensor(c"nodes_modes"),
            splits: self.tensor(c"nodes_splits"),
            yes: self.integers(c"nodes_truenodeids"),
            no: self.integers(c"nodes_falsenodeids"),
            yes_is_leaf: self.integers(c"nodes_trueleafs"),
            no_is_leaf: self.integers(c"nodes_falseleafs"),
            missing_yes: self.integers(c"nodes_missing_value_tracks_true"),
            members: self.tensor(c"membership_values"),
            leaf_targets: self.integers(c"leaf_targetids"),
            leaf_weights: self.tensor(c"leaf_weights"),
            targets: self.integer(c"n_targets").unwrap_or(1),
            average,
        };
        flat.ensemble().ok_or_else(|| UNFIT.to_string())
    }

    /// LinearRegressor.
    pub fn linear(&self) -> Result<Linear<f32>, String> {
        if self.text(c"post_transform").is_some_and(|name| name != "NONE") {
            return Err("sums are not followed by a transformation here".to_string());
        }
        let targets = usize::try_from(self.integer(c"targets").unwrap_or(1)).unwrap_or(0);
        Linear::new(self.floats(c"coefficients"), self.floats(c"intercepts"), targets).ok_or_else(|| UNFIT.to_string())
    }

    /// Whether the call went well; an attribute that is not there is no error here.
    fn given(&self, status: OrtStatusPtr) -> bool {
        check(self.api, status).is_ok()
    }

    fn integer(&self, name: &CStr) -> Option<i64> {
        let mut value = 0;
        // SAFETY: name and out-pointer are valid.
        let status = unsafe { (self.api.KernelInfoGetAttribute_int64)(self.info, name.as_ptr(), &mut value) };
        self.given(status).then_some(value)
    }

    fn integers(&self, name: &CStr) -> Vec<i64> {
        self.list(name, self.api.KernelInfoGetAttributeArray_int64)
    }

    fn floats(&self, name: &CStr) -> Vec<f32> {
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

    fn text(&self, name: &CStr) -> Option<String> {
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

    fn texts(&self, name: &CStr) -> Vec<String> {
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
    fn tensor<T: Stored>(&self, name: &CStr) -> Vec<T> {
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

    fn copied<T: Stored>(&self, tensor: *mut OrtValue) -> Option<Vec<T>> {
        let (shape, element) = facts(self.api, tensor).ok()?;
        let mut data = ptr::null_mut();
        // SAFETY: the value is a tensor and the out-pointer valid.
        let status = unsafe { (self.api.GetTensorMutableData)(tensor, &mut data) };
        let count = product(&shape).ok()?;
        if !self.given(status) || element != T::ELEMENT || count == 0 {
            return None;
        }
        // SAFETY: ONNX Runtime says that the tensor holds `count` values of this type; it aligns tensors.
        Some(unsafe { std::slice::from_raw_parts(data.cast::<T>(), count) }.to_vec())
    }
}

/// What a tensor among the attributes may hold.
trait Stored: Copy {
    const ELEMENT: Element;
}

impl Stored for u8 {
    const ELEMENT: Element = Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
}

impl<T: Precision> Stored for T {
    const ELEMENT: Element = T::ELEMENT;
}
