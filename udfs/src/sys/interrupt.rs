//! Whether a query was told to end. The stable API does not show that to a function, and one amid a large join, or a
//! run of a model, would go on for hours.

use std::sync::atomic::{AtomicBool, Ordering};

use super::error::{Code, Error, Result};

/// The flag of the connection that a query runs on.
#[derive(Clone, Copy)]
pub struct Interrupt(Option<&'static AtomicBool>);

impl Interrupt {
    /// Of a host that does not show one.
    pub const NONE: Interrupt = Interrupt(None);

    /// # Safety
    /// The flag must be valid for as long as this and its copies are used.
    pub unsafe fn at(flag: *mut bool) -> Interrupt {
        // SAFETY: promised by the caller; whoever writes it elsewhere writes an atomic, too.
        Interrupt(Some(unsafe { AtomicBool::from_ptr(flag) }))
    }

    pub fn is_set(self) -> bool {
        self.0.is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    pub fn check(self) -> Result<()> {
        if self.is_set() { Err(interrupted()) } else { Ok(()) }
    }
}

pub fn interrupted() -> Error {
    Error::of(Code::Interrupted, "interrupted".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_ends_what_looks_at_it() {
        let mut flag = false;
        // SAFETY: the flag outlives the interrupt.
        let interrupt = unsafe { Interrupt::at(&mut flag) };
        assert!(interrupt.check().is_ok() && Interrupt::NONE.check().is_ok());
        if let Some(flag) = interrupt.0 {
            flag.store(true, Ordering::Relaxed);
        }
        assert_eq!(interrupt.check(), Err(interrupted()));
    }
}
