//! Where the flag is that interrupting a connection sets.

use std::sync::atomic::{AtomicU8, Ordering};

use libduckdb_sys::{duckdb_interrupt, duckdb_query};

use super::memory::Memory;
use crate::host::duckdb::connection::Connection;
use crate::host::duckdb::context::InterruptFlag;

/// The object begins with two shared pointers and this flag, and is far larger.
const LOOKED_AT: usize = 64;

/// None where it is not found beyond doubt; queries then end between batches only.
pub fn interrupt_flag(connection: &Connection) -> Option<InterruptFlag> {
    let inside = connection.context().inside()?;
    let memory = Memory::open().ok()?;
    let bytes = || memory.read::<LOOKED_AT>(inside);
    let before = bytes()?;
    // SAFETY: the connection is valid; it runs nothing, and the next query begins without the flag.
    unsafe { duckdb_interrupt(connection.0) };
    let after = bytes()?;
    let mut changed = (0..LOOKED_AT).filter(|i| before[*i] != after[*i]);
    let found = changed.next().filter(|i| (before[*i], after[*i]) == (0, 1))?;
    if changed.next().is_some() {
        return None;
    }
    // SAFETY: connection and text are valid, no result is asked for.
    unsafe { duckdb_query(connection.0, c"SELECT 1".as_ptr(), std::ptr::null_mut()) };
    // SAFETY: the byte has just been read.
    let is_taken_back = unsafe { AtomicU8::from_ptr(inside.add(found)) }.load(Ordering::Relaxed) == 0;
    is_taken_back.then_some(InterruptFlag(found))
}
