//! What the Python package asks the extension: the pixels of images, so that every engine sees the same, and what files
//! hold that ONNX Runtime is not to be given.

use std::ffi::{CString, c_char};
use std::ptr;

use crate::core::error::Error;
use crate::core::preprocess::{decode, dimensions};
use crate::core::tree_limits::Trees;
use crate::sys::caught::guard;

/// Pixels [height, width, 3], or the reason why there are none; to be given back to `sqlinfer_free_image`.
#[repr(C)]
pub struct Decoded {
    pixels: *mut u8,
    height: usize,
    width: usize,
    reason: *mut c_char,
}

/// Decode a PNG or JPEG file of at most `most` pixels.
///
/// # Safety
/// `content` must have `length` bytes, and `decoded` must be writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlinfer_decode_image(content: *const u8, length: usize, most: u64, decoded: *mut Decoded) {
    let image = guard(|| {
        // SAFETY: promised by the caller.
        let image = decode(unsafe { bytes(content, length) }, most)?;
        let (width, height) = (image.width() as usize, image.height() as usize);
        let pixels = Box::into_raw(image.into_raw().into_boxed_slice()).cast();
        Ok(Decoded { pixels, height, width, reason: ptr::null_mut() })
    });
    let refused = |error: Error| Decoded { pixels: ptr::null_mut(), height: 0, width: 0, reason: text(&error.text) };
    // SAFETY: promised by the caller.
    unsafe { decoded.write(image.unwrap_or_else(refused)) };
}

/// The height in the upper and the width in the lower 32 bits, as the file says them; 0 where it does not.
///
/// # Safety
/// `content` must have `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlinfer_image_size(content: *const u8, length: usize) -> u64 {
    // SAFETY: promised by the caller.
    let size = guard(|| Ok(dimensions(unsafe { bytes(content, length) })));
    size.ok().flatten().map_or(0, |(width, height)| u64::from(height) << 32 | u64::from(width))
}

/// # Safety
/// `decoded` must have been filled by `sqlinfer_decode_image`, and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlinfer_free_image(decoded: *mut Decoded) {
    let _ = guard(|| {
        // SAFETY: promised by the caller.
        let Some(image) = (unsafe { decoded.as_mut() }) else { return Ok(()) };
        if !image.pixels.is_null() {
            let pixels = ptr::slice_from_raw_parts_mut(image.pixels, image.height * image.width * 3);
            // SAFETY: made above, of this length.
            drop(unsafe { Box::from_raw(pixels) });
        }
        if !image.reason.is_null() {
            // SAFETY: made above.
            unsafe { sqlinfer_free_text(image.reason) };
        }
        *image = Decoded { pixels: ptr::null_mut(), height: 0, width: 0, reason: ptr::null_mut() };
        Ok(())
    });
}

/// Why the trees of a model are not to be given to ONNX Runtime, or null; to be given back to `sqlinfer_free_text`.
///
/// # Safety
/// `model` must have `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlinfer_refuse_trees(model: *const u8, length: usize) -> *mut c_char {
    // SAFETY: promised by the caller.
    let trees = guard(|| Trees::of(unsafe { bytes(model, length) }).map_err(Error::new));
    trees.map_or_else(|error| text(&error.text), |_| ptr::null_mut())
}

/// # Safety
/// `text` must be null or come from a function here, and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlinfer_free_text(text: *mut c_char) {
    let _ = guard(|| {
        // SAFETY: promised by the caller.
        drop((!text.is_null()).then(|| unsafe { CString::from_raw(text) }));
        Ok(())
    });
}

fn text(words: &str) -> *mut c_char {
    CString::new(words.replace('\0', " ")).unwrap_or_default().into_raw()
}

/// # Safety
/// `content` must have `length` bytes that outlive the slice.
unsafe fn bytes<'a>(content: *const u8, length: usize) -> &'a [u8] {
    if content.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: promised by the caller.
    unsafe { std::slice::from_raw_parts(content, length) }
}
