//! What the kernel says about a process: CPU time and memory (`proc(5)`).

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::time::Duration;

/// Ticks of `/proc/PID/stat` each second: `USER_HZ`, which is 100 on every architecture of Linux
/// that Rust supports.
const TICK: Duration = Duration::from_millis(10);

/// User and system time of a whole process, ended threads included; to 10 ms.
pub fn cpu(pid: u32) -> Duration {
    let fields = stat(&pid.to_string());
    TICK * (fields[UTIME] + fields[STIME])
}

/// The same for the children that the bench has waited for.
pub fn cpu_of_ended_children() -> Duration {
    let fields = stat("self");
    TICK * (fields[CUTIME] + fields[CSTIME])
}

/// Time that each living thread of a process has run whose name begins like this, by its id; to the
/// nanosecond.
pub fn cpu_of_living_threads(pid: u32, name: &str) -> HashMap<OsString, Duration> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a living process");
    let is_named = |task: &fs::DirEntry| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.starts_with(name))
    };
    let run = |task: fs::DirEntry| {
        (task.file_name(), on_cpu(&task.path().join("schedstat").to_string_lossy()))
    };
    tasks.flatten().filter(is_named).map(run).collect()
}

/// What those of them that live still have run since `before`.
pub fn cpu_since(before: &HashMap<OsString, Duration>, pid: u32, name: &str) -> Duration {
    let since = |(id, run): (OsString, Duration)| {
        run.saturating_sub(before.get(&id).copied().unwrap_or_default())
    };
    cpu_of_living_threads(pid, name).into_iter().map(since).sum()
}

/// Time that the calling thread has run.
pub fn cpu_of_this_thread() -> Duration {
    on_cpu("/proc/thread-self/schedstat")
}

/// Resident memory now, MiB.
pub fn resident_mib(pid: u32) -> f64 {
    status_mib(pid, "VmRSS:")
}

/// What [`resident_mib`] consists of, in words: memory of its own, and pages of files that others could
/// share, most of which are the program itself.
pub fn resident_parts(pid: u32) -> String {
    let (own, files) = (status_mib(pid, "RssAnon:"), status_mib(pid, "RssFile:"));
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    let program = program_mib(pid);
    format!(
        "{own:.1} anonymous, {files:.1} of files ({program:.1} of depd itself), {threads} threads"
    )
}

/// Pages of the program's file, MiB.
fn program_mib(pid: u32) -> f64 {
    let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let text = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default();
    let (mut is_program, mut kib) = (false, 0.0);
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("Rss:") if is_program => {
                kib += words.next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
            }
            // Every other line of a mapping begins with a name and a colon.
            Some(first) if !first.ends_with(':') => {
                is_program = words.nth(4).is_some_and(|path| *path == *program.to_string_lossy());
            }
            _ => {}
        }
    }
    kib / 1024.0
}

/// The most resident memory that there ever was, MiB.
pub fn peak_resident_mib(pid: u32) -> f64 {
    status_mib(pid, "VmHWM:")
}

/// Places in `/proc/PID/stat`, counted from the field after the program's name.
const UTIME: usize = 11;
const STIME: usize = 12;
const CUTIME: usize = 13;
const CSTIME: usize = 14;

fn stat(pid: &str) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a living process");
    // The program's name is in parentheses and may hold anything.
    let (_, fields) = text.rsplit_once(") ").expect("a name");
    fields.split(' ').map(|field| field.parse().unwrap_or(0)).collect()
}

fn on_cpu(schedstat: &str) -> Duration {
    let text = fs::read_to_string(schedstat).unwrap_or_default();
    let first = text.split(' ').next().unwrap_or_default();
    Duration::from_nanos(first.parse().unwrap_or(0))
}

fn status_mib(pid: u32, name: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("a living process");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the line");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024.0
}
