//! The doors to the core, each thin: DuckDB's two APIs, ONNX Runtime's custom operators, and what the Python package asks.

mod duckdb;
mod duckdb_v1;
mod duckdb_v2;
mod onnxruntime;
mod python;
