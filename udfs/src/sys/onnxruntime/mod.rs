//! ONNX Runtime through its C API: found and loaded at run time, with safe faces for sessions and tensors.

mod api;
pub mod attributes;
pub mod operators;
mod runtime;
mod session;
mod tensor;

pub use runtime::{RunOptions, Runtime};
pub use session::Graph;
pub use tensor::Feed;
