//! `depd documents DIR`: man pages and shell completions, made from the command line itself; for the
//! script that packs the release.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::{Shell, generate_to};

use super::Failure;

/// Write man pages and shell completions into a folder.
///
/// Exit code 0: written. 1: they cannot be written. 2: wrong usage.
#[derive(Debug, Args)]
pub struct DocumentsArguments {
    /// The folder, which is made if it is missing: man/ and completions/ in it
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Writes them.
pub fn run(arguments: &DocumentsArguments, command: &Command) -> Result<ExitCode, Failure> {
    let folder = &arguments.folder;
    write(folder, command).map_err(|error| {
        Failure::work(format!("cannot write man pages into {}: {error}", folder.display()))
    })?;
    Ok(ExitCode::SUCCESS)
}

fn write(folder: &Path, command: &Command) -> io::Result<()> {
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    clap_mangen::generate_to(command.clone(), &man)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut command.clone(), "depd", &completions)?;
    }
    Ok(())
}
