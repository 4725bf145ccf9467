//! DuckDB's C extension API v1: everything that is registered when the extension is loaded.

mod aggregates;
mod catalogue;
mod entry;
mod functions;
mod layout;
mod load;
mod refresh;
mod scalar;
mod table;
