//! sqlinfer's loadable DuckDB extension: trained models as SQL functions.
//!
//! Three floors, each of which knows those before it alone: the machine, the core, and the hosts.

mod sys;

mod core;

mod host;

#[cfg(test)]
mod tests;
