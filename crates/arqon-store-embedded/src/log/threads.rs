//! The two threads of the log: the committer, which alone changes anything, and the porter, which makes segment files
//! ahead of need and rewrites segments that are mostly dead.
//!
//! Invariant: the observer hears of records before their appends are answered; an answer is sent exactly once.

use super::engine::{BatchResult, Engine, Progress};
use super::queue::{Command, Queue, Work};
use arqon_core::Record;
use arqon_core::port::CommitObserver;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long the committer waits before it looks after the house.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same while something is wrong, so that the log comes back soon.
const IMPATIENCE: Duration = Duration::from_millis(50);

type Observer = Arc<OnceLock<Arc<dyn CommitObserver>>>;

/// The threads, joined once.
pub(crate) struct Threads {
    observer: Observer,
    handles: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    pub fn start(engine: Engine, queue: Arc<Queue>) -> io::Result<Self> {
        let observer = Observer::default();
        let seen = observer.clone();
        let committer = thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || Committer { engine, queue, observer: seen, jobs: VecDeque::new() }.run())?;
        Ok(Threads { observer, handles: Mutex::new(vec![committer]) })
    }

    pub fn observe(&self, observer: Arc<dyn CommitObserver>) {
        if self.observer.set(observer).is_err() {
            tracing::error!("a second observer of the log was refused");
        }
    }

    /// Waits for the end of the threads.
    pub fn join(&self) {
        let handles = std::mem::take(&mut *self.handles.lock().unwrap_or_else(PoisonError::into_inner));
        for handle in handles {
            // The observer may hold the log and be dropped by the committer itself.
            if handle.thread().id() != thread::current().id() && handle.join().is_err() {
                tracing::error!("a thread of the log panicked");
            }
        }
    }
}

/// However the committer ends, nobody goes on waiting for it.
struct Ending(Arc<Queue>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

struct Committer {
    engine: Engine,
    queue: Arc<Queue>,
    observer: Observer,
    /// Retention that is done in slices, between blocks.
    jobs: VecDeque<Command>,
}

impl Committer {
    fn run(mut self) {
        let _ending = Ending(self.queue.clone());
        let (bytes, records) = (self.engine.config.block_bytes, self.engine.config.block_records);
        loop {
            let work = self.queue.take(self.patience(), bytes, records);
            match work {
                Work::Appends(batches, replies) => {
                    let results = self.commit(&batches);
                    replies.into_iter().zip(results).for_each(|(reply, result)| reply.send(result));
                }
                Work::Other(Command::Close { reply }) => {
                    while self.step() {}
                    let result = self.engine.close();
                    // The folder is free before the caller hears of it.
                    drop(self);
                    return reply.send(result);
                }
                Work::Other(command) => self.jobs.push_back(command),
                Work::Idle => self.engine.probe(),
                Work::Finished => {
                    while self.step() {}
                    if let Err(error) = self.engine.close() {
                        tracing::error!(%error, "the log was not closed well");
                    }
                    return;
                }
            }
            self.engine.sync(false);
            self.step();
        }
    }

    fn patience(&self) -> Duration {
        match self.engine.config.flush {
            _ if !self.jobs.is_empty() => Duration::ZERO,
            _ if self.engine.is_troubled() => IMPATIENCE,
            super::Flush::Always => PATIENCE,
            super::Flush::Interval(every) => every.min(PATIENCE),
        }
    }

    fn commit(&mut self, batches: &[Vec<arqon_core::port::Append>]) -> Vec<BatchResult> {
        let observer = self.observer.clone();
        self.engine.commit(batches, &|records: &[Arc<Record>]| {
            if let Some(observer) = observer.get() {
                observer.committed(records);
            }
        })
    }

    /// Does a slice of the first job; answers whether there was one.
    fn step(&mut self) -> bool {
        let Some(job) = self.jobs.pop_front() else { return false };
        let progress = match &job {
            Command::Retain { room, rules, now, .. } => self.engine.retain(room, rules, *now),
            Command::Trim { room, up_to, .. } => self.engine.trim(room, *up_to),
            Command::Append { .. } | Command::Close { .. } => Ok(Progress::Done),
        };
        match (progress, job) {
            (Ok(Progress::More), job) => self.jobs.push_front(job),
            (result, Command::Retain { reply, .. } | Command::Trim { reply, .. }) => {
                reply.send(result.map(|_| ()))
            }
            (_, Command::Append { .. } | Command::Close { .. }) => {}
        }
        true
    }
}
