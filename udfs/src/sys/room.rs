//! Work space of libraries that abort the process where an allocation fails: it is asked for beforehand.

use std::hint::black_box;

/// Whether so many bytes are to be had. They are given back at once, so that somebody else may take them first.
pub fn is_there(bytes: usize) -> bool {
    let mut space = Vec::<u8>::new();
    let got = space.try_reserve_exact(bytes).is_ok();
    black_box(&space); // else the compiler takes it for granted
    got
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_some_and_not_for_all() {
        assert!(is_there(0) && is_there(1 << 20));
        assert!(!is_there(usize::MAX) && !is_there(1 << 60));
    }
}
