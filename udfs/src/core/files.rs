//! The plain files of a registry. What stands in the place of one may be a pipe, a device, a loop of links or endless.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::error::{Code, Error, Result};

/// ONNX files are protobuf messages, which end at 2 GiB.
pub const MOST_BYTES: u64 = 1 << 31;

/// Another one whenever a file is replaced or written, also where its time of modification is set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileState {
    modified: (i64, i64),
    changed: (i64, i64),
    inode: u64,
    size: u64,
}

pub fn state_of(path: &Path) -> io::Result<FileState> {
    let status = fs::metadata(path)?;
    Ok(FileState {
        modified: (status.mtime(), status.mtime_nsec()),
        changed: (status.ctime(), status.ctime_nsec()),
        inode: status.ino(),
        size: status.size(),
    })
}

/// The content of a plain file of at most so many bytes; never waits.
pub fn read_plain(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let status = file.metadata()?;
    if !status.is_file() {
        return Err(io::Error::other("it is not a plain file"));
    }
    if status.size() > most {
        return Err(io::Error::other(format!("it has {} bytes, more than the {most} that are read", status.size())));
    }
    let mut content = Vec::with_capacity(usize::try_from(status.size()).unwrap_or(0));
    file.take(most).read_to_end(&mut content)?;
    Ok(content)
}

/// Too many files are open: nothing is said of the file itself.
pub fn is_out_of_files(reason: &io::Error) -> bool {
    matches!(reason.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// The content of a file that has not changed since it was registered.
pub fn read_intact(path: &Path, sha256: &str) -> Result<Vec<u8>> {
    let content = read_plain(path, MOST_BYTES).map_err(|reason| unreadable(path, &reason))?;
    let found = digest(&content);
    if found == sha256 {
        return Ok(content);
    }
    let short = |text: &str| text.chars().take(12).collect::<String>();
    Err(Error::of(
        Code::Registry,
        format!(
            "{} is not the file that was registered (its sha256 is {}…, not {}…); register the model again",
            path.display(),
            short(&found),
            short(sha256)
        ),
    ))
}

/// The sha256, in hexadecimal.
pub fn digest(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn unreadable(path: &Path, reason: &dyn std::fmt::Display) -> Error {
    Error::of(Code::Registry, format!("{} cannot be read ({reason}); register the model again", path.display()))
}
