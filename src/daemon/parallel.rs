//! The same job for many things at once, for commands that ask the cluster much and then end. `[E]`

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Does `job` for each of `items`, on at most `workers` threads; what came of them, in their order.
///
/// # Errors
/// The operating system gives not one thread; then nothing was done.
pub fn in_parallel<T: Sync, R: Send + Sync>(
    workers: usize,
    items: &[T],
    job: impl Fn(&T) -> R + Sync,
) -> io::Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let results: Vec<OnceLock<R>> = items.iter().map(|_| OnceLock::new()).collect();
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let (Some(item), Some(result)) = (items.get(at), results.get(at)) else { return };
            let _ = result.set(job(item));
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
    })?;
    // Every one is there: each was taken by a thread, and all threads have ended.
    Ok(results.into_iter().filter_map(OnceLock::into_inner).collect())
}
