//! What cannot be prepared.

/// Why a text or an image cannot be read, and which of the rows it is.
pub struct Unreadable {
    pub row: usize,
    pub reason: String,
}
