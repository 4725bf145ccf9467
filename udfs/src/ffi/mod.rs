//! The only place of `unsafe` code: the host on one side, ONNX Runtime on the other, and the processor below.

mod attributes;
pub mod cpu;
pub mod duckdb;
mod images;
pub mod jpeg;
pub mod library;
pub mod onnxruntime;
pub mod operators;
pub mod watchdog;
