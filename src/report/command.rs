//! Records → a program's standard input. `[E]`
//!
//! There is no shell: the setting is a program and its arguments, parted by blanks, and nothing in
//! it is expanded. Nothing of a record becomes an argument or a variable, so no name of a service or
//! image can be taken for more than text. The program gets a process group of its own, a time limit,
//! and an environment without depd's secrets; what is left of the group at the end is killed.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command as Process, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::kind::Kind;
use super::record::Record;
use super::text::cut_front;
use super::transport::{Answer, Transport};
use crate::clock;
use crate::model::printable;

/// The program may take this long for one record.
const LIMIT: Duration = Duration::from_secs(30);
/// Once it ended, what it said comes within this.
const SAID_LIMIT: Duration = Duration::from_secs(1);
/// The exit code that asks for another try (sysexits.h, `EX_TEMPFAIL`).
const TRY_AGAIN: i32 = 75;
/// So much of what it says on standard error is kept.
const SAID_BYTES: usize = 4096;
/// So much of that is shown.
const SHOWN: usize = 200;
/// The environment keeps these names to itself.
const SECRETS: &[&str] = &["WEBHOOK_", "AWS_SECRET", "AWS_SESSION", "AWS_CONTAINER_AUTHORIZATION"];

/// A program that is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    program: String,
    arguments: Vec<String>,
    limit: Duration,
}

impl Command {
    /// A program and its arguments, parted by blanks; `None` when there is nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Command> {
        let mut words = text.split_whitespace().map(str::to_owned);
        Some(Command { program: words.next()?, arguments: words.collect(), limit: LIMIT })
    }

    fn start(&self) -> io::Result<Child> {
        let mut process = Process::new(&self.program);
        process
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0);
        for (name, _) in std::env::vars_os() {
            if is_secret(&name.to_string_lossy()) {
                process.env_remove(&name);
            }
        }
        process.spawn()
    }

    fn tell(&self, records: &[Record], helper: Helper<'_>) -> Answer {
        let mut child = match self.start() {
            Ok(child) => child,
            Err(error) => {
                return Answer::Later { why: format!("cannot be started: {error}"), wait: None };
            }
        };
        let body = Kind::Command.body(records) + "\n";
        let input = child.stdin.take();
        // A program that reads nothing must not hold us up; its end closes the pipe.
        let write = move || drop(input.map(|mut input| input.write_all(body.as_bytes())));
        let (told, said) = bounded(1);
        let errors = child.stderr.take();
        let read = move || drop(errors.map(end_of).map(|text| told.send(text)));
        let helped = helper("report-errors", Box::new(read));
        // Without them it reads an input that is empty, and may call that a success.
        let helped = helped.and_then(|()| helper("report-input", Box::new(write)));
        let ended = helped.is_ok() && wait(&child, self.limit);
        // Before it is reaped, so that its number still is its own.
        kill_group(&child);
        let status = child.wait().ok().filter(|_| ended);
        if let Err(error) = helped {
            return Answer::Later {
                why: format!("got no thread to be told by: {error}"),
                wait: None,
            };
        }
        // Whoever left the group may hold the pipe for ever.
        let said = said.recv_timeout(SAID_LIMIT).unwrap_or_default();
        judge(status, &said, self.limit)
    }
}

fn is_secret(name: &str) -> bool {
    SECRETS.iter().any(|prefix| name.starts_with(prefix))
}

/// What a helping thread does.
type Job = Box<dyn FnOnce() + Send>;

/// Starts a thread of this name.
type Helper<'a> = &'a dyn Fn(&str, Job) -> io::Result<()>;

fn start_thread(name: &str, job: Job) -> io::Result<()> {
    thread::Builder::new().name(name.into()).spawn(job).map(drop)
}

impl Transport for Command {
    fn send(&mut self, records: &[Record]) -> Answer {
        self.tell(records, &start_thread)
    }

    fn place(&self) -> String {
        printable(&self.program)
    }
}

fn judge(status: Option<ExitStatus>, said: &str, limit: Duration) -> Answer {
    let said = printable(&cut_front(said.trim(), SHOWN));
    let Some(status) = status else {
        let seconds = limit.as_secs();
        return Answer::Never {
            why: format!("did not end within {seconds} s and was killed {said}"),
            again: false,
        };
    };
    let why = format!("ended with {status} {said}").trim_end().to_owned();
    match status.code() {
        Some(0) => Answer::Taken,
        Some(TRY_AGAIN) => Answer::Later { why, wait: None },
        _ => Answer::Never { why, again: false },
    }
}

/// Waits for the end, without reaping; false at the limit.
fn wait(child: &Child, limit: Duration) -> bool {
    let until = clock::now() + limit;
    let mut pause = Duration::from_millis(1);
    let Some(pid) = pid(child) else { return false };
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    loop {
        match waitid(WaitId::Pid(pid), options) {
            Ok(Some(_)) => return true,
            Ok(None) if clock::now() < until => {}
            _ => return false,
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn kill_group(child: &Child) {
    if let Some(group) = pid(child) {
        // An error says that nobody of the group is left, which is what is wanted.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Reads to the end and keeps the last part.
fn end_of(mut reader: impl Read) -> String {
    let mut tail = Vec::new();
    let mut chunk = [0; 1024];
    while let Ok(count @ 1..) = reader.read(&mut chunk) {
        tail.extend_from_slice(&chunk[..count]);
        let surplus = tail.len().saturating_sub(SAID_BYTES);
        tail.drain(..surplus);
    }
    String::from_utf8_lossy(&tail).into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::report::samples;

    /// A script in `folder`.
    fn script(folder: &Path, text: &str) -> Command {
        let file = folder.join("told");
        fs::write(&file, format!("{text}\n")).expect("written");
        // Not run as a file of its own: a thread that forks meanwhile would hold it open (ETXTBSY).
        Command::parse(&format!("/bin/sh {} a $HOME ;b", file.display())).expect("a program")
    }

    #[test]
    fn a_program_reads_the_record_and_its_arguments_are_as_they_were_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("out");
        let mut command =
            script(folder.path(), &format!("cat > {0}; printf '%s|' \"$@\" >> {0}", out.display()));
        let record = samples::all().remove(1);
        assert_eq!(command.send(std::slice::from_ref(&record)), Answer::Taken);
        let text = fs::read_to_string(&out).expect("written");
        let (body, arguments) = text.split_once('\n').expect("a line");
        assert_eq!(serde_json::from_str::<Record>(body).expect("a record"), record);
        assert_eq!(arguments, "a|$HOME|;b|");
    }

    #[test]
    fn no_secret_of_depd_is_in_its_environment() {
        for name in [
            "WEBHOOK_SLACK",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["PATH", "AWS_REGION", "AWS_CONTAINER_CREDENTIALS_FULL_URI"] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn its_exit_code_says_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = samples::all();
        let send = |text: &str| script(folder.path(), text).send(&records[..1]);
        assert_eq!(send("exit 0"), Answer::Taken);
        assert!(matches!(send("exit 75"), Answer::Later { .. }));
        let Answer::Never { why, .. } = send("echo no such channel >&2; exit 3") else {
            panic!("it is final")
        };
        assert!(why.contains('3') && why.contains("no such channel"), "{why}");
        let missing =
            Command::parse("/nonexistent/program").expect("a program").send(&records[..1]);
        assert!(matches!(missing, Answer::Later { .. }), "{missing:?}");
    }

    #[test]
    fn one_that_got_nothing_for_want_of_a_thread_has_acknowledged_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = samples::all();
        for missing in ["report-input", "report-errors"] {
            let helper = |name: &str, job: Job| match name == missing {
                true => Err(io::Error::from_raw_os_error(11)),
                false => start_thread(name, job),
            };
            let answer = script(folder.path(), "cat").tell(&records[..1], &helper);
            let Answer::Later { why, .. } = answer else { panic!("{missing}: {answer:?}") };
            assert!(why.contains("got no thread"), "{why}");
        }
    }

    #[test]
    fn one_that_hangs_is_killed_with_everything_it_started() {
        let folder = tempfile::tempdir().expect("a folder");
        let pid_file = folder.path().join("pid");
        let text = format!("sleep 600 & echo $! > {}; sleep 600", pid_file.display());
        let mut command = script(folder.path(), &text);
        command.limit = Duration::from_millis(500);
        let answer = command.send(&samples::all()[..1]);
        assert!(
            matches!(&answer, Answer::Never { why, .. } if why.contains("was killed")),
            "{answer:?}"
        );
        let pid = fs::read_to_string(&pid_file).expect("it ran").trim().to_owned();
        let until = clock::now() + Duration::from_secs(60);
        loop {
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if state.is_empty() || state.contains(") Z ") || state.contains(") X ") {
                break;
            }
            assert!(clock::now() < until, "it lives on: {state}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}
