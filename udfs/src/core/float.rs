//! The types of numbers that columns hold and models compute in.

use std::ops::{Add, Mul};

use super::column::Data;
use crate::sys::tensor::{Buffer, Dtype};

pub trait Float: Copy + Default + Add<Output = Self> + Mul<Output = Self> {
    const DTYPE: Dtype;

    fn of<'a>(data: &'a Data) -> Option<&'a [Self]>;
    fn taken(buffer: Buffer) -> Option<Vec<Self>>;
}

macro_rules! float {
    ($($type:ty, $name:ident);*) => {$(impl Float for $type {
        const DTYPE: Dtype = Dtype::$name;

        fn of<'a>(data: &'a Data) -> Option<&'a [$type]> {
            if let Data::$name(values) = data { Some(values) } else { None }
        }

        fn taken(buffer: Buffer) -> Option<Vec<$type>> {
            if let Buffer::$name(values) = buffer { Some(values) } else { None }
        }
    })*};
}
float!(f32, F32; f64, F64);
