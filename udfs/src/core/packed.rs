//! Rows as the graph takes them: one packed tensor for each of its inputs.

use crate::sys::tensor::Buffer;

/// One input of the graph for some rows: `width` values a row, of the shape `inner`.
#[derive(Debug)]
pub struct Packed {
    pub buffer: Buffer,
    pub inner: Vec<usize>,
    pub width: usize,
}

impl Packed {
    /// The same without rows.
    pub fn like(&self) -> Packed {
        self.pick(&[])
    }

    pub fn pick(&self, rows: &[u32]) -> Packed {
        Packed { buffer: self.buffer.pick(rows, self.width), inner: self.inner.clone(), width: self.width }
    }
}

/// Rows that go into the graph together. `rows` are their places among the packed rows; None means all of them.
pub struct Group {
    pub tensors: Vec<Packed>,
    pub rows: Option<Vec<u32>>,
}
