//! What a model is, and how rows become answers. Nothing here knows which program hosts it.

pub mod answers;
mod beside;
pub mod cells;
pub mod column;
pub mod convert;
pub mod decimal;
pub mod error;
pub mod files;
mod float;
mod formula;
pub mod half;
pub mod interrupt;
pub mod linear;
pub mod manifest;
pub mod memo;
pub mod pack;
mod pack_list;
pub mod plan;
pub mod predictor;
pub mod prepare;
pub mod reference;
pub mod registry;
pub mod session;
pub mod sqltype;
pub mod tensor;
pub mod trees;
mod validate;
