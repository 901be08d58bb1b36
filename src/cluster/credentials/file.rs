//! A bearer token in a file that is replaced now and then. `[E]`

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use parking_lot::Mutex;

use super::{CredentialsError, Held, bearer};
use crate::cluster::secret::Secret;
use crate::cluster::text::fits_header;

/// A token is a few kilobytes.
const TOKEN_BYTES: u64 = 1 << 20;

/// A token file, read again when it was replaced.
#[derive(Debug)]
pub(in crate::cluster) struct TokenFile {
    path: PathBuf,
    fallback: Option<Secret>,
    held: Mutex<Option<(Stamp, Held)>>,
}

/// What changes when a file is rewritten or replaced. Follows links: a projected token is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cluster) struct Stamp {
    inode: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of a file as it is now.
    ///
    /// # Errors
    /// There is no such file, or it cannot be reached.
    pub(in crate::cluster) fn of(path: &Path) -> io::Result<Stamp> {
        let meta = fs::metadata(path)?;
        Ok(Stamp {
            inode: (meta.dev(), meta.ino()),
            length: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

impl TokenFile {
    pub(super) fn new(path: &Path, fallback: Option<&Secret>) -> TokenFile {
        let fallback = fallback.map(|token| bearer(token.expose()));
        TokenFile { path: path.to_owned(), fallback, held: Mutex::new(None) }
    }

    /// The last good token stays in use while the file is away or empty, which it is for a moment
    /// where it is rewritten in place.
    pub(super) fn get(&self) -> Result<Held, CredentialsError> {
        let mut held = self.held.lock();
        let stamp = Stamp::of(&self.path);
        if let (Ok(stamp), Some((known, token))) = (&stamp, &*held)
            && stamp == known
        {
            return Ok(token.clone());
        }
        match stamp.and_then(|stamp| Ok((stamp, read(&self.path)?))) {
            Ok((stamp, header)) => {
                let serial = match &*held {
                    Some((_, last)) if last.header.as_ref() == Some(&header) => last.serial,
                    Some((_, last)) => last.serial + 1,
                    None => 1,
                };
                let token = Held { header: Some(header), pair: None, serial };
                *held = Some((stamp, token.clone()));
                Ok(token)
            }
            Err(e) => match (&*held, &self.fallback) {
                (Some((_, token)), _) => Ok(token.clone()),
                (None, Some(header)) => Ok(Held::fixed(Some(header.clone()))),
                (None, None) => {
                    Err(CredentialsError(format!("token file {}: {e}", self.path.display())))
                }
            },
        }
    }
}

fn read(path: &Path) -> io::Result<Secret> {
    use std::io::Read as _;
    let mut text = String::new();
    fs::File::open(path)?.take(TOKEN_BYTES).read_to_string(&mut text)?;
    match text.trim().is_empty() {
        true => Err(io::Error::other("it is empty")),
        false if !fits_header(text.trim()) => Err(io::Error::other(
            "it holds a line break or another control character; write the token alone, on one line",
        )),
        false => Ok(bearer(&text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(file: &TokenFile) -> String {
        file.get().unwrap().header.unwrap().expose().to_string()
    }

    #[test]
    fn a_replaced_token_file_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, "first\n").unwrap();
        let file = TokenFile::new(&path, None);
        assert_eq!(header(&file), "Bearer first");
        fs::write(&path, "other\n").unwrap();
        assert_eq!(header(&file), "Bearer other");
        // As kubelet does it: a link to another file of the same length and age.
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        fs::write(&one, "token-1").unwrap();
        fs::write(&two, "token-2").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&one, &link).unwrap();
        let file = TokenFile::new(&link, None);
        assert_eq!(header(&file), "Bearer token-1");
        let new = dir.path().join("new");
        std::os::unix::fs::symlink(&two, &new).unwrap();
        fs::rename(&new, &link).unwrap();
        assert_eq!(header(&file), "Bearer token-2");
        assert_eq!(file.get().unwrap().serial, 2);
    }

    #[test]
    fn the_last_good_token_stays_while_the_file_is_empty_or_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, "good").unwrap();
        let file = TokenFile::new(&path, None);
        assert_eq!(header(&file), "Bearer good");
        fs::write(&path, "").unwrap();
        assert_eq!(header(&file), "Bearer good");
        fs::remove_file(&path).unwrap();
        assert_eq!(header(&file), "Bearer good");
    }

    #[test]
    fn without_any_token_the_error_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let error = TokenFile::new(&path, None).get().unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
        let spare = Secret::new("spare".into());
        assert_eq!(header(&TokenFile::new(&path, Some(&spare))), "Bearer spare");
    }
}
