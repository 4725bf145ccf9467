//! Tensors of ONNX Runtime's: lent to a run, and copied out of it.

use std::ffi::{CStr, c_char, c_void};
use std::ops::Range;
use std::ptr;

use ort_sys::{ONNXTensorElementDataType as Element, ONNXType, OrtValue};

use super::api::{check, facts, product};
use super::runtime::Runtime;
use crate::on_buffer;
use crate::sys::tensor::{Buffer, Tensor, Texts};

/// One input of a run: `values` of the buffer, as a tensor of `shape`.
pub struct Feed<'a> {
    pub name: &'a CStr,
    pub buffer: &'a Buffer,
    pub values: Range<usize>,
    pub shape: Vec<i64>,
}

pub struct Value {
    pub runtime: &'static Runtime,
    pub raw: *mut OrtValue,
}

impl Drop for Value {
    fn drop(&mut self) {
        if !self.raw.is_null() {
            // SAFETY: the value is ours and is released once.
            unsafe { (self.runtime.api.ReleaseValue)(self.raw) };
        }
    }
}

impl Value {
    /// Numbers are lent to ONNX Runtime, texts are copied; the feed must outlive the value.
    pub fn of(runtime: &'static Runtime, feed: &Feed) -> Result<Value, String> {
        if let Buffer::Text(texts) = feed.buffer {
            return Value::of_texts(runtime, texts, feed);
        }
        fn part<T>(values: &[T], range: &Range<usize>) -> (*const c_void, usize) {
            let part = &values[range.clone()];
            (part.as_ptr().cast(), size_of_val(part))
        }
        let element = element(feed.buffer);
        let (data, bytes) = on_buffer!(feed.buffer, v => part(v, &feed.values), t => part(&t.bytes, &(0..0)));
        let mut value = Value { runtime, raw: ptr::null_mut() };
        // SAFETY: the data has `bytes` bytes of the element type, which the shape covers, or ONNX Runtime refuses it;
        // inputs are only read, and the buffer outlives the value.
        let status = unsafe {
            (runtime.api.CreateTensorWithDataAsOrtValue)(
                runtime.cpu,
                data.cast_mut(),
                bytes,
                feed.shape.as_ptr(),
                feed.shape.len(),
                element,
                &mut value.raw,
            )
        };
        check(runtime.api, status)?;
        Ok(value)
    }

    fn of_texts(runtime: &'static Runtime, texts: &Texts, feed: &Feed) -> Result<Value, String> {
        let api = runtime.api;
        let mut allocator = ptr::null_mut();
        // SAFETY: the out-pointer is valid; the default allocator lives as long as the library.
        check(api, unsafe { (api.GetAllocatorWithDefaultOptions)(&mut allocator) })?;
        let mut value = Value { runtime, raw: ptr::null_mut() };
        // SAFETY: allocator, shape and out-pointer are valid.
        let status = unsafe {
            (api.CreateTensorAsOrtValue)(
                allocator,
                feed.shape.as_ptr(),
                feed.shape.len(),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING,
                &mut value.raw,
            )
        };
        check(api, status)?;
        for (i, cell) in feed.values.clone().enumerate() {
            let text = texts.get(cell);
            let mut place: *mut c_char = ptr::null_mut();
            // SAFETY: `i` is below the number of elements, which the shape gives; the buffer that comes back has
            // room for `text.len()` bytes.
            unsafe {
                check(api, (api.GetResizedStringTensorElementBuffer)(value.raw, i, text.len(), &mut place))?;
                ptr::copy_nonoverlapping(text.as_ptr(), place.cast(), text.len());
            }
        }
        Ok(value)
    }

    pub fn tensor(&self) -> Result<Tensor, String> {
        let api = self.runtime.api;
        let mut kind = ONNXType::ONNX_TYPE_UNKNOWN;
        // SAFETY: the value and the out-pointer are valid.
        check(api, unsafe { (api.GetValueType)(self.raw, &mut kind) })?;
        if kind != ONNXType::ONNX_TYPE_TENSOR {
            return Err("an output is not a tensor".to_string());
        }
        let (shape, element) = facts(api, self.raw)?;
        let count = product(&shape)?;
        let data = match element {
            Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING => Buffer::Text(self.texts(count)?),
            _ => self.numbers(element, count)?,
        };
        Ok(Tensor { shape, data })
    }

    fn numbers(&self, element: Element, count: usize) -> Result<Buffer, String> {
        let mut data: *mut c_void = ptr::null_mut();
        // SAFETY: the value is a tensor of numbers and the out-pointer is valid.
        check(self.runtime.api, unsafe { (self.runtime.api.GetTensorMutableData)(self.raw, &mut data) })?;
        /// # Safety
        /// `data` must hold `count` values of the type, unless `count` is 0.
        unsafe fn copied<T: Copy>(data: *const c_void, count: usize) -> Vec<T> {
            if count == 0 {
                return Vec::new();
            }
            // SAFETY: promised by the caller; ONNX Runtime aligns tensors to 64 bytes.
            unsafe { std::slice::from_raw_parts(data.cast::<T>(), count) }.to_vec()
        }
        // SAFETY: ONNX Runtime says that the tensor holds `count` elements of this type.
        Ok(unsafe {
            match element {
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT => Buffer::F32(copied(data, count)),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE => Buffer::F64(copied(data, count)),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16 => Buffer::F16(copied(data, count)),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16 => Buffer::Bf16(copied(data, count)),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8 => Buffer::I8(copied(data, count)),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16 => Buffer::I16(copied(data, count)),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32 => Buffer::I32(copied(data, count)),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64 => Buffer::I64(copied(data, count)),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 => Buffer::U8(copied(data, count)),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16 => Buffer::U16(copied(data, count)),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32 => Buffer::U32(copied(data, count)),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64 => Buffer::U64(copied(data, count)),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL => Buffer::Bool(copied(data, count)),
                _ => return Err("an output has an element type that SQL does not have".to_string()),
            }
        })
    }

    fn texts(&self, count: usize) -> Result<Texts, String> {
        let api = self.runtime.api;
        let mut length = 0;
        // SAFETY: the value is a tensor of texts and the out-pointer is valid.
        check(api, unsafe { (api.GetStringTensorDataLength)(self.raw, &mut length) })?;
        let mut bytes = vec![0u8; length];
        let mut starts = vec![0usize; count];
        // SAFETY: both buffers have the lengths given.
        let status = unsafe {
            (api.GetStringTensorContent)(self.raw, bytes.as_mut_ptr().cast(), length, starts.as_mut_ptr(), count)
        };
        check(api, status)?;
        let ends = starts.iter().skip(1).copied().chain([length]);
        let cells = starts.iter().zip(ends).map(|(start, end)| (*start, end - start)).collect();
        Ok(Texts { bytes, cells })
    }
}

fn element(buffer: &Buffer) -> Element {
    match buffer {
        Buffer::F32(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
        Buffer::F64(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE,
        Buffer::F16(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
        Buffer::Bf16(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16,
        Buffer::I8(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8,
        Buffer::I16(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16,
        Buffer::I32(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
        Buffer::I64(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,
        Buffer::U8(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
        Buffer::U16(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16,
        Buffer::U32(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32,
        Buffer::U64(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64,
        Buffer::Bool(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL,
        Buffer::Text(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING,
    }
}
