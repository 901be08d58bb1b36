//! Who owns each dep file, which is the best there is to know of who changed it. `[E]`
//!
//! The owner is noted when the folder tells of the file. Its name comes from `/etc/passwd` (passwd(5))
//! and from nowhere else: the C library's own lookup would load modules of the host, and may ask a
//! network. Nothing here is an answer to who may do what.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use parking_lot::Mutex;

use crate::model::ServiceKey;

/// So much of the file of names is read.
const PASSWD_BYTES: u64 = 1 << 20;

/// The owners of the dep files.
#[derive(Debug)]
pub struct Authors {
    folder: PathBuf,
    owners: Mutex<HashMap<ServiceKey, u32>>,
    names: Mutex<HashMap<u32, String>>,
}

impl Authors {
    /// Nobody is known yet.
    #[must_use]
    pub fn new(folder: PathBuf) -> Authors {
        Authors { folder, owners: Mutex::default(), names: Mutex::default() }
    }

    /// Looks whose file it is. For the thread that reads the folder, which may block on it anyway.
    pub fn note(&self, key: &ServiceKey) {
        let owner = fs::metadata(self.folder.join(key.file_name())).map(|file| file.uid());
        let mut owners = self.owners.lock();
        match owner {
            Ok(owner) => drop(owners.insert(key.clone(), owner)),
            Err(_) => drop(owners.remove(key)),
        }
    }

    /// The owner's name, or its number where it has no name.
    #[must_use]
    pub fn of(&self, key: &ServiceKey) -> Option<String> {
        let owner = *self.owners.lock().get(key)?;
        if let Some(name) = self.names.lock().get(&owner) {
            return Some(name.clone());
        }
        let name = match look_up(owner) {
            Some(name) => name,
            // Not kept: the name may be given later.
            None => return Some(format!("uid {owner}")),
        };
        self.names.lock().insert(owner, name.clone());
        Some(name)
    }
}

fn look_up(uid: u32) -> Option<String> {
    let mut text = String::new();
    File::open("/etc/passwd").ok()?.take(PASSWD_BYTES).read_to_string(&mut text).ok()?;
    name_in(&text, uid)
}

/// `name:password:uid:…`, a line each.
fn name_in(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, number) = (fields.next()?, fields.next()?, fields.next()?);
        (number.parse() == Ok(uid) && !name.is_empty()).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_by_its_number_and_lines_that_are_none_are_passed_over() {
        let passwd =
            "# local\nroot:x:0:0:root:/root:/bin/bash\n\nbroken\n:x:7:7::\nalice:x:1000:1000::\n";
        let names = [0, 1000, 7, 8].map(|uid| name_in(passwd, uid));
        assert_eq!(names, [Some("root".into()), Some("alice".into()), None, None]);
    }

    #[test]
    fn the_owner_of_a_file_is_known_as_long_as_the_file_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = ServiceKey::new("web", "prod").expect("valid");
        let authors = Authors::new(folder.path().to_owned());
        authors.note(&key);
        assert_eq!(authors.of(&key), None);
        let file = folder.path().join("web_prod.dep");
        fs::write(&file, "nginx:1\n").expect("written");
        authors.note(&key);
        let uid = fs::metadata(&file).expect("there").uid();
        assert_eq!(authors.of(&key), look_up(uid).or(Some(format!("uid {uid}"))));
        fs::remove_file(&file).expect("ours");
        authors.note(&key);
        assert_eq!(authors.of(&key), None);
    }
}
