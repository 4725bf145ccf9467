//! The only place of `unsafe` code: the host on one side, ONNX Runtime on the other.

pub mod duckdb;
pub mod library;
pub mod onnxruntime;
