//! The command line: one file per subcommand, and the way from raw arguments to [`Settings`]. `[E]`
//!
//! Exit codes: 0 done, 1 it did not work (the reason is on standard error), 2 wrong usage.
//!
//! [`Settings`]: crate::daemon::Settings

mod anew;
mod check;
mod demo;
mod dep_file;
mod doctor;
mod documents;
mod env_file;
mod guide;
mod history;
mod images;
mod live;
mod once;
mod pause;
mod plan;
mod print;
mod rbac;
mod receivers;
mod report;
mod restart;
mod resume;
mod retry;
mod rollback;
mod run;
mod sandbox;
mod settings;
mod standing;
mod status;
mod stored;
mod version;
mod wait;
mod workload;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

/// A deployment daemon: a folder of dep files becomes running Kubernetes workloads.
///
/// A dep file is named SERVICE_NAMESPACE.dep and holds an image, for example nginx:1.24.3. depd
/// makes the Deployment SERVICE in NAMESPACE run that image, follows the rollout, and tells Slack
/// how it went.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::RunArguments>),
    Once(Box<once::OnceArguments>),
    Check(check::CheckArguments),
    Plan(Box<plan::PlanArguments>),
    Doctor(Box<doctor::DoctorArguments>),
    Report(report::ReportArguments),
    Status(status::StatusArguments),
    History(history::HistoryArguments),
    Wait(wait::WaitArguments),
    Rbac(rbac::RbacArguments),
    Rollback(rollback::RollbackArguments),
    Pause(pause::PauseArguments),
    Resume(resume::ResumeArguments),
    Retry(retry::RetryArguments),
    Restart(restart::RestartArguments),
    Guide(guide::GuideArguments),
    Demo(demo::DemoArguments),
    Sandbox(sandbox::SandboxArguments),
    Version(version::VersionArguments),
    #[command(hide = true)]
    Documents(documents::DocumentsArguments),
}

/// Parses the arguments and runs the subcommand.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match parse() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let outcome = match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Once(arguments) => once::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Doctor(arguments) => doctor::run(*arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::History(arguments) => history::run(&arguments),
        Command::Wait(arguments) => wait::run(&arguments),
        Command::Rbac(arguments) => rbac::run(&arguments),
        Command::Rollback(arguments) => rollback::run(&arguments),
        Command::Pause(arguments) => pause::run(&arguments),
        Command::Retry(arguments) => retry::run(&arguments),
        Command::Restart(arguments) => restart::run(&arguments),
        Command::Resume(arguments) => resume::run(&arguments),
        Command::Guide(arguments) => guide::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Sandbox(arguments) => sandbox::run(&arguments),
        Command::Version(arguments) => version::run(&arguments),
        Command::Documents(arguments) => documents::run(&arguments, &command()),
    };
    outcome.unwrap_or_else(|failure| failure.tell())
}

/// The command line, as help, man pages and completions describe it. Commands that take the flags of
/// depd run show only those that mean something to them.
fn command() -> clap::Command {
    let show_only = |command: clap::Command, hidden: &'static [&'static str]| {
        command.mut_args(|argument| {
            let is_hidden = hidden.contains(&argument.get_id().as_str());
            if is_hidden { argument.hide(true) } else { argument }
        })
    };
    Arguments::command()
        .mut_subcommand("plan", |plan| show_only(plan, plan::WITHOUT_MEANING))
        .mut_subcommand("doctor", |doctor| show_only(doctor, doctor::WITHOUT_MEANING))
}

/// The arguments; what is wrong with them, or the help that was asked for, is printed.
fn parse() -> Result<Arguments, ExitCode> {
    let matches = command().try_get_matches();
    let parsed = matches.and_then(|matches| Arguments::from_arg_matches(&matches));
    parsed.map_err(|error| match error.print().and_then(|()| io::stdout().flush()) {
        // Help is what the command is for; a complaint about arguments has its exit code at least.
        Err(problem) if !error.use_stderr() && problem.kind() != io::ErrorKind::BrokenPipe => {
            Failure::work(format!("cannot print: {problem}")).tell()
        }
        _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)),
    })
}

/// Why a command did not work.
enum Failure {
    /// The command line or a setting is wrong; exit code 2.
    Usage(String),
    /// Anything else; exit code 1.
    Work(String),
}

impl Failure {
    fn usage(what: impl Display) -> Failure {
        Failure::Usage(what.to_string())
    }

    fn work(what: impl Display) -> Failure {
        Failure::Work(what.to_string())
    }

    fn text(self) -> String {
        match self {
            Failure::Usage(text) | Failure::Work(text) => text,
        }
    }

    fn tell(self) -> ExitCode {
        let (text, code) = match self {
            Failure::Usage(text) => (text, 2),
            Failure::Work(text) => (text, 1),
        };
        print::complain(&format!("depd: {text}"));
        ExitCode::from(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Arguments are for everybody on the machine to read.
    #[test]
    fn security_4_no_flag_takes_a_secret_as_its_value() {
        let secret = ["webhook", "secret", "token", "password"];
        let mut files = Vec::new();
        let mut commands = vec![command()];
        while let Some(mut command) = commands.pop() {
            command.build();
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str().to_lowercase().replace('_', "-");
                if !secret.iter().any(|word| name.contains(word))
                    || !argument.get_action().takes_values()
                {
                    continue;
                }
                let value = argument.get_value_names().unwrap_or_default();
                assert_eq!(value.len(), 1, "{} {name}", command.get_name());
                assert_eq!(value[0], "FILE", "{} --{name} takes a file", command.get_name());
                let long = argument.get_long().unwrap_or_default();
                assert!(long.ends_with("-file"), "{} --{long}", command.get_name());
                files.push(long.to_owned());
            }
            commands.extend(command.get_subcommands().cloned());
        }
        for file in ["webhook-file", "webhook-secret-file", "slack-webhook-file"] {
            assert!(files.iter().any(|it| it == file), "{file} is looked at: {files:?}");
        }
    }
}
