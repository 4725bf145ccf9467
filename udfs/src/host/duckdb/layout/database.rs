//! Which database a context is of.

use std::ptr;

use libduckdb_sys::duckdb_database;

use super::memory::Memory;
use crate::core::error::Result;
use crate::host::duckdb::connection::Connection;
use crate::host::duckdb::context::Context;
use crate::host::duckdb::version::version;

/// A `shared_ptr` or two words of it, as bytes.
const TWO_WORDS: usize = 2 * size_of::<usize>();

/// Where a `ClientContext` begins with a `weak_ptr` and the `shared_ptr` of its database, a `DuckDB` is such a pointer, and a
/// `duckdb_database` points to a pointer to one.
const DATABASES: [&str; 3] = ["v1.5.6", "v2.0.0", "v2.0.1"];

/// Another connection to the database of a context.
#[derive(Clone, Copy)]
pub struct DatabaseLayout(());

impl DatabaseLayout {
    /// In a `ClientContext`, behind a `weak_ptr`.
    const DATABASE: usize = TWO_WORDS;

    /// None where it cannot be done. `database`: the one that `connection` is to.
    pub fn find(database: duckdb_database, connection: &Connection) -> Option<DatabaseLayout> {
        if !DATABASES.contains(&version().as_str()) {
            return None;
        }
        let memory = Memory::open().ok()?;
        let duckdb = memory.pointer(database.cast::<u8>().cast_const())?;
        let wanted: [u8; TWO_WORDS] = memory.read(duckdb)?;
        let found: [u8; TWO_WORDS] = memory.read(connection.context().inside()?.wrapping_add(Self::DATABASE))?;
        (found == wanted && found.iter().any(|byte| *byte != 0)).then_some(DatabaseLayout(()))
    }

    /// What the work gives with the database of a context; None where that cannot be read.
    pub fn with<T>(self, context: &Context, work: impl FnOnce(duckdb_database) -> Result<T>) -> Option<Result<T>> {
        let memory = Memory::open().ok()?;
        // DuckDB only looks at what a handle of a database points to: a handle of a DuckDB, which is one of its instance
        let place = context.inside()?.wrapping_add(Self::DATABASE);
        let duckdb = [memory.pointer(place)?, memory.pointer(place.wrapping_add(size_of::<usize>()))?];
        let handle = [duckdb.as_ptr(), ptr::null()];
        Some(work(handle.as_ptr().cast_mut().cast()))
    }
}
