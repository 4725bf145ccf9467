//! Which transaction a call is bound in.

use super::memory::Memory;
use crate::host::duckdb::connection::Connection;
use crate::host::duckdb::context::Context;

const WORD: usize = size_of::<usize>();
/// How far in a `ClientContext` the pointer is looked for.
const LOOKED_AT: usize = 4096;

/// How far into a `ClientContext` the pointer to its `MetaTransaction` is, which begins with its context and the time when
/// it began. SQL shows that time, so the place is found by asking, whatever the version of DuckDB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TransactionLayout(usize);

impl TransactionLayout {
    /// None where it is not found beyond doubt, on a connection of our own that runs nothing.
    pub fn find(connection: &Connection) -> Option<TransactionLayout> {
        let memory = Memory::open().ok()?;
        let context = connection.context().inside()?;
        let mut found = in_a_transaction(connection, |began| candidates(&memory, context, began))?;
        found = in_a_transaction(connection, |began| {
            found.into_iter().filter(|place| place.read(&memory, context) == Some(began)).collect()
        })?;
        let [place] = found[..] else { return None };
        let none_has_begun = place.read(&memory, context).is_none();
        none_has_begun.then_some(place)
    }

    /// When the transaction of a statement that is bound began: microseconds since 1970.
    pub fn began(self, context: &Context) -> Option<u64> {
        self.read(&Memory::open().ok()?, context.inside()?)
    }

    fn read(self, memory: &Memory, context: *const u8) -> Option<u64> {
        let transaction = memory.pointer(context.wrapping_add(self.0))?;
        let owner: [u8; WORD] = memory.read(transaction)?;
        let began = memory.read(transaction.wrapping_add(WORD))?;
        (usize::from_ne_bytes(owner) == context.addr()).then(|| u64::from_ne_bytes(began))
    }
}

fn in_a_transaction<T>(connection: &Connection, look: impl FnOnce(u64) -> T) -> Option<T> {
    connection.row("BEGIN");
    let began = connection.row("SELECT epoch_us(now())");
    let seen = began.first().and_then(|began| began.parse().ok()).map(look);
    connection.row("ROLLBACK");
    seen
}

fn candidates(memory: &Memory, context: *const u8, began: u64) -> Vec<TransactionLayout> {
    let places = (0..LOOKED_AT).step_by(WORD).map(TransactionLayout);
    let there = places.take_while(|place| memory.read::<WORD>(context.wrapping_add(place.0)).is_some());
    there.filter(|place| place.read(memory, context) == Some(began)).collect()
}
