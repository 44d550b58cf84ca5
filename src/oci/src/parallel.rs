//! The same work for many things, some at a time.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

/// Does `work` for all `jobs` on up to `threads` threads; results come in the order of the jobs. The
/// first error ends it: `stop` is then set, for the work that is under way to look at.
pub(crate) fn map<T: Sync, R: Send, E: Send>(
    jobs: &[T],
    threads: usize,
    stop: &AtomicBool,
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(jobs.len()));
    let failed = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..threads.min(jobs.len()) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(at) else { return };
                    match work(job) {
                        Ok(result) => done.lock().expect("nobody panics with the results").push((at, result)),
                        Err(error) => {
                            // Later ones fail because of the first.
                            failed.lock().expect("nobody panics with the error").get_or_insert(error);
                            stop.store(true, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    if let Some(error) = failed.into_inner().expect("nobody panics with the error") {
        return Err(error);
    }
    let mut done = done.into_inner().expect("nobody panics with the results");
    done.sort_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}
