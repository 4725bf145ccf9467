//! Ctrl-C, told by a program that sees it, or seen by a handler of signals: the stable API does not show a function that
//! its query was cancelled, and one amid a large join would go on for hours.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::error::{Error, Result};

static PRESSED: AtomicBool = AtomicBool::new(false);
static SIGNALS: AtomicUsize = AtomicUsize::new(0);

pub fn set(pressed: bool) {
    PRESSED.store(pressed, Ordering::Relaxed);
}

/// May be called by a handler of signals.
pub fn signalled() {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// What one query sees: a signal that came before it is not for it.
#[derive(Clone, Copy)]
pub struct Watch(usize);

impl Watch {
    pub fn new() -> Watch {
        Watch(SIGNALS.load(Ordering::Relaxed))
    }

    /// An error while Ctrl-C is pressed, or once the signal has come.
    pub fn check(self) -> Result<()> {
        match PRESSED.load(Ordering::Relaxed) || SIGNALS.load(Ordering::Relaxed) != self.0 {
            true => Err(Error("interrupted".to_string())),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_ends_what_had_begun() {
        let before = Watch::new();
        assert!(before.check().is_ok());
        signalled();
        assert!(before.check().is_err() && Watch::new().check().is_ok());
    }
}
