//! The dep folder measured: how soon a save is told of, and what looking costs while nothing happens.
//!
//! - **save**: `write(2)` and `close(2)` of one file, one after another, each to the event of the
//!   source. From just before the close, so the close itself counts.
//! - **mv**: the same for a complete file that rename(2) moves over the dep file.
//! - **swap**: rename(2) of `..data` to the event of the last of 100 files behind it, as a ConfigMap
//!   volume changes them.
//! - **rescan**: the processor time (user and system, of the whole process) of full scans of 10,000
//!   files that did not change.
//! - **idle**: the processor time while nothing happens for some seconds, with one rescan in it.
//!
//! On two cores that were busy with other work, with the profile of a release (`scripts/bench-folder`):
//! save to event 0.04 ms (p50) and 0.07 ms (p99), 13.45 ms of CPU for a rescan of 10,000 files, and
//! 0.03 % of CPU while idle, the rescan every 20 s and a look at the folder every second included.
//!
//! Goals stand beside the figures; nothing fails because of a time. `--smoke` does little of
//! everything, and checks that every save was told of.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run fails by panicking")]

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use depd::source::{FileReport, FolderEvent, Source, SourceOptions};

/// Files behind `..data`.
const LINKS: usize = 100;
const LIMIT: Duration = Duration::from_secs(60);

fn main() {
    let smoke = std::env::args().any(|argument| argument == "--smoke");
    let (saves, swaps, files, rescans, idle_s) =
        if smoke { (50, 2, 500, 3, 1) } else { (1000, 20, 10_000, 20, 20) };
    println!("{:<34} {:>12} {:>12}", "figure", "measured", "goal");
    let mut latencies = measure_saves(saves);
    latencies.sort();
    let at = |part: usize| ms(latencies[(latencies.len() - 1) * part / 100]);
    row("save to event, p50", &at(50), "50 ms");
    row("save to event, p99", &at(99), "50 ms");
    let mut moves = measure_moves(saves);
    moves.sort();
    row("mv to event, p50", &ms(moves[(moves.len() - 1) / 2]), "50 ms");
    row("mv to event, p99", &ms(moves[(moves.len() - 1) * 99 / 100]), "50 ms");
    let mut swaps = measure_swaps(swaps);
    swaps.sort();
    row(&format!("..data swap to {LINKS} events, p50"), &ms(swaps[(swaps.len() - 1) / 2]), "50 ms");
    row(&format!("..data swap to {LINKS} events, max"), &ms(swaps[swaps.len() - 1]), "50 ms");
    let (rescan, idle) = measure_rest(files, rescans, Duration::from_secs(idle_s));
    row(&format!("CPU of a rescan of {files} files"), &ms(rescan), "20 ms");
    let share = 100.0 * idle.as_secs_f64() / Duration::from_secs(idle_s).as_secs_f64();
    row(&format!("CPU while idle for {idle_s} s"), &format!("{share:.2} %"), "0 %");
    println!("{saves} saves told of, {files} files found: 4 passed, 0 failed");
}

fn row(figure: &str, measured: &str, goal: &str) {
    println!("{figure:<34} {measured:>12} {goal:>12}");
}

fn ms(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

struct Watched {
    folder: tempfile::TempDir,
    events: Receiver<FolderEvent>,
    source: Source,
}

fn watch(prepare: impl FnOnce(&Path)) -> Watched {
    let folder = tempfile::tempdir().expect("a folder");
    prepare(folder.path());
    let (sender, events) = channel();
    let options = SourceOptions::new(folder.path().to_owned());
    let tell = move |event| drop(sender.send(event));
    let source = Source::start(options, tell).expect("it starts");
    Watched { folder, events, source }
}

impl Watched {
    fn wait_for(&self, mut wanted: impl FnMut(&FolderEvent) -> bool) {
        while !wanted(&self.events.recv_timeout(LIMIT).expect("told in time")) {}
    }

    /// Until so many files were told to ask for this image.
    fn wait_for_images(&self, image: &str, mut files: usize) {
        self.wait_for(|event| {
            if let FolderEvent::File { report: FileReport::Images(images), .. } = event {
                files -= usize::from(images.to_string() == image);
            }
            files == 0
        });
    }

    fn wait_for_scan(&self, files: usize) {
        self.wait_for(|event| *event == FolderEvent::Scanned { files });
    }
}

fn measure_saves(saves: usize) -> Vec<Duration> {
    let watched = watch(|_| {});
    watched.wait_for_scan(0);
    let save = |n: usize| {
        let image = format!("nginx:{n}");
        let mut file = File::create(watched.folder.path().join(name(n))).expect("created");
        file.write_all(image.as_bytes()).expect("written");
        let start = Instant::now();
        drop(file);
        watched.wait_for_images(&image, 1);
        start.elapsed()
    };
    let latencies = (0..saves).map(save).collect();
    watched.source.stop();
    latencies
}

/// Many files, so that no save of a file follows the one before within its pause.
fn name(n: usize) -> String {
    format!("web-{}_bench.dep", n % 500)
}

fn measure_moves(moves: usize) -> Vec<Duration> {
    let beside = tempfile::tempdir().expect("a folder");
    let watched = watch(|_| {});
    watched.wait_for_scan(0);
    let save = |n: usize| {
        let image = format!("nginx:{n}");
        let new = beside.path().join("new");
        std::fs::write(&new, &image).expect("written");
        let start = Instant::now();
        std::fs::rename(&new, watched.folder.path().join(name(n))).expect("moved");
        watched.wait_for_images(&image, 1);
        start.elapsed()
    };
    let latencies = (0..moves).map(save).collect();
    watched.source.stop();
    latencies
}

fn measure_swaps(swaps: usize) -> Vec<Duration> {
    let write = |folder: &Path, version: usize| {
        let store = folder.join(format!("..{version}"));
        std::fs::create_dir(&store).expect("made");
        for n in 0..LINKS {
            std::fs::write(store.join(name(n)), format!("nginx:{version}")).expect("written");
        }
        symlink(format!("..{version}"), folder.join("..data_tmp")).expect("linked");
    };
    let swap = |folder: &Path| {
        std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).expect("moved");
    };
    let watched = watch(|folder| {
        write(folder, 0);
        swap(folder);
        for n in 0..LINKS {
            symlink(Path::new("..data").join(name(n)), folder.join(name(n))).expect("linked");
        }
    });
    watched.wait_for_scan(LINKS);
    let save = |version: usize| {
        let folder = watched.folder.path();
        write(folder, version);
        let start = Instant::now();
        swap(folder);
        watched.wait_for_images(&format!("nginx:{version}"), LINKS);
        start.elapsed()
    };
    let latencies = (1..=swaps).map(save).collect();
    watched.source.stop();
    latencies
}

/// The processor time of one rescan, and of a while in which nothing happens.
fn measure_rest(files: usize, rescans: u32, idle: Duration) -> (Duration, Duration) {
    let watched = watch(|folder| {
        for n in 0..files {
            std::fs::write(folder.join(format!("web-{n}_bench.dep")), "nginx:1").expect("written");
        }
        // Until all of them are old, so that no file needs a second look.
        std::thread::sleep(Duration::from_millis(1100));
    });
    watched.wait_for_scan(files);
    let before = cpu();
    for _ in 0..rescans {
        watched.source.rescan();
        watched.wait_for_scan(files);
    }
    let rescan = (cpu() - before) / rescans;
    let before = cpu();
    std::thread::sleep(idle);
    let idle = cpu() - before;
    watched.source.stop();
    (rescan, idle)
}

/// User and system time of this process so far, from `/proc/self/schedstat` of its threads
/// (nanoseconds on a processor, see the kernel's `sched-stats`).
fn cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("procfs").flatten();
    let spent = |task: std::fs::DirEntry| -> Option<u64> {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    Duration::from_nanos(tasks.filter_map(spent).sum())
}
