//! Which file a name means now: names are deleted and given to others under whoever has one open. `[E]`

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Device and inode: no two files that are there at a time have the same.
pub type FileIdentity = (u64, u64);

/// That of the file with this name.
pub fn identity(path: &Path) -> io::Result<FileIdentity> {
    fs::symlink_metadata(path).map(|metadata| identity_of(&metadata))
}

/// That of a file which is open.
pub fn identity_of(metadata: &Metadata) -> FileIdentity {
    (metadata.dev(), metadata.ino())
}

/// Nothing has this name any more, or another file than this one: what is written into it now is lost.
pub fn is_taken_away(path: &Path, known: FileIdentity) -> bool {
    match identity(path) {
        Ok(now) => now != known,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}
