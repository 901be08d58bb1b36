//! The same job for many things at once, for commands that ask the cluster much and then end. `[E]`

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Does `job` for each of `items`, on at most `workers` threads; returns when all is done.
///
/// # Errors
/// The operating system gives not one thread; then nothing was done.
pub fn in_parallel<T: Sync>(
    workers: usize,
    items: &[T],
    job: impl Fn(&T) + Sync,
) -> io::Result<()> {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            job(item);
        }
    };
    thread::scope(|scope| {
        for number in 0..workers.min(items.len()) {
            let name = format!("parallel-{number}");
            match thread::Builder::new().name(name).spawn_scoped(scope, work) {
                Ok(_) => {}
                // Those that are there do it.
                Err(_) if number > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    })
}
