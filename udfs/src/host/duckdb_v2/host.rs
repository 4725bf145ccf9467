//! Whether this DuckDB can be asked by API v2.

use std::ffi::c_void;

use libduckdb_sys::duckdb_database;

use super::api::{self, Api};
use super::functions;
use super::probe::finds_what_it_must;
use crate::core::error::Result;
use crate::host::duckdb::connection::Connection;
use crate::host::duckdb::instance::{Registrar, Typing};
use crate::host::duckdb::version::{fixed_types, version};

const VERSIONS: [&str; 2] = ["v2.0.0", "v2.0.1"];

/// A DuckDB whose API v2 is known.
#[derive(Clone, Copy)]
pub struct Host(&'static Api);

impl Host {
    /// Raises what is said of a DuckDB where API v1 serves alone. `function` is one of its own.
    pub fn find(function: *const c_void, database: duckdb_database, connection: &Connection) -> Result<Host> {
        let version = version();
        let known = VERSIONS.contains(&version.as_str()).then(|| api::find(function)).flatten();
        let host = known.filter(|api| finds_what_it_must(api, database, connection));
        host.map(Host).ok_or_else(|| fixed_types(&version))
    }
}

impl Typing for Host {
    fn registrar<'a>(&'a self, _: &'a Connection, database: duckdb_database) -> Result<Box<dyn Registrar + 'a>> {
        Ok(Box::new(functions::Connection::open(self.0, database)?))
    }

    fn compares_values_alone(&self) -> bool {
        false
    }

    fn api(&self) -> Option<&'static str> {
        Some("v2")
    }
}
