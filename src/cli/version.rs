//! `depd version`: which depd this is, for people and for programs.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::Failure;
use super::print::{Form, document};
use crate::store;

/// Say which depd this is, and which version of the store it writes.
///
/// A store of a newer version than this is refused. Which version the API server has, depd doctor says.
///
/// Exit code 0: shown. 1: it cannot be printed. 2: wrong usage.
#[derive(Debug, Args)]
pub struct VersionArguments {
    /// How to print it
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Form::Table)]
    output: Form,
}

/// The shape of the JSON is a promise: fields may be added, none changes or goes.
#[derive(Debug, Serialize)]
struct Version {
    version: &'static str,
    store: i64,
}

/// Prints it.
pub fn run(arguments: &VersionArguments) -> Result<ExitCode, Failure> {
    let version = Version { version: env!("CARGO_PKG_VERSION"), store: store::VERSION };
    let text = |own: &Version| format!("depd {}, store version {}\n", own.version, own.store);
    document(arguments.output, &version, text)?;
    Ok(ExitCode::SUCCESS)
}
