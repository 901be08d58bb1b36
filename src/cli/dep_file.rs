//! The dep file of one service, for the commands that wait for it or write it. `[E]`

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::env_file::Environment;
use super::images::ImageArguments;
use super::stored::unknown;
use super::{Failure, settings};
use crate::model::{ServiceKey, shown};
use crate::source::{FileRead, Finding, SourceOptions, read_all};

/// Where dep files are and how they are read, as `depd run` has it.
#[derive(Clone, Debug, Default, Args)]
pub struct FolderArguments {
    /// The folder of dep files [env: DEPS] [default: deps]
    #[arg(long, value_name = "DIR")]
    pub deps: Option<PathBuf>,

    /// Files in sub-folders too
    #[arg(long)]
    pub recursive: bool,

    /// How images are completed, and which are allowed.
    #[command(flatten)]
    pub images: ImageArguments,
}

/// The dep file that speaks for a service; read again when it was saved.
pub struct DepFile {
    options: SourceOptions,
    key: ServiceKey,
    path: PathBuf,
    /// What it says.
    pub read: FileRead,
    /// When its content or inode changed last, in Unix milliseconds; 0 while it is not there.
    pub changed_ms: i64,
}

impl DepFile {
    /// Finds the file of `key`.
    ///
    /// # Errors
    /// The folder cannot be read, or has no file for it: then the near ones are named.
    pub fn find(
        arguments: &FolderArguments,
        key: &ServiceKey,
        env: &Environment,
    ) -> Result<DepFile, Failure> {
        let options = SourceOptions {
            rules: settings::image_rules(&arguments.images, env)?,
            recursive: arguments.recursive,
            ..SourceOptions::new(settings::deps(arguments.deps.as_deref(), "--deps", env)?)
        };
        let read = find(&options, key)?;
        let path = options.folder.join(&read.name);
        let changed_ms = changed_ms(&path);
        Ok(DepFile { options, key: key.clone(), path, read, changed_ms })
    }

    /// Reads it again if it was saved since.
    ///
    /// # Errors
    /// As [`DepFile::find`].
    pub fn look_again(&mut self) -> Result<(), Failure> {
        let changed_ms = changed_ms(&self.path);
        if changed_ms != self.changed_ms {
            self.read = find(&self.options, &self.key)?;
            self.path = self.options.folder.join(&self.read.name);
            self.changed_ms = changed_ms;
        }
        Ok(())
    }

    /// Its path, harmless to print.
    pub fn shown(&self) -> String {
        shown(&self.path)
    }

    /// Writes `content` in one step: readers see the old file or the new one, never a part.
    ///
    /// # Errors
    /// The folder cannot be written to, or the file is a symbolic link, whose source is to be changed
    /// instead.
    pub fn replace(&self, content: &str) -> Result<(), Failure> {
        let failed = |error: io::Error| {
            Failure::work(format!("cannot write {}: {error}; nothing was changed", self.shown()))
        };
        let before = fs::symlink_metadata(&self.path).map_err(failed)?;
        if before.is_symlink() {
            return Err(Failure::work(format!(
                "{} is a symbolic link, as in a ConfigMap: change what it comes from instead",
                self.shown()
            )));
        }
        replace(&self.path, content, &before).map_err(failed)
    }
}

/// Writes the file of `key`, which the folder has no more, in one step; gives its path, harmless to print.
///
/// # Errors
/// The folder cannot be written to.
pub fn bring_back(
    arguments: &FolderArguments,
    key: &ServiceKey,
    env: &Environment,
    content: &str,
) -> Result<String, Failure> {
    let folder = settings::deps(arguments.deps.as_deref(), "--deps", env)?;
    let path = folder.join(key.file_name());
    let failed = |error| Failure::work(format!("cannot write {}: {error}", shown(&path)));
    if fs::symlink_metadata(&path).is_ok() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    write_beside(&path, content, None).map_err(failed)?;
    Ok(shown(&path))
}

/// What to say where the folder has no file of `key` any more, but depd remembers that there was one.
#[must_use]
pub fn gone(key: &ServiceKey) -> Failure {
    let file = key.file_name();
    Failure::usage(format!(
        "{file} is gone, so depd leaves its workload as it is; depd rollback {key} writes it again"
    ))
}

/// By way of a hidden file beside it, which takes its mode.
fn replace(path: &Path, content: &str, before: &fs::Metadata) -> io::Result<()> {
    write_beside(path, content, Some(before))
}

fn write_beside(path: &Path, content: &str, before: Option<&fs::Metadata>) -> io::Result<()> {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&beside)?;
        if let Some(before) = before {
            file.set_permissions(before.permissions())?;
        }
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().inspect_err(|_| drop(fs::remove_file(&beside)))
}

fn find(options: &SourceOptions, key: &ServiceKey) -> Result<FileRead, Failure> {
    let files = read_all(options).map_err(Failure::work)?;
    let known: Vec<ServiceKey> = files.iter().filter_map(|file| file.key.clone()).collect();
    let own = |file: &FileRead| file.key.as_ref() == Some(key);
    // Of several, in sub-folders, the first that is not empty speaks.
    let speaker = files.into_iter().filter(own).min_by_key(|file| file.finding == Finding::Empty);
    speaker.ok_or_else(|| unknown(key, &known))
}

fn changed_ms(path: &Path) -> i64 {
    fs::metadata(path).map_or(0, |file| file.ctime() * 1000 + file.ctime_nsec() / 1_000_000)
}
