//! Memory that may not be there.

use std::ffi::c_int;
use std::io;
use std::ptr;

use crate::core::error::{Error, Result};

/// In a `std::string` of libstdc++: pointer, length, and room for 16 bytes, which short ones are in.
const TEXT: usize = 32;
const SHORT: usize = 16;
/// No feature's name is longer, and nothing longer is compared.
const LONGEST: usize = 4096;

/// Reads memory that may not be there: the system says so, where a plain read would end the process.
pub enum Memory {
    /// By a call of the system's that takes no file.
    Direct,
    /// By way of a pipe, where the system has no such call, or forbids it.
    Pipe([c_int; 2]),
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Memory::Pipe(ends) = self {
            // SAFETY: both ends are ours and are closed once.
            ends.iter().for_each(|end| unsafe {
                libc::close(*end);
            });
        }
    }
}

impl Memory {
    /// What every pipe holds, and writes in one piece.
    const PIECE: usize = 512;

    /// Raises what the system says, such as that too many files are open.
    pub fn open() -> Result<Memory> {
        let (known, mut copy) = ([1u8; 8], [0; 8]);
        if Memory::Direct.copy(known.as_ptr(), &mut copy) && copy == known {
            return Ok(Memory::Direct);
        }
        Memory::pipe().map_err(|e| Error::new(format!("what DuckDB gives to a function cannot be read: {e}")))
    }

    fn pipe() -> io::Result<Memory> {
        let mut ends = [0; 2];
        // SAFETY: the array has room for both ends of the pipe.
        if unsafe { libc::pipe(ends.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let memory = Memory::Pipe(ends);
        // SAFETY: the ends are open; a write that would have to wait is an error instead.
        let ready = ends.iter().all(|end| unsafe { libc::fcntl(*end, libc::F_SETFL, libc::O_NONBLOCK) } != -1);
        if ready { Ok(memory) } else { Err(io::Error::last_os_error()) }
    }

    pub fn read<const N: usize>(&self, from: *const u8) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.copy(from, &mut bytes).then_some(bytes)
    }

    pub fn pointer(&self, from: *const u8) -> Option<*const u8> {
        let word = usize::from_ne_bytes(self.read(from)?);
        let aligned = word != 0 && word.is_multiple_of(size_of::<usize>());
        aligned.then(|| ptr::with_exposed_provenance(word))
    }

    pub fn copy(&self, from: *const u8, bytes: &mut [u8]) -> bool {
        let mut at = from;
        bytes.chunks_mut(Memory::PIECE).all(|piece| {
            let whole = match self {
                Memory::Direct => copied(at, piece),
                Memory::Pipe(ends) => piped(*ends, at, piece),
            };
            at = at.wrapping_add(piece.len());
            whole
        })
    }

    /// A `std::string`; of one that is too long for a name, the beginning.
    pub fn text(&self, from: *const u8) -> Option<String> {
        let text: [u8; TEXT] = self.read(from)?;
        let word = |i: usize| text[i..i + size_of::<usize>()].try_into().map(usize::from_ne_bytes).ok();
        let (start, length) = (word(0)?, word(8)?);
        if start == from.wrapping_add(16).addr() {
            let short = length < SHORT && text[16 + length] == 0;
            return short.then(|| String::from_utf8_lossy(&text[16..16 + length]).into_owned());
        }
        if start == 0 || length < SHORT || length > isize::MAX as usize {
            return None;
        }
        let mut bytes = vec![0; length.min(LONGEST)];
        let whole = self.copy(ptr::with_exposed_provenance(start), &mut bytes);
        whole.then(|| String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(target_os = "linux")]
fn copied(from: *const u8, piece: &mut [u8]) -> bool {
    let length = piece.len();
    let local = libc::iovec { iov_base: piece.as_mut_ptr().cast(), iov_len: length };
    let remote = libc::iovec { iov_base: from.cast_mut().cast(), iov_len: length };
    // SAFETY: the system checks what it is to read, and `piece` has room for what it writes.
    unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, &remote, 1, 0) == length as isize }
}

#[cfg(not(target_os = "linux"))]
fn copied(_: *const u8, _: &mut [u8]) -> bool {
    false
}

fn piped([out, into]: [c_int; 2], from: *const u8, piece: &mut [u8]) -> bool {
    let length = piece.len() as isize;
    // SAFETY: the system checks what it is to read, and `piece` has room for what it writes.
    unsafe {
        libc::write(into, from.cast(), piece.len()) == length
            && libc::read(out, piece.as_mut_ptr().cast(), piece.len()) == length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_not_there_is_not_read() {
        for memory in [Memory::open().unwrap(), Memory::pipe().unwrap()] {
            let here: Vec<u8> = (0..2000).map(|i| i as u8).collect();
            let mut copy = vec![0; 2000];
            assert!(memory.copy(here.as_ptr(), &mut copy) && copy == here);
            for nowhere in [0, 8, 0x1000, usize::MAX - 7] {
                let nowhere = ptr::without_provenance(nowhere);
                assert!(memory.read::<8>(nowhere).is_none() && memory.text(nowhere).is_none());
            }
            assert_eq!(memory.read::<4>(here.as_ptr()), Some([0, 1, 2, 3]));
        }
    }

    /// As libstdc++ has it, in memory of our own.
    #[repr(C)]
    struct Text {
        start: usize,
        length: usize,
        own: [u8; 16],
    }

    #[test]
    fn texts_are_read_within_their_bounds() {
        let memory = Memory::open().unwrap();
        let read = |text: &Text| memory.text(ptr::from_ref(text).cast());
        let mut short = Box::new(Text { start: 0, length: 3, own: *b"age\0............" });
        short.start = short.own.as_ptr().addr();
        assert_eq!(read(&short), Some("age".to_string()));
        for length in [16, 2, usize::MAX] {
            short.length = length;
            assert_eq!(read(&short), None, "{length}");
        }
        let long = "x".repeat(10_000);
        let text = |start, length| Text { start, length, own: [0; 16] };
        let start = long.as_ptr().expose_provenance();
        assert_eq!(read(&text(start, 20)), Some("x".repeat(20)));
        assert_eq!(read(&text(start, 10_000)).map(|text| text.len()), Some(LONGEST));
        for (start, length) in [(start, 3), (start, usize::MAX), (0, 20), (0x1000, 20)] {
            assert_eq!(read(&text(start, length)), None, "{start} {length}");
        }
    }
}
