//! What a model is, and how rows become answers. Nothing here knows which program hosts it.

pub mod answers;
mod beside;
pub mod catalogue;
pub mod caught;
pub mod cells;
pub mod column;
pub mod convert;
pub mod decimal;
pub mod error;
pub mod files;
mod float;
mod formula;
#[cfg(test)]
mod fuzz;
mod guard;
pub mod half;
pub mod interrupt;
pub mod linear;
pub mod literals;
pub mod manifest;
pub mod memo;
pub mod names;
pub mod pack;
mod pack_list;
pub mod plan;
pub mod predictor;
pub mod prepare;
mod protobuf;
pub mod reference;
pub mod registry;
mod room;
pub mod session;
pub mod sqltype;
pub mod tensor;
pub mod tree_limits;
pub mod trees;
mod validate;
