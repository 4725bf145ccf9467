//! DuckDB's C API v2: functions that are typed, and told the names of their arguments, when they are bound. All else comes by
//! API v1, in the same library: where the extension enters, settings, tables, and what vectors, types and values hold.
//!
//! DuckDB 2 does not offer the two APIs together. What they hand out are the same objects, and this is what is believed of them:
//!
//! | of API v1 | of API v2 | what for |
//! |---|---|---|
//! | a database | an instance: both begin with the pointer to their DuckDB | `Host::connect` |
//! | a context points to a `ClientContext &` | a context has it behind its table of virtual functions | `handles::context` |
//! | a type points to one word | that word is the type | `handles::taken`, `handles::lent` |
//! | a vector, a value | the same | `call` |
//!
//! So says DuckDB's source (`src/main/capi/v1`, and `src/include/duckdb/main/capi_v2/capi_v2_internal.hpp`). The file's footer stays
//! that of API v1, and one file is for all versions: to enter by API v2, it would have to be stamped for each.
//!
//! Before anything is believed: this version of DuckDB has been tried (`VERSIONS`), has all the functions, and at LOAD a function of
//! ours is bound and run, and finds exactly what it must find. Else API v1 serves alone, and errors say what it has not.

mod api;
mod call;
mod functions;
mod handles;
mod host;
mod probe;
mod report;

pub use host::Host;
