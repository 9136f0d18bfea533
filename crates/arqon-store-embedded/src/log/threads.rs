//! The two workers of the log: the committer, which alone changes anything, and the porter, which makes segment files
//! ahead of need and rewrites segments that are mostly dead. Each has a thread; a simulation takes their turns by hand.
//!
//! Invariant: the observer hears of records before their appends are answered; an answer is sent exactly once.

use super::compact::Compaction;
use super::engine::{BatchResult, Engine, Progress, SidecarJob, Spare};
use super::queue::{Command, Queue, Reply, Work};
use crate::disk::Disk;
use arqon_core::Record;
use arqon_core::port::{Append, CommitObserver, StoreError};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long the committer waits before it looks after the house.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same while something is wrong, so that the log comes back soon.
const IMPATIENCE: Duration = Duration::from_millis(50);

type Observer = Arc<OnceLock<Arc<dyn CommitObserver>>>;

/// The threads, joined once; none where turns are taken by hand.
pub(crate) struct Threads {
    observer: Observer,
    handles: Mutex<Vec<JoinHandle<()>>>,
}

/// The log's two workers without threads: nothing happens between two calls, so that a simulation decides when each of
/// them gets on, and what fails between two steps.
pub struct Turns {
    committer: Option<Committer>,
    porter: Porter,
}

impl Turns {
    /// One turn of the committer: commits what waits, or does one other thing, then a little of what is done between
    /// blocks. Answers how long it may rest unless something is queued; `None` once the log is closed.
    pub fn commit(&mut self) -> Option<Duration> {
        let committer = self.committer.as_mut()?;
        match committer.turn(Duration::ZERO) {
            Turn::Worked => Some(Duration::ZERO),
            Turn::Idle => Some(committer.patience()),
            Turn::Ended(farewell) => {
                self.committer = None;
                farewell.say();
                None
            }
        }
    }

    /// One turn of the porter; answers whether there was anything to do.
    pub fn carry(&mut self) -> bool {
        self.porter.turn()
    }
}

fn workers(engine: Engine, queue: &Arc<Queue>) -> (Observer, Committer, Porter) {
    let observer = Observer::default();
    let errands = Arc::new(Errands::default());
    let porter = Porter {
        errands: errands.clone(),
        queue: queue.clone(),
        disk: engine.disk.clone(),
        spare: engine.spare.clone(),
        segment_bytes: engine.config.segment_bytes,
    };
    let ending = Ending { queue: queue.clone(), errands: errands.clone() };
    let (queue, heard) = (queue.clone(), observer.clone());
    let committer =
        Committer { engine, queue, observer: heard, errands, jobs: VecDeque::new(), _ending: ending };
    (observer, committer, porter)
}

impl Threads {
    pub fn start(engine: Engine, queue: &Arc<Queue>) -> io::Result<Self> {
        let (observer, committer, porter) = workers(engine, queue);
        let porter = thread::Builder::new().name("porter".to_owned()).spawn(move || porter.run())?;
        let committer = thread::Builder::new().name("committer".to_owned()).spawn(move || committer.run())?;
        Ok(Threads { observer, handles: Mutex::new(vec![committer, porter]) })
    }

    /// No threads: whoever holds the turns does their work.
    pub fn by_hand(engine: Engine, queue: &Arc<Queue>) -> (Self, Turns) {
        let (observer, committer, porter) = workers(engine, queue);
        let turns = Turns { committer: Some(committer), porter };
        (Threads { observer, handles: Mutex::default() }, turns)
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
struct Ending {
    queue: Arc<Queue>,
    errands: Arc<Errands>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.errands.lock().stop = true;
        self.errands.wake.notify_all();
        self.queue.abandon();
    }
}

struct Committer {
    engine: Engine,
    queue: Arc<Queue>,
    observer: Observer,
    errands: Arc<Errands>,
    /// Retention that is done in slices, between blocks.
    jobs: VecDeque<Command>,
    _ending: Ending,
}

/// What a turn of the committer came to.
enum Turn {
    Worked,
    Idle,
    Ended(Farewell),
}

/// The answer to `close`, given once the committer is dropped: the folder is free before the caller hears of it.
struct Farewell(Option<(Reply, Result<(), StoreError>)>);

impl Farewell {
    fn say(self) {
        if let Some((reply, result)) = self.0 {
            reply.send(result);
        }
    }
}

impl Committer {
    fn run(mut self) {
        loop {
            let patience = self.patience();
            if let Turn::Ended(farewell) = self.turn(patience) {
                drop(self);
                return farewell.say();
            }
        }
    }

    /// Waits for work for as long as `patience` says, does it, and then a little of what is done between blocks.
    fn turn(&mut self, patience: Duration) -> Turn {
        let (bytes, records) = (self.engine.config.block_bytes, self.engine.config.block_records);
        let mut turn = Turn::Worked;
        match self.queue.take(patience, bytes, records) {
            Work::Appends(batches, replies) => {
                let results = self.commit(&batches);
                replies.into_iter().zip(results).for_each(|(reply, result)| reply.send(result));
            }
            Work::Other(Command::Close { reply }) => {
                self.finish();
                let result = self.engine.close();
                return Turn::Ended(Farewell(Some((reply, result))));
            }
            Work::Other(Command::Hold(noted)) => self.engine.hold_noted(*noted),
            Work::Other(command) => self.jobs.push_back(command),
            Work::Idle => {
                self.engine.probe();
                turn = Turn::Idle;
            }
            Work::Finished => {
                self.finish();
                if let Err(error) = self.engine.close() {
                    tracing::error!(%error, "the log was not closed well");
                }
                return Turn::Ended(Farewell(None));
            }
        }
        self.between();
        turn
    }

    /// What is done between two blocks: a little at a time.
    fn between(&mut self) {
        self.engine.sync(false);
        self.step();
        if let Some(to) = self.engine.wants_spare() {
            self.errands.lock().spare = Some(to);
            self.errands.wake.notify_all();
        }
        if self.engine.has_sidecars()
            && !self.errands.is_writing()
            && let Some(job) = self.engine.sidecar()
        {
            self.errands.lock().sidecar = Some(job);
            self.errands.wake.notify_all();
        }
        if self.engine.house() == Progress::More {
            return;
        }
        let free = self.errands.lock().is_free();
        if free && let Some(compaction) = self.engine.compaction() {
            let mut errands = self.errands.lock();
            errands.compaction = Some(compaction);
            errands.busy = true;
            self.errands.wake.notify_all();
        }
        self.engine.rest();
    }

    fn patience(&self) -> Duration {
        match self.engine.config.flush {
            _ if !self.jobs.is_empty() || self.engine.has_housework() => Duration::ZERO,
            _ if self.engine.is_troubled() => IMPATIENCE,
            super::Flush::Always => PATIENCE,
            super::Flush::Interval(every) => every.min(PATIENCE),
        }
    }

    fn commit(&mut self, batches: &[Vec<Append>]) -> Vec<BatchResult> {
        let observer = self.observer.clone();
        self.engine.commit(batches, &|records: &[Arc<Record>]| {
            if let Some(observer) = observer.get() {
                observer.committed(records);
            }
        })
    }

    /// Does what was promised already, before the end.
    fn finish(&mut self) {
        while self.step() {}
        while self.engine.house() == Progress::More {}
        if let Some(job) = self.errands.finish() {
            self.engine.settle_sidecar(job.run());
        }
    }

    /// Does a slice of the first job; answers whether there was one.
    fn step(&mut self) -> bool {
        let Some(job) = self.jobs.pop_front() else { return false };
        match job {
            Command::Retain { room, rules, now, reply } => match self.engine.retain(&room, &rules, now) {
                Ok(Progress::More) => self.jobs.push_front(Command::Retain { room, rules, now, reply }),
                result => reply.send(result.map(|_| ())),
            },
            Command::Trim { room, up_to, reply } => match self.engine.trim(&room, up_to) {
                Ok(Progress::More) => self.jobs.push_front(Command::Trim { room, up_to, reply }),
                result => reply.send(result.map(|_| ())),
            },
            Command::Install(compacted) => self.engine.install(*compacted),
            Command::Settle(done) => {
                self.errands.lock().writing = false;
                self.engine.settle_sidecar(*done);
            }
            Command::Append { .. } | Command::Hold(_) | Command::Close { .. } => {}
        }
        true
    }
}

/// What the porter is to do.
#[derive(Default)]
struct Errands {
    list: Mutex<ErrandList>,
    wake: Condvar,
}

#[derive(Default)]
struct ErrandList {
    /// Up to where the next segment is to be made.
    spare: Option<u64>,
    sidecar: Option<SidecarJob>,
    /// A sidecar was begun whose end the committer has not heard of.
    writing: bool,
    compaction: Option<Compaction>,
    busy: bool,
    /// The porter is at work on the folder.
    working: bool,
    stop: bool,
}

impl ErrandList {
    fn is_asked(&self) -> bool {
        self.spare.is_some() || self.sidecar.is_some() || self.compaction.is_some()
    }

    fn is_free(&self) -> bool {
        self.compaction.is_none() && !self.busy
    }
}

impl Errands {
    fn lock(&self) -> MutexGuard<'_, ErrandList> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Errands {
    fn is_writing(&self) -> bool {
        let list = self.lock();
        list.writing || list.sidecar.is_some()
    }

    /// Nothing is begun any more; waits for what was, and gives a sidecar back that was not begun.
    fn finish(&self) -> Option<SidecarJob> {
        let mut list = self.lock();
        list.stop = true;
        self.wake.notify_all();
        while list.working {
            list = self.wake.wait(list).unwrap_or_else(PoisonError::into_inner);
        }
        list.sidecar.take()
    }
}

/// Says that the porter is done, however that came.
struct Working<'a>(&'a Errands);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.lock().working = false;
        self.0.wake.notify_all();
    }
}

struct Porter {
    errands: Arc<Errands>,
    queue: Arc<Queue>,
    disk: Arc<dyn Disk>,
    spare: Arc<Spare>,
    segment_bytes: u64,
}

impl Porter {
    fn run(self) {
        loop {
            let mut list = self.errands.lock();
            while !list.is_asked() && !list.stop {
                list = self.errands.wake.wait(list).unwrap_or_else(PoisonError::into_inner);
            }
            if list.stop {
                return;
            }
            drop(list);
            self.turn();
        }
    }

    /// Does what is asked; answers whether anything was.
    fn turn(&self) -> bool {
        let mut list = self.errands.lock();
        if list.stop || !list.is_asked() {
            return false;
        }
        let (spare, sidecar) = (list.spare.take(), list.sidecar.take());
        // What waits longest for nobody comes last.
        let compaction = if spare.is_none() && sidecar.is_none() { list.compaction.take() } else { None };
        list.writing |= sidecar.is_some();
        list.working = true;
        drop(list);
        let _working = Working(&self.errands);
        if let Some(to) = spare
            && let Err(error) = self.spare.prepare(&*self.disk, to, self.segment_bytes)
        {
            tracing::warn!(%error, "no segment could be made ahead of need");
        }
        if let Some(job) = sidecar {
            // A queue that is closed takes nothing: the sidecar is there, and the next opening finds it.
            let _ = self.queue.push(Command::Settle(Box::new(job.run())), 0);
        }
        if let Some(compaction) = compaction {
            self.compact(&compaction);
        }
        true
    }

    fn compact(&self, compaction: &Compaction) {
        match compaction.run() {
            Ok(Some(compacted)) => {
                // A queue that is closed takes nothing: the next opening finds the rewritten segment by itself.
                let _ = self.queue.push(Command::Install(Box::new(compacted)), 0);
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "a segment could not be rewritten"),
        }
        self.errands.lock().busy = false;
    }
}
