//! What both of DuckDB's APIs have in common: connections, types, vectors, and what a call of a function is.

mod access;
pub mod call;
pub mod connection;
pub mod context;
pub mod errors;
pub mod input;
pub mod instance;
pub mod layout;
pub mod output;
pub mod types;
pub mod version;
pub mod versions;
pub mod writing;
