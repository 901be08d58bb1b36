//! `depd check`: reads the folder as the daemon would, and says what it finds; for people before
//! they save, for pre-commit hooks and for CI.
//!
//! It needs no cluster and changes nothing. What it prints is for people, editors and CI alike: a
//! problem is a line `file:line:column: text`, as compilers write it. Nothing that a file or its
//! name holds reaches the terminal unescaped: names go through [`shown`], and the texts of problems
//! and images are harmless by their own promise.

mod output;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::env_file::Environment;
use super::images::ImageArguments;
use super::print::{Form, document};
use super::{Failure, settings};
use crate::model::shown;
use crate::source::{SourceError, SourceOptions, read_all};
use output::{Report, table};

/// Say what each file of the folder asks for, or what is wrong with it; no cluster is needed.
///
/// Prints one line for each file, and one with counts. A problem is printed as file:line:column:
/// text, which editors and CI understand. Leftovers of editors are passed over, as depd run does.
/// An empty file is no problem: it asks for nothing.
///
/// Exit code 0: all files are in order. 1: there is a problem. 2: wrong usage, such as a folder
/// that does not exist.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// The folder of dep files [env: DEPS] [default: deps]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,

    /// The folders beneath it too
    #[arg(long)]
    recursive: bool,

    /// How to print what is found
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Form::Table)]
    output: Form,

    #[command(flatten)]
    images: ImageArguments,

    /// Read settings from this file instead of .env
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
}

/// Reads, prints, and sums up in the exit code.
pub fn run(arguments: &CheckArguments) -> Result<ExitCode, Failure> {
    let environment = Environment::load(arguments.env_file.as_deref())?;
    let folder = settings::deps(arguments.folder.as_deref(), "the argument DIR", &environment)?;
    let options = SourceOptions {
        rules: settings::image_rules(&arguments.images, &environment)?,
        recursive: arguments.recursive,
        ..SourceOptions::new(folder)
    };
    let files = read_all(&options).map_err(|error| match error {
        SourceError::Missing(_) | SourceError::NotAFolder(_) => Failure::usage(error),
        error => Failure::work(error),
    })?;
    let report = Report::new(&shown(&options.folder), &files);
    document(arguments.output, &report, table)?;
    Ok(if report.counts.problems == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
