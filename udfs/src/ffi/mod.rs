//! The only place of `unsafe` code: the host on one side, ONNX Runtime on the other, and the processor below.

mod attributes;
pub mod cpu;
pub mod duckdb;
pub mod jpeg;
pub mod library;
pub mod onnxruntime;
pub mod operators;
mod python;
pub mod watchdog;
