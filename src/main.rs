//! Arguments → exit code, nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    depd::cli::main()
}
