//! Ctrl-C in the duckdb program: its own handler is called as before, and DuckDB looks at it between vectors only.

use std::sync::Once;

use crate::core::interrupt;

/// Other programs have their own ways with signals, which a library must not touch.
const PROGRAM: &str = "duckdb";

/// See Ctrl-C, in the duckdb program.
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if is_duckdb() && is_handled() {
            // SAFETY: the action adds to an atomic number, which a handler of signals may do.
            let registered = unsafe { signal_hook_registry::register(libc::SIGINT, interrupt::signalled) };
            // without it, queries stop later
            let _ = registered;
        }
    });
}

fn is_duckdb() -> bool {
    let program = std::env::current_exe();
    program.is_ok_and(|path| path.file_stem().is_some_and(|stem| stem == PROGRAM))
}

/// Whether the program does something of its own: a handler of ours would keep the signal from ending it.
fn is_handled() -> bool {
    // SAFETY: all zeros are a valid value of this plain structure.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: nothing is changed, and the out-pointer is valid.
    let asked = unsafe { libc::sigaction(libc::SIGINT, std::ptr::null(), &mut action) };
    asked == 0 && ![libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction)
}
