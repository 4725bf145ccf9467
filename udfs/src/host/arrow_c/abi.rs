//! The structures of the Arrow C data interface: <https://arrow.apache.org/docs/format/CDataInterface.html>.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;

use crate::core::error::{Error, Result};

#[repr(C)]
pub struct ArrowSchema {
    pub format: *const c_char,
    pub name: *const c_char,
    pub metadata: *const c_char,
    pub flags: i64,
    pub n_children: i64,
    pub children: *mut *mut ArrowSchema,
    pub dictionary: *mut ArrowSchema,
    pub release: Option<unsafe extern "C" fn(*mut ArrowSchema)>,
    pub private_data: *mut c_void,
}

#[repr(C)]
pub struct ArrowArray {
    pub length: i64,
    pub null_count: i64,
    pub offset: i64,
    pub n_buffers: i64,
    pub n_children: i64,
    pub buffers: *mut *const c_void,
    pub children: *mut *mut ArrowArray,
    pub dictionary: *mut ArrowArray,
    pub release: Option<unsafe extern "C" fn(*mut ArrowArray)>,
    pub private_data: *mut c_void,
}

// SAFETY: what is released is neither read nor written by two threads at once, and the interface lets any thread do it.
unsafe impl Send for ArrowSchema {}
// SAFETY: as above.
unsafe impl Send for ArrowArray {}

// SAFETY: threads that share one only read it.
unsafe impl Sync for ArrowSchema {}
// SAFETY: as above.
unsafe impl Sync for ArrowArray {}

pub const NULLABLE: i64 = 2;

impl ArrowSchema {
    pub const RELEASED: ArrowSchema = ArrowSchema {
        format: ptr::null(),
        name: ptr::null(),
        metadata: ptr::null(),
        flags: 0,
        n_children: 0,
        children: ptr::null_mut(),
        dictionary: ptr::null_mut(),
        release: None,
        private_data: ptr::null_mut(),
    };

    /// # Safety
    /// The schema must be one that is not released.
    pub unsafe fn format(&self) -> Result<&str> {
        // SAFETY: promised by the caller.
        unsafe { text(self.format) }.ok_or_else(|| Error::new("a schema without a format"))
    }

    /// # Safety
    /// As for `format`.
    pub unsafe fn name(&self) -> &str {
        // SAFETY: promised by the caller.
        unsafe { text(self.name) }.unwrap_or_default()
    }

    /// # Safety
    /// As for `format`.
    pub unsafe fn children(&self) -> Result<Vec<&ArrowSchema>> {
        // SAFETY: promised by the caller.
        unsafe { all(self.children, self.n_children) }
    }
}

impl ArrowArray {
    pub const RELEASED: ArrowArray = ArrowArray {
        length: 0,
        null_count: 0,
        offset: 0,
        n_buffers: 0,
        n_children: 0,
        buffers: ptr::null_mut(),
        children: ptr::null_mut(),
        dictionary: ptr::null_mut(),
        release: None,
        private_data: ptr::null_mut(),
    };

    /// # Safety
    /// The array must be one that is not released.
    pub unsafe fn children(&self) -> Result<Vec<&ArrowArray>> {
        // SAFETY: promised by the caller.
        unsafe { all(self.children, self.n_children) }
    }

    /// # Safety
    /// As for `children`.
    pub unsafe fn buffer(&self, i: usize) -> Result<*const c_void> {
        if i as i64 >= self.n_buffers || self.buffers.is_null() {
            return Err(Error::new(format!("an array of {} buffers, of which one more is needed", self.n_buffers)));
        }
        // SAFETY: the array has so many buffers.
        Ok(unsafe { *self.buffers.add(i) })
    }
}

/// # Safety
/// `text` must be null or NUL-terminated, and outlive what is given.
pub unsafe fn text<'a>(text: *const c_char) -> Option<&'a str> {
    if text.is_null() {
        return None;
    }
    // SAFETY: promised by the caller.
    unsafe { CStr::from_ptr(text) }.to_str().ok()
}

/// # Safety
/// `children` must point to so many pointers, which are valid.
unsafe fn all<'a, T>(children: *mut *mut T, count: i64) -> Result<Vec<&'a T>> {
    let child = |i: usize| {
        // SAFETY: promised by the caller.
        unsafe { (*children.add(i)).as_ref() }.ok_or_else(|| Error::new("a child that is null"))
    };
    match usize::try_from(count) {
        Ok(0) => Ok(Vec::new()),
        Ok(count) if !children.is_null() => (0..count).map(child).collect(),
        _ => Err(Error::new(format!("{count} children, which are not there"))),
    }
}

/// What was handed over, and is released when it is dropped.
macro_rules! owned {
    ($($name:ident of $structure:ident, $moved:expr;)*) => {$(
        pub struct $name(pub $structure);

        impl $name {
            /// Move it out of its place, which is a released one then. An error of what is null, or released already.
            ///
            /// # Safety
            /// The place must be null or one that the interface allows.
            pub unsafe fn taken(place: *mut $structure) -> Result<$name> {
                // SAFETY: promised by the caller.
                let found = unsafe { place.as_mut() }.filter(|found| found.release.is_some());
                let found = found.ok_or_else(|| Error::new(concat!("an ", stringify!($structure), " that is released")))?;
                Ok($name(std::mem::replace(found, $moved)))
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                if let Some(release) = self.0.release {
                    // SAFETY: it was handed over, and is released once.
                    unsafe { release(&mut self.0) };
                }
            }
        }
    )*};
}

owned! {
    OwnedSchema of ArrowSchema, ArrowSchema::RELEASED;
    OwnedArray of ArrowArray, ArrowArray::RELEASED;
}
