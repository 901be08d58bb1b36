//! `credential_process`: a program that prints credentials. `[E]`
//!
//! It is started without a shell, with nothing on its standard input; its time and its output are bounded,
//! and with it ends every process that it started. The addresses of webhooks are kept from it; what is AWS's
//! it may need. Facts: "Process credential provider" in the AWS SDKs and
//! Tools Reference Guide.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// A program that opens a browser will never be done; one that asks AWS is within seconds.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// Credentials are less than 4 KiB.
const OUTPUT_BYTES: u64 = 64 * 1024;

/// Runs the command and returns what it printed.
///
/// # Errors
/// A fragment that says how it ended. What it printed is never part of it.
pub(super) fn run(command: &str, limit: Duration) -> Result<Vec<u8>, String> {
    let words = split(command)?;
    let (program, arguments) = words.split_first().ok_or("the command is empty")?;
    let mut process = Command::new(program);
    process
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0);
    hide_webhooks(&mut process, std::env::vars_os().map(|(name, _)| name));
    let mut child =
        process.spawn().map_err(|error| format!("{program} cannot be started: {error}"))?;
    let output = child.stdout.take();
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(output) = output {
            let _ = output.take(OUTPUT_BYTES + 1).read_to_end(&mut bytes);
        }
        bytes
    });
    let status = wait(&mut child, limit);
    // Also what it left running, which may hold its standard output open.
    end(&child);
    let output = reader.join().map_err(|_| "its output could not be read")?;
    let status = status?;
    if output.len() as u64 > OUTPUT_BYTES {
        return Err(format!("{program} printed too much"));
    }
    match status {
        None => Err(format!("{program} was not done within {} s", limit.as_secs())),
        Some(status) if !status.success() => Err(format!("{program} failed ({status})")),
        Some(_) => Ok(output),
    }
}

/// Takes from its environment what is none of its business.
fn hide_webhooks(process: &mut Command, names: impl Iterator<Item = OsString>) {
    let secret = |name: &OsString| name.to_string_lossy().starts_with("WEBHOOK_");
    names.filter(secret).for_each(|name| {
        process.env_remove(name);
    });
}

fn wait(child: &mut Child, limit: Duration) -> Result<Option<std::process::ExitStatus>, String> {
    let until = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(10)),
            Ok(status) => {
                if status.is_none() {
                    end(child);
                    let _ = child.wait();
                }
                return Ok(status);
            }
            Err(error) => return Err(format!("it cannot be waited for: {error}")),
        }
    }
}

fn end(child: &Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Words as a shell would make them of quotes and backslashes, and nothing else of a shell.
fn split(command: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = command.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                let next = characters.next().ok_or("the command ends in a backslash")?;
                word.get_or_insert_default().push(next);
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote in the command is not closed".into());
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_cut_into_words_without_a_shell() {
        let check = |command: &str, expect: &[&str]| assert_eq!(split(command).unwrap(), expect);
        check("/bin/give --to  me", &["/bin/give", "--to", "me"]);
        check("\"/my programs/give\" 'a \"b\"' c\\ d", &["/my programs/give", "a \"b\"", "c d"]);
        check("x '' $HOME;ls", &["x", "", "$HOME;ls"]);
        check("", &[]);
        assert!(split("x 'y").is_err() && split("x\\").is_err());
    }

    #[test]
    fn what_a_program_prints_is_returned_and_its_failures_are_named() {
        let run = |command: &str| run(command, Duration::from_secs(60));
        assert_eq!(run("printf hello").unwrap(), b"hello");
        let problem = run("/nonexistent/program CANARY").unwrap_err();
        assert!(problem.contains("/nonexistent/program cannot be started"), "{problem}");
        assert!(!problem.contains("CANARY"));
        assert!(
            run("sh -c 'echo CANARY; exit 3'").unwrap_err().contains("sh failed (exit status: 3)")
        );
        assert!(run("sh -c 'yes | head -c 100000'").unwrap_err().contains("printed too much"));
    }

    #[test]
    fn the_addresses_of_webhooks_are_kept_from_it() {
        let mut process = Command::new("true");
        let names = ["WEBHOOK_URL", "AWS_PROFILE", "PATH"].map(OsString::from);
        hide_webhooks(&mut process, names.into_iter());
        let removed: Vec<_> = process.get_envs().collect();
        assert_eq!(removed, [("WEBHOOK_URL".as_ref(), None)]);
    }

    #[test]
    fn a_program_that_hangs_ends_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let command = format!("sh -c 'sleep 600 & echo $! > {}; wait'", file.display());
        let problem = run(&command, Duration::from_millis(300)).unwrap_err();
        assert!(problem.contains("sh was not done within"), "{problem}");
        let pid = std::fs::read_to_string(&file).unwrap();
        let alive = || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim()));
            status.is_ok_and(|text| !text.contains("State:\tZ"))
        };
        let until = Instant::now() + Duration::from_secs(20);
        while alive() {
            assert!(Instant::now() < until, "its child still runs");
            thread::sleep(Duration::from_millis(5));
        }
    }
}
