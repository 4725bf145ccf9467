//! The doors to the core, each thin: DuckDB's two APIs, the Arrow C data interface, ONNX Runtime's custom operators, and what the Python package asks.

mod arrow_c;
mod duckdb;
mod duckdb_v1;
mod duckdb_v2;
mod onnxruntime;
mod python;
