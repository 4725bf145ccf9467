//! Panics become errors, and nothing is printed: those of libraries, which report what is wrong with their input by one,
//! and our own, which must not leave what another program calls.

use std::any::Any;
use std::cell::Cell;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use super::error::{Error, Result as Answer};

thread_local! {
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// What the work gives, or what it said when it panicked.
pub fn caught<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if !EXPECTED.get() {
                before(panic);
            }
        }));
    });
    let outer = EXPECTED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    EXPECTED.set(outer);
    result.map_err(|panic| said(&*panic).to_string())
}

/// What a callback does, and each thread of ours: a panic there is a fault of ours.
pub fn guard<T>(work: impl FnOnce() -> Answer<T>) -> Answer<T> {
    let failed = |said| Err(Error::new(format!("sqlinfer failed inside: {said}; please report this")));
    caught(work).unwrap_or_else(failed)
}

/// What a callback does to drop data of ours.
///
/// # Safety
/// `data` must be a leaked box of a `T`, and is not used afterwards.
pub unsafe fn dropped<T>(data: *mut c_void) {
    let _ = guard(|| {
        // SAFETY: promised by the caller.
        drop(unsafe { Box::from_raw(data.cast::<T>()) });
        Ok(())
    });
}

/// The words of a panic.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_become_words() {
        assert_eq!(caught(|| 3), Ok(3));
        assert_eq!(caught(|| -> () { panic!("no {}", 1) }), Err("no 1".to_string()));
        assert_eq!(caught(|| -> () { panic!("plain") }), Err("plain".to_string()));
        assert_eq!(caught(|| caught(|| -> () { panic!("inner") })), Ok(Err("inner".to_string())));
        assert!(!EXPECTED.get());
    }

    #[test]
    fn a_guarded_panic_is_an_error() {
        assert_eq!(guard(|| Ok(3)), Ok(3));
        assert_eq!(guard(|| Err::<(), _>(Error::new("no".to_string()))), Err(Error::new("no".to_string())));
        let failed = guard(|| -> Answer<()> { panic!("no {}", 1) }).unwrap_err().to_string();
        assert_eq!(failed, "sqlinfer failed inside: no 1; please report this");
    }
}
