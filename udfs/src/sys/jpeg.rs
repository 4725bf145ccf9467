//! libjpeg answers for damaged files, too, with a warning, and not always the same: here a warning is an error.

use std::ffi::c_int;

use mozjpeg_sys::{jpeg_common_struct, jpeg_error_mgr, jpeg_std_error};

/// What a decoder reports to: it unwinds with the message, for a warning as for an error.
pub fn strict() -> jpeg_error_mgr {
    // SAFETY: all zeros are a valid value of this structure of numbers and optional functions.
    let mut manager: jpeg_error_mgr = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is valid; the function fills it.
    unsafe { jpeg_std_error(&mut manager) };
    manager.error_exit = Some(unwind);
    manager.emit_message = Some(unwind_for_warnings);
    manager
}

unsafe extern "C-unwind" fn unwind_for_warnings(decoder: &mut jpeg_common_struct, level: c_int) {
    if level < 0 {
        // SAFETY: libjpeg calls with its own structure.
        unsafe { unwind(decoder) };
    }
}

unsafe extern "C-unwind" fn unwind(decoder: &mut jpeg_common_struct) {
    let mut message = [0u8; 80];
    // SAFETY: the manager is that of the decoder, which is alive.
    if let Some(format) = unsafe { decoder.err.as_ref() }.and_then(|manager| manager.format_message) {
        // SAFETY: the buffer has the length that libjpeg asks for; the binding calls it read-only, and it is written.
        unsafe {
            type Format = unsafe extern "C-unwind" fn(&mut jpeg_common_struct, &mut [u8; 80]);
            std::mem::transmute::<unsafe extern "C-unwind" fn(&mut jpeg_common_struct, &[u8; 80]), Format>(format)(
                decoder,
                &mut message,
            );
        }
    }
    let text = message.split(|byte| *byte == 0).next().unwrap_or_default();
    std::panic::resume_unwind(Box::new(String::from_utf8_lossy(text).into_owned()));
}
