//! Connections of our own.

use std::collections::HashSet;
use std::ptr;

use libduckdb_sys::*;

use super::context::Context;
use super::types::{c_text, owned_text};
use crate::core::error::{Error, Result};

/// A connection of ours, over API v1.
pub struct Connection(pub duckdb_connection);

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the connection is ours and is closed once.
        unsafe { duckdb_disconnect(&mut self.0) };
    }
}

impl Connection {
    pub fn open(database: duckdb_database) -> Result<Connection> {
        let mut connection = ptr::null_mut();
        // SAFETY: the database is valid and the out-pointer too.
        if unsafe { duckdb_connect(database, &mut connection) } == DuckDBSuccess {
            return Ok(Connection(connection));
        }
        Err(Error::new("sqlinfer: DuckDB gives no connection".to_string()))
    }

    pub fn context(&self) -> Context {
        let mut context = ptr::null_mut();
        // SAFETY: the connection is valid and the out-pointer too.
        unsafe { duckdb_connection_get_client_context(self.0, &mut context) };
        Context(context)
    }

    /// Whether there is a function of no arguments. It is not called.
    pub fn has(&self, function: &str) -> bool {
        let query = c_text(&format!("DESCRIBE SELECT \"{function}\"()"));
        // SAFETY: connection and query are valid, no result is asked for.
        unsafe { duckdb_query(self.0, query.as_ptr(), ptr::null_mut()) == DuckDBSuccess }
    }

    /// The functions of ours that are there already. DuckDB takes long to list all that it has.
    pub fn functions(&self) -> HashSet<String> {
        let query = c"SELECT DISTINCT function_name FROM duckdb_functions() WHERE regexp_matches(function_name, \
                      '^(predict|infer|sqlinfer_)')";
        let mut names = HashSet::new();
        // SAFETY: connection, query and result are valid; the result is destroyed once, the texts are ours.
        unsafe {
            let mut result: duckdb_result = std::mem::zeroed();
            if duckdb_query(self.0, query.as_ptr(), &mut result) == DuckDBSuccess {
                for row in 0..duckdb_row_count(&mut result) {
                    names.insert(owned_text(duckdb_value_varchar(&mut result, 0, row)));
                }
            }
            duckdb_destroy_result(&mut result);
        }
        names
    }

    /// The texts of a query's only row; nothing where it fails.
    pub fn row(&self, query: &str) -> Vec<String> {
        // SAFETY: connection, query and result are valid; the result is destroyed once, the texts are ours.
        unsafe {
            let mut result: duckdb_result = std::mem::zeroed();
            let asked = duckdb_query(self.0, c_text(query).as_ptr(), &mut result) == DuckDBSuccess;
            let columns =
                if asked && duckdb_row_count(&mut result) == 1 { duckdb_column_count(&mut result) } else { 0 };
            let row = (0..columns).map(|i| owned_text(duckdb_value_varchar(&mut result, i, 0))).collect();
            duckdb_destroy_result(&mut result);
            row
        }
    }
}

/// Whether DuckDB has taken a function.
pub fn registered(state: duckdb_state, name: &str) -> Result<()> {
    if state == DuckDBSuccess {
        return Ok(());
    }
    Err(refused(name))
}

pub fn refused(name: &str) -> Error {
    Error::new(format!("sqlinfer: DuckDB refuses the function {name}()"))
}
