//! What DuckDB holds in memory and its stable API does not show, whichever API functions come by.
//!
//! | read | why | where |
//! |---|---|---|
//! | the database of a context | functions of new models are registered over a connection, and the API gives a database at LOAD only | [`DatabaseLayout::with`] |
//! | when the transaction began | its statements see one version of a model, and the API does not say which transaction a call is bound in | [`TransactionLayout`] |
//! | the flag of an interrupt | it ends a run that goes on | [`interrupt_flag`] |
//!
//! Before anything is believed it is found at LOAD, on a connection of our own, beyond doubt. Each read is then checked again:
//! memory is read by the system, which says so where there is none.

mod database;
mod interrupt;
mod memory;
mod transaction;

pub use database::DatabaseLayout;
pub use interrupt::interrupt_flag;
pub use memory::Memory;
pub use transaction::TransactionLayout;
