//! What DuckDB tells of the query that is bound: settings, arguments, constants.

use std::path::{Path, PathBuf};

use libduckdb_sys::*;

use super::access::held;
use super::types::{LogicalType, c_text, owned_text};
use crate::core::literals::text_literal;
use crate::core::sqltype::ArgType;
use crate::sys::interrupt::Interrupt;

pub const HOME: &str = "sqlinfer_home";

/// A client context that is ours to destroy; it is valid for the time of one callback.
pub struct Context(pub duckdb_client_context);

impl Drop for Context {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the wrapper is ours and is destroyed once.
            unsafe { duckdb_destroy_client_context(&mut self.0) };
        }
    }
}

impl Context {
    pub fn setting(&self, name: &str) -> Setting {
        let (value, is_own) = self.value(name);
        Setting { text: value.text().filter(|text| !text.is_empty()), is_own }
    }

    /// A setting's value, and whether this connection has set it for itself.
    fn value(&self, name: &str) -> (Value, bool) {
        if self.0.is_null() {
            return (Value(std::ptr::null_mut()), false);
        }
        let name = c_text(name);
        let mut scope = duckdb_config_option_scope_DUCKDB_CONFIG_OPTION_SCOPE_INVALID;
        // SAFETY: context, name and out-pointer are valid; the value that comes back is ours.
        let value = unsafe { duckdb_client_context_get_config_option(self.0, name.as_ptr(), &mut scope) };
        let is_own = scope == duckdb_config_option_scope_DUCKDB_CONFIG_OPTION_SCOPE_LOCAL
            || scope == duckdb_config_option_scope_DUCKDB_CONFIG_OPTION_SCOPE_SESSION;
        (Value(value), is_own)
    }

    /// Whether SQL may reach files that nobody named.
    pub fn may_reach_outside(&self) -> bool {
        self.setting("enable_external_access").text.as_deref() == Some("true")
    }

    /// Where a place that SQL may reach all the same really is.
    pub fn reached(&self, place: &Path) -> Option<PathBuf> {
        held(&self.value("allowed_directories").0.texts(), &self.value("allowed_paths").0.texts(), place)
    }

    /// Of the connection; another one has another number, in the same database.
    pub fn connection(&self) -> u64 {
        if self.0.is_null() {
            return 0;
        }
        // SAFETY: the context is valid.
        unsafe { duckdb_client_context_get_connection_id(self.0) }
    }

    /// What interrupting the connection sets.
    ///
    /// # Safety
    /// The connection must outlive the interrupt, which a query of its own does.
    pub unsafe fn interrupt(&self, flag: Option<InterruptFlag>) -> Interrupt {
        match (flag, self.inside()) {
            // SAFETY: the flag was found there in a context of the same program; it lives as long as its connection.
            (Some(InterruptFlag(offset)), Some(inside)) => unsafe { Interrupt::at(inside.add(offset).cast::<bool>()) },
            _ => Interrupt::NONE,
        }
    }

    /// DuckDB's own object: all that the wrapper holds is a reference to it.
    pub fn inside(&self) -> Option<*mut u8> {
        // SAFETY: a wrapper that is not null holds a reference.
        let inside = unsafe { self.0.cast::<*mut u8>().as_ref() }.copied();
        inside.filter(|inside| !inside.is_null() && inside.align_offset(size_of::<usize>()) == 0)
    }
}

/// How far into its object DuckDB keeps the flag that interrupting a connection sets. The stable API can set it and cannot
/// show it: where it is, is found by setting it, on a connection of our own.
#[derive(Clone, Copy)]
pub struct InterruptFlag(pub usize);

/// What a setting says to a connection.
#[derive(Clone, Default)]
pub struct Setting {
    /// None when it is not set.
    pub text: Option<String>,
    /// The connection has set it for itself; else all of the database see it.
    pub is_own: bool,
}

/// A value that is ours to destroy.
pub struct Value(pub duckdb_value);

impl Drop for Value {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the value is ours and is destroyed once.
            unsafe { duckdb_destroy_value(&mut self.0) };
        }
    }
}

impl Value {
    /// The value as text; None for NULL. The API ends a text at a NUL: for what it does not show stands a dot.
    pub fn text(&self) -> Option<String> {
        // SAFETY: the value is valid if it is not null; its type is looked at only, and the texts are allocated for us.
        unsafe {
            if self.0.is_null() || duckdb_is_null_value(self.0) {
                return None;
            }
            let text = owned_text(duckdb_get_varchar(self.0));
            let is_text = duckdb_get_type_id(duckdb_get_value_type(self.0)) == DUCKDB_TYPE_DUCKDB_TYPE_VARCHAR;
            // in SQL, a NUL is chr(0), or what is behind it is lost with the quote
            let is_whole = !is_text || owned_text(duckdb_value_to_string(self.0)) == text_literal(&text);
            Some(if is_whole { text } else { text + "\0…" })
        }
    }

    /// The texts of a list; none for anything else.
    pub fn texts(&self) -> Vec<String> {
        // SAFETY: the value is valid if it is not null; its type is looked at only, and belongs to it.
        unsafe {
            if self.0.is_null() || duckdb_is_null_value(self.0) {
                return Vec::new();
            }
            if duckdb_get_type_id(duckdb_get_value_type(self.0)) != DUCKDB_TYPE_DUCKDB_TYPE_LIST {
                return Vec::new();
            }
            (0..duckdb_get_list_size(self.0)).filter_map(|i| Value(duckdb_get_list_child(self.0, i)).text()).collect()
        }
    }
}

/// The arguments of a scalar function that is bound.
pub struct Binding {
    info: duckdb_bind_info,
    context: Context,
}

impl Binding {
    /// # Safety
    /// `info` must be that of a running bind callback of a scalar function, and must outlive this.
    pub unsafe fn new(info: duckdb_bind_info) -> Binding {
        let mut context = std::ptr::null_mut();
        // SAFETY: promised by the caller; the out-pointer is valid.
        unsafe { duckdb_scalar_function_get_client_context(info, &mut context) };
        Binding { info, context: Context(context) }
    }

    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The types of the arguments; None when one is a subquery, which DuckDB does not show.
    pub fn given(&self) -> Option<Vec<ArgType>> {
        (0..self.count()).map(|i| self.argument(i).given()).collect()
    }

    pub fn count(&self) -> u64 {
        // SAFETY: `new` promises the info.
        unsafe { duckdb_scalar_function_bind_get_argument_count(self.info) }
    }

    /// An argument's constant value as text; None when it is not constant, or NULL.
    pub fn constant(&self, i: u64) -> Option<String> {
        self.argument(i).constant(&self.context)
    }

    pub fn argument(&self, i: u64) -> Expression {
        // SAFETY: `new` promises the info; an index that is not there gives null.
        Expression(unsafe { duckdb_scalar_function_bind_get_argument(self.info, i) })
    }
}

/// An argument's expression, ours to destroy.
pub struct Expression(pub duckdb_expression);

impl Drop for Expression {
    fn drop(&mut self) {
        // SAFETY: the expression is ours and is destroyed once; null is allowed.
        unsafe { duckdb_destroy_expression(&mut self.0) };
    }
}

impl Expression {
    fn given(&self) -> Option<ArgType> {
        // SAFETY: the expression is valid or null; the type is ours.
        let logical = unsafe { duckdb_expression_return_type(self.0) };
        (!logical.is_null()).then(|| LogicalType(logical).given())
    }

    fn constant(&self, context: &Context) -> Option<String> {
        // SAFETY: the expression is valid or null.
        if !unsafe { duckdb_expression_is_foldable(self.0) } {
            return None;
        }
        let mut value = std::ptr::null_mut();
        // SAFETY: context and expression are valid; the value and the error that come back are ours.
        let mut error = unsafe { duckdb_expression_fold(context.0, self.0, &mut value) };
        let value = Value(value);
        if !error.is_null() {
            // SAFETY: the error is ours and is destroyed once.
            unsafe { duckdb_destroy_error_data(&mut error) };
            return None;
        }
        value.text()
    }
}
