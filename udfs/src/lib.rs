//! sqlinfer's loadable DuckDB extension: trained models as SQL functions.

mod core;
mod ffi;
