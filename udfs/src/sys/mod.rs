//! The machine below the core: the processor, signals, memory, and ONNX Runtime. It knows nothing of models.

#[cfg(test)]
pub mod allocations;
pub mod caught;
pub mod cpu;
pub mod error;
pub mod interrupt;
pub mod jpeg;
pub mod library;
pub mod onnxruntime;
pub mod room;
pub mod tensor;
pub mod watchdog;
