//! Ctrl-C, told by a program that sees it: the stable API does not show a function that its query was cancelled, and
//! one amid a large join would go on for hours.

use std::sync::atomic::{AtomicBool, Ordering};

use super::error::{Error, Result};

static PRESSED: AtomicBool = AtomicBool::new(false);

pub fn set(pressed: bool) {
    PRESSED.store(pressed, Ordering::Relaxed);
}

/// An error while Ctrl-C is pressed.
pub fn check() -> Result<()> {
    match PRESSED.load(Ordering::Relaxed) {
        true => Err(Error("interrupted".to_string())),
        false => Ok(()),
    }
}
